"""A month from its quotas to its statements, and what happens after its close, in a real browser."""

from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from config import clock, jobs
from quotas.models import Adjustment, CreditEntry, Deal, Dispute, PlanVersion, Quota, Seal, Statement
from tests.accessibility import violations
from tests.quotas.closing.months import Months, months

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]

MONTH = "/quotas/periods/FY27-M01/"


def worked_off() -> None:
    """What the worker would do."""
    for job_id in jobs.unfinished():
        jobs.work_off(job_id=job_id, now=clock.now)


def log(page: "Page", here: Months, offering: str, amount: str) -> None:
    page.goto(reverse("quotas:deal-new"))
    page.fill("#id_customer", here.world.customer.name)
    page.fill("#id_close_date", "2026-07-20")
    page.fill("#id_lines-0-offering", offering)
    page.fill("#id_lines-0-amount", amount)
    page.click("button:has-text('Submit for approval')")
    page.wait_for_selector(".toast >> text=waits for approval")


def test_a_month_is_run_from_end_to_end(page: "Page", sign_in: SignIn) -> None:
    here = months()
    world, ana, mia = here.world, here.world.ana, here.world.mia

    # Quotas are set, and what does not add up is said.
    sign_in(here.admin)
    page.goto(reverse("quotas:planning-team", args=[world.team.slug]) + "?period=FY27-Q1")
    page.fill("input[aria-label='Quota of Ana']", "60,000")
    page.fill("input[aria-label='Quota of Bo']", "40,000")
    page.click("summary:has-text('Since when, and why')")
    page.fill("[name=reason]", "Plan of the year")
    page.click("button:has-text('Save what changed')")
    page.wait_for_selector(".toast")
    q1 = world.year.quarters[0]
    assert list(
        Quota.objects.filter(period=q1, rep__in=[ana, world.bo], superseded_at=None)
        .order_by("rep__name")
        .values_list("amount_minor", flat=True)
    ) == [60_000_00, 40_000_00]

    # Deals come in, and are approved together.
    sign_in(ana.user)
    log(page, here, world.house.name, "20,000")
    log(page, here, world.third.name, "10,000")
    first, second = Deal.objects.order_by("pk")
    sign_in(mia.user)
    page.goto(reverse("quotas:approvals"))
    page.check("[data-all=deal]")
    page.click("button:has-text('Approve the chosen')")
    page.wait_for_selector(".toast")
    assert sorted(CreditEntry.objects.values_list("amount_minor", flat=True)) == [10_000_00, 20_000_00]

    # One credit is disputed, the dispute accepted with an adjustment, which a second person approves.
    sign_in(ana.user)
    entry = CreditEntry.objects.get(deal=second)
    page.goto(reverse("quotas:dispute-new") + f"?entry={entry.pk}")
    page.fill("[name=text]", "The customer took a second seat")
    page.click("button:has-text('Open the dispute')")
    page.wait_for_selector("h1")
    dispute = Dispute.objects.get()
    sign_in(here.admin)
    page.goto(reverse("quotas:dispute", args=[dispute.pk]) + "?do=adjust")
    page.fill("#answer-text", "You are right")
    page.fill("[name=adjustment-amount]", "500")
    page.fill("[name=adjustment-note]", "The second seat")
    page.click("#answer button:has-text('Accept')")
    page.wait_for_selector(".badge >> text=Accepted")
    adjustment = Adjustment.objects.get()
    sign_in(here.checker)
    page.goto(reverse("quotas:adjustment", args=[adjustment.pk]))
    page.click("button:has-text('Approve and post')")
    page.wait_for_selector(".badge >> text=Posted")
    assert CreditEntry.objects.get(adjustment=adjustment).amount_minor == 500_00

    # The plan changes from the first of the month on; what that moves is seen before it is published.
    plan = world.plan_version.plan
    sign_in(here.admin)
    page.goto(reverse("quotas:plan-version-new", args=[plan.slug]))
    page.fill("#id_starts", "2026-07-01")
    page.fill("#id_note", "Ten per cent more")
    page.click("button:has-text('Start the draft')")
    page.wait_for_selector("h1:has-text('v2')")
    version = PlanVersion.objects.get(plan=plan, number=2)
    page.goto(reverse("quotas:plan-rule", args=[plan.slug, 2, version.rules.get().pk]))
    page.fill("#id_factor", "110")
    page.click("button:has-text('Save the rule')")
    page.wait_for_selector(".toast")
    page.goto(reverse("quotas:plan-impact", args=[plan.slug, 2]))
    page.click("button:has-text('Preview the impact')")
    page.wait_for_selector("#impact")
    worked_off()
    page.goto(reverse("quotas:plan-impact", args=[plan.slug, 2]))
    page.wait_for_selector("#impact >> text=+$3.0K")
    page.goto(reverse("quotas:plan-version", args=[plan.slug, 2]))
    page.click("button:has-text('Run the parity proof')")
    page.wait_for_selector("#gate >> text=Both verdicts are clean")
    page.click("button:has-text('Ask for review')")
    page.wait_for_selector(".toast >> text=waits for a second comp admin")
    sign_in(here.checker)
    page.goto(reverse("quotas:plan-version", args=[plan.slug, 2]))
    page.click("summary:has-text('Publish')")
    page.click("details[open] button:has-text('Publish')")
    page.wait_for_selector(".toast >> text=is published")
    worked_off()
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 33_500_00

    # Parity is proved, the month closed by two, and sealed.
    sign_in(here.admin)
    page.goto(MONTH)
    page.click("button:has-text('Prove it')")
    page.wait_for_selector("button:has-text('Ask to close FY27-M01')")
    page.click("button:has-text('Ask to close FY27-M01')")
    page.wait_for_selector("text=another comp admin approves it")
    sign_in(here.checker)
    page.goto(MONTH)
    for box in page.locator("input[name=seen]").all():
        box.check()
    page.click("button:has-text('Approve and close FY27-M01')")
    page.wait_for_selector("text=Being closed")
    worked_off()
    page.goto(MONTH)
    seal = Seal.objects.get()
    assert seal.digest in page.inner_text("main")
    assert "$33,500.00" in page.inner_text("main")
    assert violations(page) == []

    # The statement is out, and acknowledged by the one whom it is about.
    sign_in(ana.user)
    statement = Statement.objects.get(rep=ana)
    page.goto(reverse("quotas:statement", args=[statement.pk]))
    said = page.inner_text("main")
    assert "Checked just now: it holds" in said
    assert "$33,500.00" in said
    page.click("button:has-text('Acknowledge')")
    page.wait_for_selector(".toast")
    statement.refresh_from_db()
    assert statement.acknowledged_by == ana.user

    # One deal is cancelled after the close: the month as closed and as reported stay, restated it is less.
    sign_in(mia.user)
    page.goto(reverse("quotas:deal", args=[first.pk]))
    page.click("text=Cancel deal >> nth=0")
    page.fill("dialog[open] textarea", "The customer withdrew")
    page.click("dialog[open] button:has-text('Cancel deal')")
    page.wait_for_selector(".toast >> text=is cancelled")
    assert set(
        CreditEntry.objects.exclude(reverses_id=None)
        .filter(deal=first)
        .values_list("posting_period__name", "origin_period__name")
    ) >= {("FY27-M02", "FY27-M01")}
    board = reverse("quotas:board", args=[world.team.slug]) + "?period=FY27-M01"
    for view, credited in (("reported", "$33.5K"), ("closed", "$33.5K"), ("restated", "$11.5K")):
        page.goto(f"{board}&view={view}")
        assert credited in page.inner_text(".kpis"), view

    # Whoever kept the digest can check that nothing was touched.
    told = StringIO()
    call_command("verify_ledger", against=seal.digest, stdout=told)
    assert "hold" in told.getvalue()

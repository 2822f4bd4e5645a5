"""A month from its quotas to its statements, and what happens after its close, in a real browser."""

from collections.abc import Callable
from datetime import date
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from config import clock, jobs
from marketplace.models import Offering
from quotas.models import Adjustment, CreditEntry, Deal, Dispute, Quota, Seal, Statement
from quotas.services import booking, plans, simulating
from quotas.services.parity import prove_plan
from quotas.services.plans import RuleDraft
from tests import make
from tests.accessibility import violations
from tests.quotas.closing.months import JULY, Months, months

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]

MONTH = "/quotas/periods/FY27-M01/"


def worked_off() -> None:
    """What the worker would do."""
    for job_id in jobs.unfinished():
        jobs.work_off(job_id=job_id, now=clock.now)


def sold(here: Months, offering: Offering, amount: int) -> Deal:
    world, at = here.world, clock.now()
    line = make.Line(offering, amount)
    draft = make.draft(owner=world.ana, customer=world.customer, lines=[line], close_date=JULY)
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=at)
    return here.approved(here.submitted(deal, at=at), at=at)


def a_tenth_more(here: Months) -> None:
    """The plan pays 110 % from the first of the month on; its second version is previewed, proved, reviewed and published."""
    plan, at = here.world.plan_version.plan, clock.now()
    version = plans.start_draft(
        plan_id=plan.pk, starts=date(2026, 7, 1), note="Ten per cent more", by=here.admin, at=at
    )
    plans.save_rule(
        plan_version_id=version.pk,
        draft=RuleDraft(name="Everything", measure_id=here.world.bookings.pk, factor_ppm=1_100_000),
        rule_version_id=version.rules.get().pk,
        by=here.admin,
        at=at,
    )
    simulating.start_simulation(plan_version_id=version.pk, by=here.admin, at=at)
    worked_off()
    prove_plan(plan_version_id=version.pk, by=here.admin, at=at)
    plans.ask_for_review(plan_version_id=version.pk, by=here.admin, at=at)
    plans.publish_plan(plan_version_id=version.pk, by=here.checker, at=at)
    worked_off()


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

    # Deals come in and are approved, as test_sales_path.py shows.
    first, second = sold(here, world.house, 20_000_00), sold(here, world.third, 10_000_00)
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

    # The plan changes, as test_journeys.py shows; what was credited follows.
    a_tenth_more(here)
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

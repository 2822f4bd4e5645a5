"""A comp admin who has read nothing drafts, tests and publishes a plan version, in a real browser."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from config import clock, jobs
from config.models import Job
from quotas.models import PlanVersion, RuleVersion
from tests import make
from tests.make import World

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]


@pytest.fixture
def world() -> World:
    built = make.world()
    make.customer(region="emea", name="Emea customer")
    make.territory(name="North")
    return built


def worked_off() -> None:
    """What the worker would do."""
    jobs.work_off(job_id=Job.objects.latest("pk").pk, now=clock.now)


def test_a_version_is_drafted_tried_and_published_by_two(
    page: "Page", world: World, sign_in: SignIn, expected_complaints: list[str]
) -> None:
    second = make.user(role="comp_admin", name="Second Admin")
    plan = world.plan_version.plan

    # From the list of rules, without an address to know.
    sign_in(world.admin)
    page.goto(reverse("quotas:plans"))
    page.click("text=New version")
    page.fill("#id_starts", "2026-10-01")
    page.fill("#id_note", "Push new business in EMEA")
    page.click("button:has-text('Start the draft')")
    page.wait_for_selector("h1:has-text('v2')")
    version = PlanVersion.objects.get(plan=plan, number=2)
    assert version.rules.count() == 1

    # A rule in plain choices, with the sentence beside it.
    page.click("text=Add a rule")
    page.fill("#id_name", "New business in EMEA")
    page.fill("#id_factor", "110")
    page.wait_for_selector("#live >> text=Deals on any eligible model: 110%.")
    page.click("summary:has-text('Kind of deal')")
    page.check("label:has-text('New business') input[name=deal_kinds]")
    page.click("summary:has-text('Region')")
    page.check("label:has-text('EMEA') input[name=regions]")
    page.fill("#id_cap", "2,000,000")
    page.fill("#id_last", "2026-12-31")
    page.wait_for_selector(
        "#live >> text=Deals on any eligible model, new business, EMEA: 110%, until 31 December 2026, cap $2M a deal."
    )
    page.wait_for_selector("#live >> text=2 offerings")
    page.click("button:has-text('Save the rule')")
    page.wait_for_selector(".toast >> text=is saved in the draft")
    assert "New" in page.inner_text(".plan-diff")

    # Components have to add up.
    page.click(".tabs >> text=Components")
    page.fill(f"#weight-{world.bookings.pk}", "90")
    expected_complaints.append("status of 422")
    page.click("button:has-text('Save the components')")
    page.wait_for_selector("[role=alert] >> text=90% and not to 100%")
    page.fill(f"#weight-{world.bookings.pk}", "100")
    page.click("button:has-text('Save the components')")
    page.wait_for_selector(".toast >> text=The components are saved")

    # One deal on the bench: the engine says what it would earn with the version, and without it.
    page.click(".tabs >> text=Try a deal")
    page.select_option("#id_region", "emea")
    page.fill("#id_amount", "1,000")
    page.click("button:has-text('Try it')")
    page.wait_for_selector("#tried >> text=+$100.00")
    assert "$1,100.00" in page.inner_text("#tried")

    # The impact on history, in the background.
    page.click(".tabs >> text=Impact on history")
    page.click("button:has-text('Preview the impact')")
    page.wait_for_selector("#impact >> text=Comparing")
    worked_off()
    page.wait_for_selector("#impact >> text=Nobody moves", timeout=10_000)

    # The proof, and the review.
    page.goto(reverse("quotas:plan-version", args=[plan.slug, 2]))
    assert "2 of 5 open" in page.inner_text("#gate")
    page.click("button:has-text('Run the parity proof')")
    page.wait_for_selector("#gate >> text=Both verdicts are clean")
    page.click("button:has-text('Ask for review')")
    page.wait_for_selector(".toast >> text=waits for a second comp admin")
    assert page.locator("button:has-text('Publish')").count() == 0

    # The second person.
    sign_in(second)
    page.goto(reverse("quotas:plan-version", args=[plan.slug, 2]))
    page.click("summary:has-text('Publish')")
    page.click("details[open] button:has-text('Publish')")
    page.wait_for_selector(".toast >> text=is published")
    version.refresh_from_db()
    assert (version.state, version.published_by) == ("published", second)
    assert version.effective.lower == date(2026, 10, 1)
    assert page.locator("text=Add a rule").count() == 0


def test_the_form_of_a_rule_works_without_scripts(
    browser: Any, live_server: Any, world: World, sign_in: SignIn, context: Any
) -> None:
    version = make.plan_version(plan=world.plan_version.plan, rules=[], state="draft")
    sign_in(world.admin)
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto(reverse("quotas:plan-rule-new", args=[version.plan.slug, version.number]))
    page.fill("#id_name", "Plain")
    page.fill("#id_factor", "nothing")
    page.click("button:has-text('Save the rule')")
    assert "Enter a percentage" in page.inner_text("main")
    page.fill("#id_factor", "105")
    page.click("button:has-text('Save the rule')")
    assert RuleVersion.objects.get(plan_version=version).factor_ppm == 1_050_000
    assert "Deals on any eligible model: 105%." in page.inner_text("main")
    plain.close()

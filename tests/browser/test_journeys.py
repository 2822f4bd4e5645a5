"""The main job of each role, from the first page after signing in, by somebody who has read nothing; every click and key is counted.

docs/journeys.md quotes the counts; a journey that takes more or less fails here until the page or the document is mended.
"""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from config import clock, jobs
from marketplace.models import ChangeSet, PriceVersion
from quotas.models import DealState, PlanVersion, RuleVersion
from quotas.services import approving
from tests import make
from tests.browser.hand import Hand
from tests.marketplace.sourcing.test_scenarios import World as Sourcing
from tests.ui.plain import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]
DOCUMENT = Path(settings.BASE_DIR) / "docs" / "journeys.md"
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| (\d+) \| (\d+) \| ([\d.]+) s \|$", re.MULTILINE)
Counted = tuple[int, int, str]


def quoted() -> dict[str, Counted]:
    """Who to clicks, keys and seconds, as the document says."""
    return {who: (int(c), int(k), s) for who, c, k, s in ROW.findall(DOCUMENT.read_text())}


def counted(hand: Hand) -> Counted:
    return hand.clicks, hand.keys, f"{hand.seconds:.1f}"


def at_home(page: "Page", sign_in: SignIn, user: Any) -> Hand:
    sign_in(user)
    page.goto("/")
    return Hand(page)


def worked_off() -> None:
    """What the worker would do."""
    for job_id in jobs.unfinished():
        jobs.work_off(job_id=job_id, now=clock.now)


def as_quoted(found: dict[str, Counted]) -> None:
    said = quoted()
    assert found == {who: said.get(who) for who in found}, f"docs/journeys.md says otherwise than {found}"


def test_who_pays_who_checks_and_who_leads_find_their_way(
    page: "Page", transactional_db: None, sign_in: SignIn, expected_complaints: list[str]
) -> None:
    world = make.world()
    make.customer(region="emea", name="Emea customer")
    deal = make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[make.Line(world.house, 40_000_00)],
        state=DealState.SUBMITTED,
    )
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=make.AT)
    second = make.user(role="comp_admin", name="Second Admin")
    plan = world.plan_version.plan
    found: dict[str, Counted] = {}

    # A comp admin drafts a version: a rule in plain choices, with the sentence beside it.
    admin = at_home(page, sign_in, world.admin)
    admin.click("main >> text=Crediting rules")
    admin.click("main >> text=New version")
    admin.enter("#id_starts", "2026-10-01")
    admin.enter("#id_note", "Push new business in EMEA")
    admin.click("button:has-text('Start the draft')")
    page.wait_for_selector("h1:has-text('v2')")
    version = PlanVersion.objects.get(plan=plan, number=2)
    assert version.rules.count() == 1
    admin.click("text=Add a rule")
    admin.enter("#id_name", "New business in EMEA")
    admin.enter("#id_factor", "110")
    page.wait_for_selector("#live >> text=Deals on any eligible model: 110%.")
    admin.click("summary:has-text('Kind of deal')")
    admin.click("label:has-text('New business') input[name=deal_kinds]")
    admin.click("summary:has-text('Region')")
    admin.click("label:has-text('EMEA') input[name=regions]")
    admin.enter("#id_cap", "2,000,000")
    admin.enter("#id_last", "2026-12-31")
    page.wait_for_selector(
        "#live >> text=Deals on any eligible model, new business, EMEA: 110%, until 31 December 2026, cap $2M a deal."
    )
    page.wait_for_selector("#live >> text=2 offerings")
    admin.click("button:has-text('Save the rule')")
    page.wait_for_selector(".toast >> text=is saved in the draft")
    assert "New" in page.inner_text(".plan-diff")

    # It is tested: one deal on the bench, the impact on history, the proof. Then it goes to another.
    admin.click(".tabs >> text=Try a deal")
    admin.choose("#id_region", "EMEA")
    admin.enter("#id_amount", "1,000")
    admin.click("button:has-text('Try it')")
    page.wait_for_selector("#tried >> text=+$100.00")
    assert "$1,100.00" in page.inner_text("#tried")
    admin.click(".tabs >> text=Impact on history")
    admin.click("button:has-text('Preview the impact')")
    page.wait_for_selector("#impact >> text=Comparing")
    worked_off()
    page.wait_for_selector("#impact >> text=Nobody moves", timeout=10_000)
    admin.click(".tabs >> text=Rules")
    assert "2 of 5 open" in page.inner_text("#gate")
    admin.click("button:has-text('Run the parity proof')")
    page.wait_for_selector("#gate >> text=Both verdicts are clean")
    admin.click("button:has-text('Ask for review')")
    page.wait_for_selector(".toast >> text=waits for a second comp admin")
    assert page.locator("button:has-text('Publish')").count() == 0
    found["Comp admin"] = counted(admin)

    # The second person finds it at home.
    checker = at_home(page, sign_in, second)
    checker.click("main a:has-text('Publish ')")
    checker.click("summary:has-text('Publish')")
    checker.click("details[open] button:has-text('Publish')")
    page.wait_for_selector(".toast >> text=is published")
    version.refresh_from_db()
    assert (version.state, version.published_by) == ("published", second)
    assert version.effective.lower == date(2026, 10, 1)
    assert page.locator("text=Add a rule").count() == 0
    found["Second comp admin"] = counted(checker)

    # An auditor verifies the ledger and traces a number to what it is made of.
    auditor = at_home(page, sign_in, world.auditor)
    auditor.click("main >> text=Verify now")
    page.wait_for_selector("text=Being verified")
    worked_off()
    page.wait_for_selector("#verified >> text=It holds.")
    auditor.click("nav[aria-label=Main] >> text=Ledger")
    auditor.click("main tbody th a >> nth=0")
    page.wait_for_selector("#drawer[open] >> text=it comes to the same amount")
    assert "$40,000.00" in page.inner_text("#drawer")
    found["Auditor"] = counted(auditor)

    # A director reads the board, and goes down to a deal.
    director = at_home(page, sign_in, make.login(world.rex))
    director.click(f"main .home-team >> text={world.team.name}")
    director.click("main tbody >> text=Ana")
    director.click(f"main tbody >> text={world.customer.name}")
    page.wait_for_selector(f".meta >> text={deal.reference}")
    found["Director"] = counted(director)
    as_quoted(found)


def test_who_sells_through_us_who_keeps_the_catalog_and_who_sources_find_their_way(
    page: "Page", transactional_db: None, sign_in: SignIn, expected_complaints: list[str]
) -> None:
    lab = make.publisher(name="Lab", slug="lab")
    owner = make.user(role="partner", name="Petra Partner", publisher=lab)
    reviewer = make.user(role="catalog_manager", name="Rita Reviewer")
    price = make.price(
        plan=make.plan(offering=make.offering(publisher=lab, name="Lab One", slug="lab-one"), slug="standard")
    )
    found: dict[str, Counted] = {}

    # A partner proposes a price and sends it; what is wrong is said at the field.
    partner = at_home(page, sign_in, owner)
    partner.click("main >> text=Lab One")
    partner.click("text=New price")
    page.fill("#box-rows-0-amount", "cheap")
    page.press("#box-rows-0-amount", "Tab")
    page.wait_for_selector("#box-rows-0-amount-found >> text=an amount")
    page.fill("#box-source", "")
    page.fill("#box-start", "2026-10-01")
    expected_complaints.append("status of 422")
    page.fill("#box-rows-0-amount", "2.50")
    page.click("button:has-text('Add to the change set'):not(.sr)")
    page.wait_for_selector("#box-source-found >> text=cannot be empty")
    assert page.input_value("#box-rows-0-amount") == "2.50"
    partner.enter("#box-rows-0-amount", "2.50")
    partner.enter("#box-start", "2026-10-01")
    partner.enter("#box-source", "Price list of autumn")
    partner.click("button:has-text('Add to the change set'):not(.sr)")
    page.wait_for_selector("h1:has-text('New price: Lab One')")
    draft = ChangeSet.objects.get()
    assert "USD\N{NO-BREAK SPACE}3.00 per million input tokens" in page.inner_text("#item-0")
    assert "−17%" in page.inner_text("#item-0") or "−16.7%" in page.inner_text("#item-0")
    partner.click("button:has-text('Submit for review')")
    page.wait_for_selector(".toast >> text=is submitted")
    found["Partner"] = counted(partner)

    # A reviewer finds it at home, and hands it back.
    catalog = at_home(page, sign_in, reviewer)
    catalog.click(f"main >> text={draft.title}")
    catalog.enter("#note", "Name the list by its date.")
    catalog.click("button:has-text('Request changes')")
    page.wait_for_load_state()
    draft.refresh_from_db()
    assert draft.state == "changes_requested"
    found["Catalog manager, handing it back"] = counted(catalog)

    # The partner mends it.
    partner = at_home(page, sign_in, owner)
    partner.click("text=See what to mend")
    page.wait_for_selector("text=Name the list by its date.")
    partner.click("#item-0 >> text=Edit")
    partner.enter("#box-source", "Price list of 1 October 2026")
    partner.click("button:has-text('Save the change')")
    page.wait_for_selector("h1:has-text('New price: Lab One')")
    partner.click("button:has-text('Submit for review')")
    page.wait_for_selector(".toast >> text=is submitted")
    found["Partner, mending it"] = counted(partner)

    # It is approved, and everybody sees the price that is announced.
    catalog = at_home(page, sign_in, reviewer)
    catalog.click(f"main >> text={draft.title}")
    catalog.click("button:has-text('Approve')")
    page.wait_for_load_state()
    draft.refresh_from_db()
    assert (draft.state, draft.reviewed_by) == ("applied", reviewer)
    made = PriceVersion.objects.exclude(pk=price.pk).get()
    assert made.source == "Price list of 1 October 2026"
    found["Catalog manager"] = counted(catalog)

    # A sourcing lead lays two switches side by side, and opens what goes to the board.
    house = Sourcing()
    for name in ("Cheaper chat", "The other one"):
        house.scenario(house.move(), name=name)
    lead = at_home(page, sign_in, house.lead)
    lead.click("nav[aria-label=Main] >> text=Scenarios")
    for name in ("Cheaper chat", "The other one"):
        lead.click(f"[aria-label='Lay “{name}” beside others']")
    lead.click("button:has-text('Side by side')")
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    lead.click("nav[aria-label=Main] >> text=Overview")
    lead.click("main >> text=One-page brief")
    page.wait_for_selector("h1:has-text('Sourcing brief')")
    found["Sourcing lead"] = counted(lead)
    as_quoted(found)


@pytest.mark.django_db
def test_a_rule_and_a_price_are_entered_without_scripts() -> None:
    world = make.world()
    version = make.plan_version(plan=world.plan_version.plan, rules=[], state="draft")
    lab = make.publisher(name="Lab", slug="lab")
    make.price(plan=make.plan(offering=make.offering(publisher=lab, slug="lab-one"), slug="standard"))

    admin = Reader(world.admin)
    admin.open(reverse("quotas:plan-rule-new", args=[version.plan.slug, version.number]))
    admin.send({"name": "Plain", "factor": "nothing"})
    assert "Enter a percentage" in admin.said
    admin.send({"factor": "105"})
    assert RuleVersion.objects.get(plan_version=version).factor_ppm == 1_050_000
    assert "Deals on any eligible model: 105%." in " ".join(admin.said.split())

    partner = Reader(make.user(role="partner", publisher=lab))
    change = reverse("marketplace:console-change", args=["price.add"])
    partner.open(f"{change}?offering=lab-one&plan=standard")
    rows = partner.said.count('value="drop:rows:')
    partner.send(button=("do", "add:rows"))
    assert partner.said.count('value="drop:rows:') == rows + 1
    partner.send({"start": "2026-10-01", "source": "Autumn"}, ("do", "save"))
    assert "Nothing changes until it is approved" in partner.said
    assert ChangeSet.objects.get().items.count() == 1

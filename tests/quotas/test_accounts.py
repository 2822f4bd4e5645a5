"""Accounts: draw-down to the unit, who sees which account and what of it, and that a long list asks no more often. RULES 19."""

import csv
import io
import re
from datetime import date
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEvent, Role, User
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.models import Customer, CustomerCommitment, Offering, Plan, PricingForm, Program
from marketplace.selectors.commitments import DrawDownRates, Sold
from marketplace.selectors.eligibility import treatments
from marketplace.services.commitments import end_commitment, record_commitment
from quotas.models import Deal, DealKind, DealState
from quotas.selectors import accounts as selectors
from quotas.selectors.accounts import Narrowed
from quotas.selectors.drawdown import DrawDown, draw_downs
from tests import make
from tests.quotas.api import approved, problems
from tests.quotas.api import client as api

pytestmark = pytest.mark.django_db

APPROVED = DealState.APPROVED
JULY, JANUARY, NEXT_JULY = date(2026, 7, 1), date(2027, 1, 1), date(2027, 7, 1)


@pytest.fixture
def customer() -> Customer:
    return make.customer(name="Northwind")


@pytest.fixture
def eligible() -> Offering:
    """Draws down in full."""
    made = make.offering()
    make.decision(offering=made, program=Program.COMMITMENT)
    return made


def committed(
    customer: Customer,
    amount_minor: int,
    starts: date = JULY,
    ends: date = NEXT_JULY,
    *,
    name: str = "Frame contract",
    code: str = "USD",
) -> CustomerCommitment:
    make.currency(code=code)
    return record_commitment(
        customer_id=customer.pk,
        name=name,
        amount_minor=amount_minor,
        currency=code,
        starts=starts,
        ends=ends,
        reason="Signed",
        by=make.user(role=Role.COMP_ADMIN),
        at=make.AT,
    )


def sold(
    customer: Customer, offering: Offering, minor: int, on: date = date(2026, 7, 10), **more: Any
) -> Deal:
    line = {name: more.pop(name) for name in ("billed_minor", "plan", "term_months") if name in more}
    return make.deal(
        customer=customer,
        lines=[make.Line(offering, minor, **line)],
        close_date=on,
        state=more.pop("state", APPROVED),
        **more,
    )


def drawn(customer: Customer) -> list[DrawDown]:
    return draw_downs([customer.pk], make.TODAY).get(customer.pk, [])


def parts(draw: DrawDown) -> tuple[int, int, int, int]:
    return draw.contracted, draw.billed, draw.estimated, draw.beyond


# --- draw-down ----------------------------------------------------------------------------------------------------


def test_only_what_is_eligible_on_its_day_draws_at_its_rate_and_exchange_rate(
    customer: Customer, eligible: Offering
) -> None:
    committed(customer, 1_000_000_00)
    half, undecided, zero = make.offering(), make.offering(), make.offering()
    make.decision(offering=half, program=Program.COMMITMENT, rate_ppm=500_000)
    make.decision(offering=zero, program=Program.COMMITMENT, rate_ppm=0)
    make.decision(offering=undecided, program=Program.QUOTA)
    make.fx(code="EUR", rate="1.0837")
    sold(customer, eligible, 100_00, code="EUR")  # 108.37
    sold(customer, half, 33_33)  # 16.665, half away from zero: 16.67
    sold(customer, zero, 7_00)
    sold(customer, undecided, 7_00)
    sold(customer, eligible, 9_00, on=date(2026, 6, 30))  # the day before it begins
    sold(customer, eligible, 11_00, on=JULY)
    sold(customer, eligible, 9_00, on=date(2026, 8, 15))  # tomorrow
    sold(customer, eligible, 9_00, state=DealState.SUBMITTED)
    sold(customer, eligible, 9_00, state=DealState.CANCELLED)
    sold(make.customer(), eligible, 9_00)
    free = make.plan(offering=eligible, pricing_form=PricingForm.FREE)
    sold(customer, eligible, 9_00, plan=free)
    make.currency(code="JPY")
    sold(customer, eligible, 500, code="JPY")  # no exchange rate
    (draw,) = drawn(customer)
    assert parts(draw) == (108_37 + 16_67 + 11_00, 0, 0, 0)
    assert draw.unconverted == 1
    assert draw.left == 1_000_000_00 - 136_04


def test_the_one_that_ends_first_is_drawn_first_and_a_line_runs_over_into_the_next(
    customer: Customer, eligible: Offering
) -> None:
    make.fx(code="EUR", rate="1.1", effective=make.ALWAYS)
    make.fx(code="USD", to="EUR", rate="0.9")
    committed(customer, 90_00, name="Later", ends=NEXT_JULY, code="EUR")
    committed(customer, 60_00, name="First", ends=JANUARY)
    sold(customer, eligible, 100_00)
    first, later = drawn(customer)
    assert (first.commitment.name, parts(first)) == ("First", (60_00, 0, 0, 0))
    assert parts(later) == (36_00, 0, 0, 0)  # what is left of it, 40 dollars, in euros
    sold(customer, eligible, 100_00, on=date(2026, 7, 11))
    first, later = drawn(customer)
    assert parts(first) == (60_00, 0, 0, 0)
    assert parts(later) == (90_00, 0, 0, 36_00)  # of 90 euros 54 fit
    assert later.standing.word == "Drawn in full"


def test_a_refund_gives_back_what_its_original_drew_the_last_part_first(
    customer: Customer, eligible: Offering
) -> None:
    committed(customer, 60_00, name="First", ends=JANUARY)
    committed(customer, 30_00, name="Later")
    deal = sold(customer, eligible, 100_00)
    assert [parts(each) for each in drawn(customer)] == [(60_00, 0, 0, 0), (30_00, 0, 0, 10_00)]

    def refund(minor: int) -> list[tuple[int, int, int, int]]:
        sold(customer, eligible, -minor, on=date(2026, 8, 1), kind=DealKind.REFUND, refunds=deal)
        return [parts(each) for each in drawn(customer)]

    assert refund(25_00) == [(60_00, 0, 0, 0), (15_00, 0, 0, 0)]
    assert refund(20_00) == [(55_00, 0, 0, 0), (0, 0, 0, 0)]
    assert refund(55_00) == [(0, 0, 0, 0), (0, 0, 0, 0)]
    Deal.objects.filter(pk=deal.pk).update(state=DealState.CANCELLED)
    assert [parts(each) for each in drawn(customer)] == [(0, 0, 0, 0), (0, 0, 0, 0)]


def test_usage_draws_by_its_bill_else_its_estimate_and_its_contract_not_again(
    customer: Customer, eligible: Offering
) -> None:
    committed(customer, 1_000_00)
    other = make.offering()
    make.decision(offering=other, program=Program.COMMITMENT)
    sold(customer, other, 70_00)
    sold(customer, eligible, 500_00)
    assert parts(drawn(customer)[0]) == (570_00, 0, 0, 0)
    sold(customer, eligible, 40_00, on=date(2026, 7, 31), kind=DealKind.CONSUMPTION, billed_minor=38_50)
    sold(customer, eligible, 22_00, on=date(2026, 8, 14), kind=DealKind.CONSUMPTION)
    assert parts(drawn(customer)[0]) == (70_00, 38_50, 22_00, 0)


def test_pace_and_shortfall_are_linear_in_days(customer: Customer, eligible: Offering) -> None:
    committed(customer, 1_000_00, starts=date(2026, 8, 5), ends=date(2026, 8, 25))  # 20 days, 10 gone
    sold(customer, eligible, 300_00, on=date(2026, 8, 5))
    (draw,) = drawn(customer)
    assert (draw.days, draw.days_gone, draw.expected, draw.forecast, draw.shortfall) == (
        *(20, 10, 500_00),
        *(600_00, 400_00),
    )
    assert draw.at_risk
    sold(customer, eligible, 350_00, on=date(2026, 8, 6))
    (draw,) = drawn(customer)
    assert (draw.standing.word, draw.at_risk, draw.shortfall) == ("Ahead", False, 0)


def test_rates_are_the_catalogs_own_answer(eligible: Offering) -> None:
    plan = make.plan(offering=eligible)
    byol = make.plan(offering=eligible, pricing_form=PricingForm.BYOL)
    later = date(2026, 8, 1)
    make.decision(publisher=eligible.publisher, program=Program.COMMITMENT, rate_ppm=200_000)
    make.decision(path=eligible.commercial_path, program=Program.COMMITMENT, rate_ppm=100_000)
    make.decision(plan=plan, program=Program.COMMITMENT, rate_ppm=300_000, effective=(later, None))
    make.decision(plan=byol, program=Program.COMMITMENT, checked=False)
    rates = DrawDownRates()
    others = [
        make.offering(publisher=eligible.publisher),
        make.offering(path=eligible.commercial_path),
    ]
    told = set()
    for offering in (eligible, *others):
        plans: tuple[Plan | None, ...] = (None, plan, byol) if offering == eligible else (None,)
        for on in (JULY, later):
            for of in plans:
                what = Sold(
                    *(offering.pk, offering.publisher_id, offering.commercial_path),
                    *((of.pk, of.pricing_form) if of else (None, "")),
                )
                expected = treatments(offering, on, of)[Program.COMMITMENT].rate_ppm or 0
                assert rates.ppm(what, on) == expected
                told.add(expected)
    assert told == {0, 100_000, 200_000, 300_000, 1_000_000}


# --- recording ----------------------------------------------------------------------------------------------------


def test_a_commitment_is_recorded_by_a_comp_admin_and_ended_never_edited(customer: Customer) -> None:
    made = committed(customer, 100_00)
    admin = make.user(role=Role.COMP_ADMIN)
    event = AuditEvent.objects.get(table="marketplace_customercommitment", row=made.pk)
    assert (event.actor, event.reason) == (made.recorded_by, "Signed")
    with pytest.raises(Conflict, match="runs from 1 Jul 2026"):
        committed(customer, 5_00, starts=date(2027, 6, 30), ends=date(2028, 1, 1))
    with pytest.raises(Invalid) as wrong:
        committed(customer, 0, starts=JULY, ends=JULY, name="  ")
    assert {p.pointer for p in wrong.value.problems} == {"/name", "/amount", "/ends"}
    how: dict[str, Any] = {"commitment_id": made.pk, "reason": "Cut short", "at": make.AT}
    with pytest.raises(Forbidden):
        end_commitment(**how, ends=JANUARY, by=make.user(role=Role.MANAGER))
    with pytest.raises(Conflict):
        end_commitment(**how, ends=NEXT_JULY, by=admin)
    with pytest.raises(NotFound):
        end_commitment(**how, ends=JANUARY, by=admin, customer_id=make.customer().pk)
    assert CustomerCommitment.objects.get().superseded_at is None
    left = end_commitment(**how, ends=JANUARY, by=admin)
    assert left is not None
    assert (left.effective.lower, left.effective.upper, left.amount_minor) == (JULY, JANUARY, 100_00)
    made.refresh_from_db()
    assert made.superseded_at == make.AT
    assert end_commitment(**{**how, "commitment_id": left.pk}, ends=JULY, by=admin) is None
    assert not CustomerCommitment.objects.filter(superseded_at=None).exists()


# --- renewals -----------------------------------------------------------------------------------------------------


def test_terms_that_end_are_renewals_ahead_unless_they_were_renewed(
    customer: Customer, eligible: Offering
) -> None:
    admin = make.user(role=Role.COMP_ADMIN)
    other, renewed = make.offering(), make.offering()
    ending = sold(customer, eligible, 12_00, on=date(2025, 8, 31), term_months=18)  # ends 28 February 2027
    sold(customer, other, 5_00, on=date(2025, 10, 1), term_months=12)
    sold(customer, other, 5_00, on=date(2024, 8, 13), term_months=24)  # over since yesterday
    sold(customer, renewed, 5_00, on=date(2025, 9, 1), term_months=12)
    sold(customer, renewed, 5_00, on=date(2026, 8, 1), kind=DealKind.RENEWAL)
    by = sold(customer, eligible, 13_00, kind=DealKind.RENEWAL, state=DealState.SUBMITTED)
    found = selectors.renewals([customer.pk], admin, make.TODAY)
    assert [(r.ends, r.minor, r.by) for r in found] == [
        (date(2026, 10, 1), 5_00, None),
        (date(2027, 2, 28), 12_00, by),
    ]
    assert found[1].deal_id == ending.pk
    later = make.customer()
    sold(later, other, 5_00, on=date(2025, 12, 1), term_months=12)
    done = make.customer()
    sold(done, renewed, 5_00, on=date(2025, 9, 1), term_months=12)
    sold(done, renewed, 5_00, on=date(2026, 8, 1), kind=DealKind.RENEWAL)
    soon = selectors.narrowed(Customer.objects.all(), Narrowed(renewing=True), admin, make.TODAY)
    assert list(soon) == [customer]


def test_what_was_refunded_is_no_renewal(customer: Customer, eligible: Offering) -> None:
    admin, other = make.user(role=Role.COMP_ADMIN), make.offering()
    whole = sold(customer, eligible, 12_00, on=date(2025, 9, 1), term_months=12)
    part = sold(customer, other, 9_00, on=date(2025, 9, 1), term_months=12)
    for original, offering, minor, state in (
        (whole, eligible, -12_00, APPROVED),
        (part, other, -4_00, APPROVED),
        (part, other, -5_00, DealState.SUBMITTED),
    ):
        sold(customer, offering, minor, kind=DealKind.REFUND, refunds=original, state=state)
    found = selectors.renewals([customer.pk], admin, make.TODAY)
    assert [(each.deal_id, each.minor) for each in found] == [(part.pk, 5_00)]


# --- pages and REST -----------------------------------------------------------------------------------------------


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(page: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


def _people(customer: Customer, eligible: Offering) -> dict[str, User]:
    """Ana owned it, Bo owns it, Cy has a share in one deal, Dee of the same team has nothing; Mia and Zed manage the two teams."""
    one, two = make.team(), make.team()
    ana, bo, dee = (make.rep(team=one, login=True, name=name) for name in ("Ana A", "Bo B", "Dee D"))
    cy = make.rep(team=two, login=True, name="Cy C")
    mia = make.rep(team=one, role="manager", login=True, name="Mia M")
    zed = make.rep(team=two, role="manager", login=True, name="Zed Z")
    make.ownership(
        customer=customer, rep=ana, effective=(make.LONG_AGO, JULY), credits=(make.LONG_AGO, date(2026, 9, 1))
    )
    make.ownership(customer=customer, rep=bo, effective=(JULY, None), credits=(date(2026, 9, 1), None))
    sold(customer, eligible, 70_00, owner=bo, shares={bo: 500_000, cy: 500_000}, title="Shared deal")
    sold(customer, eligible, 44_00, owner=bo, title="Bo alone", state=DealState.SUBMITTED)
    users = {
        name: make.login(rep)
        for name, rep in {"ana": ana, "bo": bo, "cy": cy, "dee": dee, "mia": mia, "zed": zed}.items()
    }
    return {
        **users,
        **{
            role: make.user(role=role)
            for role in ("comp_admin", "auditor", "sourcing_lead", "partner", "engineer", "catalog_manager")
        },
    }


def test_who_sees_an_account_and_what_of_it(customer: Customer, eligible: Offering) -> None:
    people = _people(customer, eligible)
    committed(customer, 100_00)
    sees = {
        "ana": (False, False),  # owned it, and had no part in the deals
        "bo": (True, True),
        "cy": (True, False),
        "mia": (True, True),
        "zed": (True, False),
        "comp_admin": (True, True),
        "auditor": (True, True),
        "sourcing_lead": (False, False),
    }
    for who, user in people.items():
        answers: list[Any] = [
            browser(user).get(reverse("quotas:account", args=[customer.slug])),
            api(user).get(f"/api/v1/accounts/{customer.slug}/"),
        ]
        listed: Any = api(user).get("/api/v1/accounts/")
        if who not in sees:
            assert [answer.status_code for answer in answers] == [404, 404], who
            assert listed.status_code == 404 or listed.json()["results"] == [], who
            assert customer.name not in text(browser(user).get(reverse("quotas:find"), {"q": "north"})), who
            continue
        page = text(answers[0])
        assert ("Shared deal" in page, "Bo alone" in page) == sees[who], who
        assert "$70.00" in page, who  # drawn down: the account's, for all who see it
        assert ("Bo B" in page) == (who != "sourcing_lead"), who
        assert ("Credited" in page) == (who != "sourcing_lead"), who
        assert [row["slug"] for row in listed.json()["results"]] == [customer.slug], who
        body = answers[1].json()
        assert body["commitments"][0]["left"] == {"amount": "30.00", "currency": "USD"}
        assert body["owner"] == ("" if who == "sourcing_lead" else "Bo B"), who
        assert text(browser(user).get(reverse("quotas:find"), {"q": "north"})) == "Northwind Account", who


def test_credits_of_an_account_are_those_that_the_person_may_read() -> None:
    world = make.world()
    half = [{"rep": rep.slug, "percent": "50"} for rep in (world.ana, world.cy)]
    approved(world, world.ana, world.mia, shares=half)

    def seen(user: User) -> list[tuple[str, int]]:
        found = selectors.account(world.customer, user, make.TODAY).credits
        return [(each.period.name, each.minor) for each in found]

    for rep in (world.ana, world.cy, world.mia, world.zed):
        assert seen(make.login(rep)) == [("FY27-M02", 500_00)], rep
    for user in (world.admin, make.login(world.rex)):
        assert seen(user) == [("FY27-M02", 1_000_00)]
    assert seen(make.login(world.bo)) == []
    assert seen(make.user(role=Role.SOURCING_LEAD)) == []


def test_commitments_are_recorded_and_ended_on_the_page_and_over_rest(customer: Customer) -> None:
    make.currency()
    admin = make.user(role=Role.COMP_ADMIN)
    auditor = make.user(role=Role.AUDITOR)
    page = browser(admin)
    where = reverse("quotas:account-commit", args=[customer.slug])
    entered = {"name": "Frame", "amount": "1,250.50", "currency": "USD", "reason": "Signed"}
    span = {"starts": "2026-07-01", "last": "2027-06-30"}
    assert browser(auditor).post(where, {**entered, **span}).status_code == 404
    refused = page.post(where, {**entered, "starts": "2026-07-01", "last": "2026-06-01"})
    assert refused.status_code == 422
    assert "The last day is before the first." in text(refused)
    assert not CustomerCommitment.objects.exists()
    assert page.post(where, {**entered, **span}).status_code == 302
    made = CustomerCommitment.objects.get()
    assert (made.amount_minor, made.effective.upper) == (1_250_50, NEXT_JULY)
    ending = reverse("quotas:account-commitment-end", args=[customer.slug, made.pk])
    assert "Choose the last day" in text(page.post(ending, {"reason": "Over"}))
    assert page.post(ending, {"last": "2026-12-31", "reason": "Over"}).status_code == 302
    assert CustomerCommitment.objects.get(superseded_at=None).effective.upper == JANUARY

    to = f"/api/v1/accounts/{customer.slug}/commitments/"
    body = {
        "name": "Second",
        "amount": {"amount": "10.00", "currency": "USD"},
        "starts": "2026-07-01",
        "ends": "2027-07-01",
        "reason": "Signed",
    }
    assert api(auditor).post(to, body).status_code == 403
    finer = {**body, "amount": {"amount": "1.005", "currency": "USD"}}
    assert problems(api(admin).post(to, finer)) == [("too_many_digits", "/amount/amount")]
    assert api(admin).post(to, body, HTTP_IF_MATCH='"what it was before"').status_code == 412
    answer = api(admin).post(to, body)
    assert answer.status_code == 201, answer.content
    assert answer["ETag"] == api(admin).get(f"/api/v1/accounts/{customer.slug}/")["ETag"]
    second = next(c for c in answer.json()["commitments"] if c["name"] == "Second")
    ended = api(admin).post(f"{to}{second['id']}/end/", {"ends": "2026-07-01", "reason": "A mistake"})
    assert [c["name"] for c in ended.json()["commitments"]] == ["Frame"]


def test_a_longer_list_asks_no_more_often_and_its_file_has_the_same_rows(eligible: Offering) -> None:
    admin = make.user(role=Role.COMP_ADMIN)
    client = browser(admin)
    make.currency()

    def account(name: str) -> Customer:
        made = make.customer(name=name)
        make.ownership(customer=made, rep=make.rep(name=f"Owner of {name}"))
        committed(made, 1_000_00)
        sold(made, eligible, 20_00, on=date(2026, 7, 2), term_months=3)
        sold(made, eligible, 20_00, on=date(2026, 7, 31), kind=DealKind.CONSUMPTION)
        return made

    def queries(address: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(address).status_code == 200
        return len(asked)

    first = account("Aster")
    pages = (
        reverse("quotas:accounts"),
        reverse("quotas:accounts") + "?risk=yes&renewing=yes",
        reverse("quotas:account", args=[first.slug]),
    )
    queries(pages[0])
    one = [queries(page) for page in pages]
    for name in ("Birch", "Cedar", "Dahlia"):
        account(name)
    for day in range(1, 5):
        sold(first, make.offering(), 5_00, on=date(2026, 7, day), term_months=2)
    committed(first, 5_00, name="Another")
    assert [queries(page) for page in pages] == one
    shown = text(client.get(pages[0], {"q": "owner ced", "risk": "yes"}))
    assert "Owner of Cedar" in shown
    assert "Birch" not in shown
    file = client.get(pages[0], {"format": "csv", "sort": "-name"})
    content = b"".join(file.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["Customer"] for row in rows] == ["Dahlia", "Cedar", "Birch", "Aster"]
    assert (rows[1]["Drawn down"], rows[1]["Left"], rows[1]["Last day"]) == ("20.00", "980.00", "2027-06-30")

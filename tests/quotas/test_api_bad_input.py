"""What cannot be accepted is answered with a code and a place, and leaves nothing behind."""

from collections.abc import Callable
from datetime import date
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import AuditEvent
from config.models import OutboxMessage
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealEvent,
    DealLine,
    DealShare,
    DealVersion,
    Posting,
    UncreditedLine,
)
from tests import make
from tests.quotas.api import Json, approved, client, deal_body, logged, problems, submitted, usd

DEALS = "/api/v1/deals/"
WRITTEN = (
    AuditEvent,
    CreditEntry,
    CreditTotal,
    Deal,
    DealEvent,
    DealLine,
    DealShare,
    DealVersion,
    OutboxMessage,
    Posting,
    UncreditedLine,
)


def rows() -> dict[str, int]:
    """How many rows there are of whatever a deal can leave behind."""
    tables = [model._meta.db_table for model in WRITTEN]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in tables))  # noqa: S608
        return dict(cursor.fetchall())


@pytest.fixture
def world(db: None) -> make.World:
    return make.world()


def refused(asking: APIClient, method: str, address: str, body: Json | None = None, **options: Any) -> Any:
    """An answer of 4xx that left every table as it was; the rest of a test judges the answer."""
    before = rows()
    answer = getattr(asking, method)(address, body, **options)
    assert 400 <= answer.status_code < 500, answer.content
    assert rows() == before
    return answer


def lines(world: make.World, **changes: Any) -> list[Json]:
    return [{"offering": world.third.slug, "amount": usd("1000.00"), **changes}]


def share(rep: Any, percent: str) -> Json:
    return {"rep": rep.slug, "percent": percent}


# One place each: what is sent, and (code, pointer) of what comes back. Functions, because they need the world.
BAD: dict[str, tuple[Callable[[make.World], Json], list[tuple[str, str]]]] = {
    "shares below 100": (
        lambda w: {"shares": [share(w.ana, "50"), share(w.bo, "49.9999")]},
        [("shares_do_not_add_up", "/shares")],
    ),
    "shares above 100": (
        lambda w: {"shares": [share(w.ana, "100"), share(w.bo, "0.0001")]},
        [("shares_do_not_add_up", "/shares")],
    ),
    "a share of nothing": (
        lambda w: {"shares": [share(w.ana, "100"), share(w.bo, "0")]},
        [("share_out_of_range", "/shares/1/percent")],
    ),
    "a negative share": (
        lambda w: {"shares": [share(w.ana, "150"), share(w.bo, "-50")]},
        [("share_out_of_range", "/shares/0/percent"), ("share_out_of_range", "/shares/1/percent")],
    ),
    "a share with five decimals": (
        lambda w: {"shares": [share(w.ana, "99.99999"), share(w.bo, "0.00001")]},
        [("max_decimal_places", "/shares/0/percent"), ("max_decimal_places", "/shares/1/percent")],
    ),
    "somebody twice": (
        lambda w: {"shares": [share(w.ana, "50"), share(w.ana, "50")]},
        [("rep_twice", "/shares/0/rep"), ("rep_twice", "/shares/1/rep")],
    ),
    "nobody": (lambda w: {"shares": []}, [("no_shares", "/shares")]),
    "an unknown sharer": (
        lambda w: {"shares": [{"rep": "nobody", "percent": "100"}]},
        [("unknown_rep", "/shares/0/rep")],
    ),
    "an unknown offering": (
        lambda w: {"lines": lines(w) + lines(w, offering="gpt-99")},
        [("unknown_offering", "/lines/1/offering")],
    ),
    "a plan of another offering": (
        lambda w: {"lines": lines(w, plan=make.plan(offering=w.house).slug)},
        [("unknown_plan", "/lines/0/plan")],
    ),
    "an unknown customer": (lambda w: {"customer": "nobody"}, [("unknown_customer", "/customer")]),
    "an unknown owner": (lambda w: {"owner": "nobody"}, [("unknown_rep", "/owner")]),
    "no line": (lambda w: {"lines": []}, [("no_lines", "/lines")]),
    "lines missing": (lambda w: {"lines": None}, [("null", "/lines")]),
    "a negative quantity": (
        lambda w: {"lines": lines(w, quantity="-1")},
        [("negative_quantity", "/lines/0/quantity")],
    ),
    "an endless quantity": (
        lambda w: {"lines": lines(w, quantity="1E+999999")},
        [("max_digits", "/lines/0/quantity")],
    ),
    "a quantity that is no number": (
        lambda w: {"lines": lines(w, quantity="NaN")},
        [("invalid", "/lines/0/quantity")],
    ),
    "a negative amount": (
        lambda w: {"lines": lines(w, amount=usd("-5.00"))},
        [("negative_amount", "/lines/0/amount")],
    ),
    "an amount that is a float": (
        lambda w: {"lines": lines(w, amount={"amount": 5.1, "currency": "USD"})},
        [("not_a_decimal", "/lines/0/amount/amount")],
    ),
    "an amount of a third of a cent": (
        lambda w: {"lines": lines(w, amount=usd("5.001"))},
        [("too_many_digits", "/lines/0/amount/amount")],
    ),
    "an amount in another currency": (
        lambda w: {"lines": lines(w, amount={"amount": "5.00", "currency": "EUR"})},
        [("currency_differs", "/lines/0/amount/currency")],
    ),
    "an amount too large to count": (
        lambda w: {"lines": lines(w, amount=usd("90000000000.01"))},
        [("amount_too_large", "/lines/0/amount")],
    ),
    "a term of no month": (
        lambda w: {"lines": lines(w, term_months=0)},
        [("term_out_of_range", "/lines/0/term_months")],
    ),
    "an unknown currency": (
        lambda w: {"currency": "XXX", "lines": lines(w, amount={"amount": "5.00", "currency": "XXX"}) * 2},
        [("unknown_currency", "/currency")],
    ),
    "an unknown member": (lambda w: {"colour": "red"}, [("unknown_field", "/colour")]),
    "an unknown member of a line": (
        lambda w: {"lines": lines(w, discount="5")},
        [("unknown_field", "/lines/0/discount")],
    ),
    "an unknown kind": (lambda w: {"kind": "gift"}, [("invalid_choice", "/kind")]),
    "a day that does not exist": (lambda w: {"close_date": "2026-02-29"}, [("invalid", "/close_date")]),
    "a day in no fiscal year": (lambda w: {"close_date": "2028-01-01"}, [("no_period", "/close_date")]),
    "a refund of nothing": (
        lambda w: {"kind": "refund", "lines": lines(w, amount=usd("-1.00"))},
        [("refund_needs_its_original", "/refunds")],
    ),
    "a title too long": (lambda w: {"title": "x" * 161}, [("max_length", "/title")]),
    "a null byte": (lambda w: {"title": "a\x00b"}, [("null_characters_not_allowed", "/title")]),
}


EXPECTED = {name: (422, sorted(expected)) for name, (_wrong, expected) in BAD.items()}


@pytest.mark.parametrize("address", [DEALS, "/api/v1/credit-estimates/"])
def test_a_bad_deal_is_refused_with_its_place(world: make.World, address: str) -> None:
    ana = client(world.ana)
    found = {}
    for name, (wrong, _expected) in BAD.items():
        answer = refused(ana, "post", address, deal_body(world, **wrong(world)))
        found[name] = (answer.status_code, sorted(problems(answer)))
    assert found == EXPECTED


def test_a_bad_edit_is_refused_with_its_place(world: make.World) -> None:
    deal = logged(world, world.ana)
    ana = client(world.ana)
    tag = ana.get(f"{DEALS}{deal.pk}/")["ETag"]
    found = {}
    for name, (wrong, _expected) in BAD.items():
        answer = refused(ana, "patch", f"{DEALS}{deal.pk}/", wrong(world), headers={"If-Match": tag})
        found[name] = (answer.status_code, sorted(problems(answer)))
    assert found == EXPECTED


def test_everything_that_is_wrong_is_said_at_once(world: make.World) -> None:
    body = deal_body(
        world,
        customer="nobody",
        close_date="2028-01-01",
        lines=lines(world, quantity="-1") + lines(world, offering="gpt-99"),
        shares=[share(world.ana, "60"), {"rep": "nobody", "percent": "60"}],
    )
    answer = refused(client(world.ana), "post", DEALS, body)
    assert answer.status_code == 422
    assert sorted(problems(answer)) == [
        ("negative_quantity", "/lines/0/quantity"),
        ("no_period", "/close_date"),
        ("shares_do_not_add_up", "/shares"),
        ("unknown_customer", "/customer"),
        ("unknown_offering", "/lines/1/offering"),
        ("unknown_rep", "/shares/1/rep"),
    ]


def test_a_retired_offering_is_refused_and_its_replacement_named(world: make.World) -> None:
    new = make.offering(name="Model 5")
    old = make.offering(name="Model 4", retires_on=make.TODAY, replacement=new)
    body = deal_body(world, close_date="2026-08-14", lines=lines(world) + lines(world, offering=old.slug))
    answer = refused(client(world.ana), "post", DEALS, body)
    assert (answer.status_code, problems(answer)) == (422, [("retired", "/lines/1/offering")])
    assert answer.json()["errors"][0]["replacement"] == new.slug
    said = answer.json()["errors"][0]["detail"]
    assert "Model 4 has been retired since 14 Aug 2026" in said
    assert "replaced by Model 5" in said
    assert client(world.ana).post(DEALS, {**body, "close_date": "2026-08-13"}).status_code == 201


@pytest.mark.parametrize(
    ("state", "code"),
    [({"publication": "draft"}, "not_published"), ({"available_on": None}, "not_yet_available")],
)
def test_what_is_not_on_sale_yet_is_refused(world: make.World, state: Json, code: str) -> None:
    offering = make.offering(**state)
    answer = refused(
        client(world.ana), "post", DEALS, deal_body(world, lines=lines(world, offering=offering.slug))
    )
    assert problems(answer) == [(code, "/lines/0/offering")]


def test_a_foreign_currency_without_a_rate_is_refused(world: make.World) -> None:
    make.currency(code="EUR")
    body = deal_body(world, currency="EUR", lines=lines(world, amount={"amount": "10.00", "currency": "EUR"}))
    answer = refused(client(world.ana), "post", DEALS, body)
    assert (answer.status_code, problems(answer)) == (422, [("no_fx_rate", "/currency")])
    make.fx(code="EUR", effective=(make.LONG_AGO, date(2026, 8, 3)))
    answer = refused(client(world.ana), "post", DEALS, body)
    assert problems(answer) == [("no_fx_rate", "/currency")]
    make.fx(code="EUR", effective=(date(2026, 8, 3), None))
    assert client(world.ana).post(DEALS, body).status_code == 201


@pytest.mark.parametrize("state", ["closing", "closed"])
def test_a_close_date_in_a_closed_period_is_refused(world: make.World, state: str) -> None:
    waiting = logged(world, world.ana, close_date="2026-07-31")
    make.fiscal_year(states={1: state})
    body = deal_body(world, close_date="2026-07-31")
    answer = refused(client(world.ana), "post", DEALS, body)
    assert (answer.status_code, problems(answer)) == (422, [("period_closed", "/close_date")])
    assert "FY27-M01" in answer.json()["errors"][0]["detail"]
    answer = refused(client(world.ana), "post", f"{DEALS}{waiting.pk}/submit/")
    assert (answer.status_code, problems(answer)) == (422, [("period_closed", "/close_date")])


def test_a_deal_that_is_not_won_yet_cannot_be_submitted(world: make.World) -> None:
    deal = logged(world, world.ana, close_date="2026-08-15")
    answer = refused(client(world.ana), "post", f"{DEALS}{deal.pk}/submit/")
    assert (answer.status_code, problems(answer)) == (422, [("close_date_in_future", "/close_date")])


def test_nobody_approves_what_they_submitted_or_share_in(world: make.World) -> None:
    handed_in = submitted(world, world.mia, owner=world.ana.slug)
    sharing = submitted(world, world.ana, shares=[share(world.ana, "90"), share(world.mia, "10")])
    mia, rex = client(world.mia), client(world.rex)
    for deal in (handed_in, sharing):
        for step, body in (("approve", {}), ("reject", {"reason": "No."}), ("return", {"reason": "No."})):
            answer = refused(mia, "post", f"{DEALS}{deal.pk}/{step}/", body)
            assert (answer.status_code, problems(answer)) == (403, [("self_approval", "")])
        assert rex.post(f"{DEALS}{deal.pk}/approve/").status_code == 200


def test_only_the_nearest_manager_decides(world: make.World) -> None:
    deal = submitted(world, world.ana)
    for who, code in ((world.ana, "self_approval"), (world.rex, "not_the_approver")):
        answer = refused(client(who), "post", f"{DEALS}{deal.pk}/approve/")
        assert (answer.status_code, problems(answer)) == (403, [(code, "")])
    admin = refused(client(world.admin), "post", f"{DEALS}{deal.pk}/approve/")
    assert (admin.status_code, problems(admin)) == (403, [("not_the_approver", "")])
    auditor = refused(client(world.auditor), "post", f"{DEALS}{deal.pk}/approve/")
    assert (auditor.status_code, problems(auditor)) == (403, [("not_your_deal", "")])


def test_a_second_approval_is_refused(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia)
    answer = refused(client(world.mia), "post", f"{DEALS}{deal.pk}/approve/")
    assert (answer.status_code, problems(answer)) == (409, [("deal_not_submitted", "")])


def test_a_draft_cannot_be_decided(world: make.World) -> None:
    deal, mia = logged(world, world.ana), client(world.mia)
    for step in ("approve", "reject", "return"):
        answer = refused(mia, "post", f"{DEALS}{deal.pk}/{step}/", {"reason": "Because."})
        assert (step, answer.status_code, problems(answer)) == (step, 409, [("deal_not_submitted", "")])


def test_an_approved_deal_cannot_be_edited_or_submitted(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia)
    ana = client(world.ana)
    tag = ana.get(f"{DEALS}{deal.pk}/")["ETag"]
    edit = refused(ana, "patch", f"{DEALS}{deal.pk}/", {"title": "x"}, headers={"If-Match": tag})
    assert (edit.status_code, problems(edit)) == (409, [("deal_not_editable", "")])
    submit = refused(ana, "post", f"{DEALS}{deal.pk}/submit/")
    assert (submit.status_code, problems(submit)) == (409, [("deal_not_submittable", "")])


def test_a_sharer_cannot_edit_or_cancel(world: make.World) -> None:
    deal = logged(world, world.ana, shares=[share(world.ana, "50"), share(world.bo, "50")])
    bo = client(world.bo)
    tag = bo.get(f"{DEALS}{deal.pk}/")["ETag"]
    edit = refused(bo, "patch", f"{DEALS}{deal.pk}/", {"title": "x"}, headers={"If-Match": tag})
    assert (edit.status_code, problems(edit)) == (403, [("not_your_deal", "/owner")])
    cancel = refused(bo, "post", f"{DEALS}{deal.pk}/cancel/", {"reason": "Mine."})
    assert (cancel.status_code, problems(cancel)) == (403, [("not_your_deal", "")])


def test_a_deal_for_somebody_else_is_refused(world: make.World) -> None:
    for address in (DEALS, "/api/v1/credit-estimates/"):
        answer = refused(client(world.ana), "post", address, deal_body(world, owner=world.bo.slug))
        assert (answer.status_code, problems(answer)) == (403, [("not_your_deal", "/owner")])


def test_who_is_no_rep_has_to_name_the_owner(world: make.World) -> None:
    answer = refused(client(world.admin), "post", DEALS, deal_body(world))
    assert (answer.status_code, problems(answer)) == (422, [("owner_needed", "/owner")])


def test_a_stale_edit_and_a_stale_decision_change_nothing(world: make.World) -> None:
    deal = logged(world, world.ana)
    at = f"{DEALS}{deal.pk}/"
    ana, mia = client(world.ana), client(world.mia)
    old = ana.get(at)["ETag"]
    assert ana.patch(at, {"title": "Newer"}, headers={"If-Match": old}).status_code == 200
    edit = refused(ana, "patch", at, {"title": "From the old page"}, headers={"If-Match": old})
    assert (edit.status_code, problems(edit)) == (412, [("stale", "")])
    submit = refused(ana, "post", f"{at}submit/", headers={"If-Match": old})
    assert (submit.status_code, problems(submit)) == (412, [("stale", "")])
    ana.post(f"{at}submit/")
    approve = refused(mia, "post", f"{at}approve/", headers={"If-Match": old})
    assert (approve.status_code, problems(approve)) == (412, [("stale", "")])
    assert Deal.objects.get(pk=deal.pk).state == "submitted"


def test_what_is_no_deal_at_all_is_refused(world: make.World, subtests: pytest.Subtests) -> None:
    ana, before = client(world.ana), rows()
    for body in ("", "{", "[]", '"deal"', "NaN", '{"a": 1, "a": 2}', "[" * 5000):
        for address in (DEALS, "/api/v1/credit-estimates/"):
            with subtests.test(body=body[:20], address=address):
                answer = ana.generic("POST", address, body, content_type="application/json")
                assert answer.status_code in (400, 422)
                assert problems(answer)
                assert rows() == before


def test_a_patch_that_is_no_object_is_refused(world: make.World) -> None:
    deal = logged(world, world.ana)
    ana = client(world.ana)
    tag = ana.get(f"{DEALS}{deal.pk}/")["ETag"]
    answer = refused(ana, "patch", f"{DEALS}{deal.pk}/", [1], headers={"If-Match": tag})  # type: ignore[arg-type]
    assert (answer.status_code, problems(answer)) == (422, [("invalid", "")])


def test_an_address_that_cannot_be_a_deal_is_not_found(world: make.World) -> None:
    admin = client(world.admin)
    for number in ("0", "-1", "x", "1.5", "9" * 30, "%00"):
        for address in (
            f"{DEALS}{number}/",
            f"/api/v1/credits/{number}/",
            f"/api/v1/credits/{number}/explanation/",
        ):
            assert (address, admin.get(address).status_code) == (address, 404)


def at_once(number: int, ask: Callable[[int], Any]) -> list[Any]:
    """The answers of *number* threads that all ask at the same moment."""
    barrier = Barrier(number)
    answers: list[Any] = []

    def run(place: int) -> None:
        try:
            barrier.wait(30)
            answers.append(ask(place))
        finally:
            connection.close()

    threads = [Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == number
    return answers


@pytest.mark.django_db(transaction=True)
def test_an_approval_twice_at_once_posts_once() -> None:
    world = make.world()
    deal = submitted(world, world.ana)
    managers = [client(world.mia) for _ in range(4)]
    answers = at_once(4, lambda place: managers[place].post(f"{DEALS}{deal.pk}/approve/"))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 3
    for answer in answers:
        if answer.status_code == 409:
            assert problems(answer) == [("deal_not_submitted", "")]
    assert Posting.objects.count() == 1
    assert [e.amount_minor for e in CreditEntry.objects.all()] == [1000_00]
    assert DealEvent.objects.filter(action="approved").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_edits_of_the_same_state_at_once_one_is_kept_and_the_others_are_stale() -> None:
    world = make.world()
    deal = logged(world, world.ana)
    at = f"{DEALS}{deal.pk}/"
    tag = client(world.ana).get(at)["ETag"]
    editors = [client(world.ana) for _ in range(4)]
    answers = at_once(
        4, lambda place: editors[place].patch(at, {"title": f"Edit {place}"}, headers={"If-Match": tag})
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 3
    kept = next(answer.json()["title"] for answer in answers if answer.status_code == 200)
    assert list(DealVersion.objects.order_by("number").values_list("title", flat=True)) == ["", kept]
    assert Deal.objects.get(pk=deal.pk).revision == 2

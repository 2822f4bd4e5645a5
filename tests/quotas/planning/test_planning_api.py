"""Quotas set through REST, their versions, ramp and leave."""

from typing import Any

import pytest

from quotas.models import Quota, QuotaRelief
from tests import make
from tests.quotas.api import client, ids, problems, usd

pytestmark = pytest.mark.django_db
QUOTAS, RELIEFS = "/api/v1/quotas/", "/api/v1/quota-reliefs/"


@pytest.fixture
def world() -> make.World:
    return make.world()


def body(world: make.World, *targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "measure": world.bookings.slug,
        "period": "FY27-Q1",
        "reason": "New territory",
        "targets": list(targets),
        **more,
    }


def test_quotas_are_set_in_one_request_and_a_retry_sets_nothing_again(world: make.World) -> None:
    mia = client(world.mia)
    sent = body(
        world,
        {"rep": world.ana.slug, "amount": usd("120000.00"), "version": 1},
        {"rep": world.bo.slug, "amount": usd("100000.00")},
    )
    for _ in range(2):
        answer = mia.post(QUOTAS, sent, format="json", HTTP_IDEMPOTENCY_KEY="set-q1")
        assert answer.status_code == 200
        written = answer.json()
        assert (written["changed"], written["unchanged"]) == (1, 1)
        assert {q["rep"]: (q["amount"], q["version"]) for q in written["quotas"]} == {
            world.ana.slug: (usd("120000.00"), 2),
            world.bo.slug: (usd("100000.00"), 1),
        }
    again = mia.post(QUOTAS, sent, format="json")
    assert (again.status_code, again.json()["errors"][0]["code"]) == (412, "quota_changed")
    last = Quota.objects.get(rep=world.ana, superseded_at=None)
    history = mia.get(f"{QUOTAS}{last.pk}/versions/").json()
    assert [v["version"] for v in history] == [2, 1]
    assert client(world.cy).get(f"{QUOTAS}{last.pk}/versions/").status_code == 404
    counted = make.measure(name="Logos", basis="new_customers")
    target = {"team": world.team.slug, "amount": "12.5"}
    done = client(world.admin).post(QUOTAS, body(world, target, measure=counted.slug), format="json")
    assert done.json()["quotas"][0]["amount"] == "12.5"


def test_what_is_wrong_has_its_pointer_and_nothing_is_written(world: make.World) -> None:
    mia = client(world.mia)
    answer = mia.post(
        QUOTAS,
        body(
            world,
            {"rep": world.cy.slug, "amount": usd("1.00")},
            {"rep": "nobody", "amount": usd("1.00")},
            {"team": world.team.slug, "rep": world.ana.slug, "amount": usd("-1.00")},
        ),
        format="json",
    )
    assert (answer.status_code, problems(answer)) == (
        422,
        [
            ("unknown_rep", "/targets/0/rep"),
            ("unknown_rep", "/targets/1/rep"),
            ("rep_or_team", "/targets/2"),
            ("quota_negative", "/targets/2/amount"),
        ],
    )
    for amount in ("5", {"amount": "5.00", "currency": "EUR"}):
        wrong = mia.post(QUOTAS, body(world, {"rep": world.ana.slug, "amount": amount}), format="json")
        assert problems(wrong) == [("other_measure", "/targets/0/amount")]
    unread = mia.post(QUOTAS, body(world, {"rep": world.ana.slug, "amount": 5}), format="json")
    assert problems(unread) == [("not_an_amount", "/targets/0/amount")]
    named = mia.post(
        QUOTAS,
        body(world, {"rep": world.ana.slug, "amount": usd("1.00")}, measure="x", period="y"),
        format="json",
    )
    assert problems(named) == [("unknown_measure", "/measure"), ("unknown_period", "/period")]
    target = {"team": world.team.slug, "amount": usd("1.00")}
    assert mia.post(QUOTAS, body(world, target), format="json").status_code == 403
    assert client(world.ana).post(QUOTAS, body(world, target), format="json").status_code == 403
    assert (
        client(make.user(role="partner")).post(QUOTAS, body(world, target), format="json").status_code == 404
    )
    assert Quota.objects.count() == 3


def test_reliefs_are_recorded_listed_and_ended(world: make.World) -> None:
    mia = client(world.mia)
    sent = {
        "rep": world.ana.slug,
        "kind": "ramp",
        "reason": "New",
        "steps": [
            {"starts": "2026-07-01", "ends": "2026-08-01", "counts_percent": "25"},
            {"starts": "2026-08-01", "counts_percent": "33.3333"},
        ],
    }
    made = mia.post(RELIEFS, sent, format="json")
    assert made.status_code == 201
    first, second = made.json()
    assert (second["counts_percent"], second["ends"], second["rep"]) == ("33.3333", None, world.ana.slug)
    assert ids(mia.get(f"{RELIEFS}?on=2026-07-15&kind=ramp")) == [first["id"]]
    assert ids(client(world.zed).get(RELIEFS)) == []
    assert client(world.ana).get(RELIEFS).status_code == 404
    assert client(world.auditor).post(RELIEFS, sent, format="json").status_code == 403
    overlap = mia.post(RELIEFS, sent, format="json")
    assert (overlap.status_code, problems(overlap)) == (409, [("relief_overlaps", "/steps/0/starts")])
    unseen = mia.post(RELIEFS, {**sent, "rep": world.cy.slug}, format="json")
    assert (unseen.status_code, problems(unseen)) == (422, [("unknown_rep", "/rep")])
    end = {"on": "2026-09-01", "reason": "Done"}
    assert client(world.zed).post(f"{RELIEFS}{second['id']}/end/", end, format="json").status_code == 404
    left = mia.post(f"{RELIEFS}{second['id']}/end/", end, format="json").json()
    assert (left["starts"], left["ends"]) == ("2026-08-01", "2026-09-01")
    assert ids(mia.get(RELIEFS)) == [first["id"], left["id"]]
    assert ids(mia.get(f"{RELIEFS}?superseded=true")) == [first["id"], second["id"], left["id"]]
    assert QuotaRelief.objects.count() == 3

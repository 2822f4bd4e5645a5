"""Draws are set and ended by a comp admin, with a reason, never for oneself, and never for a month that was closed. RULES 16.10."""

from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role
from config.refusals import Conflict, Forbidden, Invalid, Refusal
from quotas.models import Draw
from quotas.selectors.earnings import balances
from quotas.services.draws import end_draw, set_draw
from tests import make
from tests.quotas.earnings.worlds import PayWorld, lines, pay_world

pytestmark = pytest.mark.django_db


def given(world: PayWorld, **changes: Any) -> Draw:
    order: dict[str, Any] = {
        "rep_id": world.ana.pk,
        "amount_minor": 1_000_00,
        "currency": "USD",
        "recoverable": True,
        "starts": date(2026, 8, 1),
        "ends": date(2026, 10, 1),
        "reason": "New accounts",
        "by": world.admin,
        "at": world.now,
        **changes,
    }
    return set_draw(**order)


def code(refused: pytest.ExceptionInfo[Refusal]) -> str:
    (problem,) = refused.value.problems
    return problem.code


def test_a_draw_that_cannot_be_is_refused(subtests: pytest.Subtests) -> None:
    world = pay_world()
    world.close(1)
    cases: list[tuple[dict[str, Any], type[Refusal], str]] = [
        ({"amount_minor": 0}, Invalid, "amount_out_of_bounds"),
        ({"reason": "  "}, Invalid, "reason_needed"),
        ({"ends": date(2026, 8, 1)}, Invalid, "ends_before_it_starts"),
        ({"currency": "XXX"}, Invalid, "currency_unknown"),
        ({"starts": date(2026, 7, 1)}, Conflict, "month_was_closed"),
        ({"starts": date(2026, 6, 15)}, Conflict, "month_was_closed"),
    ]
    for changes, kind, expected in cases:
        with subtests.test(expected, **changes):
            with pytest.raises(kind) as refused:
                given(world, **changes)
            assert code(refused) == expected
            assert not Draw.objects.exists()


def test_two_draws_do_not_overlap_and_nobody_sets_their_own() -> None:
    world = pay_world()
    given(world)
    with pytest.raises(Conflict) as refused:
        given(world, starts=date(2026, 9, 1), ends=None)
    assert code(refused) == "draw_runs"
    given(world, starts=date(2026, 10, 1), ends=None)
    own = make.rep(team=world.team, user=world.checker)
    with pytest.raises(Forbidden):
        given(world, rep_id=own.pk, by=world.checker)
    with pytest.raises(Forbidden):
        given(world, rep_id=world.bo.pk, by=make.login(world.bo))


def test_a_draw_ends_and_what_is_owed_stays_owed() -> None:
    world = pay_world()
    draw = given(world, starts=date(2026, 7, 1), ends=None)
    assert lines(world.close(1)) == [("draw", "FY27-M01", 1_000_00)]
    with pytest.raises(Conflict) as refused:
        end_draw(draw_id=draw.pk, ends=date(2026, 7, 1), reason="Too early", by=world.admin, at=world.now)
    assert code(refused) == "month_was_closed"
    left = end_draw(
        draw_id=draw.pk, ends=date(2026, 8, 1), reason="Pipeline stands", by=world.admin, at=world.now
    )
    assert left is not None
    assert left.effective.upper == date(2026, 8, 1)
    assert lines(world.close(2)) == []
    assert balances() == {(world.ana.pk, "USD"): 1_000_00}
    later = given(world, starts=date(2026, 9, 1), ends=None)
    assert (
        end_draw(draw_id=later.pk, ends=date(2026, 9, 1), reason="Not needed", by=world.admin, at=world.now)
        is None
    )
    assert list(Draw.objects.filter(superseded_at=None)) == [left]


def test_the_page_sets_and_ends_a_draw_for_comp_admins_alone() -> None:
    world = pay_world()
    client = Client()
    client.force_login(world.admin)
    url = reverse("quotas:draws")
    assert "Nobody has a draw" in client.get(url).content.decode()
    entered = {
        "rep": "ana",
        "amount": "3,000",
        "currency": "USD",
        "starts": "2026-08-01",
        "last": "2026-08-31",
        "recoverable": "on",
        "reason": "New accounts",
    }
    wrong = client.post(reverse("quotas:draw-set"), {**entered, "amount": "three", "rep": "Anna"})
    assert wrong.status_code == 422
    assert "Nobody sells under this name" in wrong.content.decode()
    assert "Enter an amount in USD" in wrong.content.decode()
    assert client.post(reverse("quotas:draw-set"), entered).status_code == 302
    draw = Draw.objects.get()
    assert (draw.amount_minor, draw.effective.upper) == (3_000_00, date(2026, 9, 1))
    assert "1 Aug 2026 to 31 Aug 2026" in client.get(url).content.decode()
    assert client.get(f"{url}?format=csv").status_code == 200
    end = reverse("quotas:draw-end", args=[draw.pk])
    assert "The draw ends on 31 Aug 2026 as it is." in client.post(
        end, {"last": "2026-08-31", "reason": "Over"}
    ).content.decode().replace("&#x27;", "'")
    assert client.post(end, {"last": "9999-12-31", "reason": "Over"}).status_code == 422
    assert client.post(end, {"last": "2026-08-15", "reason": "Over"}).status_code == 302
    reader = Client()
    reader.force_login(make.user(role=Role.AUDITOR))
    assert reader.get(url).status_code == 200
    assert reader.post(reverse("quotas:draw-set"), entered).status_code == 404
    outsider = Client()
    outsider.force_login(make.login(world.bo))
    assert outsider.get(url).status_code == 404

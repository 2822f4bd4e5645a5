"""Closing a month by two people: what stands in its way, what is frozen, what is refused, and what reopening leaves."""

from dataclasses import replace

import pytest

from accounts.models import Notification, Role, User
from config import jobs, outbox
from config.models import Job, JobState, OutboxMessage
from config.refusals import Conflict, Forbidden, NotFound, Refusal
from quotas.crediting.invariants import broken
from quotas.models import (
    ClosedQuota,
    ClosedTotal,
    CreditEntry,
    Period,
    PeriodClose,
    Quota,
    Seal,
)
from quotas.selectors import snapshots
from quotas.selectors.closing import BLOCKER, OK, checklist, late_entries
from quotas.services import approving, booking, closing
from tests import make
from tests.quotas.closing.months import AT, AUGUST, Months, five_closed, later, months

pytestmark = pytest.mark.django_db


@pytest.fixture
def here() -> Months:
    return months()


def codes(refused: pytest.ExceptionInfo[Refusal]) -> list[str]:
    return [problem.code for problem in refused.value.problems]


def comp_admins() -> set[User]:
    return set(User.objects.filter(role_grants__role=Role.COMP_ADMIN, is_service=False))


def state(month: Period) -> str:
    return Period.objects.get(pk=month.pk).state


def test_a_month_is_closed_by_two_people_and_what_it_came_to_is_frozen(here: Months) -> None:
    here.sold(amount=300_00)
    here.sold(amount=50_00, owner=here.world.cy)
    here.sold(on=AUGUST, amount=7_00)
    close = here.ask()
    assert (close.state, close.version, state(here.july)) == ("asked", 1, "closing")
    closed = here.approve(close, at=later(hours=1))
    assert (closed.state, state(here.july), state(here.august)) == ("closed", "closed", "open")
    slug = here.world.bookings.slug
    assert closed.entries == 2
    assert closed.totals == {slug: {"direct": 350_00, "overlay": 0, "adjusted": 0}}
    month = ClosedTotal.objects.filter(close=closed, period=here.july)
    assert sorted(month.values_list("rep", "basis", "direct_minor")) == sorted(
        [(here.world.ana.pk, 1, 300_00), (here.world.cy.pk, 1, 50_00)]
    )
    # The quarter as it stood then: August's deal is known already.
    quarter = ClosedTotal.objects.filter(close=closed, period=here.july.quarter_id)
    assert dict(quarter.values_list("rep", "direct_minor")) == {
        here.world.ana.pk: 307_00,
        here.world.cy.pk: 50_00,
    }
    quotas = Quota.objects.filter(superseded_at=None, period=here.july.quarter_id)
    assert set(ClosedQuota.objects.filter(close=closed).values_list("rep", "quota_minor")) == set(
        quotas.values_list("rep", "amount_minor")
    )
    assert closed.frozen_digest == snapshots.frozen_digest(closed)
    assert snapshots.differing(closed, limit=5) == []
    seal = Seal.objects.get(close=closed)
    assert (seal.number, seal.entries, seal.content["close"]["frozen"]) == (1, 3, closed.frozen_digest)
    assert closed.asked_by == here.admin
    assert closed.approved_by == here.checker
    assert {item["slug"] for item in closed.checklist} == {
        item.slug for item in checklist(here.august, at=AT)
    }
    assert broken() == {}


def test_the_snapshot_stays_when_the_ledger_goes_on(here: Months) -> None:
    deal, held = here.sold(amount=300_00), here.held(amount=40_00)
    closed = here.close()
    approving.cancel_deal(deal_id=deal.pk, by=here.admin, at=later(days=1), reason="Never paid")
    here.released(held, at=later(days=1))
    late = CreditEntry.objects.filter(posting_period=here.august).values_list(
        "origin_period__name", "amount_minor"
    )
    assert sorted(late) == [("FY27-M01", -300_00), ("FY27-M01", 40_00)]
    frozen = ClosedTotal.objects.get(close=closed, period=here.july, basis=1)
    assert frozen.direct_minor == 300_00
    assert snapshots.differing(closed, limit=5) == []
    assert snapshots.frozen_digest(closed) == closed.frozen_digest


def test_nothing_posts_into_a_month_that_is_being_closed(here: Months) -> None:
    here.sold(amount=300_00)
    held = here.held(amount=9_00)
    close = here.ask()
    here.released(held, at=later(minutes=1))
    posted = (
        CreditEntry.objects.filter(deal=held).order_by("pk").values_list("posting_period__name", flat=True)
    )
    assert list(posted) == ["FY27-M01", "FY27-M01", "FY27-M02"]  # credited, held, and now released
    assert here.approve(close, at=later(hours=1)).entries == 3


def test_every_blocker_is_named_and_goes_away_when_it_is_mended(here: Months) -> None:
    deal = here.submitted(here.draft(amount=10_00))
    Period.objects.filter(name="FY26-M12").update(state="open")
    Period.objects.filter(pk=here.august.pk).update(state="future")
    Job.objects.create(kind="quotas.recredit", title="Everything", parameters={}, requested_at=AT)
    with pytest.raises(Conflict) as refused:
        closing.ask_close(period_id=here.july.pk, by=here.admin, at=AT)
    assert codes(refused) == [
        "blocked_prior_months",
        "blocked_next_month",
        "blocked_deals_waiting",
        "blocked_runs",
        "blocked_parity",
    ]
    assert state(here.july) == "open"
    assert not PeriodClose.objects.exists()
    Period.objects.filter(name="FY26-M12").update(state="closed")
    closing.open_month(period_id=here.august.pk, by=here.admin, at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(here.world.mia), at=AT)
    Job.objects.update(state=JobState.DONE)
    here.prove()
    assert closing.ask_close(period_id=here.july.pk, by=here.admin, at=AT).state == "asked"


def test_a_month_that_is_not_over_is_not_closed() -> None:
    here, _ = five_closed()
    with pytest.raises(Conflict) as refused:
        closing.ask_close(period_id=here.august.pk, by=here.admin, at=AT)
    assert "blocked_month_over" in codes(refused)


def test_a_proof_is_needed_that_knows_the_last_posting_and_the_present_rules(here: Months) -> None:
    def parity() -> tuple[str, str]:
        found = next(item for item in checklist(here.july, at=AT) if item.slug == "parity")
        return found.state, found.sentence

    assert parity()[0] == BLOCKER
    here.sold()
    here.prove(at=later(minutes=1))
    assert parity()[0] == OK
    here.sold(at=later(minutes=2))
    assert parity() == (BLOCKER, "The proof of 14 Aug 2026 was made before the last posting of the month.")
    here.prove(at=later(minutes=3))
    assert parity()[0] == OK
    make.plan_version(rules=[make.Rule(here.world.bookings, slug="more", exclusive=False, factor_ppm=50_000)])
    assert parity() == (
        BLOCKER,
        "The proof of 14 Aug 2026 was made under other rules than those in force now.",
    )


def test_what_is_to_be_acknowledged_is_so_by_name_and_stays_with_the_close(here: Months) -> None:
    here.held(amount=10_00)
    here.draft()
    close = here.ask()
    with pytest.raises(Conflict) as refused:
        closing.approve_close(close_id=close.pk, by=here.checker, at=AT, acknowledged={"drafts": ""})
    assert [problem.pointer for problem in refused.value.problems] == ["/acknowledged/holds"]
    assert PeriodClose.objects.get(pk=close.pk).state == "asked"
    closing.approve_close(
        close_id=close.pk,
        by=here.checker,
        at=AT,
        acknowledged={"drafts": "", "holds": "Until legal has spoken"},
    )
    kept = {item["slug"]: item for item in PeriodClose.objects.get(pk=close.pk).checklist}
    assert (kept["holds"]["acknowledged_by"], kept["holds"]["reason"]) == (
        "Checker",
        "Until legal has spoken",
    )
    assert (kept["drafts"]["count"], kept["month-over"]["state"]) == (1, "ok")


def test_a_parity_that_is_refused_is_closed_with_a_reason_alone(here: Months) -> None:
    make.plan_version(
        rules=[
            make.Rule(
                *(here.world.bookings,),
                slug="own",
                exclusive=False,
                factor_ppm=50_000,
                publishers=[here.world.house.publisher],
            )
        ]
    )
    here.sold()
    close = here.ask()
    with pytest.raises(Conflict) as refused:
        closing.approve_close(close_id=close.pk, by=here.checker, at=AT, acknowledged={"parity": " "})
    assert codes(refused) == ["reason_missing"]
    closing.approve_close(
        close_id=close.pk, by=here.checker, at=AT, acknowledged={"parity": "Agreed for July"}
    )


def test_who_asks_does_not_approve_and_a_blocker_that_came_since_is_named(here: Months) -> None:
    deal = here.sold(amount=10_00)
    close = here.ask()
    with pytest.raises(Forbidden) as own:
        closing.approve_close(close_id=close.pk, by=here.admin, at=AT)
    assert codes(own) == ["own_close"]
    more = booking.draft_of(deal)
    more = replace(more, lines=(replace(more.lines[0], amount_minor=12_00),))
    booking.amend_deal(deal_id=deal.pk, draft=more, by=make.login(here.world.ana), at=AT, reason="More")
    with pytest.raises(Conflict) as blocked:
        closing.approve_close(close_id=close.pk, by=here.checker, at=AT)
    assert codes(blocked) == ["blocked_amendments_waiting"]
    assert str(blocked.value) == "1 amendment from, into or within it waits for a decision."
    for outsider in (here.world.auditor, make.login(here.world.mia), make.login(here.world.ana)):
        for act in (
            lambda by=outsider: closing.ask_close(period_id=here.august.pk, by=by, at=AT),
            lambda by=outsider: closing.approve_close(close_id=close.pk, by=by, at=AT),
            lambda by=outsider: closing.call_back(close_id=close.pk, by=by, at=AT),
            lambda by=outsider: closing.open_month(period_id=here.august.pk, by=by, at=AT),
        ):
            with pytest.raises(Forbidden):
                act()


def test_a_request_is_called_back_and_the_month_is_open_again(here: Months) -> None:
    close = here.ask()
    closing.call_back(close_id=close.pk, by=here.checker, at=AT, note="Not yet")
    assert (PeriodClose.objects.get(pk=close.pk).state, state(here.july)) == ("called_back", "open")
    with pytest.raises(Conflict):
        closing.approve_close(close_id=close.pk, by=here.checker, at=AT)
    again = here.ask()
    assert again.version == 1
    assert here.approve(again).state == "closed"


def test_the_second_of_two_closes_is_told_who_was_first(here: Months) -> None:
    here.ask()
    with pytest.raises(Conflict) as second:
        closing.ask_close(period_id=here.july.pk, by=here.checker, at=AT)
    assert codes(second) == ["close_under_way"]
    assert here.admin.name in str(second.value)


def test_a_close_killed_after_any_step_goes_on_and_comes_to_the_same(here: Months) -> None:
    here.sold(amount=300_00)
    close = here.ask()
    job = closing.approve_close(close_id=close.pk, by=here.checker, at=AT)
    seen = []
    while jobs.step_once(job_id=job.pk, at=AT):
        stopped = Job.objects.get(pk=job.pk)
        seen.append((stopped.done, stopped.total, state(here.july)))
        jobs.cancel(job_id=job.pk, at=AT)
        jobs.step_once(job_id=job.pk, at=AT)
        job = closing.go_on(close_id=close.pk, by=here.admin, at=AT)
    assert seen == [(n, 5, "closing") for n in range(1, 5)]
    closed = PeriodClose.objects.get(pk=close.pk)
    assert (closed.state, closed.entries, ClosedTotal.objects.filter(close=close).count()) == ("closed", 1, 4)
    assert Seal.objects.count() == 1
    with pytest.raises(Conflict):
        closing.go_on(close_id=close.pk, by=here.admin, at=AT)


def test_a_reopened_month_is_closed_as_version_2_beside_version_1() -> None:
    here, first = five_closed()
    with pytest.raises(Conflict) as unasked:
        closing.reopen(close_id=first.pk, by=here.admin, at=AT)
    assert codes(unasked) == ["reopening_not_asked"]
    closing.ask_reopen(period_id=here.july.pk, reason="Forgot a deal", by=here.checker, at=AT)
    with pytest.raises(Forbidden):
        closing.reopen(close_id=first.pk, by=here.checker, at=AT)
    closing.reopen(close_id=first.pk, by=here.admin, at=AT)
    assert state(here.july) == "open"
    here.sold(amount=25_00, at=later(days=1))
    second = here.close(at=later(days=1))
    assert (second.version, second.totals[here.world.bookings.slug]["direct"]) == (2, 1_039_00)
    first.refresh_from_db()
    assert (first.state, first.totals[here.world.bookings.slug]["direct"]) == ("reopened", 1_014_00)
    for close in (first, second):
        assert snapshots.differing(close, limit=5) == []
        assert snapshots.frozen_digest(close) == close.frozen_digest


def test_only_the_last_closed_month_is_reopened_and_none_from_before_parity() -> None:
    here, first = five_closed()
    with pytest.raises(Conflict) as before:
        closing.ask_reopen(
            period_id=Period.objects.get(name="FY26-M12").pk, reason="Why not", by=here.admin, at=AT
        )
    assert codes(before) == ["closed_before_parity"]
    september = Period.objects.get(name="FY27-M03")
    closing.open_month(period_id=september.pk, by=here.admin, at=AT)
    fall = later(days=30)
    here.close(here.august, at=fall)
    with pytest.raises(Conflict) as refused:
        closing.ask_reopen(period_id=here.july.pk, reason="Forgot a deal", by=here.admin, at=fall)
    assert codes(refused) == ["not_the_last_closed"]
    with pytest.raises(NotFound):
        closing.ask_reopen(period_id=here.july.quarter_id or 0, reason="A quarter", by=here.admin, at=fall)
    assert PeriodClose.objects.get(pk=first.pk).state == "closed"


def test_a_request_to_reopen_is_called_back() -> None:
    here, close = five_closed()
    closing.ask_reopen(period_id=here.july.pk, reason="Forgot a deal", by=here.admin, at=AT)
    closing.call_back(close_id=close.pk, by=here.admin, at=AT)
    with pytest.raises(Conflict):
        closing.reopen(close_id=close.pk, by=here.checker, at=AT)


def test_future_months_open_one_after_the_other(here: Months) -> None:
    october, september = (Period.objects.get(name=f"FY27-M0{n}") for n in (4, 3))
    with pytest.raises(Conflict) as skipped:
        closing.open_month(period_id=october.pk, by=here.admin, at=AT)
    assert str(skipped.value) == "Open FY27-M03 first: it comes before FY27-M04."
    closing.open_month(period_id=september.pk, by=here.admin, at=AT)
    assert state(september) == "open"


def test_the_others_are_told_and_the_digest_leaves_by_mail(here: Months) -> None:
    here.close()
    for message in OutboxMessage.objects.filter(done_at=None):
        outbox.carry_out(message_id=message.pk, at=AT)
    told = dict(
        Notification.objects.filter(url="/quotas/periods/FY27-M01/").values_list("user__name", "text")
    )
    digest = Seal.objects.get().digest
    assert told[here.world.auditor.name].startswith(f"FY27-M01 is closed. Seal 1: {digest[:12]}")
    asked = Notification.objects.filter(key__startswith="close-asked")
    assert {note.user for note in asked} == comp_admins() - {here.admin}
    from config.models import Mail

    mails = Mail.objects.filter(key__startswith="close-done")
    assert {mail.user for mail in mails} == comp_admins() | {here.world.auditor}
    assert all(f"--against {digest}" in mail.text for mail in mails)


def test_late_entries_are_shown_with_what_they_would_earn_and_where(here: Months) -> None:
    here.draft()  # needs another date then
    held = here.held(amount=10_00)
    late = late_entries(here.july, checklist(here.july, at=AT))
    assert late.goes_to == here.august
    ((deal, expected),) = late.deals
    assert (deal, dict(expected.by_measure)) == (held, {here.world.bookings.pk: 10_00})

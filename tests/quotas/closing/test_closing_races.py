"""Closing beside postings, and beside itself: real threads, real transactions."""

import pytest

from quotas.crediting.invariants import broken
from quotas.models import CreditEntry, Period, PeriodClose
from quotas.services import approving, closing, sealing
from tests import make
from tests.quotas.closing.months import AT, later, months
from tests.quotas.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_two_requests_at_once_one_wins_and_nothing_slips_into_the_month_after_it() -> None:
    here = months()
    held = [here.held(amount=10_00 + n) for n in range(6)]
    here.prove(at=later(hours=1))

    def ask(by: object) -> object:
        return lambda: closing.ask_close(period_id=here.july.pk, by=by, at=later(hours=1))  # type: ignore[arg-type]

    def release(nth: int) -> object:
        return lambda: approving.release_deal(deal_id=held[nth].pk, by=here.admin, at=later(minutes=30))

    outcomes = at_once(ask(here.admin), ask(here.checker), *(release(n) for n in range(6)))  # type: ignore[arg-type]
    assert outcomes == {"done": 7, "Conflict": 1}
    close = PeriodClose.objects.get(state="asked")
    asker = close.asked_by
    other = here.checker if asker == here.admin else here.admin
    inside = CreditEntry.objects.filter(posting_period=here.july)
    before = inside.count()
    seen = {"without-credit": "", "no-quota": "", "holds": ""}
    job = closing.approve_close(close_id=close.pk, by=other, at=later(hours=2), acknowledged=seen)

    def work() -> None:
        from config import jobs

        jobs.work_off(job_id=job.pk, now=lambda: later(hours=2))

    assert at_once(work, work, work) == {"done": 3}
    close.refresh_from_db()
    assert (close.state, close.entries, inside.count()) == ("closed", before, before)
    assert Period.objects.get(pk=here.july.pk).state == "closed"
    assert sealing.verify().wrong == []
    assert broken() == {}


def test_of_two_approvals_at_once_one_wins() -> None:
    here = months()
    here.sold()
    close = here.ask()
    second = make.user(role="comp_admin")
    outcomes = at_once(
        *(
            lambda by=by: closing.approve_close(close_id=close.pk, by=by, at=AT)
            for by in (here.checker, second)
        )
    )
    assert outcomes == {"done": 1, "Conflict": 1}

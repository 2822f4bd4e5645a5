"""What the demo has of evidence and of long work: proofs, a rate put right with its run, two drafts tried on the past, files, a verified ledger."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from accounts.models import User
from config import jobs
from config.models import Job, JobState
from marketplace.models import TaskArea
from quotas.demo import plan
from quotas.demo.targets import BOOKINGS
from quotas.models import CloseState, FxRate, Grain, Measure, Period, PeriodClose, PeriodState, PlanVersion
from quotas.services import auditing, facts, statements
from quotas.services.parity import prove_period, prove_plan
from quotas.services.plans import RuleDraft, save_rule, start_draft
from quotas.services.simulating import start_simulation

SAMPLE, SEED = 12, "FY26-M11 by hand"
TRIED_ON = timedelta(days=184)  # of the past
RATE_OF = "CHF"
RATE_UP_PPM, FOUR_DECIMALS = 4_000, 100_000
RATE_REASON = "The treasury's rate of the month was published anew."


def stage_evidence(*, people: Mapping[str, User], today: date, at: datetime) -> dict[str, int]:
    """Made through the services, by the people who log in, after everything else. How many of each.

    at  When the first piece of work is done; the last is done less than three hours later.
    """
    admin, checker, auditor = people["admin"], people["checker"], people["auditor"]
    moments = (at + n * timedelta(minutes=20) for n in range(8))
    made = {"recredit runs": _rate_put_right(today, by=admin, at=next(moments))}
    field_plan, counter = PlanVersion.objects.filter(plan__slug=plan.SLUG, number__in=(2, 3)).order_by(
        "number"
    )
    moment = next(moments)
    for version, by in ((field_plan, admin), (counter, checker)):
        tried = start_simulation(plan_version_id=version.pk, starts=today - TRIED_ON, by=by, at=moment)
        _done(tried, at=moment)
    prove_plan(plan_version_id=field_plan.pk, by=admin, at=moment)
    running = Period.objects.get(grain=Grain.QUARTER, starts__lte=today, ends__gt=today)
    prove_period(period_id=running.pk, by=admin, at=next(moments))

    close = PeriodClose.objects.filter(state=CloseState.CLOSED).select_related("period").latest("pk")
    moment = next(moments)
    _done(statements.start_pack(close_id=close.pk, form="xlsx", by=admin, at=moment), at=moment)
    pack = auditing.start_pack(
        period=close.period,
        measure=Measure.objects.get(slug=BOOKINGS),
        count=SAMPLE,
        seed=SEED,
        by=auditor,
        at=moment,
    )
    _done(pack, at=moment)
    moment = next(moments)
    _done(auditing.start_verification(by=auditor, at=moment), at=moment)
    return {**made, "drafts tried on the past": 2, "proofs of parity": 2, "packs of files": 2}


def _rate_put_right(today: date, *, by: User, at: datetime) -> int:
    """Last month's rate of a currency moves by a little, and with it the credit of the deals in it. How many runs that starts."""
    month = (
        Period.objects.filter(grain=Grain.MONTH, state=PeriodState.OPEN, ends__lte=today)
        .order_by("-starts")
        .first()
    )
    if month is None:
        return 0
    known = FxRate.objects.filter(
        from_currency=RATE_OF, to_currency="USD", superseded_at=None, effective__contains=month.starts
    ).first()
    if known is None:
        return 0
    changed = facts.correct_rate(
        from_currency=RATE_OF,
        to_currency="USD",
        rate_e9=known.rate_e9 * (1_000_000 + RATE_UP_PPM) // 1_000_000 // FOUR_DECIMALS * FOUR_DECIMALS,
        starts=month.starts,
        ends=month.ends,
        by=by,
        at=at,
        reason=RATE_REASON,
    )
    if changed.job is None:
        return 0
    _done(changed.job, at=at)
    return 1


def stage_counter_proposal(*, by: User, at: datetime) -> None:
    """Beside the draft that names a publisher, which its proof refuses: one that says the same for what a model does."""
    starts, ends = plan.DRAFT_SPAN
    against = PlanVersion.objects.get(plan__slug=plan.SLUG, number=2)
    made = start_draft(
        plan_id=against.plan_id, starts=starts, ends=ends, note=plan.COUNTER_NOTE, by=by, at=at
    )
    save_rule(
        plan_version_id=made.pk,
        draft=RuleDraft(
            name=plan.COUNTER_RULE,
            measure_id=Measure.objects.get(slug=BOOKINGS).pk,
            factor_ppm=plan.COUNTER_FACTOR_PPM,
            priority=plan.COUNTER_PRIORITY,
            conditions={"task_areas": [TaskArea.objects.get(slug=plan.COUNTER_AREA).pk]},
        ),
        by=by,
        at=at,
    )


def _done(job: Job, *, at: datetime) -> None:
    """Carried out here and now: whoever looks at the demo for the first time finds it."""
    done = jobs.work_off(job_id=job.pk, now=lambda: at)
    if done.state != JobState.DONE:
        raise RuntimeError(f"{job.title} has not worked: {done.error}")

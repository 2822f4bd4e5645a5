"""What the demo has of disputes and adjustments: some that wait, one that is late, one that was answered with an adjustment."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from accounts.models import User
from quotas.models import (
    AdjustmentReason,
    CreditEntry,
    DealState,
    DisputeKind,
    Grain,
    Measure,
    Period,
    PeriodState,
    ReceiverClass,
    Rep,
    Reversal,
)
from quotas.services.adjusting import AdjustmentDraft, ask_adjustment, decide_adjustment
from quotas.services.disputes import DisputeDraft, open_dispute, resolve, say, take


def stage_disputes(*, people: Mapping[str, User], today: date) -> dict[str, int]:
    """Made through the services, by the people who log in. How many of each; nothing where the rep has no credit yet."""
    rep = Rep.objects.filter(user=people["rep"]).first()
    entries = _entries(rep, today) if rep is not None else []
    if rep is None or len(entries) < 3:
        return {}
    manager, admin, checker = people["manager"], people["admin"], people["checker"]

    answered = open_dispute(
        draft=DisputeDraft(
            rep_id=rep.pk,
            kind=DisputeKind.WRONG_AMOUNT,
            text="The order form was countersigned for 5% more than what was logged. I have sent it to deal desk.",
            entry_id=entries[0].pk,
            claimed_minor=entries[0].amount_minor * 21 // 20,
        ),
        by=people["rep"],
        at=_at(today, 8),
    )
    take(dispute_id=answered.pk, by=manager, at=_at(today, 7))
    say(
        dispute_id=answered.pk,
        text="Which order form, the one of the renewal?",
        by=manager,
        at=_at(today, 7, 17),
    )
    say(
        dispute_id=answered.pk,
        text="The expansion, signed on the last day of the month.",
        by=people["rep"],
        at=_at(today, 7, 18),
    )
    resolve(
        dispute_id=answered.pk,
        accept=True,
        text="Right: the signed form is 5% above what was logged. The difference is credited by hand.",
        by=manager,
        at=_at(today, 6),
        adjustment=AdjustmentDraft(
            rep_id=rep.pk,
            measure_id=entries[0].measure_id,
            amount_minor=entries[0].amount_minor * 21 // 20 - entries[0].amount_minor,
            credit_date=entries[0].credit_date,
            reason_code=AdjustmentReason.WRONG_AMOUNT,
            note="Countersigned order form, 5% above what was logged.",
            deal_id=entries[0].deal_id,
        ),
    )
    (asked,) = answered.adjustments.all()
    decide_adjustment(
        adjustment_id=asked.pk, approve=True, by=checker, at=_at(today, 5), note="Order form seen"
    )

    open_dispute(
        draft=DisputeDraft(
            rep_id=rep.pk,
            kind=DisputeKind.SPLIT,
            text="We agreed on an even split before the deal closed; the mail thread is with deal desk.",
            deal_id=entries[1].deal_id,
            measure_id=entries[1].measure_id,
        ),
        by=people["rep"],
        at=_at(today, 1),
    )
    colleague = _colleague(rep, today)
    made = {"disputes": 2, "adjustments": 1}
    if colleague is not None:
        of_colleague = _entries(colleague, today)
        if of_colleague:
            open_dispute(
                draft=DisputeDraft(
                    rep_id=colleague.pk,
                    kind=DisputeKind.PERIOD,
                    text="It was signed on the last day of the month before, and belongs there.",
                    entry_id=of_colleague[0].pk,
                ),
                by=manager,
                at=_at(today, 9),
            )
            made["disputes"] += 1
    ask_adjustment(
        draft=AdjustmentDraft(
            rep_id=rep.pk,
            measure_id=entries[2].measure_id,
            amount_minor=1_500_00,
            credit_date=today - timedelta(days=4),
            reason_code=AdjustmentReason.GOODWILL,
            note="Ran the launch workshop for three customers while two colleagues were away.",
        ),
        by=manager,
        at=_at(today, 1),
    )
    late = _of_closed_month(rep)
    if late is not None:
        asked = ask_adjustment(
            draft=AdjustmentDraft(
                rep_id=rep.pk,
                measure_id=entries[0].measure_id,
                amount_minor=-900_00,
                credit_date=late,
                reason_code=AdjustmentReason.CLAWBACK,
                note="The customer never paid the first invoice; clawed back under the plan's 90 days.",
                confirmed=True,
            ),
            by=admin,
            at=_at(today, 3),
        )
        decide_adjustment(adjustment_id=asked.pk, approve=True, by=checker, at=_at(today, 2))
        made["adjustments"] += 1
    return {**made, "adjustments": made["adjustments"] + 1}


def _entries(rep: Rep, today: date) -> list[CreditEntry]:
    """Credit of the last weeks that stands, each of another deal, the largest first."""
    undone = Reversal.objects.values("entry_id")
    found = (
        CreditEntry.objects.filter(
            rep=rep,
            component=1,
            receiver_class=ReceiverClass.DIRECT,
            reverses_id=None,
            amount_minor__gt=0,
            deal__state=DealState.APPROVED,
            deal__held=False,
            credit_date__range=(today - timedelta(days=60), today - timedelta(days=10)),
            measure=Measure.objects.order_by("position", "pk")[0],
        )
        .exclude(pk__in=undone)
        .select_related("measure__currency")
        .order_by("-amount_minor", "pk")
    )
    by_deal: dict[int | None, CreditEntry] = {}
    for entry in found[:40]:
        by_deal.setdefault(entry.deal_id, entry)
    return list(by_deal.values())


def _colleague(rep: Rep, today: date) -> Rep | None:
    """Somebody in the rep's team."""
    own = rep.memberships.filter(superseded_at=None, effective__contains=today).first()
    if own is None:
        return None
    return (
        Rep.objects.filter(
            memberships__team=own.team_id,
            memberships__superseded_at=None,
            memberships__effective__contains=today,
            memberships__role="account_executive",
        )
        .exclude(pk=rep.pk)
        .order_by("pk")
        .first()
    )


def _of_closed_month(rep: Rep) -> date | None:
    """A day of the last closed month on which the rep was in a team."""
    month = Period.objects.filter(grain=Grain.MONTH, state=PeriodState.CLOSED).order_by("-starts").first()
    if month is None:
        return None
    day = month.starts + timedelta(days=9)
    there = rep.memberships.filter(superseded_at=None, effective__contains=day).exists()
    return day if there else None


def _at(today: date, days_ago: int, hour: int = 16) -> datetime:
    return datetime.combine(today - timedelta(days=days_ago), time(hour), UTC)

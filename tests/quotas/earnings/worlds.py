"""A year, a few people and a plan that pays; credit straight into the ledger; closes that pay and freeze nothing else."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db.models import Sum

from accounts.models import Role, User
from quotas.models import (
    CloseState,
    CreditEntry,
    EarningEntry,
    EarningKind,
    Measure,
    Period,
    PeriodClose,
    PeriodState,
    PlanVersion,
    Posting,
    Rep,
    Team,
)
from quotas.services.earning import post_earnings
from quotas.services.marking import mark
from tests import kept, make

FLAT = ((0, 1_000_000),)
STEEPER = (
    (0, 1_000_000),
    (1_000_000, 1_500_000),
)  # above quota one and a half per cent of target for each per cent


@dataclass
class PayWorld:
    """FY27 with a quarter's quota of $100,000 for ana and bo; a target incentive of $40,000 a year, so $10,000 a quarter."""

    year: make.FiscalYear
    team: Team
    ana: Rep
    bo: Rep
    bookings: Measure
    admin: User
    checker: User
    version: PlanVersion
    now: datetime = make.AT
    closes: list[PeriodClose] = field(default_factory=list)

    def month(self, number: int) -> Period:
        return self.year.month(number)

    def tick(self) -> datetime:
        self.now += timedelta(days=3)
        return self.now

    def credit(
        self,
        minor: int,
        month: int,
        *,
        rep: Rep | None = None,
        posted: int | None = None,
        measure: Measure | None = None,
        overlay: bool = False,
    ) -> None:
        """An entry of that origin month, posted in the same one unless another is named."""
        made = Posting.objects.create(
            key=f"test:{Posting.objects.count()}", digest="0" * 64, kind="approve", recorded_at=self.now
        )
        origin = self.month(month)
        CreditEntry.objects.create(
            id=made.pk,
            posting=made,
            posting_period=self.month(posted or month),
            origin_period=origin,
            credit_date=origin.starts,
            deal_id=1,
            deal_version_id=1,
            line_no=1,
            rep=rep or self.ana,
            team=self.team,
            receiver_class=2 if overlay else 1,
            measure=measure or self.bookings,
            component=1,
            rule_id=1,
            rule_version_id=1,
            plan_version_id=self.version.pk,
            decision_id=1,
            amount_minor=minor,
        )

    def close(self, month: int, *, version: int = 1) -> PeriodClose:
        """As the job of a close does it: approved, marked, earnings posted, closed."""
        period = self.month(month)
        at = self.tick()
        made = PeriodClose.objects.create(
            period=period,
            version=version,
            state=CloseState.CLOSING,
            asked_by=self.admin,
            asked_at=at,
            approved_by=self.checker,
            approved_at=at,
            mark=mark(at=at),
        )
        made.payments_digest = post_earnings(close=made, at=at)
        made.state = CloseState.CLOSED
        made.save()
        Period.objects.filter(pk=period.pk).update(state=PeriodState.CLOSED)
        self.closes.append(made)
        return made

    def reopen(self, close: PeriodClose) -> None:
        close.state = CloseState.REOPENED
        close.reopen_asked_by, close.reopened_by, close.reopen_reason = self.admin, self.checker, "Late deals"
        close.save()
        Period.objects.filter(pk=close.period_id).update(state=PeriodState.OPEN)


def pay_world(
    *tiers: tuple[int, int], target: int = 40_000_00, quota: int | None = 100_000_00, **scale: object
) -> PayWorld:
    """tiers and scale: of bookings, as make.pay_scale() takes them."""
    if (target, quota, scale) == (40_000_00, 100_000_00, {}) and tiers in ((), STEEPER):
        return steep_pay() if tiers else flat_pay()
    return _pay_world(*tiers, target=target, quota=quota, **scale)


@kept.world
def flat_pay() -> PayWorld:
    return _pay_world(target=40_000_00, quota=100_000_00)


@kept.world
def steep_pay() -> PayWorld:
    return _pay_world(*STEEPER, target=40_000_00, quota=100_000_00)


@kept.world
def two_paid() -> PayWorld:
    """July and August are closed; ana is above quota with late credit, bo has a draw."""
    made = steep_pay()
    made.team.cost_centre = "=CC-7"  # a spreadsheet would take it for a formula
    made.team.save()
    Rep.objects.filter(pk=made.ana.pk).update(employee_no="E1")
    made.credit(80_000_00, 1)
    made.credit(5_000_00, 1, rep=made.bo)
    make.draw(rep=made.bo, amount_minor=2_000_00, effective=(date(2026, 7, 1), None))
    made.close(1)
    made.credit(30_000_00, 2)
    made.credit(10_000_00, 1, posted=2)
    made.close(2)
    return made


def _pay_world(*tiers: tuple[int, int], target: int, quota: int | None, **scale: object) -> PayWorld:
    year = make.fiscal_year()
    team = make.team()
    ana, bo = make.rep(team=team, name="Ana", login=True), make.rep(team=team, name="Bo", login=True)
    bookings = make.measure(name="AI bookings")
    version = make.plan_version(plan=make.comp_plan(), rules=[], state="draft")
    component = make.component(version=version, measure=bookings, target_incentive_minor=target)
    make.pay_scale(component, *(tiers or FLAT), **scale)  # type: ignore[arg-type]
    publish(version)
    if quota is not None:
        for quarter in year.quarters:
            for rep in (ana, bo):
                make.quota(measure=bookings, period=quarter, rep=rep, amount_minor=quota)
    return PayWorld(
        year=year,
        team=team,
        ana=ana,
        bo=bo,
        bookings=bookings,
        admin=make.user(role=Role.COMP_ADMIN, name="Priya"),
        checker=make.user(role=Role.COMP_ADMIN, name="Samuel"),
        version=version,
    )


def publish(version: PlanVersion, at: datetime = make.AT) -> None:
    version.state = "published"
    version.published_by, version.published_at = make.user(role=Role.COMP_ADMIN), at
    version.save()


def lines(close: PeriodClose, rep: Rep | None = None) -> list[tuple[str, str, int]]:
    """(kind, origin month, amount) of a close's entries, in that order; of one rep if one is given."""
    entries = EarningEntry.objects.filter(close=close)
    if rep is not None:
        entries = entries.filter(rep=rep)
    return sorted(entries.values_list("kind", "origin_period__name", "amount_minor"))


def paid(rep: Rep, *kinds: str) -> int:
    entries = EarningEntry.objects.filter(rep=rep, kind__in=kinds or (EarningKind.EARNED,))
    return int(entries.aggregate(t=Sum("amount_minor"))["t"] or 0)

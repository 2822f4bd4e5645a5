"""A small organisation whose July is over, with a deal in it, and the two comp admins who close it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import transaction

from accounts.models import Role, User
from config import jobs
from config.models import JobState
from quotas.crediting import engine
from quotas.models import Deal, DealState, Period, PeriodClose, PeriodState, Rep
from quotas.selectors.closing import checklist, to_acknowledge
from quotas.services import approving, booking, closing, parity
from tests import kept, make

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
JUNE = date(2026, 6, 15)
JULY = date(2026, 7, 20)
AUGUST = date(2026, 8, 10)


@dataclass(frozen=True)
class Months:
    """july is the first month that is not closed; august is open."""

    world: make.World
    july: Period
    august: Period
    admin: User
    checker: User

    def sold(
        self, *, on: date = JULY, amount: int = 100_00, owner: Rep | None = None, at: datetime = AT
    ) -> Deal:
        """Approved and credited."""
        return self.approved(
            self.submitted(self.draft(on=on, amount=amount, owner=owner, at=at), at=at), at=at
        )

    def draft(
        self, *, on: date = JULY, amount: int = 100_00, owner: Rep | None = None, at: datetime = AT
    ) -> Deal:
        who = owner or self.world.ana
        draft = make.draft(owner=who, close_date=on, lines=[make.Line(self.world.house, amount)])
        return booking.log_deal(draft=draft, by=make.login(who), at=at)

    def submitted(self, deal: Deal, *, at: datetime = AT) -> Deal:
        return booking.submit_deal(deal_id=deal.pk, by=make.login(deal.owner), at=at)

    def approved(self, deal: Deal, *, at: datetime = AT) -> Deal:
        boss = self.world.zed if deal.owner == self.world.cy else self.world.mia
        approving.approve_deal(deal_id=deal.pk, by=make.login(boss), at=at)
        return Deal.objects.get(pk=deal.pk)

    def held(self, *, amount: int) -> Deal:
        deal = self.sold(amount=amount)
        approving.hold_deal(deal_id=deal.pk, by=self.admin, at=AT, reason="Legal looks at it")
        return deal

    def released(self, deal: Deal, *, at: datetime = AT) -> Deal:
        approving.release_deal(deal_id=deal.pk, by=self.admin, at=at)
        return deal

    def prove(self, month: Period | None = None, *, at: datetime = AT) -> None:
        parity.prove_period(period_id=(month or self.july).pk, by=self.admin, at=at)

    def ask(self, month: Period | None = None, *, at: datetime = AT) -> PeriodClose:
        """Proved and asked for."""
        self.prove(month, at=at)
        return closing.ask_close(period_id=(month or self.july).pk, by=self.admin, at=at)

    def approve(self, close: PeriodClose, *, at: datetime = AT) -> PeriodClose:
        """Approved with everything acknowledged, and carried out."""
        seen = {item.slug: "Seen" for item in to_acknowledge(checklist(close.period, at=at))}
        job = closing.approve_close(close_id=close.pk, by=self.checker, at=at, acknowledged=seen)
        done = jobs.work_off(job_id=job.pk, now=lambda: at)
        assert done.state == JobState.DONE, done.error
        return PeriodClose.objects.get(pk=close.pk)

    def close(self, month: Period | None = None, *, at: datetime = AT) -> PeriodClose:
        return self.approve(self.ask(month, at=at), at=at)

    def reopen(self, close: PeriodClose, *, at: datetime = AT) -> PeriodClose:
        closing.ask_reopen(period_id=close.period_id, reason="A mistake", by=self.checker, at=at)
        return closing.reopen(close_id=close.pk, by=self.admin, at=at)


@kept.world
def months() -> Months:
    world = make.world()
    # Whatever came before Parity is closed without a snapshot.
    Period.objects.filter(grain="M", ends__lte=date(2026, 7, 1)).update(state=PeriodState.CLOSED)
    return Months(
        world=world,
        july=Period.objects.get(name="FY27-M01"),
        august=Period.objects.get(name="FY27-M02"),
        admin=world.admin,
        checker=make.user(role=Role.COMP_ADMIN, name="Checker"),
    )


@kept.world
def five_sold() -> Months:
    """Ana's deals of July: 900.00, 90.00, 9.00, 8.00 and 7.00."""
    here = months()
    for amount in (900_00, 90_00, 9_00, 8_00, 7_00):
        here.sold(amount=amount)
    return here


@kept.world
def five_closed() -> tuple[Months, PeriodClose]:
    """The same, and July is closed."""
    here = five_sold()
    return here, here.close()


@kept.world
def late_credit() -> tuple[Months, PeriodClose]:
    """Ana sold 100.00 in July and, late, 40.00 in June; Bo 30.00 in July; Ana 7.00 in August. July is closed."""
    here = months()
    here.sold(amount=100_00)
    june = make.deal(
        owner=here.world.ana,
        lines=[make.Line(here.world.house, 40_00)],
        close_date=JUNE,
        state=DealState.APPROVED,
    )
    with transaction.atomic():
        engine.post(engine.ByDeal([june.pk]), key="late", kind="load", by=None, at=AT)
    here.sold(amount=30_00, owner=here.world.bo)
    here.sold(amount=7_00, on=date(2026, 8, 3))
    return here, here.close()


def later(**how: int) -> datetime:
    return AT + timedelta(**how)

"""A small organisation whose July is over, with a deal in it, and the two comp admins who close it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from accounts.models import Role, User
from config import jobs
from config.models import JobState
from quotas.models import Deal, Period, PeriodClose, PeriodState, Rep
from quotas.selectors.closing import checklist, to_acknowledge
from quotas.services import approving, booking, closing, parity
from tests import make

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
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


def later(**how: int) -> datetime:
    return AT + timedelta(**how)

"""Whatever happens in whatever order, through the real services on a real database, every invariant holds after each step."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import pytest
from django.db import connection, transaction
from django.db.models import Max, Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Role, User
from config import jobs
from config.models import Job, JobState
from config.refusals import Refusal
from marketplace.models import ChangeSet, EligibilityDecision
from marketplace.services import change_sets
from marketplace.services.change_sets import ItemDraft
from marketplace.services.eligibility import Scope, check_decision, propose_decision
from quotas.crediting import engine
from quotas.crediting.explain import explain_deal
from quotas.crediting.invariants import INVARIANTS, broken
from quotas.models import (
    Adjustment,
    AdjustmentState,
    CreditEntry,
    Deal,
    DealKind,
    DealState,
    Grain,
    Period,
    PeriodClose,
    PeriodState,
    PlanVersion,
    Receivers,
    Rep,
    SalesRole,
    Seal,
)
from quotas.selectors import boards, snapshots, teams, verifying
from quotas.selectors.closing import checklist, to_acknowledge
from quotas.selectors.visibility import entries_for, managed_teams, rep_of
from quotas.services import (
    adjusting,
    approving,
    booking,
    closing,
    consumption,
    disputes,
    earning,
    facts,
    marking,
    parity,
    plans,
    quota_planning,
    recredit,
    sealing,
    simulating,
    statements,
)
from quotas.services.adjusting import AdjustmentDraft
from quotas.services.booking import DealDraft, ShareDraft, draft_of
from quotas.services.disputes import DisputeDraft
from tests import make
from tests.oracle import Oracle

pytestmark = pytest.mark.django_db

FIRST, LAST = date(2026, 6, 1), make.TODAY
EVERYTHING = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))
PICK = st.integers(0, 30)
DAYS = st.dates(FIRST, LAST)
AMOUNTS = st.sampled_from([1, 99, 100_00, 333_33, 12_345_67, 50_000_00])
LEDGER = "quotas_posting", "quotas_postingcount", "quotas_creditentry", "quotas_reversal", "quotas_credittotal", "quotas_uncreditedline"  # fmt: skip
T = TypeVar("T")
Net = Counter[tuple[int, ...]]


class Company:
    """A small company with everything that a step can move. Plans are neutral: no condition tells an origin from another."""

    def __init__(self) -> None:
        bookings = make.measure(name="AI bookings")
        self.measures = [
            bookings,
            make.measure(basis="consumed"),
            make.measure(basis="billed", code="EUR"),
            make.measure(basis="units"),
            make.measure(basis="new_customers"),
        ]
        everything = [
            make.Rule(m, slug=f"base-{n}", factor_ppm=1_100_000) for n, m in enumerate(self.measures)
        ]
        self.world = make.world(rules=everything, quotas=False)
        Period.objects.filter(grain=Grain.MONTH, starts__lt=FIRST).update(state="closed")
        for code, to, rate in (("EUR", "USD", "1.0837"), ("USD", "EUR", "0.92275"), ("JPY", "USD", "0.0067")):
            make.fx(code=code, to=to, rate=rate)
        make.fx(code="JPY", to="EUR", rate="0.0062")
        world = self.world
        self.specialist = make.rep(team=world.other, role=SalesRole.SPECIALIST, login=True)
        self.house = make.rep(team=world.region, role=SalesRole.HOUSE)
        self.sellers = [world.ana, world.bo, world.cy]
        self.people = [*self.sellers, world.mia, world.zed, world.rex, self.specialist, self.house]
        self.admins = [make.user(role=Role.COMP_ADMIN) for _ in range(3)]
        self.keepers = [make.user(role=Role.CATALOG_MANAGER) for _ in range(2)]
        self.offerings = [world.house, world.third]
        self.territories = [make.territory(house_rep=self.house), make.territory()]
        self.customers = [world.customer, make.customer(segment="public-sector", region="emea")]
        make.lies_in(customer=self.customers[0], territory=self.territories[0])
        make.ownership(customer=self.customers[0], rep=world.ana)
        make.ownership(customer=self.customers[1], rep=world.bo)
        self.area = make.task_area()
        self.plan = make.comp_plan(name="Overlay and caps", for_everybody=False)
        for role in (SalesRole.ACCOUNT_EXECUTIVE, SalesRole.SPECIALIST, SalesRole.HOUSE):
            make.assignment(plan=self.plan, role=role)
        make.plan_version(
            plan=self.plan,
            rules=[
                make.Rule(bookings, slug="capped", cap_minor=200_000_00, priority=1, deal_kinds=["new_business", "refund"]),
                make.Rule(bookings, slug="covered", receivers=Receivers.TERRITORY, factor_ppm=200_000),
                make.Rule(bookings, slug="specialists", receivers=Receivers.ROLE, factor_ppm=50_000, roles=["specialist"]),
                make.Rule(bookings, slug="renewals", exclusive=False, factor_ppm=30_000, deal_kinds=["renewal"]),
                make.Rule(bookings, slug="task", exclusive=False, factor_ppm=20_000, task_areas=[self.area]),
            ],
        )  # fmt: skip


class Machine(RuleBasedStateMachine):
    """One story of a company. Each step either is refused and changes nothing, or leaves a ledger in which every invariant holds."""

    company: ClassVar[Company]
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.now = make.AT
        self.written: dict[int, tuple[Any, ...]] = {}
        self.closed: dict[int, int] = {}
        self.answers: dict[datetime, Net] = {}
        self.fresh = True

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undone.__exit__(None, None, None)

    # Doing something.

    def attempt(self, step: str, act: Callable[[], T]) -> T | None:
        """What a service comes to; None where it refuses, and then nothing has happened."""
        self.now += timedelta(minutes=1)
        self.fresh = True
        try:
            with transaction.atomic():
                made = act()
        except Refusal:
            self.done[f"{step} refused"] += 1
            return None
        self.done[step] += 1
        return made

    def work_off(self) -> None:
        for job_id in jobs.unfinished():
            job = jobs.work_off(job_id=job_id, now=lambda: self.now)
            assert job.state == JobState.DONE, job.error

    def pick(self, number: int, **wanted: Any) -> Deal | None:
        found = list(Deal.objects.filter(**wanted).order_by("pk"))
        return found[number % len(found)] if found else None

    def approve(self, deal: Deal) -> None:
        able = sorted(approving.Approvers([deal], LAST).of(deal))
        by = User.objects.get(pk=able[0])
        self.attempt("approve", lambda: approving.approve_deal(deal_id=deal.pk, by=by, at=self.now))

    def admin(self, number: int = 0) -> User:
        return self.company.admins[number % len(self.company.admins)]

    # Deals.

    @initialize(owner=PICK, amount=AMOUNTS)
    def begin(self, owner: int, amount: int) -> None:
        for n in range(3):
            self.book(owner + n, amount * (n + 1), LAST - timedelta(days=20 * n), n, 0, 700_000, True)

    @rule(
        owner=PICK,
        amount=AMOUNTS,
        on=DAYS,
        kind=PICK,
        code=PICK,
        share=st.integers(1, 1_000_000),
        approved=st.booleans(),
    )
    def book(
        self, owner: int, amount: int, on: date, kind: int, code: int, share: int, approved: bool
    ) -> None:
        company = self.company
        seller = company.sellers[owner % 3]
        other = company.people[(owner + kind) % len(company.people)]
        shares = (
            {seller: share, other: 1_000_000 - share}
            if other != seller and share < 1_000_000
            else {seller: 1_000_000}
        )
        draft = make.draft(
            owner=seller,
            customer=company.customers[kind % 2],
            kind=[DealKind.NEW_BUSINESS, DealKind.RENEWAL, DealKind.EXPANSION][kind % 3],
            close_date=on,
            code=["USD", "EUR", "JPY"][code % 3],
            lines=[
                make.Line(offering, amount + n, quantity=Decimal(n + 1), term_months=12)
                for n, offering in enumerate(company.offerings[: 1 + code % 2])
            ],
            shares=shares,
            new_customer=kind % 4 == 0,
        )  # fmt: skip
        by = make.login(seller)
        deal = self.attempt("book", lambda: booking.log_deal(draft=draft, by=by, at=self.now))
        if deal is None:
            return
        pk = deal.pk
        if self.attempt("submit", lambda: booking.submit_deal(deal_id=pk, by=by, at=self.now)) is not None:
            deal.refresh_from_db()
            if approved:
                self.approve(deal)

    @rule(number=PICK)
    def decide(self, number: int) -> None:
        deal = self.pick(number, state=DealState.SUBMITTED)
        if deal is not None:
            self.approve(deal)

    def amend(
        self, step: str, deal: Deal | None, changed: Callable[[DealDraft], DealDraft], approved: bool
    ) -> None:
        if deal is None:
            return
        draft, by = changed(draft_of(deal)), User.objects.get(pk=deal.owner.user_id or 0)
        made = self.attempt(
            step,
            lambda: booking.amend_deal(deal_id=deal.pk, draft=draft, by=by, at=self.now, reason="Corrected"),
        )
        if made is None:
            return
        made.refresh_from_db()
        if approved:
            self.approve(made)
        else:
            able = User.objects.get(pk=min(approving.Approvers([made], LAST).of(made)))
            self.attempt(
                "reject",
                lambda: approving.reject_deal(deal_id=made.pk, by=able, at=self.now, reason="Not so"),
            )

    @rule(
        number=PICK,
        amount=AMOUNTS,
        on=DAYS,
        moved=st.booleans(),
        approved=st.sampled_from([True, True, True, False]),
    )
    def amend_facts(self, number: int, amount: int, on: date, moved: bool, approved: bool) -> None:
        def changed(draft: DealDraft) -> DealDraft:
            first, *others = draft.lines
            sign = -1 if draft.kind == DealKind.REFUND else 1
            return replace(
                draft,
                lines=(replace(first, amount_minor=sign * amount), *others),
                close_date=on if moved else draft.close_date,
            )

        self.amend("amend", self.pick(number, state=DealState.APPROVED), changed, approved)

    @rule(number=PICK, rep=PICK, share=st.integers(1, 999_999))
    def split_again(self, number: int, rep: int, share: int) -> None:
        def changed(draft: DealDraft) -> DealDraft:
            other = self.company.people[rep % len(self.company.people)].pk
            if other == draft.owner_id:
                return replace(draft, shares=(ShareDraft(other, 1_000_000),))
            return replace(
                draft, shares=(ShareDraft(other, share), ShareDraft(draft.owner_id, 1_000_000 - share))
            )

        self.amend("re-split", self.pick(number, state=DealState.APPROVED), changed, True)

    @rule(number=PICK)
    def cancel(self, number: int) -> None:
        if deal := self.pick(number, state=DealState.APPROVED):
            self.attempt(
                "cancel",
                lambda: approving.cancel_deal(deal_id=deal.pk, by=self.admin(), at=self.now, reason="Lost"),
            )

    @rule(number=PICK, percent=st.sampled_from([0, 33, 50, 99]))
    def cancel_part(self, number: int, percent: int) -> None:
        if deal := self.pick(number, state=DealState.APPROVED):
            line = deal.latest.lines.order_by("line_no")[0]
            left = {line.line_no: line.amount_minor * percent // 100}
            self.attempt(
                "cancel part",
                lambda: approving.cancel_part(
                    deal_id=deal.pk, amounts=left, by=self.admin(), at=self.now, reason="Less"
                ),
            )

    @rule(number=PICK, percent=st.sampled_from([1, 20, 50, 100]), on=DAYS)
    def refund(self, number: int, percent: int, on: date) -> None:
        original = self.pick(number, state=DealState.APPROVED, latest_version__refunds=None)
        if original is None or original.latest.kind == DealKind.CONSUMPTION:
            return
        draft = draft_of(original)
        back = replace(
            draft,
            kind=DealKind.REFUND,
            refunds_id=original.pk,
            close_date=max(on, draft.close_date),
            new_customer=False,
            lines=tuple(
                replace(line, amount_minor=-(line.amount_minor * percent // 100), quantity=None)
                for line in draft.lines
            ),
        )
        by = original.owner.user
        assert by is not None
        deal = self.attempt("refund", lambda: booking.log_deal(draft=back, by=by, at=self.now))
        if deal is None:
            return
        pk = deal.pk
        if self.attempt("submit", lambda: booking.submit_deal(deal_id=pk, by=by, at=self.now)) is not None:
            deal.refresh_from_db()
            self.approve(deal)

    @rule(number=PICK, held=st.booleans())
    def hold_or_release(self, number: int, held: bool) -> None:
        deal = self.pick(number, state=DealState.APPROVED, held=not held)
        act = approving.hold_deal if held else approving.release_deal
        if deal is not None:
            self.attempt(
                "hold" if held else "release",
                lambda: act(deal_id=deal.pk, by=self.admin(), at=self.now, reason="Asked"),
            )

    @rule(
        customer=PICK,
        month=st.sampled_from([date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)]),
        consumed=AMOUNTS,
        billed=st.none() | AMOUNTS,
    )
    def use(self, customer: int, month: date, consumed: int, billed: int | None) -> None:
        rows = [
            consumption.UsageRow(
                self.company.customers[customer % 2].pk, offering.pk, month, "USD", consumed + n, billed
            )
            for n, offering in enumerate(self.company.offerings)
        ]
        self.attempt(
            "usage" if billed is None else "bill",
            lambda: consumption.record_usage(rows=rows, source="metering", by=self.admin(), at=self.now),
        )

    # Facts that deals are credited by.

    def change(self, step: str, act: Callable[[], facts.FactChange]) -> None:
        self.attempt(step, act)
        self.work_off()

    @property
    def who(self) -> dict[str, Any]:
        return {"by": self.admin(), "at": self.now, "reason": "So it was"}

    @rule(customer=PICK, rep=PICK, on=DAYS, holdover=st.none() | st.integers(1, 40))
    def transfer(self, customer: int, rep: int, on: date, holdover: int | None) -> None:
        until = None if holdover is None else on + timedelta(days=holdover)
        self.change(
            "transfer",
            lambda: facts.transfer_account(
                customer_id=self.company.customers[customer % 2].pk,
                rep_id=self.company.sellers[rep % 3].pk,
                starts=on,
                holdover_until=until,
                **self.who,
            ),
        )

    @rule(rep=PICK, team=PICK, role=PICK, on=DAYS)
    def move(self, rep: int, team: int, role: int, on: date) -> None:
        world = self.company.world
        to = [world.team, world.other, world.region][team % 3].pk
        roles = [SalesRole.ACCOUNT_EXECUTIVE, SalesRole.SPECIALIST]
        self.change(
            "move",
            lambda: facts.move_rep(
                rep_id=self.company.sellers[rep % 3].pk,
                team_id=to,
                role=roles[role % 2],
                starts=on,
                **self.who,
            ),
        )

    @rule(team=PICK, parent=PICK, on=DAYS)
    def reorganise(self, team: int, parent: int, on: date) -> None:
        world = self.company.world
        moved, to = (
            [world.team, world.other][team % 2],
            [world.company, world.region, world.other][parent % 3],
        )
        self.change(
            "reorganise", lambda: facts.place_team(team_id=moved.pk, parent_id=to.pk, starts=on, **self.who)
        )

    @rule(territory=PICK, rep=PICK, on=DAYS, leaves=st.booleans())
    def cover(self, territory: int, rep: int, on: date, leaves: bool) -> None:
        where, who = (
            self.company.territories[territory % 2].pk,
            self.company.people[rep % len(self.company.people)].pk,
        )
        self.change(
            "cover",
            lambda: facts.cover_territory(territory_id=where, rep_id=who, starts=on, **self.who),
        )
        if leaves:
            self.change(
                "leave",
                lambda: facts.leave_territory(
                    territory_id=where, rep_id=who, ends=on + timedelta(days=9), **self.who
                ),
            )

    @rule(territory=PICK, customer=PICK, on=DAYS)
    def put(self, territory: int, customer: int, on: date) -> None:
        self.change(
            "put in territory",
            lambda: facts.put_in_territory(
                customer_id=self.company.customers[customer % 2].pk,
                territory_id=self.company.territories[territory % 2].pk,
                starts=on,
                **self.who,
            ),
        )

    @rule(rep=PICK, on=DAYS, days=st.none() | st.integers(1, 30))
    def assign(self, rep: int, on: date, days: int | None) -> None:
        self.change(
            "assign",
            lambda: facts.assign_plan(
                plan_id=self.company.plan.pk,
                rep_id=self.company.people[rep % len(self.company.people)].pk,
                starts=on,
                ends=None if days is None else on + timedelta(days=days),
                **self.who,
            ),
        )

    @rule(code=PICK, rate=st.integers(1, 3 * 10**9), on=DAYS, days=st.none() | st.integers(1, 30))
    def correct_rate(self, code: int, rate: int, on: date, days: int | None) -> None:
        of, to = [("EUR", "USD"), ("USD", "EUR"), ("JPY", "USD")][code % 3]
        self.change(
            "rate",
            lambda: facts.correct_rate(
                from_currency=of,
                to_currency=to,
                rate_e9=rate,
                starts=on,
                ends=None if days is None else on + timedelta(days=days),
                **self.who,
            ),
        )

    @rule(offering=PICK, rate=st.sampled_from([0, 333_333, 500_000, 1_000_000]), on=DAYS)
    def decide_on_eligibility(self, offering: int, rate: int, on: date) -> None:
        first, second = self.company.keepers

        def act() -> EligibilityDecision:
            proposed = propose_decision(
                program="quota",
                scope=Scope(offering_id=self.company.offerings[offering % 2].pk),
                rate_ppm=rate,
                start=on,
                end=None,
                reason="Decided",
                by=first,
                at=self.now,
            )
            return check_decision(decision_id=proposed.pk, by=second, at=self.now, replacing=True)

        if self.attempt("eligibility", act):
            deliver(self.now)
        self.work_off()

    @rule(stands=st.booleans())
    def describe_anew(self, stands: bool) -> None:
        """The catalog says of every offering, so that no origin is told apart, that it is for the task that a rule names; or for none."""
        first, second = self.company.keepers
        areas = [self.company.area.slug] if stands else []
        items = [
            ItemDraft("offering.update", {"slug": offering.slug, "task_areas": areas})
            for offering in self.company.offerings
        ]

        def act() -> ChangeSet:
            made = change_sets.draft_change_set(title="Tasks", items=items, by=first, at=self.now)
            change_sets.submit(change_set_id=made.pk, by=first, at=self.now)
            return change_sets.approve(change_set_id=made.pk, by=second, at=self.now)

        if self.attempt("catalog", act):
            deliver(self.now)
        self.work_off()

    @rule(factor=st.sampled_from([1_000_000, 1_200_000, 900_000, 1_100_000]), on=DAYS, which=PICK)
    def publish(self, factor: int, on: date, which: int) -> None:
        plan = [self.company.world.plan_version.plan, self.company.plan][which % 2]
        drafter, second = self.admin(0), self.admin(1)

        def act() -> PlanVersion:
            version = plans.start_draft(plan_id=plan.pk, starts=on, by=drafter, at=self.now)
            kept = version.rules.filter(exclusive=True).order_by("pk")[which % 3]
            draft = plans.RuleDraft(
                name=kept.name,
                measure_id=kept.measure_id,
                factor_ppm=factor,
                receivers=kept.receivers,
                cap_minor=kept.cap_minor,
                priority=kept.priority,
                conditions={c: given for c in kept.CONDITIONS if (given := getattr(kept, c)) is not None},
            )
            plans.save_rule(
                plan_version_id=version.pk, rule_version_id=kept.pk, draft=draft, by=drafter, at=self.now
            )
            if not version.components.exists():
                whole = plans.ComponentDraft(measure_id=self.company.measures[0].pk, weight_ppm=1_000_000)
                plans.save_components(plan_version_id=version.pk, components=[whole], by=drafter, at=self.now)
            simulating.start_simulation(plan_version_id=version.pk, by=drafter, at=self.now)
            self.work_off()
            parity.prove_plan(plan_version_id=version.pk, by=drafter, at=self.now)
            plans.ask_for_review(plan_version_id=version.pk, by=drafter, at=self.now)
            return plans.publish_plan(plan_version_id=version.pk, by=second, at=self.now, reason="Agreed")

        self.attempt("publish", act)
        self.work_off()

    # Time, and doing it again.

    @precondition(lambda self: Period.objects.filter(grain=Grain.MONTH, state="open").count() > 1)
    @rule(end=st.sampled_from(["close", "close", "call back", "leave"]))
    def close(self, end: str) -> None:
        """Two people close the first open month, or call it back; what stands in the way is mended first, unless it is left as it is."""
        month = Period.objects.filter(grain=Grain.MONTH, state="open").order_by("starts")[0]
        if end != "leave":
            self.mend(month)
        asked = self.attempt(
            "ask to close",
            lambda: closing.ask_close(period_id=month.pk, by=self.admin(), at=self.now),
        )
        if asked is None:
            return
        if end != "close":
            self.attempt(
                "call back", lambda: closing.call_back(close_id=asked.pk, by=self.admin(1), at=self.now)
            )
            return
        seen = {item.slug: "Seen" for item in to_acknowledge(checklist(month, at=self.now))}
        job = self.attempt(
            "close",
            lambda: closing.approve_close(
                close_id=asked.pk, by=self.admin(1), at=self.now, acknowledged=seen
            ),
        )
        assert job is not None
        self.work_off()
        month.refresh_from_db()
        assert month.state == PeriodState.CLOSED
        self.closed[month.pk] = CreditEntry.objects.aggregate(last=Max("pk"))["last"] or 0

    def mend(self, month: Period) -> None:
        """Decide on whatever waits, and prove parity."""
        for deal in Deal.objects.filter(amended_at=None, state=DealState.SUBMITTED).order_by("pk"):
            self.approve(deal)
        for deal in Deal.objects.exclude(amended_at=None).order_by("pk"):
            self.approve(deal)
        for waiting in Adjustment.objects.filter(state=AdjustmentState.ASKED):
            self.decide_on(waiting, approve=False)
        parity.prove_period(period_id=month.pk, by=self.admin(), at=self.now)

    @precondition(lambda self: bool(self.closed))
    @rule()
    def reopen(self) -> None:
        month = Period.objects.filter(pk__in=self.closed).order_by("-starts")[0]
        asked = self.attempt(
            "ask to reopen",
            lambda: closing.ask_reopen(
                period_id=month.pk, reason="A bill came", by=self.admin(1), at=self.now
            ),
        )
        if asked and self.attempt(
            "reopen", lambda: closing.reopen(close_id=asked.pk, by=self.admin(), at=self.now)
        ):
            del self.closed[month.pk]

    @rule()
    def seal(self) -> None:
        self.attempt("seal", lambda: sealing.seal(at=self.now))

    @rule()
    def ask_as_of(self) -> None:
        """What an answer was is kept, and asked for again after every step."""
        self.now += timedelta(minutes=1)
        self.answers[self.now] = known_as_of(self.now, at=self.now)

    # What is seen to by hand.

    @rule(rep=PICK, amount=st.integers(-90_000, 90_000), on=DAYS, about=PICK, approve=st.booleans())
    def adjust(self, rep: int, amount: int, on: date, about: int, approve: bool) -> None:
        seller = self.company.people[rep % len(self.company.people)]
        deal = self.pick(about, state=DealState.APPROVED, owner=seller) if about % 2 else None
        draft = AdjustmentDraft(
            rep_id=seller.pk,
            measure_id=self.company.measures[0].pk,
            amount_minor=amount,
            credit_date=on,
            reason_code="goodwill",
            note="Agreed",
            deal_id=deal.pk if deal else None,
        )
        asked = self.attempt(
            "ask to adjust",
            lambda: adjusting.ask_adjustment(draft=draft, by=self.admin(), at=self.now),
        )
        if asked is not None:
            self.decide_on(asked, approve=approve)

    def decide_on(self, asked: Adjustment, *, approve: bool) -> None:
        by = self.admin(1) if asked.asked_by_id != self.admin(1).pk else self.admin(2)
        self.attempt(
            "adjust" if approve else "reject adjustment",
            lambda: adjusting.decide_adjustment(
                adjustment_id=asked.pk,
                approve=approve,
                by=by,
                at=self.now,
                note="Agreed" if approve else "No",
            ),
        )

    @rule(number=PICK)
    def undo_adjustment(self, number: int) -> None:
        posted = list(Adjustment.objects.filter(state=AdjustmentState.POSTED).order_by("pk"))
        if not posted:
            return
        asked = self.attempt(
            "ask to undo",
            lambda: adjusting.undo_adjustment(
                adjustment_id=posted[number % len(posted)].pk, by=self.admin(), at=self.now, note="A mistake"
            ),
        )
        if asked is not None:
            self.decide_on(asked, approve=True)

    @rule(number=PICK, accept=st.booleans(), amount=st.integers(1, 10_000))
    def dispute(self, number: int, accept: bool, amount: int) -> None:
        entries = list(CreditEntry.objects.filter(rep=self.company.world.ana).order_by("pk")[:30])
        if not entries:
            return
        entry, ana = entries[number % len(entries)], self.company.world.ana
        user = ana.user
        assert user is not None
        draft = DisputeDraft(rep_id=ana.pk, kind="wrong_amount", text="Too little", entry_id=entry.pk)
        opened = self.attempt("dispute", lambda: disputes.open_dispute(draft=draft, by=user, at=self.now))
        if opened is None:
            return
        given = AdjustmentDraft(
            rep_id=ana.pk,
            measure_id=entry.measure_id,
            amount_minor=amount,
            credit_date=entry.credit_date,
            reason_code="wrong_amount",
            note="As disputed",
            dispute_id=opened.pk,
        )
        resolved = self.attempt(
            "resolve",
            lambda: disputes.resolve(
                dispute_id=opened.pk,
                accept=accept,
                text="Looked at",
                by=self.admin(),
                at=self.now,
                adjustment=given if accept else None,
            ),
        )
        if resolved is not None and accept:
            for waiting in Adjustment.objects.filter(dispute=opened, state=AdjustmentState.ASKED):
                self.decide_on(waiting, approve=True)

    @rule(rep=PICK, amount=st.integers(1, 10**9), starts=st.none() | DAYS)
    def set_quota(self, rep: int, amount: int, starts: date | None) -> None:
        """A quota moves attainment and nothing else: the ledger stays as it is."""
        before = CreditEntry.objects.count()
        self.attempt(
            "quota",
            lambda: quota_planning.set_quotas(
                measure_id=self.company.measures[0].pk,
                period_id=self.company.world.year.quarters[0].pk,
                targets=[quota_planning.Target(rep_id=self.company.sellers[rep % 3].pk, amount_minor=amount)],
                starts=starts,
                method="last" if starts is None else "weighted",
                reason="Planned",
                by=self.admin(),
                at=self.now,
            ),
        )
        assert CreditEntry.objects.count() == before

    @rule(on=DAYS)
    def run_again(self, on: date) -> None:
        job = self.attempt(
            "run",
            lambda: recredit.start_run(
                starts=on,
                ends=LAST,
                cause="manual",
                what="By hand",
                reason="Asked",
                by=self.admin(),
                at=self.now,
            ),
        )
        self.work_off()
        if job is not None:
            counts = Job.objects.get(pk=job.pk).counts
            assert not counts.get("credited", 0) + counts.get("reversed", 0)

    @rule(number=PICK)
    def post_again_under_the_same_key(self, number: int) -> None:
        if deal := self.pick(number, state=DealState.APPROVED):
            self.now += timedelta(minutes=1)
            source, key = engine.ByDeal([deal.pk]), f"again:{self.now.isoformat()}"
            first = engine.post(source, key=key, kind="recredit", by=None, at=self.now)
            again = engine.post(source, key=key, kind="recredit", by=None, at=self.now)
            assert (first.posting_id, again.replayed) == (again.posting_id, True)
            with pytest.raises(engine.PostingKeyReused), transaction.atomic():
                engine.post(engine.ByDeal([deal.pk, 0]), key=key, kind="recredit", by=None, at=self.now)
            self.fresh = True

    # What holds after each of it.

    @invariant()
    def every_invariant_holds(self) -> None:
        if not self.fresh:
            return
        self.fresh = False
        found = broken()
        assert found == {}
        self.net = net_of_the_ledger()
        rows = entries_after(0)
        before = self.written
        self.new = [pk for pk in rows if pk not in before]
        self.rows = rows
        for name, check in CHECKS.items():
            if callable(check):
                try:
                    check(self)
                except AssertionError as broken_:
                    raise AssertionError(f"{name}: {broken_}") from broken_
        self.written = rows


def deliver(at: datetime) -> None:
    """Carry out what is owed after a decision or a change of the catalog."""
    from config.models import OutboxMessage
    from config.outbox import carry_out

    for message_id in OutboxMessage.objects.filter(done_at=None, topic__startswith="marketplace").values_list(
        "pk", flat=True
    ):
        assert carry_out(message_id=message_id, at=at)


def entries_after(pk: int) -> dict[int, tuple[Any, ...]]:
    return {row[0]: row for row in CreditEntry.objects.filter(pk__gt=pk).order_by("pk").values_list()}


def net_of_the_ledger() -> Net:
    rows = CreditEntry.objects.filter(adjustment=None).values_list(
        "deal_id", "line_no", "rep_id", "team_id", "measure_id", "component", "receiver_class", "rule_id", "origin_period_id"
    ).annotate(n=Sum("amount_minor"))  # fmt: skip
    return Counter({tuple(row[:-1]): row[-1] for row in rows if row[-1]})


@contextmanager
def an_empty_ledger() -> Iterator[None]:
    """Tables of the same names in front of the ledger's own, gone afterwards: the ledger itself cannot be emptied, by nobody."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            for table in LEDGER:
                cursor.execute(f"create temporary table {table} (like public.{table} including all)")
        yield
        transaction.set_rollback(True)


# The invariants of the ledger that take more than a statement, by the names that they have everywhere.


def entries_never_change(machine: Machine) -> None:
    assert {pk: machine.rows.get(pk) for pk in machine.written} == machine.written


def no_entry_in_a_closed_leaf(machine: Machine) -> None:
    for month, last in machine.closed.items():
        assert not CreditEntry.objects.filter(posting_period=month, pk__gt=last).exists()


def a_subtree_is_the_sum_of_its_entries(machine: Machine) -> None:
    company = machine.company
    quarter = company.world.year.quarters[0]
    measure, viewer = company.measures[0], company.world.admin
    for team in (company.world.company, company.world.region, company.world.other):
        board = boards.team_board(team=team, period=quarter, measure=measure, at=machine.now, viewer=viewer)
        below = list(teams.below(team.pk, board.on))
        direct = CreditEntry.objects.filter(
            team__in=below, measure=measure, posting_period__quarter=quarter, receiver_class=1
        )
        assert board.credited_minor == (direct.aggregate(n=Sum("amount_minor"))["n"] or 0)


def by_hand() -> Net:
    """What adjustments net to."""
    rows = CreditEntry.objects.exclude(adjustment=None).values_list(
        "adjustment_id", "rep_id", "team_id", "measure_id", "origin_period_id"
    )
    return Counter({tuple(row[:-1]): row[-1] for row in rows.annotate(n=Sum("amount_minor")) if row[-1]})


def replayed_facts_give_the_same_nets(machine: Machine) -> None:
    given = by_hand()
    with an_empty_ledger():
        engine.post(EVERYTHING, key="replay", kind="recredit", by=None, at=machine.now)
        posted = list(Adjustment.objects.filter(state=AdjustmentState.POSTED).order_by("pk"))
        for adjustment in posted:
            engine.adjust([adjustment.pk], key=f"replay:{adjustment.pk}", by=None, at=machine.now)
        assert net_of_the_ledger() == machine.net
        assert by_hand() == given
    assert given == Counter(
        {
            (a.pk, a.rep_id, a.team_id, a.measure_id, a.origin_period_id): a.amount_minor
            for a in Adjustment.objects.filter(state=AdjustmentState.POSTED, undoes=None).exclude(
                undone_by__state=AdjustmentState.POSTED
            )
        }
    )
    expected = Oracle().credit(Deal.objects.order_by("pk")).entries
    assert machine.net == Counter({(e.deal_id, e.line_no, e.rep_id, e.team_id, e.measure_id, e.component, e.receiver_class, e.rule_id, e.period_id): e.amount
                                   for e in expected})  # fmt: skip


def a_rerun_writes_nothing(machine: Machine) -> None:
    with transaction.atomic():
        outcome = engine.post(EVERYTHING, key="rerun", kind="recredit", by=None, at=machine.now)
        assert {"credited", "reversed"}.isdisjoint(outcome.counts)
        assert entries_after(max(machine.rows, default=0)) == {}
        transaction.set_rollback(True)


def explanations_re_evaluate(machine: Machine) -> None:
    touched = {
        machine.rows[pk][CreditEntry._meta.get_fields().index(CreditEntry._meta.get_field("deal"))]
        for pk in machine.new
    } - {None}
    for deal_id in touched:
        told = explain_deal(deal_id).credits
        assert {e.entry.pk for e in told} == set(
            CreditEntry.objects.filter(deal=deal_id).values_list("pk", flat=True)
        )
        assert [(e.entry.pk, e.amount_minor, e.evaluated_minor) for e in told if not e.holds] == []


def a_twin_moves_nothing(machine: Machine) -> None:
    published = list(PlanVersion.objects.filter(state="published").values_list("pk", flat=True))
    report = engine.twins(EVERYTHING, twin=engine.Twin("origin"), plan_versions=published)
    assert report.unequal == []
    assert report.lines > 0 or not machine.net


def known_as_of(moment: datetime, *, at: datetime) -> Net:
    """What a moment's mark knows of every rep, measure and month."""
    mark = marking.as_of(moment, at=at)
    known = CreditEntry.objects.filter(posting__marked__mark__lte=mark, posting__recorded_at__lte=moment)
    rows = known.order_by().values_list("rep_id", "team_id", "measure_id", "posting_period_id")
    return Counter({tuple(row[:-1]): row[-1] for row in rows.annotate(n=Sum("amount_minor")) if row[-1]})


def as_of_answers_never_change(machine: Machine) -> None:
    assert {moment: known_as_of(moment, at=machine.now) for moment in machine.answers} == machine.answers


def a_closed_snapshot_equals_recomputation(machine: Machine) -> None:
    for close in PeriodClose.objects.exclude(mark=None).select_related("period"):
        assert snapshots.differing(close, limit=3) == []
        assert snapshots.frozen_digest(close) == close.frozen_digest
        assert statements.digest_of(close) == close.statements_digest
        assert earning.digest_of(close) == close.payments_digest


def the_seal_verifies(machine: Machine) -> None:
    if Seal.objects.exists():
        assert verifying.verify(invariants_too=False).wrong == []


def a_rep_reads_only_their_own(machine: Machine) -> None:
    for rep in Rep.objects.exclude(user=None).select_related("user"):
        assert rep.user is not None
        seen = entries_for(rep.user, LAST)
        assert rep_of(rep.user) == rep
        others = seen.exclude(rep=rep).exclude(team__in=managed_teams(rep.user, LAST))
        assert not others.exists()
        assert seen.filter(rep=rep).count() == CreditEntry.objects.filter(rep=rep).count()


CHECKS: dict[str, str | tuple[str, str] | Callable[[Machine], None]] = {
    "entries never change": entries_never_change,
    "posting key unique": "posting key unique",
    "base amounts of a line add up to its value": "base amounts of a line add up to its value",
    "shares add up to one million": "shares add up to one million",
    "a reversal negates exactly one entry, at most once": "a reversal negates exactly one entry, at most once",
    "a cancelled deal nets to zero in every measure": "a cancelled deal nets to zero in every measure",
    "no entry posted into a closed leaf": no_entry_in_a_closed_leaf,
    "origin period contains the credit date": "origin period contains the credit date",
    "totals equal the ledger, both ways": (
        "totals equal the ledger, as reported",
        "totals equal the ledger, restated",
    ),
    "a subtree equals the sum of its entries": a_subtree_is_the_sum_of_its_entries,
    "replay of all facts on an empty ledger gives the same nets": replayed_facts_give_the_same_nets,
    "rerun without change writes nothing": a_rerun_writes_nothing,
    "an explanation re-evaluates to its amount": explanations_re_evaluate,
    "every approved deal has credits or a reason": "every approved deal has credits or a reason",
    "a twin moves nothing without an exception": a_twin_moves_nothing,
    "nobody approves a deal in which they have a share": "nobody approves a deal in which they have a share",
    "a rep's read never holds another rep's entries unless policy allows": a_rep_reads_only_their_own,
    "as-of answers never change": as_of_answers_never_change,
    "a closed snapshot equals recomputation": a_closed_snapshot_equals_recomputation,
    "the seal verifies": the_seal_verifies,
}


def test_every_invariant_of_the_design_is_held_by_its_name() -> None:
    for name, held in CHECKS.items():
        if not callable(held):
            assert {held} <= set(INVARIANTS) if isinstance(held, str) else set(held) <= set(INVARIANTS), name


HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_whatever_happens_every_invariant_holds() -> None:
    Machine.company = Company()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=2, stateful_step_count=14, deadline=None, suppress_health_check=HEALTH
        ),
    )


@pytest.mark.soak
def test_whatever_happens_for_long_every_invariant_holds() -> None:
    Machine.company, Machine.done = Company(), Counter()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=HEALTH
        ),
    )
    steps = {
        "book", "submit", "approve", "reject", "amend", "re-split", "cancel", "cancel part", "refund", "hold", "release", "usage", "bill",
        "transfer", "move", "reorganise", "cover", "leave", "put in territory", "assign", "rate", "eligibility", "catalog", "publish", "run",
        "quota", "dispute", "resolve", "ask to adjust", "adjust", "ask to undo", "ask to close", "call back", "close", "reopen", "seal",
    }  # fmt: skip
    assert steps <= set(Machine.done), f"never done: {steps - set(Machine.done)}"

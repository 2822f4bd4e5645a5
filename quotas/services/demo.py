"""Loads the demo: facts in bulk, deals through the batch services and the engine that everybody else's go through.

One transaction: killed half way, nothing of it is there. What is loaded comes from quotas.demo.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Count

from accounts.audit import acting
from accounts.models import RoleGrant, User
from config import bulk, jobs
from config.clock import day_of
from config.models import JobState, OutboxMessage
from marketplace.models import (
    CommercialPath,
    Customer,
    EligibilityDecision,
    Offering,
    Program,
    Publisher,
    PublisherMembership,
    ScopeLevel,
    TaskArea,
)
from marketplace.selectors.on_sale import ON_SALE
from marketplace.services.demo import stage_demo
from marketplace.services.loading import load_catalog
from quotas.crediting import engine
from quotas.demo import calendar, crm, plan
from quotas.demo.market import OfferingFact, PlanFact
from quotas.demo.organisation import DOMAIN, HOME, LOG_INS, PARTNERS
from quotas.demo.selling import (
    APPROVED,
    CANCELLED,
    DRAFT,
    HELD,
    REJECTED,
    RETURNED,
    AmendmentFact,
    DealFact,
)
from quotas.demo.targets import BOOKINGS, CONSUMPTION, MINOR, NEW_CUSTOMERS
from quotas.demo.world import World, world
from quotas.models import (
    ONE,
    AccountOwnership,
    CompPlan,
    CreditEntry,
    CreditingRule,
    CustomerTerritory,
    Deal,
    DealKind,
    DealLine,
    DealState,
    Draw,
    FiscalCalendar,
    FxRate,
    Grain,
    ImportKind,
    Measure,
    ParityException,
    PayScale,
    Period,
    PeriodState,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    Quota,
    QuotaRelief,
    RateTier,
    Rep,
    RuleVersion,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
    TerritoryAssignment,
    ValueBasis,
)
from quotas.selectors.closing import checklist, last_posted, to_acknowledge
from quotas.services import closing, importing
from quotas.services.approving import (
    MOST_AT_ONCE,
    approve_deal,
    approve_deals,
    cancel_deal,
    cancel_part,
    hold_deal,
    reject_deal,
    return_deal,
)
from quotas.services.booking import (
    DealDraft,
    LineDraft,
    ShareDraft,
    amend_deal,
    draft_of,
    log_deal,
    record_deals,
    submit_deal,
)
from quotas.services.consumption import UsageRow, record_usage
from quotas.services.delegating import delegate, set_limit
from quotas.services.demo_commitments import stage_commitments
from quotas.services.demo_disputes import stage_disputes
from quotas.services.demo_evidence import stage_counter_proposal, stage_evidence
from quotas.services.parity import prove_period
from quotas.services.policies import draft_policy, publish_policy

PASSWORD = "demo"  # noqa: S105 -- it stands on the log-in page
POLICY = "Straight-through v1"
SOURCES = {"crm": "CRM import", "metering": "Metering import"}
FOUNDED = datetime(2025, 6, 16, 16, tzinfo=UTC)
TREE_SINCE = date(2010, 1, 1)
LOCK = 0x44454D4F
CRM_SOURCE = "salesforce"  # as the map of the file says
CRM_ROWS = 36  # of the file that a CRM has exported
LIMIT_MINOR = 1_000_000_00  # above it two people approve
LARGE_DEAL = "Coding assistants for every developer"  # waits for its second approver
CLOSED_HERE = 2  # of the months that are over, the last ones: with snapshot, seal and statements
ACCEPTED = "Known, and agreed with finance for this month."
A_BATCH = 4_000  # deals approved together at least: each posting passes over all facts once


@dataclass
class Loaded:
    """What a load wrote, by kind of record; nothing if the demo was there already."""

    counts: dict[str, int] = field(default_factory=dict)
    digest: str = ""


@dataclass
class _Ids:
    """From the names that the world uses to what the database made of them."""

    users: dict[str, User] = field(default_factory=dict)
    teams: dict[str, int] = field(default_factory=dict)
    reps: dict[str, int] = field(default_factory=dict)
    customers: dict[str, int] = field(default_factory=dict)
    offerings: dict[str, int] = field(default_factory=dict)
    plans: dict[tuple[str, str], int] = field(default_factory=dict)
    measures: dict[str, int] = field(default_factory=dict)
    periods: dict[str, int] = field(default_factory=dict)
    deals: dict[str, int] = field(default_factory=dict)


@transaction.atomic
def load_demo(*, scale: str, seed: int, today: date) -> Loaded:
    """Load the demo of that scale as it is on *today*, unless there is one already."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCK])
    if User.objects.filter(email=f"{LOG_INS[0].name}@{DOMAIN}").exists():
        return Loaded()
    ids = _Ids()
    _users(ids)
    load_catalog(by=ids.users["catalog"], checked_by=ids.users["admin"], at=FOUNDED)
    offerings = _offerings(ids)
    made = world(seed=seed, today=today, scale=scale, offerings=offerings)
    acting(by=ids.users["admin"], at=FOUNDED, reason="Demo loaded")
    _organisation(ids, made)
    _customers(ids, made)
    _territories(ids, made)
    _calendar(ids, made)
    _quotas(ids, made)
    _reliefs(ids, made)
    _plan(ids, made)
    stage_counter_proposal(by=ids.users["checker"], at=_morning(today - timedelta(days=2)))
    _draw(ids, made)
    _policies(ids)
    _deals(ids, made)
    deals = Deal.objects.count()
    imported = _crm_file(ids, today)
    disputed = stage_disputes(people=ids.users, today=today)
    _approvals(ids, today)
    committed = stage_commitments(by=ids.users["admin"], today=today, at=_morning(today - timedelta(days=2)))
    staged = stage_demo(people=ids.users, at=_morning(today - timedelta(days=1)))
    proved = stage_evidence(people=ids.users, today=today, at=_evening(today - timedelta(days=1)))
    return Loaded(
        {
            "people": len(made.organisation.people) + len(made.overlay.people),
            "teams": len(made.organisation.teams),
            "customers": len(made.customers),
            "quotas": Quota.objects.count(),
            "deals": deals,
            "deals out of a CRM's file": imported,
            "credit entries": CreditEntry.objects.count(),
            "customer commitments": committed,
            **disputed,
            **staged,
            **proved,
        },
        made.digest(),
    )


def _users(ids: _Ids) -> None:
    """The log-ins, all with one password and so with one hash: it is slow to make, and a secret to nobody."""
    acting(by=None, at=FOUNDED, reason="Demo loaded")
    secret = make_password(PASSWORD)
    users = [User(email=f"{known.name}@{DOMAIN}", name=known.title, password=secret) for known in LOG_INS]
    users += [
        User(email=f"{source}@{DOMAIN}", name=name, is_service=True, password=make_password(None))
        for source, name in SOURCES.items()
    ]
    for user in User.objects.bulk_create(users):
        ids.users[user.email.split("@")[0]] = user
    RoleGrant.objects.bulk_create(
        RoleGrant(user=ids.users[known.name], role=role, granted_at=FOUNDED)
        for known in LOG_INS
        for role in known.roles
    )


def _offerings(ids: _Ids) -> list[OfferingFact]:
    """What may be sold, for the generators; and whose publishers the partners act for."""
    PublisherMembership.objects.bulk_create(
        [
            PublisherMembership(user=ids.users[log_in], publisher=Publisher.objects.get(slug=slug))
            for log_in, slug in PARTNERS.items()
        ]
    )
    facts = []
    sold = Offering.objects.filter(publication__in=ON_SALE).exclude(commercial_path=CommercialPath.INTERNAL)
    for offering in sold.select_related("publisher").prefetch_related("plans").order_by("slug"):
        plans = sorted((p for p in offering.plans.all() if p.is_public), key=lambda p: (p.position, p.slug))
        ids.offerings[offering.slug] = offering.pk
        ids.plans.update({(offering.slug, p.slug): p.pk for p in plans})
        facts.append(
            OfferingFact(
                slug=offering.slug,
                name=offering.name,
                publisher=offering.publisher.slug,
                kind=offering.kind,
                available_on=offering.available_on,
                deprecated_on=offering.deprecated_on,
                retires_on=offering.retires_on,
                plans=tuple(PlanFact(p.slug, p.pricing_form) for p in plans),
                countries=None
                if offering.billing_countries is None
                else frozenset(offering.billing_countries),
            )
        )
    return facts


def _organisation(ids: _Ids, made: World) -> None:
    found = made.organisation
    teams = Team.objects.bulk_create(
        Team(slug=team.slug, name=team.name, cost_centre=team.cost_centre) for team in found.teams
    )
    ids.teams = {team.slug: team.pk for team in teams}
    TeamPlacement.objects.bulk_create(
        TeamPlacement(
            team_id=ids.teams[team.slug],
            parent_id=ids.teams[team.parent] if team.parent else None,
            effective=DateRange(TREE_SINCE, None),
            recorded_at=FOUNDED,
        )
        for team in found.teams
    )
    people = [*found.people, *made.overlay.people]
    reps = Rep.objects.bulk_create(
        Rep(
            slug=person.slug,
            name=person.name,
            user=ids.users[person.log_in] if person.log_in else None,
            employee_no="" if person.hired_on is None else f"E{10_000 + nth}",
            hired_on=person.hired_on,
            left_on=person.left_on,
        )
        for nth, person in enumerate(people)
    )
    ids.reps = {rep.slug: rep.pk for rep in reps}
    TeamMembership.objects.bulk_create(
        TeamMembership(
            rep_id=ids.reps[person.slug],
            team_id=ids.teams[stay.team],
            role=stay.role,
            effective=DateRange(stay.starts, stay.ends),
            recorded_at=max(FOUNDED, _morning(stay.starts)),
        )
        for person in people
        for stay in person.stays
    )


def _customers(ids: _Ids, made: World) -> None:
    rows = Customer.objects.bulk_create(
        Customer(
            slug=c.slug,
            name=c.name,
            segment=c.segment,
            region=c.region,
            country=c.country,
            industry=c.industry,
        )
        for c in made.customers
    )
    ids.customers = {row.slug: row.pk for row in rows}
    AccountOwnership.objects.bulk_create(
        AccountOwnership(
            customer_id=ids.customers[customer.slug],
            rep_id=ids.reps[span.person.slug],
            effective=DateRange(span.starts, span.ends),
            credits=DateRange(span.starts, span.ends),
            recorded_at=max(FOUNDED, _morning(span.starts)),
        )
        for customer in made.customers
        for span in customer.owned_by
    )


def _territories(ids: _Ids, made: World) -> None:
    """An area is a territory: its customers lie in it, its solution specialist covers it, its house rep keeps what nobody covers."""
    facts = made.overlay.territories
    rows = Territory.objects.bulk_create(
        Territory(slug=fact.slug, name=fact.name, house_rep_id=ids.reps[fact.house.slug]) for fact in facts
    )
    territories = {row.slug: row.pk for row in rows}
    TerritoryAssignment.objects.bulk_create(
        TerritoryAssignment(
            territory_id=territories[fact.slug],
            rep_id=ids.reps[cover.person.slug],
            effective=DateRange(cover.starts, cover.ends),
            recorded_at=max(FOUNDED, _morning(cover.starts)),
        )
        for fact in facts
        for cover in fact.covers
    )
    area_of = {team.slug: team.area for team in made.organisation.teams}
    CustomerTerritory.objects.bulk_create(
        CustomerTerritory(
            customer_id=ids.customers[customer.slug],
            territory_id=territories[area_of[customer.team]],
            effective=DateRange(TREE_SINCE, None),
            recorded_at=FOUNDED,
        )
        for customer in made.customers
    )


def _calendar(ids: _Ids, made: World) -> None:
    """Months are open as long as history is posted into them; what is over is closed at the end."""
    corporate = FiscalCalendar.objects.create(
        slug="corporate", name="Corporate fiscal year", time_zone="America/Los_Angeles"
    )
    states = calendar.states(made.today)
    for grain in "YHQM":
        rows = Period.objects.bulk_create(
            Period(
                calendar=corporate,
                grain=grain,
                name=fact.name,
                starts=fact.starts,
                ends=fact.ends,
                quarter_id=ids.periods[fact.quarter] if fact.quarter else None,
                half_id=ids.periods[fact.half] if fact.half else None,
                year_id=ids.periods[fact.year] if fact.year else None,
                state=PeriodState.FUTURE if states.get(fact.name, "future") == "future" else PeriodState.OPEN,
            )
            for fact in calendar.periods()
            if fact.grain == grain
        )
        ids.periods.update({row.name: row.pk for row in rows})
    FxRate.objects.bulk_create(
        FxRate(
            from_currency_id=rate.currency,
            to_currency_id="USD",
            rate_e9=rate.rate_e9,
            effective=DateRange(rate.starts, rate.ends),
            recorded_at=_morning(rate.starts),
        )
        for rate in made.rates
    )


def _quotas(ids: _Ids, made: World) -> None:
    measures = Measure.objects.bulk_create(
        [
            Measure(
                slug=BOOKINGS,
                name="AI bookings",
                basis=ValueBasis.CONTRACT_VALUE,
                currency_id="USD",
                position=1,
            ),
            Measure(
                slug=CONSUMPTION,
                name="AI consumption",
                basis=ValueBasis.BILLED,
                currency_id="USD",
                position=2,
            ),
            Measure(slug=NEW_CUSTOMERS, name="New customers", basis=ValueBasis.NEW_CUSTOMERS, position=3),
        ]
    )
    ids.measures = {measure.slug: measure.pk for measure in measures}
    asked = made.targets
    bulk.insert(
        [
            Quota(
                measure_id=ids.measures[measure],
                period_id=ids.periods[period],
                rep_id=ids.reps[slug] if of_rep else None,
                team_id=None if of_rep else ids.teams[slug],
                amount_minor=amount * MINOR[measure],
                recorded_by_id=ids.users["admin"].pk,
                recorded_at=datetime(2025 if period.startswith("FY26") else 2026, 6, 24, 17, tzinfo=UTC),
            )
            for of_rep, targets in ((False, asked.teams), (True, asked.reps))
            for (measure, period, slug), amount in targets.items()
        ]
    )


def _reliefs(ids: _Ids, made: World) -> None:
    QuotaRelief.objects.bulk_create(
        QuotaRelief(
            rep_id=ids.reps[relief.person],
            kind=relief.kind,
            effective=DateRange(relief.starts, relief.ends),
            factor_ppm=relief.percent * 10_000,
            reason=relief.reason,
            recorded_by_id=ids.users["admin"].pk,
            recorded_at=_morning(relief.starts if relief.kind == "leave" else made.reliefs[0].starts),
        )
        for relief in made.reliefs
    )


def _plan(ids: _Ids, made: World) -> None:
    """A plan for everybody and one for a role, published by another person than their author; and a draft that pays one publisher more."""
    field_plan = CompPlan.objects.create(slug=plan.SLUG, name=plan.NAME)
    launch = CompPlan.objects.create(slug=plan.LAUNCH_SLUG, name=plan.LAUNCH_NAME)
    PlanAssignment.objects.bulk_create(
        [
            PlanAssignment(plan=field_plan, effective=DateRange(*plan.SPAN), recorded_at=FOUNDED),
            *(
                PlanAssignment(
                    plan=launch,
                    role=role,
                    effective=DateRange(*plan.LAUNCH_SPAN),
                    recorded_at=_morning(plan.LAUNCH_SPAN[0]) - timedelta(days=8),
                )
                for role in plan.LAUNCH_ROLES
            ),
        ]
    )
    june = _morning(plan.LAUNCH_SPAN[0]) - timedelta(days=12)
    draft = _version(
        *(ids, field_plan, 2, plan.DRAFT_SPAN, _morning(made.today - timedelta(days=3))),
        "Proposal: pay more for our own products from October on.",
    )
    first = _version(ids, field_plan, 1, plan.SPAN, FOUNDED, "Whose model it is plays no part.")
    extra = _version(
        ids, launch, 1, plan.LAUNCH_SPAN, june, "Half a year of a push for coding, whoever made the model."
    )
    _rules(ids, [(first, plan.RULES), (draft, plan.DRAFT_RULES), (extra, plan.LAUNCH_RULES)])
    components = PlanComponent.objects.bulk_create(
        PlanComponent(
            plan_version=version,
            measure_id=ids.measures[measure],
            weight_ppm=weight,
            target_incentive_minor=incentive,
            currency_id="USD",
        )
        for version in (first, draft)
        for measure, weight, incentive in plan.COMPONENTS
    )
    _scales(ids, components)
    _exception(ids)
    for version in (first, extra):
        version.state = PlanState.PUBLISHED
        version.review_asked_by, version.review_asked_at = (
            version.drafted_by,
            version.drafted_at + timedelta(days=1),
        )
        version.published_by = ids.users["checker"]
        version.published_at = version.drafted_at + timedelta(days=3)
        version.save()


def _scales(ids: _Ids, components: Sequence[PlanComponent]) -> None:
    """How each component pays, before its version is published: from then on it does not change."""
    of = {ids.measures[measure]: terms for measure, terms in plan.SCALES.items()}
    scales = PayScale.objects.bulk_create(
        PayScale(component=component, window=Grain.QUARTER, cap_minor=of[component.measure_id][1])
        for component in components
    )
    RateTier.objects.bulk_create(
        RateTier(scale=scale, starts_at=starts_at, rate_ppm=rate)
        for scale, component in zip(scales, components, strict=True)
        for starts_at, rate in of[component.measure_id][0]
    )


def _draw(ids: _Ids, made: World) -> None:
    """The last seat of the log-ins' team has a recoverable draw."""
    home = made.organisation.home
    last = made.organisation.sellers(home, plan.DRAW_SPAN[0])[-1]
    Draw.objects.create(
        rep_id=ids.reps[last.slug],
        amount_minor=plan.DRAW_MINOR,
        currency_id="USD",
        effective=DateRange(*plan.DRAW_SPAN),
        reason=plan.DRAW_REASON,
        recorded_by=ids.users["admin"],
        recorded_at=_morning(plan.DRAW_SPAN[0]) - timedelta(days=4),
    )


def _exception(ids: _Ids) -> None:
    """That third-party marketplace offerings generally do not count is a decision of the catalog; two people stand for it for a year."""
    decision = EligibilityDecision.objects.filter(
        program=Program.QUOTA, level=ScopeLevel.PATH, commercial_path=CommercialPath.MARKETPLACE, rate_ppm=0
    ).first()
    if decision is None:
        return
    june = _morning(plan.EXCEPTION_SPAN[0]) - timedelta(days=10)
    ParityException.objects.create(
        decision=decision,
        reason=plan.EXCEPTION_REASON,
        effective=DateRange(*plan.EXCEPTION_SPAN),
        asked_by=ids.users["admin"],
        asked_at=june,
        approved_by=ids.users["checker"],
        approved_at=june + timedelta(days=2),
    )


def _policies(ids: _Ids) -> None:
    """What comes from the CRMs is approved as it comes, within limits that two comp admins have agreed on."""
    drafted = draft_policy(
        name=plan.POLICY_NAME,
        sources=plan.POLICY_SOURCES,
        currency="USD",
        most_minor=plan.POLICY_MOST_MINOR,
        late_after_days=plan.POLICY_LATE_AFTER_DAYS,
        by=ids.users["admin"],
        at=FOUNDED,
    )
    publish_policy(policy_id=drafted.pk, by=ids.users["checker"], at=FOUNDED + timedelta(days=2))


def _version(
    ids: _Ids, of: CompPlan, number: int, span: tuple[date, date], at: datetime, note: str
) -> PlanVersion:
    return PlanVersion.objects.create(
        plan=of,
        number=number,
        effective=DateRange(*span),
        note=note,
        drafted_by=ids.users["admin"],
        drafted_at=at,
    )


def _rules(ids: _Ids, versions: Sequence[tuple[PlanVersion, Sequence[plan.RuleFact]]]) -> None:
    """A rule of one slug is the same rule in every version of its plan."""
    slugs = dict.fromkeys((version.plan_id, fact.slug) for version, facts in versions for fact in facts)
    rules = {
        (rule.plan_id, rule.slug): rule
        for rule in CreditingRule.objects.bulk_create(
            CreditingRule(plan_id=plan_id, slug=slug) for plan_id, slug in slugs
        )
    }
    publishers = dict(Publisher.objects.values_list("slug", "id"))
    areas = dict(TaskArea.objects.values_list("slug", "id"))
    RuleVersion.objects.bulk_create(
        RuleVersion(
            rule=rules[version.plan_id, fact.slug],
            plan_version=version,
            name=fact.name,
            measure_id=ids.measures[fact.measure],
            receivers=fact.receivers,
            exclusive=fact.exclusive,
            factor_ppm=fact.factor_ppm,
            cap_minor=fact.cap_minor,
            priority=fact.priority,
            effective=DateRange(*fact.effective) if fact.effective else None,
            deal_kinds=list(fact.deal_kinds) or None,
            segments=list(fact.segments) or None,
            regions=list(fact.regions) or None,
            roles=list(fact.roles) or None,
            publishers=[publishers[slug] for slug in fact.publishers] or None,
            task_areas=[areas[slug] for slug in fact.task_areas] or None,
        )
        for version, facts in versions
        for fact in facts
    )


def _deals(ids: _Ids, made: World) -> None:
    """Month by month as it happened; then what was undone, the close of the months that are over, and what was undone or proposed after it."""
    home = "-".join(HOME)
    at_home = {person.slug for person in made.organisation.sellers(home, made.today)}
    quarter = next(p for p in calendar.periods() if p.grain == "Q" and p.holds(made.today))
    by_manager: list[DealFact] = []
    waiting: list[DealFact] = []  # refunds whose originals are not approved yet
    approved: set[str] = set()
    states = calendar.states(made.today)
    closed = [name for name, state in states.items() if state == "closed"]
    last_closed = max(fact.starts for fact in calendar.periods() if fact.name in closed)
    for batch in _batches(made.deals, last_closed + timedelta(days=45)):
        ready: list[DealFact] = []
        refunds = waiting
        _meter(ids, [fact for fact in batch if fact.kind == "consumption"])
        for fact in batch:
            if fact.kind != "consumption":
                (refunds if fact.refunds else ready).append(fact)
        waiting = [fact for fact in refunds if fact.refunds not in approved]
        ready += [fact for fact in refunds if fact.refunds in approved]
        _record(ids, ready)
        decided = [fact for fact in ready if fact.outcome in (APPROVED, CANCELLED, HELD)]
        mine = [
            fact
            for fact in decided
            if fact.owner in at_home
            and fact.source == "crm"
            and fact.outcome == APPROVED
            and quarter.holds(fact.close_date)
        ]
        by_manager += mine
        taken = {fact.external_id for fact in mine}
        _approve(ids, [fact for fact in decided if fact.external_id not in taken], by="admin", policy=POLICY)
        approved |= {fact.external_id for fact in decided}
    if waiting:
        _record(ids, waiting)
        _approve(ids, waiting, by="admin", policy=POLICY)
    _bill(ids, made)
    for first in range(0, len(by_manager), MOST_AT_ONCE):
        _approve(ids, by_manager[first : first + MOST_AT_ONCE], by="manager", policy="")
    _turn_down(ids, made)
    undone = [fact for fact in made.deals if fact.outcome in (CANCELLED, HELD)]
    late = [fact for fact in undone if fact.late]
    for fact in undone:
        if not fact.late:
            _undo(ids, fact)
    _close(ids, closed[:-CLOSED_HERE], at=_morning(last_closed + timedelta(days=45)))
    for nth, name in enumerate(closed[-CLOSED_HERE:]):
        _close_by_two(ids, name, at=_morning(last_closed + timedelta(days=66 + nth)))
    for fact in late:
        _undo(ids, fact)
    for fact in made.deals:
        if fact.left_ppm is not None:
            _cancel_a_part(ids, fact)
    for fact in made.deals:
        if fact.amendment is not None:
            _propose(ids, fact, fact.amendment)


def _meter(ids: _Ids, facts: Sequence[DealFact]) -> None:
    """A month's usage as it came in, in one call for each day that brought some."""
    days: dict[datetime, list[DealFact]] = defaultdict(list)
    for fact in facts:
        days[fact.recorded_at].append(fact)
    for at, group in sorted(days.items()):
        rows = [row for fact in group for row in _usage(ids, fact, billed=fact.billed_at is None)]
        record_usage(rows=rows, source="metering", by=ids.users["metering"], at=at)


def _bill(ids: _Ids, made: World) -> None:
    """The bills of the last months, which came after their usage had been credited as an estimate."""
    days: dict[datetime, list[DealFact]] = defaultdict(list)
    for fact in made.deals:
        if fact.billed_at is not None:
            days[fact.billed_at].append(fact)
    for at, group in sorted(days.items()):
        rows = [row for fact in group for row in _usage(ids, fact, billed=True)]
        record_usage(rows=rows, source="metering", by=ids.users["metering"], at=at)


def _usage(ids: _Ids, fact: DealFact, *, billed: bool) -> Iterable[UsageRow]:
    for line in fact.lines:
        yield UsageRow(
            customer_id=ids.customers[fact.customer],
            offering_id=ids.offerings[line.offering],
            month=fact.close_date,
            currency=fact.currency,
            consumed_minor=line.amount_minor,
            billed_minor=line.billed_minor if billed else None,
            plan_id=ids.plans[line.offering, line.plan] if line.plan else None,
        )


def _cancel_a_part(ids: _Ids, fact: DealFact) -> None:
    assert fact.undone_at is not None  # noqa: S101 -- whatever was cancelled says when
    left = fact.lines[0].amount_minor * (fact.left_ppm or 0) // 1_000_000
    cancel_part(
        deal_id=ids.deals[_key(fact)],
        amounts={1: left},
        by=ids.users["admin"],
        at=fact.undone_at,
        reason=fact.reason,
    )


def _propose(ids: _Ids, fact: DealFact, change: AmendmentFact) -> None:
    draft = draft_of(Deal.objects.select_related("latest_version").get(pk=ids.deals[_key(fact)]))
    first = draft.lines[0]
    more = first.amount_minor + first.amount_minor * change.add_ppm // 1_000_000
    amend_deal(
        deal_id=ids.deals[_key(fact)],
        draft=replace(
            draft,
            lines=(replace(first, amount_minor=more), *draft.lines[1:]),
            shares=tuple(ShareDraft(ids.reps[slug], ppm) for slug, ppm in change.shares) or draft.shares,
            close_date=change.close_date or draft.close_date,
        ),
        by=ids.users[change.by],
        at=change.at,
        reason=change.reason,
    )


def _batches(deals: Sequence[DealFact], day: date) -> Iterable[list[DealFact]]:
    """Whole months in the order in which they were recorded, at least A_BATCH deals each but for the last and for the one of *day*.

    What is recorded in the month of that day is posted with nothing later: closes come after it.
    """
    months: dict[tuple[int, int], list[DealFact]] = defaultdict(list)
    for fact in deals:
        months[fact.recorded_at.year, fact.recorded_at.month].append(fact)
    batch: list[DealFact] = []
    for month, recorded in months.items():
        batch += recorded
        if len(batch) >= A_BATCH or month == (day.year, day.month):
            yield batch
            batch = []
    if batch:
        yield batch


def _record(ids: _Ids, facts: Sequence[DealFact]) -> None:
    """In one call for each person or import that logged them, and for drafts apart from what was handed in."""
    groups: dict[tuple[str, str], list[DealFact]] = defaultdict(list)
    for fact in facts:
        state = DealState.DRAFT if fact.outcome == DRAFT else DealState.SUBMITTED
        groups["rep" if fact.by_owner else fact.source, state.value].append(fact)
    for (user, state_name), group in groups.items():
        made = record_deals(
            drafts=[_draft(ids, fact) for fact in group],
            by=ids.users[user],
            at=max(fact.recorded_at for fact in group),
            state=state_name,
            recorded_at_each=[fact.recorded_at for fact in group],
        )
        ids.deals.update({_key(fact): pk for fact, pk in zip(group, made, strict=True)})


def _key(fact: DealFact) -> str:
    """What the browser logged has no external id."""
    return fact.external_id or repr((fact.owner, fact.recorded_at, fact.customer, fact.lines))


def _draft(ids: _Ids, fact: DealFact) -> DealDraft:
    return DealDraft(
        owner_id=ids.reps[fact.owner],
        customer_id=ids.customers[fact.customer],
        kind=fact.kind,
        close_date=fact.close_date,
        currency=fact.currency,
        lines=tuple(
            LineDraft(
                ids.offerings[line.offering],
                line.amount_minor,
                ids.plans[line.offering, line.plan] if line.plan else None,
                quantity=None if line.quantity is None else Decimal(line.quantity),
                term_months=line.term_months,
            )
            for line in fact.lines
        ),
        shares=tuple(ShareDraft(ids.reps[slug], ppm) for slug, ppm in fact.shares),
        title=fact.title,
        new_customer=fact.new_customer,
        refunds_id=ids.deals[fact.refunds] if fact.refunds else None,
        source=fact.source,
        external_id=fact.external_id,
    )


def _approve(ids: _Ids, facts: Sequence[DealFact], *, by: str, policy: str) -> None:
    if not facts:
        return
    moments = [_decided(fact) for fact in facts]
    approve_deals(
        deal_ids=[ids.deals[_key(fact)] for fact in facts],
        by=ids.users[by],
        at=max(moments),
        policy=policy,
        decided_at_each=moments,
    )


def _decided(fact: DealFact) -> datetime:
    assert fact.decided_at is not None  # noqa: S101 -- whoever calls this has chosen deals that were decided
    return fact.decided_at


def _turn_down(ids: _Ids, made: World) -> None:
    """By the nearest manager who can log in, which is the comp admin outside the log-ins' own area."""
    people = {person.slug: person for person in made.organisation.people}
    for fact in made.deals:
        if fact.outcome not in (REJECTED, RETURNED):
            continue
        at = _decided(fact)
        team = people[fact.owner].team_on(day_of(at)) or ""
        by = (
            "manager" if team == "-".join(HOME) else "director" if team.startswith(f"{HOME[0]}-") else "admin"
        )
        decide = reject_deal if fact.outcome == REJECTED else return_deal
        decide(deal_id=ids.deals[_key(fact)], by=ids.users[by], at=at, reason=fact.reason)


def _undo(ids: _Ids, fact: DealFact) -> None:
    assert fact.undone_at is not None  # noqa: S101 -- cancelled and held deals say when
    act = cancel_deal if fact.outcome == CANCELLED else hold_deal
    act(deal_id=ids.deals[_key(fact)], by=ids.users["admin"], at=fact.undone_at, reason=fact.reason)


def _crm_file(ids: _Ids, today: date) -> int:
    """A file of the CRM, imported by the comp admin under the policy; returns how many deals it brought.

    Some of its rows are refused, and reconciliation has something to explain.
    """
    once = Rep.objects.values("name").annotate(times=Count("pk")).filter(times=1).values("name")
    alike = list(
        Deal.objects.filter(
            state=DealState.APPROVED,
            latest_version__close_date__range=(today - timedelta(days=40), today - timedelta(days=3)),
            latest_version__currency="USD",
            latest_version__kind__in=[DealKind.NEW_BUSINESS, DealKind.EXPANSION],
            owner__name__in=once,
        )
        .select_related("owner", "customer", "latest_version")
        .order_by("pk")
    )
    deals = alike[:: max(1, len(alike) // CRM_ROWS)][:CRM_ROWS]
    first = {
        line.version_id: line
        for line in DealLine.objects.filter(
            version__in=[d.latest_version_id for d in deals], line_no=1
        ).select_related("offering")
    }
    sold = [
        crm.Sold(
            account=deal.customer.name,
            owner=deal.owner.name,
            offering=first[deal.latest.pk].offering.name,
            amount_minor=first[deal.latest.pk].amount_minor,
            closed=deal.latest.close_date,
        )
        for deal in deals
    ]
    if not sold:
        return 0
    at, by = _morning(today - timedelta(days=1)), ids.users["admin"]
    run = importing.upload(
        kind=ImportKind.DEALS, file_name=crm.FILE_NAME, pieces=[crm.opportunities(sold)], by=by, at=at
    )
    importing.set_map(run_id=run.pk, text=crm.MAP, by=by, at=at)
    importing.save_map(name="Salesforce, weekly", kind=ImportKind.DEALS, text=crm.MAP, by=by, at=at)
    options = importing.Options(policy=plan.POLICY_NAME)
    for start in (
        partial(importing.check, run_id=run.pk, options=options, by=by, at=at),
        partial(importing.carry_out, run_id=run.pk, by=by, at=at),
    ):
        job = jobs.work_off(job_id=start().pk, now=lambda: at)
        if job.state != JobState.DONE:
            raise RuntimeError(f"{job.title} has not worked: {job.error}")
    return Deal.objects.filter(source=CRM_SOURCE).count()


def _approvals(ids: _Ids, today: date) -> None:
    """A limit, two delegations, and a deal above the limit that has its first approval and waits for the second."""
    yesterday = today - timedelta(days=1)
    at, admin, manager, director = (
        _morning(yesterday),
        *(ids.users[name] for name in ("admin", "manager", "director")),
    )
    set_limit(
        amount_minor=LIMIT_MINOR,
        currency="USD",
        starts=yesterday,
        reason="Two people look at the largest deals",
        by=admin,
        at=at,
    )
    for of, to, first, days, reason in (
        (director, admin, yesterday, 8, "Customer visits in Asia"),
        (manager, director, today + timedelta(days=17), 12, "Annual leave"),
    ):
        delegate(
            of_id=of.pk,
            to_id=to.pk,
            starts=first,
            ends=first + timedelta(days=days),
            reason=reason,
            by=of,
            at=at,
        )
    rep = ids.users["rep"]
    like = (
        Deal.objects.filter(
            owner__user=rep,
            state=DealState.APPROVED,
            latest_version__kind=DealKind.NEW_BUSINESS,
            latest_version__currency__in=["USD", "EUR"],
        )
        .select_related("latest_version")
        .order_by("-id")
        .first()
    )
    if like is None:
        return
    draft = draft_of(like)
    large = log_deal(
        draft=replace(
            draft,
            title=LARGE_DEAL,
            close_date=yesterday,
            new_customer=False,
            lines=(
                replace(
                    draft.lines[0], amount_minor=LIMIT_MINOR * 7 // 5, line_no=None, price_version_id=None
                ),
            ),
            shares=(ShareDraft(draft.owner_id, ONE),),
            source="parity",
            external_id="",
        ),
        by=rep,
        at=at + timedelta(hours=1),
    )
    submit_deal(deal_id=large.pk, by=rep, at=at + timedelta(hours=1))
    approve_deal(deal_id=large.pk, by=manager, at=at + timedelta(hours=4), reason="Signed contract seen")


def _close(ids: _Ids, names: Sequence[str], *, at: datetime) -> None:
    """What was closed before Parity had it: no snapshot, no seal, no statements."""
    engine.lock_periods_exclusively()
    acting(by=ids.users["admin"], at=at, reason="Months that are over")
    Period.objects.filter(pk__in=[ids.periods[name] for name in names]).update(state=PeriodState.CLOSED)


def _close_by_two(ids: _Ids, name: str, *, at: datetime) -> None:
    """As every month is closed: parity proved, asked for by one, everything acknowledged and approved by another, carried out."""
    month = Period.objects.select_related("calendar").get(pk=ids.periods[name])
    last = last_posted(month)
    at = max(at, last + timedelta(hours=1)) if last else at
    prove_period(period_id=month.pk, by=ids.users["admin"], at=at)
    asked = closing.ask_close(
        period_id=month.pk, by=ids.users["admin"], at=at, note="Every bill of the month is in."
    )
    later = at + timedelta(hours=2)
    seen = {item.slug: ACCEPTED if item.reason else "" for item in to_acknowledge(checklist(month, at=later))}
    job = closing.approve_close(close_id=asked.pk, by=ids.users["checker"], at=later, acknowledged=seen)
    done = jobs.work_off(job_id=job.pk, now=lambda: later)
    if done.state != JobState.DONE:
        raise RuntimeError(f"{job.title} has not worked: {done.error}")
    # That it was asked for is no news any more; that it is closed is.
    OutboxMessage.objects.filter(payload__key__startswith="close-asked", done_at=None).update(done_at=later)


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(16), UTC)


def _evening(day: date) -> datetime:
    """After everything else of the day."""
    return datetime.combine(day, time(20, 30), UTC)

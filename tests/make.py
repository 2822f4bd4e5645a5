"""Typed functions that build valid rows. Every test says what matters to it and takes the rest from here.

Nothing is shared but what exists once in a database: currencies, the fiscal calendar and its years. Every name is made
unique by a counter. Money is given in minor units, spans of days as half-open (first, end) with None for no bound.
Rows are written as they are, past the services: a deal made here in a later state has no credits; let the services
approve it where a test wants them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, ParamSpec
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.models import Role, RoleGrant, User
from marketplace.models import (
    AiModel,
    Binding,
    BindingRole,
    Bound,
    CommercialPath,
    Company,
    Currency,
    Customer,
    EligibilityDecision,
    Feature,
    FeatureUsage,
    Hosting,
    ModelVersion,
    Offering,
    OfferingKind,
    OfferingRevision,
    Origin,
    Plan,
    PriceRow,
    PriceVersion,
    PricingForm,
    Product,
    Program,
    Publication,
    Publisher,
    PublisherMembership,
    Relationship,
    RelationshipKind,
    ScopeLevel,
    SuiteRun,
    SupplierAgreement,
    TaskArea,
    TaskSuite,
)
from marketplace.services.loading import Loaded, load_catalog
from quotas.models import (
    ONE,
    AccountOwnership,
    Adjustment,
    AdjustmentReason,
    CompPlan,
    CreditingRule,
    CreditTotal,
    CustomerTerritory,
    Deal,
    DealAction,
    DealEvent,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    Draw,
    FiscalCalendar,
    FxRate,
    Grain,
    Measure,
    PayBy,
    PayScale,
    Period,
    PeriodState,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    Quota,
    QuotaMethod,
    QuotaRelief,
    RateTier,
    Receivers,
    Rep,
    RuleVersion,
    SalesRole,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
    TerritoryAssignment,
    TotalBasis,
    ValueBasis,
)
from tests import kept

if TYPE_CHECKING:
    from quotas.services.booking import DealDraft

Span = tuple[date | None, date | None]
Facts = ParamSpec("Facts")

TODAY = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 12, tzinfo=ZoneInfo("America/Los_Angeles"))
LONG_AGO = date(2020, 1, 1)
ALWAYS: Span = (LONG_AGO, None)
PASSWORD = "demo"


def _n() -> int:
    return next(kept.numbers)


def _days(span: Span) -> DateRange:
    return DateRange(*span)


# People who log in.


def user(
    *,
    role: str | None = None,
    roles: Iterable[str] = (),
    name: str = "",
    email: str = "",
    publisher: Publisher | None = None,
    service: bool = False,
) -> User:
    """With the password PASSWORD unless it is a service. A partner without a publisher gets a new one."""
    n = _n()
    made = User.objects.create_user(
        email=email or f"person{n}@demo.example",
        name=name or f"Person {n}",
        password=None if service else PASSWORD,
        is_service=service,
    )
    granted = [*roles, *([role] if role else [])]
    RoleGrant.objects.bulk_create([RoleGrant(user=made, role=r, granted_at=AT) for r in granted])
    if publisher is not None or Role.PARTNER in granted:
        PublisherMembership.objects.create(user=made, publisher=publisher or _publisher())
    return made


# The catalog.


def currency(*, code: str = "USD") -> Currency:
    """The same row for the same code."""
    exponent = {"JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3}.get(code, 2)
    return Currency.objects.get_or_create(code=code, defaults={"name": code, "exponent": exponent})[0]


def publisher(*, origin: str = Origin.THIRD, name: str = "", slug: str = "") -> Publisher:
    n = _n()
    return Publisher.objects.create(
        slug=slug or f"publisher-{n}", name=name or f"Publisher {n}", origin=origin
    )


_publisher = publisher


def offering(
    *,
    publisher: Publisher | None = None,
    name: str = "",
    slug: str = "",
    kind: str = OfferingKind.MODEL,
    family: str = "",
    path: str = "",
    publication: str = Publication.LIVE,
    available_on: date | None = LONG_AGO,
    deprecated_on: date | None = None,
    retires_on: date | None = None,
    replacement: Offering | None = None,
) -> Offering:
    """On sale since 2020, with its first revision; sold by the cloud where the publisher is of the house, else in the marketplace."""
    n = _n()
    by = publisher or _publisher()
    family = family or f"family-{n}"
    label = name or f"Offering {n}"
    version = None
    if kind == OfferingKind.MODEL:
        model = AiModel.objects.create(slug=f"model-{n}", name=label, publisher=by, family=family)
        version = ModelVersion.objects.create(model=model, label="1")
    made = Offering.objects.create(
        slug=slug or f"offering-{n}",
        name=label,
        kind=kind,
        publisher=by,
        model_version=version,
        family=family,
        commercial_path=path
        or (CommercialPath.SOLD_BY_CLOUD if by.origin == Origin.FIRST else CommercialPath.MARKETPLACE),
        publication=publication,
        available_on=available_on,
        deprecated_on=deprecated_on,
        retires_on=retires_on,
        replacement=replacement,
    )
    OfferingRevision.objects.create(offering=made, number=1, body={"slug": made.slug}, recorded_at=AT)
    return made


_offering = offering


def plan(
    *,
    offering: Offering | None = None,
    slug: str = "",
    pricing_form: str = PricingForm.TOKENS,
    public: bool = True,
) -> Plan:
    """One way to buy an offering. Not a compensation plan: that is comp_plan()."""
    n = _n()
    return Plan.objects.create(
        offering=offering or _offering(),
        slug=slug or f"plan-{n}",
        name=f"Plan {n}",
        pricing_form=pricing_form,
        is_public=public,
    )


_plan = plan


def price(
    *,
    plan: Plan | None = None,
    code: str = "USD",
    market: str = "world",
    effective: Span = ALWAYS,
    rows: Mapping[str, str | None] | None = None,
) -> PriceVersion:
    """rows: meter to amount per million tokens; None is unknown."""
    made = PriceVersion.objects.create(
        plan=plan or _plan(),
        market=market,
        currency=currency(code=code),
        effective=_days(effective),
        source="made for a test",
        recorded_at=AT,
    )
    amounts = rows if rows is not None else {"input-tokens": "3.00", "output-tokens": "15.00"}
    PriceRow.objects.bulk_create(
        [
            PriceRow(
                version=made,
                meter=meter,
                per=1_000_000,
                unit="token",
                amount=None if amount is None else Decimal(amount),
            )
            for meter, amount in amounts.items()
        ]
    )
    return made


def decision(
    *,
    offering: Offering | None = None,
    publisher: Publisher | None = None,
    plan: Plan | None = None,
    path: str = "",
    program: str = Program.QUOTA,
    rate_ppm: int = ONE,
    effective: Span = ALWAYS,
    checked: bool = True,
    made_by: User | None = None,
    checked_by: User | None = None,
) -> EligibilityDecision:
    """In force for exactly one scope: an offering, a publisher, a plan or a commercial path."""
    level = (
        ScopeLevel.PLAN
        if plan
        else ScopeLevel.OFFERING
        if offering
        else ScopeLevel.PUBLISHER
        if publisher
        else ScopeLevel.PATH
    )
    return EligibilityDecision.objects.create(
        program=program,
        level=level,
        commercial_path=(path or CommercialPath.MARKETPLACE) if level == ScopeLevel.PATH else "",
        publisher=publisher,
        offering=offering,
        plan=plan,
        rate_ppm=rate_ppm,
        effective=_days(effective),
        reason="Made for a test",
        made_by=made_by or user(role=Role.CATALOG_MANAGER),
        made_at=AT,
        checked_by=(checked_by or user(role=Role.CATALOG_MANAGER)) if checked else None,
        checked_at=AT if checked else None,
    )


def customer(
    *,
    name: str = "",
    slug: str = "",
    segment: str = "enterprise",
    region: str = "americas",
    country: str = "US",
) -> Customer:
    n = _n()
    return Customer.objects.create(
        slug=slug or f"customer-{n}",
        name=name or f"Customer {n}",
        segment=segment,
        region=region,
        country=country,
    )


# Sourcing: what our own products run on.


def model_version(
    *, publisher: Publisher | None = None, name: str = "", released_on: date | None = LONG_AGO
) -> ModelVersion:
    """Of a model that is not for sale; offering() makes one that is."""
    n = _n()
    model = AiModel.objects.create(
        slug=f"model-{n}",
        name=name or f"Model {n}",
        publisher=publisher or _publisher(),
        family=f"family-{n}",
    )
    return ModelVersion.objects.create(model=model, label="1", released_on=released_on)


def _area(slug: str) -> TaskArea:
    """The same row for the same slug; task_area() makes a new one."""
    return TaskArea.objects.get_or_create(slug=slug, defaults={"name": slug.capitalize()})[0]


def company(*, name: str = "", publisher: Publisher | None = None, operator: bool = False) -> Company:
    n = _n()
    return Company.objects.create(
        slug=f"company-{n}",
        name=name or (publisher.name if publisher else f"Company {n}"),
        publisher=publisher,
        is_operator=operator,
    )


_company = company


def product(*, name: str = "") -> Product:
    n = _n()
    return Product.objects.create(slug=f"product-{n}", name=name or f"Product {n}", position=n % 30_000)


def feature(
    *, product: Product | None = None, name: str = "", task: str = "coding", **asks: object
) -> Feature:
    """asks: min_context, modalities_in, modalities_out, zone."""
    n = _n()
    return Feature.objects.create(
        product=product or _product(),
        slug=f"feature-{n}",
        name=name or f"Feature {n}",
        task_area=_area(task),
        **asks,
    )


_product = product
_feature = feature


def binding(
    *,
    feature: Feature | None = None,
    version: ModelVersion | None = None,
    share_ppm: int | None = ONE,
    role: str = BindingRole.DEFAULT,
    effective: Span = ALWAYS,
    plan: Plan | None = None,
) -> Binding:
    """Shares of a feature have to add up by the end of the transaction."""
    return Binding.objects.create(
        feature=feature or _feature(),
        model_version=version or model_version(),
        role=role,
        share_ppm=0 if role == BindingRole.FALLBACK else share_ppm,
        effective=_days(effective),
        plan=plan,
        reason="Made for a test",
        made_at=AT,
    )


def usage(
    *,
    feature: Feature | None = None,
    version: ModelVersion,
    plan: Plan | None = None,
    host: Company | None = None,
    month: date = date(2026, 7, 1),
    tokens: tuple[int, int, int] = (1_000_000, 0, 1_000_000),
) -> FeatureUsage:
    """tokens: in, of which cached, out."""
    return FeatureUsage.objects.create(
        feature=feature or _feature(),
        model_version=version,
        plan=plan,
        host=host,
        month=month,
        input_tokens=tokens[0],
        cached_tokens=tokens[1],
        output_tokens=tokens[2],
        source="made for a test",
        recorded_at=AT,
    )


def hosting(*, version: ModelVersion, host: Company, effective: Span = ALWAYS) -> Hosting:
    return Hosting.objects.create(
        model_version=version,
        host=host,
        effective=_days(effective),
        source="made for a test",
        recorded_at=AT,
    )


def relationship(
    *,
    payer: Company | None = None,
    payee: Company | None = None,
    kind: str = RelationshipKind.SPEND,
    amount_minor: int | None = 1_000_000_00,
    bound: str = "",
    per: str = "",
    term: Span = (None, None),
) -> Relationship:
    """Exact in USD unless it says else; without an amount it is unknown."""
    return Relationship.objects.create(
        kind=kind,
        payer=payer or _company(),
        payee=payee or _company(),
        amount_minor=amount_minor,
        currency=None if amount_minor is None else currency(),
        bound=bound or (Bound.UNKNOWN if amount_minor is None else Bound.EXACT),
        per=per,
        starts_on=term[0],
        ends_on=term[1],
        source="made for a test",
        recorded_at=AT,
    )


def agreement(
    *,
    supplier: Company,
    effective: Span = ALWAYS,
    discount_ppm: int = 0,
    renews_on: date | None = None,
    notice_days: int | None = None,
) -> SupplierAgreement:
    n = _n()
    return SupplierAgreement.objects.create(
        supplier=supplier,
        name=f"Agreement {n}",
        effective=_days(effective),
        discount_ppm=discount_ppm,
        renews_on=renews_on,
        notice_days=notice_days,
        source="made for a test",
        recorded_at=AT,
    )


def suite(*, task: str = "coding", name: str = "") -> TaskSuite:
    n = _n()
    return TaskSuite.objects.create(
        slug=f"suite-{n}",
        name=name or f"Suite {n}",
        task_area=_area(task),
        criteria="Made for a test",
    )


_suite = suite


def suite_run(
    *,
    suite: TaskSuite | None = None,
    version: ModelVersion,
    score: tuple[str, str, str] = ("0.40", "0.50", "0.60"),
    n: int = 100,
    dated: date = date(2026, 6, 1),
    harness: str = "house",
) -> SuiteRun:
    """score: low end of its interval, itself, high end."""
    low, at, high = (Decimal(part) for part in score)
    return SuiteRun.objects.create(
        suite=suite or _suite(),
        model_version=version,
        metric="pass rate",
        harness=harness,
        sample_size=n,
        score=at,
        interval_low=low,
        interval_high=high,
        evaluator="Made for a test",
        dated=dated,
        recorded_at=AT,
    )


# The fiscal calendar and money between currencies.


def calendar() -> FiscalCalendar:
    """The same row every time: the operator's, with a year that starts on 1 July."""
    return (
        FiscalCalendar.objects.filter(slug="fiscal").first()
        or kept.take("calendar")
        or FiscalCalendar.objects.create(
            slug="fiscal", name="Fiscal calendar", time_zone="America/Los_Angeles"
        )
    )


def calendar_years() -> FiscalCalendar:
    """A second calendar, the same row every time: years from January to December, such as CY26, in UTC."""
    calendar()
    return FiscalCalendar.objects.get_or_create(
        slug="calendar-years",
        defaults={"name": "Calendar years", "time_zone": "UTC", "prefix": "CY", "first_month": 1},
    )[0]


@dataclass(frozen=True)
class FiscalYear:
    year: Period
    halves: list[Period]
    quarters: list[Period]
    months: list[Period]

    def month(self, number: int) -> Period:
        """1 is July."""
        return self.months[number - 1]

    def named(self, name: str) -> Period:
        return next(p for p in (self.year, *self.halves, *self.quarters, *self.months) if p.name == name)


def fiscal_year(
    *, year: int = 2027, states: Mapping[int, str] | None = None, of: FiscalCalendar | None = None
) -> FiscalYear:
    """FY27 is 2026-07-01 to 2027-06-30. Months that have begun by TODAY are open, later ones future; *states* says otherwise.

    states  Number of the month (1 is July) to its state. A year that exists keeps its rows and gets these states.
    of      The calendar; the operator's if none is given.
    """
    cal = of or calendar()
    name = f"{cal.prefix}{year % 100:02d}"
    if not Period.objects.filter(calendar=cal, name=name).exists() and not kept.take(name):
        _make_year(cal, year, name)
    for number, state in (states or {}).items():
        Period.objects.filter(calendar=cal, name=f"{name}-M{number:02d}").update(state=state)
    rows = Period.objects.filter(calendar=cal, name__startswith=name).order_by("starts")
    grains: dict[str, list[Period]] = {grain: [] for grain in Grain.values}
    for row in rows:
        grains[row.grain].append(row)
    return FiscalYear(grains[Grain.YEAR][0], grains[Grain.HALF], grains[Grain.QUARTER], grains[Grain.MONTH])


def _make_year(cal: FiscalCalendar, year: int, name: str) -> None:
    def first(month: int) -> date:
        since_january = cal.first_month - 2 + month
        return date(year - (cal.first_month > 1) + since_january // 12, since_january % 12 + 1, 1)

    whole = Period.objects.create(calendar=cal, grain=Grain.YEAR, name=name, starts=first(1), ends=first(13))
    halves = Period.objects.bulk_create(
        [
            Period(
                calendar=cal,
                grain=Grain.HALF,
                name=f"{name}-H{i + 1}",
                starts=first(6 * i + 1),
                ends=first(6 * i + 7),
                year=whole,
            )
            for i in range(2)
        ]
    )
    quarters = Period.objects.bulk_create(
        [
            Period(
                calendar=cal,
                grain=Grain.QUARTER,
                name=f"{name}-Q{i + 1}",
                starts=first(3 * i + 1),
                ends=first(3 * i + 4),
                half=halves[i // 2],
                year=whole,
            )
            for i in range(4)
        ]
    )
    Period.objects.bulk_create(
        [
            Period(
                calendar=cal,
                grain=Grain.MONTH,
                name=f"{name}-M{i + 1:02d}",
                starts=first(i + 1),
                ends=first(i + 2),
                quarter=quarters[i // 3],
                half=halves[i // 6],
                year=whole,
                state=PeriodState.OPEN if first(i + 1) <= TODAY else PeriodState.FUTURE,
            )
            for i in range(12)
        ]
    )


def fx(*, code: str = "EUR", to: str = "USD", rate: str = "1.0837", effective: Span = ALWAYS) -> FxRate:
    """rate: units of *to* for one of *code*, at most nine decimals."""
    return FxRate.objects.create(
        from_currency=currency(code=code),
        to_currency=currency(code=to),
        rate_e9=int(Decimal(rate).scaleb(9)),
        effective=_days(effective),
        recorded_at=AT,
    )


# Teams and the people who sell.


def team(
    *,
    parent: Team | None = None,
    name: str = "",
    slug: str = "",
    effective: Span = ALWAYS,
    calendar: FiscalCalendar | None = None,
) -> Team:
    """Placed under *parent*, or at the top."""
    n = _n()
    made = Team.objects.create(slug=slug or f"team-{n}", name=name or f"Team {n}", calendar=calendar)
    TeamPlacement.objects.create(team=made, parent=parent, effective=_days(effective), recorded_at=AT)
    return made


_team = team


def rep(
    *,
    team: Team | None = None,
    name: str = "",
    slug: str = "",
    role: str = SalesRole.ACCOUNT_EXECUTIVE,
    effective: Span = ALWAYS,
    user: User | None = None,
    login: bool = False,
) -> Rep:
    """In a team (a new one by default). With login it gets a user whose role fits: a manager of a team is a manager."""
    n = _n()
    if login and user is None:
        user = _user(role=Role.MANAGER if role == SalesRole.MANAGER else Role.REP, name=name or f"Rep {n}")
    made = Rep.objects.create(slug=slug or f"rep-{n}", name=name or f"Rep {n}", user=user)
    membership(rep=made, team=team or _team(), role=role, effective=effective)
    return made


_user = user
_rep = rep


def login(rep: Rep) -> User:
    """The user of a rep that was made with a login."""
    assert rep.user is not None
    return rep.user


def membership(
    *, rep: Rep, team: Team, role: str = SalesRole.ACCOUNT_EXECUTIVE, effective: Span = ALWAYS
) -> TeamMembership:
    """An extra one; rep() has made the first. Two must not overlap."""
    return TeamMembership.objects.create(
        rep=rep, team=team, role=role, effective=_days(effective), recorded_at=AT
    )


def ownership(
    *, customer: Customer, rep: Rep, effective: Span = ALWAYS, credits: Span | None = None
) -> AccountOwnership:
    """credits  Credit dates that are the rep's, where a holdover makes them others than the days of ownership."""
    return AccountOwnership.objects.create(
        customer=customer,
        rep=rep,
        effective=_days(effective),
        credits=_days(credits or effective),
        recorded_at=AT,
    )


def territory(*, name: str = "", slug: str = "", house_rep: Rep | None = None) -> Territory:
    n = _n()
    return Territory.objects.create(
        slug=slug or f"territory-{n}", name=name or f"Territory {n}", house_rep=house_rep
    )


def covers(*, rep: Rep, territory: Territory, effective: Span = ALWAYS) -> TerritoryAssignment:
    return TerritoryAssignment.objects.create(
        territory=territory, rep=rep, effective=_days(effective), recorded_at=AT
    )


def lies_in(*, customer: Customer, territory: Territory, effective: Span = ALWAYS) -> CustomerTerritory:
    return CustomerTerritory.objects.create(
        customer=customer, territory=territory, effective=_days(effective), recorded_at=AT
    )


# Targets and rules.


def measure(
    *, slug: str = "", name: str = "", basis: str = ValueBasis.CONTRACT_VALUE, code: str = "USD"
) -> Measure:
    """Money in *code*; a count where the basis counts."""
    n = _n()
    counts = basis in (ValueBasis.UNITS, ValueBasis.NEW_CUSTOMERS)
    return Measure.objects.create(
        slug=slug or f"measure-{n}",
        name=name or f"Measure {n}",
        basis=basis,
        currency=None if counts else currency(code=code),
        position=n % 30_000,
    )


_measure = measure


def quota(
    *,
    measure: Measure,
    period: Period,
    rep: Rep | None = None,
    team: Team | None = None,
    amount_minor: int = 100_000_00,
    version: int = 1,
    starts: date | None = None,
    method: str = QuotaMethod.LAST,
    superseded_at: datetime | None = None,
) -> Quota:
    """Of a rep or of a team, never of both."""
    return Quota.objects.create(
        measure=measure,
        period=period,
        rep=rep,
        team=team,
        amount_minor=amount_minor,
        version=version,
        starts=starts,
        method=method,
        recorded_at=AT,
        superseded_at=superseded_at,
    )


def relief(
    *, rep: Rep, effective: Span, kind: str = "leave", factor_ppm: int = 0, reason: str = "Made for a test"
) -> QuotaRelief:
    """Days on which factor_ppm of a rep's quotas counts; none of it by default. Two must not overlap."""
    return QuotaRelief.objects.create(
        rep=rep,
        kind=kind,
        effective=_days(effective),
        factor_ppm=factor_ppm,
        reason=reason,
        recorded_by=_user(role=Role.COMP_ADMIN),
        recorded_at=AT,
    )


@dataclass(frozen=True)
class Rule:
    """What rule_version() would write, for a plan version that is made in one go. Fields as in RuleVersion."""

    measure: Measure
    slug: str = ""
    name: str = ""
    exclusive: bool = True
    factor_ppm: int = ONE
    cap_minor: int | None = None
    priority: int = 0
    receivers: int = Receivers.SHARES
    effective: Span | None = None
    offerings: Sequence[Offering] | None = None
    publishers: Sequence[Publisher] | None = None
    families: Sequence[str] | None = None
    paths: Sequence[str] | None = None
    task_areas: Sequence[TaskArea] | None = None
    pricing_forms: Sequence[str] | None = None
    deal_kinds: Sequence[str] | None = None
    segments: Sequence[str] | None = None
    regions: Sequence[str] | None = None
    roles: Sequence[str] | None = None
    territories: Sequence[Territory] | None = None


def comp_plan(*, slug: str = "", name: str = "", for_everybody: bool = True) -> CompPlan:
    """Assigned to everybody from the beginning, unless a test assigns it itself."""
    n = _n()
    plan = CompPlan.objects.create(slug=slug or f"comp-plan-{n}", name=name or f"Compensation plan {n}")
    if for_everybody:
        assignment(plan=plan)
    return plan


def assignment(
    *, plan: CompPlan, role: str = "", rep: Rep | None = None, effective: Span = (None, None)
) -> PlanAssignment:
    """To one rep, to a role, or to everybody."""
    return PlanAssignment.objects.create(
        plan=plan, role=role, rep=rep, effective=_days(effective), recorded_at=AT
    )


def component(
    *,
    version: PlanVersion,
    measure: Measure,
    weight_ppm: int = ONE,
    target_incentive_minor: int | None = None,
) -> PlanComponent:
    """Of a draft; a target incentive in USD."""
    return PlanComponent.objects.create(
        plan_version=version,
        measure=measure,
        weight_ppm=weight_ppm,
        target_incentive_minor=target_incentive_minor,
        currency=None if target_incentive_minor is None else currency(),
    )


def pay_scale(
    component: PlanComponent,
    *tiers: tuple[int, int],
    by: str = PayBy.ATTAINMENT,
    window: str = Grain.QUARTER,
    threshold: int = 0,
    whole_amount: bool = False,
    cap_minor: int | None = None,
) -> PayScale:
    """Of a draft's component. tiers: (from, rate) in parts per million; from is an amount of credit where it pays by that."""
    made = PayScale.objects.create(
        component=component,
        by=by,
        window=window,
        threshold=threshold,
        whole_amount=whole_amount,
        cap_minor=cap_minor,
    )
    RateTier.objects.bulk_create(
        [RateTier(scale=made, starts_at=start, rate_ppm=rate) for start, rate in tiers or ((0, ONE),)]
    )
    return made


def draw(
    *,
    rep: Rep,
    amount_minor: int = 1_000_00,
    effective: Span = ALWAYS,
    recoverable: bool = True,
    code: str = "USD",
) -> Draw:
    """A month's least pay. Two of a rep must not overlap."""
    return Draw.objects.create(
        rep=rep,
        amount_minor=amount_minor,
        currency=currency(code=code),
        recoverable=recoverable,
        effective=_days(effective),
        reason="Made for a test",
        recorded_by=_user(role=Role.COMP_ADMIN),
        recorded_at=AT,
    )


def task_area(*, slug: str = "", name: str = "") -> TaskArea:
    n = _n()
    return TaskArea.objects.create(slug=slug or f"task-{n}", name=name or f"Task {n}")


def plan_version(
    *,
    rules: Iterable[Rule],
    plan: CompPlan | None = None,
    number: int | None = None,
    effective: Span = ALWAYS,
    state: str = PlanState.PUBLISHED,
) -> PlanVersion:
    """A version with its rules, published unless *state* says otherwise. A rule's slug is its identity from version to version."""
    of = plan or comp_plan()
    last = of.versions.order_by("-number").values_list("number", flat=True).first()
    made = PlanVersion.objects.create(
        plan=of,
        number=number or (last or 0) + 1,
        effective=_days(effective),
        drafted_by=user(role=Role.COMP_ADMIN),
        drafted_at=AT,
    )
    for rule in rules:
        _rule_version(made, rule)
    if state != PlanState.DRAFT:
        made.state = state
        if state in (PlanState.PUBLISHED, PlanState.SUPERSEDED):
            made.published_by, made.published_at = user(role=Role.COMP_ADMIN), AT
        made.save()
    return made


def _rule_version(version: PlanVersion, rule: Rule) -> RuleVersion:
    n = _n()
    identity, _ = CreditingRule.objects.get_or_create(plan=version.plan, slug=rule.slug or f"rule-{n}")
    return RuleVersion.objects.create(
        rule=identity,
        plan_version=version,
        name=rule.name or f"Rule {n}",
        measure=rule.measure,
        receivers=rule.receivers,
        exclusive=rule.exclusive,
        factor_ppm=rule.factor_ppm,
        cap_minor=rule.cap_minor,
        effective=None if rule.effective is None else _days(rule.effective),
        priority=rule.priority,
        offerings=None if rule.offerings is None else [o.pk for o in rule.offerings],
        publishers=None if rule.publishers is None else [p.pk for p in rule.publishers],
        task_areas=None if rule.task_areas is None else [t.pk for t in rule.task_areas],
        territories=None if rule.territories is None else [t.pk for t in rule.territories],
        **{
            condition: None if (allowed := getattr(rule, condition)) is None else list(allowed)
            for condition in (
                "families",
                "paths",
                "pricing_forms",
                "deal_kinds",
                "segments",
                "regions",
                "roles",
            )
        },
    )


# Deals.


@dataclass(frozen=True)
class Line:
    """One line of a deal; amount in minor units of the deal's currency."""

    offering: Offering
    amount_minor: int = 10_000_00
    plan: Plan | None = None
    price_version: PriceVersion | None = None
    quantity: Decimal | None = None
    term_months: int | None = None
    billed_minor: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sale:
    """What deal() and deals() write; they say what is left out.

    shares  Rep to parts per million; all of it is the owner's by default.
    of      The calendar whose periods take its credit; the operator's if none is given.
    """

    owner: Rep | None = None
    customer: Customer | None = None
    lines: Sequence[Line] | None = None
    shares: Mapping[Rep, int] | None = None
    kind: str = DealKind.NEW_BUSINESS
    close_date: date = TODAY
    code: str = "USD"
    state: str = DealState.DRAFT
    title: str = ""
    new_customer: bool = False
    refunds: Deal | None = None
    source: str = "parity"
    external_id: str = ""
    by: User | None = None
    at: datetime = AT
    of: FiscalCalendar | None = None


def _one(sale: Callable[Facts, Sale]) -> Callable[Facts, Deal]:
    def made(*args: Facts.args, **facts: Facts.kwargs) -> Deal:
        """Rows of one deal in any state, with its first version. Uncredited: let approve_deal() do it where that matters."""
        return deals([sale(*args, **facts)])[0]

    return made


deal = _one(Sale)  # takes what a Sale does


@transaction.atomic
def deals(sales: Iterable[Sale]) -> list[Deal]:
    """Rows of many deals for the price of one. One manager has decided on all that are decided."""
    sold = [
        replace(
            sale,
            owner=sale.owner or _rep(),
            customer=sale.customer or _customer(),
            lines=[Line(offering())] if sale.lines is None else sale.lines,
        )
        for sale in sales
    ]
    authors: dict[Rep, User] = {}
    made, versions = [], []
    decider = (
        user(role=Role.MANAGER)
        if any(sale.state not in (DealState.DRAFT, DealState.SUBMITTED) for sale in sold)
        else None
    )
    default = None if all(sale.of for sale in sold) else calendar()
    currencies = {code: currency(code=code) for code in {sale.code for sale in sold}}
    for sale in sold:
        assert sale.owner is not None
        assert sale.customer is not None
        author = sale.by or sale.owner.user or authors.get(sale.owner)
        if author is None:
            author = authors[sale.owner] = user(role=Role.REP)
        submitted = sale.state != DealState.DRAFT
        decided = sale.state not in (DealState.DRAFT, DealState.SUBMITTED)
        made.append(
            Deal(
                owner=sale.owner,
                customer=sale.customer,
                calendar=sale.of or default,
                source=sale.source,
                external_id=sale.external_id,
                created_by=author,
                created_at=sale.at,
                submitted_by=author if submitted else None,
                submitted_at=sale.at if submitted else None,
                decided_by=decider if decided else None,
                decided_at=sale.at if decided else None,
            )
        )
    Deal.objects.bulk_create(made)
    for sale, one in zip(sold, made, strict=True):
        versions.append(
            DealVersion(
                deal=one,
                number=1,
                kind=sale.kind,
                title=sale.title,
                close_date=sale.close_date,
                currency=currencies[sale.code],
                segment=one.customer.segment,
                region=one.customer.region,
                new_customer=sale.new_customer,
                refunds=sale.refunds,
                recorded_by=one.created_by,
                recorded_at=sale.at,
            )
        )
    DealVersion.objects.bulk_create(versions)
    revisions = dict(
        OfferingRevision.objects.filter(
            offering__in={line.offering for sale in sold for line in sale.lines or ()}, number=1
        ).values_list("offering_id", "id")
    )
    DealLine.objects.bulk_create(
        DealLine(
            version=version,
            line_no=number,
            offering=line.offering,
            offering_revision_id=revisions.get(line.offering.pk),
            plan=line.plan,
            price_version=line.price_version,
            amount_minor=line.amount_minor,
            quantity=line.quantity,
            term_months=line.term_months,
            billed_minor=line.billed_minor,
        )
        for sale, version in zip(sold, versions, strict=True)
        for number, line in enumerate(sale.lines or (), start=1)
    )
    DealShare.objects.bulk_create(
        DealShare(version=version, ordinal=ordinal, rep=rep, ppm=ppm)
        for sale, version in zip(sold, versions, strict=True)
        for ordinal, (rep, ppm) in enumerate((sale.shares or {version.deal.owner: ONE}).items(), start=1)
    )
    for sale, one, version in zip(sold, made, versions, strict=True):
        one.latest_version = version
        one.state = sale.state
        if sale.state in (DealState.APPROVED, DealState.CANCELLED):
            one.credited_version = version
    Deal.objects.bulk_update(made, ["latest_version", "state", "credited_version"])
    DealEvent.objects.bulk_create(
        DealEvent(
            deal=one, version=version, action=DealAction.LOGGED, by=one.created_by, at=version.recorded_at
        )
        for one, version in zip(made, versions, strict=True)
    )
    return made


_customer = customer


def draft(
    *,
    owner: Rep,
    customer: Customer | None = None,
    lines: Sequence[Line] | None = None,
    shares: Mapping[Rep, int] | None = None,
    kind: str = DealKind.NEW_BUSINESS,
    close_date: date = TODAY,
    code: str = "USD",
    title: str = "",
    new_customer: bool = False,
    refunds: Deal | None = None,
    source: str = "parity",
    external_id: str = "",
) -> "DealDraft":
    """What the booking services take: the same defaults as deal(), and nothing is written but customer and offering."""
    from quotas.services.booking import DealDraft, LineDraft, ShareDraft

    currency(code=code)
    sold = lines if lines is not None else [Line(offering())]
    return DealDraft(
        owner_id=owner.pk,
        customer_id=(customer or _customer()).pk,
        kind=kind,
        close_date=close_date,
        currency=code,
        lines=tuple(
            LineDraft(
                offering_id=line.offering.pk,
                amount_minor=line.amount_minor,
                plan_id=line.plan.pk if line.plan else None,
                price_version_id=line.price_version.pk if line.price_version else None,
                quantity=line.quantity,
                term_months=line.term_months,
            )
            for line in sold
        ),
        shares=tuple(ShareDraft(rep_id=rep.pk, ppm=ppm) for rep, ppm in (shares or {owner: ONE}).items()),
        title=title,
        new_customer=new_customer,
        refunds_id=refunds.pk if refunds else None,
        source=source,
        external_id=external_id,
    )


def adjustment(
    *,
    rep: Rep,
    measure: Measure,
    amount_minor: int = 100_00,
    on: date = TODAY,
    reason_code: str = AdjustmentReason.MISSING_CREDIT,
    note: str = "Made for a test",
    deal: Deal | None = None,
    posted: bool = True,
    by: User | None = None,
    decided_by: User | None = None,
    at: datetime = AT,
) -> Adjustment:
    """Asked for by one comp admin and, unless *posted* is False, approved by another, so that its entry is in the ledger."""
    from quotas.services.adjusting import AdjustmentDraft, ask_adjustment, decide_adjustment

    draft = AdjustmentDraft(
        rep_id=rep.pk,
        measure_id=measure.pk,
        amount_minor=amount_minor,
        credit_date=on,
        reason_code=reason_code,
        note=note,
        deal_id=deal.pk if deal else None,
        confirmed=True,
    )
    made = ask_adjustment(draft=draft, by=by or user(role=Role.COMP_ADMIN), at=at)
    if posted:
        made = decide_adjustment(
            adjustment_id=made.pk, approve=True, by=decided_by or user(role=Role.COMP_ADMIN), at=at
        )
    return made


def total(
    *,
    rep: Rep,
    team: Team,
    measure: Measure,
    month: Period,
    direct_minor: int,
    overlay_minor: int = 0,
) -> None:
    """What the engine keeps beside entries posted in their own month: as reported at every grain that holds it. Adds to what is there.

    For tests of readers alone: there are no entries behind it, so verify_ledger will say so.
    """
    coarser = [p for p in (month.quarter_id, month.half_id, month.year_id) if p is not None]
    for period_id in (month.pk, *coarser):
        row, _ = CreditTotal.objects.get_or_create(
            period_id=period_id,
            measure=measure,
            basis=TotalBasis.REPORTED,
            team=team,
            rep=rep,
            defaults={"direct_minor": 0, "overlay_minor": 0},
        )
        row.direct_minor += direct_minor
        row.overlay_minor += overlay_minor
        row.save()


# Enough to sell something and to see it credited.


@dataclass(frozen=True)
class World:
    """A small organisation in which a deal can be logged, approved and credited.

    company > region > team (ana, bo; led by mia) and other (cy; led by zed); the region is led by rex. Everybody logs in.
    house is a first-party offering, third a third-party one; both count at 100 %. bookings counts contract value in USD.
    """

    year: FiscalYear
    company: Team
    region: Team
    team: Team
    other: Team
    ana: Rep
    bo: Rep
    mia: Rep
    cy: Rep
    zed: Rep
    rex: Rep
    admin: User
    auditor: User
    house: Offering
    third: Offering
    customer: Customer
    bookings: Measure
    plan_version: PlanVersion


def world(*, rules: Iterable[Rule] | None = None, quotas: bool = True) -> World:
    """FY26 and FY27 with every begun month open; quotas of $100,000 a quarter for each seller in FY27-Q1.

    rules  Of the published plan version; by default one that credits every deal at its value.
    """
    rules = None if rules is None else list(rules)
    found: World | None = None if rules else kept.take(_world_name(rules, quotas))
    return found or _make_world(rules, quotas)


def _world_name(rules: list[Rule] | None, quotas: bool) -> str:
    return (
        f"world {'of one rule' if rules is None else 'without rules'}, {'quotas' if quotas else 'no quotas'}"
    )


def _make_world(rules: list[Rule] | None, quotas: bool) -> World:
    fiscal_year(year=2026)
    year = fiscal_year()
    company = team(name="Company")
    region = team(parent=company, name="Region")
    mine, other = team(parent=region, name="Team"), team(parent=region, name="Other team")
    seller, leader = SalesRole.ACCOUNT_EXECUTIVE, SalesRole.MANAGER
    ana, bo, cy = (
        rep(team=where, name=name, role=seller, login=True)
        for name, where in (("Ana", mine), ("Bo", mine), ("Cy", other))
    )
    mia, zed, rex = (
        rep(team=where, name=name, role=leader, login=True)
        for name, where in (("Mia", mine), ("Zed", other), ("Rex", region))
    )
    house = offering(publisher=publisher(origin=Origin.FIRST), name="House model")
    third = offering(publisher=publisher(origin=Origin.THIRD), name="Third-party model")
    decision(path=CommercialPath.SOLD_BY_CLOUD)
    decision(path=CommercialPath.MARKETPLACE)
    bookings = measure(name="AI bookings")
    version = plan_version(
        rules=rules if rules is not None else [Rule(bookings, slug="base", name="Every deal at its value")]
    )
    if quotas:
        for who in (ana, bo, cy):
            quota(measure=bookings, period=year.quarters[0], rep=who)
    return World(
        year=year,
        company=company,
        region=region,
        team=mine,
        other=other,
        ana=ana,
        bo=bo,
        mia=mia,
        cy=cy,
        zed=zed,
        rex=rex,
        admin=user(role=Role.COMP_ADMIN),
        auditor=user(role=Role.AUDITOR),
        house=house,
        third=third,
        customer=customer(),
        bookings=bookings,
        plan_version=version,
    )


# The project's own catalog, and what all of this is kept as.


def catalog() -> tuple[User, User, Loaded]:
    """Who made it and who checked it, and what was loaded on 1 July 2024."""
    found: tuple[User, User, Loaded] | None = kept.take("catalog")
    if found:
        return found
    maker, checker = user(role=Role.CATALOG_MANAGER, name="Mara Maker"), user(name="Carl Checker")
    at = datetime(2024, 7, 1, 9, tzinfo=UTC)
    return maker, checker, load_catalog(by=maker, checked_by=checker, at=at)


_WORLDS: list[tuple[list[Rule] | None, bool]] = [(None, True), (None, False), ([], True), ([], False)]
_ELSEWHERE = {  # what kept.world marks, to its module; each may begin with one above it
    "months": "tests.quotas.closing.months",
    "five_sold": "tests.quotas.closing.months",
    "five_closed": "tests.quotas.closing.months",
    "late_credit": "tests.quotas.closing.months",
    "scene": "tests.quotas.api",
    "two_months": "tests.quotas.crediting.worlds",
    "shop": "tests.quotas.crediting.worlds",
    "flat_pay": "tests.quotas.earnings.worlds",
    "steep_pay": "tests.quotas.earnings.worlds",
    "two_paid": "tests.quotas.earnings.worlds",
    "busy": "tests.quotas.selling",
    "market_of_substitutes": "tests.marketplace.sourcing.test_substitution_pages",
    "world_of_scenarios": "tests.marketplace.sourcing.test_scenarios",
}


def _elsewhere(name: str) -> object:
    return getattr(import_module(_ELSEWHERE[name]), name)()


KEPT: dict[str, Callable[[], object]] = {
    "calendar": calendar,
    "FY26": lambda: fiscal_year(year=2026),
    "FY27": lambda: fiscal_year(year=2027),
    **{_world_name(*of): partial(_make_world, *of) for of in _WORLDS},
    "catalog": catalog,
    **{name: partial(_elsewhere, name) for name in _ELSEWHERE},
}

"""Facts in which everything that a rule, a decision or an assignment can look at differs, and Hypothesis strategies over them."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import strategies as st

from config import bulk
from marketplace.models import CommercialPath, Currency, Origin, PricingForm
from quotas.models import (
    CompPlan,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    Measure,
    PlanVersion,
    Receivers,
    Rep,
    SalesRole,
)
from tests import kept, make

FIRST_DAY, LAST_DAY = date(2026, 7, 10), date(2026, 8, 20)
EDGES = [
    date(2026, 7, 20),
    date(2026, 8, 5),
]  # days on which facts change and deals close, so that the days beside them are met


class Rich:
    """What all drawn worlds share. Months 1 and 2 of FY26 are closed; all later ones that have begun are open.

    Two of the reps sell by a second calendar, in whose CY26 the months 3, 6 and 7 are closed; it has no CY25.
    """

    def __init__(self) -> None:
        make.fiscal_year(year=2026, states={1: "closed", 2: "closed"})
        make.fiscal_year(year=2027)
        self.second = make.calendar_years()
        make.fiscal_year(year=2026, states=dict.fromkeys((3, 6, 7), "closed"), of=self.second)
        for code in ("USD", "EUR", "JPY", "KWD", "GBP"):
            make.currency(code=code)
        make.fx(code="EUR", rate="1.083700001", effective=(date(2025, 7, 1), date(2026, 3, 1)))
        make.fx(code="EUR", rate="1.1", effective=(date(2026, 3, 1), None))
        make.fx(code="JPY", rate="0.006712345", effective=(None, None))
        make.fx(code="KWD", rate="3.250000007", effective=(None, date(2026, 7, 15)))
        make.fx(code="USD", to="EUR", rate="0.9231")
        make.fx(code="JPY", to="EUR", rate="0.0061", effective=(date(2026, 7, 20), None))
        first, rival, other = make.publisher(origin=Origin.FIRST), make.publisher(), make.publisher()
        self.offerings = [
            make.offering(publisher=first, path=CommercialPath.SOLD_BY_CLOUD),
            make.offering(publisher=rival, path=CommercialPath.SOLD_BY_CLOUD),
            make.offering(publisher=rival, path=CommercialPath.MARKETPLACE),
            make.offering(publisher=other, path=CommercialPath.MARKETPLACE),
        ]
        self.areas = [make.task_area() for _ in range(3)]
        self.offerings[0].task_areas.set(self.areas[:2])
        self.offerings[1].task_areas.set(self.areas[1:])
        self.offerings[2].task_areas.set(self.areas[2:])
        self.plans = [
            make.plan(offering=o, pricing_form=f)
            for o in self.offerings
            for f in (PricingForm.TOKENS, PricingForm.FREE)
        ]
        make.decision(path=CommercialPath.SOLD_BY_CLOUD)
        make.decision(path=CommercialPath.MARKETPLACE, rate_ppm=0, effective=(None, date(2026, 7, 20)))
        make.decision(publisher=rival, rate_ppm=333_333, effective=(date(2026, 1, 10), None))
        make.decision(
            offering=self.offerings[1], rate_ppm=1_000_000, effective=(date(2026, 8, 1), date(2026, 8, 10))
        )
        make.decision(plan=self.plans[3], rate_ppm=0, effective=(date(2026, 8, 5), None))
        make.decision(offering=self.offerings[3], rate_ppm=500_000, effective=(date(2026, 7, 25), None))
        top = make.team()
        self.teams = [make.team(parent=top) for _ in range(2)]
        self.reps = [
            make.rep(team=self.teams[0], role=SalesRole.ACCOUNT_EXECUTIVE),
            make.rep(team=self.teams[0], role=SalesRole.SPECIALIST, effective=(None, date(2026, 7, 31))),
            make.rep(team=self.teams[1], role=SalesRole.CUSTOMER_SUCCESS),
            make.rep(team=self.teams[1], role=SalesRole.HOUSE),
            make.rep(team=self.teams[1], role=SalesRole.SPECIALIST, effective=(date(2026, 7, 20), None)),
        ]
        make.membership(
            rep=self.reps[1],
            team=self.teams[1],
            role=SalesRole.ACCOUNT_EXECUTIVE,
            effective=(date(2026, 8, 2), None),
        )
        gone = make.rep(team=top, role=SalesRole.SPECIALIST, effective=(None, date(2026, 7, 25)))
        _superseded(gone.memberships.get())
        self.reps.append(gone)  # in no team at all
        self.calendar_of = {
            rep.pk: self.second if n in (2, 4) else make.calendar() for n, rep in enumerate(self.reps)
        }
        self.customers = [
            make.customer(segment=s, region=r)
            for s in ("enterprise", "public-sector")
            for r in ("emea", "americas")
        ]
        self.territories = [make.territory() for _ in range(3)]
        self.measures = [
            make.measure(basis="contract_value"),
            make.measure(basis="annualised_value"),
            make.measure(basis="consumed"),
            make.measure(basis="billed", code="EUR"),
            make.measure(basis="units"),
            make.measure(basis="new_customers"),
        ]


@dataclass(frozen=True)
class Shop:
    """Three sellers, two customers, two offerings that are alike but for their origin, and a currency of each exponent at one rate."""

    offerings: list[int]
    plans: list[int]
    customers: list[int]
    reps: list[int]
    measures: list[Measure]


@kept.world
def shop() -> Shop:
    for year in (2026, 2027):
        make.fiscal_year(year=year, states=dict.fromkeys(range(1, 13), "open"))
    for code, exponent in (("USD", 2), ("EUR", 2), ("ZJP", 0), ("ZKW", 3)):
        Currency.objects.get_or_create(code=code, defaults={"name": code, "exponent": exponent})
    for code in ("EUR", "ZJP", "ZKW"):
        make.fx(code=code, rate="1.083700001", effective=(None, None))
    house = make.offering(
        publisher=make.publisher(origin=Origin.FIRST), family="house", path=CommercialPath.SOLD_BY_CLOUD
    )
    third = make.offering(publisher=make.publisher(), family="third", path=CommercialPath.MARKETPLACE)
    plans = [make.plan(offering=o, pricing_form=PricingForm.TOKENS) for o in (house, third)]
    for path in (CommercialPath.SOLD_BY_CLOUD, CommercialPath.MARKETPLACE):
        make.decision(path=path, rate_ppm=666_667, effective=(None, None))
    teams = [make.team(effective=(None, None)) for _ in range(2)]
    reps = [
        make.rep(team=team, role=role, effective=(None, None))
        for team, role in (
            (teams[0], SalesRole.ACCOUNT_EXECUTIVE),
            (teams[0], SalesRole.CUSTOMER_SUCCESS),
            (teams[1], SalesRole.ACCOUNT_EXECUTIVE),
            (teams[1], SalesRole.SPECIALIST),
        )
    ]
    customers = [make.customer(), make.customer(segment="public-sector", region="emea")]
    territory = make.territory()
    make.covers(rep=reps[3], territory=territory, effective=(None, None))
    make.lies_in(customer=customers[0], territory=territory, effective=(None, None))
    measures = [
        make.measure(),
        make.measure(basis="annualised_value"),
        make.measure(basis="units"),
        make.measure(basis="new_customers"),
    ]
    return Shop(
        [house.pk, third.pk],
        [p.pk for p in plans],
        [c.pk for c in customers],
        [r.pk for r in reps],
        measures,
    )


@kept.world
def two_months() -> make.World:
    """Two months with splits, a cap, a SPIFF, overlay, a refund, what is held, what is not eligible and what nobody is in a team for."""
    world = make.world(rules=[])
    bookings, count = world.bookings, make.measure(basis="new_customers")
    territory = make.territory()
    make.lies_in(customer=world.customer, territory=territory)
    make.covers(rep=world.cy, territory=territory)
    make.plan_version(
        rules=[
            make.Rule(bookings, slug="all", factor_ppm=1_100_000, cap_minor=50_000),
            make.Rule(bookings, slug="spiff", exclusive=False, factor_ppm=50_000),
            make.Rule(bookings, slug="overlay", receivers=2, factor_ppm=200_000),
            make.Rule(count, slug="count"),
        ]
    )
    nowhere = make.offering(publisher=make.publisher(), path="direct")
    deal = None
    for n, day in enumerate(
        (date(2026, 7, 1), date(2026, 7, 31), date(2026, 8, 1), date(2026, 8, 31)), start=1
    ):
        deal = make.deal(
            owner=world.ana,
            customer=world.customer,
            close_date=day,
            lines=[
                make.Line(world.house, 100_01 * n),
                make.Line(world.third, 333_33),
                make.Line(nowhere, 5_00),
            ],
            shares={world.ana: 333_333, world.bo: 333_333, world.cy: 333_334},
            new_customer=True,
            state="approved",
        )
    make.deal(
        owner=world.bo,
        customer=world.customer,
        kind=DealKind.REFUND,
        close_date=date(2026, 8, 5),
        lines=[make.Line(world.house, -50_00)],
        refunds=deal,
        state="approved",
    )
    held = make.deal(owner=world.bo, close_date=date(2026, 8, 7), state="approved")
    held.held = True
    held.save()
    make.deal(owner=world.bo, close_date=date(2026, 8, 7), state="submitted")
    return world


@dataclass(frozen=True)
class World:
    """What was drawn: the deals, and plan versions that are not published beside those that are."""

    deals: list[Deal]
    published: list[PlanVersion]
    others: list[PlanVersion]


def seldom(condition: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly any, so that rules meet: without rivals a winner proves nothing."""
    return st.integers(0, 5).flatmap(lambda n: condition if n == 0 else st.none())


def some(values: list[Any]) -> st.SearchStrategy[list[Any] | None]:
    return seldom(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))


@st.composite
def spans(draw: st.DrawFn) -> make.Span:
    """Mostly always; else from or until a day on which deals close, so that both sides of it are met."""
    day = draw(st.sampled_from(EDGES) | st.dates(FIRST_DAY, LAST_DAY))
    return draw(st.sampled_from([(None, None), (None, None), (None, day), (day, None)]))


@st.composite
def rules(draw: st.DrawFn, rich: Rich, slugs: str = "rule") -> list[make.Rule]:
    """Rules of one plan version. A rule's number is its identity: drawn again for a later version, it is the same rule."""
    made = []
    bookings = rich.measures[0]
    for n in range(draw(st.sampled_from([0, 4, 8, 12, 12]))):
        exclusive = draw(st.sampled_from([True, True, False]))
        receivers = draw(
            st.sampled_from([Receivers.SHARES, Receivers.SHARES, Receivers.TERRITORY, Receivers.ROLE])
        )
        made.append(
            make.Rule(
                bookings if n < 4 else draw(st.sampled_from([bookings, bookings, *rich.measures])),
                slug=f"{slugs}-{n}",
                receivers=receivers,
                exclusive=exclusive,
                factor_ppm=draw(
                    st.sampled_from([1_000_000, 1_100_000, 333_333, 0, 2_000_001])
                    if exclusive
                    else st.sampled_from([50_000, 1, 123_457])
                ),
                cap_minor=draw(st.none() | st.sampled_from([0, 1, 99, 101, 10_001, 250_000, 5_000_000]))
                if exclusive
                else None,
                priority=draw(st.integers(-1, 1)),
                effective=draw(seldom(spans())),
                offerings=draw(some(rich.offerings)),
                publishers=draw(seldom(st.just([rich.offerings[1].publisher]))),
                families=draw(some([o.family for o in rich.offerings])),
                paths=draw(some(["sold_by_cloud", "marketplace"])),
                task_areas=draw(some(rich.areas)),
                pricing_forms=draw(some(["tokens", "free"])),
                deal_kinds=draw(some(["new_business", "renewal", "consumption", "refund"])),
                segments=draw(some(["enterprise", "public-sector"])),
                regions=draw(some(["emea", "americas"])),
                roles=draw(
                    st.sampled_from([["specialist"], ["specialist", "account_executive"], ["house"]])
                    if receivers == Receivers.ROLE
                    else some(["account_executive", "specialist", "customer_success"])
                ),
                territories=draw(some(rich.territories)) if receivers == Receivers.TERRITORY else None,
            )
        )
    return made


def _superseded(fact: Any) -> None:
    """It was corrected since: nothing may look at it."""
    fact.superseded_at = make.AT
    fact.save()


@st.composite
def coverage(draw: st.DrawFn, rich: Rich) -> None:
    """Who covers which territory, where customers lie, whose the house is, and who owns which account until when."""
    for territory in rich.territories:
        territory.house_rep = draw(st.none() | st.sampled_from(rich.reps))
        territory.save()
        if draw(st.booleans()):
            _superseded(make.covers(rep=draw(st.sampled_from(rich.reps)), territory=territory))
        for rep in draw(st.lists(st.sampled_from(rich.reps), max_size=2, unique=True)):
            make.covers(rep=rep, territory=territory, effective=draw(spans()))
    for customer in rich.customers:
        if draw(st.booleans()):
            _superseded(make.lies_in(customer=customer, territory=draw(st.sampled_from(rich.territories))))
        for territory in draw(st.lists(st.sampled_from(rich.territories), max_size=3, unique=True)):
            make.lies_in(customer=customer, territory=territory, effective=draw(spans()))
        if draw(st.integers(0, 3)) == 0:
            _superseded(make.ownership(customer=customer, rep=draw(st.sampled_from(rich.reps))))
        transfer, holdover = sorted(draw(st.tuples(*[st.dates(FIRST_DAY, LAST_DAY)] * 2)))
        before, after = draw(st.tuples(*[st.sampled_from(rich.reps)] * 2))
        if draw(st.booleans()):
            make.ownership(
                customer=customer, rep=before, effective=(None, transfer), credits=(None, holdover)
            )
            make.ownership(customer=customer, rep=after, effective=(transfer, None), credits=(holdover, None))
        elif draw(st.booleans()):
            make.ownership(customer=customer, rep=before)


@st.composite
def plans(draw: st.DrawFn, rich: Rich) -> tuple[list[PlanVersion], list[PlanVersion]]:
    """Plans, whom they are assigned to, and their versions: published ones, and those that are not."""
    published, others = [], []
    for n in range(draw(st.sampled_from([1, 1, 2, 3]))):
        plan = make.comp_plan(for_everybody=False)
        _assign(draw, rich, plan, everybody=n == 0)
        published += [
            make.plan_version(
                rules=draw(rules(rich)), plan=plan, effective=draw(spans()) if number else make.ALWAYS
            )
            for number in range(draw(st.integers(1, 2)))
        ]
        if draw(st.booleans()):
            state = draw(st.sampled_from(["draft", "in_review", "superseded"]))
            others.append(make.plan_version(rules=draw(rules(rich)), plan=plan, state=state))
    return published, others


def _assign(draw: st.DrawFn, rich: Rich, plan: CompPlan, *, everybody: bool) -> None:
    for rep in draw(st.lists(st.sampled_from([None, *rich.reps]), max_size=3, unique=True)):
        _superseded(make.assignment(plan=plan, rep=rep))
    if everybody and draw(st.booleans()):
        make.assignment(plan=plan)
        return
    if draw(st.integers(0, 3)) == 0:
        make.assignment(plan=plan, effective=draw(spans()))
    roles = ["account_executive", "specialist", "customer_success", "house"]
    for role in draw(st.lists(st.sampled_from(roles), min_size=1, max_size=2, unique=True)):
        make.assignment(plan=plan, role=role, effective=draw(spans()))
    for rep in draw(st.lists(st.sampled_from(rich.reps), max_size=2, unique=True)):
        make.assignment(plan=plan, rep=rep, effective=draw(spans()))


AMOUNTS = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 9 * 10**12))
DAYS = st.sampled_from(EDGES) | st.dates(FIRST_DAY, LAST_DAY) | st.dates(date(2025, 6, 25), LAST_DAY)


def _shares(draw: st.DrawFn, rich: Rich) -> dict[Rep, int]:
    reps = draw(st.permutations(rich.reps))[: draw(st.integers(1, 4))]
    cuts = (
        [1_000_000 * n // len(reps) for n in range(1, len(reps))]
        if draw(st.booleans())
        else sorted(
            draw(
                st.lists(st.integers(1, 999_999), min_size=len(reps) - 1, max_size=len(reps) - 1, unique=True)
            )
        )
    )
    bounds = [0, *cuts, 1_000_000]
    return {r: b - a for r, a, b in zip(reps, bounds, bounds[1:], strict=False)}


@st.composite
def deals(draw: st.DrawFn, rich: Rich) -> Deal:
    """An approved deal, or a month's consumption, drawn so that most lines earn something: a suite of refusals proves little about amounts."""
    kind = draw(
        st.sampled_from([DealKind.NEW_BUSINESS] * 5 + [DealKind.RENEWAL] * 2 + [DealKind.CONSUMPTION] * 2)
    )
    offered = draw(st.lists(st.sampled_from(rich.offerings), min_size=1, max_size=3))
    shares = _shares(draw, rich)
    owner = next(iter(shares))
    made = make.deal(
        owner=owner,
        of=rich.calendar_of[owner.pk],
        customer=draw(st.sampled_from(rich.customers)),
        kind=kind,
        close_date=draw(DAYS),
        code=draw(st.sampled_from(["USD", "USD", "USD", "EUR", "EUR", "JPY", "KWD", "KWD", "GBP"])),
        new_customer=draw(st.booleans()),
        lines=[
            make.Line(
                o,
                draw(AMOUNTS),
                plan=draw(st.none() | st.sampled_from([p for p in rich.plans if p.offering_id == o.pk])),
                quantity=draw(st.none() | st.decimals(0, 12_000_000, places=4)),
                term_months=draw(st.none() | st.integers(1, 60)),
                billed_minor=draw(st.none() | AMOUNTS) if kind == DealKind.CONSUMPTION else None,
            )
            for o in offered
        ],
        shares=shares,
        state=DealState.APPROVED,
    )
    made.held = draw(st.sampled_from([False] * 9 + [True]))
    made.save()
    return made


@st.composite
def refunds(draw: st.DrawFn, rich: Rich, original: Deal) -> Deal:
    """A refund of some lines of a deal, mostly of a part of them and shared alike."""
    version = original.latest
    offerings = {o.pk: o for o in rich.offerings}
    plans = {p.pk: p for p in rich.plans}
    back: list[make.Line] = []
    for line in version.lines.order_by("line_no"):
        percent = draw(st.sampled_from([0, 10, 30, 50, 100, 130]))
        if percent or not back:
            back.append(
                make.Line(
                    offerings[line.offering_id],
                    max(-9 * 10**12, -line.amount_minor * percent // 100),
                    plan=plans.get(line.plan_id or 0),
                    quantity=draw(st.none() | st.just(line.quantity)),
                    term_months=line.term_months,
                )
            )
    reps = {r.pk: r for r in rich.reps}
    alike = {reps[s.rep_id]: s.ppm for s in version.shares.order_by("ordinal")}
    owner = next(iter(alike))
    made = make.deal(
        owner=owner,
        of=rich.calendar_of[owner.pk],
        customer=draw(st.sampled_from(rich.customers)) if draw(st.integers(0, 4)) == 0 else original.customer,
        kind=DealKind.REFUND,
        refunds=original,
        close_date=draw(DAYS) if draw(st.booleans()) else version.close_date,
        code=version.currency_id,
        new_customer=draw(st.booleans()),
        lines=back,
        shares=_shares(draw, rich) if draw(st.integers(0, 3)) == 0 else alike,
        state=DealState.APPROVED,
    )
    made.held = draw(st.sampled_from([False] * 9 + [True]))
    made.save()
    return made


@st.composite
def worlds(draw: st.DrawFn, rich: Rich) -> World:
    draw(coverage(rich))
    published, others = draw(plans(rich))
    booked = [draw(deals(rich)) for _ in range(draw(st.integers(1, 5)))]
    refunded = draw(st.lists(st.sampled_from(booked), max_size=4))
    booked += [draw(refunds(rich, original)) for original in refunded]
    cancelled = draw(st.sampled_from([None] * 6 + booked))
    if cancelled is not None:
        cancelled.state, cancelled.held = DealState.CANCELLED, False
        cancelled.save()
    return World(booked, published, others)


def many_deals(rich: Rich, *, count: int, seed: int) -> list[int]:
    """Approved deals by the thousand, every twelfth a refund of an earlier one, written past everything; their ids."""
    chance = Random(seed)
    author = make.user()
    offerings = {o.pk: [p for p in rich.plans if p.offering_id == o.pk] for o in rich.offerings}
    kinds = [DealKind.NEW_BUSINESS] * 6 + [DealKind.RENEWAL] * 3 + [DealKind.CONSUMPTION] * 2
    versions: list[DealVersion] = []
    lines: list[DealLine] = []
    shares: list[DealShare] = []
    deals = bulk.insert(
        [
            Deal(
                owner=owner,
                customer=chance.choice(rich.customers),
                calendar=rich.calendar_of[owner.pk],
                state=DealState.SUBMITTED,
                held=chance.random() < 0.05,
                created_by=author,
                created_at=make.AT,
            )
            for owner in chance.choices(rich.reps, k=count)
        ]
    )
    sold: list[tuple[Deal, DealVersion, list[DealLine], list[DealShare]]] = []
    for deal in deals:
        original = chance.choice(sold) if sold and chance.random() < 0.08 else None
        day = chance.choice([date(2025, 6, 25), FIRST_DAY, FIRST_DAY, FIRST_DAY])
        version = DealVersion(
            deal=deal,
            number=1,
            kind=DealKind.REFUND if original else chance.choice(kinds),
            close_date=day + timedelta(days=chance.randrange((LAST_DAY - day).days + 1)),
            currency_id=original[1].currency_id if original else chance.choice(["USD", "USD", "EUR", "JPY", "KWD", "GBP"]),
            segment=deal.customer.segment,
            region=deal.customer.region,
            new_customer=chance.random() < 0.3,
            refunds=original[0] if original else None,
            recorded_by=author,
            recorded_at=make.AT,
        )  # fmt: skip
        of_deal = []
        if original:
            for line in original[2][: chance.randint(1, 3)]:
                back = -line.amount_minor * chance.choice([10, 50, 100]) // 100
                of_deal.append(DealLine(version=version, line_no=line.line_no, offering_id=line.offering_id, plan_id=line.plan_id,
                                        amount_minor=back, quantity=line.quantity, term_months=line.term_months))  # fmt: skip
            of_shares = [DealShare(version=version, ordinal=s.ordinal, rep_id=s.rep_id, ppm=s.ppm) for s in original[3]]  # fmt: skip
        else:
            for number in range(1, chance.randint(1, 3) + 1):
                offering = chance.choice(list(offerings))
                plan = chance.choice([None, *offerings[offering]])
                largest = chance.choice([300, 10**7, 10**10])
                billed = (
                    chance.randrange(largest)
                    if version.kind == DealKind.CONSUMPTION and chance.random() < 0.5
                    else None
                )
                of_deal.append(DealLine(version=version, line_no=number, offering_id=offering, plan=plan, amount_minor=chance.randrange(largest),
                                        quantity=chance.choice([None, Decimal(chance.randrange(10**6)) / 100]),
                                        term_months=chance.choice([None, chance.randint(1, 60)]), billed_minor=billed))  # fmt: skip
            people = chance.sample(rich.reps, chance.randint(1, 4))
            cuts = [0, *sorted(chance.sample(range(1, 1_000_000), len(people) - 1)), 1_000_000]
            of_shares = [
                DealShare(version=version, ordinal=n, rep=rep, ppm=cuts[n] - cuts[n - 1])
                for n, rep in enumerate(people, start=1)
            ]
        versions.append(version)
        lines += of_deal
        shares += of_shares
        if original is None:
            sold.append((deal, version, of_deal, of_shares))
    versions = bulk.insert(versions)
    for line in lines:
        line.version_id = line.version.pk
    for share in shares:
        share.version_id = share.version.pk
    bulk.insert(lines)
    bulk.insert(shares)
    ids = [deal.pk for deal in deals]
    written = [version.pk for version in versions]
    bulk.update(
        Deal,
        ids,
        {
            "latest_version_id": ("bigint", written),
            "credited_version_id": ("bigint", written),
            "state": ("text", [chance.choice(["approved"] * 19 + ["cancelled"]) for _ in ids]),
        },
    )
    return ids

"""What was sold: bookings, refunds and monthly statements of consumption, with their splits and what became of them."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate

from quotas.demo import names
from quotas.demo.calendar import FIRST_DAY, ONE_DAY, PeriodFact, RateFact, periods, rate_on
from quotas.demo.customers import CustomerFact, months_until
from quotas.demo.dice import Dice, apportion
from quotas.demo.market import Market, OfferingFact
from quotas.demo.organisation import AE, HOUSE, SPECIALIST, SUCCESS, Organisation, Person
from quotas.demo.scale import Scale
from quotas.demo.targets import BOOKINGS, CONSUMPTION, Targets

EXPONENTS = {"JPY": 0, "KWD": 3}
ACTIVITY = {AE: 10, SPECIALIST: 4, SUCCESS: 6}  # how many deals one does beside another
SIZES = {"new_business": 1.0, "expansion": 0.7, "renewal": 1.3}

# How far the team of the log-ins is on the anchor date, in per cent of the quarter's quota; the rep of the log-ins is first.
AT_HOME = (46, 108, 83, 67, 58, 51, 38, 31, 22, 16)

TWO = (
    (700_000, 300_000),
    (650_000, 350_000),
    (600_000, 400_000),
    (666_667, 333_333),
    (812_500, 187_500),
    (512_345, 487_655),
)
THREE = (
    (500_000, 300_000, 200_000),
    (333_334, 333_333, 333_333),
    (612_500, 237_500, 150_000),
    (457_143, 342_857, 200_000),
)

APPROVED, SUBMITTED, DRAFT, RETURNED, REJECTED, CANCELLED, HELD = (
    *("approved", "submitted", "draft", "returned", "rejected", "cancelled", "held"),
)
REASONS = {
    RETURNED: (
        "Please attach the order form.",
        "The term is missing on the second line.",
        "Is the split agreed with the specialist?",
    ),
    REJECTED: (
        "Same order as one that is credited already.",
        "The customer has not signed.",
        "Booked by the partner, not by us.",
    ),
    CANCELLED: (
        "The customer withdrew within the notice period.",
        "Replaced by a corrected order.",
        "Logged for the wrong customer.",
    ),
    HELD: ("Waiting for the signed order form.", "Credit check of the customer is open."),
}


@dataclass(frozen=True, slots=True)
class LineFact:
    """offering and plan by slug; amount in minor units of the deal's currency; billed_minor of consumption, once that is known."""

    offering: str
    plan: str | None
    amount_minor: int
    quantity: int | None
    term_months: int | None
    billed_minor: int | None = None


@dataclass(frozen=True, slots=True)
class AmendmentFact:
    """What somebody proposed for an approved deal and nobody has decided yet. by is a log-in; what is empty stays.

    shares  The new split.
    add_ppm What is added to the first line, in parts per million of it.
    """

    by: str
    at: datetime
    reason: str
    shares: tuple[tuple[str, int], ...] = ()
    add_ppm: int = 0
    close_date: date | None = None


@dataclass(frozen=True, slots=True)
class DealFact:
    """One deal. People, customers and offerings by slug; refunds is the external id of the original.

    shares      Empty on a statement: consumption is credited to the account's owner.
    outcome     What became of it; decided_at is when, and empty where nobody has decided.
    undone_at   When it was cancelled or held, after it had been approved; late is after its month was closed.
    by_owner    Logged and submitted by the owner, who can log in; otherwise by the import of the source.
    billed_at   When the bill of a month's consumption came; until then it was an estimate. Empty: with the metering, or not yet.
    amendment   What waits for a decision.
    left_ppm    What is left of the first line since a part was cancelled at undone_at; empty where nothing was.
    """

    source: str
    external_id: str
    owner: str
    customer: str
    kind: str
    close_date: date
    currency: str
    title: str
    lines: tuple[LineFact, ...]
    shares: tuple[tuple[str, int], ...]
    outcome: str
    recorded_at: datetime
    decided_at: datetime | None
    new_customer: bool = False
    refunds: str = ""
    reason: str = ""
    by_owner: bool = False
    undone_at: datetime | None = None
    late: bool = False
    billed_at: datetime | None = None
    amendment: AmendmentFact | None = None
    left_ppm: int | None = None


@dataclass(slots=True)
class _Booking:
    """A deal before it has an amount. weight is its size beside the owner's others, the line weights add up to one."""

    owner: Person
    customer: CustomerFact
    kind: str
    day: date
    cell: tuple[str, str]
    weight: float
    lines: list[tuple[OfferingFact, float]]
    shares: tuple[tuple[Person, int], ...]
    title: str
    lag: int
    outcome: str = APPROVED
    terms: int = 12
    new_customer: bool = False
    late: bool = False
    usd: float = 0.0


class Selling:
    """Throws all deals of a world. The order of the results is the order in which they were recorded."""

    def __init__(
        self,
        *,
        found: Organisation,
        customers: list[CustomerFact],
        asked: Targets,
        rates: list[RateFact],
        offerings: list[OfferingFact],
        scale: Scale,
        seed: int,
        today: date,
    ) -> None:
        self.found, self.customers, self.asked, self.scale = found, customers, asked, scale
        self.seed, self.today, self.last_day = seed, today, today - ONE_DAY
        self.people = {person.slug: person for person in found.people}
        self.market = Market(offerings)
        self.rates = rate_on(rates)
        self.quarters = [p for p in periods() if p.grain == "Q" and p.starts <= self.last_day]
        self.pull = self._pull_of_days()
        self.books: dict[str, list[tuple[CustomerFact, date, date | None]]] = defaultdict(list)
        self.at: dict[str, list[CustomerFact]] = defaultdict(list)
        for customer in customers:
            self.at[customer.team].append(customer)
            for span in customer.sold_by:
                self.books[span.person.slug].append((customer, span.starts, span.ends))
            for span in customer.owned_by:
                if span.person.role == SUCCESS:
                    self.books[span.person.slug].append((customer, span.starts, span.ends))

    def deals(self) -> list[DealFact]:
        statements = self._statements()
        bookings = self._changed(self._bookings(self.scale.deals - len(statements) - self.scale.refunds))
        return sorted(
            [*statements, *bookings, *self._refunds(bookings)], key=lambda d: (d.recorded_at, d.external_id)
        )

    # Bookings

    def _pull_of_days(self) -> list[float]:
        """Running sum over the days from the first one: quiet week-ends, busy ends of months, quarters and years."""
        pulls = []
        ends = {(q.ends - FIRST_DAY).days for q in periods() if q.grain == "Q"}
        month_ends = {(m.ends - FIRST_DAY).days for m in periods() if m.grain == "M"}
        for nth in range((self.last_day - FIRST_DAY).days + 1):
            day = FIRST_DAY + timedelta(days=nth)
            pull = 0.1 if day.weekday() > 4 else 1.0
            if any(nth + left in month_ends for left in range(1, 6)):
                pull *= 1.7
            if any(nth + left in ends for left in range(1, 16)):
                pull *= 1.9 if day.month != 6 else 2.4
            if (day.month, day.day) in {(12, 24), (12, 25), (12, 26), (12, 31), (1, 1)}:
                pull *= 0.1
            pulls.append(pull)
        return list(accumulate(pulls))

    def _pull(self, starts: date, ends: date) -> float:
        first, last = (starts - FIRST_DAY).days, (ends - FIRST_DAY).days
        return self.pull[last - 1] - (self.pull[first - 1] if first else 0.0)

    def _day(self, dice: Dice, starts: date, ends: date) -> date:
        first = (starts - FIRST_DAY).days
        before = self.pull[first - 1] if first else 0.0
        wanted = before + dice.part() * self._pull(starts, ends)
        return FIRST_DAY + timedelta(days=min(bisect_left(self.pull, wanted), (ends - FIRST_DAY).days - 1))

    def _bookings(self, count: int) -> list[DealFact]:
        extra = self._undone()
        cells = self._cells()
        counts = apportion(count - len(extra), [weight for *_, weight in cells], least=1)
        made: list[_Booking] = []
        for (person, quarter, starts, ends, _weight), size in zip(cells, counts, strict=True):
            dice = Dice(self.seed, "bookings", person.slug, quarter.name)
            made += [self._booking(dice, person, quarter, self._day(dice, starts, ends)) for _ in range(size)]
        self._size(made)
        self._size_like(extra, made)
        together = sorted([*made, *extra], key=lambda b: (b.day, b.owner.slug, b.customer.slug, b.weight))
        self._win(together)
        return [self._fact(booking, nth) for nth, booking in enumerate(together, 1)]

    def _cells(self) -> list[tuple[Person, PeriodFact, date, date, float]]:
        """Who sold in which quarter, from when until when, and how much beside others."""
        cells = []
        for person in self.found.people:
            if not person.sells:
                continue
            for quarter in self.quarters:
                starts = max(person.starts, quarter.starts)
                ends = min(person.ends or quarter.ends, quarter.ends, self.today)
                if starts < ends:
                    cells.append(
                        (person, quarter, starts, ends, ACTIVITY[person.role] * self._pull(starts, ends))
                    )
        return cells

    def _booking(self, dice: Dice, person: Person, quarter: PeriodFact, day: date) -> _Booking:
        customer = self._customer(dice, person, day)
        kind = ("expansion", "renewal", "new_business")[
            0 if (part := dice.part()) < 0.45 else 1 if part < 0.75 else 2
        ]
        if person.role == SUCCESS:
            kind = "renewal" if dice.chance(0.7) else "expansion"
        part = dice.part()
        count = 1 if part < 0.52 else 2 if part < 0.8 else 3 if part < 0.93 else 4
        lines: dict[str, tuple[OfferingFact, float]] = {}
        for _ in range(count):
            offering = self.market.draw(dice, day, customer.country)
            lines.setdefault(offering.slug, (offering, dice.around(1.0, 0.6)))
        whole = sum(weight for _, weight in lines.values())
        return _Booking(
            person,
            customer,
            kind,
            day,
            (person.slug, quarter.name),
            SIZES[kind] * customer.size**0.5 * dice.around(1.0, 0.8),
            [(offering, weight / whole) for offering, weight in lines.values()],
            self._shares(dice, person, day),
            dice.pick(names.USES[customer.industry]),
            dice.number(0, 2),
            terms=dice.pick((12, 12, 12, 24, 36)),
        )

    def _customer(self, dice: Dice, person: Person, day: date) -> CustomerFact:
        """Of the seller's own accounts; others sell where their team has been for a while."""
        mine = [
            customer
            for customer, starts, ends in self.books.get(person.slug, ())
            if starts <= day
            and (ends is None or day < ends)
            and (customer.wins_on is None or customer.wins_on <= day)
        ]
        if mine:
            return dice.pick(mine)
        team = person.team_on(day) or ""
        known = [c for c in self.at[team] if c.wins_on is None or c.wins_on <= day - timedelta(days=60)]
        return dice.pick(known or self.customers)

    def _shares(self, dice: Dice, person: Person, day: date) -> tuple[tuple[Person, int], ...]:
        if not dice.chance(0.26):
            return ((person, 1_000_000),)
        team = person.team_on(day) or ""
        mates = [p for p in self.found.sellers(team, day) if p is not person]
        mates.sort(key=lambda p: (p.role == person.role, p.role == SUCCESS))
        helpers = mates[: dice.number(1, 3)] if dice.chance(0.7) else mates
        parts = dice.pick(THREE) if len(mates) > 1 and dice.chance(0.25) else dice.pick(TWO)
        chosen = dice.several(helpers if len(helpers) >= len(parts) - 1 else mates, len(parts) - 1)
        if len(chosen) < len(parts) - 1:
            return ((person, 1_000_000),)
        return tuple(zip((person, *chosen), parts, strict=True))

    def _size(self, made: list[_Booking]) -> None:
        """Give amounts so that everybody lands about where their ability puts them, what they share included."""
        wanted = {cell: self._wanted(*cell) for cell in {booking.cell for booking in made}}
        own: dict[tuple[str, str], float] = defaultdict(float)
        for booking in made:
            own[booking.cell] += booking.weight
        factors = {cell: wanted[cell] / own[cell] for cell in own}
        for _ in range(8):
            earned: dict[tuple[str, str], float] = defaultdict(float)
            for booking in made:
                usd = booking.weight * factors[booking.cell]
                for person, ppm in booking.shares:
                    earned[person.slug, booking.cell[1]] += usd * ppm / 1_000_000
            for cell in factors:
                factors[cell] *= min(3.0, max(0.25, wanted[cell] / earned[cell]))
        for booking in made:
            booking.usd = max(400.0, booking.weight * factors[booking.cell])

    def _wanted(self, slug: str, quarter: str) -> float:
        """US dollars that somebody is to have in a quarter, or in the part of it that has passed."""
        person = self.people[slug]
        asked = self.asked.reps.get((BOOKINGS, quarter, slug), 20_000)
        asked = asked * 120 // 100 if person.role == SPECIALIST else asked  # four fifths of it count
        dice = Dice(self.seed, "result", slug, quarter)
        if quarter != self.quarters[-1].name:
            return asked * min(1.28, max(0.55, person.ability * dice.around(1.0, 0.12)))
        if person.team_on(self.today) == self.found.home and person.seat < len(AT_HOME):
            return asked * AT_HOME[person.seat] / 100
        present = self.quarters[-1]
        pace = (self.today - present.starts).days / (present.ends - present.starts).days
        return asked * min(1.4, max(0.1, pace * person.ability * dice.around(1.0, 0.5)))

    def _size_like(self, extra: list[_Booking], made: list[_Booking]) -> None:
        """What is not credited is as large as what its owner sells otherwise."""
        usual: dict[str, list[float]] = defaultdict(list)
        for booking in made:
            usual[booking.owner.slug].append(booking.usd)
        for booking in extra:
            theirs = sorted(usual[booking.owner.slug])
            booking.usd = max(400.0, theirs[len(theirs) // 2] * min(3.0, max(0.3, booking.weight)))

    def _undone(self) -> list[_Booking]:
        """Deals that earn nothing, or not yet: waiting, drafts, returned, held, rejected and cancelled ones."""
        dice = Dice(self.seed, "undone")
        present = self.quarters[-1]
        sellers = [p for p in self.found.people if p.sells and p.works(self.today)]
        home = [p for p in sellers if p.team_on(self.today) == self.found.home]
        others = [p for p in sellers if p.team_on(self.today) != self.found.home]
        rep = self.found.of("rep")
        scale = self.scale
        recent = max(present.starts, self.today - timedelta(days=20))
        waiting = [rep, rep, *(home[nth % len(home)] for nth in range(1, scale.waiting_at_home - 1))]
        waiting += [dice.pick(others) for _ in range(scale.waiting - len(waiting))]
        drafts = [rep, rep, rep, *(dice.pick(sellers) for _ in range(scale.drafts - 3))]
        returned = [rep, *(dice.pick(sellers) for _ in range(scale.returned - 1))]
        plan: list[tuple[str, list[Person], date, date]] = [
            (SUBMITTED, waiting, recent, self.today),
            (DRAFT, drafts, recent, self.today),
            (RETURNED, returned, recent, self.today),
            (HELD, [dice.pick(others) for _ in range(scale.held)], present.starts, self.today),
            (REJECTED, [dice.pick(sellers) for _ in range(scale.rejected)], FIRST_DAY, self.today),
        ]
        early = months_until(self.today)[-5]  # is closed by now
        for nth in range(scale.cancelled):
            span = (
                (early, early + timedelta(days=28))
                if nth < scale.cancelled_late
                else (FIRST_DAY, self.today - timedelta(days=21))
            )
            plan.append((CANCELLED, [dice.pick(others)], *span))
        made = []
        for outcome, owners, starts, ends in plan:
            for person in owners:
                begins = max(starts, person.starts)
                booking = self._booking(
                    dice, person, present, self._day(dice, begins if begins < ends else ends - ONE_DAY, ends)
                )
                if person.works(booking.day):
                    booking.outcome = outcome
                    booking.late = outcome == CANCELLED and starts > FIRST_DAY
                    made.append(booking)
        return made

    def _win(self, in_order: Iterable[_Booking]) -> None:
        """The first deal with a customer who was none before, unless nothing comes of it."""
        won: set[str] = set()
        for booking in in_order:
            customer = booking.customer
            if customer.wins_on and customer.slug not in won and booking.outcome in (APPROVED, SUBMITTED):
                won.add(customer.slug)
                booking.new_customer = True
                booking.kind = "new_business"

    def _fact(self, booking: _Booking, nth: int) -> DealFact:
        customer = booking.customer
        rate = self._rate(customer.currency, booking.day)
        dice = Dice(self.seed, "amounts", nth)
        by_owner = bool(booking.owner.log_in) and booking.outcome in (SUBMITTED, DRAFT, RETURNED)
        recorded = self._recorded(booking.day + timedelta(days=booking.lag), dice)
        decided = None if booking.outcome in (SUBMITTED, DRAFT) else self._decided(recorded)
        undone = None
        if decided and booking.outcome == HELD:
            undone = datetime.combine(self.last_day, time(21), UTC)
        elif decided and booking.outcome == CANCELLED:
            undone = (
                datetime.combine(self.today - timedelta(days=9), time(18), UTC)
                if booking.late
                else decided + timedelta(days=9)
            )
        return DealFact(
            source="parity" if by_owner else "crm",
            external_id="" if by_owner else f"OPP-{nth:06}",
            owner=booking.owner.slug,
            customer=customer.slug,
            kind=booking.kind,
            close_date=booking.day,
            currency=customer.currency,
            title=booking.title,
            lines=tuple(
                self._line(dice, offering, booking.usd * part, customer.currency, rate, booking.terms)
                for offering, part in booking.lines
            ),
            shares=tuple((person.slug, ppm) for person, ppm in booking.shares),
            outcome=booking.outcome,
            recorded_at=recorded,
            decided_at=decided,
            new_customer=booking.new_customer,
            reason=dice.pick(REASONS[booking.outcome]) if booking.outcome in REASONS else "",
            by_owner=by_owner,
            undone_at=undone,
            late=booking.late,
        )

    def _line(
        self, dice: Dice, offering: OfferingFact, usd: float, currency: str, rate: float, term: int
    ) -> LineFact:
        exponent = EXPONENTS.get(currency, 2)
        units = usd / rate
        digits = len(str(int(units)))
        step = 10 ** max(0, digits - (3 if dice.chance(0.8) else 4))
        amount = max(step, round(units / step) * step) * 10**exponent
        if dice.chance(0.06):
            amount += dice.number(1, 10**exponent * 9) if exponent else dice.number(1, 99)
        plan = dice.pick(offering.plans) if offering.plans else None
        by_seat = plan is not None and plan.pricing_form == "seat"
        return LineFact(
            offering.slug,
            plan.slug if plan else None,
            amount,
            max(1, round(usd / (25 * term))) if by_seat else None,
            term,
        )

    def _rate(self, currency: str, day: date) -> float:
        return 1.0 if currency == "USD" else self.rates[currency, day.replace(day=1)] / 10**9

    def _recorded(self, day: date, dice: Dice) -> datetime:
        """In working hours of the day, at the latest in the afternoon before the anchor date."""
        return datetime.combine(min(day, self.last_day), time(dice.number(7, 16), dice.number(0, 59)), UTC)

    def _decided(self, recorded: datetime) -> datetime:
        """On the following Monday, or in the evening before the anchor date."""
        monday = recorded.date() + timedelta(days=7 - recorded.weekday())
        if monday > self.last_day:
            return datetime.combine(self.last_day, time(20), UTC)
        return datetime.combine(monday, time(16), UTC)

    # What changed afterwards

    def _changed(self, bookings: list[DealFact]) -> list[DealFact]:
        """Amendments that wait for the manager of the log-ins, and a deal of which a part was cancelled."""
        present = self.quarters[-1]
        rep = self.found.of("rep").slug
        evening = datetime.combine(self.last_day, time(19), UTC)
        standing = [
            place
            for place, b in enumerate(bookings)
            if b.outcome == APPROVED and not b.new_customer and present.holds(b.close_date)
        ]
        home = [
            place
            for place in standing
            if self.people[bookings[place].owner].team_on(self.today) == self.found.home
        ]
        made = list(bookings)
        own = [place for place in home if bookings[place].owner == rep]
        earlier = present.starts + timedelta(days=4)
        others = [p for p in home if bookings[p].owner != rep and bookings[p].close_date >= earlier]
        if own:
            made[own[0]] = replace(
                made[own[0]],
                amendment=AmendmentFact(
                    "rep",
                    evening,
                    "The customer ordered more before the order form was countersigned.",
                    add_ppm=120_000,
                ),
            )
        if len(own) > 1:
            mate = next(p.slug for p in self.found.sellers(self.found.home, self.today) if p.slug != rep)
            made[own[-1]] = replace(
                made[own[-1]],
                amendment=AmendmentFact(
                    *(
                        "rep",
                        evening + timedelta(minutes=4),
                        "We worked on it together and agreed on the split.",
                    ),
                    shares=((rep, 650_000), (mate, 350_000)),
                ),
            )
        if others:
            fact = made[others[0]]
            made[others[0]] = replace(
                fact,
                amendment=AmendmentFact(
                    *("admin", evening + timedelta(minutes=9), "The order form is dated earlier."),
                    close_date=fact.close_date - timedelta(days=3),
                ),
            )
        away = [p for p in standing if p not in home and len(bookings[p].lines) > 1]
        if away:
            made[away[0]] = replace(
                made[away[0]],
                left_ppm=600_000,
                undone_at=datetime.combine(self.last_day, time(17), UTC),
                reason="The customer took fewer seats than were ordered.",
            )
        return made

    # Refunds

    def _refunds(self, bookings: list[DealFact]) -> list[DealFact]:
        """A part of a line is paid back some weeks later, shared as the original was; the first two of the deal that a cap cut most."""
        dice = Dice(self.seed, "refunds")
        facts = {offering.slug: offering for offering in self.market.offerings}
        old = self.today - timedelta(days=50)
        made: list[DealFact] = self._of_a_capped_deal(bookings)
        candidates = [
            b
            for b in bookings
            if b.outcome == APPROVED
            and b.close_date < old
            and not b.new_customer
            and b.external_id not in {refund.refunds for refund in made}
        ]
        for original in dice.several(candidates, self.scale.refunds * 2):
            if len(made) == self.scale.refunds:
                break
            day = original.close_date + timedelta(days=dice.number(9, 45))
            line = original.lines[0]
            there = all(self.people[slug].works(day) for slug, _ in original.shares)
            if not there or not facts[line.offering].on_sale(day):
                continue
            amount = line.amount_minor * dice.pick((20, 25, 40, 50, 100)) // 100
            made.append(self._refund(dice, original, day, amount, nth=len(made) + 1))
        return made

    def _refund(self, dice: Dice, original: DealFact, day: date, amount: int, *, nth: int) -> DealFact:
        recorded = max(
            self._recorded(day, dice), (original.decided_at or original.recorded_at) + timedelta(hours=1)
        )
        return replace(
            original,
            external_id=f"REF-{nth:05}",
            kind="refund",
            close_date=day,
            title=f"Refund: {original.title.lower()}",
            lines=(replace(original.lines[0], amount_minor=-max(1, amount), quantity=None),),
            recorded_at=recorded,
            decided_at=self._decided(recorded),
            refunds=original.external_id,
        )

    def _of_a_capped_deal(self, bookings: list[DealFact]) -> list[DealFact]:
        """Two refunds of the largest new business in EMEA, whose cap the demo's plan has: the first may take nothing back."""
        dice = Dice(self.seed, "capped")
        regions = {customer.slug: customer.region for customer in self.customers}

        def size(fact: DealFact) -> float:
            units = sum(line.amount_minor for line in fact.lines) / 10 ** EXPONENTS.get(fact.currency, 2)
            return float(units * self._rate(fact.currency, fact.close_date))

        able = [
            b
            for b in bookings
            if (b.outcome, b.kind, regions[b.customer]) == (APPROVED, "new_business", "emea")
            and b.close_date < self.today - timedelta(days=25)
            and all(self.people[slug].works(b.close_date + timedelta(days=15)) for slug, _ in b.shares)
        ]
        if not able:
            return []
        largest = max(able, key=lambda b: (size(b), b.external_id))
        first = largest.lines[0].amount_minor
        return [
            self._refund(
                dice, largest, largest.close_date + timedelta(days=days), first * percent // 100, nth=nth
            )
            for nth, (days, percent) in enumerate(((9, 10), (15, 25)), 1)
        ]

    # Consumption

    def _statements(self) -> list[DealFact]:
        """One statement a customer and month of use, credited to whoever owns the account on its last day."""
        months = months_until(self.today)
        weights: dict[tuple[str, str], list[tuple[CustomerFact, date, float]]] = defaultdict(list)
        for customer in self.customers:
            if customer.uses_from is None:
                continue
            dice = Dice(self.seed, "use", customer.slug)
            for nth, month in enumerate(months):
                closes = self._closes(month)
                owner = customer.owner_on(closes)
                if owner is None or month < customer.uses_from:
                    continue
                quarter = next(q for q in self.quarters if q.holds(month))
                grown = customer.size * (1 + 0.02 * nth) * dice.around(1.0, 0.12) * self._passed(month)
                weights[owner.slug, quarter.name].append((customer, month, grown))
        made: list[tuple[CustomerFact, date, str, float]] = []
        for (slug, quarter_name), uses in sorted(weights.items()):
            quarter = next(q for q in self.quarters if q.name == quarter_name)
            asked = self.asked.reps.get((CONSUMPTION, quarter_name, slug), 0)
            passed = sum(self._passed(month) for month in months if quarter.holds(month)) / 3
            ability = self.people[slug].ability if self.people[slug].role != HOUSE else 0.8
            result = ability * Dice(self.seed, "consumed", slug, quarter_name).around(1.0, 0.22) * passed
            whole = sum(weight for *_, weight in uses)
            total = asked * result if asked else sum(customer.size * 9_000 for customer, *_ in uses)
            made += [(customer, month, slug, total * weight / whole) for customer, month, weight in uses]
        made.sort(key=lambda use: (use[1], use[0].slug))
        return [fact for use in made if (fact := self._statement(*use))]

    def _statement(self, customer: CustomerFact, month: date, owner: str, usd: float) -> DealFact | None:
        dice = Dice(self.seed, "workloads", customer.slug)
        tastes = [(dice.part(), dice.around(1.0, 0.7)) for _ in range(dice.pick((1, 1, 2, 2, 3, 4)))]
        closes = self._closes(month)
        parts: dict[str, tuple[OfferingFact, float]] = {}
        for taste, size in tastes:
            if offering := self.market.used(taste, closes, customer.country):
                parts[offering.slug] = (offering, size + parts.get(offering.slug, (offering, 0.0))[1])
        if not parts:
            return None
        whole = sum(size for _, size in parts.values())
        rate = self._rate(customer.currency, closes)
        units = 10 ** EXPONENTS.get(customer.currency, 2) * usd / rate
        present = closes == self.last_day
        recorded = datetime.combine(closes if present else closes + timedelta(days=3), time(18), UTC)
        bill = datetime.combine(closes + timedelta(days=12), time(18), UTC)
        bills = Dice(self.seed, "bills", customer.slug, f"{month:%Y%m}")
        lines = [
            LineFact(offering.slug, _by_token(offering), max(1, round(units * size / whole)), None, None)
            for offering, size in parts.values()
        ]
        if not present and bill < datetime.combine(self.today, time(), UTC):
            # Most bills are what was metered; the others a little less or more.
            lines = [
                replace(line, billed_minor=line.amount_minor * bills.number(975_000, 1_015_000) // 1_000_000)
                if bills.chance(0.3)
                else replace(line, billed_minor=line.amount_minor)
                for line in lines
            ]
        recent = (self.today - month).days < 110
        return DealFact(
            source="metering",
            external_id=f"USE-{month:%Y%m}-{customer.slug}",
            owner=owner,
            customer=customer.slug,
            kind="consumption",
            close_date=closes,
            currency=customer.currency,
            title=f"Consumption of {month:%B %Y}{', to date' if present else ''}",
            lines=tuple(lines),
            shares=(),
            outcome=APPROVED,
            recorded_at=recorded,
            decided_at=recorded,
            billed_at=bill if recent and lines[0].billed_minor is not None else None,
        )

    def _closes(self, month: date) -> date:
        """The month's last day, or the last one that has passed."""
        return min((month + timedelta(days=31)).replace(day=1) - ONE_DAY, self.last_day)

    def _passed(self, month: date) -> float:
        ends = (month + timedelta(days=31)).replace(day=1)
        return min(1.0, (self.today - month).days / (ends - month).days)


def _by_token(offering: OfferingFact) -> str | None:
    """The plan that is charged by use, where there is one."""
    first = next((plan for plan in offering.plans if plan.pricing_form == "tokens"), None)
    chosen = first or (offering.plans[0] if offering.plans else None)
    return chosen.slug if chosen else None

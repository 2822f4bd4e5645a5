"""Who buys, whose accounts they are from when until when, and who uses what by the month."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta

from quotas.demo import names
from quotas.demo.calendar import FIRST_DAY, periods
from quotas.demo.dice import Dice
from quotas.demo.organisation import AE, AREAS, HOUSE, SUCCESS, Organisation, Person
from quotas.demo.scale import Scale

A_SEAT_HAS = {"enterprise": 5, "corporate": 9, "public-sector": 5}


@dataclass(frozen=True)
class Span:
    """An account in somebody's hands over [starts, ends)."""

    person: Person
    starts: date
    ends: date | None


@dataclass
class CustomerFact:
    """size says how much it buys beside others; wins_on is the day from which a new one can be won."""

    slug: str
    name: str
    segment: str
    region: str
    country: str
    industry: str
    currency: str
    team: str
    size: float
    wins_on: date | None = None
    uses_from: date | None = None
    sold_by: list[Span] = field(default_factory=list)
    owned_by: list[Span] = field(default_factory=list)

    def owner_on(self, day: date) -> Person | None:
        return next(
            (s.person for s in self.owned_by if s.starts <= day and (s.ends is None or day < s.ends)), None
        )


def months_until(today: date) -> list[date]:
    """First days of the months that have begun."""
    return [period.starts for period in periods() if period.grain == "M" and period.starts <= today]


def customers(found: Organisation, scale: Scale, seed: int, today: date) -> list[CustomerFact]:
    """The accounts of every seat. The first of a seat has been a customer for long, most others are won on the way."""
    taken: set[str] = set()
    places = {team.slug: team for team in found.teams}
    made: list[CustomerFact] = []
    days = (today - FIRST_DAY).days
    for (team_slug, seat), spans in _seats(found).items():
        team = places[team_slug]
        area = AREAS[team.area]
        dice = Dice(seed, "customers", team_slug, seat)
        for nth in range(A_SEAT_HAS[team.segment]):
            name, industry = names.customer(dice, public=team.segment == "public-sector", taken=taken)
            country, currency = dice.pick(area.countries)
            made.append(
                CustomerFact(
                    *(
                        names.slug(name),
                        name,
                        team.segment,
                        area.region,
                        country,
                        industry,
                        currency,
                        team_slug,
                    ),
                    size=dice.around(1.0, 0.6),
                    wins_on=None if nth == 0 else FIRST_DAY + timedelta(days=dice.number(2, days - 3)),
                    sold_by=spans,
                )
            )
    _use(made, scale, seed, today)
    _own(made, found, seed)
    return made


def _seats(found: Organisation) -> dict[tuple[str, int], list[Span]]:
    """Who sat in each account executive's seat, one after the other, without a gap from the first day on."""
    sitters: dict[tuple[str, int], list[Person]] = defaultdict(list)
    for person in found.people:
        if person.role in (AE, HOUSE):
            sitters[person.stays[0].team, person.seat].append(person)
    seats = {}
    for key, people in sitters.items():
        people.sort(key=lambda p: (p.ends is None, p.starts))
        spans: list[Span] = []
        since = FIRST_DAY
        if people[0].starts > since:  # a new seat: somebody of the team looked after its accounts before
            team = sorted(found.sellers(key[0], since), key=lambda p: (p.role != AE, p.ends is not None))
            caretaker = team[0]
            spans.append(Span(caretaker, since, people[0].starts))
            since = people[0].starts
        for person in people:
            spans.append(Span(person, since, person.ends))
            since = person.ends or since
        seats[key] = spans
    return seats


def _use(made: list[CustomerFact], scale: Scale, seed: int, today: date) -> None:
    """Long-standing customers use models from the first month, new ones from the second month after they were won."""
    months = months_until(today)
    left = scale.statements
    for customer in made:
        if customer.wins_on is None and left >= len(months):
            customer.uses_from = months[0]
            left -= len(months)
    new = [(customer, customer.wins_on) for customer in made if customer.wins_on is not None]
    for customer, won in Dice(seed, "usage").several(new, len(new)):
        begins = sum(month <= won for month in months) + 1
        if begins < len(months) and left > 0:
            begins = max(begins, len(months) - left)
            customer.uses_from = months[begins]
            left -= len(months) - begins


def _own(made: list[CustomerFact], found: Organisation, seed: int) -> None:
    """Every second account with usage belongs to customer success, the others to whoever sits in the seat."""
    turn: dict[str, int] = defaultdict(int)
    for customer in made:
        success = [p for p in found.by_team[customer.team] if p.role == SUCCESS]
        customer.owned_by = customer.sold_by
        if customer.uses_from and success and not customer.sold_by[-1].person.log_in:
            turn[customer.team] += 1
            if turn[customer.team] % 2:
                customer.owned_by = [Span(success[turn[customer.team] // 2 % len(success)], FIRST_DAY, None)]

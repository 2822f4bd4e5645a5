"""Overlay: territories, the solution specialists who cover them, and the house reps who keep the credit while nobody does.

They sell nothing themselves and have no quota, so they stand beside the organisation of those who do.
"""

from dataclasses import dataclass, field
from datetime import date

from quotas.demo import names
from quotas.demo.calendar import FIRST_DAY
from quotas.demo.dice import Dice
from quotas.demo.organisation import AREAS, HOUSE, SPECIALIST, Organisation, Person, Stay


@dataclass(frozen=True)
class Cover:
    """Somebody covers a territory over [starts, ends); no end is for good."""

    person: Person
    starts: date
    ends: date | None = None


@dataclass
class TerritoryFact:
    """An area as a territory: every customer of its teams lies in it."""

    slug: str
    name: str
    house: Person
    covers: list[Cover] = field(default_factory=list)


@dataclass
class Overlay:
    territories: list[TerritoryFact]
    people: list[Person]


def overlay(found: Organisation, seed: int) -> Overlay:
    """One territory an area. Every third changes hands in the second year; every fourth stands vacant for a while in between."""
    taken = {person.name for person in found.people}
    slugs = {person.slug for person in found.people}
    made = Overlay([], [])
    areas = [team for team in found.teams if team.area and not team.segment]
    for nth, team in enumerate(areas):
        area = AREAS[team.area]
        dice = Dice(seed, "territory", team.slug)
        house = _person(f"House, {area.name} territory", HOUSE, team.slug, FIRST_DAY, slugs)
        first = _person(names.person(dice, area.culture, taken), SPECIALIST, team.slug, FIRST_DAY, slugs)
        territory = TerritoryFact(team.slug, area.name, house)
        made.people += [house, first]
        if nth % 3 == 1:
            leaves = dice.pick([date(2026, month, 1) for month in (2, 3, 4)])
            follows = date(2026, 5, 1) if nth % 4 == 0 else leaves
            second = _person(names.person(dice, area.culture, taken), SPECIALIST, team.slug, follows, slugs)
            made.people.append(second)
            territory.covers += [Cover(first, FIRST_DAY, leaves), Cover(second, follows)]
        else:
            territory.covers.append(Cover(first, FIRST_DAY))
        made.territories.append(territory)
    return made


def _person(name: str, role: str, team: str, since: date, slugs: set[str]) -> Person:
    slug = names.slug(name)
    while slug in slugs:
        slug += "-2"
    slugs.add(slug)
    return Person(slug, name, role, [Stay(team, role, since)], None if role == HOUSE else since)

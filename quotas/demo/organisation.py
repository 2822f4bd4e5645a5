"""Who sells: a tree of teams four levels deep, people with dated places in it, and the log-ins."""

from dataclasses import dataclass, field
from datetime import date

from quotas.demo import names
from quotas.demo.calendar import FIRST_DAY
from quotas.demo.dice import Dice
from quotas.demo.scale import Scale

WORLDWIDE = "worldwide"
REGIONS = {"americas": "Americas", "emea": "EMEA", "asia": "Asia"}
SEGMENTS = {"enterprise": "Enterprise", "corporate": "Corporate", "public-sector": "Public Sector"}
HOME = ("dach", "enterprise")  # where the rep and the manager of the log-ins are

DOMAIN = "demo.example"


@dataclass(frozen=True)
class Area:
    """A group of countries. level is what a quota is there, in per cent of one in the United States."""

    name: str
    region: str
    culture: str
    level: int
    countries: tuple[
        tuple[str, str], ...
    ]  # country and the currency its deals are in; the first are likelier


AREAS = {
    "us-east": Area("US East", "americas", "english", 100, (("US", "USD"),)),
    "us-central": Area("US Central", "americas", "english", 95, (("US", "USD"),)),
    "us-west": Area("US West", "americas", "english", 105, (("US", "USD"),)),
    "canada": Area("Canada", "americas", "english", 85, (("CA", "CAD"),)),
    "latin-america": Area(
        "Latin America", "americas", "latin", 60, (("BR", "BRL"), ("MX", "MXN"), ("CL", "USD"))
    ),
    "uk-ireland": Area("UK & Ireland", "emea", "english", 95, (("GB", "GBP"), ("GB", "GBP"), ("IE", "EUR"))),
    "dach": Area("DACH", "emea", "german", 95, (("DE", "EUR"), ("DE", "EUR"), ("CH", "CHF"), ("AT", "EUR"))),
    "france-benelux": Area(
        "France & Benelux", "emea", "french", 90, (("FR", "EUR"), ("NL", "EUR"), ("BE", "EUR"), ("LU", "EUR"))
    ),
    "southern-europe": Area(
        "Southern Europe",
        "emea",
        "southern",
        75,
        (("ES", "EUR"), ("IT", "EUR"), ("PT", "EUR"), ("GR", "EUR")),
    ),
    "nordics": Area(
        "Nordics", "emea", "nordic", 90, (("SE", "SEK"), ("DK", "DKK"), ("NO", "NOK"), ("FI", "EUR"))
    ),
    "middle-east-africa": Area(
        *("Middle East & Africa", "emea", "gulf", 80),
        (("AE", "AED"), ("KW", "KWD"), ("SA", "SAR"), ("ZA", "ZAR")),
    ),
    "japan": Area("Japan", "asia", "japanese", 95, (("JP", "JPY"),)),
    "india": Area("India", "asia", "indian", 55, (("IN", "INR"),)),
    "southeast-asia": Area(
        "Southeast Asia", "asia", "asian", 65, (("SG", "SGD"), ("MY", "USD"), ("TH", "USD"))
    ),
    "australia-new-zealand": Area(
        "Australia & New Zealand", "asia", "english", 85, (("AU", "AUD"), ("AU", "AUD"), ("NZ", "NZD"))
    ),
}

AE, SPECIALIST, SUCCESS, MANAGER, HOUSE = (
    "account_executive",
    "specialist",
    "customer_success",
    "manager",
    "house",
)


@dataclass(frozen=True)
class TeamFact:
    slug: str
    name: str
    parent: str | None
    area: str = ""
    segment: str = ""
    cost_centre: str = ""


@dataclass(frozen=True)
class Stay:
    """A person's place in a team over [starts, ends); no end is for good."""

    team: str
    role: str
    starts: date
    ends: date | None = None

    def holds(self, day: date) -> bool:
        return self.starts <= day and (self.ends is None or day < self.ends)


@dataclass
class Person:
    slug: str
    name: str
    role: str
    stays: list[Stay]
    hired_on: date | None = None
    left_on: date | None = None
    seat: int = 0  # successors sit in the seat of whom they follow
    log_in: str = ""
    ability: float = 1.0  # how the person does against quota, year in, year out

    @property
    def starts(self) -> date:
        return max(self.stays[0].starts, FIRST_DAY)

    @property
    def ends(self) -> date | None:
        return self.stays[-1].ends

    @property
    def sells(self) -> bool:
        return self.role in (AE, SPECIALIST, SUCCESS)

    def works(self, day: date) -> bool:
        return any(stay.holds(day) for stay in self.stays)

    def team_on(self, day: date) -> str | None:
        return next((stay.team for stay in self.stays if stay.holds(day)), None)


@dataclass(frozen=True)
class LogIn:
    """Somebody who can log in as name@demo.example."""

    name: str
    title: str
    roles: tuple[str, ...]


LOG_INS = (
    LogIn("admin", "Priya Thornbury", ("comp_admin",)),
    LogIn("checker", "Samuel Okonedo-Hart", ("comp_admin",)),
    LogIn("catalog", "Livia Castellani", ("catalog_manager",)),
    LogIn("reviewer", "Anselm Duquesne", ("catalog_manager",)),
    LogIn("partner", "Robin Ashgrove", ("partner",)),
    LogIn("firstparty", "Wilma Strandberg", ("partner",)),
    LogIn("sourcing", "Helene Vasseur", ("sourcing_lead",)),
    LogIn("buyer", "Emeka Lindqvist", ("sourcing_lead",)),
    LogIn("engineer", "Yara Benedetti", ("engineer",)),
    LogIn("developer", "Kasper Oyelaran", ("engineer",)),
    LogIn("auditor", "Noor Alderink", ("auditor",)),
    LogIn("director", "Ines Halvorsen", ("manager",)),
    LogIn("manager", "Tobias Krenn", ("manager",)),
    LogIn("rep", "Mara Ehrlinger", ("rep",)),
)
PARTNERS = {"partner": "anthropic", "firstparty": "microsoft"}  # log-in to whose publisher


@dataclass
class Organisation:
    teams: list[TeamFact]
    people: list[Person]
    by_team: dict[str, list[Person]] = field(default_factory=dict)

    @property
    def home(self) -> str:
        return "-".join(HOME)

    def of(self, log_in: str) -> Person:
        return next(person for person in self.people if person.log_in == log_in)

    def sellers(self, team: str, day: date) -> list[Person]:
        """Who sells in a team on a day, in a stable order."""
        return [p for p in self.by_team.get(team, ()) if p.sells and p.team_on(day) == team]


def organisation(scale: Scale, seed: int) -> Organisation:
    """Managers and sellers of every team, with hires, leavers, house reps and moves at a half-year."""
    teams = _teams(scale)
    taken = {log_in.title for log_in in LOG_INS}
    people: list[Person] = []
    cultures = {"worldwide": "english", "americas": "english", "emea": "french", "asia": "asian"}
    for team in teams:
        culture = AREAS[team.area].culture if team.area else cultures[team.slug]
        dice = Dice(seed, "team", team.slug)
        people.append(_manager(team, dice, culture, taken))
        if team.segment:
            people.extend(_sellers(team, scale, dice, culture, taken))
    found = Organisation(teams, people)
    _leave_and_follow(found, scale, seed, taken)
    _hire(found, scale, seed, taken)
    _move(found, scale, seed)
    for person in people:
        for stay in person.stays:
            found.by_team.setdefault(stay.team, []).append(person)
    return found


def _teams(scale: Scale) -> list[TeamFact]:
    """Parents before children."""
    regions = dict.fromkeys(AREAS[area].region for area in scale.areas)
    return [
        TeamFact(WORLDWIDE, "Worldwide", None, cost_centre="CC-4000"),
        *(TeamFact(region, REGIONS[region], WORLDWIDE) for region in regions),
        *(
            TeamFact(area, AREAS[area].name, AREAS[area].region, area, cost_centre=f"CC-{4100 + 10 * nth}")
            for nth, area in enumerate(AREAS, start=1)
            if area in scale.areas
        ),
        *(
            TeamFact(f"{area}-{segment}", f"{AREAS[area].name} {SEGMENTS[segment]}", area, area, segment)
            for area in scale.areas
            for segment in scale.segments
        ),
    ]


def _manager(team: TeamFact, dice: Dice, culture: str, taken: set[str]) -> Person:
    log_in = {"-".join(HOME): "manager", HOME[0]: "director"}.get(team.slug, "")
    name = next((known.title for known in LOG_INS if known.name == log_in), "") or names.person(
        dice, culture, taken
    )
    hired = date(dice.number(2012, 2023), dice.number(1, 12), 1)
    return Person(names.slug(name), name, MANAGER, [Stay(team.slug, MANAGER, hired)], hired, log_in=log_in)


def _sellers(team: TeamFact, scale: Scale, dice: Dice, culture: str, taken: set[str]) -> list[Person]:
    home = team.slug == "-".join(HOME)
    count = scale.stars if home else dice.number(*scale.sellers)
    others = [SPECIALIST, SUCCESS] if count > 3 else [SUCCESS]
    if count > 8 or dice.chance(0.3):
        others.append(SPECIALIST if home or dice.chance(0.5) else SUCCESS)
    families = {known.title.split()[-1] for known in LOG_INS}
    roles = [*[AE] * (count - len(others)), *others[: count - 1]]
    found = []
    for seat, role in enumerate(roles):
        mine = home and seat == 0
        name = (
            next(k.title for k in LOG_INS if k.name == "rep")
            if mine
            else names.person(dice, culture, taken, families)
        )
        hired = date(dice.number(2015, 2024), dice.number(1, 12), 1)
        ability = min(1.2, max(0.72, dice.around(0.95, 0.13)))
        found.append(
            Person(
                *(names.slug(name), name, role, [Stay(team.slug, role, hired)], hired),
                seat=seat,
                log_in="rep" if mine else "",
                ability=0.98 if mine else ability,
            )
        )
    return found


def _settled(found: Organisation) -> list[Person]:
    """Account executives outside the home team who have been in one place all the time."""
    return [
        p
        for p in found.people
        if p.role == AE
        and len(p.stays) == 1
        and p.starts == FIRST_DAY
        and p.ends is None
        and p.stays[0].team != found.home
    ]


def _leave_and_follow(found: Organisation, scale: Scale, seed: int, taken: set[str]) -> None:
    """Some leave. The first of each region leaves a vacancy under a house rep, the others are followed by a hire."""
    dice = Dice(seed, "leavers")
    places = {team.slug: team for team in found.teams}
    houses: set[str] = set()
    for person in dice.several(_settled(found), scale.leavers):
        team = places[person.stays[0].team]
        area = AREAS[team.area]
        left = dice.pick(
            [date(2025, m, 1) for m in (9, 10, 11, 12)] + [date(2026, m, 1) for m in (1, 2, 3, 4, 5, 6)]
        )
        person.left_on = left
        person.stays[-1] = Stay(team.slug, person.role, person.stays[-1].starts, left)
        if area.region not in houses:
            houses.add(area.region)
            name = f"House, {team.name}"
            found.people.append(
                Person(names.slug(name), name, HOUSE, [Stay(team.slug, HOUSE, FIRST_DAY)], seat=person.seat)
            )
        else:
            name = names.person(dice, area.culture, taken)
            found.people.append(
                Person(
                    *(names.slug(name), name, AE, [Stay(team.slug, AE, left)], left),
                    seat=person.seat,
                    ability=dice.around(0.85, 0.1),
                )
            )


def _hire(found: Organisation, scale: Scale, seed: int, taken: set[str]) -> None:
    """New seats: people who joined in the course of the two years."""
    dice = Dice(seed, "hires")
    teams = [team for team in found.teams if team.segment and team.slug != found.home]
    for nth, team in enumerate(dice.several(teams, scale.hires)):
        joined = dice.pick(
            [date(2025, m, 1) for m in (8, 10, 11)] + [date(2026, m, 1) for m in (1, 2, 4, 5, 7)]
        )
        name = names.person(dice, AREAS[team.area].culture, taken)
        found.people.append(
            Person(
                *(names.slug(name), name, AE, [Stay(team.slug, AE, joined)], joined),
                seat=100 + nth,
                ability=dice.around(0.8, 0.12),
            )
        )


def _move(found: Organisation, scale: Scale, seed: int) -> None:
    """Some changed to another team of their area at a half-year; their accounts went with them."""
    dice = Dice(seed, "movers")
    places = {team.slug: team for team in found.teams}
    for person in dice.several(_settled(found), scale.movers):
        here = places[person.stays[0].team]
        there = [
            t.slug
            for t in found.teams
            if t.area == here.area and t.segment and t.slug not in (here.slug, found.home)
        ]
        if not there:
            continue
        moved = dice.pick((date(2026, 1, 1), date(2026, 1, 1), date(2026, 7, 1)))
        person.stays = [
            Stay(here.slug, AE, person.stays[0].starts, moved),
            Stay(dice.pick(there), AE, moved),
        ]

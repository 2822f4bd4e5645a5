"""Makes what a file names and Parity does not know: reps, teams, accounts, territories, offerings and their publishers.

What exists is found, by its name whatever its letter case, and never doubled. Whatever cannot be made is kept in refused, by
the name that the file has, so that the rows that name it can be reported. Each call takes a number of statements that does
not depend on how many names it is given.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import uuid4

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models.functions import Lower
from django.utils.text import slugify

from accounts.audit import acting
from accounts.models import Role, User
from config import bulk
from config.clock import day_of
from config.locks import one_at_a_time
from config.names import fold, tidy
from config.refusals import Forbidden, Problem, refuse_if_any
from marketplace.models import CommercialPath, Customer, Origin
from marketplace.services.bringing_in import Counting, Defaults, NamedOffering, bring_in, free_slugs
from quotas.importers.countries import UNKNOWN, country_code
from quotas.importers.maps import ImportMapping
from quotas.models import (
    CustomerTerritory,
    FiscalCalendar,
    Rep,
    SalesRole,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
)
from quotas.services.importing.options import Options
from quotas.services.importing.refused import Refused

IMPORTED: Final = "Imported reps"  # the team of whom the file puts nowhere
NO_PLACE: Final = "unknown"  # segment or region that nobody has said
NAME_OF_A_REP: Final = 150
NAME_OF_A_TEAM: Final = 120
NAME_OF_AN_ACCOUNT: Final = 160
NUMBER: Final = 30
SEGMENT: Final = 30
REGION: Final = 20
SLUG: Final = 80
NUMBER_LIKE: Final = re.compile(r"[A-Za-z]{0,3}-?\d+")
BY_NUMBER, BY_MAIL, BY_SLUG, BY_NAME = 1, 2, 3, 4

# One row per text and rep that it may mean, with the way in which. Reads the reps once for each way.
_REPS: Final = """
WITH wanted AS (SELECT text, lower(text) AS low FROM unnest(%(texts)s::text[]) AS t (text))
SELECT w.text, 1, r.id, r.employee_no FROM wanted w JOIN quotas_rep r ON r.employee_no <> '' AND lower(r.employee_no) = w.low
UNION ALL SELECT w.text, 2, r.id, r.employee_no FROM wanted w JOIN accounts_user u ON lower(u.email) = w.low JOIN quotas_rep r ON r.user_id = u.id
UNION ALL SELECT w.text, 3, r.id, r.employee_no FROM wanted w JOIN quotas_rep r ON r.slug = w.text
UNION ALL SELECT w.text, 4, r.id, r.employee_no FROM wanted w JOIN quotas_rep r ON lower(r.name) = w.low
ORDER BY 1, 2, 3
"""
# One row per text and row that has it as its name or slug; names come first. Reads the table twice.
_NAMED: Final = """
WITH wanted AS (SELECT text, lower(text) AS low FROM unnest(%(texts)s::text[]) AS t (text))
SELECT w.text, 1, x.id FROM wanted w JOIN {table} x ON lower(x.name) = w.low
UNION ALL SELECT w.text, 2, x.id FROM wanted w JOIN {table} x ON x.slug = w.text
ORDER BY 1, 2, 3
"""

Place = (
    int | str | None
)  # of a team: its id, the key of one that is to be made, or nothing: where all the others go
Why = tuple[str, str]  # code and sentence


@dataclass(frozen=True, slots=True)
class RepFacts:
    """What a file says of a rep. Empty is nothing; team and manager are names, role is one of SalesRole, by value or label."""

    name: str = ""
    employee_no: str = ""
    email: str = ""
    team: str = ""
    manager: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What a file says of an account. country is a code or a name in English; territory a name."""

    country: str = ""
    segment: str = ""
    region: str = ""
    territory: str = ""


@dataclass(frozen=True, slots=True)
class OfferingFacts:
    """What a file says of an offering; both are names."""

    publisher: str = ""
    family: str = ""


class Creator:
    """One for each reading of a file. counts says how many of what were made, decisions which decisions on quota.

    since       First day of the memberships, placements and offerings that it makes.
    checked_by  Who has checked that new offerings count; None leaves that to a catalog manager.
    evidence    What it follows, such as the import's reference and file; kept in the audit trail and with decisions.
    Raises      Forbidden, and Invalid for defaults of the map that mean nothing, at the first call that makes something.
    """

    def __init__(
        self,
        *,
        by: User,
        at: datetime,
        since: date,
        mapping: ImportMapping,
        options: Options,
        calendar: FiscalCalendar | None,
        checked_by: User | None,
        dry_run: bool,
        evidence: str = "",
    ) -> None:
        self.by, self.at, self.since = by, at, since
        self.create: Mapping[str, str] = mapping.create
        self.eligibility_reason = options.eligibility_reason
        self.calendar, self.checked_by, self.dry_run = calendar, checked_by, dry_run
        self.evidence = evidence
        self.counts: Counter[str] = Counter()
        self.decisions: list[int] = []
        self.refused: dict[str, Why] = {}
        self._tree: _Tree | None = None
        self.made_reps: set[int] = set()
        self._begun = False
        self._proposal = uuid4().hex

    def forget(self, counts: Counter[str] | None = None) -> None:
        """Read the teams anew when they are next asked for; with *counts*, what was made since then was rolled back."""
        self._tree = None
        if counts is not None:
            self.counts = counts

    # --- people ----------------------------------------------------------------------------------------------

    def reps(self, wanted: Mapping[str, RepFacts]) -> dict[str, int]:
        """Reps by the text that names them: a name, an employee number, an e-mail address or a slug.

        A rep is a member of the team that is named; of "Team of X" where X is named as manager, which X leads, below the
        team that is named; else of the map's default, its business unit's top, or a team for all that were imported.
        """
        self._begin(wanted)
        staffing = _Staffing(self, wanted)
        staffing.run()
        self.refused |= staffing.refused
        return staffing.found

    def teams(self, names: Collection[str], parent: Mapping[str, str] | str = "") -> dict[str, int]:
        """Teams by name. New ones stand below their *parent*, one for all or by name, which is made too where it is missing."""
        self._begin(names)
        plan = _Plan(self)
        places: dict[str, Place] = {}
        for name in names:
            above = parent if isinstance(parent, str) else parent.get(name, "")
            try:
                places[name] = plan.team(name)
                if above:
                    plan.put_below(places[name], plan.team(above))
            except Refused as why:
                places.pop(name, None)
                self.refused[name] = why.problem
        made = plan.make()
        for name, place in places.items():
            if place in plan.wrong:
                self.refused[name] = plan.wrong[place]
        return {name: made(place) for name, place in places.items() if place not in plan.wrong}

    # --- accounts --------------------------------------------------------------------------------------------

    def accounts(self, wanted: Mapping[str, AccountFacts]) -> dict[str, int]:
        """Customers by name or slug. Whose account one is, is left open; a territory that is named is made where it is missing."""
        self._begin(wanted)
        found, missing = self._known(Customer, wanted, "accounts")
        new: dict[str, Customer] = {}
        territory_of: dict[str, str] = {}
        rows: dict[str, Customer] = {}
        for name in missing:
            try:
                row = rows.setdefault(fold(name), self._customer(name, wanted[name]))
            except Refused as why:
                self.refused[name] = why.problem
                continue
            new[name] = row
            if wanted[name].territory:
                territory_of.setdefault(fold(name), wanted[name].territory)
        places = self.territories(territory_of.values()) if territory_of else {}
        for name in [n for n in new if territory_of.get(fold(n), "") and territory_of[fold(n)] not in places]:
            self.refused[name] = self.refused[territory_of[fold(name)]]
            rows.pop(fold(name), None)
            del new[name]
        self.with_slugs(rows.values(), Customer, "account")
        bulk.insert(list(rows.values()))
        self.counts["accounts"] += len(rows)
        bulk.insert(
            [
                CustomerTerritory(
                    customer_id=row.pk,
                    territory_id=places[territory_of[key]],
                    effective=DateRange(self.since, None),
                    recorded_at=self.at,
                )
                for key, row in rows.items()
                if key in territory_of
            ]
        )
        return found | {name: row.pk for name, row in new.items()}

    def territories(self, names: Iterable[str]) -> dict[str, int]:
        """Territories by name or slug; nobody covers a new one yet."""
        names = list(names)
        self._begin(names)
        found, missing = self._known(Territory, dict.fromkeys(names), "territories")
        new: dict[str, Territory] = {}
        rows: dict[str, Territory] = {}
        for name in missing:
            try:
                text = _fit(name, NAME_OF_A_TEAM, "A territory's name")
            except Refused as why:
                self.refused[name] = why.problem
                continue
            new[name] = rows.setdefault(fold(name), Territory(name=text))
        self.with_slugs(rows.values(), Territory, "territory")
        bulk.insert(list(rows.values()))
        self.counts["territories"] += len(rows)
        return found | {name: row.pk for name, row in new.items()}

    def _customer(self, name: str, facts: AccountFacts) -> Customer:
        country = facts.country or self.create.get("country", "")
        code = country_code(country) if country else UNKNOWN
        if not code:
            raise Refused(
                "unknown_country",
                f"{country} is no country that Parity knows: write its name in English or its code of two letters, or translate it in the map.",
            )
        return Customer(
            name=_fit(name, NAME_OF_AN_ACCOUNT, "An account's name"),
            segment=_word(facts.segment or self.create.get("segment", ""), SEGMENT, "A segment"),
            region=_word(facts.region or self.create.get("region", ""), REGION, "A region"),
            country=code,
        )

    # --- offerings -------------------------------------------------------------------------------------------

    def offerings(self, wanted: Mapping[str, OfferingFacts]) -> dict[str, int]:
        """Offerings by name, slug or what people call them. New ones count toward quota with an eligibility reason alone."""
        self._begin(wanted)
        counting = None
        if self.eligibility_reason:
            counting = Counting(
                self.eligibility_reason, self.checked_by, evidence=self.evidence, proposal=self._proposal
            )
        done = bring_in(
            wanted={
                name: NamedOffering(tidy(name), tidy(facts.publisher), tidy(facts.family))
                for name, facts in wanted.items()
            },
            since=self.since,
            by=self.by,
            at=self.at,
            defaults=self._defaults(),
            counting=counting,
            reason=self._reason,
        )
        self.counts["offerings"] += len(done.made)
        self.counts["publishers"] += done.publishers
        self.decisions += done.decisions
        self.refused |= done.refused
        return done.offerings

    def _defaults(self) -> Defaults:
        return Defaults(
            publisher=tidy(self.create.get("publisher", "")),
            origin=self.create.get("origin") or Origin.THIRD.value,
            path=self.create.get("commercial_path") or CommercialPath.MARKETPLACE.value,
        )

    # --- what all of them share ------------------------------------------------------------------------------

    @property
    def tree(self) -> "_Tree":
        if self._tree is None:
            self._tree = _Tree(day_of(self.at))
        return self._tree

    @property
    def _reason(self) -> str:
        return (self.evidence or "Named by an imported file")[:500]

    def _begin(self, names: Iterable[str]) -> None:
        """Whoever makes something is known, may do it, and does it alone: two imports that name one thing make it once.

        What was refused of another kind under the same name is no longer said.
        """
        for name in names:
            self.refused.pop(name, None)
        if not self._begun:
            if not self.by.has_role(Role.COMP_ADMIN):
                raise Forbidden.of(
                    "may_not_create",
                    "Only a comp admin makes what is missing: leave it out, and the rows that name it are reported.",
                    "/options/create_missing",
                )
            refuse_if_any(self._wrong_defaults())
            self._begun = True
        one_at_a_time("quotas.creating")
        acting(by=self.by, at=self.at, reason=self._reason)

    def _wrong_defaults(self) -> Iterator[Problem]:
        yield from self._defaults().problems()
        for name, check in (
            ("role", role_of),
            ("segment", lambda text: _word(text, SEGMENT, "A segment")),
            ("region", lambda text: _word(text, REGION, "A region")),
            ("team", lambda text: _fit(text, NAME_OF_A_TEAM, "A team's name")),
        ):
            text = self.create.get(name, "")
            try:
                if text:
                    check(text)
            except Refused as why:
                yield Problem(*why.problem, pointer=f"/create/{name}")
        country = self.create.get("country", "")
        if country and not country_code(country):
            yield Problem("unknown_country", f"{country} is no country that Parity knows.", "/create/country")

    def _known(
        self, model: type[Customer] | type[Territory], wanted: Mapping[str, Any], many: str
    ) -> tuple[dict[str, int], list[str]]:
        """What is there by name, else by slug, and what is missing. 1 query."""
        texts = {tidy(name): name for name in wanted}
        rows: dict[str, dict[int, list[int]]] = {}
        with connection.cursor() as cursor:
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(_NAMED.format(table=table), {"texts": [t for t in texts if "\x00" not in t]})
            for text, how, pk in cursor.fetchall():
                rows.setdefault(text, {}).setdefault(how, []).append(pk)
        found, missing = {}, []
        for name in wanted:
            ways = rows.get(tidy(name))
            ids = ways[min(ways)] if ways else []
            if len(ids) == 1:
                found[name] = ids[0]
            elif ids:
                self.refused[name] = (
                    f"ambiguous_{model._meta.model_name}",
                    f"{len(ids)} {many} are called {tidy(name)}: give the slug of the one that is meant.",
                )
            else:
                missing.append(name)
        return found, missing

    @staticmethod
    def with_slugs(
        rows: Collection[Any],
        model: type[Customer] | type[Territory] | type[Team] | type[Rep],
        otherwise: str,
    ) -> None:
        """Gives new rows the slugs that nothing else has. 1 query."""
        if not rows:
            return
        names = [row.name for row in rows]
        slugs = free_slugs(model._meta.db_table, names, longest=SLUG, otherwise=otherwise)
        for row, slug in zip(rows, slugs, strict=True):
            row.slug = slug


def role_of(text: str) -> str:
    """A role by its value or its label. Raises Refused."""
    word = fold(text).replace(" ", "_").replace("-", "_")
    if word not in SalesRole.values:
        raise Refused("unknown_role", f"A role is one of {', '.join(SalesRole.values)}: {text} is none.")
    return word


def _fit(text: str, longest: int, what: str) -> str:
    name = tidy(text)
    if not name:
        raise Refused("name_missing", f"{what} is empty.")
    if len(name) > longest:
        raise Refused(
            "name_too_long", f"{what} has at most {longest} characters; {name[:30]}… has {len(name)}."
        )
    if "\x00" in name:
        raise Refused("name_unreadable", f"{what} has a character that is none.")
    return name


def _word(text: str, longest: int, what: str) -> str:
    """A segment or region as rules name them: "Public Sector" is public-sector."""
    if not text.strip():
        return NO_PLACE
    word = slugify(text) or NO_PLACE
    if len(word) > longest:
        raise Refused(
            "name_too_long", f"{what} has at most {longest} characters; {word[:30]}… has {len(word)}."
        )
    return word


# --- teams -------------------------------------------------------------------------------------------------------


class _Tree:
    """Every team as it stands, kept up as teams are made. 4 queries, whatever is asked of it afterwards."""

    def __init__(self, today: date) -> None:
        self.named: dict[str, list[int]] = {}
        self.by_slug: dict[str, int] = {}
        self.name: dict[int, str] = {}
        self.own_calendar: dict[int, int | None] = {}
        self.parent: dict[int, int | None] = {}
        self.led_by: dict[int, int] = {}  # manager to the team that they lead
        for pk, name, slug, calendar_id in Team.objects.order_by("pk").values_list(
            "pk", "name", "slug", "calendar_id"
        ):
            self.add(pk, name, slug, calendar_id)
        self.parent = _as_of(
            TeamPlacement.objects.filter(superseded_at=None).values_list("team_id", "parent_id", "effective"),
            today,
        )
        self.led_by = _as_of(
            TeamMembership.objects.filter(superseded_at=None, role=SalesRole.MANAGER).values_list(
                "rep_id", "team_id", "effective"
            ),
            today,
        )
        self.operator = FiscalCalendar.objects.order_by("pk").values_list("pk", flat=True).first()

    def add(
        self, pk: int, name: str, slug: str, calendar_id: int | None, parent_id: int | None = None
    ) -> None:
        self.named.setdefault(fold(name), []).append(pk)
        self.by_slug[slug] = pk
        self.name[pk] = name
        self.own_calendar[pk] = calendar_id
        self.parent[pk] = parent_id

    def upwards(self, team_id: int) -> Iterator[int]:
        """The team itself, its parent, and so on to the top."""
        at: int | None = team_id
        passed: set[int] = set()
        while at is not None and at not in passed:
            passed.add(at)
            yield at
            at = self.parent.get(at)

    def unit(self, team_id: int) -> int | None:
        """The calendar of the business unit that the team belongs to."""
        own = (self.own_calendar[team] for team in self.upwards(team_id) if self.own_calendar.get(team))
        return next(own, self.operator)

    def find(self, text: str, unit: int | None) -> int | None:
        """The team of that name, else of that slug, in a business unit. Raises Refused where several have the name."""
        named = self.named.get(fold(text)) or [self.by_slug[s] for s in (tidy(text),) if s in self.by_slug]
        own = [team for team in named if self.unit(team) == unit]
        if len(own) > 1:
            raise Refused(
                "ambiguous_team",
                f"{len(own)} teams are called {tidy(text)}: give the slug of the one that is meant.",
            )
        return own[0] if own else None

    def top(self, unit: int | None) -> int | None:
        """The team that heads a business unit: the operator's, where nobody is said to, is the only one at the top."""
        heads = [
            team for team, calendar in self.own_calendar.items() if calendar is not None and calendar == unit
        ]
        if heads:
            return min(heads, key=lambda team: (sum(1 for _ in self.upwards(team)), team))
        if unit != self.operator:
            return None
        tops = [
            team
            for team in self.name
            if self.parent.get(team) is None and self.own_calendar[team] in (None, self.operator)
        ]
        return tops[0] if len(tops) == 1 else None


def _as_of(rows: Iterable[tuple[int, Any, Any]], today: date) -> dict[int, Any]:
    """Of dated facts the one that holds on a day, else the latest."""
    chosen: dict[int, tuple[bool, date, Any]] = {}
    for subject, value, span in rows:
        holds = (span.lower is None or span.lower <= today) and (span.upper is None or today < span.upper)
        rank = (holds, span.lower or date.min, value)
        if subject not in chosen or rank[:2] > chosen[subject][:2]:
            chosen[subject] = rank
    return {subject: value for subject, (_holds, _lower, value) in chosen.items()}


@dataclass(slots=True)
class _NewTeam:
    name: str
    parent: Place = None
    top: bool = False  # it stands where all the others go, so above it is nothing


class _Plan:
    """Teams that a call will make. A place is known by its id, or by the key of a team to be."""

    def __init__(self, creator: Creator) -> None:
        self.creator, self.tree = creator, creator.tree
        self.unit = creator.calendar.pk if creator.calendar is not None else self.tree.operator
        self.new: dict[str, _NewTeam] = {}
        self.wrong: dict[Place, Why] = {}

    def look(self, name: str) -> Place:
        """The team of that name: its id, or the key that it would have."""
        found = self.tree.find(name, self.unit)
        return found if found is not None else fold(name)

    def team(self, name: str) -> Place:
        """The same, and the team is to be made where it is missing. Raises Refused."""
        place = self.look(name)
        if isinstance(place, str) and place not in self.new:
            self.new[place] = _NewTeam(_fit(name, NAME_OF_A_TEAM, "A team's name"))
        return place

    def put_below(self, place: Place, parent: Place) -> None:
        """Of a new team that stands nowhere yet; whoever stands somewhere stays."""
        if isinstance(place, str) and self.new[place].parent is None and parent != place:
            self.new[place].parent = parent

    def above(self, place: Place) -> list[Place]:
        """The place itself and what is above it, as far as that is said."""
        passed: list[Place] = []
        while place is not None and place not in passed:
            passed.append(place)
            if isinstance(place, int):
                return [*passed[:-1], *self.tree.upwards(place)]
            new = self.new.get(place)
            place = new.parent if new is not None else None
        return passed

    def reaching(self, places: Iterable[Place]) -> set[Place]:
        """The places and all that is above them."""
        return {place for each in places for place in self.above(each)}

    def root(self) -> Place:
        """Where those go that the file puts nowhere."""
        asked = self.creator.create.get("team", "")
        top = self.tree.top(self.unit)
        if not asked and top is not None:
            return top
        place = self.team(asked or IMPORTED)
        highest = self.above(place)[-1]
        if isinstance(highest, str):
            if top is not None:
                self.put_below(highest, top)
            else:
                self.new[highest].top = True
        return place

    def make(self, needed: Iterable[Place] | None = None) -> Callable[[Place], int]:
        """Write the new teams down, each with its place in the tree. 3 statements. Returns what gives the id of a place.

        needed  Those, and what is above them; None is all.
        """
        wanted = self.reaching(self.new if needed is None else needed)
        for key in self.new:
            if key in wanted:
                self._refuse_circles(key)
        new = {key: team for key, team in self.new.items() if key in wanted and key not in self.wrong}
        if any(team.parent is None and not team.top for team in new.values()):
            root = self.root()
            if isinstance(root, str):
                new |= {key: self.new[key] for key in self.above(root) if isinstance(key, str)}
            for key, team in new.items():
                if team.parent is None and not team.top and key != root:
                    team.parent = root
        calendar = self.unit if self.unit != self.tree.operator else None
        rows = {
            key: Team(name=team.name, calendar_id=calendar if team.top else None) for key, team in new.items()
        }
        Creator.with_slugs(rows.values(), Team, "team")
        bulk.insert(list(rows.values()))

        def made(place: Place) -> int:
            return rows[place].pk if isinstance(place, str) else place or 0

        bulk.insert(
            [
                TeamPlacement(
                    team_id=row.pk,
                    parent_id=made(new[key].parent) or None,
                    effective=DateRange(self.creator.since, None),
                    recorded_at=self.creator.at,
                )
                for key, row in rows.items()
            ]
        )
        for key, row in rows.items():
            self.tree.add(row.pk, row.name, row.slug, row.calendar_id, made(new[key].parent) or None)
        self.creator.counts["teams"] += len(rows)
        return made

    def _refuse_circles(self, key: str) -> None:
        passed: list[str] = []
        at: Place = key
        while isinstance(at, str):
            if at in passed or at in self.wrong:
                self.wrong[key] = (
                    "team_above_itself",
                    f"{self.new[key].name} would stand above itself: mend who reports to whom.",
                )
                return
            passed.append(at)
            at = self.new[at].parent


# --- reps --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Person:
    """Somebody who is to be made. seat: the team; leads: that they lead it. texts: what the file calls them."""

    name: str
    facts: RepFacts
    texts: list[str] = field(default_factory=list)
    leads: bool = False
    seat: Place = None
    seated: bool = False
    wrong: Why | None = None
    rep: Rep | None = None


Somebody = int | str  # a rep's id, or the key of a person who is to be made


class _Staffing:
    """One call of Creator.reps: who is known, who is new, who leads whom, where everybody goes."""

    def __init__(self, creator: Creator, wanted: Mapping[str, RepFacts]) -> None:
        self.creator, self.wanted = creator, wanted
        self.tree = creator.tree
        self.plan = _Plan(creator)
        self.found: dict[str, int] = {}
        self.refused: dict[str, Why] = {}
        self.people: dict[str, _Person] = {}
        self.called: dict[str, str] = {}  # what the file calls a new person, to the person's key
        self.loose: set[Place] = set()  # managers' teams to be, whose office nobody has named so far
        self.promoted: dict[int, Place] = {}  # known reps who are to lead a team that is made for them
        self.known: dict[str, dict[int, list[tuple[int, str]]]] = {}
        self.names: dict[int, str] = {}  # of known reps who are named as managers and lead no team
        self.memberships: dict[int, list[TeamMembership]] = {}  # theirs

    def run(self) -> None:
        """4 to 12 statements."""
        self._look_up()
        for text, facts in self.wanted.items():
            try:
                who = self._who(text, facts)
                if isinstance(who, int):
                    self.found[text] = who
                else:
                    self.people[who].texts.append(text)
            except Refused as why:
                self.refused[text] = why.problem
        for key in list(self.people):
            self._seat(key)
        self._write()

    def _look_up(self) -> None:
        """Every text that may name a rep. 1 query."""
        texts = {
            tidy(text)
            for key, facts in self.wanted.items()
            for text in (key, facts.name, facts.employee_no, facts.email, facts.manager)
        }
        with connection.cursor() as cursor:
            cursor.execute(_REPS, {"texts": sorted(t for t in texts if t and "\x00" not in t)})
            for text, how, pk, number in cursor.fetchall():
                self.known.setdefault(text, {}).setdefault(how, []).append((pk, number))
        managers = {tidy(facts.manager) for facts in self.wanted.values() if facts.manager}
        known = {pk for text in managers for ids in self.known.get(text, {}).values() for pk, _number in ids}
        leading = known - self.tree.led_by.keys()
        if leading:
            self.names = dict(Rep.objects.filter(pk__in=leading).values_list("pk", "name"))
            for row in TeamMembership.objects.filter(rep__in=leading, superseded_at=None):
                self.memberships.setdefault(row.rep_id, []).append(row)

    def _ids(self, text: str, *ways: int) -> list[tuple[int, str]]:
        """Those that a text means in the first of some ways in which it means anybody."""
        ways_of = self.known.get(tidy(text), {})
        return next((ways_of[way] for way in ways if way in ways_of), [])

    def _who(self, text: str, facts: RepFacts) -> Somebody:
        """The known rep whom a text and its facts mean, or the key of a new person. Raises Refused."""
        number, mail, name = _signs(text, facts)
        sure = (
            (self._ids(number, BY_NUMBER) if number else [])
            or (self._ids(mail, BY_MAIL) if mail else [])
            or self._ids(text, BY_NUMBER, BY_MAIL, BY_SLUG)
        )
        if sure:
            return sure[0][0]
        named = self._ids(name, BY_NAME)
        if number:  # who has another number is another person of the same name
            named = [each for each in named if not each[1]]
        if len(named) > 1:
            raise Refused(
                "ambiguous_rep",
                f"{len(named)} reps are called {tidy(name)}: give the employee number, e-mail address or slug.",
            )
        if named:
            return named[0][0]
        key = f"no:{number.lower()}" if number else f"mail:{mail.lower()}" if mail else f"name:{fold(name)}"
        key = self.called.get(fold(name), key) if not (number or mail) else key
        if key not in self.people:
            if len(number) > NUMBER:
                raise Refused("number_too_long", f"An employee number has at most {NUMBER} characters.")
            fitting = RepFacts(
                _fit(name, NAME_OF_A_REP, "A rep's name"),
                number,
                mail,
                tidy(facts.team),
                tidy(facts.manager),
                role_of(facts.role or self.creator.create.get("role", "") or SalesRole.ACCOUNT_EXECUTIVE),
            )
            leads = fitting.role == SalesRole.MANAGER
            self.people[key] = _Person(fitting.name, fitting, leads=leads)
            for called in (text, name, number, mail):
                if called:
                    self.called.setdefault(fold(called), key)
        return key

    def _manager(self, text: str) -> Somebody:
        """Whom a text names as somebody's manager; a person that is made if nobody is known by it."""
        known = self._ids(text, BY_NUMBER, BY_MAIL, BY_SLUG, BY_NAME)
        if not known and fold(text) in self.called:
            return self.called[fold(text)]
        return self._who(text, RepFacts(role=SalesRole.MANAGER))

    # --- where everybody goes --------------------------------------------------------------------------------

    def _seat(self, key: str) -> None:
        person = self.people[key]
        if person.seated or person.wrong is not None:
            return
        try:
            if person.leads:
                self._led_by(key)
            elif person.facts.manager:
                person.seat = self._team_of(person.facts.manager, person.facts.team)
            elif person.facts.team:
                person.seat = self.plan.team(person.facts.team)
            person.seated = True
        except Refused as why:
            person.wrong = why.problem

    def _team_of(self, manager: str, office: str) -> Place:
        """The team that a manager leads, below *office* where that is named. Raises Refused."""
        place = self._led_by(self._manager(manager))
        if not office:
            return place
        where = self.plan.look(office)
        above = self.plan.above(place)
        if where in above:
            return place
        highest = above[-1]
        if highest not in self.loose:
            raise Refused(
                "manager_in_two_teams",
                f"{tidy(manager)} leads a team that is not below {office}. A manager leads one team: name one of the two.",
            )
        self.plan.put_below(highest, self.plan.team(office))
        self.loose.discard(highest)
        return place

    def _led_by(self, who: Somebody) -> Place:
        """The team that somebody leads, or is to lead from now on. Raises Refused."""
        if isinstance(who, int):
            if who in self.tree.led_by:
                return self.tree.led_by[who]
            if who not in self.promoted:
                self.promoted[who] = self._promoted(who)
            return self.promoted[who]
        person = self.people[who]
        if person.wrong is not None:
            raise Refused(*person.wrong)
        person.leads = True
        if person.seat is None:
            try:
                self._give_a_team(person)
            except Refused as why:
                person.wrong = why.problem
                raise
        return person.seat

    def _give_a_team(self, person: _Person) -> None:
        facts = person.facts
        own = facts.team if facts.role == SalesRole.MANAGER else ""
        # Before it is asked who stands above, because somebody may be named as a manager of their own manager.
        person.seat = self.plan.team(own or f"Team of {person.name}"[:NAME_OF_A_TEAM])
        if not own and isinstance(person.seat, str):
            self.loose.add(person.seat)
        if facts.manager:
            self.plan.put_below(person.seat, self._team_of(facts.manager, "" if own else facts.team))
        elif facts.team and not own:
            self.plan.put_below(person.seat, self.plan.team(facts.team))

    def _promoted(self, rep_id: int) -> Place:
        """A known rep leads a team that is made for them, if this file has made them or they are in no team yet. Raises Refused."""
        name, rows = self.names[rep_id], self.memberships.get(rep_id, [])
        if rows and rep_id not in self.creator.made_reps:
            raise Refused(
                "leads_no_team",
                f"{name} is named as a manager but leads no team: make {name} the manager of one first, or leave the manager out.",
            )
        place = self.plan.team(f"Team of {name}"[:NAME_OF_A_TEAM])
        if rows:
            self.plan.put_below(place, rows[0].team_id)
        return place

    # --- writing ---------------------------------------------------------------------------------------------

    def _write(self) -> None:
        right = [person for person in self.people.values() if person.wrong is None]
        asked = [person for person in right if person.texts]
        if any(person.seat is None for person in asked):
            root = self.plan.root()
            for person in asked:
                person.seat = person.seat if person.seat is not None else root
        needed = self.plan.reaching(person.seat for person in asked)
        made = self.plan.make(needed)
        for person in right:
            person.wrong = self.plan.wrong.get(person.seat)
        for person in self.people.values():
            if person.wrong is not None:
                self.refused |= dict.fromkeys(person.texts, person.wrong)
        # Who is only named as a manager is made where somebody below is.
        new = [p for p in right if p.wrong is None and (p.texts or p.seat in needed)]
        self._write_people(new, made)
        self._promote({pk: place for pk, place in self.promoted.items() if place in needed}, made)

    def _write_people(self, new: Sequence[_Person], made: Callable[[Place], int]) -> None:
        creator = self.creator
        users = self._users(new)
        rows = [
            Rep(name=p.name, employee_no=p.facts.employee_no, user_id=users.pop(p.facts.email.lower(), None))
            for p in new
        ]
        Creator.with_slugs(rows, Rep, "rep")
        bulk.insert(rows)
        bulk.insert(
            [
                TeamMembership(
                    rep_id=row.pk,
                    team_id=made(person.seat),
                    role=SalesRole.MANAGER if person.leads else person.facts.role,
                    effective=DateRange(creator.since, None),
                    recorded_at=creator.at,
                )
                for person, row in zip(new, rows, strict=True)
            ]
        )
        for person, row in zip(new, rows, strict=True):
            self.found |= dict.fromkeys(person.texts, row.pk)
            if person.leads:
                self.tree.led_by[row.pk] = made(person.seat)
        creator.made_reps |= {row.pk for row in rows}
        creator.counts["reps"] += len(rows)

    def _users(self, new: Sequence[_Person]) -> dict[str, int]:
        """By e-mail address, the log-ins of people who are nobody's yet. 1 query."""
        mails = [person.facts.email.lower() for person in new if person.facts.email]
        if not mails:
            return {}
        users = User.objects.annotate(low=Lower("email")).filter(
            low__in=mails, is_active=True, is_service=False, rep=None
        )
        return dict(users.values_list("low", "pk"))

    def _promote(self, promoted: Mapping[int, Place], made: Callable[[Place], int]) -> None:
        """What this file said of them before is superseded, like every dated fact. 2 statements."""
        creator = self.creator
        old = [row for pk in promoted for row in self.memberships.get(pk, [])]
        if old:
            TeamMembership.objects.filter(pk__in=[row.pk for row in old]).update(superseded_at=creator.at)
        bulk.insert(
            [
                TeamMembership(
                    rep_id=pk,
                    team_id=made(place),
                    role=SalesRole.MANAGER,
                    effective=DateRange(creator.since, None),
                    recorded_at=creator.at,
                )
                for pk, place in promoted.items()
            ]
        )
        self.tree.led_by |= {pk: made(place) for pk, place in promoted.items()}


def _signs(text: str, facts: RepFacts) -> tuple[str, str, str]:
    """Number, e-mail address and name of somebody, from what is said of them or, failing that, from the text that names them."""
    number, mail, name, text = (tidy(t) for t in (facts.employee_no, facts.email, facts.name, text))
    name = "" if fold(name) == fold(text) else name
    if "@" in text:
        mail = mail or text
        name = name or " ".join(re.split(r"[._+-]+", text.partition("@")[0])).title()
    elif not number and NUMBER_LIKE.fullmatch(text):
        number = text
    return number, mail, name or text

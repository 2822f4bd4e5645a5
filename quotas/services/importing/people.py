"""Reps, teams and territories out of a file: worked out as a whole in memory, so that rows may stand in any order, then written.

Every change is a dated fact: what it takes the place of is superseded, never overwritten, and one recredit run follows for the
whole file. An empty cell changes nothing. A row that says what is known is unchanged, so the same file twice changes nothing.

A rep is in the team that a row names, and who is named as its manager manages it. Where the file names several managers for
one team, or no team at all, a rep is in the team that the manager leads: "Team of X", made below the team that is named.

Where a row gives no first day, what it changes holds from today, and what is made for it from the import's own first day. A
change without an end holds as long as what it takes the place of. A team's place and its manager are one fact that many rows
tell: they hold from the latest first day among those rows.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import count, groupby, zip_longest
from typing import Any, Final

from django.utils.text import slugify

from config import bulk
from config import house as formats
from config.locks import one_at_a_time
from config.names import fold
from quotas.models import (
    ImportOutcome,
    Rep,
    SalesRole,
    Team,
    TeamMembership,
    TeamPlacement,
    Territory,
    TerritoryAssignment,
)
from quotas.services.importing.context import Context
from quotas.services.importing.creating import IMPORTED, NAME_OF_A_TEAM, Creator, role_of
from quotas.services.importing.directory import (
    Named,
    People,
    Person,
    Register,
    only,
    users_by_email,
)
from quotas.services.importing.following import Cause, Touched, follow
from quotas.services.importing.planning import (
    Row,
    attempt,
    carry_out,
    make_named,
    missing,
    named_or_made,
)
from quotas.services.importing.refused import Refused
from quotas.services.importing.spans import LAST, Spans

MANAGER: Final = SalesRole.MANAGER.value
WHO: Final = ("rep", "employee_no", "slug", "email")


@dataclass(slots=True, eq=False)
class _Row(Row):
    """Whom a row is about, which team, and from which day on. No person: about the team alone.

    managed  The team whose manager the row names, where it is not the row's own.
    day      From which it changes what is known: the day that it gives, else today.
    places   A team, and what it stands below.
    """

    person: Person | None = None
    team: Named | None = None
    managed: Named | None = None
    day: date = LAST
    places: list[tuple[Named, Named]] = field(default_factory=list)

    def forget(self) -> None:
        self.touches.clear()
        self.places.clear()
        self.person, self.team, self.managed, self.day = None, None, None, LAST


def run_reps(context: Context) -> None:
    """Reps, their teams, roles, managers and territories, and where the teams stand. Raises Unreadable for a file of too many rows."""
    one_at_a_time("quotas.creating")
    one_at_a_time("quotas.facts", "teams")

    def plan(rows: Sequence[_Row]) -> Callable[[Sequence[_Row]], "_Plan"]:
        facts = _Facts(rows)
        return lambda left: _Plan(context, facts, left)

    carry_out(context, make=_Row, plan=plan, outcome_of=_outcome_of, what_of=_what_of)


class _Facts:
    """What is known, read once: reps, teams, territories, and the dated facts between them. 7 queries."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.people = People.stored()
        self.teams = Register.stored(Team)
        self.territories = Register.stored(Territory)
        self.members = Spans(TeamMembership.objects.all(), of=["rep_id"], says=["team_id", "role"])
        self.places = Spans(TeamPlacement.objects.all(), of=["team_id"], says=["parent_id"])
        self.covers = Spans(TerritoryAssignment.objects.all(), of=["territory_id", "rep_id"])
        self.users = users_by_email({row.values["email"].lower() for row in rows if row.values["email"]})


class _Plan:
    """What the rows come to, taken together. refused: lines that cannot be taken; the others have to be planned again without them."""

    def __init__(self, context: Context, facts: _Facts, rows: Sequence[_Row]) -> None:
        self.context, self.facts, self.rows = context, facts, rows
        self.refused: dict[int, Refused] = {}
        self.people = People(facts.people)
        self.teams = Register.of("team", facts.teams)
        self.new_register = Register("team")
        self.territories = Register.of("territory", facts.territories)
        self.members, self.places, self.covers = facts.members, facts.places, facts.covers
        for book in (self.members, self.places, self.covers):
            book.forget()
        self.new_people: list[Person] = []
        self.new_teams: list[Named] = []
        self.new_territories: list[Named] = []
        self.leaving: list[_Row] = []
        self.touched = Touched()
        self.rows_of: dict[int, list[_Row]] = defaultdict(list)
        self.leads: dict[int, Named] = {}
        self.placed = False
        self.heads: dict[int, Named] = {}  # who is named as the manager of which team
        self.made: dict[int, Named] = {}  # managers to the teams that they come to lead by this file
        self.covering: dict[tuple[int, int], list[_Row]] = defaultdict(list)
        self.dated: set[int] = set()  # new people of whom a row says since when
        self.called: dict[int, tuple[int, str]] = {}  # a person to the line that names them, and the name
        self.create = context.options.create_missing
        self.since: date = context.creator.since
        self.tree = context.creator.tree
        self.unit = context.calendar.pk if context.calendar else self.tree.operator
        self.top: Named | None = None
        self.first = min([self.since, *(row.values["starts"] for row in rows if row.values["starts"])])
        self.next_id = count(-1, -1).__next__
        for row in rows:
            row.forget()
            row.day = row.values["starts"] or context.today
        steps: tuple[Callable[[], None], ...] = (
            partial(self._each, self._look),
            self._identify_all,
            partial(self._each, self._name_team),
            partial(self._each, self._name_territories),
            self._follow_managers,
            self._place_teams,
            self._refuse_circles,
            self._stay_in_teams,
            self._manage_teams,
            partial(self._each, self._give_a_team),
            self._cover_territories,
            self._place_the_rest,
        )
        for step in steps:
            step()
            if self.refused:  # what a row says that is refused is no reason to refuse another
                return

    def _each(self, step: Callable[[_Row], None]) -> None:
        attempt(self.rows, step, self.refused)

    def _left(self) -> Iterator[_Row]:
        return (row for row in self.rows if row.line not in self.refused)

    # Whom and what a row is about.

    @staticmethod
    def _look(row: _Row) -> None:
        """Refuse what is wrong by itself."""
        said = row.values
        named = any(said[name] for name in WHO)
        if not (named or said["team"]):
            raise Refused("nobody_named", "Name the rep, or the team that the row is about.", "rep")
        if said["parent_team"] and not said["team"]:
            raise Refused("team_missing", "Name the team that stands below this one.", "team")
        if not named and _territories_of(row):
            raise Refused("rep_missing", "Name the rep who covers the territory.", "rep")
        for starts, ends in (("starts", "ends"), ("territory_starts", "territory_ends")):
            if said[starts] and said[ends] and said[ends] <= said[starts]:
                raise Refused("ends_before_it_starts", "It ends before it starts.", ends)

    def _identify_all(self) -> None:
        """By what is sure before what is not, whatever the order of the rows: who has no number is told from who has one."""

        def unsure(row: _Row) -> int:
            said = row.values
            by = next((n for n, name in enumerate(("employee_no", "email", "slug")) if said[name]), 3)
            return by + (0 if said["rep"] else 4)

        attempt(sorted(self.rows, key=unsure), self._identify, self.refused)
        for row in self._left():
            if row.person is not None:
                self.rows_of[row.person.id].append(row)
                if row.person.is_new and row.values["starts"]:
                    self.dated.add(row.person.id)
        self._each(self._ends_later)

    def _identify(self, row: _Row) -> None:
        said = row.values
        if any(said[name] for name in WHO):
            row.person = self._known(said) or self._new_person(said)
            self._edit(row, row.person)

    def _ends_later(self, row: _Row) -> None:
        ends = row.values["ends"]
        if row.person is not None and ends and self._is_fresh(row.person) and ends <= self.since:
            raise Refused("ends_before_it_starts", "It ends before it starts.", "ends")

    def _is_fresh(self, person: Person) -> bool:
        """Whether somebody is new, and no row says since when."""
        return person.is_new and person.id not in self.dated

    def _first_day(self, row: _Row, person: Person) -> date:
        """From which on what a row says of somebody holds."""
        return self.since if self._is_fresh(person) else row.day

    def _known(self, said: dict[str, Any]) -> Person | None:
        """By employee number, else e-mail, else slug, else name; somebody with another number is somebody else."""
        people, number = self.people, said.get("employee_no") or ""
        if number and (found := people.by_no.get(fold(number))):
            return found
        email, slug, name = (said.get("email") or "").lower(), said.get("slug") or "", said.get("rep") or ""
        for found, field_ in ((people.by_email.get(email), "email"), (people.by_slug.get(slug), "slug")):
            if found is not None:
                if number and found.employee_no:
                    raise Refused(
                        "number_of_another",
                        f"The {'e-mail address' if field_ == 'email' else 'slug'} is that of {found.name}, whose employee number is {found.employee_no}.",
                        field_,
                    )
                return found
        if not (number or email or slug):
            return people.named(name)
        namesakes = [
            p
            for p in people.by_name.get(fold(name), ())
            if not (number and p.employee_no) and not (email and p.email) and not (slug and not p.is_new)
        ]
        return only(namesakes, name)

    def _new_person(self, said: dict[str, Any]) -> Person:
        named = next(said[name] for name in WHO if said[name])
        if not self.create:
            raise missing("rep", named, "rep")
        if not said["rep"]:
            raise Refused("name_missing", "A rep that is created needs a name.", "rep")
        if said["slug"] and slugify(said["slug"]) != said["slug"]:
            raise Refused("bad_slug", "A slug is made of small letters, digits and hyphens.", "slug")
        return self._make_person(
            said["rep"], said["slug"] or "", said["employee_no"] or "", said["email"] or ""
        )

    def _make_person(self, name: str, slug: str = "", employee_no: str = "", email: str = "") -> Person:
        person = Person(self.next_id(), slug, name, employee_no, email.lower())
        self.people.add(person)
        self.new_people.append(person)
        return person

    def _edit(self, row: _Row, person: Person) -> None:
        """Take over the name, the number and the log-in that a row gives."""
        said = row.values
        number, email, name = said["employee_no"] or "", (said["email"] or "").lower(), said["rep"] or ""
        holder = self.people.by_email.get(email) if email else None
        if holder is not None and holder is not person:
            raise Refused("email_of_another", f"The e-mail address is that of {holder.name}.", "email")
        if number and not person.employee_no:
            person.employee_no = number
            self.people.by_no[fold(number)] = person
        by_more_than_the_name = number or holder is person or (said["slug"] and said["slug"] == person.slug)
        if name and by_more_than_the_name:
            line, other = self.called.setdefault(person.id, (row.line, name))
            if fold(other) != fold(name):
                raise Refused("two_names", f"Line {line} calls the same person {other}.", "rep")
            if fold(name) != fold(person.name):
                self.people.rename(person, name)
        if person.user_id is None and email in self.facts.users:
            person.user_id, person.email = self.facts.users[email], email
            self.people.by_email[email] = person

    # Teams, and where they stand.

    def _name_team(self, row: _Row) -> None:
        said = row.values
        if not said["team"]:
            return
        team = row.team = self._team(said["team"], "team")
        if said["parent_team"]:
            parent = self._team(said["parent_team"], "parent_team")
            if parent is team:
                raise Refused("own_parent", f"{team.name} cannot stand under itself.", "parent_team")
            row.places.append((team, parent))
        elif said["region"] and team.id < 0 and (region := self._team(said["region"], "region")) is not team:
            row.places.append((team, region))

    def _team(self, name: str, field: str) -> Named:
        """Of the business unit whose calendar the map names. Raises Refused."""
        try:
            known = self.tree.find(name, self.unit)
        except Refused as why:
            raise Refused(*why.problem, field) from why
        if known is not None:
            return self.teams.by_id[known]
        return named_or_made(
            self.new_register, name, field=field, new=self.new_teams, next_id=self.next_id, create=self.create
        )

    # Where a file says who reports to whom.

    def _follow_managers(self) -> None:
        """Seat those whose team follows from their manager, then the managers themselves."""
        managers: dict[int, set[str]] = defaultdict(set)
        rows = [row for row in self._left() if row.person is not None and row.values["manager"]]
        for row in rows:
            managers[row.team.id if row.team else 0].add(fold(row.values["manager"]))
        # A manager's own row names whom the manager reports to: that is nobody who manages the team beside them.
        heads: list[_Row] = []
        members: list[_Row] = []
        for row in rows:
            head = row.team and row.person and fold(row.person.name) in managers[row.team.id]
            (heads if head else members).append(row)
        beside: dict[int, set[str]] = defaultdict(set)
        for row in members:
            beside[row.team.id if row.team else 0].add(fold(row.values["manager"]))
        own: dict[int, Named | None] = {}
        for row in self.rows:
            if row.person is not None and own.get(row.person.id) is None:
                own[row.person.id] = row.team
        seated = [row for row in members if row.team is None or len(beside[row.team.id]) > 1]
        told = [row for row in self._left() if row.person is None and row.values["manager"]]
        told += [row for row in members if row not in seated]
        attempt(told, self._name_head, self.refused)
        for row in [row for row in seated if row.team is None]:
            if row.person is not None and row.person.id in self.heads:
                row.team = self.heads[row.person.id]
                seated.remove(row)
                heads.append(row)
        attempt(seated, lambda row: self._make_seat(row, own), self.refused)
        attempt(seated, self._seat, self.refused)
        above = {team.id: parent for row in self._left() for team, parent in row.places}
        bosses = [row for row in heads if row.person and row.person.id not in self.leads]
        attempt(bosses, lambda row: self._report(row, above, own), self.refused)
        for row in self._left():
            led = self.leads.get(row.person.id) if row.person is not None else None
            if led is not None and row.team is not led:
                if row.team is not None and row.team.id not in self._upwards(led.id, row.day):
                    row.places.append((led, row.team))
                row.managed, row.team = row.team, led

    def _name_head(self, row: _Row) -> None:
        if row.team is not None:
            self.heads.setdefault(self._manager(row.values["manager"]).id, row.team)

    def _make_seat(self, row: _Row, own: Mapping[int, Named | None]) -> None:
        """The team of a manager who leads none, where somebody needs it who is in none."""
        said, office, person = row.values, row.team, row.person
        manager = self._manager(said["manager"])
        now = self.members.on((person.id,), row.day) if person and office is None else None
        if now is not None or self._led_by(manager, row.day) is not None:
            return
        team = (own.get(manager.id) if office is None else None) or self.heads.get(manager.id)
        team = self.made[manager.id] = team or self._team_of(manager, own)
        if office is not None:
            row.places.append((team, office))
        elif said["region"] and team.id < 0:
            row.places.append((team, self._team(said["region"], "region")))

    def _seat(self, row: _Row) -> None:
        """Into the team that the row's manager leads, below the one that is named."""
        office, person = row.team, row.person
        if person is None:
            return
        manager = self._manager(row.values["manager"])
        known = self._led_by(manager, row.day)
        led = self.made.get(manager.id) if known is None else self.teams.by_id[known]
        if led is None:
            return
        now = self.members.on((person.id,), row.day) if office is None else None
        below_it = office is None and (now is None or led.id not in self._upwards(now[0], row.day))
        above_it = office is not None and (known is None or office.id in self._upwards(led.id, row.day))
        if below_it or above_it:
            row.team = led
        if known is not None and (below_it or above_it or office is None):
            self.leads[manager.id] = led

    def _report(self, row: _Row, above: Mapping[int, Named], own: Mapping[int, Named | None]) -> None:
        """Of the row of a team's manager: whom it names as manager manages the team above."""
        if row.team is None or row.person is None or self.people.named(row.values["manager"]) is row.person:
            return
        known = (self.places.on((row.team.id,), row.day) or (None,))[0]
        parent = above.get(row.team.id) or self.teams.by_id.get(known or 0)
        manager = self._manager(row.values["manager"])
        led = self._led_by(manager, row.day)
        if led is not None and led in self._upwards(row.team.id, row.day):
            row.managed = self.leads[manager.id] = self.teams.by_id[led]
        elif parent is not None:
            row.managed = parent
        else:
            row.managed = self.teams.by_id[led] if led is not None else own.get(manager.id)
            if row.managed is None or row.managed is row.team:
                row.managed = self._team_of(manager, own)
            row.places.append((row.team, row.managed))

    def _team_of(self, manager: Person, own: Mapping[int, Named | None]) -> Named:
        """The team that is made for a manager who leads none. Raises Refused.

        own  Those of whom the file has rows, and the team it puts them into: who is known and not among them is not moved by being named.
        """
        if manager.id not in own and self.members.of((manager.id,)):
            raise Refused(
                "leads_no_team",
                f"{manager.name} is named as a manager but leads no team: give {manager.name} a row too, or name a team that they manage.",
                "manager",
            )
        if manager.id not in self.leads:
            self.leads[manager.id] = self._team(f"Team of {manager.name}"[:NAME_OF_A_TEAM], "manager")
        return self.leads[manager.id]

    def _manager(self, name: str) -> Person:
        """Raises Refused."""
        manager = self.people.named(name)
        if manager is None and not self.create:
            raise missing("rep", name, "manager")
        return manager or self._make_person(name)

    def _led_by(self, manager: Person, day: date) -> int | None:
        """The team that somebody manages on a day, or comes to manage later."""
        pieces = [
            piece
            for piece in self.members.of((manager.id,))
            if piece.value[1] == MANAGER and day < piece.ends
        ]
        return min(pieces, key=lambda piece: piece.starts).value[0] if pieces else None

    # Where the teams stand.

    def _place_teams(self) -> None:
        above: dict[tuple[int, int], list[_Row]] = defaultdict(list)
        for row in self._left():
            for team, parent in row.places:
                above[team.id, parent.id].append(row)
        self.placed = True
        told = sorted((max(row.day for row in rows), rows[0].line, pair) for pair, rows in above.items())
        put: dict[tuple[int, date], int] = {}
        for day, _line, (team_id, parent_id) in told:
            subject, rows = (team_id,), above[team_id, parent_id]
            if put.setdefault((team_id, day), parent_id) != parent_id:
                name, other = self._name_of(team_id), self._name_of(put[team_id, day])
                why = f"{name} stands under {other} from that day on, as other rows of the file say."
                self._refuse(rows, Refused("two_parents", why, "parent_team"))
                continue
            new = team_id < 0 and not self.places.of(subject)
            days = (self.first, LAST) if new else (day, self.places.until(subject, day))
            if self.places.put(subject, days, (parent_id,)):
                for row in rows:
                    row.touches.append((self.places, subject))

    def _name_of(self, team_id: int) -> str:
        return (self.teams.by_id.get(team_id) or self.new_register.by_id[team_id]).name

    def _place_the_rest(self) -> None:
        """New teams that nothing is said of stand below the top of their business unit; without one they are its top."""
        loose = [team for team in self.new_teams if not self.places.of((team.id,))]
        top = self.tree.top(self.unit)
        if top is None and loose:
            self.top = loose[0]
            if len(loose) > 1:
                self.top = self._team(IMPORTED, "team")
            self.places.put((self.top.id,), (self.first, LAST), (None,))
            top = self.top.id
        for team in loose:
            if team is not self.top:
                self.places.put((team.id,), (self.first, LAST), (top,))
            if self._circle(team.id):  # what headed the unit so far stands below it now
                self.places.put((team.id,), (self.first, LAST), (None,))
                self.top = team

    def _refuse(self, rows: Iterable[_Row], why: Refused) -> None:
        self.refused.update({row.line: why for row in rows})

    def _refuse_circles(self) -> None:
        circles = {subject[0]: self._circle(subject[0]) for subject in self.places.changes()}
        for row in self._left():
            for team, _parent in row.places:
                if circles.get(team.id):
                    names = " > ".join(self._name_of(one) for one in reversed(circles[team.id]))
                    self.refused[row.line] = Refused(
                        "teams_in_a_circle", f"{names}: a team cannot stand under itself.", "parent_team"
                    )

    def _circle(self, top: int) -> list[int]:
        """The way from a team up to itself on some day, both ends included; empty where there is none."""
        waiting = [(piece.value[0], piece.starts, piece.ends, [top]) for piece in self.places.of((top,))]
        while waiting:
            team, starts, ends, way = waiting.pop()
            if team == top:
                return [*way, top]
            if team is not None and team not in way:
                waiting += [
                    (piece.value[0], max(starts, piece.starts), min(ends, piece.ends), [*way, team])
                    for piece in self.places.of((team,))
                    if max(starts, piece.starts) < min(ends, piece.ends)
                ]
        return []

    def _top_above(self, team_id: int, day: date) -> int | None:
        """Where a new team is to stand that nothing is said of."""
        top = self.tree.top(self.unit)
        return top if top is not None and team_id not in self._upwards(top, day) else None

    def _upwards(self, team_id: int, day: date) -> Iterator[int]:
        at: int | None = team_id
        passed: set[int] = set()
        while at is not None and at not in passed:
            passed.add(at)
            yield at
            place = self.places.on((at,), day)
            at = place[0] if place else self._top_above(at, day) if at < 0 and self.placed else None

    # Who is in which team, and since when.

    def _stay_in_teams(self) -> None:
        for rows in self.rows_of.values():
            rows.sort(key=lambda row: (row.day, bool(row.values["ends"]), row.line))
            self._refuse_two(rows)
        if self.refused:
            return
        for rows in self.rows_of.values():
            for row, following in zip_longest(rows, rows[1:]):
                attempt([row], lambda row, following=following: self._stay(row, following), self.refused)  # type: ignore[misc]

    def _refuse_two(self, rows: Sequence[_Row]) -> None:
        """Rows of one person that say different things of one day: all of them, for nobody can tell which is right."""
        for _day, same in groupby(rows, key=lambda row: row.day):
            told = list(same)
            placed = [(row, row.team) for row in told if row.team is not None]
            if len({team.id for _row, team in placed}) > 1:
                said = " and ".join(f"line {row.line} in {team.name}" for row, team in placed)
                why = f"Rows put them into different teams from one day on: {said}. A rep is in one team at a time."
                self._refuse([row for row, _team in placed], Refused("two_teams", why, "team"))
            ended = [row for row in told if row.values["ends"]]
            if len({row.values["ends"] for row in ended}) > 1:
                said = " and ".join(f"{formats.day(row.values['ends'])} in line {row.line}" for row in ended)
                why = f"Rows give different days on which they left: {said}."
                self._refuse(ended, Refused("two_ends", why, "ends"))

    def _stay(self, row: _Row, following: _Row | None) -> None:
        person, said = row.person, row.values
        if person is None:
            return
        subject, starts, ends = (person.id,), said["starts"], said["ends"]
        now = self.members.on(subject, row.day)
        if row.team is None and said["role"] and now is None:
            row.team = self.heads.get(person.id)
        if row.team is None and said["role"] and now is None:
            raise Refused("no_team", f"{person.name} is in no team on that day: name one.", "team")
        team_id = row.team.id if row.team else now[0] if now and said["role"] else None
        first = self._first_day(row, person)
        if team_id is not None and not (ends and ends <= first):
            if now is None and not starts and not ends and person.left_on:
                raise Refused(
                    "has_left",
                    f"{person.name} left on {formats.day(person.left_on)}: give the day on which they start again.",
                    "starts",
                )
            role = said["role"] or (now[1] if now else self._usual_role())
            if team_id in {
                team.id for team in (self.leads.get(person.id), self.heads.get(person.id)) if team
            }:
                role = MANAGER
            if self.members.put(
                subject,
                (first, ends or self.members.until(subject, row.day)),
                (team_id, role),
            ):
                row.touches.append((self.members, subject))
            if starts and (person.is_new or person.hired_on):
                person.hired_on = min(person.hired_on or starts, starts)
            if starts and not ends and following is None and person.left_on and person.left_on <= starts:
                person.left_on = None
        if ends:
            self._leave(row, person, ends, following)

    def _usual_role(self) -> str:
        return role_of(self.context.mapping.create.get("role") or SalesRole.ACCOUNT_EXECUTIVE)

    def _leave(self, row: _Row, person: Person, ends: date, following: _Row | None) -> None:
        subject, until = (person.id,), following.day if following else LAST
        if ends < until and self.members.clear(subject, (ends, until)):
            row.touches.append((self.members, subject))
        if following is None:
            person.left_on = ends
            self.leaving.append(row)

    def _give_a_team(self, row: _Row) -> None:
        """A new rep for whom no row names a team gets the one of whoever is created."""
        person = row.person
        if person is None or not person.is_new or self.members.of((person.id,)):
            return
        usual = self.context.mapping.create.get("team")
        if not usual:
            raise Refused(
                "team_missing", f"Name a team for {person.name}: who is in none earns nothing.", "team"
            )
        team = self._team(usual, "team")
        days = self._first_day(row, person), row.values["ends"] or LAST
        self.members.put((person.id,), days, (team.id, self._usual_role()))

    # Who manages which team.

    def _manage_teams(self) -> None:
        named: dict[tuple[str, int], list[_Row]] = defaultdict(list)
        for row in self._left():
            if row.values["manager"]:
                now = self.members.on((row.person.id,), row.day) if row.person else None
                team = row.managed or row.team
                team_id = team.id if team else now[0] if now else None
                if team_id is None:
                    self._refuse([row], Refused("team_missing", "Name the team that is managed.", "team"))
                else:
                    named[fold(row.values["manager"]), team_id].append(row)
        told = sorted((max(row.day for row in rows), rows[0].line, pair) for pair, rows in named.items())
        for day, _line, pair in told:
            rows = named[pair]
            try:
                self._manage(rows[0].values["manager"], pair[1], day, rows)
            except Refused as why:
                self._refuse(rows, Refused(*why.problem, "manager"))

    def _manage(self, name: str, team_id: int, day: date, rows: Sequence[_Row]) -> None:
        manager = self._manager(name)
        subject = (manager.id,)
        pieces = sorted(self.members.of(subject), key=lambda piece: piece.starts)
        # What a manager comes to be later, a file of who sells for them now says of its earlier days too.
        piece = next((piece for piece in pieces if day < piece.ends), None)
        if piece is None:
            days, team_of = (day, LAST), team_id
            if manager.is_new:
                first = self.since if self._is_fresh(manager) else self.context.today
                days = (min(row.values["starts"] or first for row in rows), manager.left_on or LAST)
            if manager.left_on is not None and manager.left_on <= days[0]:
                if manager.is_new and not pieces:
                    raise Refused("manager_left", f"{manager.name} left before that day.")
                return  # they managed it while they were here
        else:
            team_of = piece.value[0]
            if team_of not in self._upwards(team_id, max(day, piece.starts)):
                raise Refused(
                    "manager_elsewhere",
                    f"{manager.name} is in {self._name_of(team_of)} then, and a rep is in one team at a time: give"
                    f" {manager.name} a row that puts them into {self._name_of(team_id)}, or into a team above it.",
                )
            # The manager's own row of this file and the rows that name the manager say one thing together.
            days = (piece.starts if piece.row == 0 else max(day, piece.starts), piece.ends)
        if self.members.put(subject, days, (team_of, MANAGER)):
            rows[0].touches.append((self.members, subject))

    # Territories.

    def _name_territories(self, row: _Row) -> None:
        person = row.person
        if person is None:
            return
        for name in _territories_of(row):
            territory = named_or_made(
                self.territories,
                name,
                field="territory",
                new=self.new_territories,
                next_id=self.next_id,
                create=self.create,
            )
            self.covering[territory.id, person.id].append(row)

    def _cover_territories(self) -> None:
        for subject, rows in self.covering.items():
            left = [row for row in rows if row.line not in self.refused]
            fresh = min(subject) < 0 and not any(_covers_since(row) for row in left)
            told = sorted(left, key=lambda row: (_covers_since(row) or self.context.today, row.line))
            before: tuple[_Row, date] | None = None
            for row, following in zip_longest(told, told[1:]):
                said, ends = row.values, _covers_until(row)
                day = _covers_since(row) or (self.since if fresh else self.context.today)
                if before and before[1] == day and _covers_until(before[0]) != ends:
                    why = f"Line {before[0].line} says that it ends on another day, or on none."
                    self._refuse([row], Refused("two_ends", why, "territory_ends"))
                    continue
                if ends and ends <= day and (_covers_since(row) or fresh):
                    why = "It ends before it starts."
                    self._refuse([row], Refused("ends_before_it_starts", why, "territory_ends"))
                    continue
                before = row, day
                if not said["territory_starts"]:
                    # The first day in a team does not make older what is known of a territory.
                    known = [piece.starts for piece in self.covers.of(subject) if day < piece.ends]
                    day = max(day, min(known, default=day))
                until = (_covers_since(following) or self.context.today) if following else LAST
                row.hold(self.covers, subject, day, ends, until)
        covering: dict[int, set[int]] = defaultdict(set)
        for territory_id, rep_id in [*self.covering, *self.covers.subjects()]:
            covering[rep_id].add(territory_id)
        for row in self.leaving:
            if row.person is not None:
                for territory_id in sorted(covering[row.person.id]):
                    subject = territory_id, row.person.id
                    if self.covers.clear(subject, (row.values["ends"], LAST)):
                        row.touches.append((self.covers, subject))

    # Writing it.

    @property
    def edited(self) -> list[Person]:
        return [person for found in self.people.by_name.values() for person in found if person.edited]

    @property
    def news(self) -> bool:
        books = self.members, self.places, self.covers
        new = self.new_people or self.new_teams or self.new_territories
        return bool(new or self.edited or any(book.changes() for book in books))

    def write(self) -> dict[int, Refused]:
        """A fixed number of statements."""
        creator, at = self.context.creator, self.context.at
        made, wrong = make_named(self.new_territories, creator.territories, creator.refused)
        if wrong:
            covering = [(subject[0], row) for subject, rows in self.covering.items() for row in rows]
            return {
                row.line: Refused(*wrong[territory_id], "territory")
                for territory_id, row in covering
                if territory_id in wrong
            }
        own = self.unit if self.unit != self.tree.operator else None
        teams = [Team(name=one.name, calendar_id=own if one is self.top else None) for one in self.new_teams]
        Creator.with_slugs(teams, Team, "team")
        reps = [self._rep(person) for person in self.new_people]
        bulk.insert(teams)
        bulk.insert([rep for rep in reps if rep.slug])
        unnamed = [rep for rep in reps if not rep.slug]
        Creator.with_slugs(unnamed, Rep, "rep")
        bulk.insert(unnamed)
        made |= {one.id: row.pk for one, row in zip(self.new_teams, teams, strict=True)}
        made |= {one.id: row.pk for one, row in zip(self.new_people, reps, strict=True)}
        creator.counts["teams"] += len(teams)
        creator.counts["reps"] += len(reps)
        Rep.objects.bulk_update(
            [self._rep(person) for person in self.edited],
            ["name", "employee_no", "user", "hired_on", "left_on"],
            batch_size=1_000,
        )
        self.touched.members(self.members.changes(), made)
        self.touched.covers(self.covers.changes(), made)
        for book in (self.places, self.members, self.covers):
            book.write(at, made)
        return {}

    def follow(self) -> None:
        follow(
            self.context,
            self.touched,
            cause=Cause.TEAM,
            what=f"Reps and teams out of {self.context.run.file_name}",
        )

    @staticmethod
    def _rep(person: Person) -> Rep:
        return Rep(
            pk=None if person.is_new else person.id,
            slug=person.slug,
            name=person.name,
            employee_no=person.employee_no,
            user_id=person.user_id,
            hired_on=person.hired_on,
            left_on=person.left_on,
        )


def _territories_of(row: _Row) -> list[str]:
    names = (name.strip() for name in (row.values["territory"] or "").split(";"))
    return list(dict.fromkeys(name for name in names if name))


def _covers_since(row: _Row) -> date | None:
    said: date | None = row.values["territory_starts"] or row.values["starts"]
    return said


def _covers_until(row: _Row) -> date | None:
    return min((day for day in (row.values["territory_ends"], row.values["ends"]) if day), default=None)


def _outcome_of(row: _Row, changed: bool) -> str:
    if row.person.is_new if row.person else row.team is not None and row.team.id < 0:
        return ImportOutcome.NEW.value
    if changed or (row.person is not None and row.person.edited):
        return ImportOutcome.CHANGED.value
    return ImportOutcome.UNCHANGED.value


def _what_of(row: _Row) -> str:
    said = row.values
    role = SalesRole(said["role"]).label if said["role"] else ""
    parts = [
        row.person.name if row.person else "",
        f"{role} in {row.team.name}" if role and row.team else row.team.name if row.team else role,
        f"under {said['parent_team']}" if said["parent_team"] else "",
        f"managed by {said['manager']}" if said["manager"] else "",
        f"covers {said['territory']}" if said["territory"] else "",
        f"from {formats.day(said['starts'])}" if said["starts"] else "",
        f"left on {formats.day(said['ends'])}" if said["ends"] else "",
    ]
    return ", ".join(part for part in parts if part)

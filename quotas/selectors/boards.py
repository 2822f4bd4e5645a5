"""The quota board of a team: its people or the teams below, against quota and pace, with a total that is their sum.

What stands on it is the same for everybody; who looks decides which amounts are shown. The figures of a team of many people are
kept by a worker, see kept.py, and all of them are of the moment it says; those of the others are read for each look. Where they
are not kept yet, whoever asks is told so.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from itertools import accumulate
from typing import Any, Final, Literal, Self, overload
from zoneinfo import ZoneInfo

from django.conf import settings
from psycopg import sql

from accounts.models import Role, User
from config import charts
from config.among import among
from quotas.models import (
    AdjustmentReason,
    KeptGroup,
    Measure,
    Period,
    PlanState,
    PlanVersion,
    ReliefKind,
    Rep,
    SalesRole,
    Team,
    ValueBasis,
)
from quotas.selectors import asof, kept, pace, periods, targets
from quotas.selectors.asof import Reading
from quotas.selectors.kept import BeingWorkedOut, Look
from quotas.selectors.teams import Step
from quotas.selectors.visibility import SEES_EVERYTHING, managed_teams, rep_of, reps_for

WEEKS: Final = 10
WEEK: Final = 7
LATEST: Final = 6
BANDS: Final = (20, 40, 60, 80, 100)  # per cent of quota where one band ends and the next begins

Kind = Literal["rep", "team", "direct"]


@dataclass(slots=True)
class Row:
    """A member of the team, or a team directly below it with all that is under it.

    kind             rep, team, or direct: what the team itself earned above the teams below it.
    rank             By attainment within this board; None without a quota.
    previous_rank    The rank without the credit dated in the last seven days; None at the start of a period.
    credited_minor   Direct credit earned in this team: what adds up to the total.
    overlay_minor    Overlay credit of a rep: outside the total, inside his attainment.
    elsewhere_minor  Credit of a rep earned in other teams in this period: likewise.
    pending_minor    Estimated value of submitted deals: basis amount x share, before rates and rules.
    weeks            Credit of each of the last ten weeks, oldest first; of a rep overlay and other teams' as well.
    member           False for a rep who earned here and is not in the team on the day.
    money            Whether the viewer may see amounts.
    """

    kind: Kind
    id: int
    slug: str
    name: str
    detail: str
    credited_minor: int
    overlay_minor: int = 0
    elsewhere_minor: int = 0
    pending_minor: int = 0
    quota_minor: int | None = None
    weeks: Sequence[int] = ()
    last_week_minor: int = 0
    member: bool = True
    you: bool = False
    money: bool = True
    rank: int | None = None
    previous_rank: int | None = None

    @property
    def trend(self) -> list[int]:
        """The weeks, running."""
        return _running(self.weeks)

    @property
    def attained_minor(self) -> int:
        """What is compared with the quota."""
        return self.credited_minor + self.overlay_minor + self.elsewhere_minor

    @property
    def movement(self) -> int | None:
        return self.previous_rank - self.rank if self.rank and self.previous_rank else None

    def behind(self, pace_ppm: int) -> bool:
        """Whether it falls short of pace by more than the tolerance; never without a quota."""
        return charts.stands(self.attained_minor, self.quota_minor or 0, pace_ppm) in ("behind", "at_risk")


class Rows(Sequence[Row]):
    """The rows of a board in their order, each made when it is asked for: a page of a large board reads the names of its own fifty.

    ids   Of all of them.
    make  The rows of some of these.
    own   The viewer's, which is made together with the first that are asked for.
    texts What can be looked for of some of these, where that is told for less than making them.
    """

    def __init__(
        self,
        ids: Sequence[int],
        make: Callable[[Collection[int]], list[Row]],
        own: int | None,
        made: dict[int, Row] | None = None,
        texts: Callable[[Collection[int]], Mapping[int, str]] | None = None,
    ) -> None:
        self._ids = ids
        self._make = make
        self._own = own
        self._made = {} if made is None else made
        self._texts = texts

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> "Rows": ...
    def __getitem__(self, at: int | slice) -> "Row | Rows":
        if isinstance(at, slice):
            return self._some(self._ids[at])
        return self._of([self._ids[at]])[0]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._of(self._ids))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def my_place(self) -> int | None:
        """Where the viewer stands among these, from 0."""
        return self._ids.index(self._own) if self._own in self._ids else None

    @property
    def mine(self) -> Row | None:
        """The viewer's own."""
        return None if self.my_place is None else self[self.my_place]

    def matching(self, words: Sequence[str]) -> "Rows":
        """Those whose name and detail have each of these words in them, whatever the case."""
        wanted = [word.casefold() for word in words]
        if self._texts is not None and len(self._made) < len(self._ids):
            texts = self._texts(self._ids)
        else:
            texts = {row.id: f"{row.name} {row.detail}" for row in self}
        return self._some([pk for pk in self._ids if all(map(texts[pk].casefold().__contains__, wanted))])

    def _some(self, ids: Sequence[int]) -> "Rows":
        return Rows(ids, self._make, self._own, self._made, self._texts)

    def _of(self, ids: Sequence[int]) -> list[Row]:
        missing = [pk for pk in ids if pk not in self._made]
        if missing:
            if self._own is not None and self._own not in self._made and self._own not in missing:
                missing.append(self._own)
            self._made.update((row.id, row) for row in self._make(missing))
        return [self._made[pk] for pk in ids]


@dataclass(frozen=True, slots=True)
class Flow:
    """Direct credit by customer segment, publisher and the publisher's origin."""

    segment: str
    publisher: str
    origin: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LatestEntry:
    """A ledger entry for the feed. Of an adjustment: no deal, no customer unless it is about a deal, and its reason in place of a rule."""

    id: int
    deal_id: int | None
    customer: str
    rep: str
    component: int
    rule: str
    amount_minor: int
    recorded_at: datetime
    reversal: bool
    adjustment_id: int | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """A team's board in one measure and period, as at one day, for one viewer.

    on               The day as at which tree, members and pace are read.
    ranked behind waiting  How many rows have a rank, fall behind pace, and have deals that wait.
    quota_minor      The team's own quota; without one, what its rows add up to. None if nobody has any.
    assigned_minor   What the reps' quotas below add up to; above quota_minor it is over-assigned.
    by_day           Direct credit of each elapsed day of the period; adds up to credited_minor.
    year_ago_minor   The same teams' credit on the same day of the period a year before; None without such a period.
    bands            Reps of the whole subtree by attainment: under 20 %, 20 to 40 ... 100 % and more.
    money            Whether the viewer may see the team's amounts.
    reading          Which version of the figures it is. Deals that wait are no part of what was known then, or frozen.
    inside           The teams whose figures it holds.
    look             Which board it is, whether it is one to keep, and what it was read from; as_of is the moment of that.
    """

    team: Team
    period: Period
    measure: Measure
    as_of: datetime
    on: date
    path: Sequence[Step]
    progress: pace.Progress
    rows: Rows
    ranked: int
    behind: int
    waiting: int
    of_teams: bool
    credited_minor: int
    overlay_minor: int
    elsewhere_minor: int
    pending_minor: int
    pending_deals: int
    oldest_pending: datetime | None
    quota_minor: int | None
    own_quota: bool
    assigned_minor: int
    by_day: Sequence[int]
    year_ago: Period | None
    year_ago_minor: int | None
    bands: Sequence[int]
    flows: Sequence[Flow]
    latest: Sequence[LatestEntry]
    money: bool
    plan_version: str
    forecast: pace.Forecast | None
    trend: Sequence[int]
    reading: Reading
    inside: Sequence[int]
    look: Look | None = None

    @property
    def kept(self) -> bool:
        """Whether it is of the moment as_of and not of now; what can never change is of neither."""
        return self.look is not None and self.look.kept is not None and not self.look.settled

    @property
    def old(self) -> bool:
        """Whether a newer one is due."""
        return self.look is not None and self.look.old

    @property
    def pace_ppm(self) -> int:
        return self.progress.pace_ppm

    @property
    def over_assignment_minor(self) -> int:
        """By how much the reps' quotas exceed the team's own; negative while they fall short of it."""
        return self.assigned_minor - (self.quota_minor or 0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a board is asked for, the version in which it is read, and who is told of each statement that has been."""

    reading: Reading
    given: Mapping[str, Any]
    told: Callable[[], None] | None = None

    def read(self, statement: sql.Composable, **more: Any) -> list[tuple[Any, ...]]:
        found = self.reading.read(statement, {**self.given, **more})
        if self.told is not None:
            self.told()
        return found

    def given_more(self, **more: Any) -> Self:
        return replace(self, given={**self.given, **more})


def team_board(
    *,
    team: Team,
    period: Period,
    measure: Measure,
    at: datetime,
    viewer: User,
    reading: Reading | None = None,
) -> Board:
    """The board. The same number of queries for three reps and for three thousand.

    reading  Another version of the period than the one reported now.
    Who may see what is decided as of now, whatever version is read. Raises BeingWorkedOut for a large one that is not kept yet.
    """
    read = reading or asof.now(period)
    today = at.astimezone(ZoneInfo(period.calendar.time_zone)).date()
    on, seen_on = read.day(today), periods.last_day(period, today)
    look = kept.looked_up(Look(KeptGroup.BOARD, "", read, measure, team), on=on, at=at)
    order = None
    if look.kept is not None:
        on = look.kept.on or on
        figures, as_of = _Figures.of(look.kept.body), look.kept.built_at or at
        order = _Order.of(look.kept.body)
        asked = _asked(read, measure, on)
    else:
        inside = read.below(team.pk, on)
        if kept.many_members(list(inside), on):
            raise BeingWorkedOut(replace(look, large=True))
        asked, as_of = _asked(read, measure, on), at
        figures = _figures(asked, inside, measure, large=False)
    tree = figures.tree
    of_teams = len(tree) > 1
    so_far = pace.progress(period.starts, period.ends, on)
    everything = sees_all_money(viewer)
    managed = set(tree) if everything else managed_teams(viewer, seen_on)
    me = rep_of(viewer)
    money = everything or team.pk in managed
    whose = partial(_seen, viewer, me, managed, everything, seen_on)
    make = (
        partial(_team_rows, team, figures, managed)
        if of_teams
        else partial(_rep_rows, figures, period, whose, me)
    )
    texts = None if of_teams else partial(_rep_texts, figures, period, whose)
    if order is None:
        order, made = _ordered(figures, make(figures.subjects(team)), so_far, on, period)
    else:
        made = None
    places = {pk: (rank, previous) for pk, rank, previous in order.places}

    def ranked(ids: Collection[int]) -> list[Row]:
        rows = make(ids)
        for row in rows:
            row.rank, row.previous_rank = places[row.id]
        return rows

    own = figures.own
    before = figures.year_ago
    mine = me.pk if me is not None and not of_teams and me.pk in places else None
    return Board(
        team=team,
        period=period,
        measure=measure,
        as_of=as_of,
        on=on,
        path=read.path_to(team.pk, on),
        progress=so_far,
        rows=Rows(list(places), ranked, mine, made, texts),
        ranked=order.ranked,
        behind=order.behind,
        waiting=order.waiting,
        of_teams=of_teams,
        credited_minor=order.credited_minor,
        overlay_minor=order.overlay_minor,
        elsewhere_minor=order.elsewhere_minor,
        pending_minor=order.pending_minor,
        pending_deals=figures.deals,
        oldest_pending=figures.oldest,
        quota_minor=own.get(team.pk, order.quota_minor),
        own_quota=team.pk in own,
        assigned_minor=sum(quota for _count, quota in figures.people.values() if quota is not None),
        by_day=figures.by_day,
        year_ago=Period.objects.filter(pk=before).first() if before else None,
        year_ago_minor=figures.year_ago_minor,
        bands=figures.bands,
        flows=[Flow(*flow) for flow in figures.flows],
        latest=_latest(asked, figures, None if money else (me.pk if me else 0)),
        money=money,
        plan_version=_plan_version(on),
        forecast=pace.forecast(order.credited_minor, figures.by_day, so_far),
        trend=_running(order.weeks),
        reading=read,
        inside=list(tree),
        look=look,
    )


STEPS: Final = 9  # statements that a worker tells of while it works a board out


def figures_to_keep(
    look: Look, *, at: datetime, told: Callable[[], None] | None = None
) -> tuple[dict[str, Any], date]:
    """The figures of a team's board as they are kept, and the day as at which they are read. told is called after each statement."""
    if look.team is None:
        raise ValueError("A quota board is a team's.")
    period, reading, team = look.period, look.reading, look.team
    on = reading.day(at.astimezone(ZoneInfo(period.calendar.time_zone)).date())
    asked = _asked(reading, look.measure, on, told)
    tree = reading.below(team.pk, on)
    figures = _figures(asked, tree, look.measure, large=kept.many_members(list(tree), on))
    everybody = figures.subjects(team)
    rows = (
        _team_rows(team, figures, set(), everybody)
        if len(tree) > 1
        else _rep_rows(figures, period, lambda _ids: set(), None, everybody)
    )
    order, _made = _ordered(figures, rows, pace.progress(period.starts, period.ends, on), on, period)
    return figures.as_json() | {ORDER: asdict(order)}, on


def _asked(reading: Reading, measure: Measure, on: date, told: Callable[[], None] | None = None) -> _Asked:
    period = reading.period
    return _Asked(
        reading,
        {
            "period": period.pk,
            "calendar": period.calendar_id,
            "starts": period.starts,
            "ends": period.ends,
            "measure": measure.pk,
            "on": on,
            "months": list(periods.months_in(period)),
            "since": on - timedelta(days=WEEKS * WEEK),
        },
        told,
    )


def sees_all_money(viewer: User) -> bool:
    """Comp admins and auditors; everybody where the operator says that colleagues see each other's amounts."""
    return viewer.has_role(*SEES_EVERYTHING) or (
        bool(getattr(settings, "REPS_SEE_PEERS_MONEY", False)) and viewer.has_role(Role.REP, Role.MANAGER)
    )


# --- rows -------------------------------------------------------------------------------------------------

Credit = Mapping[int, tuple[int, int]]
Weeks = Mapping[int, Sequence[int]]
People = Mapping[int, tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a board's statements yield: nothing of who looks, and no names.

    tree     Every team of the subtree to the direct child it is under.
    large    Whether more people are in it than are read for each look.
    whose    Who can have entries in it; None where it is large.
    credit waiting weeks   By team on a board of teams, else by rep.
    together Direct credit of all in each of the last ten weeks, oldest first.
    members  Of a board of people: rep, role, whether a member on the day, and credit in other teams.
    quotas   Of these, by rep.
    own      Quotas of teams themselves, by team.
    year_ago The period a year before, by id.
    """

    tree: Mapping[int, int | None]
    large: bool
    whose: Sequence[int] | None
    credit: Credit
    waiting: Mapping[int, int]
    deals: int
    oldest: datetime | None
    weeks: Weeks
    together: Sequence[int]
    people: People
    own: Mapping[int, int]
    members: Sequence[Sequence[Any]]
    quotas: Mapping[int, int]
    by_day: Sequence[int]
    year_ago: int | None
    year_ago_minor: int | None
    bands: Sequence[int]
    flows: Sequence[Sequence[Any]]

    def as_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return told | {"oldest": self.oldest.isoformat() if self.oldest else None}

    @classmethod
    def of(cls, told: Any) -> Self:
        """As as_json tells: there the keys of a mapping are texts."""
        given: dict[str, Any] = {
            name: {int(key): each for key, each in value.items()} if isinstance(value, dict) else value
            for name, value in told.items()
            if name in cls.__dataclass_fields__
        }
        oldest = told["oldest"]
        if "together" not in given:  # kept before it was told apart
            given["together"] = [sum(each) for each in zip(*given["weeks"].values(), strict=True)]
        return cls(**given | {"oldest": datetime.fromisoformat(oldest) if oldest else None})

    def subjects(self, team: Team) -> list[int]:
        """Whoever has a row: teams, or reps. Of people who sell nothing only those with figures, and a team itself likewise."""
        if len(self.tree) > 1:
            branches = self.branches(team)
            return [
                branch for branch, inside in branches.items() if branch != team.pk or self._any_of(inside)
            ]
        return [
            rep
            for rep, role, member, _elsewhere in self.members
            if (member and role in _SELLERS)
            or any(self.credit.get(rep, ()))
            or self.quotas.get(rep)
            or self.waiting.get(rep)
        ]

    def branches(self, team: Team) -> dict[int, list[int]]:
        """What is under each direct child; the team itself alone."""
        found: dict[int, list[int]] = defaultdict(list)
        for below, branch in self.tree.items():
            found[branch or team.pk].append(below)
        return found

    def _any_of(self, teams: Sequence[int]) -> bool:
        return any(
            self.credit.get(team, (0, 0))[0]
            or self.waiting.get(team)
            or self.people.get(team, (0, None))[1] is not None
            for team in teams
        )


ORDER: Final = "order"  # beside the figures of a kept board; one that was kept before there was such a thing is ordered for each look


@dataclass(frozen=True, slots=True)
class _Order:
    """The order of a board's rows and what they come to, which is the same for whoever looks.

    places  Of each row in its order: id, rank, and the rank without the credit dated in the last seven days.
    ranked behind waiting  How many rows have a rank, fall behind pace, and have deals that wait.
    weeks   Credit of all in each of the last ten weeks.
    """

    places: Sequence[Sequence[Any]]
    ranked: int
    behind: int
    waiting: int
    credited_minor: int
    overlay_minor: int
    elsewhere_minor: int
    pending_minor: int
    quota_minor: int | None
    weeks: Sequence[int]

    @classmethod
    def of(cls, told: Any) -> Self | None:
        return cls(**told[ORDER]) if ORDER in told else None


def _ordered(
    figures: _Figures, rows: list[Row], so_far: pace.Progress, on: date, period: Period
) -> tuple[_Order, dict[int, Row]]:
    """All rows of a board: their order, and they themselves with their ranks."""
    rows = _ranked(rows, moves=on - timedelta(days=WEEK) >= period.starts)
    quotas = [row.quota_minor for row in rows if row.quota_minor is not None]
    pace_ppm = so_far.pace_ppm
    order = _Order(
        places=[(row.id, row.rank, row.previous_rank) for row in rows],
        ranked=sum(row.rank is not None for row in rows),
        behind=sum(row.behind(pace_ppm) for row in rows),
        waiting=sum(row.pending_minor != 0 for row in rows),
        credited_minor=sum(row.credited_minor for row in rows),
        overlay_minor=sum(row.overlay_minor for row in rows),
        elsewhere_minor=sum(row.elsewhere_minor for row in rows),
        pending_minor=sum(row.pending_minor for row in rows),
        quota_minor=sum(quotas) if quotas else None,
        weeks=figures.together,
    )
    return order, {row.id: row for row in rows}


def _figures(asked: _Asked, tree: Mapping[int, int | None], measure: Measure, *, large: bool) -> _Figures:
    """All of them. The same number of queries for three reps and for three thousand."""
    reading, period = asked.reading, asked.reading.period
    on: date = asked.given["on"]
    of_teams = len(tree) > 1
    asked = asked.given_more(teams=list(tree))
    whose = None if large or not reading.plain else _whose(asked)
    asked = asked.given_more(whose=whose)
    so_far = pace.progress(period.starts, period.ends, on)
    credit = _credit(asked, by_team=of_teams)
    waiting, deals, oldest = _pending(asked, measure, by_team=of_teams)
    members: list[tuple[Any, ...]] = []
    quotas: dict[int, int] = {}
    if not of_teams:
        members = asked.read(
            _MEMBERS.format(elsewhere=_ELSEWHERE_IN_TOTALS if whose is None else _ELSEWHERE),
            reps=list(credit),
        )
        quotas = reading.quotas_of_reps([row[0] for row in members], measure)
    year_ago, year_ago_minor = _year_ago(asked, period, so_far)
    weeks, together = _weeks(asked, by_team=of_teams, members=[row[0] for row in members])
    return _Figures(
        tree=tree,
        large=large,
        whose=whose,
        credit=credit,
        waiting=waiting,
        deals=deals,
        oldest=oldest,
        weeks=weeks,
        together=together,
        people=_people(asked),
        own=reading.quotas_of_teams(tree, measure),
        members=members,
        quotas=quotas,
        by_day=_by_day(asked, so_far),
        year_ago=year_ago,
        year_ago_minor=year_ago_minor,
        bands=_bands(asked),
        flows=asked.read(_FLOWS.format(whose=_by_reps(asked))),
    )


def _team_rows(team: Team, figures: _Figures, managed: set[int], ids: Collection[int]) -> list[Row]:
    """One row for each of these direct children, and for what the team earned itself. 1 query."""
    branches = figures.branches(team)
    names = {
        pk: (slug, name)
        for pk, slug, name in Team.objects.filter(pk__in=among(ids)).values_list("pk", "slug", "name")
    }
    people, weeks, own = figures.people, figures.weeks, figures.own
    rows = []
    for branch in ids:
        inside, itself = branches[branch], branch == team.pk
        heads = sum(people.get(each, (0, None))[0] for each in inside)
        given = [quota for each in inside if (quota := people.get(each, (0, None))[1]) is not None]
        by_week = [sum(each) for each in zip(*(weeks[each] for each in inside if each in weeks), strict=True)]
        slug, name = names[branch]
        rows.append(
            Row(
                kind="direct" if itself else "team",
                id=branch,
                slug=slug,
                name=f"Directly in {name}" if itself else name,
                detail=f"{heads} {'person' if heads == 1 else 'people'}",
                credited_minor=sum(figures.credit.get(each, (0, 0))[0] for each in inside),
                pending_minor=sum(figures.waiting.get(each, 0) for each in inside),
                quota_minor=sum(given)
                if itself and given
                else own.get(branch, sum(given) if given else None),
                weeks=by_week,
                last_week_minor=by_week[-1] if by_week else 0,
                money=branch in managed,
            )
        )
    return rows


def _seen(
    viewer: User, me: Rep | None, managed: set[int], everything: bool, on: date, ids: Collection[int]
) -> set[int]:
    """Those of some reps whose amounts the viewer sees. 1 query for who leads somebody, none for the others."""
    if everything:
        return set(ids)
    if not managed:
        return {me.pk} & set(ids) if me is not None else set()
    return set(reps_for(viewer, on).filter(pk__in=among(ids)).values_list("pk", flat=True))


def _rep_rows(
    figures: _Figures,
    period: Period,
    whose: Callable[[Collection[int]], set[int]],
    me: Rep | None,
    ids: Collection[int],
) -> list[Row]:
    """One row for each of these members, and of these reps who earned here and are gone. 2 queries, and those of whose."""
    named = {
        pk: (slug, name)
        for pk, slug, name in Rep.objects.filter(pk__in=among(ids)).values_list("pk", "slug", "name")
    }
    seen = whose(ids)
    relieved = _relieved(seen, period)
    own = me.pk if me is not None else None
    rows = []
    for rep, role, member, elsewhere in figures.members:
        if rep not in named:
            continue
        direct, overlay = figures.credit.get(rep, (0, 0))
        slug, name = named[rep]
        by_week = figures.weeks.get(rep, ())
        rows.append(
            Row(
                kind="rep",
                id=rep,
                slug=slug,
                name=name,
                detail=_detail(role, member, relieved.get(rep, ())),
                credited_minor=direct,
                overlay_minor=overlay,
                elsewhere_minor=elsewhere,
                pending_minor=figures.waiting.get(rep, 0),
                quota_minor=figures.quotas.get(rep) if member else None,
                weeks=by_week,
                last_week_minor=by_week[-1] if by_week else 0,
                member=member,
                you=rep == own,
                money=rep in seen,
            )
        )
    return rows


def _rep_texts(
    figures: _Figures,
    period: Period,
    whose: Callable[[Collection[int]], set[int]],
    ids: Collection[int],
) -> dict[int, str]:
    """Name and detail of each, as its row has them. 2 queries, and those of whose."""
    names = dict(Rep.objects.filter(pk__in=among(ids)).values_list("pk", "name"))
    relieved = _relieved(whose(ids), period)
    return {
        rep: f"{names[rep]} {_detail(role, member, relieved.get(rep, ()))}"
        for rep, role, member, _elsewhere in figures.members
        if rep in names
    }


def _detail(role: str, member: bool, relieved: Sequence[str]) -> str:
    return ", ".join([_ROLES[role], *relieved]) if member else "No longer in this team"


def _relieved(reps: set[int], period: Period) -> dict[int, list[str]]:
    """Rep to ramp or leave in the period; asked for those alone whose amounts the viewer sees. 1 query."""
    if not reps:
        return {}
    return {
        rep: list(dict.fromkeys(ReliefKind(relief.kind).label.lower() for relief in reliefs))
        for rep, reliefs in targets.reliefs_of(reps, period).items()
    }


_ROLES: Final = dict(SalesRole.choices)
_SELLERS: Final = (SalesRole.ACCOUNT_EXECUTIVE, SalesRole.SPECIALIST, SalesRole.CUSTOMER_SUCCESS)


def _ranked(rows: list[Row], *, moves: bool) -> list[Row]:
    """Best attainment first, competition ranks; without a quota at the end by credit, without a rank."""
    with_quota = [row for row in rows if row.quota_minor]
    now = {row.id: _ratio(row.attained_minor, row.quota_minor) for row in with_quota}
    then = {
        row.id: _ratio(row.attained_minor - row.last_week_minor, row.quota_minor)
        for row in with_quota
        if moves and row.attained_minor != row.last_week_minor
    }
    rank, previous = _ranks(now), _ranks(then)
    for row in with_quota:
        row.rank, row.previous_rank = rank[row.id], previous.get(row.id)
    with_quota.sort(key=lambda row: (row.rank, row.name, row.id))
    rest = sorted(
        (row for row in rows if not row.quota_minor), key=lambda row: (-row.attained_minor, row.name, row.id)
    )
    return with_quota + rest


def _ratio(attained: int, quota: int | None) -> int:
    """What tells any two ratios of 63-bit integers apart, as a leaderboard does."""
    return attained * 10**38 // (quota or 1)


def _ranks(values: Mapping[int, int]) -> dict[int, int]:
    ordered = sorted(values.values(), reverse=True)
    first: dict[int, int] = {}
    for place, value in enumerate(ordered, start=1):
        first.setdefault(value, place)
    return {key: first[value] for key, value in values.items()}


def _running(values: Sequence[int]) -> list[int]:
    return list(accumulate(values))


# --- what is read -----------------------------------------------------------------------------------------

_CREDIT: Final = sql.SQL(
    """
    SELECT {key}, sum(direct_minor)::bigint, sum(overlay_minor)::bigint FROM quotas_credittotal
     WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND team_id = ANY(%(teams)s) GROUP BY {key}
    """
)
# Submitted deals that close in the period: the line's value on the measure's basis, times the share, of who is in the subtree.
_PENDING: Final = sql.SQL(
    """
    SELECT m.{key}, coalesce(sum(mul_ppm(x.value, s.ppm)), 0)::bigint, count(DISTINCT d.id) FILTER (WHERE x.value <> 0), min(d.submitted_at) FILTER (WHERE x.value <> 0)
      FROM quotas_deal d
      JOIN quotas_dealversion v ON v.id = d.latest_version_id
      JOIN quotas_dealshare s ON s.version_id = v.id
      JOIN quotas_teammembership m ON m.rep_id = s.rep_id AND m.superseded_at IS NULL AND m.effective @> %(on)s::date
      JOIN quotas_dealline l ON l.version_id = v.id
      CROSS JOIN LATERAL ({value}) x
     WHERE d.state = 'submitted' AND d.calendar_id = %(calendar)s AND v.close_date >= %(starts)s AND v.close_date < %(ends)s
       AND v.kind <> 'consumption' AND m.team_id = ANY(%(teams)s)
     GROUP BY GROUPING SETS ((m.{key}), ())
    """
)
_IN_CURRENCY: Final = sql.SQL(
    """
    SELECT CASE WHEN v.currency_id = %(currency)s THEN {amount}
                ELSE round({amount}::numeric * f.rate_e9 * power(10::numeric, t.exponent - c.exponent) / 1000000000)::bigint END AS value
      FROM marketplace_currency c JOIN marketplace_currency t ON t.code = %(currency)s
      LEFT JOIN quotas_fxrate f ON f.from_currency_id = c.code AND f.to_currency_id = t.code AND f.superseded_at IS NULL
       AND f.effective @> v.close_date
     WHERE c.code = v.currency_id
    """
)
_VALUES: Final[Mapping[str, sql.Composable]] = {
    ValueBasis.CONTRACT_VALUE: _IN_CURRENCY.format(amount=sql.SQL("l.amount_minor")),
    ValueBasis.ANNUALISED_VALUE: _IN_CURRENCY.format(
        amount=sql.SQL("round(l.amount_minor * 12 / coalesce(l.term_months, 12)::numeric)::bigint")
    ),
    ValueBasis.UNITS: sql.SQL(
        "SELECT (l.quantity * CASE v.kind WHEN 'refund' THEN -1000000 ELSE 1000000 END)::bigint AS value"
    ),
    ValueBasis.NEW_CUSTOMERS: sql.SQL(
        """SELECT CASE WHEN v.new_customer AND l.line_no = (SELECT min(line_no) FROM quotas_dealline WHERE version_id = v.id)
                THEN CASE v.kind WHEN 'refund' THEN -1000000 ELSE 1000000 END END::bigint AS value"""
    ),
}
# Of members, who stand on a board of people, all that they have; of the teams what is direct.
_WEEKS: Final = sql.SQL(
    """
    SELECT {key}, (%(on)s::date - credit_date) / 7, sum(amount_minor)::bigint,
           coalesce(sum(amount_minor) FILTER (WHERE team_id = ANY(%(teams)s) AND receiver_class = 1), 0)::bigint FROM quotas_creditentry
     WHERE posting_period_id IN (SELECT id FROM quotas_period WHERE calendar_id = %(calendar)s AND grain = 'M' AND ends > %(since)s::date)
       AND measure_id = %(measure)s AND (team_id = ANY(%(teams)s) AND receiver_class = 1 OR rep_id = ANY(%(members)s)) AND {whose}
       AND credit_date > %(since)s AND credit_date <= %(on)s GROUP BY 1, 2
    """
)
_PEOPLE: Final = sql.SQL(
    """
    SELECT m.team_id, count(*) FILTER (WHERE m.role IN ('account_executive', 'specialist', 'customer_success')), sum(t.quota)::bigint
      FROM quotas_teammembership m
      LEFT JOIN LATERAL (
        SELECT {effective} AS quota FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
         WHERE q.rep_id = m.rep_id AND q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL) t ON true
     WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = ANY(%(teams)s) GROUP BY m.team_id
    """
).format(effective=targets.EFFECTIVE)
_MEMBERS: Final = sql.SQL(
    """
    WITH inside AS (
      SELECT rep_id AS id, role FROM quotas_teammembership
       WHERE superseded_at IS NULL AND team_id = ANY(%(teams)s) AND effective @> %(on)s::date
    ), mine AS (
      SELECT id, role, true AS member FROM inside
      UNION ALL
      SELECT gone, 'account_executive', false FROM unnest(%(reps)s::bigint[]) gone WHERE gone NOT IN (SELECT id FROM inside)
    ), elsewhere AS ({elsewhere})
    SELECT mine.id, role, member, coalesce(elsewhere.minor, 0) FROM mine LEFT JOIN elsewhere ON elsewhere.rep_id = mine.id
    """
)
# Totals are found by team and entries by rep.
_ELSEWHERE: Final = sql.SQL(
    """
      SELECT e.rep_id, sum(e.amount_minor)::bigint AS minor FROM quotas_creditentry e
       WHERE e.posting_period_id = ANY(%(months)s) AND e.measure_id = %(measure)s AND NOT e.team_id = ANY(%(teams)s)
         AND e.rep_id = ANY(ARRAY(SELECT id FROM mine)) GROUP BY e.rep_id"""
)
_ELSEWHERE_IN_TOTALS: Final = sql.SQL(
    """
      SELECT t.rep_id, sum(t.direct_minor + t.overlay_minor)::bigint AS minor FROM quotas_credittotal t
       WHERE t.period_id = %(period)s AND t.measure_id = %(measure)s AND t.basis = 1 AND NOT t.team_id = ANY(%(teams)s)
         AND t.rep_id IN (SELECT id FROM mine) GROUP BY t.rep_id"""
)
# Who can have entries in these teams: their members of any day, and whoever has credit in them. Entries are found by rep.
_WHOSE: Final = sql.SQL(
    """
    SELECT rep_id FROM quotas_teammembership WHERE superseded_at IS NULL AND team_id = ANY(%(teams)s)
    UNION
    SELECT rep_id FROM quotas_credittotal
     WHERE period_id = ANY(ARRAY(SELECT id FROM quotas_period WHERE calendar_id = %(calendar)s AND grain = 'M'
                                    AND ends > least(%(since)s::date, %(starts)s::date - 366) AND starts < %(ends)s))
       AND measure_id = %(measure)s AND basis = 1 AND team_id = ANY(%(teams)s)
    """
)
_BY_DAY: Final = sql.SQL(
    """
    SELECT greatest(credit_date - %(starts)s::date, 0), sum(amount_minor)::bigint FROM quotas_creditentry
     WHERE posting_period_id = ANY(%(months)s) AND measure_id = %(measure)s AND team_id = ANY(%(teams)s) AND receiver_class = 1
       AND {whose} GROUP BY 1
    """
)
_YEAR_AGO: Final = sql.SQL(
    """
    SELECT sum(amount_minor)::bigint FROM quotas_creditentry
     WHERE posting_period_id IN (SELECT id FROM quotas_period WHERE calendar_id = %(calendar)s AND grain = 'M' AND starts >= %(starts)s AND ends <= %(ends)s)
       AND measure_id = %(measure)s AND team_id = ANY(%(teams)s) AND receiver_class = 1 AND credit_date < %(until)s AND {whose}
    """
)
_SPREAD: Final = sql.SQL(
    """
    WITH target AS (
      SELECT m.rep_id, {effective} AS quota FROM quotas_teammembership m
        JOIN quotas_quota q ON q.rep_id = m.rep_id AND q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL
        JOIN quotas_period p ON p.id = q.period_id
       WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = ANY(%(teams)s)
    ), credited AS ({credited})
    SELECT (SELECT count(*) FROM unnest(%(bands)s::int[]) b WHERE coalesce(c.v, 0) * 100 >= t.quota::numeric * b), count(*)
      FROM target t LEFT JOIN credited c USING (rep_id) WHERE t.quota > 0 GROUP BY 1
    """
)
_SPREAD_IN_TOTALS: Final = sql.SQL(
    """
      SELECT rep_id, sum(direct_minor + overlay_minor) AS v FROM quotas_credittotal
       WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND rep_id IN (SELECT rep_id FROM target) GROUP BY rep_id"""
)
_SPREAD_IN_ENTRIES: Final = sql.SQL(
    """
      SELECT rep_id, sum(amount_minor) AS v FROM quotas_creditentry
       WHERE posting_period_id = ANY(%(months)s) AND measure_id = %(measure)s AND rep_id = ANY(ARRAY(SELECT rep_id FROM target)) GROUP BY rep_id"""
)
_FLOWS: Final = sql.SQL(
    """
    SELECT v.segment, p.name, p.origin, sum(e.amount_minor)::bigint
      FROM quotas_creditentry e
      JOIN quotas_dealversion v ON v.id = e.deal_version_id
      JOIN quotas_dealline l ON l.version_id = e.deal_version_id AND l.line_no = e.line_no
      JOIN marketplace_offering o ON o.id = l.offering_id
      JOIN marketplace_publisher p ON p.id = o.publisher_id
     WHERE e.posting_period_id = ANY(%(months)s) AND e.measure_id = %(measure)s AND e.team_id = ANY(%(teams)s) AND e.receiver_class = 1
       AND {whose} GROUP BY v.segment, p.name, p.origin HAVING sum(e.amount_minor) > 0 ORDER BY 4 DESC
    """
)
_LATEST: Final = sql.SQL(
    """
    SELECT e.id, e.deal_id, c.name, r.name, e.component, rv.name, e.amount_minor, g.recorded_at, e.reverses_id IS NOT NULL, a.id, a.reason_code
      FROM (SELECT * FROM ({newest}) x ORDER BY id DESC LIMIT %(latest)s) e
      LEFT JOIN quotas_adjustment a ON a.id = e.adjustment_id
      LEFT JOIN quotas_deal d ON d.id = coalesce(e.deal_id, a.deal_id) LEFT JOIN marketplace_customer c ON c.id = d.customer_id
      JOIN quotas_rep r ON r.id = e.rep_id LEFT JOIN quotas_ruleversion rv ON rv.id = e.rule_version_id
      JOIN quotas_posting g ON g.id = e.posting_id ORDER BY e.id DESC
    """
)
_NEWEST: Final = sql.SQL(
    """
    (SELECT * FROM quotas_creditentry
      WHERE posting_period_id = {month} AND measure_id = %(measure)s AND team_id = ANY(%(teams)s) AND {whose}
      ORDER BY id DESC LIMIT %(latest)s)
    """
)


def _key(by_team: bool) -> sql.SQL:
    return sql.SQL("team_id" if by_team else "rep_id")


def _by_reps(asked: _Asked) -> sql.SQL:
    return sql.SQL("true" if asked.given["whose"] is None else "rep_id = ANY(%(whose)s)")


def _whose(asked: _Asked) -> list[int]:
    return [row[0] for row in asked.read(_WHOSE)]


def _credit(asked: _Asked, *, by_team: bool) -> Credit:
    return {key: (direct, overlay) for key, direct, overlay in asked.read(_CREDIT.format(key=_key(by_team)))}


def _pending(
    asked: _Asked, measure: Measure, *, by_team: bool
) -> tuple[dict[int, int], int, datetime | None]:
    """By rep or team; how many deals that is; and when the oldest was handed in. Consumption waits for nobody.

    Nothing of a version that is not of now: which deals waited then is no figure that is kept.
    """
    value = _VALUES.get(measure.basis)
    if value is None or not asked.reading.live:
        return {}, 0, None
    found = asked.read(_PENDING.format(key=_key(by_team), value=value), currency=measure.currency_id)
    together = next((row for row in found if row[0] is None), (None, 0, 0, None))
    return {row[0]: row[1] for row in found if row[0] is not None}, together[2], together[3]


def pending_of(
    rep_id: int, team_id: int, *, period: Period, measures: Sequence[Measure], on: date
) -> dict[int, int]:
    """Measure id to the estimated value of a rep's submitted deals, as the board of their team shows it. 1 query a measure."""
    given = {
        "teams": [team_id],
        "calendar": period.calendar_id,
        "starts": period.starts,
        "ends": period.ends,
        "on": on,
    }
    asked = _Asked(asof.now(period), given)
    return {each.pk: _pending(asked, each, by_team=False)[0].get(rep_id, 0) for each in measures}


def _weeks(asked: _Asked, *, by_team: bool, members: list[int]) -> tuple[dict[int, list[int]], list[int]]:
    """Credit of each of the last ten weeks, oldest first: by team the direct, by rep all of it; and the direct together."""
    weeks: dict[int, list[int]] = defaultdict(lambda: [0] * WEEKS)
    together = [0] * WEEKS
    statement = _WEEKS.format(key=_key(by_team), whose=_by_reps(asked))
    for key, ago, amount, direct in asked.read(statement, members=members):
        weeks[key][WEEKS - 1 - ago] = amount
        together[WEEKS - 1 - ago] += direct
    return dict(weeks), together


def _people(asked: _Asked) -> People:
    """By team: how many sell in it, and what their quotas add up to; None where nobody has one."""
    return {team: (sellers, quota) for team, sellers, quota in asked.read(_PEOPLE)}


def _by_day(asked: _Asked, so_far: pace.Progress) -> list[int]:
    days = [0] * so_far.elapsed
    for day, amount in asked.read(_BY_DAY.format(whose=_by_reps(asked))):
        if so_far.elapsed:
            days[min(day, so_far.elapsed - 1)] += amount
    return days


def _year_ago(asked: _Asked, period: Period, so_far: pace.Progress) -> tuple[int | None, int | None]:
    """The id of the period that began a year before, and its credit up to the same day. 2 queries at most."""
    begins = periods.a_year_before(period.starts)
    before = Period.objects.filter(calendar_id=period.calendar_id, grain=period.grain, starts=begins).first()
    if before is None:
        return None, None
    until = min(before.starts + timedelta(days=so_far.elapsed), before.ends)
    statement = _YEAR_AGO.format(whose=_by_reps(asked))
    ((amount,),) = asked.read(statement, starts=before.starts, ends=before.ends, until=until)
    return (before.pk, amount) if amount is not None else (None, None)


def _bands(asked: _Asked) -> list[int]:
    counts = [0] * (len(BANDS) + 1)
    credited = _SPREAD_IN_TOTALS if asked.given["whose"] is None else _SPREAD_IN_ENTRIES
    statement = _SPREAD.format(credited=credited, effective=targets.EFFECTIVE)
    for band, count in asked.read(statement, bands=list(BANDS)):
        counts[band] = count
    return counts


def _latest(asked: _Asked, figures: _Figures, only: int | None) -> list[LatestEntry]:
    """The last entries of all, or of one rep; of now, whatever is kept."""
    whose = figures.whose if only is None else [only]
    asked = asked.given_more(teams=list(figures.tree), whose=whose)
    months = asked.given["months"]
    # Entries of few people are found by rep; those of many from the end of each month, which is an index's order.
    apart = bool(months) and whose is None and asked.reading.view != "restated"
    newest = [
        _NEWEST.format(month=month, whose=_by_reps(asked))
        for month in (map(sql.Literal, months) if apart else [sql.SQL("ANY(%(months)s)")])
    ]
    statement = _LATEST.format(newest=sql.SQL(" UNION ALL ").join(newest))
    reasons = dict(AdjustmentReason.choices)
    return [
        LatestEntry(
            pk,
            deal,
            customer or "",
            rep,
            component,
            rule or reasons.get(reason, ""),
            amount,
            at,
            reversal,
            given,
        )
        for pk, deal, customer, rep, component, rule, amount, at, reversal, given, reason in asked.read(
            statement, latest=LATEST
        )
    ]


def _plan_version(on: date) -> str:
    version = (
        PlanVersion.objects.filter(state=PlanState.PUBLISHED, effective__contains=on)
        .select_related("plan")
        .order_by("-number")
        .first()
    )
    return str(version) if version else ""

"""The facts that explanations name, read in bulk: a fixed number of queries, whatever the number of entries.

A fact is taken as it was known when a posting was made, so that an old entry is explained by what was true for it then.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from marketplace.models import Offering, Publisher, TaskArea
from quotas.crediting.explanation.matching import Receiver, Sold
from quotas.models import (
    AccountOwnership,
    CustomerTerritory,
    DealLine,
    DealVersion,
    PlanAssignment,
    PlanState,
    PlanVersion,
    ReceiverClass,
    RuleVersion,
    TeamMembership,
    Territory,
    TerritoryAssignment,
)


@dataclass
class Wanted:
    """What explanations are about to ask for, by id; collected first, read once."""

    measures: set[int] = field(default_factory=set)
    reps: set[int] = field(default_factory=set)
    customers: set[int] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    offerings: set[int] = field(default_factory=set)
    plan_versions: set[int] = field(default_factory=set)


def as_known(rows: Iterable[Any], at: datetime | None) -> list[Any]:
    """Those recorded by then and not superseded by then; with no instant, or where nothing was known yet, those in force now."""
    found = list(rows)
    then = [
        row
        for row in found
        if (
            row.superseded_at is None
            if at is None
            else row.recorded_at <= at and (row.superseded_at is None or row.superseded_at > at)
        )
    ]
    return then or [row for row in found if row.superseded_at is None]


class Known:
    """Rules, assignments, teams, owners and territories around some lines. At most 15 queries."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.memberships = _by(
            TeamMembership.objects.filter(rep__in=wanted.reps).select_related("team").order_by("-pk"),
            "rep_id",
        )
        self.owners = _by(
            AccountOwnership.objects.filter(customer__in=wanted.customers).order_by("-pk"), "customer_id"
        )
        self.customers = _by(
            CustomerTerritory.objects.filter(customer__in=wanted.customers)
            .select_related("territory")
            .order_by("-pk"),
            "customer_id",
        )
        self.coverage = _by(
            TerritoryAssignment.objects.filter(
                territory__in={c.territory_id for rows in self.customers.values() for c in rows}
            ).order_by("-pk"),
            "territory_id",
        )
        self.offerings = {
            o.pk: o
            for o in Offering.objects.filter(pk__in=wanted.offerings)
            .select_related("publisher")
            .prefetch_related("task_areas")
        }
        self.versions = list(
            PlanVersion.objects.filter(state__in=(PlanState.PUBLISHED, PlanState.SUPERSEDED))
            .select_related("plan")
            .order_by("number")
        )
        self.rules = _by(
            RuleVersion.objects.filter(
                plan_version__in=self._reachable(), measure__in=wanted.measures
            ).select_related("rule"),
            "plan_version_id",
        )
        of = {version.pk: version for version in self.versions}
        for rows in self.rules.values():
            for rule in rows:
                rule.plan_version = of[rule.plan_version_id]
        self.assignments = list(
            PlanAssignment.objects.filter(plan__in={v.plan_id for v in self.versions}).select_related("plan")
        )
        self.names = self._names()

    def task_areas(self, offering_id: int) -> frozenset[int]:
        return frozenset(area.pk for area in self.offerings[offering_id].task_areas.all())

    def rules_on(
        self, on: date, at: datetime | None, *, measure_id: int, pinned: int | None = None
    ) -> list[RuleVersion]:
        """Rules of one measure in the plan versions that counted on a credit date, as a posting at that instant saw them.

        Of a plan without a version on that day: those of its last one, so that it can be said that they do not count yet or any
        more. pinned is the version of an entry: it counted, whatever else is known.
        """
        chosen: dict[int, PlanVersion] = {}
        for version in self._published(at):  # by number: the higher counts
            before = chosen.get(version.plan_id)
            if before is None or on in version.effective or on not in before.effective:
                chosen[version.plan_id] = version
        for version in self.versions:
            if version.pk == pinned:
                chosen[version.plan_id] = version
        return [
            rule
            for version in chosen.values()
            for rule in self.rules.get(version.pk, ())
            if rule.measure_id == measure_id
        ]

    def _published(self, at: datetime | None) -> list[PlanVersion]:
        if at is None:
            return [v for v in self.versions if v.state == PlanState.PUBLISHED]
        return [v for v in self.versions if v.published_at is not None and v.published_at <= at]

    def _reachable(self) -> set[int]:
        """Versions that count on one of the days or are the last of their plan: none of the others is ever read."""
        days = self.wanted.days
        last = {version.plan_id: version.pk for version in self.versions}
        return (
            {v.pk for v in self.versions if any(on in v.effective for on in days)}
            | set(last.values())
            | self.wanted.plan_versions
        )

    def membership(
        self, rep_id: int, on: date, at: datetime | None, team_id: int | None = None
    ) -> TeamMembership | None:
        """The team and role of a rep on a day; the one in *team_id* before any other, because an entry says so."""
        found = as_known((m for m in self.memberships.get(rep_id, ()) if on in m.effective), at)
        if team_id is not None:
            every = [
                m for m in self.memberships.get(rep_id, ()) if on in m.effective and m.team_id == team_id
            ]
            found = [m for m in found if m.team_id == team_id] or every or found
        return found[0] if found else None

    def ownership(
        self, customer_id: int, rep_id: int, on: date, at: datetime | None
    ) -> AccountOwnership | None:
        rows = [o for o in self.owners.get(customer_id, ()) if o.rep_id == rep_id and on in o.credits]
        return next(iter(as_known(rows, at)), None)

    def assignments_of(self, rep_id: int, role: str, on: date, at: datetime | None) -> list[PlanAssignment]:
        """What gives this rep a plan on a day; in person before by role before everybody's."""
        found = [
            a
            for a in self.assignments
            if on in a.effective and (a.rep_id == rep_id if a.rep_id is not None else a.role in ("", role))
        ]
        return sorted(as_known(found, at), key=lambda a: (a.rep_id is None, a.role == "", a.pk))

    def receiver(
        self,
        rep_id: int,
        name: str,
        sold: Sold,
        at: datetime | None,
        *,
        receiver_class: int = ReceiverClass.DIRECT,
        team_id: int | None = None,
    ) -> Receiver:
        membership = self.membership(rep_id, sold.on, at, team_id)
        role = membership.role if membership else ""
        lies_in = self.territories_of(sold.customer_id, sold.on, at)
        return Receiver(
            rep_id,
            name,
            role,
            receiver_class,
            plans=frozenset(a.plan_id for a in self.assignments_of(rep_id, role, sold.on, at)),
            covers=frozenset(t.pk for t in lies_in if self._covers(rep_id, t, sold.on, at)),
            lies_in=frozenset(t.pk for t in lies_in),
        )

    def territories_of(self, customer_id: int, on: date, at: datetime | None) -> list[Territory]:
        rows = (c for c in self.customers.get(customer_id, ()) if on in c.effective)
        return [c.territory for c in as_known(rows, at)]

    def coverage_of(
        self, rep_id: int, territory: Territory, on: date, at: datetime | None
    ) -> TerritoryAssignment | None:
        rows = as_known((a for a in self.coverage.get(territory.pk, ()) if on in a.effective), at)
        return next((a for a in rows if a.rep_id == rep_id), None)

    def _covers(self, rep_id: int, territory: Territory, on: date, at: datetime | None) -> bool:
        rows = as_known((a for a in self.coverage.get(territory.pk, ()) if on in a.effective), at)
        return any(a.rep_id == rep_id for a in rows) if rows else territory.house_rep_id == rep_id

    def _names(self) -> dict[str, dict[int, str]]:
        """Names of what conditions hold as ids. A query for each kind that is named at all."""
        asked: dict[str, set[int]] = {name: set() for name in _NAMED}
        for rows in self.rules.values():
            for rule in rows:
                for condition in _NAMED:
                    asked[condition].update(getattr(rule, condition) or ())
        for offering in self.offerings.values():
            asked["offerings"].add(offering.pk)
            asked["publishers"].add(offering.publisher_id)
            asked["task_areas"].update(area.pk for area in offering.task_areas.all())
        for lying in self.customers.values():
            asked["territories"].update(c.territory_id for c in lying)
        return {
            condition: dict(_NAMED[condition].objects.filter(pk__in=ids).values_list("pk", "name"))
            for condition, ids in asked.items()
            if ids
        }


_NAMED: Final[dict[str, Any]] = {
    "offerings": Offering,
    "publishers": Publisher,
    "task_areas": TaskArea,
    "territories": Territory,
}


def sold_in(known: Known, version: DealVersion, line: DealLine) -> Sold:
    """A saved line; reads the version's deal, what it refunds, and the line's plan."""
    original = version.refunds
    was = None if original is None else original.in_force
    return Sold(
        line_no=line.line_no,
        customer_id=version.deal.customer_id,
        kind=version.kind,
        on=version.close_date,
        currency=version.currency_id,
        segment=version.segment,
        region=version.region,
        offering=known.offerings[line.offering_id],
        plan=line.plan,
        amount_minor=line.amount_minor,
        task_areas=known.task_areas(line.offering_id),
        sold_as=was.kind if was else "",
    )


def _by(rows: Iterable[Any], key: str) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(getattr(row, key), []).append(row)
    return found

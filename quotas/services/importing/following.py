"""The one recredit run that follows a file of people or territories."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from quotas.selectors import recredits
from quotas.services.importing.context import Context
from quotas.services.importing.spans import FIRST, LAST, Changes
from quotas.services.recredit import Cause, start_run, wait_for_postings

MOST_ASKED: Final = 5_000  # reps, territories and customers beyond which every deal of the span is looked at


@dataclass
class Touched:
    """Whose credit a file can touch, and on which credit dates. roles: of which somebody has another holder now."""

    reps: set[int] = field(default_factory=set)
    territories: set[int] = field(default_factory=set)
    customers: set[int] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    starts: date = LAST
    ends: date = FIRST

    def members(self, changes: Changes, made: Mapping[int, int]) -> None:
        """Of teams: by rep, what is said of (team, role)."""
        for (rep_id,), parts in changes.items():
            self.reps.add(made.get(rep_id, rep_id))
            for starts, ends, before, after in parts:
                roles = {value[1] for value in (before, after) if value}
                if before is None or after is None or len(roles) > 1:
                    self.roles |= roles
                self.days(starts, ends)

    def covers(self, changes: Changes, made: Mapping[int, int]) -> None:
        """Of territories: by (territory, rep)."""
        for (territory_id, _rep_id), parts in changes.items():
            self.territories.add(made.get(territory_id, territory_id))
            self._all_days(parts)

    def lies(self, changes: Changes, made: Mapping[int, int]) -> None:
        """Of territories: by (territory, customer)."""
        for (_territory_id, customer_id), parts in changes.items():
            self.customers.add(made.get(customer_id, customer_id))
            self._all_days(parts)

    def days(self, starts: date, ends: date) -> None:
        self.starts, self.ends = min(self.starts, starts), max(self.ends, ends)

    def _all_days(self, parts: Iterable[tuple[date, date, object, object]]) -> None:
        for starts, ends, _before, _after in parts:
            self.days(starts, ends)


def follow(context: Context, touched: Touched, *, cause: str, what: str) -> None:
    """Start the run, where anything is credited that the file can touch. None on a dry run."""
    if context.dry_run or touched.starts >= touched.ends:
        return
    # Who posts by the facts of before is through from here on, so that their deals are among those that are named.
    wait_for_postings()
    first, last = recredits.first_day(touched.starts), recredits.day_after_the_last(touched.starts)
    if first is None or last is None or first >= touched.ends:
        return
    ends = min(last, touched.ends)
    many = len(touched.reps) + len(touched.territories) + len(touched.customers) > MOST_ASKED
    deals = None
    if not many and not (touched.roles and recredits.overlay_by_role(touched.roles)):
        deals = recredits.named(
            recredits.of_people(
                reps=touched.reps,
                territories=touched.territories,
                customers=touched.customers,
                starts=first,
                ends=ends,
            )
        )
        if deals == []:
            return
    start_run(
        starts=first,
        ends=ends,
        cause=cause,
        what=what,
        reason=f"Follows {context.run.reference}, an import of {context.run.file_name}",
        by=context.by,
        at=context.at,
        deals=deals,
    )


__all__ = ["Cause", "Touched", "follow"]

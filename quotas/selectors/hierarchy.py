"""The tree of teams on one day, and who manages what in it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from quotas.models import SalesRole, TeamMembership, TeamPlacement


@dataclass(frozen=True)
class Manager:
    """A rep who leads a team, with the user that decides for him; a rep without one cannot decide anything."""

    rep_id: int
    user_id: int | None


class Hierarchy:
    """Parents, children and managers of every team on one day. 2 queries, whatever is asked of it afterwards."""

    def __init__(self, on: date) -> None:
        self.on = on
        self.parent_of: dict[int, int | None] = dict(
            TeamPlacement.objects.filter(superseded_at=None, effective__contains=on).values_list(
                "team_id", "parent_id"
            )
        )
        self.children_of: dict[int | None, list[int]] = defaultdict(list)
        for team_id, parent_id in sorted(self.parent_of.items()):
            self.children_of[parent_id].append(team_id)
        self.managers_of: dict[int, list[Manager]] = defaultdict(list)
        self.team_managed_by: dict[int, int] = {}
        for team_id, rep_id, user_id in (
            TeamMembership.objects.filter(superseded_at=None, effective__contains=on, role=SalesRole.MANAGER)
            .order_by("team_id", "rep_id")
            .values_list("team_id", "rep_id", "rep__user_id")
        ):
            self.managers_of[team_id].append(Manager(rep_id, user_id))
            self.team_managed_by[rep_id] = team_id

    def below(self, team_id: int) -> set[int]:
        """The team itself and every team under it."""
        found, waiting = {team_id}, [team_id]
        while waiting:
            for child in self.children_of.get(waiting.pop(), ()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return found

    def upwards(self, team_id: int) -> Iterator[int]:
        """The team itself, its parent, and so on to the top."""
        at: int | None = team_id
        passed: set[int] = set()
        while at is not None and at not in passed:
            passed.add(at)
            yield at
            at = self.parent_of.get(at)

    def teams_of_user(self, user_id: int) -> set[int]:
        """Every team that this user manages, directly or from above."""
        led = {team for team, managers in self.managers_of.items() for m in managers if m.user_id == user_id}
        return set().union(*(self.below(team) for team in led)) if led else set()

    def approvers(self, *, team_id: int | None, but_not_reps: set[int], but_not_users: set[int]) -> set[int]:
        """Users of the nearest managers above a deal's owner who have no share in it and did not submit it; empty at the top."""
        if team_id is None:
            return set()
        for team in self.upwards(team_id):
            able = {
                m.user_id
                for m in self.managers_of.get(team, ())
                if m.user_id is not None and m.rep_id not in but_not_reps and m.user_id not in but_not_users
            }
            if able:
                return able
        return set()

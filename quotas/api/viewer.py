"""Who is asking, and what an answer may say to them. Rows are chosen by selectors.visibility; this is about their members."""

from datetime import date
from functools import cached_property
from typing import Any

from rest_framework.request import Request

from accounts.models import Role, User
from config import clock
from config.refusals import Forbidden, NotFound
from config.rest.views import Mechanisms
from quotas.models import Rep
from quotas.selectors.boards import sees_all_money
from quotas.selectors.visibility import SEES_EVERYTHING, managed_teams, publisher_of, rep_of, reps_for

SELLS = (Role.REP, Role.MANAGER, Role.COMP_ADMIN)
KNOWS_CUSTOMERS = (*SELLS, Role.AUDITOR, Role.SOURCING_LEAD)
SMALLEST_GROUP = 5
"""A figure about fewer people than this says too much about each of them to be shown to a partner."""


class Viewer:
    """What one user may read on one day; each part is asked for once a request."""

    def __init__(self, user: User, on: date) -> None:
        self.user = user
        self.on = on

    @cached_property
    def publisher(self) -> int | None:
        """The publisher whose eyes these are: no names of reps and customers, nothing of other publishers. None for the operator's people."""
        if self.user.has_role(*SELLS, *SEES_EVERYTHING):
            return None
        return publisher_of(self.user)

    @property
    def is_outside(self) -> bool:
        """A partner, also one whose publisher is missing."""
        return self.user.has_role(Role.PARTNER) and not self.user.has_role(*SELLS, *SEES_EVERYTHING)

    @property
    def sees_everything(self) -> bool:
        return self.user.has_role(*SEES_EVERYTHING)

    @cached_property
    def rep(self) -> Rep | None:
        return rep_of(self.user)

    @cached_property
    def teams(self) -> set[int]:
        """Teams whose sums this user sees in money."""
        return managed_teams(self.user, self.on)

    @property
    def sees_all_money(self) -> bool:
        return sees_all_money(self.user)

    def reps_in_money(self, rep_ids: set[int]) -> set[int]:
        """Those of *rep_ids* whose amounts this user may see; of the others rank and per cent are for every colleague."""
        if self.sees_all_money:
            return rep_ids
        return set(reps_for(self.user, self.on).filter(pk__in=rep_ids).values_list("pk", flat=True))


class Seen(Mechanisms):
    """An endpoint that knows its viewer."""

    @cached_property
    def viewer(self) -> Viewer:
        return Viewer(self.caller, clock.today())

    @property
    def described(self) -> bool:
        """The schema is being made: there is nobody who asks."""
        return bool(getattr(self, "swagger_fake_view", False))


class Internal(Seen):
    """An endpoint that does not exist for people outside the operator's sales organisation."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*KNOWS_CUSTOMERS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")


def refuse_unless_seller(user: User) -> None:
    """Who never logs, decides or cancels learns nothing from how their request is refused. Raises Forbidden."""
    if not user.has_role(*SELLS):
        raise Forbidden.of("not_your_deal", "Deals are logged and decided by the sales organisation.")

"""Who decides on which deal: the nearest manager, whoever stands in for them, and a second approver above the limit (RULES.md 12)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Final

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Role, RoleGrant, User
from config import house as formats
from config.among import among, numbered
from marketplace.models import Currency
from quotas.crediting.arithmetic import value_in_measure
from quotas.models import (
    ApprovalLimit,
    Deal,
    DealShare,
    DealState,
    Delegation,
    FxRate,
    Rep,
    TeamMembership,
)
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.visibility import SEES_EVERYTHING, managed_teams, relieved_teams

WAITING: Final = Q(state=DealState.SUBMITTED) | Q(amended_at__isnull=False)

# The rate of each two currencies on a day, looked up once for however many deals; of a currency in itself there is none.
RATES: Final = """
  SELECT x.from_id, x.to_id, x.day, r.rate_e9
    FROM ({pairs}) x (from_id, to_id, day)
    JOIN quotas_fxrate r ON r.from_currency_id = x.from_id AND r.to_currency_id = x.to_id AND r.superseded_at IS NULL
     AND r.effective @> x.day
   WHERE x.from_id <> x.to_id"""

# A number of minor units at the rate r, from a currency f into a currency t.
CONVERTED: Final = """mul_div({minor}, r.rate_e9 * (10 ^ greatest(0, t.exponent - f.exponent))::bigint,
              1000000000 * (10 ^ greatest(0, f.exponent - t.exponent))::bigint)"""

# One row per deal that needs two approvals, with the first of them if it is given: what waits, or what it would change, is above
# the limit of the day on which it was handed in. A refund counts by its size; what no rate can convert is above. A month's
# consumption is metered, and nobody approves it. Weighed are the deals of days with a limit; the limits are a handful of rows.
_TWO: Final = """
WITH weighed AS MATERIALIZED (
  SELECT d.id, l.amount_minor most_minor, l.currency_id most_in, v.currency_id, v.close_date,
         (SELECT abs(sum(x.amount_minor))::bigint FROM quotas_dealline x WHERE x.version_id = v.id) minor
    FROM quotas_deal d
    JOIN quotas_fiscalcalendar c ON c.id = d.calendar_id
    JOIN quotas_approvallimit l ON l.superseded_at IS NULL
     AND l.effective @> (coalesce(d.amended_at, d.submitted_at) AT TIME ZONE c.time_zone)::date
   CROSS JOIN LATERAL (VALUES (d.latest_version_id), (d.credited_version_id)) w (version_id)
    JOIN quotas_dealversion v ON v.id = w.version_id
   WHERE d.id = ANY(%(deals)s::bigint[])),
rate AS MATERIALIZED ({rates}),
above AS (
  SELECT DISTINCT ON (w.id) w.id, w.most_minor, w.most_in, t.exponent
    FROM weighed w
    JOIN marketplace_currency t ON t.code = w.most_in
    JOIN marketplace_currency f ON f.code = w.currency_id
    LEFT JOIN rate r ON r.from_id = w.currency_id AND r.to_id = w.most_in AND r.day = w.close_date
   WHERE CASE WHEN w.currency_id = w.most_in THEN w.minor > w.most_minor
         ELSE coalesce({converted} > w.most_minor, true) END)
SELECT d.id, l.most_minor, l.most_in, l.exponent, a.by_id, a.on_behalf_of_id, a.at
  FROM quotas_deal d
  JOIN quotas_dealversion p ON p.id = d.latest_version_id AND p.kind <> 'consumption'
  LEFT JOIN quotas_dealapproval a ON a.version_id = d.latest_version_id AND a.submitted_at = coalesce(d.amended_at, d.submitted_at)
   AND a.ordinal = 1
  LEFT JOIN above l ON l.id = d.id
 WHERE d.id = ANY(%(deals)s::bigint[]) AND (a.id IS NOT NULL OR l.id IS NOT NULL)
"""
TWO: Final = _TWO.format(
    rates=RATES.format(pairs="SELECT DISTINCT currency_id, most_in, close_date FROM weighed"),
    converted=CONVERTED.format(minor="w.minor"),
)


@dataclass(frozen=True, slots=True)
class Two:
    """Why a deal needs two approvals, and the first of them.

    most_minor   The limit that it is above, in minor units of its currency; None where the limit was lifted after the first approval.
    first_by     Who gave the first approval; None while nobody has. first_for is whom they stood in for.
    """

    most_minor: int | None
    currency: str | None
    exponent: int | None
    first_by: int | None
    first_for: int | None
    first_at: datetime | None

    @property
    def first(self) -> frozenset[int]:
        """The people whose word the first approval was."""
        return frozenset(each for each in (self.first_by, self.first_for) if each is not None)


def above_the_limit(deal_ids: Sequence[int]) -> dict[int, Two]:
    """By deal, those of these that need two approvals for what they were handed in with last. 1 query."""
    if not deal_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(TWO, {"deals": numbered(deal_ids)})
        return {pk: Two(*row) for pk, *row in cursor.fetchall()}


class Limit:
    """The approval limit of a day, for deals that are not stored yet; written out as its amount."""

    def __init__(self, limit: ApprovalLimit) -> None:
        self.minor, self.currency = limit.amount_minor, limit.currency
        self._exponents = dict(Currency.objects.values_list("code", "exponent"))
        self._rates: dict[str, list[FxRate]] = {}
        for rate in FxRate.objects.filter(to_currency=limit.currency_id, superseded_at=None):
            self._rates.setdefault(rate.from_currency_id, []).append(rate)

    @classmethod
    def on(cls, day: date) -> "Limit | None":
        """Nothing where no limit is in force. 1 query, or 3."""
        found = (
            ApprovalLimit.objects.filter(superseded_at=None, effective__contains=day)
            .select_related("currency")
            .first()
        )
        return cls(found) if found is not None else None

    def __str__(self) -> str:
        return formats.money(self.minor, self.currency.code, self.currency.exponent, trim=True)

    def is_exceeded(self, minor: int, currency: str, close_date: date) -> bool:
        """Whether an amount is above the limit, at the rate of its close date; without a rate it is. A refund counts by its size."""
        if currency == self.currency.code:
            return abs(minor) > self.minor
        rate = next((r for r in self._rates.get(currency, ()) if close_date in r.effective), None)
        if rate is None or currency not in self._exponents:
            return True
        converted = value_in_measure(
            abs(minor), rate.rate_e9, self._exponents[currency], self.currency.exponent
        )
        return converted > self.minor


def waits(deal: Deal) -> bool:
    """Whether the deal, or an amendment of it, waits for a decision."""
    return deal.state == DealState.SUBMITTED or deal.amended_at is not None


def waiting_since(deal: Deal) -> datetime:
    """When what waits was handed in: the submission, or the amendment."""
    since = deal.amended_at or deal.submitted_at
    if since is None:
        raise ValueError(f"{deal.reference} does not wait")
    return since


class Approvers:
    """Who may decide on which of a set of deals. A fixed number of queries, whatever the number of deals."""

    def __init__(self, deals: Sequence[Deal], on: date, *, like: "Approvers | None" = None) -> None:
        """like  Those of other deals on the same day: what has nothing to do with the deals is known to them."""
        self.on = on
        self.tree: Hierarchy = Hierarchy(on) if like is None else like.tree
        owners = {deal.owner_id for deal in deals}
        self.team_of = dict(
            TeamMembership.objects.filter(
                rep__in=owners, superseded_at=None, effective__contains=on
            ).values_list("rep_id", "team_id")
        )
        self.shares_of: dict[int | None, set[int]] = {}
        versions = {d.latest_version_id for d in deals} | {d.credited_version_id for d in deals}
        for version_id, rep_id in DealShare.objects.filter(version__in=versions - {None}).values_list(
            "version_id", "rep_id"
        ):
            self.shares_of.setdefault(version_id, set()).add(rep_id)
        sharing = owners.union(*self.shares_of.values()) if self.shares_of else owners
        self.user_of = dict(
            Rep.objects.filter(pk__in=sharing).exclude(user=None).values_list("pk", "user_id")
        )
        self.comp_admins: set[int] = (
            like.comp_admins
            if like is not None
            else set(
                RoleGrant.objects.filter(
                    role=Role.COMP_ADMIN, withdrawn_at=None, user__is_active=True
                ).values_list("user_id", flat=True)
            )
        )
        self.delegate_of: dict[int, int] = delegates(on) if like is None else like.delegate_of
        self.two = above_the_limit([deal.pk for deal in deals if waits(deal)])

    def _participants(self, deal: Deal) -> set[int]:
        """The owner and everybody with a share; of an amendment, in what stands or in what is to come."""
        reps = self.shares_of.get(deal.latest_version_id, set()) | {deal.owner_id}
        return reps | self.shares_of.get(deal.credited_version_id, set())

    def interested(self, deal: Deal) -> set[int]:
        """Users who must not decide, because they submitted or amended it, or have a share in it."""
        users = {self.user_of[rep] for rep in self._participants(deal) if rep in self.user_of}
        proposed_by = deal.submitted_by_id if deal.amended_at is None else deal.amended_by_id
        return users | ({proposed_by} if proposed_by else set())

    def needs_second(self, deal: Deal) -> bool:
        """Whether the next approval is the first of two, and another person has to give the second."""
        two = self.two.get(deal.pk)
        return two is not None and two.first_by is None

    def entitled(self, deal: Deal) -> set[int]:
        """Users who may decide in their own right: the nearest managers above the owner without an interest; at the top, the comp admins.

        Once the first of two approvals is given: the nearest managers above whoever gave it, and the comp admins.
        """
        barred = self.interested(deal)
        two = self.two.get(deal.pk)
        below: set[int] = set()
        if two is not None and two.first:
            barred |= two.first
            below = self._below(two.first)
        nearest = self.tree.approvers(
            team_id=self._team_above(self.team_of.get(deal.owner_id), below),
            but_not_reps=self._participants(deal),
            but_not_users=barred,
        )
        admins = {user for user in self.comp_admins - barred if not self._is_below(user, below)}
        if two is not None and two.first:
            return nearest | admins
        return nearest or admins

    def able(self, deal: Deal) -> dict[int, int | None]:
        """Users who may decide to whom they stand in for; None where it is their own right. Delegation is not passed on."""
        entitled = self.entitled(deal)
        found: dict[int, int | None] = dict.fromkeys(entitled)
        two = self.two.get(deal.pk)
        first = two.first if two is not None else frozenset()
        barred, below = self.interested(deal) | first, self._below(first)
        for principal in sorted(entitled):
            delegate = self.delegate_of.get(principal)
            if delegate is None or delegate in found or delegate in barred or self._is_below(delegate, below):
                continue
            found[delegate] = principal
        return found

    def able_for(self, team_id: int | None, by: int | None) -> set[int]:
        """Who may decide on a deal of a team that somebody handed in, where nobody who decides has a share and none has approved it yet."""
        barred = {by} if by is not None else set()
        nearest = self.tree.approvers(team_id=team_id, but_not_reps=set(), but_not_users=barred)
        entitled = nearest or self.comp_admins - barred
        standing_in = {self.delegate_of[each] for each in entitled if each in self.delegate_of}
        return entitled | (standing_in - barred)

    def of(self, deal: Deal) -> set[int]:
        """Users who may decide on it now, in their own right or standing in for somebody."""
        return set(self.able(deal))

    def asked(self, deal: Deal) -> set[int]:
        """Users who are reminded of it: whoever stands in, where somebody does, and else who is entitled."""
        able = self.able(deal)
        relieved = {principal for principal in able.values() if principal is not None}
        return set(able) - relieved

    def next_above(self, deal: Deal) -> set[int]:
        """Whom a decision that is long due is brought to: the nearest managers above those who are asked; at the top, the comp admins."""
        asked = self.entitled(deal)
        barred = self.interested(deal) | asked
        below = self._below(frozenset(asked))
        nearest = self.tree.approvers(
            team_id=self._team_above(self.team_of.get(deal.owner_id), below),
            but_not_reps=self._participants(deal),
            but_not_users=barred,
        )
        return nearest or self.comp_admins - barred

    def _team_above(self, team_id: int | None, below: set[int]) -> int | None:
        """The first team from *team_id* upwards that is not one of *below*."""
        if team_id is None or not below:
            return team_id
        return next((team for team in self.tree.upwards(team_id) if team not in below), None)

    def _below(self, users: frozenset[int]) -> set[int]:
        """Teams that these people lead, and every team under them."""
        return set().union(*(self.tree.teams_of_user(user) for user in users)) if users else set()

    def _is_below(self, user: int, teams: set[int]) -> bool:
        return bool(teams) and not teams.isdisjoint(self._teams_in.get(user, ()))

    @cached_property
    def _teams_in(self) -> dict[int, set[int]]:
        """User to the teams that they are in or lead, of everybody who might decide. 1 query, where a first approval was given."""
        found: dict[int, set[int]] = {}
        deciders = self.comp_admins | set(self.delegate_of.values())
        for user, team in TeamMembership.objects.filter(
            rep__user__in=deciders, superseded_at=None, effective__contains=self.on
        ).values_list("rep__user_id", "team_id"):
            found.setdefault(user, set()).add(team)
        return found


def delegates(on: date) -> dict[int, int]:
    """Who has delegated on a day, to whom: to somebody who may still decide. 1 query."""
    decides = RoleGrant.objects.filter(
        user=OuterRef("to"), role__in=[Role.MANAGER, Role.COMP_ADMIN], withdrawn_at=None
    )
    return dict(
        Delegation.objects.filter(
            Exists(decides), superseded_at=None, effective__contains=on, to__is_active=True
        ).values_list("of_id", "to_id")
    )


def may_approve(user: User, deal: Deal, on: date) -> bool:
    """Whether this person is one to decide on a submitted deal, or on the amendment that waits."""
    return waits(deal) and user.pk in Approvers([deal], on).of(deal)


# --- what waits for one person ------------------------------------------------------------------------------------

# One row per owner's team, proposer who decides on deals, source, and whether each deal has to be looked at by itself: the ids of
# what waits and can be this person's. The team is the owner's on the day. Reads what waits, and the shares and first approvals of it.
_IN_REACH: Final = """
SELECT m.team_id, CASE WHEN p.by_id = ANY(%(deciding)s::bigint[]) THEN p.by_id END, d.source, p.apart, array_agg(d.id)
  FROM quotas_deal d
  LEFT JOIN quotas_teammembership m ON m.rep_id = d.owner_id AND m.superseded_at IS NULL AND m.effective @> %(on)s::date
 CROSS JOIN LATERAL (
   SELECT CASE WHEN d.amended_at IS NULL THEN d.submitted_by_id ELSE d.amended_by_id END by_id,
          d.owner_id = ANY(%(sharing)s::bigint[])
          OR EXISTS (SELECT FROM quotas_dealshare s WHERE s.version_id = d.latest_version_id AND s.rep_id = ANY(%(sharing)s::bigint[]))
          OR EXISTS (SELECT FROM quotas_dealshare s WHERE s.version_id = d.credited_version_id AND s.rep_id = ANY(%(sharing)s::bigint[]))
          OR EXISTS (SELECT FROM quotas_dealapproval a WHERE a.version_id = d.latest_version_id AND a.ordinal = 1) apart) p
 WHERE (d.state = 'submitted' OR d.amended_at IS NOT NULL) AND (%(everywhere)s OR m.team_id = ANY(%(teams)s::bigint[]))
 GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class Tray:
    """What waits for one person's decision.

    deals      Ids, in no order.
    sources    Where these come from.
    approvers  Of the day, for no deal.
    """

    deals: list[int]
    sources: set[str]
    approvers: Approvers


def waiting_for(user: User, on: date) -> Tray:
    """The submitted deals and the amendments that this person is to decide on. A fixed number of queries.

    Of nearly every deal who may decide follows from the owner's team and from who handed it in: that is worked out once for
    each two of these. Looked at one by one are those in which somebody has a share who decides on deals, or a first approval.
    What can be theirs are deals of whoever is in a team that they answer or stand in for; what deals_for adds to these are deals
    in which they or their people have a part, and it asks that of every deal there is.
    """
    nobody = Approvers([], on)
    leading = {m.rep_id for managers in nobody.tree.managers_of.values() for m in managers}
    deciding = {m.user_id for managers in nobody.tree.managers_of.values() for m in managers} - {None}
    deciding |= nobody.comp_admins | set(nobody.delegate_of.values())
    sharing = leading | set(Rep.objects.filter(user__in=deciding).values_list("pk", flat=True))
    everywhere = user.has_role(*SEES_EVERYTHING)
    teams = set() if everywhere else managed_teams(user, on) | relieved_teams(user, on)
    with connection.cursor() as cursor:
        cursor.execute(
            _IN_REACH,
            {
                "on": on,
                "deciding": list(deciding),
                "sharing": list(sharing),
                "everywhere": everywhere,
                "teams": list(teams),
            },
        )
        found = cursor.fetchall()
    known: dict[tuple[int | None, int | None], bool] = {}
    mine: list[int] = []
    alone: list[int] = []
    sources = set()
    for team, by, source, apart, deals in found:
        if apart:
            alone += deals
            sources.add(source)
            continue
        if (team, by) not in known:
            known[team, by] = user.pk in nobody.able_for(team, by)
        if known[team, by]:
            mine += deals
            sources.add(source)
    if alone:
        each = list(deals_among(alone))
        approvers = Approvers(each, on, like=nobody)
        mine += [deal.pk for deal in each if user.pk in approvers.able(deal)]
    return Tray(mine, sources, nobody)


def approvals_waiting_for(user: User, on: date) -> QuerySet[Deal]:
    """What waits for this person, to be asked more of. A fixed number of queries."""
    return deals_among(waiting_for(user, on).deals)


def count_waiting_for(user: User, on: date) -> int:
    """How many they are. A fixed number of queries."""
    return len(waiting_for(user, on).deals)


def deals_among(deals: Collection[int]) -> QuerySet[Deal]:
    """The deals of these numbers, which are one parameter, however many they are."""
    return Deal.objects.filter(pk__in=among(deals))

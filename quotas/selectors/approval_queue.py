"""The queue of approvals: why each deal is in it, how long it waits, and how many the policies spared (RULES.md 12.2 and 12.6)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, Sum, TextChoices

from accounts.models import User
from config.among import numbered
from config.clock import day_of, first_moment
from config.language import marked
from quotas.models import Deal, DealLine, DealState, Measure, StraightThroughPolicy, Team
from quotas.selectors.approvers import (
    CONVERTED,
    RATES,
    TWO,
    Approvers,
    Two,
    deals_among,
    waiting_for,
    waiting_since,
)
from quotas.selectors.deals import with_facts
from quotas.selectors.visibility import deals_for

LATE_AFTER: Final = 30  # days from the close date, where no policy says another number
POLICY_DAYS: Final = 30  # over which the share of the policies is told
LATEST_DEALS: Final = 50_000  # that are looked at for it


class Why(TextChoices):
    """Why a deal waits for a person. One can wait for several of these."""

    SECOND = "second", marked("Second approval")
    LARGE = "large", marked("Above the limit")
    AMENDMENT = "amendment", marked("Amendment")
    REFUND = "refund", marked("Refund")
    LATE = "late", marked("Late")
    SPLIT = "split", marked("Split")
    POLICY = "policy", marked("Above a policy")
    NO_POLICY = "no_policy", marked("No policy")


# What it is about, for whoever reads the word.
SAYS: Final = {
    Why.SECOND: "One person has approved it; somebody outside their chain is the second.",
    Why.LARGE: "Its amount is above the approval limit: two people approve it.",
    Why.AMENDMENT: "It changes an approved deal; what stands stays credited until it is approved.",
    Why.REFUND: "It takes credit back.",
    Why.LATE: "It was handed in long after it closed.",
    Why.SPLIT: "Its credit is not the owner's alone.",
    Why.POLICY: "Its source is trusted, but it is larger than the policy lets through.",
    Why.NO_POLICY: "No straight-through policy covers where it comes from: what people log, people approve.",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A deal's place in the queue: what the whole queue is counted and put in order by.

    minor  Of all its lines, in the deal's currency.
    """

    deal_id: int
    minor: int
    why: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A deal or an amendment that waits for this person.

    minor       Of all its lines, in the deal's currency, which has so many decimals.
    days        Business days since it was handed in.
    standing_in The name of whom this person stands in for; empty in their own right.
    first       Who gave the first of two approvals.
    """

    deal: Deal
    team_id: int | None
    minor: int
    decimals: int
    days: int
    due: bool
    why: tuple[Why, ...]
    two: Two | None = None
    standing_in: str = ""
    first: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the queue is narrowed to; empty is everything.

    due    Only what waits longer than it should.
    least  Smallest size in whole units of the deal's own currency, of a refund too.
    """

    team: int | None = None
    due: bool = False
    why: str = ""
    least: int = 0


@dataclass(slots=True)
class Queue:
    """What waits for one person.

    total, due  Of everything that waits.
    counts      Reason to how many wait for it, before the reason itself narrows.
    teams       Of the owners of everything that waits, by name.
    found       How many there are as narrowed.
    places      Those of them that were asked for, in their order.
    rows        The same, read whole; empty where only places were asked for.
    """

    user: User
    at: datetime
    due_after: int
    approvers: Approvers
    total: int = 0
    due: int = 0
    counts: dict[Why, int] = field(default_factory=dict)
    teams: dict[int, str] = field(default_factory=dict)
    found: int = 0
    places: list[Place] = field(default_factory=list)
    rows: list[Waiting] = field(default_factory=list)


def business_days(since: date, until: date) -> int:
    """Mondays to Fridays after *since*, up to and with *until*."""
    if until <= since:
        return 0
    weeks, rest = divmod((until - since).days, 7)
    return weeks * 5 + sum((since + timedelta(days=n)).weekday() < 5 for n in range(1, rest + 1))


def due_before(today: date, due_after: int) -> datetime:
    """What was handed in before this moment waits for so many business days or longer."""
    day = today
    while business_days(day, today) < due_after:
        day -= timedelta(days=1)
    return first_moment(day + timedelta(days=1))


def amounts_of(versions: Collection[int]) -> dict[int, int]:
    """Version to the sum of its lines, in minor units of its currency. 1 query."""
    return dict(
        DealLine.objects.filter(version__in=list(versions))
        .order_by()
        .values_list("version_id")
        .annotate(Sum("amount_minor"))
    )


# --- in what order ---------------------------------------------------------------------------------------------

LONGEST_FIRST: Final = "-waits"
ORDERS: Final[Mapping[str, str]] = {
    LONGEST_FIRST: "f.since, f.id",
    "waits": "f.since DESC, f.id DESC",
    "customer": "c.name, f.id",
    "-customer": "c.name DESC, f.id DESC",
    "owner": "r.name, f.id",
    "-owner": "r.name DESC, f.id DESC",
    "closed": "f.close_date, f.id",
    "-closed": "f.close_date DESC, f.id DESC",
    "value": "size NULLS LAST, f.id",
    "-value": "size DESC NULLS LAST, f.id",
}
# What an order needs besides the facts. A size is compared in one currency, at the rate of the close date as for the limit, a
# refund by what it takes back; what no rate converts comes last.
_NEEDED: Final[Mapping[str, str]] = {
    "customer": "JOIN marketplace_customer c ON c.id = f.customer_id",
    "owner": "JOIN quotas_rep r ON r.id = f.owner_id",
    "value": """LEFT JOIN marketplace_currency t ON t.code = %(currency)s
    LEFT JOIN ({rates}) r ON r.from_id = f.currency_id AND r.day = f.close_date
   CROSS JOIN LATERAL (SELECT CASE WHEN f.currency_id = t.code THEN abs(f.minor) ELSE {converted} END size) sized""",
}

# One row: how many wait, how many are due, of which teams; as narrowed how many there are for the same reasons; and of those that
# are asked for, in order, number, amount and reasons. Why a deal waits is said here and nowhere else. One pass over what waits for
# one person: their versions, lines, shares and teams by index.
_QUEUE: Final = """
WITH two AS MATERIALIZED ({two}),
term AS (
  SELECT * FROM unnest(%(sources)s::text[], %(trusted)s::bool[], %(late_after)s::int[]) x (source, trusted, late_after)),
ceiling AS (
  SELECT * FROM unnest(%(ceiling_of)s::text[], %(ceiling_in)s::text[], %(ceiling)s::bigint[]) x (source, currency_id, most_minor)),
f AS MATERIALIZED (
  SELECT d.id, d.owner_id, d.customer_id, m.team_id, v.currency_id, f.exponent, v.close_date, p.since, l.minor, p.since < %(due_before)s due,
         concat_ws(' ',
           CASE WHEN two.by_id IS NOT NULL THEN 'second' WHEN two.id IS NOT NULL THEN 'large' END,
           CASE WHEN d.amended_at IS NOT NULL THEN 'amendment' END,
           CASE WHEN v.kind = 'refund' THEN 'refund' END,
           CASE WHEN v.close_date < (p.since AT TIME ZONE %(zone)s)::date - term.late_after THEN 'late' END,
           CASE WHEN l.alone IS NOT TRUE THEN 'split' END,
           CASE WHEN NOT term.trusted THEN 'no_policy'
                WHEN NOT EXISTS (SELECT FROM ceiling c WHERE c.source = d.source AND (c.most_minor IS NULL
                                  OR c.currency_id = v.currency_id AND abs(l.minor) <= c.most_minor)) THEN 'policy' END) why
    FROM quotas_deal d
    JOIN quotas_dealversion v ON v.id = d.latest_version_id
    JOIN marketplace_currency f ON f.code = v.currency_id
    JOIN term ON term.source = d.source
    LEFT JOIN two ON two.id = d.id
    LEFT JOIN quotas_teammembership m ON m.rep_id = d.owner_id AND m.superseded_at IS NULL AND m.effective @> %(on)s::date
   CROSS JOIN LATERAL (SELECT coalesce(d.amended_at, d.submitted_at) since) p
   CROSS JOIN LATERAL (
     SELECT (SELECT coalesce(sum(x.amount_minor), 0)::bigint FROM quotas_dealline x WHERE x.version_id = v.id) minor,
            (SELECT bool_and(s.rep_id = d.owner_id) FROM quotas_dealshare s WHERE s.version_id = v.id) alone) l
   WHERE d.id = ANY(%(deals)s::bigint[])),
narrowed AS NOT MATERIALIZED (
  SELECT * FROM f
   WHERE (%(team)s::bigint IS NULL OR team_id = %(team)s) AND (due OR NOT %(only_due)s)
     AND (%(least)s = 0 OR abs(minor) >= %(least)s * 10::numeric ^ exponent)),
asked AS (
  SELECT f.id, f.minor, f.why
    FROM narrowed f {needed}
   WHERE %(why)s = '' OR %(why)s = ANY(string_to_array(f.why, ' '))
   ORDER BY {order} OFFSET %(first)s LIMIT %(most)s)
SELECT every.*, counted.*, page.*
  FROM (SELECT count(*), count(*) FILTER (WHERE due), array_agg(DISTINCT team_id) FILTER (WHERE team_id IS NOT NULL) FROM f) every,
       (SELECT array_agg(why), array_agg(n) FROM (SELECT why, count(*) n FROM narrowed GROUP BY 1) x) counted,
       (SELECT array_agg(id), array_agg(minor), array_agg(why) FROM asked) page
"""


def places_of(
    user: User,
    *,
    at: datetime,
    due_after: int,
    asked: Asked | None = None,
    order: str = LONGEST_FIRST,
    first: int = 0,
    most: int | None = None,
) -> Queue:
    """What this person is to decide on, without reading the deals. A fixed number of queries, whatever waits.

    due_after    Business days after which it waits too long.
    order        One of ORDERS.
    first, most  So many places from the first one on, which is 0; all without it.
    """
    today, narrow = day_of(at), asked or Asked()
    tray = waiting_for(user, today)
    queue = Queue(user, at, due_after, tray.approvers)
    if not tray.deals:
        return queue
    key = order.removeprefix("-")
    needed = _NEEDED.get(key, "").format(
        rates=RATES.format(pairs="SELECT DISTINCT currency_id, %(currency)s, close_date FROM f"),
        converted=CONVERTED.format(minor="abs(f.minor)"),
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _QUEUE.format(two=TWO, order=ORDERS[order], needed=needed),
            {
                "deals": numbered(tray.deals),
                **_terms(tray.sources),
                "zone": settings.TIME_ZONE,
                "on": today,
                "due_before": due_before(today, due_after),
                "team": narrow.team,
                "only_due": narrow.due,
                "least": narrow.least,
                "why": narrow.why,
                "currency": _common_currency() if key == "value" else None,
                "first": first,
                "most": most,
            },
        )
        queue.total, queue.due, teams, reasons, counts, ids, minors, whys = cursor.fetchone()
    for words, count in zip(reasons or (), counts or (), strict=True):
        for why in (found := words.split()):
            queue.counts[Why(why)] = queue.counts.get(Why(why), 0) + count
        if not narrow.why or narrow.why in found:
            queue.found += count
    queue.teams = dict(Team.objects.filter(pk__in=teams or ()).order_by("name").values_list("pk", "name"))
    queue.places = [
        Place(pk, minor, tuple(map(Why, words.split())))
        for pk, minor, words in zip(ids or (), minors or (), whys or (), strict=True)
    ]
    return queue


def queue_of(
    user: User,
    *,
    at: datetime,
    due_after: int,
    asked: Asked | None = None,
    order: str = LONGEST_FIRST,
    first: int = 0,
    most: int = 50,
) -> Queue:
    """The same with the deals of one page read whole, and with all that a row shows of them. A fixed number of queries."""
    queue = places_of(user, at=at, due_after=due_after, asked=asked, order=order, first=first, most=most)
    known = {deal.pk: deal for deal in with_facts(deals_among([place.deal_id for place in queue.places]))}
    queue.rows = rows_of(queue, [known[place.deal_id] for place in queue.places if place.deal_id in known])
    return queue


def rows_of(queue: Queue, deals: Sequence[Deal]) -> list[Waiting]:
    """Some of its deals, each with its latest version and that one's currency at hand. A fixed number of queries."""
    today, user = day_of(queue.at), queue.user
    places = {place.deal_id: place for place in queue.places}
    approvers = Approvers(deals, today, like=queue.approvers)
    able = {deal.pk: approvers.able(deal).get(user.pk) for deal in deals}
    people = {pk for pk in able.values() if pk is not None} | {
        two.first_by for two in approvers.two.values() if two.first_by is not None
    }
    names = dict(User.objects.filter(pk__in=people).values_list("pk", "name")) if people else {}
    rows = []
    for deal in deals:
        place, two, principal = places[deal.pk], approvers.two.get(deal.pk), able[deal.pk]
        days = business_days(day_of(waiting_since(deal)), today)
        rows.append(
            Waiting(
                deal=deal,
                team_id=approvers.team_of.get(deal.owner_id),
                minor=place.minor,
                decimals=deal.latest.currency.exponent,
                days=days,
                due=days >= queue.due_after,
                why=place.why,
                two=two,
                standing_in=names.get(principal, "") if principal is not None else "",
                first=names.get(two.first_by, "") if two is not None and two.first_by is not None else "",
            )
        )
    return rows


def _terms(sources: Collection[str]) -> dict[str, list[Any]]:
    """What the policies say of each source: whether one trusts it, after how many days it is late, and up to which amounts. 1 query."""
    policies = list(StraightThroughPolicy.objects.filter(published_at__isnull=False, ended_at=None))
    found: dict[str, list[Any]] = {
        name: [] for name in ("sources", "trusted", "late_after", "ceiling_of", "ceiling_in", "ceiling")
    }
    for source in sorted(sources):
        trusting = [
            policy
            for policy in policies
            if source.casefold() in (trusted.casefold() for trusted in policy.sources)
        ]
        days = [p.late_after_days for p in trusting or policies if p.late_after_days is not None]
        found["sources"].append(source)
        found["trusted"].append(bool(trusting))
        found["late_after"].append(max(days, default=LATE_AFTER))
        for policy in trusting:
            found["ceiling_of"].append(source)
            found["ceiling_in"].append(policy.currency_id)
            found["ceiling"].append(policy.most_minor)
    return found


def _common_currency() -> str | None:
    """In which sizes are compared: the first measure's. 1 query."""
    return (
        Measure.objects.exclude(currency=None)
        .order_by("position", "pk")
        .values_list("currency_id", flat=True)
        .first()
    )


# --- what did not have to wait -------------------------------------------------------------------------------


def taken_by_policies(user: User, *, at: datetime) -> tuple[int, int]:
    """(under a policy, by people): deals approved lately, of those that this person may read. 1 query and deals_for's.

    Of the latest deals alone: what was approved lately was logged not long before.
    """
    since = at - timedelta(days=POLICY_DAYS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM quotas_deal")
        (newest,) = cursor.fetchone()
    approved = deals_for(user, day_of(at)).filter(
        state=DealState.APPROVED, decided_at__gte=since, pk__gt=(newest or 0) - LATEST_DEALS
    )
    counts = approved.aggregate(
        under=Count("pk", filter=Q(approved_under__isnull=False)),
        by_people=Count("pk", filter=Q(approved_under=None)),
    )
    return counts["under"], counts["by_people"]

"""What a source says was sold against what is credited for it, by rep and period, and the one reason of each difference.

Said is the amount of a deal that the source has as won, in the measure's currency, to whom the source says sold it, in the period of
the source's close date. Credited is the direct credit of that source's deals by origin period, before uplift, SPIFFs and caps: what the
plan adds or cuts is no difference. What was adjusted by hand about a deal belongs to it. Both are sums over the same pairs of a deal and a rep, so differences add up by themselves.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Max, Prefetch, Sum, TextChoices

from accounts.models import Role, User
from config import house as formats
from config.clock import day_of
from config.language import marked
from config.slices import in_batches
from marketplace.models import Currency, EligibilityDecision, Offering, Program
from quotas.models import (
    ONE,
    Component,
    CreditEntry,
    CreditTotal,
    Deal,
    DealLine,
    DealShare,
    Grain,
    Measure,
    Period,
    ReceiverClass,
    Rep,
    SourceRecord,
    SourceState,
    Team,
    TotalBasis,
    UncreditedLine,
    ValueBasis,
)
from quotas.selectors import periods
from quotas.selectors.visibility import SEES_EVERYTHING, deals_for, managed_teams, reps_for

READERS: Final = (*SEES_EVERYTHING, Role.MANAGER)
SLICE: Final = 500  # differences that are told together where all of them are


class Cause(TextChoices):
    """Why what is said and what is credited are not the same. The first that holds is the one."""

    ADJUSTED = "adjusted", marked("Adjusted by hand")
    REFUSED = "refused", marked("Refused by the import")
    NOT_IN_SOURCE = "not_in_source", marked("Not in the source")
    NOT_HERE = "not_here", marked("Not here")
    NOT_APPROVED = "submitted", marked("Waits for approval")
    DRAFT = "draft", marked("A draft here")
    RETURNED = "returned", marked("Returned to its owner")
    REJECTED = "rejected", marked("Rejected here")
    CANCELLED = "cancelled", marked("Cancelled here")
    SAYS_OPEN = "says_open", marked("Open in the source")
    SAYS_LOST = "says_lost", marked("Lost in the source")
    SAYS_GONE = "says_gone", marked("Gone from the source")
    HELD = "held", marked("Held")
    AMENDMENT = "amendment", marked("An amendment waits")
    NOT_ELIGIBLE = "not_eligible", marked("No quota decision")
    RATE_ZERO = "rate_zero", marked("Decided not to count")
    NO_RULE = "no_rule", marked("No rule matches")
    NO_TEAM = "no_team", marked("In no team on the day")
    NO_RECEIVER = "no_receiver", marked("Nobody to credit")
    NO_FX_RATE = "no_fx_rate", marked("No exchange rate")
    NO_PERIOD = "no_period", marked("No open period")
    TOO_LARGE = "too_large", marked("Too large to count")
    CLOSE_DATE = "close_date", marked("Another close date")
    CURRENCY = "currency", marked("Another currency")
    AMOUNT = "amount", marked("Another amount")
    SHARED = "shared", marked("Shared with others")
    OWNER = "owner", marked("Another owner")
    RATE = "rate", marked("Counts at a rate")
    ROUNDING = "rounding", marked("Rounding")
    OTHER = "other", marked("Not explained")


WITHOUT_CREDIT: Final = (
    Cause.NOT_ELIGIBLE, Cause.RATE_ZERO, Cause.NO_RULE, Cause.NO_TEAM, Cause.NO_RECEIVER, Cause.NO_FX_RATE, Cause.NO_PERIOD, Cause.TOO_LARGE
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where deals come from by import, and when it was last read."""

    name: str
    seen_at: datetime
    run_id: int
    records: int


@dataclass(frozen=True, slots=True)
class Who:
    """A rep, or somebody whom a source names and nobody here is."""

    rep_id: int | None
    name: str
    slug: str = ""


@dataclass(slots=True)
class Sums:
    """Minor units of the measure. agree and differ count pairs of a deal and a rep."""

    said: int = 0
    credited: int = 0
    beside: int = 0
    agree: int = 0
    differ: int = 0

    @property
    def difference(self) -> int:
        return self.said - self.credited

    def add(self, other: "Sums") -> None:
        self.said += other.said
        self.credited += other.credited
        self.beside += other.beside
        self.agree += other.agree
        self.differ += other.differ


@dataclass(frozen=True, slots=True)
class Standing:
    who: Who
    sums: Sums


@dataclass(frozen=True, slots=True)
class Part:
    """What the differences of one cause come to: how many, and said less credited."""

    cause: Cause
    differ: int
    difference: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whose differences are looked at, and which: of a rep, of a name that nobody here has, or everybody's; of one cause or all."""

    rep_id: int | None = None
    nobody: str | None = None
    cause: str = ""

    def has(self, rep_id: int | None, name: str) -> bool:
        """Whether it is about that person."""
        if self.rep_id is not None:
            return rep_id == self.rep_id
        return self.nobody is None or (rep_id is None and name == self.nobody)


@dataclass(frozen=True, slots=True)
class Difference:
    """One deal of one person. said is None where the source's amount cannot be brought into the measure's currency.

    deal    What is here of it, as far as the reader may see it.
    offering, decision_id  What the sentence is about: the quota decision, or the one that waits for its second person.
    """

    who: Who
    cause: Cause
    sentence: str
    said: int | None
    credited: int
    record: SourceRecord | None
    deal: Deal | None
    offering: Offering | None = None
    decision_id: int | None = None

    @property
    def difference(self) -> int:
        return (self.said or 0) - self.credited

    @property
    def account(self) -> str:
        if self.deal is not None:
            return self.deal.customer.name
        return self.record.customer_name if self.record is not None else ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A source against the ledger in one measure and period, as far as its reader sees the reps.

    standings   Everybody of whom the source says or the ledger has anything, the largest difference first.
    total       Their sum.
    parts       The causes of its difference, or of that of whoever is chosen; they add up to it.
    found       What is chosen comes to.
    others      Direct credit of deals from elsewhere, with all that plans add to it and cut from it.
    adjusted    What was adjusted by hand and is about no deal.
    reported    Direct credit as boards report it, by posting period; None unless the reader sees everybody.
    undated     Deals of which the source has no day that can be read: they are in no period. undated_run names the last file with one.
    pairs       Of what is chosen, as the statement gives them; told() says the rest.
    """

    source: Source
    period: Period
    measure: Measure
    standings: Sequence[Standing]
    total: Sums
    parts: Sequence[Part]
    others: int
    adjusted: int
    reported: int | None
    undated: int
    undated_run: int | None
    pairs: Sequence["Pair"] = field(repr=False, default=())
    found: Sums = field(default_factory=Sums)

    @property
    def restated(self) -> int:
        """Direct credit whose credit date lies in the period, of this source and others, and by hand."""
        return self.total.credited + self.total.beside + self.others + self.adjusted

    @property
    def moved(self) -> int | None:
        """What was posted in this period for others, less what was posted in others for this one."""
        return None if self.reported is None else self.reported - self.restated


@dataclass(frozen=True, slots=True)
class Pair:
    """A deal of a person that differs, by ids."""

    rep_id: int | None
    owner_name: str
    cause: Cause
    said: int | None
    credited: int
    record_id: int | None
    deal_id: int | None


def may_reconcile(user: User) -> bool:
    return user.has_role(*READERS)


def sources() -> list[Source]:
    """Every source that was imported, the one imported last first. 1 query."""
    return [
        Source(*row)
        for row in SourceRecord.objects.order_by()
        .values_list("source")
        .annotate(seen=Max("seen_at"), last=Max("run_id"), records=Count("pk"))
        .order_by("-seen", "-last", "source")
    ]


def measures() -> list[Measure]:
    """What a source's amount can be compared with: measures of contract value. 1 query."""
    return list(
        Measure.objects.filter(basis=ValueBasis.CONTRACT_VALUE)
        .select_related("currency")
        .order_by("position", "pk")
    )


def seen_reps(user: User, on: date) -> list[int] | None:
    """The reps whose numbers are this person's to reconcile; None is everybody, and whoever is not known here too. 4 queries at most."""
    if user.has_role(*SEES_EVERYTHING):
        return None
    if not managed_teams(user, on):
        return []
    return list(reps_for(user, on).values_list("pk", flat=True))


def reconcile(
    *,
    source: Source,
    period: Period,
    measure: Measure,
    reps: Sequence[int] | None,
    chosen: Chosen | None = None,
    most: int | None = None,
    after: int = 0,
) -> Reconciliation:
    """The sums of everybody, and of what is *chosen* the differences, the largest first: *most* of them after so many.

    reps    As seen_reps() gives them.
    8 queries at most, whatever the number of reps and deals.
    """
    looks, chosen = chosen is not None, chosen or Chosen()
    rows = _read(
        _PAIRS,
        {
            **_asked(source.name, period, measure, reps),
            "look": looks,
            "rep": chosen.rep_id,
            "nobody": chosen.nobody,
            "cause": chosen.cause,
            "most": most,
            "after": after,
        },
    )
    by_person: dict[tuple[int | None, str], Sums] = {}
    by_cause: dict[str, Sums] = {}
    found = Sums()
    pairs: list[Pair] = []
    others = adjusted = 0
    for what, rep, name, cause, n, said, credited, record, deal in rows:
        if what == "others":
            others = int(credited)
        elif what == "adjusted":
            adjusted = int(credited)
        elif what == "beside":
            by_person.setdefault((rep, name), Sums()).beside = int(credited)
        elif what == "pair":
            pairs.append(Pair(rep, name, Cause(cause), said, credited, record, deal))
        else:
            sums = Sums(int(said), int(credited), 0, 0 if cause else n, n if cause else 0)
            by_person.setdefault((rep, name), Sums()).add(sums)
            if cause and chosen.has(rep, name):
                by_cause.setdefault(cause, Sums()).add(sums)
                if chosen.cause in ("", cause):
                    found.add(sums)
    people = Rep.objects.in_bulk([rep for rep, _name in by_person if rep is not None])
    standings = [
        Standing(_who(rep, name, people), sums)
        for (rep, name), sums in by_person.items()
        if sums.agree or sums.differ
    ]
    standings.sort(key=lambda s: (-abs(s.sums.difference), not s.sums.differ, s.who.name, s.who.rep_id or 0))
    total = Sums()
    for sums in by_person.values():
        total.add(sums)
    undated, undated_run = _undated(source.name, reps)
    return Reconciliation(
        source=source,
        period=period,
        measure=measure,
        standings=standings,
        total=total,
        parts=sorted(
            (Part(Cause(cause), sums.differ, sums.difference) for cause, sums in by_cause.items()),
            key=lambda part: (-abs(part.difference), -part.differ, part.cause.value),
        ),
        others=others,
        adjusted=adjusted,
        reported=_reported(period, measure) if reps is None else None,
        undated=undated,
        undated_run=undated_run,
        pairs=pairs,
        found=found,
    )


def _who(rep_id: int | None, name: str, people: Mapping[int, Rep]) -> Who:
    if rep_id is None:
        return Who(None, name)
    rep = people.get(rep_id)
    return Who(rep_id, rep.name, rep.slug) if rep is not None else Who(rep_id, f"Rep {rep_id}")


def _asked(source: str, period: Period, measure: Measure, reps: Sequence[int] | None) -> dict[str, Any]:
    """What the statement is told. 2 queries for one calendar, 5 where there are several."""
    leaves = {leaf.pk for leaf in periods.leaves_of(period)}
    known = periods.Calendars()
    teams: list[int] | None = None
    operators = known.operators is not None and known.operators.pk == period.calendar_id
    if known.several:
        last = periods.last_day(period, period.ends)
        teams = [
            team
            for team in Team.objects.values_list("pk", flat=True)
            if (own := known.of_team(team, last)) and own.pk == period.calendar_id
        ]
    # A credit is posted into its own month or a later one, so that earlier partitions need no look.
    posting = Period.objects.filter(calendar=period.calendar_id, grain=Grain.MONTH, ends__gt=period.starts)
    currency = measure.currency
    return {
        "source": source,
        "measure": measure.pk,
        "currency": currency.code if currency else "",
        "exponent": currency.exponent if currency else 0,
        "calendar": period.calendar_id,
        "starts": period.starts,
        "ends": period.ends,
        "leaves": sorted(leaves),
        "posting": list(posting.values_list("pk", flat=True)),
        "reps": reps,
        "teams": teams,
        "operators": operators,
        "without_credit": [cause.value for cause in WITHOUT_CREDIT],
    }


def _reported(period: Period, measure: Measure) -> int:
    found = CreditTotal.objects.filter(period=period, measure=measure, basis=TotalBasis.REPORTED)
    return found.aggregate(x=Sum("direct_minor"))["x"] or 0


def _undated(source: str, reps: Sequence[int] | None) -> tuple[int, int | None]:
    found = SourceRecord.objects.filter(source=source, close_date=None, state=SourceState.WON)
    if reps is not None:
        found = found.filter(owner__in=reps)
    counted = found.aggregate(n=Count("pk"), run=Max("run_id"))
    return counted["n"], counted["run"]


def _read(statement: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())


# --- the statement ------------------------------------------------------------------------------------------------

# One row a person and cause ('' is none: said and credited agree) with their sums; one a pair that is looked at; one for all other sources.
# Cost: the period's records and ledger partitions once each; causes are worked out for pairs that differ alone, by index, and only as far
# as the first that holds.
_PAIRS: Final = """
WITH credited AS MATERIALIZED (
  SELECT coalesce(e.deal_id, a.deal_id) AS deal_id, e.rep_id, sum(e.amount_minor)::bigint AS amount,
    coalesce(sum(e.amount_minor) FILTER (WHERE e.component = 5), 0)::bigint AS by_hand,
    coalesce(sum(e.amount_minor) FILTER (WHERE c.rate_ppm <> 1000000), 0) <> 0 AS at_a_rate
  FROM quotas_creditentry e
  LEFT JOIN marketplace_eligibilitydecision c ON c.id = e.decision_id
  LEFT JOIN quotas_adjustment a ON a.id = e.adjustment_id
  WHERE e.posting_period_id = ANY(%(posting)s) AND e.origin_period_id = ANY(%(leaves)s) AND e.measure_id = %(measure)s
    AND e.component IN (1, 5) AND coalesce(e.deal_id, a.deal_id) IS NOT NULL AND e.receiver_class = 1
    AND (%(reps)s::bigint[] IS NULL OR e.rep_id = ANY(%(reps)s::bigint[]))
  GROUP BY coalesce(e.deal_id, a.deal_id), e.rep_id),
adjusted AS (
  SELECT coalesce(sum(e.amount_minor), 0)::bigint AS amount
  FROM quotas_creditentry e JOIN quotas_adjustment a ON a.id = e.adjustment_id
  WHERE e.posting_period_id = ANY(%(posting)s) AND e.origin_period_id = ANY(%(leaves)s) AND e.measure_id = %(measure)s
    AND e.component = 5 AND a.deal_id IS NULL AND (%(reps)s::bigint[] IS NULL OR e.rep_id = ANY(%(reps)s::bigint[]))),
beside AS (
  SELECT e.rep_id, d.source = %(source)s AS own, sum(e.amount_minor)::bigint AS amount
  FROM quotas_creditentry e JOIN quotas_deal d ON d.id = e.deal_id
  WHERE e.posting_period_id = ANY(%(posting)s) AND e.origin_period_id = ANY(%(leaves)s) AND e.measure_id = %(measure)s
    AND e.component <> 1 AND e.receiver_class = 1 AND (%(reps)s::bigint[] IS NULL OR e.rep_id = ANY(%(reps)s::bigint[]))
  GROUP BY e.rep_id, own),
won AS MATERIALIZED (
  SELECT r.id, r.owner_id, r.owner_name, r.currency, r.close_date, r.amount_minor, coalesce(r.deal_id, (
      SELECT d.id FROM quotas_deal d WHERE d.source = r.source AND d.external_id = r.external_id AND d.external_id <> '')) AS deal_id
  FROM quotas_sourcerecord r
  WHERE r.source = %(source)s AND r.state = 'won' AND r.close_date >= %(starts)s AND r.close_date < %(ends)s
    AND (%(reps)s::bigint[] IS NULL OR r.owner_id = ANY(%(reps)s::bigint[]))),
rates AS MATERIALIZED (
  SELECT w.close_date, w.currency, f.rate_e9 * (10 ^ greatest(0, %(exponent)s - c.exponent))::bigint AS num,
    1000000000 * (10 ^ greatest(0, c.exponent - %(exponent)s))::bigint AS den
  FROM (SELECT DISTINCT close_date, currency FROM won WHERE currency <> %(currency)s) w
  JOIN marketplace_currency c ON c.code = w.currency
  JOIN quotas_fxrate f ON f.from_currency_id = w.currency AND f.to_currency_id = %(currency)s AND f.superseded_at IS NULL
    AND f.effective @> w.close_date),
said AS (
  SELECT w.id AS record_id, d.id AS deal_id, w.owner_id AS rep_id, w.owner_name,
    CASE WHEN w.currency = %(currency)s THEN w.amount_minor ELSE mul_div(w.amount_minor, x.num, x.den) END AS said
  FROM won w
  LEFT JOIN quotas_deal d ON d.id = w.deal_id
  LEFT JOIN rates x ON x.close_date = w.close_date AND x.currency = w.currency
  -- A day lies in a period of each calendar: the deal's own counts, without a deal that of its owner's team.
  WHERE CASE WHEN d.id IS NOT NULL THEN d.calendar_id = %(calendar)s WHEN %(teams)s::bigint[] IS NULL THEN true
    ELSE coalesce((
      SELECT m.team_id = ANY(%(teams)s::bigint[]) FROM quotas_teammembership m WHERE m.rep_id = w.owner_id AND m.superseded_at IS NULL
      ORDER BY coalesce(lower(m.effective) <= w.close_date, true) DESC,
        CASE WHEN lower(m.effective) <= w.close_date THEN lower(m.effective) END DESC NULLS LAST, lower(m.effective) LIMIT 1),
      %(operators)s) END),
joined AS MATERIALIZED (
  SELECT s.record_id, coalesce(s.deal_id, c.deal_id) AS deal_id, coalesce(s.rep_id, c.rep_id) AS rep_id,
    CASE WHEN s.rep_id IS NULL AND c.rep_id IS NULL THEN s.owner_name ELSE '' END AS owner_name,
    CASE WHEN s.record_id IS NULL THEN 0 ELSE s.said END AS said, coalesce(c.amount, 0) AS credited,
    coalesce(c.by_hand, 0) AS by_hand, coalesce(c.at_a_rate, false) AS at_a_rate
  FROM said s FULL JOIN credited c ON c.deal_id = s.deal_id AND c.rep_id = s.rep_id),
unsaid AS MATERIALIZED (
  SELECT j.*, d.source = %(source)s AS own FROM joined j JOIN quotas_deal d ON d.id = j.deal_id
  WHERE j.record_id IS NULL AND j.credited <> 0),
pairs AS MATERIALIZED (
  SELECT * FROM joined WHERE record_id IS NOT NULL
  UNION ALL
  SELECT record_id, deal_id, rep_id, owner_name, said, credited, by_hand, at_a_rate FROM unsaid WHERE own),
differing AS (
  SELECT p.*, coalesce(p.record_id, (
      SELECT r.id FROM quotas_sourcerecord r JOIN quotas_deal d ON r.source = d.source AND r.external_id = d.external_id
      WHERE d.id = p.deal_id AND d.external_id <> '')) AS told_id
  FROM pairs p WHERE p.said IS DISTINCT FROM p.credited),
explained AS MATERIALIZED (
  SELECT p.*, CASE
      WHEN p.by_hand <> 0 AND p.said = p.credited - p.by_hand THEN 'adjusted'
      WHEN r.code NOT IN ('', 'ended_here', 'open_again', 'amendment_waits') THEN 'refused'
      WHEN r.id IS NULL THEN 'not_in_source'
      WHEN d.id IS NULL THEN 'not_here'
      WHEN d.state <> 'approved' THEN d.state
      WHEN r.state <> 'won' THEN 'says_' || r.state
      WHEN d.held THEN 'held'
      WHEN d.amended_at IS NOT NULL THEN 'amendment'
      ELSE coalesce((
        SELECT u.reason FROM quotas_uncreditedline u
        WHERE u.deal_id = d.id AND (u.measure_id IS NULL OR u.measure_id = %(measure)s) AND (u.rep_id IS NULL OR u.rep_id = p.rep_id)
          AND u.reason = ANY(%(without_credit)s::text[])
        ORDER BY array_position(%(without_credit)s::text[], u.reason::text) LIMIT 1), (
        SELECT CASE
            WHEN (r.close_date >= %(starts)s AND r.close_date < %(ends)s) <> (v.close_date >= %(starts)s AND v.close_date < %(ends)s) THEN 'close_date'
            WHEN v.currency_id <> r.currency THEN 'currency'
            WHEN abs(l.amount - r.amount_minor) >= l.n THEN 'amount'
            WHEN v.close_date <> r.close_date AND v.currency_id <> %(currency)s THEN 'close_date'
            WHEN s.ppm < 1000000 THEN 'shared'
            WHEN s.ppm IS NULL OR p.rep_id IS DISTINCT FROM r.owner_id THEN 'owner'
            WHEN p.at_a_rate THEN 'rate'
            WHEN p.said IS NULL THEN 'no_fx_rate'
            WHEN abs(p.said - p.credited) <= l.n THEN 'rounding'
            ELSE 'other' END
        FROM quotas_dealversion v
        CROSS JOIN LATERAL (SELECT sum(amount_minor) AS amount, count(*) AS n FROM quotas_dealline WHERE version_id = v.id) l
        LEFT JOIN quotas_dealshare s ON s.version_id = v.id AND s.rep_id = p.rep_id
        WHERE v.id = d.credited_version_id)) END AS cause
  FROM differing p
  LEFT JOIN quotas_sourcerecord r ON r.id = p.told_id
  LEFT JOIN quotas_deal d ON d.id = p.deal_id)
SELECT 'sum' AS what, rep_id, owner_name, cause, count(*) AS n, coalesce(sum(said), 0)::bigint AS said, sum(credited)::bigint AS credited,
  NULL::bigint AS record_id, NULL::bigint AS deal_id
FROM (
  SELECT rep_id, owner_name, '' AS cause, said, credited FROM pairs WHERE said = credited
  UNION ALL
  SELECT rep_id, owner_name, cause, said, credited FROM explained) x GROUP BY rep_id, owner_name, cause
UNION ALL
SELECT 'beside', rep_id, '', '', 0, 0, amount, NULL, NULL FROM beside WHERE own
UNION ALL
SELECT 'adjusted', NULL, '', '', 0, 0, amount, NULL, NULL FROM adjusted
UNION ALL
SELECT 'others', NULL, '', '', 0, 0, coalesce(sum(amount), 0)::bigint, NULL, NULL
FROM (SELECT credited AS amount FROM unsaid WHERE NOT own UNION ALL SELECT amount FROM beside WHERE NOT own) x
UNION ALL
(SELECT 'pair', rep_id, owner_name, cause, 1, said, credited, told_id, deal_id
 FROM explained
 WHERE %(look)s AND (%(rep)s::bigint IS NULL OR rep_id = %(rep)s::bigint)
   AND (%(nobody)s::text IS NULL OR (rep_id IS NULL AND owner_name = %(nobody)s::text)) AND (%(cause)s = '' OR cause = %(cause)s)
 ORDER BY said IS NULL DESC, abs(said - credited) DESC, deal_id, told_id, rep_id, owner_name
 LIMIT %(most)s OFFSET %(after)s)
"""


# --- what is said of a difference ---------------------------------------------------------------------------------


def told(found: Reconciliation, *, viewer: User, on: date) -> list[Difference]:
    """The differences that were looked at, each with its sentence. 13 queries at most, whatever their number."""
    return _told(found, found.pairs, viewer, on, {c.code: c for c in Currency.objects.all()})


def all_told(found: Reconciliation, *, viewer: User, on: date) -> Iterator[Difference]:
    """The same for a file: a slice after the other."""
    currencies = {c.code: c for c in Currency.objects.all()}
    for together in in_batches(found.pairs, SLICE):
        yield from _told(found, together, viewer, on, currencies)


def _told(
    found: Reconciliation,
    pairs: Sequence[Pair],
    viewer: User,
    on: date,
    currencies: Mapping[str, Currency],
) -> list[Difference]:
    if not pairs:
        return []
    deals = _deals({p.deal_id for p in pairs if p.deal_id is not None}, viewer, on)
    records = SourceRecord.objects.select_related("run", "owner").in_bulk(
        {p.record_id for p in pairs if p.record_id is not None}
    )
    people = Rep.objects.in_bulk({p.rep_id for p in pairs if p.rep_id is not None})
    lines = _without_credit([p for p in pairs if p.cause in WITHOUT_CREDIT], found.measure)
    decisions = _at_a_rate([p for p in pairs if p.cause == Cause.RATE], found.measure)
    cases = [
        _Case(
            found,
            pair,
            _who(pair.rep_id, pair.owner_name, people),
            records.get(pair.record_id or 0),
            deals.get(pair.deal_id or 0),
            currencies,
            lines.get((pair.deal_id, pair.rep_id)),
            decisions.get((pair.deal_id, pair.rep_id)),
        )
        for pair in pairs
    ]
    lacking = {case.offering.pk for case in cases if case.pair.cause == Cause.NOT_ELIGIBLE and case.offering}
    proposed = _proposed(lacking)
    return [
        Difference(
            case.who,
            case.pair.cause,
            case.sentence(),
            case.pair.said,
            case.pair.credited,
            case.record,
            case.deal,
            offering=case.offering,
            decision_id=case.decision.pk
            if case.decision is not None
            else proposed.get(case.offering.pk)
            if case.offering is not None
            else None,
        )
        for case in cases
    ]


def _deals(ids: Collection[int], viewer: User, on: date) -> dict[int, Deal]:
    """Those of them that the viewer may read, with all that is told of them. 3 queries, 7 for a manager."""
    return (
        deals_for(viewer, on)
        .filter(pk__in=ids)
        .select_related("customer", "owner", "latest_version", "credited_version__recorded_by")
        .prefetch_related(
            Prefetch(
                "credited_version__lines",
                DealLine.objects.select_related("offering").order_by("line_no"),
            ),
            Prefetch("credited_version__shares", DealShare.objects.select_related("rep").order_by("ordinal")),
        )
        .in_bulk()
    )


Key = tuple[int | None, int | None]


def _without_credit(pairs: Sequence[Pair], measure: Measure) -> dict[Key, int]:
    """By deal and rep, the first line that is without credit for the cause of the pair. 1 query, none without pairs."""
    if not pairs:
        return {}
    known: dict[tuple[int, str], list[UncreditedLine]] = {}
    for line in UncreditedLine.objects.filter(deal__in={p.deal_id for p in pairs}).order_by("line_no", "pk"):
        if line.measure_id in (None, measure.pk):
            known.setdefault((line.deal_id, line.reason), []).append(line)
    return {
        (pair.deal_id, pair.rep_id): line.line_no
        for pair in pairs
        for line in reversed(known.get((pair.deal_id or 0, pair.cause.value), ()))
        if line.rep_id in (None, pair.rep_id)
    }


def _at_a_rate(pairs: Sequence[Pair], measure: Measure) -> dict[Key, EligibilityDecision]:
    """By deal and rep, a decision that lets it count in part. 2 queries, none without pairs."""
    if not pairs:
        return {}
    net = (
        CreditEntry.objects.filter(
            deal__in={p.deal_id for p in pairs},
            measure=measure,
            component=Component.CREDIT,
            receiver_class=ReceiverClass.DIRECT,
        )
        .order_by()
        .values_list("deal_id", "rep_id", "decision_id")
        .annotate(net=Sum("amount_minor"))
        .exclude(net=0)
    )
    rows = [(deal, rep, decision) for deal, rep, decision, _net in net]
    decisions = EligibilityDecision.objects.exclude(rate_ppm=ONE).in_bulk({row[2] for row in rows})
    return {(deal, rep): decisions[decision] for deal, rep, decision in sorted(rows) if decision in decisions}


def _proposed(offerings: Collection[int]) -> dict[int, int]:
    """Of offerings that nothing was decided of: the decision that waits for its second person, if there is one. 1 query, none without offerings."""
    if not offerings:
        return {}
    waiting = EligibilityDecision.objects.filter(
        program=Program.QUOTA, offering__in=offerings, checked_at=None, superseded_at=None
    )
    return dict(waiting.order_by("pk").values_list("offering_id", "pk"))


@dataclass(frozen=True, slots=True)
class _Case:
    """A pair with whatever its sentence may need. line_no: of what has no credit."""

    found: Reconciliation
    pair: Pair
    who: Who
    record: SourceRecord | None
    deal: Deal | None
    currencies: Mapping[str, Currency]
    line_no: int | None
    decision: EligibilityDecision | None

    @property
    def offering(self) -> Offering | None:
        """Of the line that has no credit, or of the first one."""
        version = self.deal.credited_version if self.deal is not None else None
        if version is None:
            return None
        lines = list(version.lines.all())
        return next(
            (line.offering for line in lines if line.line_no == self.line_no),
            lines[0].offering if lines else None,
        )

    def money(self, minor: int | None, code: str) -> str:
        currency = self.currencies.get(code)
        if minor is None:
            return "an amount that cannot be read"
        return formats.money(minor, code, currency.exponent if currency else 2)

    def sentence(self) -> str:
        cause = self.pair.cause
        source, record = self.found.source.name, self.record
        if cause == Cause.REFUSED and record is not None:
            return f"{record.message} Line {record.line:,} of {record.run.file_name}."
        if cause == Cause.NOT_HERE:
            return "It was won in the source and no deal here came of it: import it again."
        if cause == Cause.NOT_IN_SOURCE:
            return f"It is under {source} here, and no file of {source} has had it."
        if cause in (Cause.SHARED, Cause.OWNER):
            return self._people()
        if cause in _SAID:
            return _SAID[cause]
        if cause in WITHOUT_CREDIT:
            return self._without()
        return self._facts()

    def _without(self) -> str:
        cause, offering = self.pair.cause, self.offering
        of = f"{offering.name}: " if offering is not None else ""
        day = formats.day(self._day())
        if cause == Cause.NO_FX_RATE:
            here = self.deal.credited_version if self.deal is not None else None
            code = self.record.currency if self.record is not None else here.currency_id if here else ""
            return f"There is no exchange rate from {code} to {self.found.measure.currency_id} on {day}."
        return {
            Cause.NOT_ELIGIBLE: f"{of}no quota decision was in force on {day}, so it earns nothing.",
            Cause.RATE_ZERO: f"{of}the quota decision in force on {day} says that it does not count.",
            Cause.NO_RULE: f"{of}no crediting rule in force on {day} matches.",
            Cause.NO_TEAM: f"{self.who.name} was in no team on {day}.",
            Cause.NO_RECEIVER: f"Nobody owned the account on {day}.",
            Cause.NO_PERIOD: f"No open period can take a credit of {day}.",
            Cause.TOO_LARGE: "The amount is beyond what Parity counts exactly.",
        }[cause]

    def _day(self) -> date | None:
        version = self.deal.credited_version if self.deal is not None else None
        return version.close_date if version is not None else self.record.close_date if self.record else None

    def _people(self) -> str:
        """Whose it is here, and whose there. Names of a deal that the reader may not read are not told."""
        record, deal = self.record, self.deal
        theirs = (record.owner.name if record.owner else record.owner_name) if record is not None else ""
        version = deal.credited_version if deal is not None else None
        if version is None:
            return "It is credited to somebody else here."
        parts = [(share.rep_id, share.rep.name, share.ppm) for share in version.shares.all()]
        mine = next((ppm for rep, _name, ppm in parts if rep == self.pair.rep_id), None)
        if self.pair.cause == Cause.SHARED and mine is not None:
            return f"{self.who.name} has {formats.percent(mine, ONE, 0 if mine % 10_000 == 0 else 2)} of it here; the source gives all of it to {theirs}."
        if mine is None:
            return f"It is {' and '.join(name for _rep, name, _ppm in parts)}\N{RIGHT SINGLE QUOTATION MARK}s here; the source gives it to {theirs}."
        return f"The source gives it to {theirs}."

    def _facts(self) -> str:
        cause, record = self.pair.cause, self.record
        version = self.deal.credited_version if self.deal is not None else None
        if cause == Cause.OTHER:
            return "None of the known causes holds: look at its entries."
        if version is None or record is None:
            return f"{cause.label}."
        lines = list(version.lines.all())
        if cause == Cause.ROUNDING:
            return f"Each of its {len(lines)} lines is converted and rounded by itself."
        if cause == Cause.RATE:
            rate = formats.percent(self.decision.rate_ppm, ONE, 2) if self.decision else "a part"
            return f"The quota decision lets {rate} of it count."
        by = ""
        if version.number > 1:
            said = f": {version.reason}" if version.reason else ""
            by = (
                f" Amended on {formats.day(day_of(version.recorded_at))} by {version.recorded_by.name}{said}."
            )
        if cause == Cause.CLOSE_DATE:
            here, there = formats.day(version.close_date), formats.day(record.close_date)
            return f"It closes on {here} here, on {there} in the source.{by}"
        here = self.money(sum(line.amount_minor for line in lines), version.currency_id)
        return f"{here} here, {self.money(record.amount_minor, record.currency)} in the source.{by}"


_SAID: Final[Mapping[Cause, str]] = {
    Cause.ADJUSTED: "It was credited as the source says, and then adjusted by hand.",
    Cause.NOT_APPROVED: "It is won in the source and waits for its approver here.",
    Cause.DRAFT: "It is won in the source and still a draft here: hand it in.",
    Cause.RETURNED: "It is won in the source and was returned to its owner here.",
    Cause.REJECTED: "It is won in the source and was rejected here.",
    Cause.CANCELLED: "It is won in the source and was cancelled here.",
    Cause.SAYS_OPEN: "The source says that it is open, and it is approved here.",
    Cause.SAYS_LOST: "The source says that it is lost, and it is approved here.",
    Cause.SAYS_GONE: "It is gone from the source, and approved here.",
    Cause.HELD: "It is held here: its credit counts once it is released.",
    Cause.AMENDMENT: "An amendment waits for its approver; until then what stood before is credited.",
}

"""The lists of selling as tables to be written to a file. Each takes rows that somebody may see; nothing here asks who that is."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from config.exports import Amount, Column, Table, ratio
from config.formats import COUNT_EXPONENT
from config.models import Job
from config.slices import in_batches, in_slices
from marketplace.models import Currency, Offering
from quotas.models import (
    ONE,
    AccountOwnership,
    Adjustment,
    Component,
    CreditEntry,
    CustomerTerritory,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    FxRate,
    Grain,
    Measure,
    Period,
    Posting,
    Quota,
    ReceiverClass,
    Rep,
    RuleVersion,
    Team,
    TeamMembership,
    Territory,
    TerritoryAssignment,
)
from quotas.selectors import recredits
from quotas.selectors.deals import complete, credit_of, expected_credit, owners_of_usage, with_facts
from quotas.selectors.leaderboard import Leaderboard, whole_leaderboard
from quotas.selectors.rules import VersionShown

DEALS: Final = 2_000  # a slice
ENTRIES: Final = 5_000
SHARED: Final = "Currency"  # head of the column that several amounts of a row share
CLOSED: Final = "latest_version__close_date"
WAITING: Final = 100


def money(minor: int | None, currency: Currency) -> Amount | None:
    return None if minor is None else Amount(minor, currency.code, currency.exponent)


def of_measure(measure: Measure) -> Callable[[int | None], Amount | None]:
    """Writes minor units of a measure whose currency is at hand; a count has none."""
    currency = measure.currency
    code, exponent = (currency.code, currency.exponent) if currency else ("", COUNT_EXPONENT)
    return lambda minor: None if minor is None else Amount(minor, code, exponent)


def measures() -> list[Measure]:
    """1 query."""
    return list(Measure.objects.select_related("currency").order_by("position", "pk"))


# --- deals ------------------------------------------------------------------------------------------------


def deals(
    found: QuerySet[Deal],
    *,
    entries: QuerySet[CreditEntry] | None,
    publisher: int | None,
    order: Sequence[str] = ("-id",),
) -> Table:
    """A row a deal, in the order of the list, with its net credit by measure as far as *entries* go.

    publisher   Its own lines alone, and no customer, rep or credit. A fixed number of queries a slice.
    """
    every = [] if publisher is not None else measures()
    names = publisher is None
    columns = [
        Column("deal", "Deal"),
        *(
            [Column("customer", "Customer"), Column("title", "Title")]
            if names
            else [Column("segment", "Segment"), Column("region", "Region")]
        ),
        Column("offerings", "What was sold", key="sold"),
        Column("publishers", "Publisher", key="sold"),
        Column("kind", "Kind", key="closed"),
        *([Column("owner", "Owner", key="owner"), Column("shares", "Shares", key="owner")] if names else []),
        Column("close_date", "Closed", "date", key="closed"),
        Column("value", "Value", "money", SHARED, key="value"),
        *(Column(f"credit_{m.slug}", f"Credit, {m.name}", "money", key="credit") for m in every),
        Column("state", "State"),
        *(
            [
                Column("held", "Held", "flag"),
                Column("amendment_waits", "Amendment waits", "flag"),
                Column("source", "Source"),
                Column("external_id", "External id"),
            ]
            if names
            else []
        ),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        write = [(m.pk, of_measure(m)) for m in every]
        known = _Known.read()
        for page in in_slices(found.values(*_DEAL), order, DEALS, filled=(CLOSED,)):
            facts = _Facts.of([_in_force(deal) for deal in page])
            earned = (
                credit_of([deal["id"] for deal in page], entries) if entries is not None and names else {}
            )
            for deal in page:
                version = _in_force(deal)
                credit = {measure.pk: minor for measure, minor in earned.get(deal["id"], ())}
                yield _deal(
                    deal, facts, version, known, publisher, [put(credit.get(pk)) for pk, put in write]
                )

    return Table(columns, rows)


_DEAL: Final = (
    *("id", "customer__name", "owner__name", "state", "held", "amended_at", "source", "external_id"),
    *("latest_version_id", "credited_version_id", CLOSED),
)


def _in_force(deal: Mapping[str, Any]) -> int:
    """Of a row of _DEAL, as Deal.in_force has it."""
    standing = deal["amended_at"] is not None and deal["credited_version_id"] is not None
    return int(deal["credited_version_id"] if standing else deal["latest_version_id"])


@dataclass(frozen=True)
class _Known:
    """What is few: names by id."""

    offerings: Mapping[int, tuple[str, int, str]]
    reps: Mapping[int, str]
    currencies: Mapping[str, Currency]
    kinds: Mapping[str, str]
    states: Mapping[str, str]

    @classmethod
    def read(cls) -> "_Known":
        """3 queries."""
        offerings = Offering.objects.values_list("pk", "name", "publisher_id", "publisher__name")
        return cls(
            {pk: (name, publisher, by) for pk, name, publisher, by in offerings},
            dict(Rep.objects.values_list("pk", "name")),
            Currency.objects.in_bulk(),
            {value: str(label) for value, label in DealKind.choices},
            {value: str(label) for value, label in DealState.choices},
        )


@dataclass(frozen=True)
class _Facts:
    """Versions with their lines (offering, value) and shares (rep, ppm), by version."""

    versions: Mapping[int, tuple[Any, ...]]
    lines: Mapping[int, list[tuple[int, int]]]
    shares: Mapping[int, list[tuple[int, int]]]

    @classmethod
    def of(cls, ids: Sequence[int]) -> "_Facts":
        """3 queries, whatever their number."""
        lines: dict[int, list[tuple[int, int]]] = {}
        shares: dict[int, list[tuple[int, int]]] = {}
        sold = DealLine.objects.filter(version__in=ids).order_by("line_no")
        value = Coalesce("billed_minor", "amount_minor")
        for version, offering, amount in sold.values_list("version_id", "offering_id", value):
            lines.setdefault(version, []).append((offering, amount))
        shared = DealShare.objects.filter(version__in=ids).order_by("ordinal")
        for version, rep, ppm in shared.values_list("version_id", "rep_id", "ppm"):
            shares.setdefault(version, []).append((rep, ppm))
        fields = ("title", "kind", "close_date", "currency_id", "segment", "region")
        found = DealVersion.objects.filter(pk__in=ids).values_list("pk", *fields)
        return cls({pk: tuple(rest) for pk, *rest in found}, lines, shares)


def _deal(
    deal: Mapping[str, Any],
    facts: _Facts,
    version: int,
    known: _Known,
    publisher: int | None,
    credit: Sequence[Amount | None],
) -> Sequence[Any]:
    title, kind, close_date, code, segment, region = facts.versions[version]
    lines = [
        (*known.offerings[offering], amount)
        for offering, amount in facts.lines.get(version, ())
        if publisher in (None, known.offerings[offering][1])
    ]
    value = money(sum(line[3] for line in lines), known.currencies[code])
    sold = "; ".join(line[0] for line in lines)
    by = "; ".join(dict.fromkeys(line[2] for line in lines))
    reference, state = f"D-{deal['id']:06d}", known.states[deal["state"]]
    if publisher is not None:
        return (reference, segment, region, sold, by, known.kinds[kind], close_date, value, state)
    shares = [(known.reps[rep], ppm) for rep, ppm in facts.shares.get(version, ())]
    return (
        *(reference, deal["customer__name"], title, sold, by, known.kinds[kind]),
        *(deal["owner__name"], _shares(shares), close_date, value, *credit, state),
        *(deal["held"], deal["amended_at"] is not None, deal["source"], deal["external_id"]),
    )


def _shares(shares: Sequence[tuple[str, int]]) -> str:
    """Empty where one has it all: nobody needs to read 100%."""
    if len(shares) < 2:
        return ""
    return "; ".join(f"{name} {(Decimal(ppm) / 10_000).normalize():f}%" for name, ppm in shares)


def approvals(why: Mapping[int, str], measure: Measure | None, now: datetime) -> Table:
    """A row a deal or an amendment that waits, with the credit that it would earn.

    why  By deal, in their order, why it waits for a person.
    """
    columns = [
        Column("deal", "Deal"),
        Column("amendment", "Amendment", "flag"),
        Column("customer", "Customer"),
        Column("owner", "Owner", key="owner"),
        Column("shares", "Shares", key="owner"),
        Column("offerings", "What was sold", key="sold"),
        Column("kind", "Kind", key="sold"),
        Column("new_customer", "New customer", "flag"),
        Column("close_date", "Closed", "date", key="closed"),
        Column("waits_days", "Waits, days", "whole", key="waits"),
        Column("value", "Value", "money", SHARED, key="value"),
        Column(
            "expected_credit",
            f"Expected credit{f', {measure.name}' if measure else ''}",
            "money",
            key="credit",
        ),
        Column("reason", "Why not", key="credit"),
        Column("waits_for", "Why it waits", key="waits"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        write = of_measure(measure) if measure else lambda _minor: None
        for some in in_batches(why, WAITING):
            known = {deal.pk: deal for deal in with_facts(Deal.objects.filter(pk__in=some))}
            page = [known[pk] for pk in some if pk in known]
            complete(page)
            expected = expected_credit(page)
            for deal in page:
                version, credit = deal.latest, expected[deal.pk]
                since = deal.amended_at or deal.submitted_at
                lines = list(version.lines.all())
                earns = credit.by_measure.get(measure.pk, 0) if measure else None
                yield (
                    *(deal.reference, deal.amended_at is not None, deal.customer.name, deal.owner.name),
                    *(
                        _shares([(s.rep.name, s.ppm) for s in version.shares.all()]),
                        "; ".join(line.offering.name for line in lines),
                    ),
                    *(version.get_kind_display(), version.new_customer, version.close_date),
                    (now - since).days if since else 0,
                    money(sum(line.amount_minor for line in lines), version.currency),
                    *(write(earns), "; ".join(credit.reasons)),
                    why[deal.pk],
                )

    return Table(columns, rows)


def usage(found: QuerySet[Deal]) -> Table:
    """A row a customer's offering in a month: metered, billed once that is known, and who is credited. 4 queries a slice."""
    columns = [
        Column("deal", "Deal"),
        Column("customer", "Customer"),
        Column("month", "Month"),
        Column("offering", "Offering"),
        Column("plan", "Plan"),
        Column("quantity", "Quantity", "number"),
        Column("metered", "Metered", "money", SHARED),
        Column("billed", "Billed", "money", SHARED),
        Column("credited_to", "Credited to"),
        Column("held", "Held", "flag"),
    ]
    read = found.prefetch_related("credited_version__lines__plan")

    def rows() -> Iterator[Sequence[Any]]:
        order = ("-credited_version__close_date", "-id")
        for page in in_slices(read, order, DEALS):
            owners = owners_of_usage(page)
            for deal in page:
                version = deal.credited_version
                for line in sorted(version.lines.all(), key=lambda each: each.line_no):
                    yield (
                        *(deal.reference, deal.customer.name, f"{version.close_date:%Y-%m}"),
                        *(line.offering.name, line.plan.name if line.plan else "", line.quantity),
                        money(line.amount_minor, version.currency),
                        money(line.billed_minor, version.currency),
                        *(owners.get(deal.pk, ""), deal.held),
                    )

    return Table(columns, rows)


# --- who stands where -------------------------------------------------------------------------------------


def standings(
    pages: Callable[[], Iterable[Leaderboard]],
    measure: Measure,
    *,
    group: str,
    seen: Callable[[Leaderboard], set[int]],
    money_shown: bool,
) -> Table:
    """A row a standing, best first. seen: the ids whose amounts are shown; the others are empty."""
    sold = group in ("publisher", "offering")
    above = {"rep": "Team", "team": "Under", "offering": "Publisher"}
    columns = [
        Column("rank", "Rank", "whole"),
        Column("movement", "Places won in a week", "whole"),
        Column(group, group.capitalize()),
        Column("slug", "Slug"),
        *([Column("team" if not sold else "of", above[group])] if group in above else []),
        *([Column("attainment_percent", "Attainment %", "percent", key="attainment")] if not sold else []),
        *([Column("credited", "Credited", "money", SHARED, key="credited")] if money_shown else []),
        *([Column("quota", "Quota", "money", SHARED, key="quota")] if money_shown and not sold else []),
        *(
            [
                Column("against_pace_percent", "Against pace, % points", "percent", key="pace"),
                Column("status", "Status"),
            ]
            if not sold
            else []
        ),
    ]
    write = of_measure(measure)

    def rows() -> Iterator[Sequence[Any]]:
        for page in pages():
            may = seen(page)
            for each in page.entries:
                attained = ratio(each.credited_minor, each.quota_minor)
                own = each.id in may
                yield (
                    *(each.rank, each.movement, each.name, each.slug),
                    *([each.team] if group in above else []),
                    *([attained] if not sold else []),
                    *([write(each.credited_minor) if own else None] if money_shown else []),
                    *([write(each.quota_minor) if own else None] if money_shown and not sold else []),
                    *([against_pace(attained, page.pace_ppm), _word(each.status)] if not sold else []),
                )

    return Table(columns, rows)


def attainment(period: Period | None, at: datetime) -> Table:
    """A row a rep with a quota or credit in the period, measure by measure, best attainment first."""
    columns = [
        Column("period", "Period"),
        Column("measure", "Measure"),
        Column("rank", "Rank", "whole"),
        Column("rep", "Rep"),
        Column("slug", "Slug"),
        Column("team", "Team"),
        Column("credited", "Credited", "money", SHARED),
        Column("quota", "Quota", "money", SHARED),
        Column("attainment_percent", "Attainment %", "percent"),
        Column("status", "Status"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        if period is None:
            return
        for measure in measures():
            write = of_measure(measure)
            for page in whole_leaderboard(
                measure=measure, period=period, by="attainment", group="rep", team=None, at=at
            ):
                for each in page.entries:
                    yield (
                        *(page.period.name, measure.name, each.rank, each.name, each.slug, each.team),
                        *(write(each.credited_minor), write(each.quota_minor)),
                        *(ratio(each.credited_minor, each.quota_minor), _word(each.status)),
                    )

    return Table(columns, rows)


def against_pace(attained: Fraction | None, pace_ppm: int) -> Fraction | None:
    return None if attained is None else attained - Fraction(pace_ppm, ONE)


def _word(status: str) -> str:
    return status.replace("_", " ").capitalize()


def quotas(found: QuerySet[Quota]) -> Table:
    """A row a quota in force, under the names by which a file of quotas is read in. 1 query a slice."""
    columns = [
        Column("rep", "Rep"),
        Column("employee_no", "Employee number"),
        Column("team", "Team"),
        Column("measure", "Measure"),
        Column("period", "Period"),
        Column("period_start", "First day", "date"),
        Column("period_end", "Last day", "date"),
        Column("amount", "Amount", "money", SHARED),
        Column("starts", "Counts from", "date"),
        Column("method", "Method"),
        Column("version", "Version", "whole"),
    ]
    read = found.select_related("rep", "team", "measure__currency", "period")

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(read, ("period__starts", "period_id", "measure_id", "id")):
            for each in page:
                yield (
                    each.rep.slug if each.rep else "",
                    each.rep.employee_no if each.rep else "",
                    each.team.slug if each.team else "",
                    each.measure.slug,
                    each.period.name,
                    each.period.starts,
                    each.period.ends - timedelta(days=1),
                    of_measure(each.measure)(each.amount_minor),
                    each.starts,
                    each.method,
                    each.version,
                )

    return Table(columns, rows)


# --- rules, periods, people -------------------------------------------------------------------------------


def rules(versions: Sequence[VersionShown]) -> Table:
    """A row a rule of a plan version, as it reads."""
    conditions = {
        name: label for version in versions for rule in version.rules for name, label in _said(rule)
    }
    columns = [
        Column("plan", "Plan"),
        Column("version", "Version", "whole"),
        Column("state", "State"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
        Column("rule", "Rule"),
        Column("measure", "Measure"),
        Column("sentence", "What it says"),
        Column("receivers", "Receivers"),
        Column("exclusive", "Exclusive", "flag"),
        Column("percent", "Factor %", "percent"),
        Column("cap", "Cap a deal", "money"),
        Column("priority", "Priority", "whole"),
        Column("rule_starts", "Rule from", "date"),
        Column("rule_ends", "Rule to before", "date"),
        *(Column(name, label) for name, label in conditions.items()),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for shown in versions:
            version, span = shown.version, shown.version.effective
            for each in shown.rules:
                rule: RuleVersion = each.rule
                own, said = rule.effective, dict(each.conditions)
                yield (
                    *(version.plan.name, version.number, version.get_state_display(), span.lower, span.upper),
                    *(rule.name, rule.measure.name, each.sentence, rule.get_receivers_display()),
                    *(
                        rule.exclusive,
                        Fraction(rule.factor_ppm, ONE),
                        of_measure(rule.measure)(rule.cap_minor),
                    ),
                    *(rule.priority, own.lower if own else None, own.upper if own else None),
                    *(said.get(label, "") for label in conditions.values()),
                )

    return Table(columns, rows)


def _said(rule: Any) -> Iterator[tuple[str, str]]:
    return ((label.lower().replace(" ", "_"), label) for label, _values in rule.conditions)


def periods() -> Table:
    """A row a period of every calendar, oldest first, the longer of two that start together first. 1 query."""
    columns = [
        Column("period", "Period"),
        Column("grain", "Grain"),
        Column("calendar", "Calendar"),
        Column("first_day", "First day", "date"),
        Column("last_day", "Last day", "date"),
        Column("state", "State"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in Period.objects.select_related("calendar").order_by("calendar_id", "starts", "-ends"):
            month = each.grain == Grain.MONTH
            yield (
                *(each.name, each.get_grain_display(), each.calendar.name),
                *(each.starts, each.ends - timedelta(days=1), each.get_state_display() if month else ""),
            )

    return Table(columns, rows)


def people(found: QuerySet[TeamMembership]) -> Table:
    """A row a rep's time in a team, as it is known now."""
    columns = [
        Column("rep", "Rep"),
        Column("slug", "Slug"),
        Column("employee_no", "Employee number"),
        Column("email", "E-mail"),
        Column("team", "Team"),
        Column("team_slug", "Team slug"),
        Column("role", "Role"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
    ]
    read = found.select_related("rep__user", "team")

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(read, ("rep__name", "rep_id", "id")):
            for each in page:
                rep = each.rep
                yield (
                    *(rep.name, rep.slug, rep.employee_no, rep.user.email if rep.user else ""),
                    *(each.team.name, each.team.slug, each.get_role_display()),
                    *(each.effective.lower, each.effective.upper),
                )

    return Table(columns, rows)


def territories(on: date) -> Table:
    """A row a territory, customer in it and rep who covers it on a day or later; what is empty has none. 3 queries."""
    columns = [
        Column("territory", "Territory"),
        Column("slug", "Slug"),
        Column("house_rep", "House rep"),
        Column("what", "What"),
        Column("name", "Name"),
        Column("name_slug", "Slug of it"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        still = Q(effective__endswith__gt=on) | Q(effective__endswith=None)
        covers = TerritoryAssignment.objects.filter(still, superseded_at=None).select_related("rep")
        lying = CustomerTerritory.objects.filter(still, superseded_at=None).select_related("customer")
        inside: dict[int, list[tuple[Any, ...]]] = {}
        for cover in covers.order_by("rep__name", "pk"):
            span = cover.effective
            row = ("Covered by", cover.rep.name, cover.rep.slug, span.lower, span.upper)
            inside.setdefault(cover.territory_id, []).append(row)
        for place in lying.order_by("customer__name", "pk"):
            span = place.effective
            row = ("Customer", place.customer.name, place.customer.slug, span.lower, span.upper)
            inside.setdefault(place.territory_id, []).append(row)
        for territory in Territory.objects.select_related("house_rep").order_by("name", "pk"):
            house = territory.house_rep.name if territory.house_rep else ""
            for each in inside.get(territory.pk, [("", "", "", None, None)]):
                yield (territory.name, territory.slug, house, *each)

    return Table(columns, rows)


def rates(found: QuerySet[FxRate]) -> Table:
    """A row an exchange rate in force over some days."""
    columns = [
        Column("from_currency", "From currency"),
        Column("to_currency", "To currency"),
        Column("rate", "Rate", "number"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
        Column("recorded_at", "Recorded", "instant"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found, ("from_currency_id", "to_currency_id", "id")):
            for each in page:
                yield (
                    *(
                        each.from_currency_id,
                        each.to_currency_id,
                        Decimal(each.rate_e9).scaleb(-9).normalize(),
                    ),
                    *(each.effective.lower, each.effective.upper, each.recorded_at),
                )

    return Table(columns, rows)


def owners(found: QuerySet[AccountOwnership]) -> Table:
    """A row an account's owner over some days."""
    columns = [
        Column("account", "Account"),
        Column("slug", "Slug"),
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
        Column("credits_from", "Credited from", "date"),
        Column("credits_to_before", "Credited to before", "date"),
    ]
    read = found.select_related("customer", "rep")

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(read, ("customer__name", "customer_id", "id")):
            for each in page:
                yield (
                    *(each.customer.name, each.customer.slug, each.rep.name, each.rep.slug),
                    *(each.effective.lower, each.effective.upper, each.credits.lower, each.credits.upper),
                )

    return Table(columns, rows)


# --- the ledger -------------------------------------------------------------------------------------------

_ENTRY: Final = (
    *("id", "posting_id", "posting_period_id", "origin_period_id", "credit_date", "deal_id", "line_no"),
    *("rep_id", "team_id", "measure_id", "receiver_class", "component", "rule_version_id", "amount_minor"),
    *("reverses_id", "adjustment_id"),
)


def ledger(entries: QuerySet[CreditEntry], *, until: int, order: Sequence[str] = ("-id",)) -> Table:
    """A row an entry, in the order of the list. What is few is read once, deals, postings and adjustments by slice: 4 queries.

    until   The last entry that belongs to it: what is posted while it is written does not.
    """
    columns = [
        Column("entry", "Entry", "whole"),
        Column("recorded_at", "Posted", "instant", key="date"),
        Column("posting", "Posting", "whole"),
        Column("kind", "By"),
        Column("posting_period", "Posting period", key="date"),
        Column("origin_period", "Origin period", key="date"),
        Column("credit_date", "Credit date", "date", key="date"),
        Column("deal", "Deal", key="deal"),
        Column("line", "Line", "whole", key="deal"),
        Column("source", "Source", key="deal"),
        Column("external_id", "External id", key="deal"),
        Column("customer", "Customer", key="deal"),
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("employee_no", "Employee number"),
        Column("team", "Team"),
        Column("measure", "Measure"),
        Column("class", "Class"),
        Column("component", "Component"),
        Column("rule", "Rule", key="rule"),
        Column("plan_version", "Plan version", key="rule"),
        Column("amount", "Amount", "money", SHARED),
        Column("reverses", "Reverses entry", "whole"),
        Column("reason", "Reason"),
        Column("adjustment", "Adjustment", key="deal"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        reps = {pk: rest for pk, *rest in Rep.objects.values_list("pk", "name", "slug", "employee_no")}
        teams = dict(Team.objects.values_list("pk", "name"))
        names = dict(Period.objects.values_list("pk", "name"))
        every = {m.pk: (m.name, of_measure(m)) for m in measures()}
        versions = {
            rule.pk: (rule.name, str(rule.plan_version))
            for rule in RuleVersion.objects.select_related("plan_version__plan")
        }
        kinds = dict(Posting._meta.get_field("kind").flatchoices)
        classes, components = dict(ReceiverClass.choices), dict(Component.choices)
        paths = {key.removeprefix("-") for key in order} - set(_ENTRY)
        found = entries.filter(pk__lte=until).values(*_ENTRY, *paths)
        for page in in_slices(found, order, ENTRIES):
            postings = {
                pk: rest
                for pk, *rest in Posting.objects.filter(pk__in={e["posting_id"] for e in page}).values_list(
                    "pk", "recorded_at", "kind", "reason"
                )
            }
            adjustments = {e["adjustment_id"] for e in page if e["adjustment_id"]}
            about = dict(
                Adjustment.objects.filter(pk__in=adjustments).values_list("pk", "deal_id")
                if adjustments
                else ()
            )
            deals = {
                pk: rest
                for pk, *rest in Deal.objects.filter(
                    pk__in={e["deal_id"] or about.get(e["adjustment_id"]) for e in page}
                ).values_list("pk", "source", "external_id", "customer__name")
            }
            for e in page:
                deal = e["deal_id"] or about.get(e["adjustment_id"])
                given = f"ADJ-{e['adjustment_id']:05d}" if e["adjustment_id"] else None
                recorded_at, kind, reason = postings[e["posting_id"]]
                measure, amount = every[e["measure_id"]]
                rule, plan_version = versions.get(e["rule_version_id"], ("", ""))
                yield (
                    *(e["id"], recorded_at, e["posting_id"], kinds.get(kind, kind)),
                    *(names[e["posting_period_id"]], names[e["origin_period_id"]], e["credit_date"]),
                    *((f"D-{deal:06d}", e["line_no"], *deals[deal]) if deal else (None,) * 5),
                    *(*reps[e["rep_id"]], teams[e["team_id"]], measure),
                    *(classes[e["receiver_class"]], components[e["component"]], rule, plan_version),
                    *(amount(e["amount_minor"]), e["reverses_id"], reason, given),
                )

    return Table(columns, rows)


# --- previews, recredit, parity -------------------------------------------------------------------------------------


def plan_impact(run: Job) -> Table:
    """A row a rep in a team and measure whom a plan version would move, the largest move first. 3 queries."""
    columns = [
        Column("measure", "Measure"),
        Column("team", "Team"),
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("before", "Before", "money", SHARED),
        Column("after", "After", "money", SHARED),
        Column("change", "Change", "money", SHARED),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        moves = run.result["moves"]
        every = {m.pk: (m.name, of_measure(m)) for m in measures()}
        teams = dict(Team.objects.filter(pk__in={m[1] for m in moves}).values_list("pk", "name"))
        reps = Rep.objects.in_bulk({m[2] for m in moves})
        for measure, team, rep, before, after in moves:
            name, amount = every[measure]
            yield (
                *(name, teams.get(team, ""), reps[rep].name, reps[rep].slug),
                *(amount(before), amount(after), amount(after - before)),
            )

    return Table(columns, rows)


def recredit_runs(found: QuerySet[Job]) -> Table:
    """A row a run, the latest first."""
    columns = [
        Column("run", "Run", "whole"),
        Column("what", "What changed"),
        Column("cause", "Cause"),
        Column("reason", "Reason"),
        Column("starts", "Credit dates from", "date"),
        Column("ends", "To before", "date"),
        Column("asked_by", "Asked by"),
        Column("asked_at", "Asked", "instant"),
        Column("finished_at", "Finished", "instant"),
        Column("state", "State"),
        *(Column(name, label, "whole") for name, (label, _detail) in recredits.OF_ENTRIES.items()),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found, ("-id",)):
            for job in page:
                asked = job.parameters
                yield (
                    *(job.pk, asked["what"], recredits.Cause(asked["cause"]).label, asked["reason"]),
                    *(date.fromisoformat(asked["starts"]), date.fromisoformat(asked["ends"])),
                    *(job.requested_by.name if job.requested_by else "Parity", job.requested_at),
                    *(job.finished_at, job.get_state_display()),
                    *(job.counts.get(name, 0) for name in recredits.OF_ENTRIES),
                )

    return Table(columns, rows)


def recredit_moves(job: Job) -> Table:
    """A row a deal, rep, team, measure and month of origin that a run moved. 5 queries and 1 a slice."""
    columns = [
        Column("deal", "Deal"),
        Column("customer", "Customer"),
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("team", "Team"),
        Column("measure", "Measure"),
        Column("origin_period", "Month of origin"),
        Column("moved", "Moved by", "money", SHARED),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        every = {m.pk: (m.name, of_measure(m)) for m in measures()}
        reps = {pk: rest for pk, *rest in Rep.objects.values_list("pk", "name", "slug")}
        teams = dict(Team.objects.values_list("pk", "name"))
        months = dict(Period.objects.filter(grain=Grain.MONTH).values_list("pk", "name"))
        moved = (
            recredits.entries_of(job)
            .values_list("deal", "rep", "team", "measure", "origin_period")
            .annotate(total=Sum("amount_minor"))
            .exclude(total=0)
            .order_by("deal", "rep", "team", "measure", "origin_period")
        )
        for page in in_batches(moved.iterator(chunk_size=ENTRIES), ENTRIES):
            ids = {row[0] for row in page}
            names = dict(Deal.objects.filter(pk__in=ids).values_list("pk", "customer__name"))
            for deal, rep, team, measure, month, total in page:
                name, amount = every[measure]
                yield (
                    *(f"D-{deal:06d}", names[deal], *reps[rep], teams[team]),
                    *(name, months[month], amount(total)),
                )

    return Table(columns, rows)


def parity(findings: Mapping[str, Any], *, lines: bool) -> Table:
    """A row a thing that is not equal: of the rules by finding and outcome, of eligibility by offering.

    lines   Whether its reader may see single deals: then the lines that differ most follow their finding.
    """
    columns = [
        Column("verdict", "Verdict"),
        Column("what", "What differs"),
        Column("measure", "Measure"),
        Column("clause", "By which clause"),
        Column("excepted", "Excepted", "flag"),
        Column("own", "The offering earns"),
        Column("twin", "Its twin earns"),
        Column("offerings", "Offerings", "whole"),
        Column("lines", "Lines", "whole"),
        Column("deals", "Deals", "whole"),
        Column("combinations", "Combinations", "whole"),
        Column("offering", "Offering"),
        Column("publisher", "Publisher"),
        Column("deal", "Deal"),
        Column("credit_date", "Credit date", "date"),
        Column("earned", "Earned", "money", SHARED),
        Column("earned_as_twin", "Earned as twin", "money", SHARED),
        Column("value", "Deal value", "money", SHARED),
        Column("since", "Since", "date"),
        Column("decided_by", "Decided by"),
    ]
    names = [column.name for column in columns]

    def row(**given: Any) -> Sequence[Any]:
        return [given.get(name) for name in names]

    def rows() -> Iterator[Sequence[Any]]:
        for finding in findings["rules"]["findings"]:
            told = {
                "verdict": "Rules",
                "what": finding["rule"]["name"],
                "measure": finding["rule"]["measure"],
                "clause": "; ".join(f"{c['label']}: {', '.join(c['values'])}" for c in finding["clauses"]),
                "excepted": finding["exception"] is not None,
            }
            counts = {
                "offerings": finding["offerings_in_all"],
                "lines": finding["lines"],
                "deals": finding["deals"],
            }
            for outcome in finding["outcomes"] or [{"own": "", "twin": "", "combinations": None}]:
                yield row(
                    **told,
                    **counts,
                    own=outcome["own"],
                    twin=outcome["twin"],
                    combinations=outcome["combinations"],
                )
            for line in finding["shown"] if lines else ():
                code, exponent = line["currency"] or "", line["exponent"]
                yield row(
                    **told,
                    offering=line["offering"]["name"],
                    publisher=line["offering"]["publisher"],
                    deal=f"D-{line['deal_id']:06d}",
                    credit_date=date.fromisoformat(line["credit_date"]),
                    earned=Amount(line["own_minor"], code, exponent),
                    earned_as_twin=Amount(line["twin_minor"], code, exponent),
                )
        eligibility = findings["eligibility"]
        code, exponent = eligibility["currency"] or "", eligibility["exponent"]
        for group in eligibility["findings"]:
            decision = group["decision"]
            for each in group["offerings"]:
                yield row(
                    verdict="Eligibility",
                    what="Counts for less toward quota",
                    excepted=group["exception"] is not None,
                    lines=each["lines"],
                    offering=each["name"],
                    publisher=each["publisher"],
                    value=Amount(each["value_minor"], code, exponent),
                    since=date.fromisoformat(group["since"]) if group["since"] else None,
                    decided_by=decision["made_by"] if decision else "",
                )

    return Table(columns, rows)

"""Usage of models by our own products: rows of a file or of a program become lines of a month, and corrections of lines.

A line is one feature, model version, plan and host in one month. The same row again changes nothing; other figures for
the same line supersede what was stated. Where a row leaves out plan or host, it means the line that there already is. A
row whose plan has no price goes in: it is unpriced, never free.

The check of a file is its import, rolled back (docs/decisions/0018).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import Final, NamedTuple

from django.db import transaction

from accounts.audit import acting
from accounts.models import User
from config import bulk
from config.clock import day_of
from config.house import day, whole
from config.locks import one_at_a_time
from config.months import add_months
from config.names import fold
from config.refusals import Invalid, Problem
from marketplace.importers import usage as importer
from marketplace.importers.files import storable_text
from marketplace.importers.rows import Unreadable
from marketplace.importers.usage import UsageRow, WrongUsage
from marketplace.models import Company, Feature, FeatureUsage, ModelVersion, Plan, UsageImport
from marketplace.selectors.costs import LARGEST, Usage
from marketplace.selectors.sourcing.binding import plans_to_buy
from marketplace.selectors.sourcing.costing import USD, PriceBook, Priced
from marketplace.services.sourcing.access import must_lead_sourcing

NEW, CORRECTED, UNCHANGED, REFUSED, UNPRICED = "new", "corrected", "unchanged", "refused", "unpriced"
LOCK: Final = "marketplace.sourcing_usage"
NEAR: Final = 0.6
LONGEST_SOURCE: Final = 200


@dataclass(frozen=True, slots=True)
class NotPriced:
    """Rows that went in and cost nobody knows what, by model, plan and reason."""

    model: str
    plan: str
    why: str
    rows: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the rows, or would become of them.

    counts     new, corrected, unchanged, refused: they add up to the rows. unpriced is a part of the first two.
    wrong      Why rows were refused. Unless these were to be left out, one of them keeps every row out.
    recorded   Something was written.
    minor      What the new and the corrected lines cost, USD cents; before_minor: what those they correct did.
    already    The earlier import of this very file; nothing was looked at again but what it had refused.
    """

    counts: Mapping[str, int]
    wrong: tuple[WrongUsage, ...] = ()
    unpriced: tuple[NotPriced, ...] = ()
    recorded: bool = False
    minor: int = 0
    before_minor: int = 0
    run: UsageImport | None = None
    already: UsageImport | None = None


class Key(NamedTuple):
    """What makes a line one."""

    feature: int
    version: int
    plan: int | None
    host: int | None
    month: date


@dataclass(slots=True)
class _Line:
    """A row with what its names stand for. old: the line in force that it is about."""

    row: UsageRow
    key: Key
    old: FeatureUsage | None = None
    exact: bool = True

    @property
    def same(self) -> bool:
        old, row = self.old, self.row
        return (
            old is not None
            and (old.input_tokens, old.cached_tokens, old.output_tokens)
            == (row.input_tokens, row.cached_tokens, row.output_tokens)
            and row.requests in (None, old.requests)
            and old.plan_id == self.key.plan
        )


@transaction.atomic
def import_usage(
    *,
    content: bytes,
    file_name: str,
    by: User,
    at: datetime,
    dry_run: bool = False,
    leave_out_wrong: bool = False,
) -> Outcome:
    """Record a CSV file with a head of importers.usage.COLUMNS: every row, or with leave_out_wrong those that can be taken.

    dry_run   All of it is done, said and undone.
    Raises    Invalid for a file that is no such table; Forbidden.
    """
    must_lead_sourcing(by)
    one_at_a_time(LOCK)
    file_name = storable_text(file_name)
    acting(by=by, at=at, reason=f"Usage file {file_name[:120]}")
    digest = hashlib.sha256(content).hexdigest()
    try:
        read = importer.read(content)
    except Unreadable as unreadable:
        raise Invalid.of(unreadable.code, str(unreadable), "/file") from unreadable
    already = UsageImport.objects.filter(digest=digest).order_by("-id").first()
    rows, wrong, left = list(read.rows), list(read.wrong), 0
    if already is not None:
        again = {refused["line"] for refused in already.errors}
        left = len(read.said) - len(again)
        rows = [row for row in rows if row.line in again]
        if not again:
            return Outcome({UNCHANGED: left}, already=already)
    run = UsageImport.objects.create(file_name=file_name[:200], digest=digest, imported_by=by, imported_at=at)
    source = f"File {file_name}"[:LONGEST_SOURCE]
    found = _record(rows, wrong, source=source, by=by, at=at, run=run, only_whole=not leave_out_wrong)
    counts = Counter(found.counts)
    counts[UNCHANGED] += left
    wrong = [_with_row(each, read.said) for each in found.wrong]
    recorded = found.recorded or (not wrong and already is None)
    if dry_run or not recorded:
        transaction.set_rollback(True)
    else:
        run.counts = dict(counts)
        run.errors = [
            {"line": w.line, "column": w.column, "code": w.code, "message": w.message, "row": dict(w.said)}
            for w in wrong
        ]
        run.save(update_fields=["counts", "errors"])
    return Outcome(
        counts=counts,
        wrong=tuple(wrong),
        unpriced=found.unpriced,
        recorded=recorded and not dry_run,
        minor=found.minor,
        before_minor=found.before_minor,
        run=run if recorded and not dry_run else None,
        already=already,
    )


@transaction.atomic
def record_usage(
    *, rows: Sequence[UsageRow], source: str, by: User, at: datetime, dry_run: bool = False
) -> Outcome:
    """The same for rows of a program, all or none. line: their place, from 0.

    Raises  Invalid with a pointer /rows/<line>/<column> for everything that is wrong; Forbidden.
    """
    must_lead_sourcing(by)
    one_at_a_time(LOCK)
    acting(by=by, at=at, reason=f"Usage of {source[:120]}")
    found = _record(rows, (), source=source[:LONGEST_SOURCE], by=by, at=at, run=None, only_whole=True)
    if found.wrong:
        raise Invalid(
            *(
                Problem(w.code, w.message, f"/rows/{w.line}" + (f"/{w.column}" if w.column else ""))
                for w in found.wrong
            )
        )
    if dry_run:
        transaction.set_rollback(True)
    return found


def _with_row(wrong: WrongUsage, said: Mapping[int, Mapping[str, str]]) -> WrongUsage:
    return WrongUsage(wrong.line, wrong.column, wrong.code, wrong.message, said.get(wrong.line, {}))


def _record(
    rows: Sequence[UsageRow],
    unread: Iterable[WrongUsage],
    *,
    source: str,
    by: User,
    at: datetime,
    run: UsageImport | None,
    only_whole: bool,
) -> Outcome:
    """Rows to lines. 6 queries to understand them, 4 to price them, 2 to write them."""
    lines, wrong = _Names().understood(rows, today=day_of(at))
    wrong = sorted([*unread, *wrong, *_matched(lines)], key=lambda each: each.line)
    bad = {each.line for each in wrong}
    good = [line for line in lines if line.row.line not in bad]
    moved = [line for line in good if not line.same]
    counts = Counter({NEW: 0, CORRECTED: 0, UNCHANGED: len(good) - len(moved), REFUSED: len(bad)})
    if bad and only_whole:
        return Outcome({REFUSED: len(bad), "fine": len(good)}, tuple(wrong))
    old = [line.old for line in moved if line.old is not None]
    if old:
        FeatureUsage.objects.filter(pk__in=[each.pk for each in old]).update(superseded_at=at)
    made = [
        FeatureUsage(
            feature_id=line.key.feature,
            model_version_id=line.key.version,
            plan_id=line.key.plan,
            host_id=line.key.host,
            month=line.key.month,
            input_tokens=line.row.input_tokens,
            cached_tokens=line.row.cached_tokens,
            output_tokens=line.row.output_tokens,
            requests=line.row.requests,
            source=source,
            brought_by=run,
            recorded_by=by,
            recorded_at=at,
        )
        for line in moved
    ]
    bulk.insert(made)
    counts[CORRECTED], counts[NEW] = len(old), len(moved) - len(old)
    unpriced, minor, before = _priced(made, old, {line.key: line.row.model for line in moved})
    counts[UNPRICED] = sum(each.rows for each in unpriced)
    return Outcome(counts, tuple(wrong), unpriced, bool(made), minor, before)


def _priced(
    made: Sequence[FeatureUsage], old: Sequence[FeatureUsage], models: Mapping[Key, str]
) -> tuple[tuple[NotPriced, ...], int, int]:
    """What has no price, what the lines cost and what those did that they correct. 5 queries."""
    if not made:
        return (), 0, 0
    months = {each.month for each in made}
    plans = {each.plan_id for each in [*made, *old] if each.plan_id is not None}
    book = PriceBook(plans, min(months), add_months(max(months), 1))
    named = {
        plan.pk: f"{plan.offering.slug}/{plan.slug}"
        for plan in Plan.objects.filter(pk__in=plans).select_related("offering")
    }
    open_: Counter[tuple[str, str, str]] = Counter()
    minor = 0
    for each in made:
        cost = cost_of(book, each)
        if cost.minor is None:
            open_[models[key_of(each)], named.get(each.plan_id or 0, ""), cost.why] += 1
        elif cost.currency == USD:
            minor += cost.minor
    before = [cost_of(book, each) for each in old]
    known = sum(cost.minor or 0 for cost in before if cost.currency == USD)
    return tuple(NotPriced(*said, rows) for said, rows in open_.most_common()), minor, known


def cost_of(book: PriceBook, line: FeatureUsage) -> Priced:
    """What one line costs."""
    usage = Usage(
        input_tokens=line.input_tokens,
        cached_input_tokens=line.cached_tokens,
        output_tokens=line.output_tokens,
        requests=line.requests or 0,
    )
    return book.cost(line.plan_id, line.month, usage)


def key_of(line: FeatureUsage) -> Key:
    return Key(line.feature_id, line.model_version_id, line.plan_id, line.host_id, line.month)


# --- which line a row is about -----------------------------------------------------------------------------


def _matched(lines: Sequence[_Line]) -> list[WrongUsage]:
    """Gives each its line in force, and says which rows are about one line twice, or could be about several. 1 query."""
    in_force: dict[Key, FeatureUsage] = {}
    near: dict[tuple[int, int, date], list[FeatureUsage]] = defaultdict(list)
    months = {line.key.month for line in lines}
    for each in FeatureUsage.objects.filter(superseded_at=None, month__in=months):
        in_force[key_of(each)] = each
        near[each.feature_id, each.model_version_id, each.month].append(each)
    taken = {line.key for line in lines if line.key in in_force}
    wrong: list[WrongUsage] = []
    for line in lines:
        line.old = in_force.get(line.key)
        if line.old is not None or line.exact:
            continue
        own = near[line.key.feature, line.key.version, line.key.month]
        fits = [
            each
            for each in own
            if key_of(each) not in taken
            and (not line.row.plan or each.plan_id == line.key.plan)
            and (not line.row.host or each.host_id == line.key.host)
        ]
        if len(fits) > 1:
            said = f"There are {len(fits)} lines of it in {line.key.month:%B %Y}: name plan and host."
            wrong.append(WrongUsage(line.row.line, "plan", "which_line", said))
        elif fits:
            line.old = fits[0]
            keeps = fits[0].plan_id or line.key.plan
            line.key = line.key._replace(plan=keeps, host=fits[0].host_id)
    return wrong + _twice(lines)


def _twice(lines: Sequence[_Line]) -> list[WrongUsage]:
    first: dict[Key, _Line] = {}
    wrong = []
    for line in lines:
        before = first.setdefault(line.key, line)
        if before is not line:
            said = "The same line stands above already; take one of them out."
            wrong.append(WrongUsage(line.row.line, "", "duplicate_row", said))
    return wrong


# --- what names stand for ----------------------------------------------------------------------------------


class _Names:
    """Features, models, plans and hosts by the names that a file may use. 4 queries."""

    def __init__(self) -> None:
        self.features = {feature.slug: feature.pk for feature in Feature.objects.all()}
        self.versions: dict[str, list[ModelVersion]] = defaultdict(list)
        for version in ModelVersion.objects.select_related("model").order_by("model_id", "id"):
            self.versions[version.model.slug].append(version)
        self.plans: dict[int, list[Plan]] = defaultdict(list)
        for plan in Plan.objects.filter(offering__model_version__isnull=False).select_related("offering"):
            self.plans[plan.offering.model_version_id or 0].append(plan)
        self.hosts = {company.slug: company.pk for company in Company.objects.all()}

    def understood(self, rows: Sequence[UsageRow], *, today: date) -> tuple[list[_Line], list[WrongUsage]]:
        """The lines that the rows are about, and everything that is wrong with the others. 1 query."""
        lines: list[_Line] = []
        wrong: list[WrongUsage] = []
        plain: list[tuple[UsageRow, int, ModelVersion, Plan | None, int | None]] = []
        for row in rows:
            problems = list(_senseless(row, today))
            feature = self.features.get(row.feature)
            if feature is None:
                problems.append(
                    ("feature", "unknown_feature", _no_such("feature", row.feature, self.features))
                )
            version, why = self._version(row)
            problems += why
            plan = None
            if version is not None and row.plan:
                plan, why = self._plan(row, version)
                problems += why
            host = self.hosts.get(row.host) if row.host else None
            if row.host and host is None:
                problems.append(("host", "unknown_company", _no_such("company", row.host, self.hosts)))
            wrong += [WrongUsage(row.line, column, code, said) for column, code, said in problems]
            if not problems and feature is not None and version is not None:
                plain.append((row, feature, version, plan, host))
        bought = plans_to_buy({version.pk for _, _, version, plan, _ in plain if plan is None})
        for row, feature, version, plan, host in plain:
            as_what = plan.pk if plan is not None else bought.get(version.pk)
            key = Key(feature, version.pk, as_what, host, row.month)
            lines.append(_Line(row, key, exact=bool(row.plan and row.host)))
        return lines, wrong

    def _version(self, row: UsageRow) -> tuple[ModelVersion | None, list[tuple[str, str, str]]]:
        found = self.versions.get(row.model)
        if found is None:
            return None, [("model", "unknown_model", _no_such("model", row.model, self.versions))]
        if not row.version and len(found) == 1:
            return found[0], []
        labels = [version.label for version in found]
        if not row.version:
            said = f"{row.model} has the versions {', '.join(labels)}: name one of them."
            return None, [("version", "which_version", said)]
        named = next((version for version in found if fold(version.label) == fold(row.version)), None)
        if named is None:
            said = f"{row.model} has no version {row.version[:60]}; it has {', '.join(labels)}."
            return None, [("version", "unknown_version", said)]
        return named, []

    def _plan(self, row: UsageRow, version: ModelVersion) -> tuple[Plan | None, list[tuple[str, str, str]]]:
        known = {f"{plan.offering.slug}/{plan.slug}": plan for plan in self.plans[version.pk]}
        fits = [plan for name, plan in known.items() if row.plan in (name, plan.slug)]
        if len(fits) == 1:
            return fits[0], []
        if fits:
            names = ", ".join(name for name, plan in known.items() if plan in fits)
            return None, [("plan", "which_plan", f"It may be {names}: write one of them.")]
        if not known:
            said = f"Nothing sells {row.model}: leave the plan out."
            return None, [("plan", "unknown_plan", said)]
        return None, [("plan", "unknown_plan", _no_such(f"plan of {row.model}", row.plan, known))]


def _no_such(what: str, written: str, known: Iterable[str]) -> str:
    near = get_close_matches(written.casefold(), list(known), 1, NEAR)
    return f"There is no {what} {written[:80]}." + (f" Did you mean {near[0]}?" if near else "")


def _senseless(row: UsageRow, today: date) -> Iterable[tuple[str, str, str]]:
    if row.month > today:
        yield (
            "month",
            "month_in_future",
            f"{row.month:%B %Y} begins after {day(today)}: nothing can have been used.",
        )
    for name in (*importer.TOKENS, "requests"):
        value: int | None = getattr(row, name)
        if value is not None and value < 0:
            yield name, "negative", "It cannot be negative: a correction states the month's whole figure."
        elif value is not None and value > LARGEST:
            yield name, "too_large", f"It is more than {whole(LARGEST)}."
    if row.cached_tokens > row.input_tokens >= 0:
        yield (
            "cached_tokens",
            "more_cached_than_input",
            "Cached tokens are part of the input tokens: they cannot be more.",
        )

"""What a scenario comes to, as its pages show it: figures, charts with their tables, sentences. No query."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.utils.safestring import SafeString

from config import charts, formats
from config.charts import Held, Tone
from config.exports import Amount, Column, Table
from config.formats import NO_VALUE, money, percent, whole
from config.language import _, later
from marketplace.selectors.sourcing.judging import RunKey
from marketplace.selectors.sourcing.scenario import FeatureRow, Mean, Outcome, QualityRow, Side
from marketplace.selectors.sourcing.scenario_facts import looked_back
from marketplace.selectors.sourcing.scenario_mix import ONE, Taken
from marketplace.selectors.sourcing.scenarios import share_text

TONES: Final[Sequence[Tone]] = ("c1", "c2", "c3", "c4", "c5")
VERDICTS: Final[Mapping[str, tuple[str, Tone, str]]] = {
    "better": (later("Better"), "good", "circle-check"),
    "worse": (later("Worse"), "bad", "circle-x"),
    "level": (later("Not to be told apart"), "accent", "equal"),
    "same": (later("As it is"), "muted", "circle-minus"),
    "unknown": (later("Not known"), "warn", "triangle-alert"),
}
MOVED: Final = {"better": "better", "worse": "worse", "level": "level", "unknown": later("not known")}
FEW: Final = 3
HOW: Final = {
    "fallback": later("as fallback"),
    "bound": later("bound already"),
    "qualified": later("qualified to"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure. tone: of the change."""

    label: str
    value: str
    sub: str
    delta: str = ""
    note: str = ""
    tone: Tone = "muted"


@dataclass(frozen=True, slots=True)
class Ranged:
    """A mean in words, with its bar where it is a share of one."""

    text: str
    interval: str
    bar: SafeString | str


@dataclass(frozen=True, slots=True)
class Judged:
    row: QualityRow
    before: Ranged | None
    after: Ranged | None
    change: str
    interval: str
    word: str
    tone: Tone
    icon: str
    where: str
    suite: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature with its mixes in words and what went where."""

    row: FeatureRow
    before: str
    after: str
    taken: str


def shown(found: Outcome) -> dict[str, Any]:
    """Everything that the result's template reads."""
    facts = found.facts
    touched = [_moved(found, row) for row in found.features if row.touched or row.difference != 0]
    still = [row for row in found.features if not (row.touched or row.difference != 0)]
    first, last = looked_back(facts.on)
    return {
        "outcome": found,
        "figures": figures(found),
        "chart": months_chart(
            [(_("Before"), "muted", found.before), (_("After"), "accent", found.after)], found
        ),
        "twin": months_table([(_("Before"), found.before), (_("After"), found.after)], found),
        "suppliers": found.suppliers,
        "bars": _bars(found),
        "touched": touched,
        "still": still,
        "every": len(found.features),
        "quality": sorted(
            (_judged(row) for row in found.quality), key=lambda each: each.row.verdict == "same"
        ),
        "plans": found.plans,
        "obstacles": found.obstacles,
        "doubts": found.doubts,
        "asides": [f for f in found.findings if not f.blocks and not f.doubt],
        "unpriced": _unpriced(found),
        "left_out": found.left_out,
        "growth": percent(facts.growth_ppm, ONE, signed=True) if facts.growth_ppm else "",
        "first": first,
        "last": last,
        "silent": [f for pk, f in facts.features.items() if pk not in facts.volumes],
        "made_up": any(v.synthetic for v in facts.volumes.values()),
        "unbound": any(
            not part.stated for mixes in found.before.mixes.values() for mix in mixes for part in mix.parts
        ),
    }


# --- figures ----------------------------------------------------------------------------------------------


def figures(found: Outcome) -> list[Figure]:
    return [cost(found), concentration(found), quality(found), credit(found)]


def cost(found: Outcome) -> Figure:
    out = len(found.left_out)
    return Figure(
        _("Cost over %(months)s") % {"months": _months(len(found.facts.months))},
        money(found.after.total, compact=True),
        _("%(total)s before") % {"total": money(found.before.total, compact=True)},
        money(found.difference, compact=True, signed=True) if found.difference else _("No change"),
        _("without %(out)s") % {"out": _features(out)} if out else _("after less before"),
        "muted" if not found.difference else "good" if found.difference < 0 else "warn",
    )


def concentration(found: Outcome) -> Figure:
    before, after = found.before.hhi, found.after.hhi
    change = after - before if before is not None and after is not None else None
    return Figure(
        _("Concentration, HHI"),
        whole(after) if after is not None else NO_VALUE,
        _("%(before)s before") % {"before": whole(before)}
        if before is not None
        else _("Nothing is spent before"),
        _("No change") if change == 0 else whole(change, signed=True) if change is not None else "",
        _("by spend, of 10,000"),
        "muted" if not change else "good" if change < 0 else "warn",
    )


def quality(found: Outcome) -> Figure:
    """Of the tasks that move; tasks are not weighed against each other."""
    verdicts = [row.verdict for row in found.quality]
    moved = [(name, number) for name in MOVED if (number := verdicts.count(name))]
    worse, better, unknown = (verdicts.count(name) for name in ("worse", "better", "unknown"))
    return Figure(
        _("Quality by task"),
        ", ".join(f"{number} {MOVED[name]}" for name, number in moved if name != "unknown")
        or (_("Not known") if unknown else _("As it is")),
        _("%(value)s of %(verdicts)s tasks move")
        % {"value": sum((number for _name, number in moved)), "verdicts": len(verdicts)}
        if verdicts
        else _("No task has traffic"),
        _("%(unknown)s not known") % {"unknown": unknown} if unknown else "",
        _("for want of a score") if unknown else _("by 95% intervals"),
        "warn" if unknown or worse else "good" if better else "muted",
    )


def credit(found: Outcome) -> Figure:
    before, after = found.credit.ppm_before, found.credit.ppm_after
    gap = Fraction(after - before, ONE) if before is not None and after is not None else None
    return Figure(
        _("Traffic on what counts toward quota"),
        percent(after, ONE) if after is not None else NO_VALUE,
        _("%(before)s before") % {"before": percent(before, ONE)} if before is not None else _("No traffic"),
        "" if gap is None else _("%(gap)s points") % {"gap": formats.points(gap)} if gap else _("No change"),
        _("on %(starts_on)s") % {"starts_on": formats.day(found.facts.starts_on)},
        "muted" if not gap else "good" if gap > 0 else "warn",
    )


def _months(number: int) -> str:
    return _("1 month") if number == 1 else _("%(number)s months") % {"number": number}


def _features(number: int) -> str:
    return _("1 feature") if number == 1 else _("%(number)s features") % {"number": number}


# --- months -----------------------------------------------------------------------------------------------


def months_chart(series: Sequence[tuple[str, Tone, Side]], found: Outcome) -> SafeString:
    """What each month costs, side by side. Months are of one horizon."""
    months = found.facts.months
    said = "; ".join(f"{name} {money(side.total, compact=True)}" for name, _tone, side in series)
    return charts.step_chart(
        [
            (tone, [Held(at, at + 1, amount / 100) for at, amount in enumerate(side.by_month)])
            for _name, tone, side in series
        ],
        length=len(months),
        now=None,
        label=_("Cost by month over %(months)s. %(said)s.") % {"months": _months(len(months)), "said": said},
        ticks=month_ticks([formats.month(month.start) for month in months]),
        write=lambda value: money(round(value * 100), compact=True, trim=True),
    )


def month_ticks(names: Sequence[str]) -> list[tuple[float, str]]:
    """First, middle and last; the middle where there is room for it."""
    last = len(names)
    found = [(0.0, names[0])]
    if last >= 6:
        found.append((last // 2 + 0.5, names[last // 2]))
    if last > 1:
        found.append((float(last), names[-1]))
    return found


def months_table(series: Sequence[tuple[str, Side]], found: Outcome) -> SafeString:
    return charts.table_twin(
        _("Cost by month"),
        (_("Month"), *(name for name, _side in series), _("Difference")),
        (
            (
                formats.month(month.start),
                *(money(side.by_month[at]) for _name, side in series),
                money(series[-1][1].by_month[at] - series[0][1].by_month[at], signed=True),
            )
            for at, month in enumerate(found.facts.months)
        ),
    )


def _bars(found: Outcome) -> list[tuple[str, SafeString, SafeString]]:
    """Who gets which part, before and after; the same supplier has the same colour."""
    tones: dict[int, Tone] = {}
    for at, row in enumerate(found.suppliers):
        tones[row.publisher_id] = TONES[at] if at < len(TONES) else "muted"
    bars = []
    for name, total, amounts in (
        (_("Before"), found.before.total, {row.publisher_id: row.before for row in found.suppliers}),
        (_("After"), found.after.total, {row.publisher_id: row.after for row in found.suppliers}),
    ):
        parts = [row for row in found.suppliers if amounts[row.publisher_id]]
        if not total:
            continue
        bars.append(
            (
                name,
                charts.share_bar(
                    [charts.Share(r.name, amounts[r.publisher_id], tones[r.publisher_id]) for r in parts],
                    label=_("Spend by supplier, %(name)s") % {"name": name.lower()},
                ),
                charts.legend(
                    (r.name, percent(amounts[r.publisher_id], total), tones[r.publisher_id]) for r in parts
                ),
            )
        )
    return bars


# --- rows -------------------------------------------------------------------------------------------------


def _moved(found: Outcome, row: FeatureRow) -> Moved:
    return Moved(
        row,
        _mix(row, after=False),
        _mix(row, after=True),
        _taken(found, found.taken.get(row.feature.pk, ())),
    )


def _mix(row: FeatureRow, *, after: bool) -> str:
    shares = row.shares_after if after else row.shares_before
    said = [
        f"{s.name} {'about ' if not s.stated else ''}{share_text(s.share_ppm) if s.share_ppm % 100 == 0 else percent(s.share_ppm, ONE)}"
        for s in shares
        if s.share_ppm
    ]
    if after and row.uncovered_ppm:
        said.append(_("no model %(uncovered_ppm)s") % {"uncovered_ppm": percent(row.uncovered_ppm, ONE)})
    return ", ".join(said) or _("No model")


def _taken(found: Outcome, taken: Iterable[Taken]) -> str:
    """Who takes over how much of the feature, as what; of many together."""
    groups: dict[str, dict[int, int]] = {}
    for each in taken:
        targets = groups.setdefault(each.how, {})
        targets[each.target_id] = targets.get(each.target_id, 0) + each.share_ppm
    said = []
    for how, targets in groups.items():
        if len(targets) > FEW:
            said.append(
                _("%(share)s to %(count)s models, %(how)s")
                % {"share": percent(sum(targets.values()), ONE), "count": len(targets), "how": HOW[how]}
            )
        else:
            said += [
                _("%(share)s to %(model)s, %(how)s")
                % {"share": percent(share, ONE), "model": found.facts.name(pk), "how": HOW[how]}
                for pk, share in targets.items()
            ]
    return "; ".join(said)


def _unpriced(found: Outcome) -> list[dict[str, Any]]:
    """Lines without a price on either side, by feature and model: tokens of both."""
    rows: dict[tuple[int, int, str], list[int]] = {}
    for at, side in enumerate((found.before, found.after)):
        for each in side.unpriced:
            key = (each.feature_id, each.version_id, each.why)
            rows.setdefault(key, [0, 0, 0])[at] = each.tokens
            rows[key][2] = max(rows[key][2], each.months)
    return [
        {
            "feature": found.facts.features[feature],
            "model": found.facts.name(version),
            "why": why,
            "before": tokens_text(before),
            "after": tokens_text(after),
            "months": months,
        }
        for (feature, version, why), (before, after, months) in rows.items()
    ]


def tokens_text(tokens: int) -> str:
    """ "3.92T": counted like money without a currency."""
    return formats.count(tokens, 0, compact=True)


def _judged(row: QualityRow) -> Judged:
    word, tone, icon = VERDICTS[row.verdict]
    change = row.change if row.verdict != "same" else None
    return Judged(
        row,
        _ranged(row.before, row, "before"),
        _ranged(row.after, row, "after"),
        _score(change.score, row.scale, signed=True) if change else "",
        _("%(low)s to %(high)s")
        % {
            "low": _score(change.low, row.scale, signed=True),
            "high": _score(change.high, row.scale, signed=True),
        }
        if change and change.low is not None and change.high is not None
        else "",
        word,
        tone,
        icon,
        f"{row.key.title}: {row.key.conditions}" if row.key is not None else "",
        row.key.suite_slug if isinstance(row.key, RunKey) else "",
    )


def _ranged(mean: Mean | None, row: QualityRow, side: str) -> Ranged | None:
    if mean is None:
        return None
    text = _score(mean.score, row.scale)
    interval, bar = "", ""
    if mean.low is not None and mean.high is not None:
        interval = _("%(low)s to %(high)s") % {
            "low": _score(mean.low, row.scale),
            "high": _score(mean.high, row.scale),
        }
        ends = [end / row.scale for end in (mean.low, mean.score, mean.high)]
        if ends[0] >= 0 and ends[2] <= 1:
            label = _("%(area_name)s %(side)s: %(text)s, 95%% interval %(interval)s") % {
                "area_name": row.area.name,
                "side": side,
                "text": text,
                "interval": interval,
            }
            return Ranged(text, interval, charts.range_bar(*ends, label=label))
    return Ranged(text, interval, bar)


def _score(value: float | None, scale: int, *, signed: bool = False) -> str:
    """A share of one in per cent, anything else as it is; one decimal."""
    if value is None:
        return NO_VALUE
    number = Decimal(f"{value * (100 if scale == 1 else 1):.1f}")
    sign = "+" if signed and number > 0 else ""
    return f"{sign}{formats.decimal(number, 1)}{'' if signed else '%'}"


# --- a file -----------------------------------------------------------------------------------------------


def lines_table(found: Outcome) -> Table:
    """A row for each feature, model, plan and month of either side."""
    columns = [
        Column("month", "Month", "date"),
        Column("product", "Product"),
        Column("feature", "Feature"),
        Column("supplier", "Supplier"),
        Column("model", "Model"),
        Column("plan", "Plan"),
        Column("tokens_before", "Tokens before", "whole"),
        Column("tokens_after", "Tokens after", "whole"),
        Column("cost_before", "Cost before", "money", "Currency"),
        Column("cost_after", "Cost after", "money", "Currency"),
        Column("why_unpriced", "Why there is no price"),
    ]
    facts = found.facts
    keys: dict[tuple[int, int, int, int], dict[str, Any]] = {}
    for name, side in (("before", found.before), ("after", found.after)):
        for line in side.lines:
            key = (line.month, line.feature_id, line.version_id, line.plan_id or 0)
            keys.setdefault(key, {})[name] = line

    def rows() -> Iterator[Sequence[Any]]:
        for (month, feature_id, version_id, plan_id), lines in sorted(keys.items()):
            feature, plan = facts.features[feature_id], facts.book.plan(plan_id)
            before, after = lines.get("before"), lines.get("after")
            yield (
                facts.months[month].start,
                feature.product.name,
                feature.name,
                facts.supplier_name(facts.supplier_id(version_id)),
                facts.name(version_id),
                str(plan) if plan is not None else "",
                before.tokens if before else 0,
                after.tokens if after else 0,
                *(
                    Amount(line.minor, "USD", 2)
                    if line is not None and line.minor is not None
                    else Amount(0, "USD", 2)
                    if line is None
                    else None
                    for line in (before, after)
                ),
                next(line.why for line in lines.values()),
            )

    return Table(columns, rows)

"""Two to four scenarios side by side: one column each, one row a figure, and each month's cost in one drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from config import charts, formats
from config.charts import Held, Tone
from config.exports import Column, Table
from config.formats import NO_VALUE, day, money, percent, rounded, whole
from config.language import _, spoken
from marketplace.models import Scenario
from marketplace.selectors.sourcing.scenario import Outcome
from marketplace.selectors.sourcing.scenario_mix import ONE
from marketplace.selectors.sourcing.scenarios import in_words, moves_of
from marketplace.views.sourcing.scenario_result import VERDICTS, month_ticks

SERIES: Final[Sequence[Tone]] = ("c1", "c2", "c3", "c4")
Pair = tuple[Scenario, Outcome]


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    small: str = ""
    tone: Tone = "muted"
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    rows: Sequence[Row]


def compared(pairs: Sequence[Pair]) -> dict[str, Any]:
    """What the page and its file need. No query."""
    groups = [
        Group(_("What it asks"), _asked(pairs)),
        Group(_("Cost"), _cost(pairs)),
        Group(_("Spend by supplier, after"), _suppliers(pairs)),
        Group(_("Quality by task"), _quality(pairs)),
        Group(_("Commitments and credit"), _plans(pairs)),
        Group(_("Promotion"), _promotion(pairs)),
    ]
    groups = [group for group in groups if group.rows]
    months = {(o.facts.months[0].start, len(o.facts.months)) for _s, o in pairs}
    return {
        "pairs": [(s, SERIES[at]) for at, (s, _o) in enumerate(pairs)],
        "groups": groups,
        "same_months": len(months) == 1,
        "chart": _chart(pairs),
        "twin": _twin(pairs),
        "table": _table(pairs, groups),
    }


def _asked(pairs: Sequence[Pair]) -> list[Row]:
    return [
        Row(_("From"), [Cell(day(s.starts_on)) for s, _o in pairs]),
        Row(_("Months"), [Cell(whole(len(o.facts.months))) for _s, o in pairs]),
        Row(
            _("Growth a year"),
            [Cell(percent(s.growth_ppm, ONE, signed=bool(s.growth_ppm))) for s, _o in pairs],
        ),
        Row(
            _("Moves"),
            [
                Cell("; ".join(in_words(m) for m in moves_of(s)) or _("Nothing yet"), prose=True)
                for s, _o in pairs
            ],
        ),
    ]


def _cost(pairs: Sequence[Pair]) -> list[Row]:
    def a_month(o: Outcome, total: int, *, signed: bool = False) -> str:
        return money(rounded(Fraction(total, len(o.facts.months))), compact=True, signed=signed)

    return [
        Row(_("Before"), [Cell(money(o.before.total, compact=True)) for _s, o in pairs]),
        Row(_("After"), [Cell(money(o.after.total, compact=True)) for _s, o in pairs]),
        Row(
            _("Difference"),
            [
                Cell(
                    money(o.difference, compact=True, signed=True),
                    _("without %(left_out)s that cannot be compared") % {"left_out": len(o.left_out)}
                    if o.left_out
                    else "",
                    "good" if o.difference < 0 else "warn" if o.difference > 0 else "muted",
                )
                for _s, o in pairs
            ],
        ),
        Row(_("A month, after"), [Cell(a_month(o, o.after.total)) for _s, o in pairs]),
        Row(_("A month, difference"), [Cell(a_month(o, o.difference, signed=True)) for _s, o in pairs]),
        Row(
            _("HHI by spend"),
            [
                Cell(
                    whole(o.after.hhi) if o.after.hhi is not None else NO_VALUE,
                    _("%(hhi)s before") % {"hhi": whole(o.before.hhi)} if o.before.hhi is not None else "",
                )
                for _s, o in pairs
            ],
        ),
    ]


def _suppliers(pairs: Sequence[Pair]) -> list[Row]:
    names: dict[int, str] = {}
    for _s, o in pairs:
        names |= {row.publisher_id: row.name for row in o.suppliers if row.before or row.after}
    found = [{row.publisher_id: row for row in o.suppliers} for _s, o in pairs]

    def cell(at: int, o: Outcome, pk: int) -> Cell:
        row = found[at].get(pk)
        if row is None:
            return Cell(NO_VALUE)
        share = percent(row.after, o.after.total) if o.after.total else ""
        return Cell(
            money(row.after, compact=True), f"{share}, {money(row.difference, compact=True, signed=True)}"
        )

    return [Row(name, [cell(at, o, pk) for at, (_s, o) in enumerate(pairs)]) for pk, name in names.items()]


def _quality(pairs: Sequence[Pair]) -> list[Row]:
    areas = {row.area.pk: row.area.name for _s, o in pairs for row in o.quality}

    def cell(o: Outcome, area: int) -> Cell:
        row = next((row for row in o.quality if row.area.pk == area), None)
        if row is None:
            return Cell(NO_VALUE)
        word, tone, _icon = VERDICTS[row.verdict]
        said = "" if row.verdict == "same" else row.key.title if row.key is not None else _("No score")
        return Cell(word, said, tone)

    return [Row(name, [cell(o, pk) for _s, o in pairs]) for pk, name in areas.items()]


def _plans(pairs: Sequence[Pair]) -> list[Row]:
    plans = {row.plan.pk: row.plan for _s, o in pairs for row in o.plans}
    rows = []
    for pk, plan in plans.items():
        cells = []
        for _s, o in pairs:
            row = next((row for row in o.plans if row.plan.pk == pk), None)
            if row is None or row.after is None:
                cells.append(Cell(NO_VALUE))
            else:
                cells.append(
                    Cell(
                        percent(row.after, row.planned),
                        _("of %(planned)s planned") % {"planned": money(row.planned, compact=True)},
                    )
                )
        rows.append(Row(_("Spend plan, %(supplier_name)s") % {"supplier_name": plan.supplier.name}, cells))
    rows.append(
        Row(
            _("Traffic on what counts toward quota"),
            [
                Cell(
                    percent(o.credit.ppm_after, ONE) if o.credit.ppm_after is not None else NO_VALUE,
                    _("%(ppm_before)s before") % {"ppm_before": percent(o.credit.ppm_before, ONE)}
                    if o.credit.ppm_before is not None
                    else "",
                )
                for _s, o in pairs
            ],
        )
    )
    return rows


def _promotion(pairs: Sequence[Pair]) -> list[Row]:
    def cell(s: Scenario, o: Outcome) -> Cell:
        if s.state != "draft":
            return Cell(spoken(s.get_state_display()))
        if not moves_of(s):
            return Cell(_("Nothing moves yet"))
        if o.obstacles:
            return Cell(
                _("%(obstacles)s against it") % {"obstacles": len(o.obstacles)},
                o.obstacles[0].text,
                "bad",
                prose=True,
            )
        return Cell(
            _("Nothing against it"),
            _("%(doubts)s to speak to") % {"doubts": len(o.doubts)} if o.doubts else "",
            "good",
        )

    return [
        Row(_("Can be promoted"), [cell(s, o) for s, o in pairs]),
        Row(
            _("Features without a model for part of their traffic"),
            [Cell(whole(sum(f.code == "uncovered" for f in o.findings))) for _s, o in pairs],
        ),
    ]


def _chart(pairs: Sequence[Pair]) -> Any:
    """Months counted from each one's own first month."""
    longest = max(len(o.facts.months) for _s, o in pairs)
    first = pairs[0][1]
    same = len({(o.facts.months[0].start, len(o.facts.months)) for _s, o in pairs}) == 1
    names = (
        [formats.month(month.start) for month in first.facts.months]
        if same
        else [_("Month %(at)s") % {"at": at + 1} for at in range(longest)]
    )
    series: list[tuple[Tone, list[Held]]] = []
    if same:
        series.append(
            ("muted", [Held(at, at + 1, cents / 100) for at, cents in enumerate(first.before.by_month)])
        )
    series += [
        (SERIES[at], [Held(m, m + 1, cents / 100) for m, cents in enumerate(o.after.by_month)])
        for at, (_s, o) in enumerate(pairs)
    ]
    return charts.step_chart(
        series,
        length=longest,
        now=None,
        label=_("Cost by month. ")
        + "; ".join(f"{s.name} {money(o.after.total, compact=True)}" for s, o in pairs),
        ticks=month_ticks(names),
        write=lambda value: money(round(value * 100), compact=True, trim=True),
    )


def _twin(pairs: Sequence[Pair]) -> Any:
    longest = max(len(o.facts.months) for _s, o in pairs)
    return charts.table_twin(
        _("Cost by month, after"),
        (_("Month"), *(s.name for s, _o in pairs)),
        (
            (
                _("Month %(at)s") % {"at": at + 1},
                *(money(o.after.by_month[at]) if at < len(o.facts.months) else NO_VALUE for _s, o in pairs),
            )
            for at in range(longest)
        ),
    )


def _table(pairs: Sequence[Pair], groups: Sequence[Group]) -> Table:
    columns = [
        Column("group", "Group"),
        Column("figure", "Figure"),
        *(Column(f"scenario_{s.pk}", s.name) for s, _o in pairs),
    ]
    return Table(
        columns,
        lambda: (
            (group.title, row.label, *(f"{c.text} ({c.small})" if c.small else c.text for c in row.cells))
            for group in groups
            for row in group.rows
        ),
    )

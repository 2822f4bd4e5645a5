"""A map bound to the columns of a file, applied row by row."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from config.names import fold
from config.refusals import Problem
from marketplace.importers.rows import shown
from quotas.importers.converting import Convert, Field, Remembered, Wrong, fixed
from quotas.importers.fields import FIELDS, FieldSpec
from quotas.importers.layouts import Cell, Layout
from quotas.importers.mapping import ImportMapping, WrongMap
from quotas.importers.period_names import period_named
from quotas.importers.words import currencies_of, listed, path_of


class Reader:
    """A map bound to the columns of one file.

    fields  Those that the map fills, by a column or a constant.
    """

    def __init__(self, mapping: ImportMapping, layout: Layout, places: Mapping[str, int]) -> None:
        specs = {spec.name: spec for spec in FIELDS[mapping.kind]}
        self.mapping = mapping
        self.fields = frozenset(mapping.columns) | frozenset(mapping.constants)
        self._blank: dict[str, Any] = dict.fromkeys(specs)
        for name, text in mapping.constants.items():
            self._blank[name] = fixed(specs[name], text)
        self._plan: list[tuple[str, int, Convert]] = [
            (name, places[column], Field(specs[name], layout.columns[places[column]], mapping).converter())
            for name, column in mapping.columns.items()
        ]
        self._deals = mapping.kind == "deals"
        self._amount = places[mapping.columns["amount"]] if "amount" in mapping.columns else -1
        self._amount_column = layout.columns[self._amount] if self._amount >= 0 else ""
        self._splits = self._pairs(layout, places)
        self._targets = self._periods(layout, places)

    def _pairs(
        self, layout: Layout, places: Mapping[str, int]
    ) -> list[tuple[int, Convert, int, Convert, str]]:
        rep = FieldSpec("owner", "Split rep", "", "name")  # translated as owners are
        part = FieldSpec("splits", "Split percentage", "", "decimal")
        pairs = []
        for one in self.mapping.splits:
            who, how_much = places[one.rep], places[one.percent]
            name = Field(rep, layout.columns[who], self.mapping)
            name.empty = None
            percent = Field(part, layout.columns[how_much], self.mapping)
            pairs.append(
                (
                    who,
                    Remembered(name.read).__getitem__,
                    how_much,
                    percent.percent(self.mapping.fractions),
                    layout.columns[how_much],
                )
            )
        return pairs

    def _periods(self, layout: Layout, places: Mapping[str, int]) -> list[tuple[str, int, Convert]]:
        target = FieldSpec("targets", "Quota", "", "decimal")
        return [
            (period, index, Field(target, layout.columns[index], self.mapping).decimal)
            for index, period in _period_columns(self.mapping, layout, places).items()
        ]

    def read(self, cells: Sequence[Cell]) -> tuple[dict[str, Any], list[Wrong]]:
        """The values of a row by field, typed, and what is wrong with it; a wrong or empty one is None.

        Deals have "splits" too: [(rep, percentage)], in the map's order. Wide quotas have "targets": [(period, amount)].
        An open deal that is left out has nothing wrong; a lost one only a missing id.
        """
        values = self._blank.copy()
        wrong: list[Wrong] = []
        for name, index, convert in self._plan:
            value = convert(cells[index])
            if type(value) is Wrong:
                wrong.append(value)
            else:
                values[name] = value
        if self._deals:
            self._complete(values, wrong, cells)
        elif self._targets:
            values["targets"] = targets = []
            for period, index, convert in self._targets:
                value = convert(cells[index])
                if type(value) is Wrong:
                    wrong.append(value)
                elif value is not None:
                    targets.append((period, value))
        return values, wrong

    def _complete(self, values: dict[str, Any], wrong: list[Wrong], cells: Sequence[Cell]) -> None:
        """What takes more than one cell of a deal."""
        values["splits"] = self._shares(cells, wrong) if self._splits else []
        if values["kind"] is None:
            values["kind"] = "refund" if values["refunds"] else "new_business"
        if self._amount >= 0:
            written = cells[self._amount]
            if type(written) is str and written and not (written[0].isdigit() and written[-1].isdigit()):
                self._same_currency(written, values["currency"], wrong)
        if wrong:
            stage = values["stage"]
            if stage == "skip":
                wrong.clear()
            elif stage == "cancelled":
                wrong[:] = [one for one in wrong if one.field == "external_id"]

    def _shares(self, cells: Sequence[Cell], wrong: list[Wrong]) -> list[tuple[str, Decimal]]:
        shares = []
        for who, read_name, how_much, read_percent, column in self._splits:
            name, percent = read_name(cells[who]), read_percent(cells[how_much])
            if type(name) is Wrong or type(percent) is Wrong:
                wrong += [one for one in (name, percent) if type(one) is Wrong]
            elif name and percent is None:
                wrong.append(Wrong("splits", column, "empty", f"{shown(name)} has no percentage."))
            elif percent and not name:
                wrong.append(
                    Wrong("splits", column, "split_of_nobody", "It has a percentage, but names no rep.")
                )
            elif percent:
                shares.append((name, percent))
        return shares

    def _same_currency(self, written: str, currency: str | None, wrong: list[Wrong]) -> None:
        """An amount that says of itself that it is in euros is not booked in dollars."""
        codes = currencies_of(written)
        if codes and currency is not None and currency not in codes:
            wrong.append(
                Wrong(
                    "amount",
                    self._amount_column,
                    "currency_disagrees",
                    f"{shown(written.strip())} is not in {currency}. Map a column as the currency, or export the amounts in one.",
                )
            )


def bind(mapping: ImportMapping, layout: Layout) -> Reader:
    """Raises WrongMap where the map names a column that the file does not have."""
    places, problems = _places(mapping, layout)
    by_name = mapping.period_form and "period" not in mapping.columns
    if not problems and by_name and not _period_columns(mapping, layout, places):
        message = f"No column is named like a period as {mapping.period_form} writes it. The file has: {_heads(layout)}."
        problems.append(Problem("no_periods", message, "periods.form"))
    if problems:
        raise WrongMap(problems)
    return Reader(mapping, layout, places)


def _heads(layout: Layout) -> str:
    return listed(layout.columns[:40]) + (", …" if len(layout.columns) > 40 else "")


def _named(mapping: ImportMapping) -> Iterator[tuple[str, str]]:
    """Every column that a map names, with its place in the map."""
    for name, column in mapping.columns.items():
        yield column, path_of("columns", name)
    for number, one in enumerate(mapping.splits):
        yield one.rep, path_of("splits", str(number), "rep")
        yield one.percent, path_of("splits", str(number), "percent")
    for column in mapping.periods:
        yield column, path_of("periods", column)


def _places(mapping: ImportMapping, layout: Layout) -> tuple[dict[str, int], list[Problem]]:
    """Column as the map writes it to its index; case and spaces around it do not matter, unless two differ by nothing else."""
    exact = {name: index for index, name in reversed(list(enumerate(layout.columns)))}
    folded = {fold(name): index for index, name in reversed(list(enumerate(layout.columns)))}
    places: dict[str, int] = {}
    problems = []
    for column, pointer in _named(mapping):
        found = exact.get(column, folded.get(fold(column)))
        if found is None:
            close = get_close_matches(fold(column), folded, n=1)
            hint = f" Did you mean “{layout.columns[folded[close[0]]]}”?" if close else ""
            problems.append(
                Problem(
                    "no_such_column",
                    f"The file has no column {shown(column)}.{hint} It has: {_heads(layout)}.",
                    pointer,
                )
            )
        else:
            places[column] = found
    return places, problems


def _period_columns(mapping: ImportMapping, layout: Layout, places: Mapping[str, int]) -> dict[int, str]:
    """Index of a column to the period whose quotas it holds."""
    named = {places[column]: period_named(period) or period for column, period in mapping.periods.items()}
    if mapping.period_form and "period" not in mapping.columns:
        taken = {places[column] for column in mapping.columns.values()}
        for index, head in enumerate(layout.columns):
            if index not in named and index not in taken:
                period = period_named(head, mapping.period_form, mapping.calendar)
                if period:
                    named[index] = period
    return named

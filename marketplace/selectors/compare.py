"""Up to four offerings side by side. What cannot be compared is not: prices are per million of the same meter and tier, and a
result stands only beside results of the same ranking; nobody is called the winner."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Final

from config import formats
from config.language import marked, spoken
from marketplace.models import Evaluation, Lifecycle, ModelVersion, Offering, Plan, PriceRow, PriceVersion
from marketplace.selectors.eligibility import eligibility_strips
from marketplace.selectors.evidence import (
    Ranking,
    RankingKey,
    known_on,
    public_evaluations,
    rankings_of,
)
from marketplace.selectors.on_sale import named_replacement
from marketplace.selectors.prices import METERS, MILLION, WORLD, amount_text, prices_on
from marketplace.selectors.search import CAPABILITIES

MOST: Final = 4
UNKNOWN: Final = "Unknown"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one offering has in one line. known is false where nothing is known, which is no difference in itself to a yes or no.

    said  As whoever reads the page reads, where that is not the text.
    """

    text: str
    note: str = ""
    tone: str = ""
    href: str = ""
    known: bool = True
    said: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    cells: list[Cell]
    hint: str = ""

    @property
    def differs(self) -> bool:
        return len({(cell.text, cell.known) for cell in self.cells}) > 1


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: list[Line]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The offerings in the order asked for, and what is known of each."""

    offerings: list[Offering]
    sections: list[Section] = field(default_factory=list)

    def differences(self) -> "Comparison":
        """Only the lines in which they differ."""
        left = [Section(s.title, [line for line in s.lines if line.differs], s.note) for s in self.sections]
        return Comparison(self.offerings, [section for section in left if section.lines])


def compare(offerings: Sequence[Offering], on: date) -> Comparison:
    """Of offerings of with_facts, as on that day. 6 queries."""
    them = list(offerings)[:MOST]
    sections = [_facts(them), _prices(them, on), _treatment(them, on), _evidence(them, on), _dates(them, on)]
    return Comparison(them, [section for section in sections if section.lines])


# What it is.


def _facts(offerings: list[Offering]) -> Section:
    def line(label: str, of: Callable[[Offering], str | None], hint: str = "") -> Line:
        return Line(label, [_cell(of(offering)) for offering in offerings], hint)

    def version(read: Callable[[Any], Any]) -> Callable[[Offering], str | None]:
        return lambda o: _said(read(o.model_version)) if o.model_version is not None else "No model"

    lines = [
        line(marked("Publisher"), lambda o: o.publisher.name),
        line(marked("Kind"), lambda o: o.get_kind_display()),
        line(marked("Model"), lambda o: str(o.model_version) if o.model_version else "No model"),
        line(marked("Commercial path"), lambda o: o.get_commercial_path_display()),
        line(marked("Tasks"), lambda o: ", ".join(a.name for a in o.task_areas.all()) or None),
        line(marked("Context"), version(lambda v: v.context_window), marked("Tokens")),
        line(marked("Output limit"), version(lambda v: v.max_output), marked("Tokens")),
        line(marked("Takes in"), version(lambda v: v.modalities_in)),
        line(marked("Gives out"), version(lambda v: v.modalities_out)),
        *(
            line(name.replace("_", " ").capitalize(), version(partial(_capability, name)))
            for name in CAPABILITIES
        ),
        line(marked("Languages"), version(lambda v: v.languages)),
        line(marked("Knowledge cut-off"), version(lambda v: v.knowledge_cutoff or None)),
        line(marked("Open weights"), version(lambda v: v.model.open_weights)),
        line(marked("Released"), version(lambda v: v.released_on)),
        line(marked("Deployment"), lambda o: _plans(o, lambda p: p.deployment.replace("-", " "))),
        line(
            marked("Data zones"), lambda o: _plans(o, lambda p: p.zone.upper() if len(p.zone) < 3 else p.zone)
        ),
        line(
            marked("Billed in"),
            lambda o: (
                "Every country"
                if o.billing_countries is None
                else ", ".join(o.billing_countries) or "No country"
            ),
        ),
    ]
    return Section(marked("Facts"), [one for one in lines if any(cell.known for cell in one.cells)])


def _capability(name: str, version: ModelVersion) -> bool | None:
    known: bool | None = version.capabilities.get(name)
    return known


def _plans(offering: Offering, of: Callable[[Plan], str]) -> str | None:
    found = dict.fromkeys(said for plan in offering.plans.all() if plan.is_public and (said := of(plan)))
    return ", ".join(found) or None


def _said(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "Yes" if value else "No"
        case int():
            return formats.whole(value)
        case date():
            return formats.day(value)
        case list():
            return ", ".join(value) or "None"
    return str(value)


def _cell(text: str | None) -> Cell:
    return Cell(text) if text else Cell(UNKNOWN, known=False)


# What it costs.


def _prices(offerings: list[Offering], on: date) -> Section:
    """A line for each meter and processing tier: the first public plan of that tier with a price in USD."""
    plans = [p for o in offerings for p in o.plans.all() if _open(p, on)]
    in_effect = prices_on([p.pk for p in plans], on)
    found: dict[tuple[str, str], dict[int, tuple[Plan, PriceVersion, PriceRow]]] = {}
    for plan in sorted(plans, key=lambda p: (p.position, p.pk)):
        for version in in_effect.get(plan.pk, ()):
            if version.currency_id != "USD" or version.market != WORLD:
                continue
            for row in version.rows.all():
                if row.tier_from == 0 and row.above_context == 0:
                    key = (row.meter, plan.processing_tier)
                    found.setdefault(key, {}).setdefault(plan.offering_id, (plan, version, row))
    order = {meter: place for place, meter in enumerate(METERS)}
    keys = sorted(found, key=lambda k: (k[1] != "standard", k[1], order.get(k[0], len(order)), k[0]))
    return Section(
        marked("Prices"),
        [_price_line(meter, tier, found[meter, tier], offerings) for meter, tier in keys],
        "USD, list prices of the day, of the first public plan of each processing tier. Tokens per million.",
    )


def _price_line(
    meter: str,
    tier: str,
    found: Mapping[int, tuple[Plan, PriceVersion, PriceRow]],
    offerings: list[Offering],
) -> Line:
    cells = []
    units = {row.unit for _plan, _version, row in found.values()}
    for offering in offerings:
        if offering.pk not in found:
            cells.append(Cell(formats.NO_VALUE, "no price in effect", known=False))
            continue
        plan, version, row = found[offering.pk]
        amount = row.amount
        if amount is not None:
            amount = round(amount * (MILLION if row.unit == "token" else 1) / row.per, 10)
        text = amount_text(amount, version.currency.symbol or "$", version.currency.exponent)
        cells.append(Cell(text, plan.name, known=amount is not None))
    per = (
        "per million"
        if units == {"token"}
        else f"per {', '.join(sorted(u.replace('-', ' and ') for u in units))}"
    )
    name = METERS.get(meter, meter.replace("-", " "))
    return Line(f"{name.capitalize()}, {tier}" if tier != "standard" else name.capitalize(), cells, per)


def _open(plan: Plan, on: date) -> bool:
    return plan.is_public and (plan.withdrawn_on is None or on < plan.withdrawn_on)


# How it is treated.


def _treatment(offerings: list[Offering], on: date) -> Section:
    strips = eligibility_strips(offerings, on)
    by_label: dict[str, dict[int, Cell]] = {}
    for offering in offerings:
        for chip in strips[offering.pk]:
            by_label.setdefault(chip.label, {})[offering.pk] = Cell(
                chip.value, chip.why, chip.tone, said=chip.said or spoken(chip.value)
            )
    return Section(
        marked("Treatment"),
        [Line(label, [cells[o.pk] for o in offerings]) for label, cells in by_label.items()],
        "Of the offering; a plan of its own may be decided otherwise.",
    )


# What is known of how it does.


def _evidence(offerings: list[Offering], on: date) -> Section:
    versions = {o.model_version_id for o in offerings if o.model_version_id is not None}
    own = list(
        Evaluation.objects.filter(known_on(on), model_version__in=versions)
        .select_related("task_area")
        .order_by("task_area__position", "benchmark", "id")
    )
    measured = [e for e in own if e.score is not None]
    comparable = public_evaluations(on).filter(
        benchmark__in={e.benchmark for e in measured}, score__isnull=False
    )
    everything = {e.pk: e for e in (*comparable, *measured)}
    lines = []
    for area in dict.fromkeys(e.task_area for e in own):
        lines += _ranked(area.name, [e for e in everything.values() if e.task_area_id == area.pk], offerings)
        lines += _findings(area.name, [e for e in own if e.task_area_id == area.pk], offerings)
    return Section(
        marked("Evidence by task"),
        lines,
        "Each line is one benchmark by one metric under one harness: compare along a line, not between lines. Empty is not tested, not zero.",
    )


def _ranked(task: str, evaluations: Iterable[Evaluation], offerings: list[Offering]) -> list[Line]:
    lines = []
    for key, ranking in rankings_of(evaluations).items():
        cells = [_result(ranking, offering) for offering in offerings]
        if any(cell.known for cell in cells):
            lines.append(Line(f"{task}: {key.title}", cells, _conditions(key)))
    return lines


def _conditions(key: RankingKey) -> str:
    better = "more is better" if key.higher_is_better else "less is better"
    return f"{key.conditions}, {better}"


def _result(ranking: Ranking, offering: Offering) -> Cell:
    best = ranking.best.get(("version", offering.model_version_id or 0))
    if best is None or best.score is None:
        return Cell(formats.NO_VALUE, "not tested", known=False)
    said = f"place {formats.whole(ranking.place(best))} of {formats.whole(len(ranking.best))}"
    said += f", n {formats.whole(best.sample_size)}" if best.sample_size else ""
    return Cell(formats.decimal(best.score), said + (", synthetic" if best.synthetic else ""))


def _findings(task: str, evaluations: Iterable[Evaluation], offerings: list[Offering]) -> list[Line]:
    said: dict[int | None, list[str]] = {}
    for evaluation in evaluations:
        if evaluation.score is None:
            said.setdefault(evaluation.model_version_id, []).append(evaluation.finding)
    if not said:
        return []
    cells = [
        Cell("; ".join(said[o.model_version_id]))
        if o.model_version_id in said and o.model_version_id is not None
        else Cell(formats.NO_VALUE, "nothing said", known=False)
        for o in offerings
    ]
    return [Line(f"{task}: findings without figures", cells)]


# From when until when.


def _dates(offerings: list[Offering], on: date) -> Section:
    def line(label: str, of: Callable[[Offering], date | None]) -> Line:
        return Line(
            label,
            [
                Cell(formats.day(d)) if (d := of(o)) else Cell(formats.NO_VALUE, known=False)
                for o in offerings
            ],
        )

    lines = [
        Line(
            marked("Stage"),
            [
                Cell(stage.label, said=spoken(stage.label))
                for o in offerings
                for stage in [Lifecycle(o.lifecycle_on(on))]
            ],
        ),
        line(marked("Preview from"), lambda o: o.preview_on),
        line(marked("On sale from"), lambda o: o.available_on),
        line(marked("Legacy from"), lambda o: o.legacy_on),
        line(marked("No new deals from"), lambda o: o.deprecated_on),
        line(marked("Retires on"), lambda o: o.retires_on),
        Line(marked("Replaced by"), [_replaced_by(o) for o in offerings]),
    ]
    return Section(marked("Lifecycle"), [one for one in lines if any(cell.known for cell in one.cells)])


def _replaced_by(offering: Offering) -> Cell:
    found = named_replacement(offering)
    return Cell(found.name, href=found.slug) if found else Cell(formats.NO_VALUE, known=False)

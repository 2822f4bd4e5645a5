"""Which offering for which task: ranked by evidence, under constraints, with reasons. Whose model it is plays no part.

The method, as the page states it:

1. Each benchmark, in one version, by one metric and under one harness, is a ranking of its own. No score is ever set
   beside a score of another ranking.
2. Within a ranking every tested model is compared with every other one, on sale here or not: better, level or worse.
   A model's best variant stands for it.
3. From all comparisons of the task comes a share (strength.py): of all models tested for it, how many this one would be
   expected to do better than, had it met each. To beat a strong model says more than to beat a weak one; few comparisons
   leave a wide range.
4. The order is by that share. Equal shares share a place.
5. Findings without figures and missing evidence are no comparisons: such offerings stand in groups of their own.
6. Price is a second axis and never part of the order; the frontier shows what nothing cheaper is better than.

Comparisons within one ranking depend on each other, so the range is a measure of how much is known, not a test. The
reasons name each ranking with what was won in it, so that one can look.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Final

from django.db.models import Q, QuerySet

from config import formats
from marketplace.models import (
    Evaluation,
    Lifecycle,
    Offering,
    Plan,
    PriceVersion,
    Program,
    PublicFact,
    TaskArea,
)
from marketplace.selectors.costs import Cost, Usage, monthly_cost
from marketplace.selectors.eligibility import Treatment, bulk_treatments
from marketplace.selectors.evidence import (
    Contender,
    Finding,
    Ranking,
    names,
    public_evaluations,
    rankings_of,
)
from marketplace.selectors.on_sale import why_not, why_not_plan
from marketplace.selectors.prices import amount_text, prices_on
from marketplace.selectors.public_facts import fact_behind
from marketplace.selectors.resources import with_facts
from marketplace.selectors.strength import Strength, strengths

# What a month is taken to need where nobody says: three parts in, one part out.
TYPICAL: Final = Usage(input_tokens=3_000_000, output_tokens=1_000_000)
MILLION: Final = 1_000_000
LOOKED_AT: Final = 200  # of those without evidence, which are listed and not ranked


@dataclass(frozen=True, slots=True)
class Constraints:
    """What an offering must do to be a candidate. Unknown is not enough.

    modalities_in, modalities_out   It takes and gives all of them.
    min_context       Tokens.
    region            Data zone or region in which a public plan of it runs.
    country           ISO 3166-1 alpha-2 of who is billed.
    eligible_for      Programs, every one of which counts it at some rate.
    lifecycle         Stages, one of which it is in; empty is any that may be sold.
    max_input_price   USD for a million input tokens.
    budget            USD a month for *usage*.
    """

    modalities_in: tuple[str, ...] = ()
    modalities_out: tuple[str, ...] = ()
    min_context: int | None = None
    region: str = ""
    country: str = ""
    eligible_for: tuple[str, ...] = ()
    lifecycle: tuple[str, ...] = ()
    max_input_price: Decimal | None = None
    usage: Usage = TYPICAL
    budget: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a candidate did in one ranking: better than so many of the others, level with so many."""

    ranking: Ranking
    result: Evaluation
    place: int
    better: int
    level: int
    others: int

    @property
    def text(self) -> str:
        """Better than 14 of 17 in Aider Polyglot (percent correct, harness aider/diff, n 225)."""
        beaten = (
            "all" if self.better == self.others > 1 else formats.whole(self.better) if self.better else "none"
        )
        said = f"Better than {beaten} of {formats.whole(self.others)} in {self.ranking.key.title}"
        more = self.ranking.key.conditions
        if self.result.variant:
            more += f", as {self.result.variant}"
        if self.result.sample_size:
            more += f", n {formats.whole(self.result.sample_size)}"
        level = f"; level with {formats.whole(self.level)}" if self.level else ""
        return f"{said} ({more}){level}"


@dataclass(frozen=True, slots=True)
class Pick:
    """The public plan that costs least for the usage asked about, and what it costs; None is unknown."""

    plan: Plan
    price: PriceVersion
    month: Cost
    input_price: Decimal | None
    output_price: Decimal | None

    @property
    def text(self) -> str:
        parts = [
            f"{amount_text(amount, '$', 2)} per million {meter} tokens"
            for amount, meter in ((self.input_price, "input"), (self.output_price, "output"))
            if amount is not None
        ]
        return f"{', '.join(parts) or 'Price unknown'} ({self.plan.name})"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One offering for one task. place and strength are None where nothing was compared.

    standings  By ranking, the one with most contenders first.
    tied       Others stand at the same place.
    """

    offering: Offering
    treated: Mapping[Program, Treatment]
    standings: tuple[Standing, ...] = ()
    findings: tuple[Finding, ...] = ()
    pick: Pick | None = None
    strength: Strength | None = None
    place: int | None = None
    tied: bool = False

    @property
    def cost(self) -> Fraction | None:
        """USD a month, exact."""
        return self.pick.month.total if self.pick else None

    @property
    def compared(self) -> int:
        return sum(standing.others for standing in self.standings)

    @property
    def won(self) -> int:
        """Comparisons in which it did better; level ones are not among them."""
        return sum(standing.better for standing in self.standings)

    @property
    def reasons(self) -> list[str]:
        """Why it stands where it stands, and what else to know: evidence, price, quota."""
        said = [standing.text for standing in self.standings]
        said += [f"Without figures: {f.evaluation.finding}" for f in self.findings]
        said.append(self.pick.text if self.pick else "No price in effect")
        quota = self.treated[Program.QUOTA]
        said.append(f"Quota: {quota.value[:1].lower()}{quota.value[1:]}")
        return said


@dataclass(frozen=True, slots=True)
class Excluded:
    """An offering for the task that does not meet the constraints; every reason is named."""

    candidate: Candidate
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer for one task on one day.

    ranked     With comparisons, best first; ties share a place.
    said_of    Only findings without figures: evidence, but nothing to rank by. By name.
    unknown    No evidence yet: not worse, unknown. By name.
    more       Offerings without evidence beyond those looked at, which are the first by name.
    excluded   With the constraints that excluded them. By name.
    rankings   Those of the task in which a candidate stands, the largest first.
    """

    task: TaskArea
    on: date
    constraints: Constraints
    ranked: list[Candidate]
    said_of: list[Candidate]
    unknown: list[Candidate]
    more: int
    excluded: list[Excluded]
    rankings: list[Ranking]

    @property
    def frontier(self) -> list[Candidate]:
        """What nothing at the same or a lower cost is better than, cheapest first; unknown costs are left out."""
        return pareto(self.ranked, quality)


class Known:
    """The evaluations of some tasks, and what follows from them alone: whose a model is cannot be asked here."""

    def __init__(self, evaluations: Iterable[Evaluation], facts: Iterable[PublicFact] = ()) -> None:
        self.evaluations = tuple(evaluations)
        self.facts = tuple(facts)

    @cached_property
    def rankings(self) -> dict[int, list[Ranking]]:
        """By task area, the largest first."""
        by_task: dict[int, list[Evaluation]] = defaultdict(list)
        for evaluation in self.evaluations:
            by_task[evaluation.task_area_id].append(evaluation)
        return {
            task: sorted(rankings_of(own).values(), key=lambda r: (-len(r.best), r.key))
            for task, own in by_task.items()
        }

    @cached_property
    def strengths(self) -> dict[int, dict[Contender, Strength]]:
        """By task area."""
        return {task: strengths(rankings) for task, rankings in self.rankings.items()}

    @cached_property
    def standings(self) -> dict[tuple[int, int], tuple[Standing, ...]]:
        """By task area and model version; a ranking of one compares nothing."""
        found: dict[tuple[int, int], list[Standing]] = defaultdict(list)
        for task, rankings in self.rankings.items():
            for ranking in rankings:
                for contender, result in ranking.best.items():
                    kind, version = contender
                    if kind == "version" and len(ranking.best) > 1:
                        found[task, int(version)].append(
                            Standing(ranking, result, ranking.place(result), *ranking.beaten(contender))
                        )
        return {key: tuple(standings) for key, standings in found.items()}

    @cached_property
    def said(self) -> dict[int, list[Evaluation]]:
        """Findings without figures by task area."""
        by_task: dict[int, list[Evaluation]] = defaultdict(list)
        for evaluation in self.evaluations:
            if evaluation.score is None:
                by_task[evaluation.task_area_id].append(evaluation)
        return by_task


@dataclass(frozen=True, slots=True)
class Field:
    """Everything that is known of some offerings on a day; what rank() reads, so that it needs no query."""

    on: date
    offerings: tuple[Offering, ...]
    known: Known
    prices: Mapping[int, Sequence[PriceVersion]]
    treated: Mapping[int, Mapping[Program, Treatment]]
    more: int = 0
    order_only: bool = False


def recommend(
    *, task: str, constraints: Constraints, visible: QuerySet[Offering], on: date
) -> Recommendation | None:
    """What to take for the task area of that slug; None if there is no such one. 12 queries, whatever the number of offerings."""
    area = TaskArea.objects.filter(slug=task).first()
    if area is None:
        return None
    field = load(visible, on, tasks=[area], constraints=constraints)
    return rank(field, area, constraints)


def load(
    visible: QuerySet[Offering],
    on: date,
    *,
    tasks: Iterable[TaskArea],
    constraints: Constraints | None = None,
    order_only: bool = False,
) -> Field:
    """What is known of the offerings that have evidence in one of *tasks*, and of the first others that serve one. 11 queries at most.

    order_only   For the order alone: without prices, and without what has no result with a score.
    """
    asked = constraints or Constraints()
    areas = {area.pk for area in tasks}
    evaluations = tuple(
        public_evaluations(on).filter(task_area__in=areas).select_related("task_area").order_by("id")
    )
    scored = {e.model_version_id for e in evaluations if e.score is not None and e.model_version_id}
    proven = Q(model_version__in=scored)
    offerings, more = [], 0
    if not order_only:
        for evaluation in evaluations:
            if evaluation.score is None and evaluation.model_version_id is None:
                proven |= Q(model_version__model__name__istartswith=evaluation.subject)
            elif evaluation.score is None:
                proven |= Q(model_version=evaluation.model_version_id)
        serving = Offering.task_areas.through._default_manager.filter(taskarea__in=areas).values(
            "offering_id"
        )
        others = with_facts(visible.filter(pk__in=serving).exclude(proven).order_by("name", "id"))
        offerings = list(others[:LOOKED_AT])
        if len(offerings) == LOOKED_AT:
            more = others.count() - LOOKED_AT
    evident = visible.filter(proven)
    offerings += (
        evident.select_related("publisher", "model_version__model", "replacement")
        if order_only
        else with_facts(evident)
    )
    offerings.sort(key=lambda offering: (offering.name, offering.pk))
    priced = [] if order_only else offerings
    plans = [plan.pk for offering in priced for plan in offering.plans.all() if plan.is_public]
    return Field(
        on=on,
        offerings=tuple(offerings),
        known=Known(evaluations, PublicFact.objects.filter(kind="task_evaluation").order_by("id")),
        prices=prices_on(plans, on, asked.country) if plans else {},
        treated=bulk_treatments(offerings, on) if offerings else {},
        more=more,
        order_only=order_only,
    )


def rank(field: Field, task: TaskArea, constraints: Constraints) -> Recommendation:
    """The recommendation for one task out of what was loaded. No query.

    Reads nothing of an offering that says whose it is; its treatment and its country matter only where they are asked for.
    """
    strong = field.known.strengths.get(task.pk, {})
    groups: tuple[list[Candidate], list[Candidate], list[Candidate]] = ([], [], [])
    excluded = []
    for offering in field.offerings:
        standings = field.known.standings.get((task.pk, offering.model_version_id or 0), ())
        if not standings and (
            field.order_only or not any(area.pk == task.pk for area in offering.task_areas.all())
        ):
            continue
        candidate = _candidate(
            offering, standings, _findings(offering, task, field.known), strong, field, constraints
        )
        if reasons := _failed(candidate, constraints, field.on):
            excluded.append(Excluded(candidate, tuple(reasons)))
        else:
            groups[0 if candidate.strength else 1 if candidate.findings else 2].append(candidate)
    ranked, said_of, unknown = groups
    standing_in = {standing.ranking.key for candidate in ranked for standing in candidate.standings}
    return Recommendation(
        task=task,
        on=field.on,
        constraints=constraints,
        ranked=_placed(ranked),
        said_of=sorted(said_of, key=_by_name),
        unknown=sorted(unknown, key=_by_name),
        more=field.more,
        excluded=sorted(excluded, key=lambda e: _by_name(e.candidate)),
        rankings=[r for r in field.known.rankings.get(task.pk, ()) if r.key in standing_in],
    )


def pareto(candidates: Iterable[Candidate], worth: Callable[[Candidate], float | None]) -> list[Candidate]:
    """Those that nothing dominates: no other is at least as good and as cheap, and better in one of the two; cheapest first."""
    priced = [
        (c, c.cost, value) for c in candidates if c.cost is not None and (value := worth(c)) is not None
    ]
    best: list[Candidate] = []
    reached: float | None = None
    for candidate, _cost, value in sorted(priced, key=lambda p: (p[1], -p[2], _by_name(p[0]))):
        same = bool(best) and reached == value and best[-1].cost == candidate.cost
        if reached is None or value > reached or same:
            best.append(candidate)
            reached = value
    return best


def _findings(offering: Offering, task: TaskArea, known: Known) -> tuple[Finding, ...]:
    version = offering.model_version
    if version is None:
        return ()
    return tuple(
        Finding(e, "" if e.model_version_id else e.subject, fact_behind(e, known.facts))
        for e in known.said.get(task.pk, ())
        if e.model_version_id == version.pk
        or (e.model_version_id is None and names(e.subject, version.model.name))
    )


def _candidate(
    offering: Offering,
    standings: tuple[Standing, ...],
    findings: tuple[Finding, ...],
    strong: Mapping[Contender, Strength],
    field: Field,
    constraints: Constraints,
) -> Candidate:
    version = offering.model_version_id
    return Candidate(
        offering=offering,
        standings=standings,
        findings=findings,
        pick=_pick(offering, field, constraints),
        treated=field.treated[offering.pk],
        strength=strong.get(("version", version)) if version is not None else None,
    )


def _placed(candidates: list[Candidate]) -> list[Candidate]:
    """Strongest first; who is equally strong shares a place, and stands by cost, then by name."""
    ordered = sorted(candidates, key=lambda c: (-quality(c), c.cost is None, c.cost or 0, _by_name(c)))
    first: dict[float, int] = {}
    level: Counter[float] = Counter()
    for place, candidate in enumerate(ordered, 1):
        first.setdefault(quality(candidate), place)
        level[quality(candidate)] += 1
    return [replace(c, place=first[quality(c)], tied=level[quality(c)] > 1) for c in ordered]


def quality(candidate: Candidate) -> float:
    """What the order goes by."""
    return candidate.strength.share if candidate.strength else 0.0


def _pick(offering: Offering, field: Field, constraints: Constraints) -> Pick | None:
    """The public plan that costs least: of the standard tier if there is one, in USD, where it may run."""
    if not field.prices:
        return None
    priced = [
        _priced(plan, version, constraints.usage)
        for plan in offering.plans.all()
        if _open(plan, field.on) and _runs_in(plan, constraints.region)
        for version in [v for v in field.prices.get(plan.pk, ()) if v.currency_id == "USD"][:1]
    ]
    return min(
        priced,
        key=lambda p: (
            p.plan.processing_tier != "standard",
            p.month.total is None,
            p.month.total or 0,
            p.plan.position,
            p.plan.pk,
        ),
        default=None,
    )


def _priced(plan: Plan, version: PriceVersion, usage: Usage) -> Pick:
    amounts = {
        row.meter: None if row.amount is None else row.amount * MILLION / row.per
        for row in version.rows.all()
        if row.tier_from == 0 and row.above_context == 0
    }
    return Pick(
        plan=plan,
        price=version,
        month=monthly_cost([version], usage, plan),
        input_price=amounts.get("input-tokens"),
        output_price=amounts.get("output-tokens"),
    )


def _open(plan: Plan, on: date) -> bool:
    return plan.is_public and why_not_plan(plan, on) is None


def _runs_in(plan: Plan, region: str) -> bool:
    return not region or plan.zone == region or region in (plan.regions or ())


def _failed(candidate: Candidate, constraints: Constraints, on: date) -> list[str]:
    """Every constraint that the candidate does not meet, in words; what is unknown meets none."""
    offering, version = candidate.offering, candidate.offering.model_version
    failed = []
    if (refusal := why_not(offering, on, constraints.country)) is not None:
        failed.append(refusal.message)
    if constraints.lifecycle and (stage := offering.lifecycle_on(on)) not in constraints.lifecycle:
        failed.append(f"Its stage is {Lifecycle(stage).label.lower()}.")
    for wanted, known, verb in (
        (constraints.modalities_in, version.modalities_in if version else None, "take in"),
        (constraints.modalities_out, version.modalities_out if version else None, "give out"),
    ):
        if wanted and known is None:
            failed.append(f"It is not known whether it can {verb} {' and '.join(wanted)}.")
        elif missing := [m for m in wanted if m not in (known or ())]:
            failed.append(f"It does not {verb} {' or '.join(missing)}.")
    if constraints.min_context is not None:
        context = version.context_window if version else None
        if context is None:
            failed.append("Its context is unknown.")
        elif context < constraints.min_context:
            failed.append(f"Its context is {formats.whole(context)} tokens.")
    if constraints.region and not any(
        _open(plan, on) and _runs_in(plan, constraints.region) for plan in offering.plans.all()
    ):
        failed.append(f"No public plan of it is stated to run in {constraints.region}.")
    for program in constraints.eligible_for:
        treatment = candidate.treated[Program(program)]
        if not treatment.counts:
            failed.append(f"{treatment.label}: {treatment.value[:1].lower()}{treatment.value[1:]}.")
    return failed + _too_dear(candidate, constraints)


def _too_dear(candidate: Candidate, constraints: Constraints) -> list[str]:
    failed = []
    pick = candidate.pick
    price = Fraction(pick.input_price) if pick and pick.input_price is not None else None
    for limit, asked, what, per in (
        (constraints.max_input_price, price, "input price", "a million tokens"),
        (constraints.budget, candidate.cost, "cost", "a month"),
    ):
        if limit is None:
            continue
        if asked is None:
            failed.append(f"Its {what} is unknown.")
        elif asked > Fraction(limit):
            failed.append(f"Its {what} is {formats.usd(asked)} {per}.")
    return failed


def _by_name(candidate: Candidate) -> tuple[str, str]:
    return candidate.offering.name.lower(), candidate.offering.slug

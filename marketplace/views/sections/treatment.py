"""How an offering is treated by each program, plan by plan: why, by whose decision, until when, and what is announced."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from accounts.models import User
from config.language import spoken
from marketplace.models import EligibilityDecision, Offering, Plan, Program
from marketplace.selectors.decisions import about
from marketplace.selectors.eligibility import Treatment, reaching, treatments_by_plan


@dataclass(frozen=True, slots=True)
class Row:
    """One plan, or all of them where they are treated alike (plan is None)."""

    plan: Plan | None
    cells: list[Treatment]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, once for all the plans that it holds for; names of people only inside the operator.

    decision  None where a rule of the product says it.
    decides   It is what holds; else something more specific does.
    plans     The plans that it holds for, where that is not all of them.
    """

    program: str
    text: str
    value: str
    decision: EligibilityDecision | None
    scope: str
    decides: bool
    plans: str = ""


def treatment_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """2 queries, whatever the number of plans and decisions."""
    plans = list(offering.plans.all())
    treated = treatments_by_plan(offering, plans, on)
    rows = [Row(plan, list(treated[plan.pk].values())) for plan in plans]
    whole = Row(None, list(treated[None].values()))
    alike = all(_same(row, rows[0]) for row in rows[1:]) if rows else True
    if alike:
        rows = [Row(None, rows[0].cells) if rows else whole]
    known = list(
        reaching(offering)
        .select_related("publisher", "offering", "plan__offering", "made_by", "checked_by")
        .order_by("-level", "effective", "id")
    )
    return {
        "on": on,
        "programs": [spoken(program.label) for program in Program],
        "rows": rows,
        "alike": alike,
        "plans": len(plans),
        "reasons": _reasons(rows, known, on),
        "coming": [
            (decision, about(decision))
            for decision in sorted(known, key=lambda d: (d.effective.lower or date.min, d.pk))
            if decision.effective.lower is not None and decision.effective.lower > on
        ],
        "outside": user.has_role("partner"),
    }


def _same(one: Row, other: Row) -> bool:
    def read(row: Row) -> list[tuple[object, ...]]:
        return [(c.rate_ppm, c.decision and c.decision.pk, c.until) for c in row.cells]

    return read(one) == read(other)


def _reasons(rows: Iterable[Row], known: Iterable[EligibilityDecision], on: date) -> list[Reason]:
    """What decides in the order of the programs, each followed by what it overrides."""
    rows, known = list(rows), list(known)
    scopes = {decision.pk: about(decision) for decision in known}
    with_names = {decision.pk: decision for decision in known}
    found: list[Reason] = []
    for place, program in enumerate(Program):
        holding: dict[object, list[Row]] = {}
        for row in rows:
            cell = row.cells[place]
            holding.setdefault(cell.decision.pk if cell.decision else cell.why, []).append(row)
        for its in holding.values():
            cell = its[0].cells[place]
            named = ", ".join(row.plan.name for row in its if row.plan is not None)
            found.append(
                Reason(
                    program=spoken(program.label),
                    text=cell.decision.reason if cell.decision else spoken(cell.why),
                    value=cell.said,
                    decision=with_names[cell.decision.pk] if cell.decision else None,
                    scope=scopes[cell.decision.pk] if cell.decision else "",
                    decides=True,
                    plans=named if len(its) < len(rows) else "",
                )
            )
        found.extend(
            Reason(
                program=spoken(program.label),
                text=decision.reason,
                value=Treatment(program, decision.rate_ppm, "").said,
                decision=decision,
                scope=scopes[decision.pk],
                decides=False,
            )
            for decision in known
            if decision.program == program and decision.pk not in holding and on in decision.effective
        )
    return found

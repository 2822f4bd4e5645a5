"""What part of a spend draws a customer's commitment down: the most specific decision in force on the day says it."""

from collections import defaultdict
from datetime import date
from typing import Final, NamedTuple

from marketplace.models import EligibilityDecision, Program, ScopeLevel
from marketplace.selectors.eligibility import NEVER_DRAW_DOWN


class Sold(NamedTuple):
    """What was bought, as far as a decision can tell: pricing_form is empty where no plan was named."""

    offering_id: int
    publisher_id: int
    commercial_path: str
    plan_id: int | None
    pricing_form: str


class DrawDownRates:
    """Every decision on commitments, read once; the same answers as selectors.eligibility gives by offering. 1 query."""

    def __init__(self) -> None:
        self._by_scope: Final[dict[tuple[int, object], list[EligibilityDecision]]] = defaultdict(list)
        for decision in EligibilityDecision.objects.filter(
            program=Program.COMMITMENT, checked_at__isnull=False, superseded_at=None
        ):
            about = (
                decision.commercial_path or decision.publisher_id or decision.offering_id or decision.plan_id
            )
            self._by_scope[decision.level, about].append(decision)

    def ppm(self, sold: Sold, on: date) -> int:
        """Parts per million of the spend that count; 0 where it is not eligible, and where nobody has decided."""
        if sold.pricing_form in NEVER_DRAW_DOWN:
            return 0
        for scope in (
            (ScopeLevel.PLAN, sold.plan_id),
            (ScopeLevel.OFFERING, sold.offering_id),
            (ScopeLevel.PUBLISHER, sold.publisher_id),
            (ScopeLevel.PATH, sold.commercial_path),
        ):
            holding = [d for d in self._by_scope.get(scope, ()) if on in d.effective]
            if holding:
                return max(holding, key=lambda d: d.pk).rate_ppm
        return 0

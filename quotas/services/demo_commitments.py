"""What some customers of the demo have committed to: one ahead of its pace, one behind, one nearly drawn, one that ended short."""

from collections import defaultdict
from datetime import date, datetime
from typing import Final

from accounts.models import User
from marketplace.models import Customer
from marketplace.selectors.commitments import DrawDownRates
from marketplace.services.commitments import record_commitment
from quotas.crediting.arithmetic import ONE_PPM, mul_ppm, round_div
from quotas.selectors.drawdown import Rates, spend_of

IN: Final = "USD"
ROUND_TO: Final = 1_000_00
# Name, days, and what of the even spending is drawn by today, in parts per million.
KINDS: Final = (
    ("Cloud commitment FY27", date(2026, 4, 1), date(2027, 4, 1), 1_250_000),
    ("Enterprise agreement 2026", date(2026, 1, 1), date(2027, 1, 1), 550_000),
    ("Frame contract, second year", date(2025, 10, 1), date(2026, 10, 1), 1_120_000),
    ("AI platform commitment", date(2025, 9, 1), date(2028, 9, 1), 1_000_000),
    ("Cloud commitment FY26", date(2025, 7, 1), date(2026, 7, 1), 820_000),
)


def stage_commitments(*, by: User, today: date, at: datetime) -> int:
    """Commit those who spend most, each to what makes its standing. Returns how many; those that no spend draws are left out."""
    spend = [line for line in spend_of(Customer.objects.values_list("pk", flat=True), today) if line.kept]
    rates, eligible = Rates(), DrawDownRates()
    worth: dict[int, list[tuple[date, int]]] = defaultdict(list)
    for line in spend:
        value = rates.convert(line.minor, line.currency, IN, line.on)
        counted = mul_ppm(value or 0, eligible.ppm(line.sold, line.on))
        if counted > 0:
            worth[line.customer_id].append((line.on, counted))
    largest = sorted(worth, key=lambda pk: (-sum(minor for _, minor in worth[pk]), pk))
    made = 0
    for place, customer in enumerate(largest[: 4 * len(KINDS)]):
        name, starts, ends, reached = KINDS[place % len(KINDS)]
        drawn = sum(minor for on, minor in worth[customer] if starts <= on < ends)
        gone = min((today - starts).days + 1, (ends - starts).days)
        if gone <= 0 or not drawn:
            continue
        amount = round_div(drawn * (ends - starts).days * ONE_PPM, gone * reached)
        record_commitment(
            customer_id=customer,
            name=name,
            amount_minor=max(1, round_div(amount, ROUND_TO)) * ROUND_TO,
            currency=IN,
            starts=starts,
            ends=ends,
            reason="As signed with the customer",
            by=by,
            at=at,
        )
        made += 1
    return made

"""Of how many publishers each customer buys, and how much of it from one."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from marketplace.extension import Buyer
from marketplace.selectors.sourcing.costing import USD

MANY: Final = 5  # this many publishers and more are one band
SORTS: Final = ("publishers", "-publishers", "-value", "value", "name", "-name")


@dataclass(frozen=True, slots=True)
class Row:
    """An account with its publishers, the largest first. Minor units of USD; others holds what has no rate, by currency."""

    buyer: Buyer
    names: tuple[str, ...]
    value: int
    largest: int
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def band(self) -> int:
        return min(self.buyer.publishers, MANY)


def rows(buyers: Iterable[Buyer], names: Mapping[int, str]) -> list[Row]:
    """names: publisher id to its name. No query."""
    found = []
    for buyer in buyers:
        in_usd = {pk: value.get(USD, 0) for pk, value in buyer.value_minor.items()}
        order = sorted(in_usd, key=lambda pk: (-in_usd[pk], names[pk]))
        others = {code: minor for code, minor in buyer.total_minor.items() if code != USD}
        found.append(
            Row(
                buyer,
                tuple(names[pk] for pk in order),
                sum(in_usd.values()),
                in_usd[order[0]] if order else 0,
                others,
            )
        )
    return found


def bands(found: Iterable[Row]) -> list[tuple[int, int]]:
    """Number of publishers and of accounts that buy from so many, from one up to MANY and more."""
    counted = Counter(row.band for row in found)
    return [(number, counted[number]) for number in range(1, MANY + 1)]


def narrowed(found: Sequence[Row], words: str, band: int | None) -> list[Row]:
    """By every word of a name, and by the number of publishers."""
    parts = words.lower().split()[:6]
    return [
        row
        for row in found
        if (band is None or row.band == band) and all(part in row.buyer.name.lower() for part in parts)
    ]


def ordered(found: Iterable[Row], sort: str) -> list[Row]:
    """By one of SORTS; equal ones by value, the largest first, then by name."""
    first = sorted(found, key=lambda row: (-row.value, row.buyer.name.lower(), row.buyer.customer_id))
    back = sort.startswith("-")
    match sort.lstrip("-"):
        case "value":
            return first if back else first[::-1]
        case "name":
            return sorted(
                first, key=lambda row: (row.buyer.name.lower(), row.buyer.customer_id), reverse=back
            )
    return sorted(first, key=lambda row: -row.buyer.publishers if back else row.buyer.publishers)

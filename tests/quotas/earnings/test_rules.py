"""The worked examples of RULES 16, each by the function that pays."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from quotas.crediting.earning import Scale, Tier, by_month

TEXT = (Path(__file__).resolve().parents[3] / "quotas" / "RULES.md").read_text()
EXAMPLES = re.findall(r"^```earning ((?:\d+\.\d+ )+)(.+)\n((?:.+\n)+?)```$", TEXT, re.MULTILINE)
ONE = 1_000_000


def cents(text: str) -> int:
    return int(Decimal(text) * 100)


def amounts(text: str) -> list[int]:
    return [cents(sign + number) for sign, number in re.findall(r"(-?) ?\+? ?(\d[\d.]*)", text)]


@pytest.mark.parametrize("example", EXAMPLES, ids=[title for _, title, _ in EXAMPLES])
def test_an_example_of_the_rules_earns_what_it_says(example: tuple[str, str, str]) -> None:
    given: dict[str, list[str]] = {}
    for line in example[2].splitlines():
        verb, _, rest = line.partition(" ")
        given.setdefault(verb, []).append(rest)
    attained = "quota" in given
    tiers = []
    for each in given["from"]:
        start, _, rate = each.partition(" at ")
        at = int(start) * ONE // 100 if attained else cents(start)
        tiers.append(Tier(at, int(Decimal(rate.rstrip(" %")) * ONE / 100)))
    quota = cents(given["quota"][0]) if attained else ONE
    exchange = Decimal(given.get("rate", ["1"])[0])
    scale = Scale(
        tuple(tiers),
        hundred=quota,
        worth=(cents(given["target"][0]), quota) if attained else (int(exchange * 10**9), 10**9),
        threshold=int(given.get("threshold", ["0"])[0]) * ONE // 100,
        whole_amount="whole" in given,
        cap_minor=cents(given["cap"][0]) if "cap" in given else None,
    )
    assert by_month(amounts(given["credit"][0]), scale) == amounts(given["earns"][0])


def test_every_rule_of_the_function_has_an_example() -> None:
    cited = {rule for head, _, _ in EXAMPLES for rule in head.split()}
    assert cited == {"16.1", "16.2", "16.3", "16.4", "16.6"}

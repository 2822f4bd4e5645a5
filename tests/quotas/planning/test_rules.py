"""The worked examples of RULES 11."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from quotas.models import Quota, QuotaMethod
from quotas.selectors.quota_planning import Authority
from quotas.selectors.targets import quotas_of_reps
from quotas.services.quota_planning import Way, distribute
from tests import make

pytestmark = pytest.mark.django_db
TEXT = (Path(__file__).resolve().parents[3] / "quotas" / "RULES.md").read_text()
EXAMPLES = re.findall(r"^```quota ((?:[\d.]+ )+)(.+?)\n(.+?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def cents(text: str) -> int:
    return int(Decimal(text) * 100)


def test_there_are_examples_and_they_show_rules_that_exist() -> None:
    shown = {rule for rules, _title, _lines in EXAMPLES for rule in rules.split()}
    assert shown == {"11.2", "11.3", "11.7", "11.9"}
    assert all(f"\n{rule} " in TEXT for rule in shown)


@pytest.mark.parametrize("lines", [pytest.param(lines, id=title) for _rules, title, lines in EXAMPLES])
def test_an_example_of_the_rules_comes_to_what_it_says(lines: str) -> None:
    world = make.world(quotas=False)
    quarter = world.year.quarters[0]
    method, versions = QuotaMethod.LAST, [(None, 0)]
    whole, way, gives, checked = 0, Way(), {}, False
    reps = {"ana": world.ana, "bo": world.bo}
    for line in lines.splitlines():
        verb, *words = line.split()
        if verb == "quota":
            versions = [(None, cents(words[0]))]
        elif verb == "weighted":
            method = QuotaMethod.WEIGHTED
        elif verb == "from":
            versions.append((date.fromisoformat(words[0]), cents(words[1])))  # type: ignore[arg-type]
        elif verb == "counts":
            days = [date.fromisoformat(word) for word in words if re.fullmatch(r"\d{4}-\d\d-\d\d", word)]
            make.relief(
                rep=reps[words[-1]] if words[-2] == "of" else world.ana,
                effective=(days[0] if days else quarter.starts, days[1] if len(days) > 1 else None),
                factor_ppm=int(words[0]) * 10_000,
            )
        elif verb == "comes":
            for n, (starts, amount) in enumerate(versions, start=1):
                Quota.objects.create(
                    measure=world.bookings,
                    period=quarter,
                    rep=world.ana,
                    version=n,
                    amount_minor=amount,
                    starts=starts,
                    method=method,
                    recorded_at=make.AT,
                    superseded_at=None if n == len(versions) else make.AT,
                )
            found = quotas_of_reps([world.ana.pk], measure=world.bookings, period=quarter)
            assert found == {world.ana.pk: cents(words[-1])}
            checked = True
        elif verb == "hands":
            whole = cents(words[1])
            way = (
                Way(by="evenly", reliefs=True)
                if "evenly" in words
                else Way(over_assignment_ppm=int(words[3]) * 10_000)
            )
        elif verb == "credited":
            make.total(
                rep=reps[words[0]],
                team=world.team,
                measure=world.bookings,
                month=make.fiscal_year(year=2026).month(1),
                direct_minor=cents(words[1]),
            )
        else:
            gives[words[0]] = cents(words[1])
    if gives:
        make.quota(measure=world.bookings, period=quarter, team=world.team, amount_minor=whole)
        plan = distribute(
            team=world.team,
            measure=world.bookings,
            period=quarter,
            way=way,
            authority=Authority(world.admin, make.TODAY),
            today=make.TODAY,
        )
        assert {part.line.name.lower(): part.proposed_minor for part in plan.parts} == gives
        assert plan.remainder_minor == 0
        checked = True
    assert checked

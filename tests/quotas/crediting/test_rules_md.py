"""The worked examples of quotas/RULES.md, each posted by the real engine and compared entry for entry.

A line of an example begins with a verb; what each of them does is said by the method of that name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from config.formats import COUNT_EXPONENT
from marketplace.models import EligibilityDecision
from quotas.crediting import engine
from quotas.crediting.explain import explain_deal
from quotas.models import (
    ONE,
    CreditEntry,
    CreditTotal,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    FxRate,
    Measure,
    Period,
    PlanAssignment,
    Receivers,
    Rep,
    SalesRole,
    TeamMembership,
    TerritoryAssignment,
    UncreditedLine,
)
from quotas.selectors.weighted import weighted_attainments
from tests import make
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 12, tzinfo=UTC)
TEXT = (Path(__file__).resolve().parents[3] / "quotas" / "RULES.md").read_text()
COMPUTED = {
    "2.2", "2.3", "2.4", "3.1", "3.2", "3.3", "3.4", "4.1", "4.2", "4.3", "4.4", "4.5", "5.1", "5.2",
    "6.1", "6.2", "6.3", "6.4", "6.5", "6.6", "6.7", "7.1", "7.2", "9.4",
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    rules: tuple[str, ...]
    title: str
    lines: tuple[str, ...]


def examples(text: str) -> Iterator[Example]:
    """Fenced blocks whose first line names the rules that they show, then a title."""
    for head, body in re.findall(r"^```example (.+)\n((?:.+\n)+?)```$", text, re.MULTILINE):
        words = head.split()
        cited = [w for w in words if re.fullmatch(r"\d\.\d", w)]
        yield Example(tuple(cited), " ".join(words[len(cited) :]), tuple(body.splitlines()))


ALL = list(examples(TEXT))


@dataclass
class Scene:
    """A world in which the lines of one example are carried out, in order."""

    world: make.World
    measure: Measure
    plan: Any = None
    span: make.Span = make.ALWAYS
    rules: list[make.Rule] = field(default_factory=list)
    deals: list[Deal] = field(default_factory=list)
    posted: int = 0
    components: list[tuple[Measure, int]] = field(default_factory=list)

    # --- what is given --------------------------------------------------------------------------------------

    def do_measure(self, rest: str) -> None:
        self.measure = make.measure(basis=rest)

    def do_rate(self, rest: str) -> None:
        code, rate = rest.split()
        FxRate.objects.filter(from_currency=code).update(superseded_at=AT)
        make.fx(code=code, rate=rate)

    def do_eligible(self, rest: str) -> None:
        EligibilityDecision.objects.filter(superseded_at=None).update(superseded_at=AT)
        if rest != "never":
            make.decision(offering=self.world.house, rate_ppm=ppm(rest))

    def do_plan(self, rest: str) -> None:
        self._publish()
        name, whom = rest.split(" for ")
        self.plan, self.span = make.comp_plan(name=name, for_everybody=False), make.ALWAYS
        if whom in SalesRole.values:
            make.assignment(plan=self.plan, role=whom)
        else:
            make.assignment(plan=self.plan, rep=self.rep(whom))

    def do_version(self, rest: str) -> None:
        self._publish()
        self.span = (date.fromisoformat(rest.removeprefix("from ")), None)

    def do_rule(self, rest: str, *, exclusive: bool = True) -> None:
        name, asked = rest.split(" ", 1)
        given = options(asked, "cap", "priority", "kind", "region")
        to = re.search(r" to (territory|role (\w+))", asked)
        self.rules.append(
            make.Rule(
                self.measure,
                slug=name,
                name=name,
                exclusive=exclusive,
                factor_ppm=ppm(asked.split("%")[0]),
                cap_minor=self.minor(given["cap"]) if "cap" in given else None,
                priority=int(given.get("priority", 0)),
                deal_kinds=[given["kind"]] if "kind" in given else None,
                regions=[given["region"]] if "region" in given else None,
                receivers=Receivers.SHARES if not to else Receivers.ROLE if to[2] else Receivers.TERRITORY,
                roles=[to[2]] if to and to[2] else None,
            )
        )

    def do_spiff(self, rest: str) -> None:
        self.do_rule(rest, exclusive=False)

    def do_covers(self, rest: str) -> None:
        where = make.territory()
        make.lies_in(customer=self.world.customer, territory=where)
        make.covers(rep=self.rep(rest), territory=where)

    def do_house(self, rest: str) -> None:
        where = make.territory(house_rep=self.rep(rest))
        make.lies_in(customer=self.world.customer, territory=where)
        assert not TerritoryAssignment.objects.filter(territory=where).exists()

    def do_owner(self, rest: str) -> None:
        until, since = (re.search(rf"(?<!credited ){w} (\S+)", rest) for w in ("until", "from"))
        to, of = (re.search(rf"credited {w} (\S+)", rest) for w in ("until", "from"))
        owned, credited = (
            (date.fromisoformat(a[1]) if a else None, date.fromisoformat(b[1]) if b else None)
            for a, b in ((since, until), (of, to))
        )
        make.ownership(
            customer=self.world.customer, rep=self.rep(rest.split()[0]), effective=owned, credits=credited
        )

    def do_left(self, rest: str) -> None:
        name, day = rest.split()
        row = TeamMembership.objects.get(rep=self.rep(name))
        row.superseded_at = AT
        row.save()
        make.membership(
            rep=row.rep, team=row.team, role=row.role, effective=(make.LONG_AGO, date.fromisoformat(day))
        )

    def do_closed(self, rest: str) -> None:
        assert Period.objects.filter(name=rest).update(state="closed") == 1

    # --- what happens ---------------------------------------------------------------------------------------

    def do_sold(self, rest: str) -> None:
        what, shares = rest.split(":")
        self._book(what, shares, DealKind.NEW_BUSINESS)

    def do_refund(self, rest: str) -> None:
        what, shares = rest.split(":")
        self._book(what, shares, DealKind.REFUND, refunds=self.deals[0])

    def do_used(self, rest: str) -> None:
        self._book(rest, "", DealKind.CONSUMPTION)

    def _book(self, what: str, shares: str, kind: str, refunds: Deal | None = None) -> None:
        given = options(what, "on", "term", "quantity")
        code = next(iter(re.findall(r"[A-Z]{3}", what)), "USD")
        exponent = make.currency(code=code).exponent
        amounts = re.findall(r"[\d.]+(?: \+ [\d.]+)*", re.sub(r"(on|term|quantity) \S+", "", what))[0]
        sign = -1 if kind == DealKind.REFUND else 1
        split = {self.rep(name): ppm(part) for name, part in re.findall(r"(\w+) ([\d.]+ %)", shares)}
        self.deals.append(
            make.deal(
                owner=next(iter(split), self.world.ana),
                customer=self.world.customer,
                kind=kind,
                refunds=refunds,
                code=code,
                close_date=date.fromisoformat(given.get("on", "2026-08-14")),
                new_customer="new customer" in what,
                lines=[
                    make.Line(
                        self.world.house,
                        sign * int(Decimal(amount).scaleb(exponent)),
                        quantity=Decimal(given["quantity"]) if "quantity" in given else None,
                        term_months=int(given["term"]) if "term" in given else None,
                    )
                    for amount in amounts.split(" + ")
                ],
                shares=split or None,
                state=DealState.APPROVED,
            )
        )
        self._post()

    def do_billed(self, rest: str) -> None:
        """The last usage, in a version that knows the bill."""
        deal = self.deals[-1]
        was = deal.latest
        (line,) = was.lines.all()
        now = DealVersion.objects.create(
            deal=deal, number=was.number + 1, kind=was.kind, close_date=was.close_date, currency=was.currency, segment=was.segment,
            region=was.region, recorded_by=was.recorded_by, recorded_at=AT,
        )  # fmt: skip
        DealLine.objects.create(
            version=now, line_no=1, offering=line.offering, amount_minor=line.amount_minor, billed_minor=int(Decimal(rest).scaleb(2))
        )  # fmt: skip
        DealShare.objects.create(version=now, ordinal=1, rep=self.world.ana, ppm=ONE)
        deal.latest_version = deal.credited_version = now
        deal.save()
        self._post()

    def do_cancelled(self, _rest: str) -> None:
        self.deals[-1].state = DealState.CANCELLED
        self.deals[-1].save()
        self._post()

    def do_held(self, _rest: str) -> None:
        self.deals[-1].held = True
        self.deals[-1].save()
        self._post()

    def do_recredited(self, _rest: str) -> None:
        self._post()

    def _publish(self) -> None:
        if self.rules:
            self.plan = self.plan or make.comp_plan()
            make.plan_version(rules=self.rules, plan=self.plan, effective=self.span)
        self.rules = []

    def _post(self) -> None:
        self._publish()
        if self.plan is None:
            self.plan = make.comp_plan()
            make.plan_version(rules=[make.Rule(self.measure, name="base")], plan=self.plan)
        done = engine.post(
            engine.ByDeal([self.deals[-1].pk]),
            key=f"{self.deals[-1].pk} {CreditEntry.objects.count()} {self.posted}",
            kind="load",
            by=None,
            at=AT,
        )
        self.posted = done.posting_id
        assert [e for e in explain_deal(self.deals[-1].pk).credits if not e.holds] == []

    # --- what it comes to -----------------------------------------------------------------------------------

    def do_gives(self, rest: str) -> None:
        name, told = rest.split(" ", 1)
        rep = None if name == "nobody" else self.rep(name)
        if re.fullmatch(r"[a-z_]+", told) and told != "nothing":
            reason = "nothing" if told == "zero" else told
            assert UncreditedLine.objects.get(deal=self.deals[-1], rep=rep).reason == reason
            return
        entries = CreditEntry.objects.filter(posting=self.posted, rep=rep).order_by(
            "line_no", "receiver_class", "component", "-reverses_id"
        )
        found = sorted(
            entries, key=lambda e: (e.line_no, e.receiver_class, e.component, e.reverses_id is None)
        )
        amounts = told.split(" by ")[0].split(" in ")[0]
        wanted = (
            []
            if told == "nothing"
            else [
                self.minor(amount) * (-1 if sign == "-" else 1)
                for sign, amount in re.findall(r"([-+])?\s*(\d+(?:\.\d+)?)", amounts)
            ]
        )
        assert [e.amount_minor for e in found] == wanted
        if by := options(told, "by", "in", "from"):
            rules = {e.rule_version.name for e in found if e.rule_version}
            assert rules <= ({by["by"]} if "by" in by else rules)
            assert {e.posting_period.name for e in found} <= {
                by.get("in", e.posting_period.name) for e in found
            }
            assert {e.origin_period.name for e in found} <= {
                by.get("from", e.origin_period.name) for e in found
            }

    def do_net(self, rest: str) -> None:
        name, amount = rest.split()
        rows = CreditEntry.objects.filter(rep=self.rep(name)).values_list("amount_minor", flat=True)
        assert sum(rows) == self.minor(amount)

    def do_team(self, rest: str) -> None:
        """What rolls up to the top of the tree."""
        rows = CreditTotal.objects.filter(basis=1, period__grain="M").values_list("direct_minor", flat=True)
        assert sum(rows) == self.minor(rest)

    def do_component(self, rest: str) -> None:
        """What ana has in a measure of her plan, of which quota, at what weight."""
        measure = make.measure()
        credited = int(Decimal(rest.split()[0]).scaleb(2))
        given = options(rest, "of", "weight")
        month, quarter = self.world.year.month(2), self.world.year.quarters[0]
        make.total(
            rep=self.world.ana, team=self.world.team, measure=measure, month=month, direct_minor=credited
        )
        if "of" in given:
            make.quota(measure=measure, period=quarter, rep=self.world.ana, amount_minor=int(Decimal(given["of"]).scaleb(2)))  # fmt: skip
        self.components.append((measure, int(given["weight"]) * 10_000))

    def do_weighted(self, rest: str) -> None:
        name, weighted, counted = re.findall(r"^(\w+) ([\d.]+) % of ([\d.]+) %$", rest)[0]
        version = make.plan_version(rules=[], plan=make.comp_plan(), state="draft")
        for measure, weight in self.components:
            make.component(version=version, measure=measure, weight_ppm=weight)
        version.state, version.published_by, version.published_at = "published", self.world.admin, AT
        version.save()
        rep = self.rep(name)
        (found,) = weighted_attainments([rep.pk], period=self.world.year.quarters[0], on=make.TODAY)[rep.pk]
        assert found.weighted == Fraction(weighted) / 100
        assert found.weight_counted_ppm == int(counted) * 10_000

    # --- names and numbers ----------------------------------------------------------------------------------

    def rep(self, name: str) -> Rep:
        found = getattr(self.world, name)
        assert isinstance(found, Rep)
        return found

    def minor(self, amount: str) -> int:
        exponent = self.measure.currency.exponent if self.measure.currency else COUNT_EXPONENT
        scaled = Decimal(amount).scaleb(exponent)
        assert scaled == int(scaled), f"{amount} is no whole number of the smallest unit"
        return int(scaled)


def ppm(text: str) -> int:
    return int(Decimal(text.replace("%", "").strip()).scaleb(4))


def options(text: str, *names: str) -> dict[str, str]:
    """Words that follow a name: "term 36 on 2026-08-01"."""
    found = {name: re.search(rf"\b{name} ([\w.-]+)", text) for name in names}
    return {name: match[1] for name, match in found.items() if match}


@pytest.fixture
def world() -> make.World:
    """Nobody has a plan in it."""
    built = make.world(rules=[], quotas=False)
    PlanAssignment.objects.all().delete()
    return built


def carried_out(world: make.World, example: Example) -> None:
    scene = Scene(world, world.bookings)
    asserted = 0
    for line in example.lines:
        verb, _, rest = line.partition(" ")
        getattr(scene, f"do_{verb}")(rest)
        asserted += verb in ("gives", "net", "team", "weighted")
    assert asserted, "an example that says nothing of what comes out"
    if scene.deals:  # otherwise there are totals that no ledger is behind
        assert broken() == {}


def test_each_example_of_the_rules_is_what_the_engine_does(
    world: make.World, subtests: pytest.Subtests
) -> None:
    for example in ALL:
        with subtests.test(f"{', '.join(example.rules)} {example.title}"), transaction.atomic():
            carried_out(world, example)
            transaction.set_rollback(True)


def test_every_rule_that_computes_has_an_example() -> None:
    numbered = set(re.findall(r"^(\d\.\d) ", TEXT, re.MULTILINE))
    cited = {number for example in ALL for number in example.rules}
    assert cited <= numbered
    assert cited >= COMPUTED
    assert len(ALL) == TEXT.count("```example")


def test_an_example_that_is_wrong_fails(world: make.World) -> None:
    wrong = Example(("4.2",), "A cent too many", ("sold 0.03: ana 50 %, bo 50 %", "gives ana 0.01"))
    with pytest.raises(AssertionError):
        carried_out(world, wrong)

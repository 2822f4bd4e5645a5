"""What our own products used of which models, month by month, and what was planned to be spent. All of it is made up but the plan
that is publicly reported; the tokens are sized so that the supplier of that plan runs at nearly what is reported.
"""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Final

from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import User
from config import bulk
from config.clock import day_of
from config.house import rounded
from config.months import add_months, month_of, months_between
from marketplace.models import (
    Binding,
    BindingRole,
    Bound,
    CommercialPath,
    Company,
    Feature,
    FeatureUsage,
    Hosting,
    ModelVersion,
    Offering,
    PublicFact,
    SpendPlan,
)
from marketplace.selectors.costs import Usage
from marketplace.selectors.sourcing.binding import bindings, plans_to_buy
from marketplace.selectors.sourcing.costing import USD, PriceBook
from marketplace.services.sourcing.usage import import_usage

MONTHS: Final = 25
SEED: Final = 20260814
REPORTED: Final = "spend-anthropic"
NEARLY: Final = Fraction(99, 100)  # of what is reported: "nearly; on track"
OVERLAP: Final = timedelta(days=75)  # on which a model still ran elsewhere after our cloud had it
MADE_UP: Final = "Made up for the demo"
STEP: Final = 100_000  # tokens; nothing made up is finer
PLAN_STEP: Final = 5_000_000_00
WEIGHTS: Final = {"coding": 9, "agents": 6, "reasoning": 3, "documents": 3, "spreadsheets": 2, "security": 1}


@dataclass(frozen=True, slots=True)
class Habit:
    """How a feature is used: its size beside the others, and what a request of it looks like."""

    size: float
    middle: float  # the month of its fastest growth
    cached: float
    output: float
    request: int
    noise: Random

    def volume(self, place: int, month: date) -> float:
        """Grows fast and then slowly; less in December."""
        grown = 0.1 + 0.9 / (1 + math.exp((self.middle - place) / 3.4))
        return self.size * grown * self.noise.uniform(0.985, 1.015) * (0.93 if month.month == 12 else 1)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """About a thousand lines of usage from the bindings as they are, plans, and two files as a lead would bring them."""
    if FeatureUsage.objects.exists():
        return {}
    acting(by=None, at=at, reason=MADE_UP)
    bound = list(bindings())
    end = month_of(day_of(at))
    hosts = _hosts(bound, at)
    lines = _scaled(list(_lines(bound, hosts, add_months(end, -MONTHS), end, at)), end)
    bulk.insert(lines)
    plans = _plans(lines, end, at)
    bulk.insert(plans)
    by = people.get("sourcing")
    return {
        "usage lines": len(lines) + (_files(lines, add_months(end, -1), by, at) if by is not None else 0),
        "spend plans": len(plans),
    }


# --- lines -------------------------------------------------------------------------------------------------


def _lines(
    bound: Sequence[Binding],
    hosts: Mapping[int, Sequence[tuple[int, DateRange]]],
    first: date,
    end: date,
    at: datetime,
) -> Iterator[FeatureUsage]:
    by_feature: dict[int, list[Binding]] = defaultdict(list)
    for each in bound:
        if each.role != BindingRole.FALLBACK:
            by_feature[each.feature_id].append(each)
    bought = plans_to_buy({each.model_version_id for each in bound})
    for own in by_feature.values():
        habit = _habit(own[0].feature)
        for place, month in enumerate(months_between(first, end)):
            volume = habit.volume(place, month)
            parts, assumed = _shares(own, month)
            for (version, plan), share in parts.items():
                for host, of_it in _where(hosts.get(version.pk, ()), month):
                    tokens = volume * share * of_it
                    yield FeatureUsage(
                        feature_id=own[0].feature_id,
                        model_version=version,
                        plan_id=plan or bought.get(version.pk),
                        host_id=host,
                        month=month,
                        input_tokens=int(tokens),
                        cached_tokens=int(tokens * habit.cached),
                        output_tokens=int(tokens * habit.output),
                        requests=habit.request,  # of one request, until the tokens have their size
                        source=f"{MADE_UP}; shares that are not stated taken as equal"
                        if assumed
                        else MADE_UP,
                        synthetic=True,
                        recorded_at=at,
                    )


def _habit(feature: Feature) -> Habit:
    random = Random(f"{SEED}:{feature.slug}")  # noqa: S311 -- the same demo every time
    task = feature.task_area.slug
    size = next((weight for word, weight in WEIGHTS.items() if word in task), 2)
    coding = task in ("coding", "agents")
    return Habit(
        size=size * random.uniform(0.7, 1.3) * 1e9,
        middle=random.uniform(9, 13),
        cached=random.uniform(0.5, 0.62) if coding else random.uniform(0.15, 0.3),
        output=random.uniform(0.05, 0.08) if coding else random.uniform(0.12, 0.2),
        request=random.randrange(4_000, 24_000, 500) if coding else random.randrange(1_500, 9_000, 500),
        noise=random,
    )


def _shares(own: Sequence[Binding], month: date) -> tuple[dict[tuple[ModelVersion, int | None], float], bool]:
    """Parts of a month's traffic by version and plan, and whether a share that is not stated is among them: it is split evenly."""
    end = add_months(month, 1)
    days = {month, end}
    for each in own:
        days |= {d for d in (each.effective.lower, each.effective.upper) if d is not None and month < d < end}
    found: dict[tuple[ModelVersion, int | None], float] = defaultdict(float)
    assumed = False
    for start, stop in pairwise(sorted(days)):
        here = [each for each in own if _holds(each.effective, start)]
        open_ = [each for each in here if each.share_ppm is None]
        rest = 1_000_000 - sum(each.share_ppm or 0 for each in here)
        assumed |= bool(open_)
        for each in here:
            share = rest / len(open_) if each.share_ppm is None else each.share_ppm
            part = share / 1e6 * (stop - start).days / (end - month).days
            found[each.model_version, each.plan_id] += part
    return found, assumed


def _where(places: Sequence[tuple[int, DateRange]], month: date) -> list[tuple[int | None, float]]:
    """The hosts of a version in a month, each with an even part of it; none is known for one that nobody states."""
    here = [host for host, span in places if _holds(span, month)] or [host for host, _span in places[:1]]
    return [(host, 1 / len(here)) for host in here] or [(None, 1.0)]


def _holds(span: DateRange, day: date) -> bool:
    return (span.lower is None or span.lower <= day) and (span.upper is None or day < span.upper)


def _scaled(lines: list[FeatureUsage], end: date) -> list[FeatureUsage]:
    """Every token times the one factor that brings the reported supplier's last month to a twelfth of nearly what is reported."""
    month = add_months(end, -1)
    book = PriceBook({each.plan_id for each in lines if each.plan_id is not None}, month, end)
    fact = PublicFact.objects.filter(slug=REPORTED).first()
    supplier = Company.objects.filter(slug="anthropic").first()
    maker = supplier.publisher_id if supplier is not None else None
    spent = everything = Fraction(0)
    for each in (line for line in lines if line.month == month):
        cost = book.cost(each.plan_id, month, _usage(each, 0)).amount or Fraction(0)
        everything += cost
        spent += cost if each.model_version.model.publisher_id == maker else 0
    reported = Fraction(fact.amount) if fact is not None and fact.amount is not None else Fraction(10**9)
    factor = (
        reported * NEARLY / 12 / spent if spent else reported / 12 / everything if everything else Fraction(1)
    )
    scaled = []
    for each in lines:
        request = each.requests or 1
        each.input_tokens, each.cached_tokens, each.output_tokens = (
            rounded(tokens * factor / STEP) * STEP
            for tokens in (each.input_tokens, each.cached_tokens, each.output_tokens)
        )
        each.requests = each.input_tokens // request
        if each.input_tokens:
            scaled.append(each)
    return scaled


def _usage(line: FeatureUsage, requests: int | None) -> Usage:
    return Usage(
        input_tokens=line.input_tokens,
        cached_input_tokens=line.cached_tokens,
        output_tokens=line.output_tokens,
        requests=requests or 0,
    )


# --- where it runs -----------------------------------------------------------------------------------------


def _hosts(bound: Iterable[Binding], at: datetime) -> dict[int, list[tuple[int, DateRange]]]:
    """Where each bound version runs. Stated by nobody yet: our cloud what it sells, the others at first at their maker's. Assumed."""
    found: dict[int, list[tuple[int, DateRange]]] = defaultdict(list)
    for stated in Hosting.objects.filter(superseded_at=None).order_by("effective"):
        found[stated.model_version_id].append((stated.host_id, stated.effective))
    ours = Company.objects.filter(is_operator=True).first()
    makers = dict(Company.objects.exclude(publisher=None).values_list("publisher_id", "pk"))
    versions = {each.model_version_id: each.model_version for each in bound}
    sold = {
        each.model_version_id: each
        for each in Offering.objects.filter(model_version__in=versions).order_by("-available_on")
    }
    made = []
    for pk, version in versions.items():
        if ours is None or found[pk]:
            continue
        maker = makers.get(version.model.publisher_id)
        offering = sold.get(pk)
        since = offering.available_on if offering is not None else None
        ours_from_start = maker == ours.pk or version.model.publisher.slug == "openai"
        if ours_from_start or (
            offering is not None and offering.commercial_path != CommercialPath.MARKETPLACE
        ):
            found[pk].append((ours.pk, DateRange(None, None)))
        elif maker is not None:
            found[pk].append((maker, DateRange(None, since + OVERLAP if since is not None else None)))
            if since is not None:
                found[pk].append((ours.pk, DateRange(since, None)))
        made += [
            Hosting(
                model_version=version,
                host_id=host,
                effective=span,
                source=f"{MADE_UP}: not public",
                assumed=True,
                recorded_at=at,
            )
            for host, span in found[pk]
        ]
    Hosting.objects.bulk_create(made)
    return found


# --- plans -------------------------------------------------------------------------------------------------


def _plans(lines: Sequence[FeatureUsage], end: date, at: datetime) -> list[SpendPlan]:
    """This fiscal year's and the last one's: the reported rate for its supplier, a little more than was spent for the others."""
    first = date(end.year if end.month >= 7 else end.year - 1, 7, 1)
    years = [(add_months(first, -12), first), (first, add_months(first, 12))]
    book = PriceBook({each.plan_id for each in lines if each.plan_id is not None}, years[0][0], end)
    spent: dict[tuple[int, date], Fraction] = defaultdict(Fraction)
    for each in lines:
        if each.month >= years[0][0]:
            cost = book.cost(each.plan_id, each.month, _usage(each, each.requests))
            spent[each.model_version.model.publisher_id, each.month] += cost.amount or 0
    fact = PublicFact.objects.filter(slug=REPORTED).first()
    made = []
    for company in Company.objects.exclude(publisher=None).order_by("pk"):
        own = {month: cost for (maker, month), cost in spent.items() if maker == company.publisher_id}
        last = own.get(add_months(end, -1), Fraction(0)) * 12 * 100
        before = sum((cost for month, cost in own.items() if month < first), Fraction(0)) * 100
        for (start, stop), seen in zip(
            years, (before * Fraction(95, 100), last * Fraction(108, 100)), strict=True
        ):
            reported = (
                fact if fact is not None and fact.amount is not None and company.slug == "anthropic" else None
            )
            amount = int(reported.amount * 100) if reported is not None and reported.amount else _round(seen)
            if not amount or not own:
                continue
            made.append(
                SpendPlan(
                    supplier=company,
                    effective=DateRange(start, stop),
                    amount_minor=amount,
                    currency_id=USD,
                    bound=Bound.ABOUT if reported is not None else Bound.EXACT,
                    fact=reported,
                    source=_said(reported),
                    recorded_at=at,
                )
            )
    return made


def _round(minor: Fraction) -> int:
    """To what a plan is made in; a small supplier's to a tenth of it."""
    step = PLAN_STEP if minor >= 4 * PLAN_STEP else PLAN_STEP // 10
    return rounded(minor / step) * step


def _said(fact: PublicFact | None) -> str:
    if fact is None:
        return MADE_UP
    return f"Reported as a rate a year ({fact.note}); taken as the plan of the whole year, which is an assumption"


# --- files -------------------------------------------------------------------------------------------------


def _files(lines: Sequence[FeatureUsage], month: date, by: User, at: datetime) -> int:
    """A month's last lines as its metering sends them, and the day after a correction of one."""
    own = [each for each in lines if each.month == month and each.plan_id is not None][:3]
    if not own:
        return 0
    named = Feature.objects.in_bulk([each.feature_id for each in own])
    hosts = Company.objects.in_bulk([each.host_id for each in own if each.host_id is not None])

    def written(factor: int, rows: Sequence[FeatureUsage]) -> bytes:
        text = io.StringIO()
        line = csv.writer(text).writerow
        line(
            [
                "month",
                "feature",
                "model",
                "version",
                "host",
                "input_tokens",
                "cached_tokens",
                "output_tokens",
                "requests",
            ]
        )
        for each in rows:
            host = hosts.get(each.host_id or 0)
            line(
                [
                    f"{month:%Y-%m}",
                    named[each.feature_id].slug,
                    each.model_version.model.slug,
                    each.model_version.label,
                    host.slug if host is not None else "",
                    *(
                        n * factor // 1000
                        for n in (each.input_tokens, each.cached_tokens, each.output_tokens)
                    ),
                    (each.requests or 0) * factor // 1000,
                ]
            )
        return text.getvalue().encode()

    made = 0
    for name, factor, rows in (
        (f"metering-{month:%Y-%m}.csv", 1004, own),
        ("metering-correction.csv", 1001, own[:1]),
    ):
        found = import_usage(content=written(factor, rows), file_name=name, by=by, at=at)
        FeatureUsage.objects.filter(brought_by=found.run).update(synthetic=True)
        made += found.counts["new"]
    return made

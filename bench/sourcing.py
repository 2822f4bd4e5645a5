"""A scenario over 24 features, 30 models and 36 months: what its page takes, from the request to the last byte.

Every feature runs on four models, changes its mix every half a year, and has used all of them; every model has six prices by
date, a fifth of them with tiers, and a score in each task. The scenario moves shares in one feature and in all, changes prices and ends
a supplier, so that no feature stays as it is. The floor reads the same rows: each statement of the page once more, bare.
"""

import statistics
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib import import_module
from typing import Any, Final

from django.db import connection, transaction
from django.test import Client

from accounts.models import Role
from bench.figures import Figure, seconds
from config.months import add_months
from marketplace.models import Feature, ModelVersion, MoveKind, Plan, PriceRow
from marketplace.services.sourcing.scenarios import MoveDraft, ScenarioDraft, make_scenario
from tests import make

FEATURES: Final = 24
MODELS: Final = 30
MONTHS: Final = 36
SUPPLIERS: Final = 6
TASKS: Final = 8
BESIDE: Final = 4  # models of a feature
RUNS: Final = 60
TODAY: Final = date(2026, 8, 14)
START: Final = date(2026, 9, 1)


def measure(_lines: int) -> dict[str, Figure]:
    """A page each time; the floor in turns with it."""
    lead = make.user(role=Role.SOURCING_LEAD)
    versions, plans = _models()
    features = [make.feature(name=f"Bench {n}", task=f"bench-{n % TASKS}") for n in range(FEATURES)]
    for n, feature in enumerate(features):
        _mixes(feature, [versions[(n * 7 + k * 11) % MODELS] for k in range(BESIDE)])
    _scores(versions)
    made = make_scenario(draft=_draft(features, versions, plans), on=TODAY, by=lead, at=make.AT)
    client = Client()
    client.force_login(lead)
    import_module("config.wsgi")  # loads and settles everything as for serving
    ask = partial(_ask, client, f"/sourcing/scenarios/{made.pk}/")
    ask()
    floor = partial(_replay, _statements(ask))
    ours, floors = [], []
    for _ in range(RUNS):
        ours.append(1000 * seconds(ask))
        floors.append(1000 * seconds(floor))
    value, bare = statistics.median(ours), statistics.median(floors)
    p95 = statistics.quantiles(ours, n=20)[-1]
    return {"scenario_ms": Figure(value, "ms", bare, bare / value, RUNS, p95=p95)}


def _models() -> tuple[list[ModelVersion], list[Plan]]:
    """Of six suppliers, two of which give a discount; each sold on a plan with six prices, of which every fifth has tiers."""
    suppliers = [make.publisher() for _ in range(SUPPLIERS)]
    for n, supplier in enumerate(suppliers):
        company = make.company(publisher=supplier)
        if n % 3 == 0:
            make.agreement(supplier=company, discount_ppm=50_000)
    versions, plans = [], []
    for n in range(MODELS):
        plan = make.plan(offering=make.offering(publisher=suppliers[n % SUPPLIERS]))
        for k in range(6):
            span = (add_months(START, 6 * k) if k else date(2020, 1, 1), add_months(START, 6 * k + 6))
            price = make.price(
                plan=plan,
                effective=span,
                rows={
                    "input-tokens": f"{1 + n % 5}.{k}1",
                    "cached-input-tokens": f"0.{1 + n % 7}",
                    "output-tokens": f"{4 + n % 9}.{k}3",
                },
            )
            if n % 5 == 0:
                PriceRow.objects.create(
                    version=price,
                    meter="output-tokens",
                    per=1_000_000,
                    unit="token",
                    tier_from=10**8,
                    amount=3,
                )
        if plan.offering.model_version is None:
            raise RuntimeError("A model that is sold has a version.")
        versions.append(plan.offering.model_version)
        plans.append(plan)
    return versions, plans


def _mixes(feature: Feature, own: list[ModelVersion]) -> None:
    """A new mix every half a year, announced three years ahead; three months of use of each model."""
    for half in range(7):
        first = add_months(START, 6 * half) if half else date(2020, 1, 1)
        end = add_months(START, 6 * half + 6) if half < 6 else None
        shares = [400_000 + 10_000 * half, 300_000 - 10_000 * half, 200_000, 100_000]
        with transaction.atomic():
            for k, (version, share) in enumerate(zip(own, shares, strict=True)):
                make.binding(
                    feature=feature,
                    version=version,
                    share_ppm=share,
                    role="selectable" if k else "default",
                    effective=(first, end),
                )
    for month in (5, 6, 7):
        for k, version in enumerate(own):
            make.usage(
                feature=feature,
                version=version,
                month=date(2026, month, 1),
                tokens=(10**9 + 10**6 * k, 10**8, 3 * 10**8),
            )


def _scores(versions: list[ModelVersion]) -> None:
    for n in range(TASKS):
        suite = make.suite(task=f"bench-{n}")
        for k, version in enumerate(versions):
            low = 0.3 + k / 100
            make.suite_run(
                suite=suite, version=version, score=(f"{low:.2f}", f"{low + 0.05:.2f}", f"{low + 0.1:.2f}")
            )


def _draft(features: list[Feature], versions: list[ModelVersion], plans: list[Plan]) -> ScenarioDraft:
    supplier = versions[5].model.publisher.company
    shares = [
        MoveDraft(
            MoveKind.SHARE,
            source_id=versions[n].pk,
            target_id=versions[(n + 13) % MODELS].pk,
            share_ppm=333_333,
            feature_id=features[0].pk if n == 0 else None,
        )
        for n in range(6)
    ]
    prices = [MoveDraft(MoveKind.PRICE, plan_id=plan.pk, change_ppm=75_000) for plan in plans[10:14]]
    end = MoveDraft(MoveKind.END_SUPPLIER, supplier_id=supplier.pk)
    return ScenarioDraft("Measured", START, months=MONTHS, moves=[*shares, *prices, end])


def _ask(client: Client, address: str) -> None:
    response = client.get(address)
    if response.status_code != 200:
        raise RuntimeError(f"{address} answered {response.status_code}")


def _statements(ask: Callable[[], None]) -> list[tuple[str, Any]]:
    """What the page reads, with its values."""
    found: list[tuple[str, Any]] = []

    def heard(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("(").startswith("SELECT"):
            found.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(heard):
        ask()
    return found


def _replay(statements: list[tuple[str, Any]]) -> None:
    with connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(sql, params)
            cursor.fetchall()


GROUPS: dict[Callable[[int], dict[str, Figure]], tuple[str, ...]] = {measure: ("scenario_ms",)}

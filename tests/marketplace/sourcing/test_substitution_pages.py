"""Leverage and the drill by hand, the pages and REST of substitution, and who may see which of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Role, User
from marketplace.models import Company, Feature, ModelVersion, Substitution
from marketplace.selectors.sourcing.leverage import drill, leverage
from marketplace.selectors.sourcing.substitution import Left
from marketplace.services.sourcing import substitution
from tests import kept, make

Browser = Callable[[User], Client]
TODAY = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
MONTHS = [date(2026, month, 1) for month in (5, 6, 7)]

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Market:
    """Three features on models of Acme: one shared with Bolt, one with a qualified Bolt, one with nothing else.

    A million tokens out cost $10 at Acme and $8 at Bolt; each feature used three million of Acme's in three months, the
    first in each month before the last year too.
    """

    acme: Company
    bolt: Company
    one: ModelVersion
    other: ModelVersion
    shared: Feature
    qualified: Feature
    stuck: Feature
    substitution: Substitution
    engineer: User
    lead: User


def sold(name: str, price: str) -> ModelVersion:
    offering = make.offering(name=f"{name} model", publisher=make.publisher(name=name, slug=name.lower()))
    make.price(plan=make.plan(offering=offering), rows={"output-tokens": price})
    made = offering.model_version
    assert made is not None
    return made


@kept.world
def market_of_substitutes() -> Market:
    engineer = make.user(role=Role.ENGINEER, name="Enno Engineer")
    lead = make.user(role=Role.SOURCING_LEAD, name="Lea Lead")
    one, other = sold("Acme", "10"), sold("Bolt", "8")
    acme, bolt = (make.company(publisher=v.model.publisher) for v in (one, other))
    shared, qualified, stuck = (make.feature(name=name) for name in ("Shared", "Can move", "Stuck"))
    make.binding(feature=shared, version=one, share_ppm=600_000)
    make.binding(feature=shared, version=other, share_ppm=400_000, role="selectable")
    for feature in (qualified, stuck):
        make.binding(feature=feature, version=one)
    for feature in (shared, qualified, stuck):
        for month in MONTHS:
            plan = one.offerings.get().plans.get()
            make.usage(feature=feature, version=one, plan=plan, month=month, tokens=(0, 0, 1_000_000))
    make.usage(feature=stuck, version=one, month=date(2026, 4, 1))  # no plan: unpriced
    row = substitution.propose(
        feature_id=qualified.pk,
        replaced_id=one.pk,
        alternative_id=other.pk,
        reason="Just as good",
        by=engineer,
        at=AT,
        on=TODAY,
    )
    substitution.decide(substitution_id=row.pk, qualify=True, note="Tried", by=lead, at=AT, on=TODAY)
    make.agreement(supplier=acme, renews_on=date(2026, 10, 1), notice_days=30)
    make.relationship(payer=acme, payee=make.company(name="We", operator=True), kind="compute_commitment")
    row.refresh_from_db()
    return Market(acme, bolt, one, other, shared, qualified, stuck, row, engineer, lead)


@pytest.fixture
def market(db: None) -> Market:
    return market_of_substitutes()


@pytest.fixture
def engineer(market: Market) -> User:
    return market.engineer


@pytest.fixture
def lead(market: Market) -> User:
    return market.lead


def flat(content: bytes) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


def seen(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return flat(response.content)


# By hand.


def test_leverage_by_hand(market: Market, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    """Acme: 3 x 3 x $10 = $90, of which the stuck feature's $30 cannot move. Moving costs $8 for $10, twice, a month."""
    with django_assert_max_num_queries(24):
        acme, bolt = leverage(TODAY)
        assert (acme.publisher.name, acme.spent, acme.switchable, acme.unpriced) == ("Acme", 90_00, 60_00, 1)
        assert (acme.features, acme.movable) == (3, 2)
        assert [acme.now, acme.extra, acme.ratio] == [20, -4, Fraction(-1, 5)]
    assert acme.notice is not None
    assert (acme.notice.by, acme.notice.days) == (date(2026, 9, 1), 18)
    # Bolt runs a part of one feature and was not used lately: nothing spent, nothing to compare, and no agreement.
    assert (bolt.publisher.name, bolt.spent, bolt.features, bolt.movable, bolt.notice) == (
        "Bolt",
        0,
        1,
        1,
        None,
    )
    assert bolt.extra is None


def test_what_was_spent_on_a_version_no_longer_in_use_moves_with_its_successors(market: Market) -> None:
    before = sold("Elder", "10")
    before.model.publisher = market.one.model.publisher
    before.model.save()
    plan = before.offerings.get().plans.get()
    for feature, month in ((market.qualified, 1), (market.stuck, 2)):
        make.usage(
            feature=feature, version=before, plan=plan, month=date(2026, month, 1), tokens=(0, 0, 1_000_000)
        )
    acme = leverage(TODAY)[0]
    assert (acme.spent, acme.switchable) == (110_00, 70_00)


def test_the_drill_by_hand(market: Market, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_max_num_queries(18):
        found = drill(market.acme, TODAY)
        assert {cover.feature.name: cover.left for cover in found.covers} == {
            "Shared": Left.COVERED,
            "Can move": Left.COVERED,
            "Stuck": Left.UNCOVERED,
        }
        assert [found.now, found.extra, found.falls_away] == [30, -4, 10]
        assert [[str(version), number, cost] for version, number, cost in found.takers] == [
            ["Bolt model 1", 2, 16]
        ]
        assert [tie.kind for tie in found.ties] == ["compute_commitment"]
    assert [cover.left for cover in drill(market.bolt, TODAY).covers] == [Left.COVERED]


def test_a_feature_that_loses_only_its_fallback_runs_on_and_is_named(market: Market) -> None:
    make.binding(feature=market.stuck, version=market.other, role="fallback")
    assert [c.feature.name for c in drill(market.acme, TODAY).covered] == ["Shared", "Can move", "Stuck"]
    found = drill(market.bolt, TODAY)
    assert [cover.feature.name for cover in found.losing] == ["Stuck"]


# Pages.


def test_the_pages_tell_what_could_move_and_what_could_not(
    market: Market, lead: User, browser_of: Browser
) -> None:
    client = browser_of(lead)
    register = seen(client, "/sourcing/substitutions/")
    for part in ("Can move", "Bolt model", "for Acme model, Acme", "Qualified", "20.0% less"):
        assert part in register
    assert "Nothing matches" in seen(client, "/sourcing/substitutions/?search=nowhere")
    assert "Nothing waits for a decision" in seen(client, "/sourcing/substitutions/?state=proposed")
    assert "Nothing: propose an alternative" in seen(client, "/sourcing/substitutions/features/")
    sheet = seen(client, "/sourcing/leverage/?supplier=acme")
    for part in (
        "$90",
        "$60",
        "66.7%",
        "−20.0%",
        "18 days",
        "2 of 3",
        "without 1 unpriced line",
        "No way out",
    ):
        assert part in sheet
    assert "Bolt model Bolt, qualified" in sheet
    left = seen(client, f"/sourcing/drill/{market.acme.slug}/")
    for part in ("Nothing for Acme model", "$10 a month would no longer be bought", "−$4", "$1M"):
        assert part in left
    assert "We" in left
    empty = seen(client, f"/sourcing/drill/{make.company(publisher=make.publisher()).slug}/")
    assert "Nothing of ours would notice." in empty
    for path, first in (
        ("/sourcing/substitutions/?format=csv", "Substitution,Product,Feature"),
        ("/sourcing/leverage/?format=csv", "Supplier,"),
        ("/sourcing/leverage/?supplier=acme&format=csv", "Supplier,Product,Feature"),
        (f"/sourcing/drill/{market.acme.slug}/?format=csv", "Product,Feature"),
    ):
        lines = b"".join(client.get(path).streaming_content).decode("utf-8-sig").splitlines()  # type: ignore[attr-defined]
        assert lines[0].startswith(first), path
        assert len(lines) > 1


def test_proposing_and_deciding_in_the_browser_keep_what_was_written_when_refused(
    market: Market, engineer: User, lead: User, browser_of: Browser
) -> None:
    path = f"/sourcing/substitutions/features/{market.stuck.slug}/"
    form = {"replaced": market.one.pk, "alternative": market.other.pk, "reason": "  "}
    proposing, deciding = browser_of(engineer), browser_of(lead)
    refused = proposing.post(path, form)
    assert refused.status_code == 422
    assert "Say why it could take over" in flat(refused.content)
    assert re.search(rf'value="{market.other.pk}"[^>]* checked', refused.content.decode())
    made = proposing.post(path, {**form, "reason": "Why not"})
    assert made.status_code == 302
    page = made.headers["Location"]
    assert "evidence (none)" in seen(deciding, page)
    assert 'value="qualify"' not in proposing.get(page).content.decode()
    silent = deciding.post(f"{page}decide/", {"decision": "qualify", "note": ""})
    assert silent.status_code == 422
    assert "in spite of: evidence (none)" in flat(silent.content)
    assert proposing.post(f"{page}decide/", {"decision": "reject", "note": "x"}).status_code == 403
    done = deciding.post(f"{page}decide/", {"decision": "qualify", "note": "Tried"}, follow=True)
    assert "Qualified: it counts as a way out from now on." in flat(done.content)
    gone = deciding.post(f"{page}withdraw/", {"reason": "Not after all"}, follow=True)
    assert "Withdrawn. It stays in the register." in flat(gone.content)


def test_to_others_none_of_it_exists(market: Market, browser_of: Browser) -> None:
    """Nor to who has several of the roles: each adds what it may see."""
    row = market.substitution.pk
    for roles in ([Role.PARTNER], [Role.REP, Role.MANAGER, Role.CATALOG_MANAGER, Role.COMP_ADMIN]):
        client = browser_of(make.user(roles=roles))
        for path in (
            "/sourcing/substitutions/",
            "/sourcing/substitutions/?format=csv",
            "/sourcing/substitutions/features/",
            f"/sourcing/substitutions/features/{market.stuck.slug}/",
            f"/sourcing/substitutions/{row}/",
            "/sourcing/leverage/",
            f"/sourcing/drill/{market.acme.slug}/",
            "/api/v1/sourcing/substitutions/",
            f"/api/v1/sourcing/substitutions/{row}/",
        ):
            assert client.get(path).status_code == 404, (roles, path)
        for action in ("decide", "withdraw"):
            assert client.post(f"/sourcing/substitutions/{row}/{action}/").status_code == 404


def test_engineers_read_no_prices_and_auditors_change_nothing(
    market: Market, engineer: User, browser_of: Browser
) -> None:
    client = browser_of(engineer)
    for path in (
        "/sourcing/substitutions/",
        f"/sourcing/substitutions/{market.substitution.pk}/",
        f"/sourcing/substitutions/features/{market.qualified.slug}/",
    ):
        text = seen(client, path)
        assert "20.0% less" not in text
        assert "Evidence" in text
    for path in ("/sourcing/leverage/", f"/sourcing/drill/{market.acme.slug}/"):
        assert client.get(path).status_code == 404
    exported = b"".join(client.get("/sourcing/substitutions/?format=csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert "Price" not in exported
    record = client.get(f"/api/v1/sourcing/substitutions/{market.substitution.pk}/").json()
    assert record["price_change"] is None
    assert "price" not in {verdict["need"] for verdict in record["verdicts"]}
    auditor = browser_of(make.user(role=Role.AUDITOR))
    path = f"/sourcing/substitutions/features/{market.stuck.slug}/"
    assert "20.0% less" in seen(auditor, f"/sourcing/substitutions/{market.substitution.pk}/")
    assert 'name="alternative"' not in auditor.get(path).content.decode()
    assert (
        auditor.post(
            path, {"replaced": market.one.pk, "alternative": market.other.pk, "reason": "x"}
        ).status_code
        == 403
    )
    assert Substitution.objects.count() == 1


# REST.


def test_rest_lists_proposes_and_decides(
    market: Market,
    engineer: User,
    lead: User,
    browser_of: Browser,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    at = "/api/v1/sourcing/substitutions/"
    body: dict[str, Any] = {
        "feature": market.stuck.slug,
        "replaced": {"model": market.one.model.slug},
        "alternative": {"model": market.other.model.slug, "version": "1"},
        "reason": "A way out",
    }
    client = browser_of(engineer)
    wrong = client.post(
        at, {**body, "feature": "nowhere", "alternative": {"model": "none"}}, "application/json"
    )
    assert [(e["code"], e["pointer"]) for e in wrong.json()["errors"]] == [
        ("unknown_feature", "/feature"),
        ("unknown_model", "/alternative"),
    ]
    made = client.post(at, body, "application/json")
    assert (made.status_code, made.json()["state"]) == (201, "proposed")
    again = client.post(at, body, "application/json")
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "already_proposed")
    one = f"{at}{made.json()['id']}/"
    decide = {"decision": "qualify", "note": "Tried"}
    assert client.post(f"{one}decide/", decide, "application/json").status_code == 403
    stale = browser_of(lead).post(
        f"{one}decide/", decide, "application/json", headers={"If-Match": '"other"'}
    )
    assert stale.status_code == 412
    done = browser_of(lead).post(f"{one}decide/", decide, "application/json")
    assert (done.status_code, done.json()["state"], done.json()["price_change"]) == (
        200,
        "qualified",
        "-0.20",
    )
    reader = browser_of(lead)
    with django_assert_max_num_queries(22):
        listed = reader.get(f"{at}?state=qualified&supplier=acme").json()["results"]
    assert {row["feature"] for row in listed} == {market.stuck.slug, market.qualified.slug}
    assert browser_of(lead).get(f"{at}?feature={market.shared.slug}").json()["results"] == []
    assert browser_of(lead).get(f"{at}?state=nowhere").status_code == 400

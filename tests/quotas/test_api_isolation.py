"""What is not yours does not exist: in lists, counts, filters, addresses, actions and explanations alike."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from quotas.models import CreditEntry, Deal, Quota, UncreditedLine
from tests import make
from tests.quotas import api
from tests.quotas.api import Scene, approved, deal_body, ids, problems, usd

pytestmark = pytest.mark.django_db
DEALS, CREDITS, QUOTAS = "/api/v1/deals/", "/api/v1/credits/", "/api/v1/quotas/"


@pytest.fixture
def scene() -> Scene:
    return api.scene()


SEES_DEALS: dict[str, Callable[[Scene], list[Deal]]] = {
    "ana": lambda s: [s.anas, s.both, s.draft],
    "bo": lambda s: [],
    "cy": lambda s: [s.cys, s.both],
    "mia": lambda s: [s.anas, s.both, s.draft],
    "zed": lambda s: [s.cys, s.both],
    "rex": lambda s: [s.anas, s.cys, s.both, s.draft],
    "admin": lambda s: [s.anas, s.cys, s.both, s.draft],
    "auditor": lambda s: [s.anas, s.cys, s.both, s.draft],
    "third": lambda s: [s.anas, s.both],
    "house": lambda s: [s.cys],
    "stranger": lambda s: [],
    "engineer": lambda s: [],
    "catalog": lambda s: [],
}
PARTNERS = ("third", "house", "stranger")
NOT_IN_SALES = (*PARTNERS, "engineer", "catalog")


def test_deals_are_listed_counted_and_opened_by_those_alone_who_may_see_them(scene: Scene) -> None:
    everything = {deal.pk: deal for deal in (scene.anas, scene.cys, scene.both, scene.draft)}
    for who, sees in SEES_DEALS.items():
        seen = {deal.pk for deal in sees(scene)}
        asking = scene.client(who)
        answer = asking.get(f"{DEALS}?count=true")
        assert (who, set(ids(answer)), answer.json()["total"]) == (who, seen, len(seen))
        # The last that is there and the last that is not: a draft, where one has drafts or must not have them.
        for pk in {max(found) for found in (seen, everything.keys() - seen) if found}:
            deal, own = everything[pk], pk in seen
            assert (who, asking.get(f"{DEALS}{deal.pk}/").status_code) == (who, 200 if own else 404)
            explained = asking.get(f"{DEALS}{deal.pk}/explanation/").status_code
            assert (who, explained) == (who, 200 if own and who not in PARTNERS else 404)


def test_filters_find_nothing_that_is_not_yours(scene: Scene) -> None:
    bo = scene.client("bo")
    for query in (
        f"owner={scene.world.cy.slug}",
        f"customer={scene.world.customer.slug}",
        "state=approved",
        "period=FY27",
    ):
        seen = set(ids(bo.get(f"{DEALS}?{query}&count=true")))
        assert (query, seen) == (query, set())
    assert set(ids(scene.client("ana").get(f"{DEALS}?owner={scene.world.cy.slug}"))) == set()
    assert set(ids(scene.client("cy").get(f"{DEALS}?owner={scene.world.ana.slug}"))) == {scene.both.pk}


def test_nothing_can_be_done_to_a_deal_that_is_not_yours(scene: Scene) -> None:
    for who, refused in (("bo", 404), ("zed", 404), ("stranger", 403)):
        asking = scene.client(who)
        for step in ("submit", "approve", "reject", "return", "cancel"):
            body = {} if step == "submit" else {"reason": "x"}
            answer, nothing = (asking.post(f"{DEALS}{pk}/{step}/", body) for pk in (scene.draft.pk, 10**9))
            assert (who, step, answer.status_code, nothing.status_code) == (who, step, refused, refused)
            assert problems(answer) == problems(nothing)
        edit = asking.patch(f"{DEALS}{scene.draft.pk}/", {"title": "x"}, headers={"If-Match": "*"})
        assert edit.status_code == 404
    scene.draft.refresh_from_db()
    assert (scene.draft.state, scene.draft.revision) == ("draft", 1)


def test_a_partner_sees_own_lines_and_nobodys_name(scene: Scene) -> None:
    world = scene.world
    mixed = approved(
        world,
        world.ana,
        world.mia,
        title="For Customer X",
        lines=[
            {"offering": world.third.slug, "amount": usd("10.00")},
            {"offering": world.house.slug, "amount": usd("99.00")},
        ],
    )
    for who, offering, amount in (("third", world.third, "10.00"), ("house", world.house, "99.00")):
        asking = scene.client(who)
        listed, opened = asking.get(DEALS), asking.get(f"{DEALS}{mixed.pk}/")
        body = opened.json()
        assert [line["offering"] for line in body["lines"]] == [offering.slug]
        assert body["amount"] == usd(amount)
        assert set(body["links"]) == {"self"}
        for hidden in ("owner", "customer", "title", "external_id", "shares", "refunds"):
            assert (hidden, body[hidden]) == (hidden, None)
        told = listed.content.decode() + opened.content.decode()
        people = (world.ana, world.bo, world.cy, world.mia, world.zed)
        for secret in (
            *(rep.slug for rep in people),
            *(f'"{rep.name}"' for rep in people),
            world.customer.slug,
            world.customer.name,
            "Secret of Ana",
        ):
            assert secret not in told
        other = world.house if offering == world.third else world.third
        assert other.slug not in told


def test_a_partner_cannot_find_out_a_name_by_filtering_or_posting(scene: Scene) -> None:
    third = scene.client("third")
    for query in (
        f"owner={scene.world.ana.slug}",
        f"customer={scene.world.customer.slug}",
        "external_id=1",
        "source=api",
    ):
        answer = third.get(f"{DEALS}?{query}")
        assert (answer.status_code, problems(answer)) == (400, [("unknown_parameter", query.split("=")[0])])
    known, unknown = (
        third.post(DEALS, deal_body(scene.world, owner=owner)) for owner in (scene.world.ana.slug, "nobody")
    )
    assert known.status_code == unknown.status_code == 403
    assert problems(known) == problems(unknown) == [("not_your_deal", "")]
    at = f"{DEALS}{scene.anas.pk}/"
    edit = third.patch(at, {"customer": "nobody"}, headers={"If-Match": third.get(at)["ETag"]})
    assert (edit.status_code, problems(edit)) == (403, [("not_your_deal", "")])


def test_an_etag_tells_nothing_between_people_who_see_different_things(scene: Scene) -> None:
    at = f"{DEALS}{scene.anas.pk}/"
    assert scene.client("third").get(at)["ETag"] != scene.client("ana").get(at)["ETag"]
    answer = scene.client("ana").get(at)
    assert {"Authorization", "Cookie"} <= {name.strip() for name in answer["Vary"].split(",")}


SEES_CREDITS: dict[str, list[str]] = {
    "ana": ["ana"],
    "bo": [],
    "cy": ["cy"],
    "mia": ["ana"],
    "zed": ["cy"],
    "rex": ["ana", "cy"],
    "admin": ["ana", "cy"],
    "auditor": ["ana", "cy"],
}


def test_credits_are_read_by_their_rep_and_those_above(scene: Scene) -> None:
    entries = list(CreditEntry.objects.all())
    assert len(entries) == 4
    for who, names in SEES_CREDITS.items():
        reps = {getattr(scene.world, name).pk for name in names}
        seen = {entry.pk for entry in entries if entry.rep_id in reps}
        asking = scene.client(who)
        answer = asking.get(f"{CREDITS}?count=true")
        assert (who, set(ids(answer)), answer.json()["total"]) == (who, seen, len(seen))
        both = set(ids(asking.get(f"{CREDITS}?deal={scene.both.pk}")))
        assert both == {entry.pk for entry in entries if entry.deal_id == scene.both.pk} & seen
        hidden = {entry.pk for entry in entries} - seen
        for pk, expected in ((max(seen, default=None), 200), (max(hidden, default=None), 404)):
            for address in (f"{CREDITS}{pk}/", f"{CREDITS}{pk}/explanation/") if pk else ():
                assert (who, address, asking.get(address).status_code) == (who, address, expected)


def test_the_explanation_of_a_shared_deal_holds_ones_own_credits_alone(scene: Scene) -> None:
    for who in ("ana", "cy", "mia", "zed", "rex"):
        answer = scene.client(who).get(f"{DEALS}{scene.both.pk}/explanation/")
        told = {explained["credit"]["rep"] for explained in answer.json()["credits"]}
        assert (who, told) == (who, {getattr(scene.world, name).slug for name in SEES_CREDITS[who]})
        for hidden in {"ana", "cy"} - set(SEES_CREDITS[who]):
            rep = getattr(scene.world, hidden)
            assert f'"{rep.slug}"' not in answer.content.decode()
            assert f" {rep.name} " not in answer.content.decode()


def test_why_somebody_else_earned_nothing_is_not_told(scene: Scene) -> None:
    world = scene.world
    make.offering(name="Uneligible")
    deal = approved(
        world, world.ana, world.mia, shares=[{"rep": r.slug, "percent": "50"} for r in (world.ana, world.cy)]
    )
    for rep in (world.ana, world.cy):
        UncreditedLine.objects.create(deal=deal, line_no=1, measure=world.bookings, rep=rep, reason="no_team")
    told = scene.client("cy").get(f"{DEALS}{deal.pk}/explanation/").json()["uncredited"]
    assert [gap["rep"] for gap in told] == [world.cy.slug]
    everything = scene.client("admin").get(f"{DEALS}{deal.pk}/explanation/").json()["uncredited"]
    assert {gap["rep"] for gap in everything} == {world.ana.slug, world.cy.slug}


def test_quotas_and_attainments_are_read_by_their_rep_and_those_above(scene: Scene) -> None:
    world = scene.world
    team = make.quota(measure=world.bookings, period=world.year.quarters[0], team=world.team, amount_minor=5)
    of = {name: Quota.objects.get(rep=getattr(world, name)).pk for name in ("ana", "bo", "cy")}
    sees = {
        "ana": ({of["ana"]}, {world.ana}),
        "bo": ({of["bo"]}, {world.bo}),
        "mia": ({of["ana"], of["bo"], team.pk}, {world.ana, world.bo, world.mia}),
        "zed": ({of["cy"]}, {world.cy, world.zed}),
        "rex": ({*of.values(), team.pk}, {world.ana, world.bo, world.cy, world.mia, world.zed, world.rex}),
        "admin": ({*of.values(), team.pk}, {world.ana, world.bo, world.cy, world.mia, world.zed, world.rex}),
    }
    for who, (quotas, reps) in sees.items():
        asking = scene.client(who)
        assert (who, set(ids(asking.get(QUOTAS)))) == (who, quotas)
        hidden = {*of.values(), team.pk} - quotas
        for pk, expected in ((max(quotas), 200), *((pk, 404) for pk in sorted(hidden)[-1:])):
            assert (who, asking.get(f"{QUOTAS}{pk}/").status_code) == (who, expected)
        answer = asking.get("/api/v1/attainments/?count=true")
        assert (who, set(ids(answer)), answer.json()["total"]) == (who, {rep.pk for rep in reps}, len(reps))
    for query in (f"rep={world.cy.slug}", f"team={world.other.slug}"):
        assert ids(scene.client("mia").get(f"/api/v1/attainments/?{query}&count=true")) == []
    teams = {
        "ana": set(),
        "mia": {world.team},
        "rex": {world.region, world.team, world.other},
        "auditor": {world.company, world.region, world.team, world.other},
    }
    for who, seen in teams.items():
        answer = scene.client(who).get("/api/v1/attainments/?group=team")
        assert (who, set(ids(answer))) == (who, {one.pk for one in seen})


def test_people_outside_sales_find_no_credits_quotas_attainments_customers_or_estimates(scene: Scene) -> None:
    entry = CreditEntry.objects.all()[0]
    closed = (
        CREDITS,
        f"{CREDITS}{entry.pk}/",
        f"{CREDITS}{entry.pk}/explanation/",
        QUOTAS,
        f"{QUOTAS}{Quota.objects.all()[0].pk}/",
        "/api/v1/attainments/",
        "/api/v1/customers/",
        f"/api/v1/customers/{scene.world.customer.slug}/",
    )
    for who in NOT_IN_SALES:
        asking = scene.client(who)
        for address in closed:
            assert (who, address, asking.get(address).status_code) == (who, address, 404)
        estimate = asking.post("/api/v1/credit-estimates/", deal_body(scene.world))
        assert (who, estimate.status_code) == (who, 404)


def test_without_a_sign_in_there_is_only_a_refusal(scene: Scene) -> None:
    nobody = APIClient()
    addresses = (
        DEALS,
        f"{DEALS}{scene.anas.pk}/",
        CREDITS,
        QUOTAS,
        "/api/v1/attainments/",
        "/api/v1/leaderboards/",
        f"/api/v1/leaderboards/{scene.world.bookings.slug}/",
        "/api/v1/periods/",
        "/api/v1/customers/",
    )
    for address in addresses:
        answer = nobody.get(address)
        assert (address, answer.status_code) == (address, 401)
        assert problems(answer) == [("not_authenticated", "")]
    for address in (DEALS, "/api/v1/credit-estimates/"):
        answer = nobody.post(address, deal_body(scene.world))
        assert (address, answer.status_code) == (address, 401)


def test_a_withdrawn_role_sees_nothing(scene: Scene) -> None:
    scene.world.auditor.role_grants.update(withdrawn_at=make.AT)
    assert ids(scene.client("auditor").get(DEALS)) == []
    assert scene.client("auditor").get(CREDITS).status_code == 404


def test_an_estimate_tells_the_standing_of_those_alone_whose_amounts_one_may_see(scene: Scene) -> None:
    body: dict[str, Any] = deal_body(
        scene.world, shares=[{"rep": r.slug, "percent": "50"} for r in (scene.world.ana, scene.world.bo)]
    )
    answer = scene.client("ana").post("/api/v1/credit-estimates/", body)
    assert [standing["rep"] for standing in answer.json()["standings"]] == [scene.world.ana.slug]
    assert len(answer.json()["credits"]) == 2
    answer = scene.client("mia").post("/api/v1/credit-estimates/", {**body, "owner": scene.world.ana.slug})
    assert {standing["rep"] for standing in answer.json()["standings"]} == {
        scene.world.ana.slug,
        scene.world.bo.slug,
    }

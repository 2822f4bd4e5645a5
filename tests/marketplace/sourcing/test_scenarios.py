"""Scenarios as people work with them: whose they are, what a second person promotes, on pages and over REST."""

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from html import unescape
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Notification, Role, User
from config import outbox
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal, Stale
from marketplace.models import (
    Binding,
    ModelVersion,
    MoveKind,
    Scenario,
    ScenarioMove,
    ScenarioState,
)
from marketplace.services.sourcing import scenarios
from marketplace.services.sourcing.scenarios import MoveDraft, ScenarioDraft
from tests import kept, make
from tests.marketplace.sourcing.test_scenario_outcome import sold, used

Browser = Callable[[User], Client]
TODAY, SEPTEMBER, NOVEMBER = date(2026, 8, 14), date(2026, 9, 1), date(2026, 11, 1)
AT: datetime = make.AT
REST = "/api/v1/sourcing/scenarios/"
pytestmark = pytest.mark.django_db


class World:
    """A feature on Alpha with a fallback, announced to run half on Gamma from November on; Beta is cheaper."""

    def __init__(self) -> None:
        self.lead = make.user(role=Role.SOURCING_LEAD, name="Lea Lead")
        self.second = make.user(role=Role.SOURCING_LEAD, name="Sam Second")
        self.feature = make.feature(name="Chat")
        (self.alpha, self.plan), (self.beta, _), (self.gamma, _), (self.spare, _) = (
            sold("3", "15", name="Alpha"),
            sold("1", "5", name="Beta"),
            sold("2", "10", name="Gamma"),
            sold("2", "10", name="Spare"),
        )
        make.binding(feature=self.feature, version=self.alpha, effective=(date(2020, 1, 1), NOVEMBER))
        with transaction.atomic():
            for version, role in ((self.alpha, "default"), (self.gamma, "selectable")):
                make.binding(
                    feature=self.feature,
                    version=version,
                    share_ppm=500_000,
                    role=role,
                    effective=(NOVEMBER, None),
                )
        make.binding(feature=self.feature, version=self.spare, role="fallback")
        used(self.feature, self.alpha)

    def move(self, share: int = 400_000) -> MoveDraft:
        return MoveDraft(
            MoveKind.SHARE,
            feature_id=self.feature.pk,
            source_id=self.alpha.pk,
            target_id=self.beta.pk,
            share_ppm=share,
        )

    def scenario(self, *moves: MoveDraft, **more: Any) -> Scenario:
        draft = ScenarioDraft(
            **{"name": "Cheaper chat", "starts_on": SEPTEMBER, "months": 3, "moves": moves, **more}
        )
        return scenarios.make_scenario(draft=draft, on=TODAY, by=self.lead, at=AT)

    def asked(self, *moves: MoveDraft, **more: Any) -> Scenario:
        made = self.scenario(*(moves or (self.move(),)), **more)
        return scenarios.ask_promotion(scenario_id=made.pk, on=TODAY, by=self.lead, at=AT)

    def mixes(self) -> list[tuple[str, str, str | None, int | None]]:
        return [
            (b.model_version.model.name, str(b.effective.lower), str(b.effective.upper), b.share_ppm)
            for b in Binding.objects.filter(
                feature=self.feature, superseded_at=None, role__in=("default", "selectable")
            )
            .select_related("model_version__model")
            .order_by("effective", "model_version__model__name")
        ]


@kept.world
def world_of_scenarios() -> World:
    return World()


@pytest.fixture
def world() -> World:
    return world_of_scenarios()


def refused(kind: type[Refusal], do: Callable[..., object], **given: Any) -> list[str]:
    """The codes of what a service says no to."""
    with pytest.raises(kind) as caught:
        do(**given, at=AT)
    return [problem.code for problem in caught.value.problems]


def deliver() -> None:
    while due := outbox.lease(at=AT):
        for pk in due:
            outbox.carry_out(message_id=pk, at=AT)


def text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return flat(response.content)


def flat(content: bytes) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


# Whose it is.


def test_a_draft_is_its_makers_until_shared_and_others_copy_it(world: World) -> None:
    made = world.scenario(world.move())
    theirs: dict[str, Any] = {"scenario_id": made.pk, "by": world.second}
    assert refused(NotFound, scenarios.copy_scenario, on=TODAY, **theirs) == ["unknown_scenario"]
    assert refused(NotFound, scenarios.add_move, move=world.move(), **theirs) == ["unknown_scenario"]
    scenarios.share_scenario(scenario_id=made.pk, shared=True, by=world.lead, at=AT)
    assert refused(Forbidden, scenarios.delete_scenario, scenario_id=made.pk, by=world.second) == [
        "not_yours"
    ]
    copy = scenarios.copy_scenario(scenario_id=made.pk, on=date(2026, 9, 20), by=world.second, at=AT)
    assert (copy.name, copy.shared, copy.starts_on) == ("Copy of Cheaper chat", False, date(2026, 9, 20))
    assert [scenarios.draft_of(m) for m in copy.moves.all()] == [world.move()]
    scenarios.delete_scenario(scenario_id=copy.pk, by=world.second, at=AT)
    assert list(Scenario.objects.values_list("pk", flat=True)) == [made.pk]
    assert ScenarioMove.objects.count() == 1


def test_a_change_on_top_of_another_is_told_and_not_carried_out(world: World) -> None:
    made = world.scenario(world.move())
    scenarios.add_move(
        scenario_id=made.pk, move=world.move(1), by=world.lead, at=AT, expected_revision=made.revision
    )
    assert refused(
        Stale,
        scenarios.remove_move,
        scenario_id=made.pk,
        position=1,
        by=world.lead,
        expected_revision=made.revision,
    ) == ["stale"]
    assert made.moves.count() == 2


def test_what_makes_no_sense_is_refused_with_every_reason_and_nothing_is_written(world: World) -> None:
    nobody = make.company(name="Seller of nothing")
    with pytest.raises(Invalid) as caught:
        world.scenario(
            MoveDraft("share", source_id=world.alpha.pk, target_id=world.alpha.pk, share_ppm=1_000_001),
            MoveDraft("price", plan_id=10**9, change_ppm=5),
            MoveDraft("price", plan_id=world.plan.pk, change_ppm=-1_000_001),
            MoveDraft("end_supplier", supplier_id=nobody.pk),
            MoveDraft("end_supplier", supplier_id=nobody.pk, share_ppm=1),
            MoveDraft("share", source_id=world.alpha.pk),
            MoveDraft("swap"),
            name=" ",
            starts_on=date(2026, 8, 13),
            months=61,
        )
    assert [(p.code, p.pointer) for p in caught.value.problems] == [
        ("no_name", "/name"),
        ("out_of_range", "/months"),
        ("starts_in_the_past", "/starts_on"),
        ("same_version", "/moves/0/target"),
        ("out_of_range", "/moves/0/share"),
        ("unknown_plan", "/moves/1/plan"),
        ("out_of_range", "/moves/2/change"),
        ("no_supplier", "/moves/3/supplier"),
        ("not_of_this_kind", "/moves/4/share"),
        ("missing", "/moves/5/target"),
        ("missing", "/moves/5/share"),
        ("unknown_kind", "/moves/6/kind"),
    ]
    assert not Scenario.objects.exists()


# Promotion.


def test_a_second_person_promotes_it_into_every_mix_from_its_first_day_on_the_announced_ones_too(
    world: World,
) -> None:
    asked = world.asked(months=1)  # the announced mix lies beyond its months
    assert world.mixes() == [
        ("Alpha", "2020-01-01", "2026-11-01", 1_000_000),
        ("Alpha", "2026-11-01", "None", 500_000),
        ("Gamma", "2026-11-01", "None", 500_000),
    ]
    assert refused(
        Forbidden, scenarios.decide, scenario_id=asked.pk, promote=True, on=TODAY, by=world.lead
    ) == ["own_promotion"]
    done = scenarios.decide(scenario_id=asked.pk, promote=True, on=TODAY, by=world.second, at=AT)
    assert (done.state, done.decided_by) == (ScenarioState.PROMOTED, world.second)
    assert world.mixes() == [
        ("Alpha", "2020-01-01", "2026-09-01", 1_000_000),
        ("Alpha", "2026-09-01", "2026-11-01", 600_000),
        ("Beta", "2026-09-01", "2026-11-01", 400_000),
        ("Alpha", "2026-11-01", "None", 300_000),
        ("Beta", "2026-11-01", "None", 200_000),
        ("Gamma", "2026-11-01", "None", 500_000),
    ]
    new = Binding.objects.filter(scenario=asked, superseded_at=None)
    assert {b.made_by_id for b in new} == {world.second.pk}
    assert {b.reason for b in new} == {f"Scenario {asked.pk}: Cheaper chat"}
    assert new.filter(role="fallback").count() == 2
    assert refused(
        Conflict, scenarios.decide, scenario_id=asked.pk, promote=True, on=TODAY, by=world.second
    ) == ["not_asked"]


def test_where_its_first_day_has_come_it_holds_from_the_day_after_the_decision(world: World) -> None:
    asked = world.asked()
    later = date(2026, 9, 10)
    scenarios.decide(scenario_id=asked.pk, promote=True, on=later, by=world.second, at=AT)
    assert world.mixes()[:2] == [
        ("Alpha", "2020-01-01", "2026-09-11", 1_000_000),
        ("Alpha", "2026-09-11", "2026-11-01", 600_000),
    ]


def test_what_speaks_against_it_by_then_stops_it_whole_and_it_goes_on_waiting(world: World) -> None:
    second = make.feature(name="Another", product=world.feature.product)
    make.binding(feature=second, version=world.alpha)
    used(second, world.alpha)
    asked = world.asked(MoveDraft("share", source_id=world.alpha.pk, target_id=world.beta.pk, share_ppm=1))
    asked = Scenario.objects.get(pk=asked.pk)
    before = Binding.objects.count()
    second.min_context = 1_000
    second.save()
    ModelVersion.objects.filter(pk=world.beta.pk).update(context_window=10)
    assert "context" in refused(
        Conflict, scenarios.decide, scenario_id=asked.pk, promote=True, on=TODAY, by=world.second
    )
    assert (Scenario.objects.get(pk=asked.pk).state, Binding.objects.count()) == ("asked", before)


def test_what_has_to_be_weighed_needs_a_word_and_declining_does_too(world: World) -> None:
    offering = world.beta.offerings.get()
    offering.retires_on = date(2026, 11, 20)
    offering.save()
    asked = world.asked()
    for promote in (True, False):
        assert refused(
            Invalid, scenarios.decide, scenario_id=asked.pk, promote=promote, on=TODAY, by=world.second
        ) == ["no_note"]
    scenarios.decide(
        scenario_id=asked.pk, promote=True, on=TODAY, by=world.second, at=AT, note="Until November only."
    )
    assert "Beta" in {name for name, *_rest in world.mixes()}


def test_a_target_that_retires_before_an_announced_mix_cannot_be_part_of_it(world: World) -> None:
    offering = world.beta.offerings.get()
    offering.retires_on = date(2026, 10, 20)
    offering.save()
    for months in (3, 1):  # the announced mix lies within the months that are looked at, or beyond
        made = world.scenario(world.move(), months=months)
        assert refused(Conflict, scenarios.ask_promotion, scenario_id=made.pk, on=TODAY, by=world.lead) == [
            "retired"
        ]


def test_only_moves_that_can_be_promoted_are_asked_for(world: World) -> None:
    for moves, codes in (
        ((), ["no_moves"]),
        ((MoveDraft("price", plan_id=world.plan.pk, change_ppm=10),), ["price_move"]),
        (
            (
                world.move(),
                MoveDraft("share", source_id=world.gamma.pk, target_id=world.beta.pk, share_ppm=1),
            ),
            None,
        ),
    ):
        made = world.scenario(*moves)
        if codes is None:
            assert (
                scenarios.ask_promotion(scenario_id=made.pk, on=TODAY, by=world.lead, at=AT).state
                == ScenarioState.ASKED
            )
        else:
            assert (
                refused(Conflict, scenarios.ask_promotion, scenario_id=made.pk, on=TODAY, by=world.lead)
                == codes
            )
            assert Scenario.objects.get(pk=made.pk).state == ScenarioState.DRAFT


def test_who_has_to_decide_and_who_asked_are_told(world: World) -> None:
    asked = world.asked()
    deliver()
    told = Notification.objects.get(user=world.second)
    assert (told.text, told.url) == (
        "Lea Lead asks to promote “Cheaper chat”.",
        f"/sourcing/scenarios/{asked.pk}/",
    )
    scenarios.decide(scenario_id=asked.pk, promote=False, on=TODAY, by=world.second, at=AT, note="Not now.")
    deliver()
    assert Notification.objects.get(user=world.lead).text == "Sam Second declined “Cheaper chat”."


# Pages.


def test_looking_trying_and_comparing_change_no_row_of_any_table(world: World, browser_of: Browser) -> None:
    one, other = (
        world.scenario(world.move()),
        world.scenario(MoveDraft("price", plan_id=world.plan.pk, change_ppm=10)),
    )
    client = browser_of(world.lead)
    path = f"/sourcing/scenarios/{one.pk}/"
    tried = f"{path}?kind=share&source={world.alpha.pk}&target={world.gamma.pk}&share=12.5&try=1"
    before = contents()
    assert "With one more move, not kept yet. 12.5% of Alpha 1 goes to Gamma 1 in every feature" in text(
        client, tried
    )
    assert "Side by side" in text(client, f"/sourcing/scenarios/compare/?ids={one.pk}&ids={other.pk}")
    assert client.get(REST + f"{one.pk}/").status_code == 200
    assert contents() == before


def contents() -> dict[str, str]:
    """Every table of ours to a digest of all its rows; the session that reads them is none of the matter."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            if table != "django_session":
                cursor.execute(
                    f"SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM \"{table}\" t"  # noqa: S608
                )
                found[table] = cursor.fetchone()[0]
    return found


def test_a_move_is_tried_then_kept_and_what_cannot_be_read_is_told_in_words(
    world: World, browser_of: Browser
) -> None:
    made = world.scenario()
    client, path = browser_of(world.lead), f"/sourcing/scenarios/{made.pk}/"
    seen = text(client, path)
    assert "Nothing moves yet" in seen
    sent: dict[str, str | int] = {
        "kind": "share",
        "feature": world.feature.pk,
        "source": world.alpha.pk,
        "target": world.beta.pk,
        "share": "40",
    }
    part = client.get(path, {**sent}, headers={"HX-Request": "true"})
    assert b"<html" not in part.content
    assert "Keep this move" in flat(part.content)
    # 18 a month, and 15 in November, when half is on Gamma; then 13.20 twice and 5.40, 1.20 and 6.00.
    assert "$39 $51 before −$12 after less before" in flat(part.content)
    client.post(f"{path}add/", {**sent, "revision": made.revision})
    assert [scenarios.draft_of(m) for m in made.moves.all()] == [world.move()]
    for query, said in (
        ({**sent, "share": "lots"}, "Write the share in per cent, such as 50 or 12.5."),
        ({**sent, "share": "101"}, "Move more than 0% and at most 100% of the source's share."),
        ({**sent, "target": ""}, "needs a target"),
        ({**sent, "source": "9" * 15}, "There is no such source."),
    ):
        assert said in flat(client.get(path, {**query, "try": "1"}).content), query
    stale = client.post(f"{path}remove/", {"position": "1", "revision": made.revision}, follow=True)
    assert "was changed in the meantime" in flat(stale.content)
    assert made.moves.count() == 1


def test_a_second_lead_decides_on_the_page_and_the_maker_sees_no_button(
    world: World, browser_of: Browser
) -> None:
    asked = world.asked()
    path = f"/sourcing/scenarios/{asked.pk}/"
    own = text(browser_of(world.lead), path)
    assert "Take it back" in own
    assert "Promote into the live mixes" not in own
    second = browser_of(world.second)
    assert "Promote into the live mixes" in text(second, path)
    answered = second.post(f"{path}decide/", {"decision": "promote", "revision": asked.revision}, follow=True)
    assert "Promoted by Sam Second on 14 Aug 2026." in flat(answered.content)
    assert "Beta" in {name for name, *_rest in world.mixes()}


def test_the_form_keeps_what_was_entered_and_says_what_is_wrong(world: World, browser_of: Browser) -> None:
    client = browser_of(world.lead)
    answer = client.post(
        "/sourcing/scenarios/new/", {"name": "", "starts_on": "soon", "months": "99", "note": "Kept text"}
    )
    assert answer.status_code == 422
    seen = flat(answer.content)
    assert "Write a day as 2026-09-01." in seen
    assert b"Kept text" in answer.content
    made = client.post(
        "/sourcing/scenarios/new/", {"name": "New one", "starts_on": "2026-09-01", "months": "6"}, follow=True
    )
    assert "Now add what moves." in flat(made.content)
    own = Scenario.objects.get(name="New one")
    client.post(
        f"/sourcing/scenarios/{own.pk}/change/",
        {
            "name": "Renamed",
            "starts_on": "2026-09-01",
            "months": "6",
            "shared": "1",
            "revision": own.revision,
        },
    )
    own.refresh_from_db()
    assert (own.name, own.shared, own.revision) == ("Renamed", True, 2)


def test_who_reads_sees_what_is_theirs_or_shared_and_nobody_else_learns_of_anything(
    world: World, browser_of: Browser
) -> None:
    private, shared = world.scenario(world.move(), name="Hidden"), world.scenario(name="Open", shared=True)
    paths = (
        f"/sourcing/scenarios/{private.pk}/",
        f"/sourcing/scenarios/compare/?ids={private.pk}&ids={shared.pk}",
        f"{REST}{private.pk}/",
    )
    for role in (Role.SOURCING_LEAD, Role.AUDITOR):
        client = browser_of(make.user(role=role))
        assert [client.get(path).status_code for path in paths] == [404, 404, 404]
        seen = text(client, "/sourcing/scenarios/")
        assert ("Open" in seen, "Hidden" in seen) == (True, False)
        assert [row["name"] for row in client.get(REST).json()["results"]] == ["Open"]
    auditor = browser_of(make.user(role=Role.AUDITOR))
    assert "Try a move" not in text(auditor, f"/sourcing/scenarios/{shared.pk}/")
    assert auditor.get("/sourcing/scenarios/new/").status_code == 403
    assert auditor.post(REST, "{}", content_type="application/json").status_code == 403
    for roles in ([Role.PARTNER], [Role.REP, Role.ENGINEER, Role.CATALOG_MANAGER]):
        client = browser_of(make.user(roles=roles))
        everything = (
            "/sourcing/scenarios/",
            f"/sourcing/scenarios/{shared.pk}/",
            REST,
            f"{REST}{shared.pk}/",
        )
        assert [client.get(path).status_code for path in everything] == [404] * 4, roles
        assert client.post(f"/sourcing/scenarios/{shared.pk}/copy/").status_code == 404


def test_the_list_and_a_scenario_take_the_same_queries_however_many_there_are(
    world: World, browser_of: Browser
) -> None:
    made = world.scenario(world.move())
    client = browser_of(world.lead)

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(path).status_code == 200
        return len(caught)

    paths = ("/sourcing/scenarios/", f"/sourcing/scenarios/{made.pk}/", REST, f"{REST}{made.pk}/")
    for path in paths:
        client.get(path)  # once, for what a process remembers
    few = [queries(path) for path in paths]
    for n in range(3):
        world.scenario(world.move(), world.move(5), name=f"More {n}")
        more = make.feature(product=world.feature.product)
        make.binding(feature=more, version=world.alpha)
        used(more, world.alpha)
    scenarios.add_move(scenario_id=made.pk, move=world.move(7), by=world.lead, at=AT)
    assert [queries(path) for path in paths] == few


def test_files_hold_every_line_and_every_scenario(world: World, browser_of: Browser) -> None:
    made = world.scenario(world.move(), months=1)
    client = browser_of(world.lead)
    body = b"".join(client.get(f"/sourcing/scenarios/{made.pk}/?format=jsonl"))
    rows = [json.loads(line) for line in body.splitlines()]
    assert [(r["model"], r["cost_before"]["amount"], r["cost_after"]["amount"]) for r in rows] == [
        ("Alpha", "18.00", "10.80"),
        ("Beta", "0.00", "2.40"),
    ]
    listed = b"".join(client.get("/sourcing/scenarios/?format=csv")).decode()
    assert "40% of Alpha 1 goes to Beta 1 in" in listed


# REST.


def test_a_program_makes_changes_asks_and_a_second_one_decides(world: World, browser_of: Browser) -> None:
    def send(client: Client, method: str, path: str, body: object = None, **headers: str) -> Any:
        return client.generic(
            method, path, json.dumps(body), content_type="application/json", headers=headers
        )

    lead, second = browser_of(world.lead), browser_of(world.second)
    body = {
        "name": "From outside",
        "starts_on": "2026-09-01",
        "months": 1,
        "moves": [
            {
                "kind": "share",
                "feature": world.feature.slug,
                "source": {"model": world.alpha.model.slug},
                "target": {"model": world.beta.model.slug},
                "share": "0.4",
            }
        ],
    }
    wrong = {**body, "moves": [{**body["moves"][0], "target": {"model": "no-such"}, "feature": "nor-this"}]}  # type: ignore[index]
    answer = send(lead, "POST", REST, wrong)
    assert answer.status_code == 422
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/moves/0/feature", "/moves/0/target"}
    made = send(lead, "POST", REST, body, **{"Idempotency-Key": "one"})
    assert made.status_code == 201, made.content
    assert send(lead, "POST", REST, body, **{"Idempotency-Key": "one"}).json() == made.json()
    result = made.json()["result"]
    assert (result["before"]["total"], result["after"]["total"], result["difference"]) == (
        {"amount": "18.00", "currency": "USD"},
        {"amount": "13.20", "currency": "USD"},
        {"amount": "-4.80", "currency": "USD"},
    )
    assert (result["before"]["hhi"], result["after"]["hhi"], result["months"]) == (10_000, 7025, ["2026-09"])
    where = made["Location"]
    assert send(lead, "PATCH", where, {"name": "Renamed"}).status_code == 428
    doubled = {"name": "Renamed", "growth": "1"}
    changed = send(lead, "PATCH", where, doubled, **{"If-Match": made["ETag"]})
    assert (changed.status_code, changed.json()["name"], len(changed.json()["moves"])) == (200, "Renamed", 1)
    # The first month is one month on: a twelfth root of two more than 18.
    assert changed.json()["growth"] == "1"
    assert changed.json()["result"]["before"]["total"]["amount"] == "19.07"
    assert send(lead, "PATCH", where, {"growth": "11"}, **{"If-Match": changed["ETag"]}).status_code == 422
    assert send(lead, "PATCH", where, {"months": 2}, **{"If-Match": made["ETag"]}).status_code == 412
    assert send(second, "GET", where).status_code == 404
    assert send(lead, "POST", where + "ask-promotion/").json()["state"] == "asked"
    assert send(lead, "POST", where + "decide/", {"decision": "promote"}).status_code == 403
    done = send(second, "POST", where + "decide/", {"decision": "promote"})
    assert (done.status_code, done.json()["state"]) == (200, "promoted")
    assert "Beta" in {name for name, *_rest in world.mixes()}
    assert send(lead, "DELETE", where, **{"If-Match": done["ETag"]}).status_code == 409

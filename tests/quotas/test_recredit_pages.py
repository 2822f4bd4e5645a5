"""The pages of recredit runs and of changes of facts: who gets them, what they say, and that nothing moves before it is meant."""

import re
from collections.abc import Callable
from datetime import date
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from config import jobs
from config.models import Job
from quotas.models import CreditEntry, DealState, FxRate, Territory
from quotas.services import facts
from quotas.services.recredit import start_run
from quotas.views.facts import BY_HAND, KINDS
from tests import make
from tests.make import World

pytestmark = pytest.mark.django_db
JUL, AUG = date(2026, 7, 1), date(2026, 8, 1)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def world() -> World:
    built = make.world()
    make.fx(code="EUR", rate="1.1")
    make.deal(
        owner=built.ana,
        customer=built.customer,
        lines=[make.Line(built.house, 100_00)],
        close_date=JUL,
        code="EUR",
        state=DealState.APPROVED,
    )
    work_off(start(built))
    return built


def start(world: World, cause: str = "manual", what: str = "Started by a test.") -> Job:
    return start_run(
        starts=JUL,
        ends=date(2026, 9, 1),
        cause=cause,
        what=what,
        reason="Because",
        by=world.admin,
        at=make.AT,
    )


def work_off(job: Job) -> Job:
    return jobs.work_off(job_id=job.pk, now=lambda: make.AT)


def as_user(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(response: Any) -> str:
    """What a reader sees, without tags, single-spaced."""
    body = re.sub(r"<(script|style|datalist).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


RATE = {
    "from_currency": "EUR",
    "to_currency": "USD",
    "rate": "1.2",
    "starts": "2026-07-01",
    "ends": "",
    "reason": "The bank sent another rate",
}


def test_the_pages_are_for_comp_admins_and_read_by_auditors_alone(world: World) -> None:
    run = Job.objects.get()
    reads = [reverse("quotas:recredits"), reverse("quotas:recredit", args=[run.pk]), reverse("quotas:facts")]
    writes = [reverse("quotas:recredit-new"), *(reverse("quotas:fact", args=[kind.slug]) for kind in KINDS)]
    for user, readable, writable in (
        (world.admin, 200, 200),
        (world.auditor, 200, 404),
        (make.login(world.mia), 404, 404),
        (make.login(world.ana), 404, 404),
        (make.user(role=Role.PARTNER), 404, 404),
    ):
        client = as_user(user)
        assert [client.get(path).status_code for path in reads] == [readable] * 3
        assert {client.get(path).status_code for path in writes} == {writable}
        if writable == 404:
            assert client.post(writes[1], {**RATE, "do": "make"}).status_code == 404
            assert client.post(reverse("quotas:recredit-cancel", args=[run.pk])).status_code in (302, 404)
    assert FxRate.objects.count() == 1
    assert Client().get(reads[0]).status_code == 302
    assert as_user(world.admin).get("/quotas/facts/no-such-kind/").status_code == 404
    assert "Recredit by hand" not in text(as_user(world.auditor).get(reads[0]))


def test_a_change_is_shown_before_it_is_made_and_then_leads_to_its_run(world: World) -> None:
    client, where = as_user(world.admin), reverse("quotas:fact", args=["rate"])
    form = client.get(where)
    assert "EUR to USD 1.1000" in text(form)
    shown = client.post(where, {**RATE, "do": "preview"})
    said = text(shown)
    assert "It moves the credit of 1 rep . It can touch 1 deal, which was looked at." in said
    assert "1 EUR is 1.2000 USD from 1 Jul 2026 on" in said
    assert "$110.00 $120.00 +$10.00" in said
    assert (FxRate.objects.count(), Job.objects.count(), CreditEntry.objects.count()) == (1, 1, 1)
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.content.decode()))
    sent = {name: sent[name] for name in RATE}  # the frame has forms of its own
    assert sent == RATE
    again = client.post(where, {**sent, "do": "edit"})
    assert 'value="1.2"' in again.content.decode()
    made = client.post(where, {**sent, "do": "make"}, follow=True)
    run = Job.objects.latest("pk")
    assert made.redirect_chain == [(reverse("quotas:recredit", args=[run.pk]), 302)]
    assert "A worker takes it up in a moment" in text(made)
    work_off(run)
    done = text(client.get(reverse("quotas:recredit", args=[run.pk])))
    for part in (
        "Entries written New credit in the ledger 1",
        "Ana",
        "+$10.00",
        "The bank sent another rate",
    ):
        assert part in done
    unchanged = client.post(where, {**sent, "do": "make"})
    assert unchanged.status_code == 422
    assert "That is how it is already" in text(unchanged)


WRONG = [
    ("rate", {**RATE, "rate": "one"}, "Enter a number, such as 1.0837."),
    ("rate", {**RATE, "rate": "1.0123456789"}, "Enter a number, such as 1.0837."),
    ("rate", {**RATE, "rate": "0"}, "A rate is above zero"),
    ("rate", {**RATE, "ends": "2026-07-01"}, "It ends before it starts."),
    ("rate", {**RATE, "starts": "soon"}, "Enter a day, such as 2026-08-14."),
    ("rate", {**RATE, "reason": ""}, "Say why."),
    ("move", {"rep": "Nobody at all", "team": "", "role": "x", "starts": ""}, "There is no such rep"),
    ("transfer", {"customer": "a\x00b", "rep": "Ana", "starts": "2026-07-01"}, ""),
    ("territory", {"name": "?!", "reason": "x"}, "Give it a name"),
    ("leave", {"territory": "none", "rep": "Ana", "ends": "2026-07-01", "reason": "x"}, "There is no such territory"),
]  # fmt: skip


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(
    world: World, subtests: pytest.Subtests
) -> None:
    client = as_user(world.admin)
    seen = set()
    for kind, entered, said in WRONG:
        for do in ("make",) if kind in seen else ("preview", "make"):
            with subtests.test(said, kind=kind, do=do):
                answer = client.post(reverse("quotas:fact", args=[kind]), {**entered, "do": do})
                assert answer.status_code == 422
                assert said in text(answer)
        seen.add(kind)
    assert (FxRate.objects.count(), Job.objects.count(), Territory.objects.count()) == (1, 1, 0)


def test_every_kind_of_change_can_be_made_by_its_form(world: World) -> None:
    client = as_user(world.admin)
    given = {"reason": "Drawn anew", "do": "make"}
    for kind, entered in (
        ("territory", {"name": "Nordics", "house_rep": "Zed"}),
        ("cover", {"territory": "Nordics", "rep": "Bo", "starts": "2026-07-01", "ends": ""}),
        ("put", {"territory": "nordics", "customer": world.customer.name, "starts": "2026-07-01", "ends": ""}),
        ("leave", {"territory": "Nordics", "rep": "Bo", "ends": "2026-08-01"}),
        ("take", {"territory": "Nordics", "customer": world.customer.slug, "ends": "2026-08-01"}),
        ("move", {"rep": "Ana", "team": "Other team", "role": "specialist", "starts": "2026-07-01"}),
        ("place", {"team": "Team", "parent": "", "starts": "2026-07-01"}),
        ("transfer", {"customer": world.customer.name, "rep": "Cy", "starts": "2026-07-01", "holdover_until": ""}),
        ("rate", RATE),
    ):  # fmt: skip
        where = reverse("quotas:fact", args=[kind])
        assert client.post(where, {**given, **entered, "do": "preview"}).status_code == 200, kind
        answer = client.post(where, {**given, **entered})
        assert answer.status_code == 302, (kind, text(answer))
    page = text(client.get(reverse("quotas:facts")))
    assert "Nordics House rep Zed Vacant 0" in page
    assert "1 EUR is 1.2000 USD from 1 Jul 2026 on" in page
    assert {kind.slug for kind in KINDS} == {
        "territory", "cover", "put", "leave", "take", "move", "place", "transfer", "rate"
    }  # fmt: skip


def test_a_link_fills_the_form_in_and_shows_what_is_known(world: World) -> None:
    facts.make_territory(name="Nordics", by=world.admin, at=make.AT, reason="x")
    facts.cover_territory(
        territory_id=Territory.objects.get().pk,
        rep_id=world.bo.pk,
        starts=JUL,
        by=world.admin,
        at=make.AT,
        reason="x",
    )
    page = as_user(world.admin).get(reverse("quotas:fact", args=["leave"]) + "?territory=nordics&bad=1")
    assert 'value="nordics"' in page.content.decode()
    assert "Bo Nordics 1 Jul 2026 to further notice" in text(page)
    rep = as_user(world.admin).get(reverse("quotas:fact", args=["move"]) + "?rep=Ana")
    assert "Team Account executive 1 Jan 2020 to further notice" in text(rep)


def test_recrediting_by_hand_tells_first_what_it_would_move(world: World) -> None:
    client, where = as_user(world.admin), reverse("quotas:recredit-new")
    entered = {"starts": "2026-07-01", "ends": "2026-08-01", "reason": "To be sure"}
    assert "No credit moves" in text(client.post(where, entered))
    FxRate.objects.update(rate_e9=1_300_000_000)
    assert "+$20.00" in text(client.post(where, entered))
    answer = client.post(where, {**entered, "do": "make"})
    run = Job.objects.latest("pk")
    assert answer["Location"] == reverse("quotas:recredit", args=[run.pk])
    assert (run.parameters["cause"], run.requested_by_id) == ("manual", world.admin.pk)
    assert BY_HAND.slug == "recredit"


def test_a_running_run_asks_for_itself_again_and_a_finished_one_no_more(world: World) -> None:
    client = as_user(world.admin)
    run = start(world)
    where = reverse("quotas:recredit", args=[run.pk])
    page = client.get(where)
    assert 'hx-trigger="every 2s"' in page.content.decode()
    assert "Stop the run" in text(page)
    part = client.get(where, headers=HTMX)
    assert part.content.decode().lstrip().startswith('<div id="run"')
    assert "<html" not in part.content.decode()
    assert "Stop the run" not in text(as_user(world.auditor).get(where))
    stopped = client.post(reverse("quotas:recredit-cancel", args=[run.pk]), follow=True)
    assert "It was stopped" in text(stopped)
    assert 'hx-trigger="every 2s"' not in stopped.content.decode()
    late = client.post(reverse("quotas:recredit-cancel", args=[run.pk]), follow=True)
    assert "The run has finished already." in text(late)


def test_runs_are_filtered_and_paged(world: World) -> None:
    for n in range(31):
        start(world, cause="fx", what=f"Rate {n}.")
    client, where = as_user(world.admin), reverse("quotas:recredits")
    page = client.get(where)
    assert ("Rate 30" in text(page), "Rate 0 " in text(page)) == (True, False)
    (older,) = re.findall(r'rel="next" href="([^"]+)"', page.content.decode())
    assert "Rate 0 " in text(client.get(where + unescape(older)))
    assert "Started by a test" not in text(client.get(where + "?cause=fx&before=3000000"))
    assert "Started by a test" in text(client.get(where + "?state=done"))
    assert "No such run" in text(client.get(where + "?state=failed"))
    assert "No such run" in text(client.get(where + "?before=0"))
    assert client.get(where + "?before=x%00&state=%00&cause=nonsense").status_code == 200
    part = client.get(where + "?cause=fx", headers=HTMX)
    assert "<html" not in part.content.decode()


def test_the_pages_ask_a_fixed_number_of_queries(world: World) -> None:
    client = as_user(world.admin)

    def queries(path: str) -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as seen:
            assert client.get(path).status_code == 200
        return len(seen)

    work_off(start(world, cause="fx"))
    FxRate.objects.update(rate_e9=1_300_000_000)
    work_off(start(world, cause="fx"))  # moves one deal of one person
    make.covers(rep=world.bo, territory=make.territory(house_rep=world.bo))
    paths: list[Callable[[], str]] = [
        lambda: reverse("quotas:recredits"),
        lambda: reverse("quotas:facts"),
        lambda: reverse("quotas:recredit", args=[Job.objects.latest("pk").pk]),
    ]
    before = [queries(path()) for path in paths]
    for n in range(5):
        who = make.rep(team=world.team)
        make.covers(rep=who, territory=make.territory(house_rep=who))
        make.deal(
            owner=who, lines=[make.Line(world.house, 100_00 + n)], close_date=JUL, state=DealState.APPROVED
        )
    FxRate.objects.update(rate_e9=1_400_000_000)
    for _ in range(6):
        start(world, cause="fx")
    work_off(start(world, cause="fx"))  # moves six deals of six people
    assert [queries(path()) for path in paths] == before

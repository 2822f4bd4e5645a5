"""The pages of what-ifs: answers beside what is, drafts side by side, the gap; and that they do not exist for who may not ask."""

import re
from datetime import date
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from config import jobs
from config.models import Job, JobState
from config.paging import paged
from config.templatetags import ui
from quotas.crediting import engine
from quotas.models import CreditEntry, Deal
from quotas.services import simulating
from tests import make
from tests.make import AT, Line, World
from tests.quotas.whatif.test_impact import draft, previewed

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


def browser(user: Any) -> Client:
    found = Client()
    found.force_login(User.objects.get(pk=user.pk))
    return found


def page(user: Any, name: str, /, *args: Any, **query: Any) -> Any:
    return browser(user).get(reverse(f"quotas:{name}", args=args), query)


def text(answer: Any) -> str:
    return " ".join(re.sub("<[^>]*>", " ", answer.content.decode()).split())


def credited(world: World) -> Deal:
    deal = make.deal(
        owner=world.ana, customer=world.customer, lines=[Line(world.house, 1_000_00)], state="approved"
    )
    with transaction.atomic():
        engine.post(engine.ByDeal([deal.pk]), key="approve", kind="approve", by=None, at=AT)
    return deal


def test_a_split_is_asked_for_and_answered_in_one_page(world: World) -> None:
    deal = credited(world)
    start = page(world.admin, "whatif", what="split", deal=deal.reference)
    assert start.status_code == 200
    assert f'value="{world.ana.name}"' in start.content.decode()
    assert 'value="100"' in start.content.decode()
    asked = {
        "what": "split",
        "try": "1",
        "deal": deal.reference,
        "rep_1": world.ana.name,
        "percent_1": "60",
        "rep_2": world.bo.name,
        "percent_2": "40 %",
    }
    for who in (world.admin, world.mia.user):
        answer = page(who, "whatif", **asked)
        assert answer.status_code == 200, text(answer)
        assert "Bo AI bookings · FY27-Q1 $400 from $0" in text(answer)
        assert "−$400.00" in text(answer)
        assert reverse("quotas:deal-amend", args=[deal.pk]) in answer.content.decode()
    wrong = page(world.admin, "whatif", **{**asked, "percent_2": "30"})
    assert wrong.status_code == 422
    assert "give 10 % more" in text(wrong)
    nobody = page(world.admin, "whatif", **{**asked, "deal": "D-0x", "rep_2": "Nobody"})
    assert nobody.status_code == 422
    assert "Enter the deal&#x27;s number" in text(nobody)
    assert CreditEntry.objects.count() == 1


def test_an_account_and_a_quota_are_asked_about(world: World) -> None:
    make.ownership(customer=world.customer, rep=world.ana)
    answer = page(
        world.admin,
        "whatif",
        **{"what": "account", "try": "1"},
        customer=world.customer.name,
        rep=world.bo.name,
        starts="2026-08-01",
    )
    assert "no usage is credited on those days" in text(answer)
    assert f"{reverse('quotas:fact', args=['transfer'])}?customer=" in answer.content.decode()
    quota = {
        "what": "quota",
        "try": "1",
        "rep": world.ana.name,
        "measure": world.bookings.pk,
        "period": world.year.quarters[0].pk,
    }
    credited(world)
    answer = page(world.mia.user, "whatif", **quota, amount="2,000")
    assert "Ana with a quota of $2,000.00 in AI bookings, FY27-Q1" in text(answer)
    assert "50.0%" in text(answer)
    assert "Plan quotas" not in text(answer)
    assert page(world.mia.user, "whatif", **quota, amount="much").status_code == 422
    assert page(world.mia.user, "whatif", **{**quota, "rep": world.cy.name}, amount="1").status_code == 422


def test_who_may_not_ask_finds_nothing(world: World) -> None:
    partner = make.user(role="partner")
    for name, refused in (
        ("whatif", (world.ana.user, world.auditor, partner)),
        ("whatif-runs", (world.ana.user, world.mia.user, partner)),
        ("whatif-side-by-side", (world.ana.user, world.mia.user, world.auditor)),
        ("gap", (partner, world.auditor)),
    ):
        for who in refused:
            assert page(who, name).status_code == 404, (name, who)
    assert page(world.ana.user, "gap", rep=world.bo.slug).status_code == 404
    assert page(world.mia.user, "gap", rep=world.cy.slug).status_code == 404
    assert page(world.mia.user, "gap", rep=world.ana.slug).status_code == 200
    assert page(world.admin, "whatif", what="magic").status_code == 404


def test_previews_are_listed_laid_side_by_side_and_written_to_files(world: World) -> None:
    credited(world)
    one = previewed(draft(world, "Ten per cent", 1_100_000), world.admin)
    version = draft(world, "Half", 1_500_000)
    other = previewed(version, world.admin)
    listed = page(world.auditor, "whatif-runs")
    assert text(listed).count("1 rep moves") == 2
    assert page(world.auditor, "whatif-runs", format="csv").getvalue().decode().count("1 rep moves") == 2
    both = page(world.admin, "whatif-side-by-side", one=one.pk, other=other.pk)
    assert "+$400" in text(both)
    rows = page(world.admin, "whatif-side-by-side", one=one.pk, other=other.pk, by="rules", format="csv")
    assert "Half,Compensation plan" in rows.getvalue().decode()
    of = (version.plan.slug, version.number)
    for by, named in (
        ("rules", "Half"),
        ("publishers", world.house.publisher.name),
        ("months", "August 2026"),
    ):
        assert named in text(page(world.auditor, "plan-impact", *of, by=by))
    assert page(world.auditor, "plan-impact", *of, by="everything").status_code == 200
    assert page(world.auditor, "plan-impact", *of, by="magic").status_code == 404
    file = (
        page(world.auditor, "plan-impact", *of, by="everything", format="csv").getvalue().decode("utf-8-sig")
    )
    assert file.splitlines()[:2] == [
        "Measure,By,Name,Slug,Of,Before,After,Change,Currency",
        f"AI bookings,Rep,Ana,{world.ana.slug},Team,1000.00,1500.00,500.00,USD",
    ]


def test_a_preview_under_way_tells_how_far_it_is_and_is_stopped(world: World) -> None:
    credited(world)
    version = draft(world, "More", 1_200_000)
    of = (version.plan.slug, version.number)
    job = simulating.start_simulation(plan_version_id=version.pk, by=world.admin, at=AT)
    jobs.step_once(job_id=job.pk, at=AT)
    assert "1 of 13" in text(page(world.admin, "plan-impact", *of))
    stop = reverse("quotas:plan-impact-cancel", args=[*of, job.pk])
    assert browser(world.auditor).post(stop).status_code == 404
    assert browser(world.admin).post(stop).status_code == 302
    assert jobs.work_off(job_id=job.pk, now=lambda: AT).state == JobState.CANCELLED
    assert "stopped after 1 of 13 months" in text(page(world.admin, "plan-impact", *of))
    assert Job.objects.get(pk=job.pk).result == {}


def test_the_gap_page_tells_the_fewest_deals_and_says_what_to_do_without_any(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = page(world.ana.user, "gap", period="FY27-Q1")
    assert "No open deal adds to it" in text(empty)
    for amount in (70_000_00, 50_000_00):
        make.deal(
            owner=world.ana,
            customer=world.customer,
            lines=[Line(world.house, amount)],
            close_date=date(2026, 8, 20),
            state="submitted",
        )
    shown = text(page(world.ana.user, "gap", period="FY27-Q1"))
    assert "2 deals close the gap" in shown
    assert "Gap closed" in shown
    monkeypatch.setattr(ui, "paged", lambda request, rows, *, by, size: paged(request, rows, by=by, size=1))
    second = page(world.ana.user, "gap", period="FY27-Q1", page="2").content.decode()
    assert re.findall(r'<td class="c-rank"><b>(\d+)</b>', second) == ["2"]
    file = page(world.ana.user, "gap", period="FY27-Q1", format="csv").getvalue().decode("utf-8-sig")
    assert [row.split(",")[4] for row in file.splitlines()[1:]] == ["2026-08-20"] * 2

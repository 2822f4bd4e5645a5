"""A fact is changed in a real browser: what it would move is shown, then its run goes on before one's eyes, also after a reload."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from config import jobs
from config.models import Job
from quotas.models import CreditEntry, DealState
from quotas.services import recredit
from quotas.services.recredit import start_run
from tests import make
from tests.accessibility import accessible
from tests.ui.plain import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
JUL = date(2026, 7, 1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> make.World:
    monkeypatch.setattr(recredit, "DEALS_A_STEP", 1)
    built = make.world()
    make.fx(code="EUR", rate="1.1")
    for n in range(3):
        make.deal(
            owner=built.ana,
            customer=built.customer,
            lines=[make.Line(built.house, 100_00 * (n + 1))],
            close_date=JUL,
            code="EUR",
            state=DealState.APPROVED,
        )
    job = start_run(
        starts=JUL,
        ends=date(2026, 8, 1),
        cause="manual",
        what="First.",
        reason="x",
        by=built.admin,
        at=make.AT,
    )
    jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    return built


def test_a_rate_is_corrected_and_its_run_seen_through(
    page: "Page", world: make.World, sign_in: Callable[[Any], None], expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 422")  # the rate of nought below
    sign_in(world.admin)
    page.goto(reverse("quotas:facts"))
    page.click("text=Correct an exchange rate")
    page.click('a:has-text("EUR to USD")')  # the one that is known fills the form in
    page.wait_for_url("**rate=1.1000**")
    assert page.input_value("#id_rate") == "1.1000"
    page.fill("#id_rate", "0")
    page.fill("#id_starts", "2026-07-01")
    page.fill("#id_reason", "The bank sent another rate")
    page.click("text=See what it would move")
    page.wait_for_selector("text=A rate is above zero")
    page.fill("#id_rate", "1.2")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Whose credit would move")
    assert "+$60.00" in page.inner_text("main")
    assert CreditEntry.objects.count() == 3
    accessible(page)
    page.click("button:has-text('Correct the rate')")
    page.wait_for_url("**/recredits/*/")
    job = Job.objects.latest("pk")

    # The worker of this test does step by step what the page then shows by itself.
    page.wait_for_selector("text=A worker takes it up in a moment")
    for _ in range(2):
        assert jobs.step_once(job_id=job.pk, at=make.AT)
    page.wait_for_selector("text=1 of 3")
    page.reload()
    page.wait_for_selector("text=1 of 3")
    jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    page.wait_for_selector("text=Whose credit moved")
    assert "+$60.00" in page.inner_text("main")
    assert page.locator("text=Stop the run").count() == 0
    page.goto(reverse("quotas:recredits"))
    assert "1 EUR is 1.2000 USD from 1 Jul 2026 on" in page.inner_text("main")


@pytest.mark.django_db
def test_a_run_is_stopped_and_a_change_made_without_scripts(world: make.World) -> None:
    admin = Reader(world.admin)
    admin.open(reverse("quotas:fact", args=["move"]))
    moved = {
        "rep": "Ana",
        "team": "Other team",
        "role": "specialist",
        "starts": "2026-07-01",
        "reason": "Moved",
    }
    admin.send(moved, ("do", "preview"))
    assert "It can touch 3 deals" in " ".join(admin.said.split())
    admin.send(button=("do", "make"))
    assert "Look again" in admin.said
    admin.send(to="/cancel/")
    assert "It was stopped" in admin.said
    assert Job.objects.latest("pk").state == "cancelled"

"""The month's page and the REST endpoints beside it: who sees them, what they offer, a close from end to end."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Page

from config import jobs
from quotas.models import Period, PeriodClose, Seal
from tests import make
from tests.accessibility import violations
from tests.quotas.api import client as rest
from tests.quotas.api import problems
from tests.quotas.closing.months import AT, later, months

URL = "/quotas/periods/FY27-M01/"


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    def be(moment: datetime) -> None:
        monkeypatch.setattr("config.clock.now", lambda: moment)

    be(AT)
    return be


def work_off(close: PeriodClose) -> None:
    assert close.job is not None
    jobs.work_off(job_id=close.job.pk, now=lambda: AT)


@pytest.mark.django_db
def test_a_month_is_closed_reopened_and_closed_again_on_its_page(client: Client, clock_at: Any) -> None:
    here = months()
    here.sold(amount=300_00)
    here.held(amount=10_00)
    client.force_login(here.admin)

    def does(action: str, who: Any, **data: Any) -> Any:
        client.force_login(who)
        return client.post(f"{URL}{action}/", data)

    page = client.get(URL).content.decode()
    assert "Nobody has kept a proof of parity of it." in page
    assert "Ask to close FY27-M01" not in page
    refused = does("ask", here.admin)
    assert refused.status_code == 422
    assert "Nobody has kept a proof of parity of it." in refused.content.decode()
    clock_at(later(minutes=1))
    assert does("prove", here.admin).status_code == 302
    assert does("ask", here.admin, note="All of July is in").status_code == 302
    assert "another comp admin approves it" in client.get(URL).content.decode()
    assert does("approve", here.admin, seen="holds").status_code == 422
    unseen = does("approve", here.checker)
    assert unseen.status_code == 422
    assert "Held deals: acknowledge it." in unseen.content.decode()
    assert does("approve", here.checker, seen="holds", **{"why-holds": "Legal"}).status_code == 302
    (close,) = PeriodClose.objects.select_related("job")
    assert 'hx-trigger="every 2s"' in client.get(URL).content.decode()
    work_off(close)
    digest = Seal.objects.get().digest
    closed = client.get(URL).content.decode()
    assert digest in closed
    assert "$300.00" in closed
    assert "Checker: Legal" in closed
    file = client.get(f"{URL}?format=csv").getvalue().decode()
    assert "FY27-Q1,AI bookings,As reported" in file
    assert does("ask-reopen", here.checker, reason=" ").status_code == 422
    assert does("ask-reopen", here.checker, reason="Forgot a deal").status_code == 302
    assert does("reopen", here.checker).status_code == 422
    assert does("reopen", here.admin).status_code == 302
    here.sold(amount=25_00, at=later(minutes=2))
    here.close(at=later(minutes=3))
    both = client.get(URL).content.decode()
    assert "Version 2" in both
    assert "+$25.00" in both
    assert "Forgot a deal" in both
    listed = client.get("/quotas/periods/").content.decode()
    assert "v2" in listed
    assert digest[:8] not in listed
    assert "before Parity" in listed
    assert client.get("/quotas/periods/?closes&format=csv").status_code == 200


@pytest.mark.django_db
def test_the_page_is_there_for_those_who_see_to_closes_alone_and_costs_the_same_for_many(
    client: Client, clock_at: Any, django_assert_max_num_queries: Any
) -> None:
    here = months()
    for who, status in (
        (make.login(here.world.ana), 404),
        (make.login(here.world.mia), 404),
        (here.world.auditor, 200),
        (here.admin, 200),
    ):
        client.force_login(who)
        assert client.get(URL).status_code == status
    client.force_login(here.world.auditor)
    assert client.post(f"{URL}ask/").status_code == 404
    client.force_login(here.admin)
    assert client.post(f"{URL}nothing/").status_code == 404
    assert client.get("/quotas/periods/FY99-M01/").status_code == 404
    assert client.get("/quotas/periods/FY27-Q1/").status_code == 302
    assert client.get("/quotas/periods/FY26-M12/").status_code == 200
    for _ in range(2):
        here.held(amount=10_00)
    with django_assert_max_num_queries(60):
        client.get(URL)
    client.post("/quotas/periods/FY27-M03/open/")
    assert Period.objects.get(name="FY27-M03").state == "open"


@pytest.mark.django_db
def test_a_month_is_closed_over_rest(clock_at: Any) -> None:
    here = months()
    here.sold(amount=300_00)
    here.held(amount=10_00)
    admin, checker = rest(here.admin), rest(here.checker)
    base = "/api/v1/periods/FY27-M01/"
    listed = admin.get(f"{base}checklist/").json()
    assert (listed["period"], listed["closable"]) == ("FY27-M01", False)
    assert [item["slug"] for item in listed["items"] if item["state"] == "blocker"] == ["parity"]
    refused = admin.post(f"{base}closes/", {})
    assert (refused.status_code, problems(refused)[0][0]) == (409, "blocked_parity")
    here.prove()
    made = admin.post(f"{base}closes/", {"note": "July"})
    assert made.status_code == 201, made.content
    where = made["Location"]
    assert admin.post(f"{where}approve/", {}).status_code == 403
    missing = checker.post(f"{where}approve/", {})
    assert (missing.status_code, problems(missing)) == (409, [("not_acknowledged", "/acknowledged/holds")])
    approved = checker.post(f"{where}approve/", {"acknowledged": {"holds": "Legal"}})
    assert (approved.status_code, approved.json()["state"]) == (200, "closing")
    work_off(PeriodClose.objects.select_related("job").get())
    told = admin.get(where).json()
    seal = Seal.objects.get()
    assert (told["state"], told["digest"], told["totals"]) == (
        "closed",
        seal.digest,
        {here.world.bookings.slug: {"direct": 300_00, "overlay": 0, "adjusted": 0}},
    )
    assert [row["id"] for row in admin.get(f"{base}closes/").json()["results"]] == [told["id"]]
    (row,) = rest(here.world.auditor).get("/api/v1/seals/", {"digest": seal.digest[:20]}).json()["results"]
    assert (row["number"], row["period"], row["version"]) == (1, "FY27-M01", 1)
    assert checker.post(f"{where}ask-reopen/", {"reason": "Forgot one"}).status_code == 200
    assert admin.post(f"{where}reopen/", {}).json()["state"] == "reopened"
    assert rest(here.world.ana).get(f"{base}closes/").status_code == 404
    assert rest(here.world.ana).get("/api/v1/seals/").status_code == 404
    assert rest(here.world.auditor).post(f"{base}closes/", {}).status_code == 403
    assert admin.get("/api/v1/periods/FY27-Q1/closes/").status_code == 404
    opening = "/api/v1/periods/FY27-M03/open/"
    assert admin.post(opening, {}, HTTP_IF_MATCH='"what it was before"').status_code == 412
    seen = admin.get("/api/v1/periods/FY27-M03/")["ETag"]
    assert admin.post(opening, {}, HTTP_IF_MATCH=seen).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_pages_of_closing_have_no_accessibility_faults(page: Page, sign_in: Any) -> None:
    here = months()
    here.sold(amount=300_00)
    here.held(amount=10_00)
    here.ask()
    sign_in(here.checker)
    for address in (URL, "/quotas/periods/"):
        page.goto(address)
        assert violations(page) == []
    here.approve(PeriodClose.objects.get())
    page.goto(URL)
    assert violations(page) == []

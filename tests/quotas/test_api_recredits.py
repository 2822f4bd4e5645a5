"""Recredit runs over REST: started by comp admins, read by auditors, not there for anybody else."""

from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from config import jobs
from config.models import Job
from quotas.models import CreditEntry, DealState
from quotas.services.recredit import start_run
from tests import make
from tests.quotas.api import client, ids, problems

pytestmark = pytest.mark.django_db
URL = "/api/v1/recredits/"
BODY: dict[str, Any] = {"starts": "2026-07-01", "ends": "2026-09-01", "reason": "Rates were late"}


def a_run(by: Any) -> Job:
    return start_run(
        starts=date(2026, 7, 1), ends=date(2026, 9, 1), cause="fx", what="A rate.", reason="Late", by=by, at=make.AT
    )  # fmt: skip


def test_a_comp_admin_starts_a_run_and_follows_its_job() -> None:
    world = make.world()
    deals = [
        make.deal(
            owner=world.ana,
            lines=[make.Line(world.house)],
            close_date=date(2026, 7, 1),
            state=DealState.APPROVED,
        )
        for _ in range(3)
    ]
    api = client(world.admin)
    answer = api.post(URL, {**BODY, "deals": [deals[0].pk, deals[2].pk]})
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert answer["Location"].endswith(f"{URL}{made['id']}/")
    assert (made["state"], made["cause"], made["named_deals"], made["total"]) == (
        "waiting",
        "manual",
        2,
        None,
    )
    assert (made["starts"], made["ends"], made["reason"]) == ("2026-07-01", "2026-09-01", "Rates were late")
    jobs.work_off(job_id=made["id"], now=lambda: make.AT)
    job = api.get(made["job"]).json()
    assert (job["state"], job["done"], job["total"], job["unit"]) == ("done", 2, 2, "deals")
    assert job["counts"] == {"credited": 2, "posted_to_open_period": 0}
    run = api.get(f"{URL}{made['id']}/").json()
    assert (run["state"], run["counts"], run["requested_by"]) == ("done", job["counts"], world.admin.name)
    assert CreditEntry.objects.count() == 2


def test_a_run_that_is_sent_twice_under_one_key_is_started_once() -> None:
    world = make.world()
    api = client(world.admin)
    first, second = (api.post(URL, BODY, headers={"Idempotency-Key": "run-1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert Job.objects.count() == 1


def test_what_is_wrong_with_a_run_is_pointed_at(subtests: pytest.Subtests) -> None:
    admin = client(make.world().admin)
    wrong: list[tuple[dict[str, Any], tuple[str, str]]] = [
        ({"ends": "2026-07-01"}, ("ends_before_it_starts", "/ends")),
        ({"starts": "soon"}, ("invalid", "/starts")),
        ({"reason": "  "}, ("blank", "/reason")),
        ({"deals": []}, ("empty", "/deals")),
        ({"deals": ["x"]}, ("invalid", "/deals/0")),
        ({"kind": "all"}, ("unknown_field", "/kind")),
    ]
    for change, expected in wrong:
        with subtests.test(expected[0], **change):
            answer = admin.post(URL, {**BODY, **change})
            assert answer.status_code == 422
            assert problems(answer) == [expected]
    assert Job.objects.count() == 0


def test_auditors_read_and_for_others_there_are_no_runs() -> None:
    world = make.world()
    run = a_run(world.admin)
    auditor = client(world.auditor)
    assert ids(auditor.get(URL)) == [run.pk]
    refused = auditor.post(URL, BODY)
    assert (refused.status_code, problems(refused)[0][0]) == (403, "not_a_comp_admin")
    for who in (make.login(world.mia), make.login(world.ana), make.user(role=Role.PARTNER)):
        for answer in (client(who).get(URL), client(who).get(f"{URL}{run.pk}/"), client(who).post(URL, BODY)):
            assert answer.status_code == 404
    assert Job.objects.count() == 1


def test_the_list_is_paged_by_a_cursor_with_the_latest_first_and_a_fixed_number_of_queries() -> None:
    world = make.world()
    runs = [a_run(world.admin).pk for _ in range(5)]
    Job.objects.create(kind="other.kind", title="x", parameters={}, requested_at=make.AT)
    api = client(world.admin)
    first = api.get(URL, {"page_size": 2})
    assert ids(first) == [runs[4], runs[3]]
    assert ids(api.get(first.json()["next"])) == [runs[2], runs[1]]
    counts = []
    for size in (1, 5):
        with CaptureQueriesContext(connection) as seen:
            api.get(URL, {"page_size": size})
        counts.append(len(seen))
    assert counts[0] == counts[1]

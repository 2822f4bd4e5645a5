"""Imports over REST: a program uploads, checks and carries out, and reads what became of each row."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import encode_multipart

from config import jobs
from config.models import IdempotencyRecord
from config.uploads import SLACK
from quotas.api.imports import SalesImports
from quotas.models import Deal, ImportMap, SalesImport
from tests import make
from tests.make import World
from tests.quotas.api import client, problems

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/sales-imports/"
MAP = """
kind = "deals"
source = "billing"
[formats]
date = "YYYY-MM-DD"
[columns]
external_id = "id"
account = "customer"
owner = "rep"
stage = "stage"
close_date = "day"
amount = "amount"
offering = "offering"
[constants]
currency = "USD"
[values.stage]
"Won" = "submitted"
"*" = "skip"
"""


def content(world: World) -> str:
    return (
        "id,customer,rep,stage,day,amount,offering\n"
        f"1,{world.customer.name},Ana,Won,2026-08-03,1000,House model\n"
        f"2,{world.customer.name},Nobody,Won,2026-08-03,1000,House model\n"
    )


def work_off(run_id: int) -> Any:
    run = SalesImport.objects.get(pk=run_id)
    jobs.work_off(job_id=run.job_id or 0, now=lambda: make.AT)


def test_a_file_is_uploaded_checked_and_carried_out() -> None:
    world = make.world()
    api = client(world.admin)
    file = SimpleUploadedFile("billing.csv", content(world).encode())
    made = api.post(ADDRESS, {"kind": "deals", "file": file, "map_text": MAP}, format="multipart")
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["state"], body["file_name"], body["job"]) == ("uploaded", "billing.csv", None)
    one = f"{ADDRESS}{body['id']}/"
    assert problems(api.post(f"{one}carry-out/")) == [("not_checked", "")]

    checking = api.post(f"{one}check/", {"all_or_nothing": False}, format="json")
    assert checking.status_code == 200, checking.content
    assert checking.json()["state"] == "checking"
    assert api.get(checking.json()["job"]).json()["kind"] == "quotas.import"
    work_off(body["id"])
    checked = api.get(one).json()
    assert (checked["state"], checked["rows"]) == ("checked", 2), checked
    assert (checked["counts"]["new"], checked["counts"]["refused"]) == (1, 1)
    assert not Deal.objects.exists()
    report = api.get(f"{one}report/?outcome=refused").json()["results"]
    assert [(row["line"], row["external_id"], row["cells"][2]) for row in report] == [(3, "2", "Nobody")]
    assert api.get(f"{one}report/?outcome=lost").status_code == 400

    assert api.post(f"{one}carry-out/").json()["state"] == "importing"
    work_off(body["id"])
    assert api.get(one).json()["state"] == "done"
    assert Deal.objects.get().external_id == "1"
    assert problems(api.post(f"{one}check/", {}, format="json"))[0][0] == "import_done"


def test_a_file_sent_again_under_its_key_is_uploaded_once(settings: Any) -> None:
    """Each sending has a boundary of its own, and a file may be larger than what is read as one body."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    world = make.world()
    api = client(world.admin)

    def send(boundary: str, text: str) -> Any:
        form = {"kind": "deals", "file": SimpleUploadedFile("billing.csv", text.encode())}
        sent: Any = encode_multipart(boundary, form)
        return api.generic(
            "POST",
            ADDRESS,
            sent,
            content_type=f"multipart/form-data; boundary={boundary}",
            HTTP_IDEMPOTENCY_KEY="k",
        )

    first, again = send("one", content(world)), send("two", content(world))
    assert (first.status_code, again.status_code) == (201, 201), first.content
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    assert send("three", content(world).replace("1000", "9000")).status_code == 422
    assert SalesImport.objects.get().bytes == len(content(world))


def test_a_file_too_large_is_refused_before_its_key_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SalesImports, "largest_upload", -SLACK)
    answer = client(make.world().admin).post(
        ADDRESS,
        {"kind": "deals", "file": SimpleUploadedFile("billing.csv", b"id\n1\n")},
        format="multipart",
        HTTP_IDEMPOTENCY_KEY="k",
    )
    assert answer.status_code == 413
    assert not IdempotencyRecord.objects.exists()


def test_what_is_wrong_is_said_with_its_place_and_nothing_is_kept() -> None:
    world = make.world()
    api = client(world.admin)
    good = {"kind": "deals", "content": content(world), "file_name": "a.csv"}
    for body, expected in (
        ({"kind": "deals"}, ("one_file", "/file")),
        ({**good, "map": "nobody's"}, ("unknown_map", "/map")),
        ({**good, "map": "x", "map_text": MAP}, ("map_twice", "/map_text")),
        ({**good, "map_text": MAP.replace('"id"', '"identity"')}, ("no_such_column", "/map_text")),
        ({**good, "content": ""}, None),
    ):
        answer = api.post(ADDRESS, body, format="json")
        assert answer.status_code == 422, answer.content
        if expected:
            assert expected in problems(answer)
    assert not SalesImport.objects.exists()
    ImportMap.objects.create(name="Billing", kind="deals", text=MAP, saved_by=world.admin, saved_at=make.AT)
    made = api.post(ADDRESS, {**good, "map": "Billing"}, format="json")
    assert made.status_code == 201
    assert made.json()["map_name"] == "Billing"


def test_imports_of_others_do_not_exist() -> None:
    world = make.world()
    made = client(world.mia).post(
        ADDRESS, {"kind": "deals", "content": content(world), "map_text": MAP}, format="json"
    )
    assert made.status_code == 201, made.content
    one = f"{ADDRESS}{made.json()['id']}/"
    for who, status, listed in (
        (world.mia, 200, 1),
        (world.admin, 200, 1),
        (world.auditor, 200, 1),
        (world.zed, 404, 0),
    ):
        assert client(who).get(one).status_code == status
        assert len(client(who).get(ADDRESS).json()["results"]) == listed
    assert client(world.ana).get(ADDRESS).status_code == 404
    assert client(world.auditor).post(f"{one}check/", {}, format="json").status_code == 403
    refused = client(world.mia).post(ADDRESS, {"kind": "reps", "content": "a\n1\n"}, format="json")
    assert refused.status_code == 403

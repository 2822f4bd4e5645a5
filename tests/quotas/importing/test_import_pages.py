"""The pages of imports, without scripts: who gets them, what they ask, and that nothing is written before it is meant."""

import csv
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from config import jobs
from quotas.models import CreditEntry, Deal, ImportMap, SalesImport, StraightThroughPolicy
from quotas.services import importing
from tests import make
from tests.make import World

pytestmark = pytest.mark.django_db
HEAD = "Opportunity ID,Opportunity Name,Account Name,Opportunity Owner,Stage,Close Date,Amount,Opportunity Currency,Product Name"


@pytest.fixture
def world() -> World:
    built = make.world()
    StraightThroughPolicy.objects.create(
        name="CRM imports",
        version=1,
        sources=["salesforce"],
        drafted_by=built.admin,
        drafted_at=make.AT,
        published_by=make.user(role=Role.COMP_ADMIN),
        published_at=make.AT,
    )
    return built


def opportunities(world: World) -> bytes:
    """Two won, one open, one of a rep whom nobody knows. Its days can be read both ways."""
    rows = (
        f'006A,First,{world.customer.name},Ana,Closed Won,03/08/2026,"1,000.00",USD,House model',
        f'006B,Second,{world.customer.name},Bo,Closed Won,04/08/2026,"2,500.00",USD,Third-party model',
        f'006C,Third,{world.customer.name},Ana,Prospecting,05/08/2026,"9,000.00",USD,House model',
        f'006D,=1+1,{world.customer.name},Nobody,Closed Won,06/08/2026,"4,000.00",USD,House model',
    )
    return "\n".join((HEAD, *rows, "")).encode()


def as_user(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(response: Any) -> str:
    """What a reader sees, without tags, single-spaced."""
    body = re.sub(r"<(script|style|datalist).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def uploaded(client: Client, content: bytes, name: str = "opportunities.csv", **more: str) -> Any:
    file = SimpleUploadedFile(name, content)
    return client.post(reverse("quotas:imports"), {"kind": "deals", "file": file, **more})


def answers(page: Any, **changes: str) -> dict[str, str]:
    """What a browser would send of the form as it stands, with some answers changed."""
    form = page.context["form"]
    values = {bound.html_name: bound.value() for bound in form}
    sent = {
        name: "on" if value is True else str(value)
        for name, value in values.items()
        if value not in (None, False)
    }
    return {**sent, **changes}


def work_off(run: SalesImport) -> SalesImport:
    run.refresh_from_db()
    jobs.work_off(job_id=run.job_id or 0, now=lambda: make.AT)
    return SalesImport.objects.get(pk=run.pk)


def test_a_salesforce_export_is_credited_by_answering_what_the_page_asks(world: World) -> None:
    client = as_user(world.admin)
    run_page = uploaded(client, opportunities(world))
    run = SalesImport.objects.get()
    assert run_page.url == reverse("quotas:import", args=[run.pk])
    page = client.get(run_page.url)
    assert page.status_code == 200
    said = text(page)
    assert "This looks like an export of Salesforce" in said
    assert "1 question is yours to answer" in said
    assert "03/08/2026 is 3 August 2026" in said
    assert "03/08/2026 is 8 March 2026" in said

    # Nobody has said which day it is: the check does not begin.
    to = reverse("quotas:import-map", args=[run.pk])
    refused = client.post(to, {**answers(page), "do": "check"})
    assert refused.status_code == 422
    assert "Both readings fit" in text(refused)
    run.refresh_from_db()
    assert (run.state, run.job) == ("uploaded", None)

    told = client.post(to, {**answers(page, d_close_date="DD/MM/YYYY", policy="CRM imports"), "do": "check"})
    assert told.status_code == 302, text(told)
    assert "Checking every row" in text(client.get(run_page.url))
    run = work_off(run)
    preview = text(client.get(run_page.url))
    assert run.state == "checked", run.problem
    assert sum(run.counts.values()) == run.rows == 4
    assert (run.counts["new"], run.counts["left_out"], run.counts["refused"]) == (2, 1, 1)
    assert "1 of 4 rows would be refused" in preview
    assert "$1,000.00" in preview
    assert "3,500.00" in preview  # the estimated credit
    assert not Deal.objects.exists()

    client.post(reverse("quotas:import-act", args=[run.pk, "carry-out"]))
    run = work_off(run)
    assert run.state == "done", run.problem
    done = text(client.get(run_page.url))
    assert "The file was imported." in done
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 3_500_00
    assert sorted(Deal.objects.values_list("state", flat=True)) == ["approved", "approved"]

    assert "2 deals" in text(client.get(reverse("quotas:deals") + "?source=salesforce"))
    assert "No deal matches" in text(client.get(reverse("quotas:deals") + "?source=hubspot"))

    report = client.get(reverse("quotas:import-report", args=[run.pk]))
    rows = list(csv.reader(io.StringIO(b"".join(report).decode("utf-8-sig"))))
    refused_row = next(row for row in rows if "Refused" in row)
    assert refused_row[0] == "5"
    assert "006D" in refused_row
    assert "'=1+1" in refused_row  # no spreadsheet takes it for a formula

    # The same file again, read as before: it changes nothing and says so.
    again = uploaded(client, opportunities(world))
    second = SalesImport.objects.exclude(pk=run.pk).get()
    page = client.get(again.url)
    client.post(
        reverse("quotas:import-map", args=[second.pk]),
        {**answers(page, d_close_date="DD/MM/YYYY", policy="CRM imports"), "do": "check"},
    )
    second = work_off(second)
    assert second.counts.get("new", 0) == second.counts.get("changed", 0) == 0
    assert second.counts["unchanged"] == 2
    assert "This file would change nothing" in text(client.get(again.url))


def test_the_pages_are_for_those_who_import_and_for_auditors_who_read(world: World) -> None:
    assert world.mia.user
    assert world.zed.user
    assert world.ana.user
    mine = as_user(world.mia.user)
    uploaded(mine, opportunities(world))
    run = SalesImport.objects.get()
    pages = [reverse("quotas:imports"), reverse("quotas:import", args=[run.pk])]
    report = reverse("quotas:import-report", args=[run.pk])
    for client, listed, one in (
        (mine, 200, 200),
        (as_user(world.admin), 200, 200),
        (as_user(world.auditor), 200, 200),
        (as_user(world.zed.user), 200, 404),  # a manager sees what is theirs
        (as_user(world.ana.user), 404, 404),
        (as_user(make.user(role=Role.PARTNER)), 404, 404),
    ):
        assert [client.get(page).status_code for page in (*pages, report)] == [listed, one, one]
    auditor = as_user(world.auditor)
    assert "Upload a file" not in text(auditor.get(pages[0]))
    assert uploaded(auditor, opportunities(world)).status_code == 404
    for name in ("check", "carry-out", "stop"):
        assert auditor.post(reverse("quotas:import-act", args=[run.pk, name])).status_code == 404
    assert auditor.post(reverse("quotas:import-map", args=[run.pk]), {"do": "check"}).status_code == 404
    kinds = mine.get(pages[0]).context["form"].fields["kind"].choices
    assert [value for value, _label in kinds] == ["deals"]
    assert uploaded(mine, opportunities(world), kind="reps").status_code == 422
    assert SalesImport.objects.count() == 1


def test_a_file_that_is_none_gets_one_message_and_leaves_nothing(world: World) -> None:
    client = as_user(world.admin)
    for content, name in (
        (bytes(range(256)) * 40, "random.csv"),
        (b"", "empty.csv"),
        (b"PK\x03\x04nonsense", "x.xlsx"),
    ):
        answer = uploaded(client, content, name, kind="quotas")
        assert answer.status_code == 422
        assert len(answer.context["form"].errors.as_data()["file"]) == 1
        assert answer.context["form"]["kind"].value() == "quotas"
    assert not SalesImport.objects.exists()


def test_what_is_too_large_is_refused_before_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "LARGEST", 1000)
    client = Client(
        enforce_csrf_checks=True
    )  # the length is looked at before the token, which is in the body
    client.force_login(world.admin)
    answer = uploaded(client, b"x" * 100_000)
    assert answer.status_code == 413
    assert "manage.py import_deals" in text(answer)
    assert not SalesImport.objects.exists()


def test_a_map_is_kept_under_a_name_mended_as_text_and_taken_for_the_next_file(world: World) -> None:
    client = as_user(world.admin)
    first = uploaded(client, opportunities(world)).url
    run = SalesImport.objects.get()
    to = reverse("quotas:import-map", args=[run.pk])
    sent = answers(client.get(first), d_close_date="DD/MM/YYYY")
    asked = client.post(to, {**sent, "c8": "", "do": "again"}, headers={"HX-Request": "true"})
    assert asked.status_code == 200
    assert "Say it for every row" not in text(asked)  # nothing is found fault with while one still chooses
    assert "k_offering" in asked.content.decode()
    run.refresh_from_db()
    before = run.map_text
    assert client.post(to, {**sent, "map_name": "Weekly", "do": "keep"}).status_code == 302
    saved = ImportMap.objects.get()
    assert (saved.name, saved.kind) == ("Weekly", "deals")
    assert saved.text != before

    wrong = client.post(to, {"text": "kind = 'deals'\n[colums]\namount = 'Amount'\n", "do": "toml"})
    assert wrong.status_code == 422
    assert "colums" in text(wrong)
    run.refresh_from_db()
    assert run.map_text == saved.text

    second = uploaded(client, opportunities(world), map="Weekly").url
    page = client.get(second)
    assert page.context["form"]["d_close_date"].value() == "DD/MM/YYYY"
    assert SalesImport.objects.latest("pk").map_name == "Weekly"
    toml = client.get(reverse("quotas:import-map-text", args=[saved.pk]))
    assert toml.content.decode() == saved.text
    client.post(reverse("quotas:import-map-remove", args=[saved.pk]))
    assert not ImportMap.objects.exists()


def test_the_list_asks_the_same_number_of_queries_whatever_its_length(world: World) -> None:
    client = as_user(world.admin)
    uploaded(client, opportunities(world))
    client.get(reverse("quotas:imports"))
    with CaptureQueriesContext(
        connection,
    ) as one:
        client.get(reverse("quotas:imports"))
    for _ in range(4):
        uploaded(client, opportunities(world))
    with CaptureQueriesContext(connection) as five:
        client.get(reverse("quotas:imports"))
    assert len(five) == len(one)


def test_a_check_is_stopped_and_begun_again_from_the_map(world: World) -> None:
    client = as_user(world.admin)
    one = uploaded(client, opportunities(world)).url
    run = SalesImport.objects.get()
    to = reverse("quotas:import-map", args=[run.pk])
    page = client.get(one)
    client.post(to, {**answers(page, d_close_date="DD/MM/YYYY"), "do": "check"})
    assert client.post(to, {"text": "kind = 'deals'", "do": "toml"}).status_code == 422  # it is under way
    client.post(reverse("quotas:import-act", args=[run.pk, "stop"]))
    assert "It was stopped" in text(client.get(one))
    work_off(run)
    assert SalesImport.objects.get().counts == {}
    again = client.get(f"{one}?step=map")
    assert "yours to answer" not in text(again)  # all was answered
    client.post(to, {**answers(again), "do": "check"})
    run = work_off(run)
    assert (run.state, run.rows) == ("checked", 4)
    client.post(reverse("quotas:import-act", args=[run.pk, "check"]))  # once more, as it is
    run = work_off(run)
    assert (run.state, run.rows, sum(run.counts.values())) == ("checked", 4, 4)


def test_what_was_checked_from_the_command_line_is_looked_at_and_imported_there(
    world: World, tmp_path: Path
) -> None:
    file, mapping = tmp_path / "deals.csv", tmp_path / "map.toml"
    client = as_user(world.admin)
    page = client.get(uploaded(client, opportunities(world)).url)
    run = SalesImport.objects.get()
    client.post(
        reverse("quotas:import-map", args=[run.pk]), {**answers(page, d_close_date="DD/MM/YYYY"), "do": "set"}
    )
    run.refresh_from_db()
    file.write_bytes(opportunities(world))
    mapping.write_text(run.map_text)
    call_command("import_deals", str(file), "--map", str(mapping), "--dry-run", stdout=io.StringIO())
    one = reverse("quotas:import", args=[SalesImport.objects.latest("pk").pk])
    said = text(client.get(one))
    assert "It was checked from the command line" in said
    assert "Import it" not in said
    assert "Change the map" not in text(client.get(f"{one}?step=map"))

"""The pages and the endpoint of imports: upload, report, choosing rows, the queue; who may, and what is refused before it is read."""

import csv
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config import jobs, locales
from marketplace.importers.files import LARGEST
from marketplace.models import CatalogImport, ChangeSet, Discrepancy, StagedRow
from marketplace.services import importing
from marketplace.views.imports import _difference
from tests import make
from tests.marketplace.conftest import Catalog

Browser = Callable[[User], Client]
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
PRICES = {
    "groq/new-one": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-06},
    "=cmd()": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": None},
    "claude-haiku-4-5": {
        "litellm_provider": "anthropic",
        "mode": "chat",
        "input_cost_per_token": 8e-07,
        "output_cost_per_token": 5e-06,
    },
}

pytestmark = pytest.mark.django_db


def words(html: bytes) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode())))


def file(content: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile("prices.json", json.dumps(PRICES).encode() if content is None else content)


@pytest.fixture
def keeper(db: None) -> User:
    return make.user(role="catalog_manager", name="Ines Import")


@pytest.fixture
def run(catalog: Catalog, keeper: User) -> CatalogImport:
    started = importing.start_import(
        source="litellm",
        content=json.dumps(PRICES).encode(),
        file_name="prices.json",
        stated_on=AT.date(),
        by=keeper,
        at=AT,
    )
    jobs.work_off(job_id=started.job_id or 0, now=lambda: AT)
    return CatalogImport.objects.get(pk=started.pk)


def test_for_others_there_are_no_such_pages(run: CatalogImport, browser_of: Browser) -> None:
    dispute = Discrepancy.objects.get()
    start = {"source": "genai-prices"}
    for roles in (["partner"], ["rep", "manager", "comp_admin"]):
        client = browser_of(make.user(roles=roles))
        for path in ("/catalog/imports/", f"/catalog/imports/{run.pk}/", "/catalog/imports/discrepancies/"):
            assert client.get(path).status_code == 404, (roles, path)
        for path in (f"{run.pk}/propose/", f"{run.pk}/stop/", f"discrepancies/{dispute.pk}/"):
            answer = client.post(f"/catalog/imports/{path}", {"all": "1", "reason": "x"})
            assert answer.status_code == 404, (roles, path)
        assert client.post("/catalog/imports/", start).status_code == 404, roles
        assert client.get(f"/api/v1/imports/{run.pk}/").status_code == 404, roles
        assert client.get("/api/v1/imports/").json()["results"] == [], roles
        assert client.post("/api/v1/imports/", start, "application/json").status_code == 403, roles
    assert not ChangeSet.objects.exists()
    assert CatalogImport.objects.count() == 1


def test_an_auditor_looks_and_changes_nothing(run: CatalogImport, browser_of: Browser) -> None:
    client = browser_of(make.user(role="auditor"))
    assert "Read a source" not in words(client.get("/catalog/imports/").content)
    assert b'name="row"' not in client.get(f"/catalog/imports/{run.pk}/").content
    client.post(f"/catalog/imports/{run.pk}/propose/", {"all": "1"})
    client.post(
        f"/catalog/imports/discrepancies/{Discrepancy.objects.get().pk}/", {"take": "1", "reason": "x"}
    )
    assert not ChangeSet.objects.exists()
    assert Discrepancy.objects.get().state == "open"


def test_an_upload_is_started_and_its_page_asks_again_until_it_is_read(
    catalog: Catalog, keeper: User, browser_of: Browser
) -> None:
    client = browser_of(keeper)
    answer = client.post(
        "/catalog/imports/", {"source": "litellm", "stated_on": "2026-08-14", "file": file()}
    )
    started = CatalogImport.objects.get()
    assert answer["Location"] == f"/catalog/imports/{started.pk}/"
    waiting = client.get(answer["Location"]).content.decode()
    assert 'hx-trigger="every 2s"' in waiting
    jobs.work_off(job_id=started.job_id or 0, now=lambda: AT)
    part = client.get(answer["Location"], headers={"HX-Request": "true"}).content
    assert b"every 2s" not in part
    assert b"<html" not in part
    said = words(part)
    assert "All rows 3" in said
    assert "price is unknown, and unknown is not zero" in said


def test_a_wrong_form_is_answered_beside_its_field(
    keeper: User, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(keeper)
    for given, said in (
        ({"source": "litellm", "stated_on": "2026-08-14"}, "Choose the file to read"),
        ({"source": "litellm", "stated_on": "2026-08-14", "file": b""}, "Choose the file to read"),
        ({"source": "litellm", "stated_on": "2026-02-31", "file": b"{}"}, "Enter a valid date"),
        ({"source": "rumours", "stated_on": "2026-08-14", "file": b"{}"}, "Select a valid choice"),
    ):
        with subtests.test(said=said, given=given):
            data = {k: file(v) if isinstance(v, bytes) else v for k, v in given.items()}
            answer = client.post("/catalog/imports/", data)
            assert answer.status_code == 422
            assert said in words(answer.content)
            assert not CatalogImport.objects.exists()


def test_a_hundred_megabytes_are_refused_without_being_kept(keeper: User, browser_of: Browser) -> None:
    client = browser_of(keeper)

    class Endless:
        """A body that nobody may keep: it is asked for in small pieces only."""

        pieces = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= 64 * 1024
            self.pieces += 1
            return b"x" * size

        readline = read

    body = Endless()
    environment: dict[str, Any] = {
        "wsgi.input": body,
        "CONTENT_LENGTH": str(100 * 1024**2),
        "CONTENT_TYPE": "multipart/form-data; boundary=x",
    }
    answer = client.request(REQUEST_METHOD="POST", PATH_INFO="/catalog/imports/", **environment)
    assert answer.status_code == 413
    assert "larger than 32 MB. Nothing of it was read." in words(answer.content)
    assert body.pieces == 1600  # to the end, so that the sender hears the answer
    over = client.post(
        "/catalog/imports/",
        {"source": "litellm", "stated_on": "2026-08-14", "file": file(b" " * (LARGEST + 1))},
    )
    assert over.status_code == 422
    assert "larger than 32 MB" in words(over.content)
    program = client.request(REQUEST_METHOD="POST", PATH_INFO="/api/v1/imports/", **environment)
    assert (program.status_code, program.json()["errors"][0]["code"]) == (413, "too_large")
    assert not CatalogImport.objects.exists()


def test_the_upload_needs_the_token_of_its_form(keeper: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(keeper)
    answer = client.post("/catalog/imports/", {"source": "genai-prices", "stated_on": "2026-08-14"})
    assert answer.status_code == 403
    assert not CatalogImport.objects.exists()


def test_rows_are_found_by_outcome_provider_reason_and_text(
    run: CatalogImport, keeper: User, browser_of: Browser
) -> None:
    client = browser_of(keeper)

    def keys(query: str) -> list[str]:
        html = client.get(f"/catalog/imports/{run.pk}/?{query}").content.decode()
        return [unescape(key) for key in re.findall(r'<span class="key">([^<]*)</span>', html)]

    assert keys("") == ["groq/new-one", "=cmd()", "claude-haiku-4-5"]
    assert keys("outcome=refused") == ["=cmd()"]
    assert keys("provider=anthropic") == ["claude-haiku-4-5"]
    assert keys("code=price_unknown") == ["=cmd()"]
    assert keys("text=NEW") == ["groq/new-one"]
    assert keys("outcome=nonsense") == ["groq/new-one", "=cmd()", "claude-haiku-4-5"]
    assert keys("outcome=new&text=nothing") == []


def test_the_report_has_every_row_with_its_original_and_no_formula(
    run: CatalogImport, keeper: User, browser_of: Browser
) -> None:
    answer = browser_of(keeper).get(f"/catalog/imports/{run.pk}/rows.csv?outcome=refused")
    [row] = csv.DictReader(StringIO(answer.getvalue().decode("utf-8-sig")))
    assert (row["Row"], row["Key"], row["Outcome"], row["Reason"]) == (
        "2",
        "'=cmd()",
        "Refused",
        "price_unknown",
    )
    assert json.loads(row["Original"]) == PRICES["=cmd()"]


def test_chosen_rows_become_one_change_set(run: CatalogImport, keeper: User, browser_of: Browser) -> None:
    client = browser_of(keeper)
    row = StagedRow.objects.get(run=run, outcome="new")
    client.post(f"/catalog/imports/{run.pk}/propose/", {})
    assert not ChangeSet.objects.exists()
    answer = client.post(f"/catalog/imports/{run.pk}/propose/", {"row": [row.pk, "x"]})
    made = ChangeSet.objects.get()
    assert answer["Location"] == f"/catalog/change-sets/{made.pk}/"
    assert [item.operation for item in made.items.all()] == ["offering.create"]
    html = client.get(f"/catalog/imports/{run.pk}/").content.decode()
    assert f"CS-{made.pk}" in html
    assert 'name="row"' not in html


def test_a_disagreement_is_decided_on_the_page(run: CatalogImport, keeper: User, browser_of: Browser) -> None:
    client = browser_of(keeper)
    page = words(client.get("/catalog/imports/discrepancies/").content)
    assert "Claude Haiku 4.5" in page
    assert "\N{MINUS SIGN}20%" in page
    assert "Imports 1" in page  # beside the entry of the navigation
    dispute = Discrepancy.objects.get()
    client.post(f"/catalog/imports/discrepancies/{dispute.pk}/", {"take": "1", "reason": ""})
    dispute.refresh_from_db()
    assert dispute.state == "open"
    answer = client.post(f"/catalog/imports/discrepancies/{dispute.pk}/", {"take": "1", "reason": "Contract"})
    assert answer["Location"] == f"/catalog/change-sets/{ChangeSet.objects.get().pk}/"
    decided = words(client.get("/catalog/imports/discrepancies/?tab=decided").content)
    assert "Theirs was taken" in decided
    assert "Contract" in decided


def test_the_page_of_an_import_costs_the_same_for_any_number_of_rows(
    catalog: Catalog, keeper: User, browser_of: Browser
) -> None:
    client = browser_of(keeper)

    def queries(size: int) -> int:
        content = {f"groq/{size}-{n}": PRICES["groq/new-one"] for n in range(size)}
        started = importing.start_import(
            source="litellm",
            content=json.dumps(content).encode(),
            file_name="",
            stated_on=AT.date(),
            by=keeper,
            at=AT,
        )
        jobs.work_off(job_id=started.job_id or 0, now=lambda: AT)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/catalog/imports/{started.pk}/").status_code == 200
        return len(captured)

    queries(1)
    assert queries(2) == queries(45)


def test_programs_upload_follow_and_propose(catalog: Catalog, keeper: User, browser_of: Browser) -> None:
    client = browser_of(keeper)
    answer = client.post("/api/v1/imports/", {"source": "litellm", "stated_on": "2026-08-14", "file": file()})
    assert answer.status_code == 201, answer.content
    address = answer["Location"]
    run = CatalogImport.objects.get()
    assert answer.json()["state"] == "waiting"
    assert client.get(f"/api/v1/jobs/{run.job_id}/").status_code == 200
    jobs.work_off(job_id=run.job_id or 0, now=lambda: AT)
    read = client.get(address)
    assert read.json()["counts"] == {"new": 1, "disagrees": 1, "refused": 1}
    assert client.get(address, headers={"If-None-Match": read["ETag"]}).status_code == 304
    rows = client.get(f"{address}rows/?outcome=refused").json()["results"]
    assert [(r["key"], r["code"], r["original"]) for r in rows] == [
        ("=cmd()", "price_unknown", PRICES["=cmd()"])
    ]
    assert client.get(f"{address}rows/?outcome=nonsense").status_code == 400
    first = client.get(f"{address}rows/?page_size=2").json()
    rest = client.get(first["next"]).json()
    assert [r["number"] for r in first["results"] + rest["results"]] == [1, 2, 3]
    proposed = client.post(f"{address}propose/", {"outcome": "new"}, "application/json")
    assert proposed.status_code == 201
    assert proposed.json() == {
        "change_set": ChangeSet.objects.get().pk,
        "reference": ChangeSet.objects.get().reference,
    }
    assert client.post(f"{address}propose/", {}, "application/json").status_code == 422


def test_a_program_may_send_the_text_itself_and_is_told_what_is_wrong(
    catalog: Catalog, keeper: User, browser_of: Browser
) -> None:
    client = browser_of(keeper)
    answer = client.post(
        "/api/v1/imports/", {"source": "litellm", "content": json.dumps(PRICES)}, "application/json"
    )
    assert answer.status_code == 201
    wrong = client.post("/api/v1/imports/", {"source": "rumours", "colour": "red"}, "application/json")
    assert wrong.status_code == 422
    assert {e["pointer"] for e in wrong.json()["errors"]} == {"/source", "/colour"}
    missing = client.post("/api/v1/imports/", {"source": "litellm"}, "application/json")
    assert [e["pointer"] for e in missing.json()["errors"]] == ["/file"]


def test_pages_keep_the_security_policy(run: CatalogImport, keeper: User, browser_of: Browser) -> None:
    client = browser_of(keeper)
    for path in ("/catalog/imports/", "/catalog/imports/discrepancies/", f"/catalog/imports/{run.pk}/"):
        html = client.get(path).content.decode()
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", html), path
        assert "<style" not in html, path


@pytest.mark.parametrize(
    ("ppm", "said", "large"),
    [
        (-200_000, "\N{MINUS SIGN}20", True),
        (1_234_560_000, "+123.456", True),
        (12_345, "+1", False),
        (1_234, "+0,12", False),
        (-123, "\N{MINUS SIGN}0,012", False),
        (5, "+0,0005", False),
    ],
)
def test_a_difference_is_written_as_its_reader_writes_per_cent(ppm: int, said: str, large: bool) -> None:
    with locales.using(locales.style("de-DE")):
        assert _difference(ppm) == (f"{said}{locales.GAP}%", large)

"""Samples of credits with what stands behind them, the verification that is asked for, and who did both sides of one thing."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Role
from config import job_files, jobs
from config.databases import OWNER_ROLE
from config.models import Job, JobState
from config.refusals import Invalid, NotFound
from quotas.models import CreditEntry, DealEvent, Seal
from quotas.selectors import duties
from quotas.selectors.audit import shared
from quotas.services import auditing
from tests import make
from tests.quotas.closing.months import AT, Months, five_closed, five_sold, later

pytestmark = pytest.mark.django_db


@pytest.fixture
def made() -> Months:
    return five_sold()


@pytest.fixture
def closed() -> Months:
    return five_closed()[0]


def start(made: Months, **how: Any) -> Job:
    asked: dict[str, Any] = {"period": made.july, "measure": made.world.bookings, "count": 3, "seed": "s"}
    job = auditing.start_pack(**{**asked, "by": made.world.auditor, "at": later(hours=1), **how})
    done = jobs.work_off(job_id=job.pk, now=lambda: later(hours=1))
    assert done.state == JobState.DONE, done.error
    return done


def files(job: Job) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(job_files.zipped(job, AT)))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def cases(job: Job) -> list[dict[str, Any]]:
    return [
        json.loads(body)
        for name, body in sorted(files(job).items())
        if name.startswith("credits/") and name.endswith(".json")
    ]


def test_a_pack_holds_all_that_stands_behind_a_credit(closed: Months) -> None:
    job = start(closed, count=5)
    found = files(job)
    manifest = json.loads(found["manifest.json"])
    assert {each["name"] for each in manifest["files"]} == set(found) - {"manifest.json"}
    assert all(
        hashlib.sha256(found[each["name"]]).hexdigest() == each["sha256"] for each in manifest["files"]
    )
    assert (manifest["seed"], manifest["asked_for"], len(manifest["drawn"])) == ("s", 5, 5)
    rows = list(csv.DictReader(io.StringIO(found["index.csv"].decode("utf-8-sig"))))
    assert {(row["holds"], row["seal"]) for row in rows} == {("True", "verifies")}
    assert job.counts == {"not as computed again": 0, "seal broken": 0, "not sealed yet": 0}

    case = cases(job)[0]
    assert case["explanation"]["holds"]
    assert case["explanation"]["computed_again_minor"] == case["entry"]["amount_minor"]
    (version,) = case["deal"]["versions"]
    assert [share["ppm"] for share in version["shares"]] == [1_000_000]
    assert [event["action"] for event in case["deal"]["events"]] == ["logged", "submitted", "approved"]
    assert "Mia" in case["deal"]["events"][-1]["by"]
    assert case["rule"]["text"]
    assert case["rule"]["published_by"] != case["rule"]["drafted_by"]
    assert case["eligibility"]["rate_ppm"] == 1_000_000
    assert case["eligibility"]["reason"]
    assert case["seal"]["of"] == "FY27-M01 v1"
    page = found[f"credits/{case['entry']['id']}.html"].decode()
    assert case["explanation"]["sentence"] in page
    assert "verifies: seal 1" in page


def test_the_same_seed_and_mark_draw_the_same_credits(made: Months) -> None:
    first = start(made)
    made.sold(amount=5_00, at=later(hours=2))
    again = start(made, mark_id=first.parameters["mark"])
    others = [start(made, seed=f"another {n}", count=5) for n in range(3)]
    assert again.cursor["drawn"] == first.cursor["drawn"]
    assert {len(other.cursor["drawn"]) for other in others} == {5}
    # One seed may draw the same by chance, three hardly in the same order.
    orders = {tuple(row[0] for row in other.cursor["drawn"]) for other in others}
    assert len(orders) > 1


def test_strata_take_as_many_of_the_largest_as_of_the_rest(made: Months) -> None:
    job = start(made, stratified=True, count=3)
    assert [(each["credits"], each["drawn"]) for each in job.cursor["strata"]] == [(1, 1), (4, 2)] or [
        (each["credits"], each["drawn"]) for each in job.cursor["strata"]
    ] == [(1, 1), (1, 1), (3, 1)]
    assert max(case["entry"]["amount_minor"] for case in cases(job)) == 900_00
    assert {case["entry"]["amount_minor"] for case in cases(start(made, least_minor=90_00))} == {
        900_00,
        90_00,
    }


@given(st.integers(0, 60), st.dictionaries(st.integers(1, 3), st.integers(1, 30), min_size=1))
def test_a_sample_is_shared_evenly_and_whole(count: int, sizes: dict[int, int]) -> None:
    take = shared(count, sizes)
    assert sum(take.values()) == min(count, sum(sizes.values()))
    assert all(take[n] <= sizes[n] for n in sizes)
    most = max(take.values())
    assert all(take[n] >= most - 1 or take[n] == sizes[n] for n in sizes)


def test_reversals_and_adjustments_and_what_is_not_sealed_yet_are_told(made: Months) -> None:
    held = made.held(amount=1_00)
    job = start(made, count=10)
    (case,) = [case for case in cases(job) if case["deal"]["reference"] == held.reference]
    assert case["reversal"]["amount_minor"] == -1_00
    assert case["reversal"]["posting"]["kind"] == "hold"
    assert case["seal"] == {
        "sealed": False,
        "missing": False,
        "why": "Posted since the last seal: the next one takes it in.",
    }
    assert job.counts["not sealed yet"] == 6


def test_what_cannot_be_drawn_is_said(made: Months, subtests: pytest.Subtests) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"count": 0}, "out_of_range"),
        ({"count": 501}, "out_of_range"),
        ({"seed": "x" * 65}, "too_long"),
        ({"mark_id": 10**9}, "no_such_mark"),
    ]
    for how, code in wrong:
        with subtests.test(**how):
            with pytest.raises(Invalid) as refused:
                start(made, **how)
            assert [problem.code for problem in refused.value.problems] == [code]
    assert not Job.objects.filter(kind=auditing.PACK).exists()


def test_no_more_queries_for_more_credits(closed: Months) -> None:
    from quotas.selectors.audit import Drawn
    from quotas.selectors.audit import cases as told

    drawn = [Drawn(*row) for row in start(closed, count=5).cursor["drawn"]]

    def queries(some: list[Drawn]) -> int:
        with CaptureQueriesContext(connection) as taken:
            told(some)
        return len(taken)

    assert queries(drawn) == queries(drawn[:1])


def test_an_entry_that_no_seal_took_in_although_it_should_have_is_told_apart(closed: Months) -> None:
    """As if it had been written behind the application's back, under a posting that was sealed."""
    entry = CreditEntry.objects.filter(posting_period=closed.july).first()
    assert entry is not None
    entry.pk = entry.pk + 10**9
    entry.save(force_insert=True)
    job = start(closed, count=10)
    assert job.counts == {"not as computed again": 0, "seal broken": 1, "not sealed yet": 0}
    (row,) = [row for row in job.cursor["rows"] if row["entry"] == entry.pk]
    assert row["seal"] == "does not verify"


# --- pages ------------------------------------------------------------------------------------------------


def test_the_desk_checks_a_digest_draws_a_sample_and_verifies(closed: Months, client: Client) -> None:
    client.force_login(closed.world.auditor)
    seal = Seal.objects.get()
    assert (
        f"that of seal {seal.number}"
        in client.get("/quotas/audit/", {"digest": seal.digest[:12]}).content.decode()
    )
    assert "No seal has this digest" in client.get("/quotas/audit/", {"digest": "0" * 64}).content.decode()

    refused = client.post(
        "/quotas/audit/sample/",
        {"period": "FY27-M01", "measure": closed.world.bookings.slug, "count": "900", "seed": "kept"},
    )
    assert refused.status_code == 422
    assert "1 to 500 credits" in refused.content.decode()
    assert 'value="kept"' in refused.content.decode()
    drawn = client.post(
        "/quotas/audit/sample/", {"period": "FY27-M01", "measure": closed.world.bookings.slug, "count": "2"}
    )
    job = jobs.work_off(job_id=Job.objects.get(kind=auditing.PACK).pk, now=lambda: later(hours=1))
    page = client.get(drawn["Location"])
    assert len(page.context["rows"]) == 2
    sent: Iterator[bytes] = client.get(f"/quotas/audit/packs/{job.pk}/file.zip")  # type: ignore[assignment]  # streamed
    assert b"".join(sent)[:2] == b"PK"

    client.post("/quotas/audit/verify/")
    client.post("/quotas/audit/verify/")
    (asked,) = Job.objects.filter(kind=auditing.VERIFICATION)
    assert jobs.work_off(job_id=asked.pk, now=lambda: later(hours=1)).result["holds"] is True
    assert "It holds." in client.get("/quotas/audit/").content.decode()


def test_nobody_else_has_a_desk(made: Months, client: Client) -> None:
    job = start(made)
    for who in (make.login(made.world.ana), make.login(made.world.mia), make.user(role=Role.PARTNER)):
        client.force_login(who)
        for address in (
            "/quotas/audit/",
            f"/quotas/audit/packs/{job.pk}/",
            f"/quotas/audit/packs/{job.pk}/file.zip",
            "/quotas/duties/",
        ):
            assert client.get(address).status_code == 404, address
        assert client.post("/quotas/audit/verify/").status_code == 404
    with pytest.raises(NotFound):
        start(made, by=make.login(made.world.mia))


def test_duties_name_who_can_who_did_and_who_should_not_hold_both(closed: Months, client: Client) -> None:
    both = make.user(role=Role.COMP_ADMIN, name="Both")
    both.role_grants.create(role=Role.REP, granted_at=AT)
    found = duties.report()
    assert found.broken == 0
    checked = {proof.of: proof.checked for proof in found.proofs}
    assert (checked["approved closes"], checked["approvals of deals by a person"]) == (1, 5)
    people = {person.user.name: person for person in found.people}
    assert people["Both"].conflicts == ["Comp admin and Sales rep: Writes the rules, and is paid by them."]
    slugs = [duty.slug for duty in duties.DUTIES]
    done = dict(zip(slugs, people["Checker"].cells, strict=True))
    assert (done["close-approve"].can, done["close-approve"].done, done["close-ask"].done) == (True, 1, 0)
    assert "Ana" not in people
    assert "Ana" in {person.user.name for person in duties.report(sellers=True).people}

    client.force_login(closed.world.auditor)
    assert client.get("/quotas/duties/").status_code == 200
    sheet = b"".join(client.get("/quotas/duties/?format=csv")).decode()
    assert "Approve a close" in sheet


def test_who_did_both_sides_is_named(made: Months) -> None:
    """The application refuses it; written past it, it is found."""
    deal = made.sold(amount=3_00)
    mia = make.login(made.world.mia)
    assert connection.settings_dict["USER"] != OWNER_ROLE
    assert deal.latest_version_id is not None
    for action in ("submitted", "approved"):
        DealEvent.objects.create(deal=deal, version_id=deal.latest_version_id, action=action, by=mia, at=AT)
    (broken,) = [proof for proof in duties.proofs() if not proof.holds]
    assert broken.found == [(deal.pk, "Mia")]

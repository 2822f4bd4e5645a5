"""What an auditor asks for: a sample of credits with their evidence as files, and the ledger verified. See quotas/RULES.md 18.7 and 18.8."""

import csv
import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.template.loader import render_to_string

from accounts.audit import acting
from accounts.models import Role, User
from config import house as formats
from config import job_files, jobs
from config.models import Job, JobState
from config.refusals import NotFound, Problem, refuse_if_any
from quotas.models import Measure, Period
from quotas.selectors import audit, verifying
from quotas.services import sealing
from quotas.services.marking import mark

PACK: Final = "quotas.evidence"
VERIFICATION: Final = "quotas.verification"
A_STEP: Final = 10  # credits
SEED: Final = 64  # letters at most
REVIEWERS: Final = (Role.COMP_ADMIN, Role.AUDITOR)


@transaction.atomic
def start_pack(
    *,
    period: Period,
    measure: Measure,
    count: int,
    by: User,
    at: datetime,
    seed: str = "",
    stratified: bool = False,
    least_minor: int = 0,
    mark_id: int | None = None,
) -> Job:
    """Draw a sample and put its evidence together, in the background.

    seed     What it is drawn by; a new one is made up if none is given, and stands in the pack.
    mark_id  Of an earlier pack, to draw the same sample again; by default all that is posted by now.
    Raises NotFound for whom there is no such thing, Invalid.
    """
    if not by.has_role(*REVIEWERS):
        raise NotFound.of("not_found", "There is nothing here that you can see.")
    wrong: list[Problem] = []
    if not audit.SMALLEST <= count <= audit.LARGEST:
        wrong.append(
            Problem("out_of_range", f"A sample has {audit.SMALLEST} to {audit.LARGEST} credits.", "/count")
        )
    if len(seed) > SEED or "\x00" in seed:
        wrong.append(Problem("too_long", f"A seed has {SEED} letters at most.", "/seed"))
    if least_minor < 0:
        wrong.append(Problem("negative", "The least amount is not below zero.", "/least"))
    now = mark(at=at)
    if mark_id is not None and not 0 < mark_id <= now.pk:
        wrong.append(
            Problem("no_such_mark", f"There is no mark {mark_id} yet: the last one is {now.pk}.", "/mark")
        )
    refuse_if_any(wrong)
    acting(by=by, at=at)
    return jobs.start(
        kind=PACK,
        title=f"Evidence of {count} credits of {period}, {measure.name}",
        parameters={
            "period": period.pk,
            "measure": measure.pk,
            "count": count,
            "seed": seed.strip() or secrets.token_hex(8),
            "stratified": stratified,
            "least_minor": least_minor,
            "mark": mark_id or now.pk,
        },
        by_id=by.pk,
        at=at,
        unit="credits",
    )


@jobs.carries_out(PACK)
def _pack(job: Job, at: datetime) -> bool:
    """The sample is drawn first; then the evidence of a few credits a step; the last step adds the index and the manifest."""
    if job.total is None:
        given = job.parameters
        strata, drawn = audit.draw(
            period=Period.objects.get(pk=given["period"]),
            measure=Measure.objects.get(pk=given["measure"]),
            mark_id=given["mark"],
            count=given["count"],
            seed=given["seed"],
            stratified=given["stratified"],
            least_minor=given["least_minor"],
        )
        job.total = len(drawn)
        job.cursor = {
            "strata": [asdict(each) for each in strata],
            "drawn": [[each.entry_id, each.month_id, each.stratum] for each in drawn],
            "files": [],
            "rows": [],
        }
        return True
    some = [audit.Drawn(*row) for row in job.cursor["drawn"][job.done : job.done + A_STEP]]
    if some:
        made: list[tuple[str, bytes]] = []
        for case in audit.cases(some):
            made += _files(case)
            job.cursor["rows"].append(_row(case))
        _keep(job, made)
        job.done += len(some)
    if job.done < job.total:
        return True
    _keep(job, [("index.csv", _index(job.cursor["rows"]))])
    job_files.keep(job, [("manifest.json", _json(_manifest(job, at)))])
    job.counts = {
        "not as computed again": sum(not row["holds"] for row in job.cursor["rows"]),
        "seal broken": sum(row["seal"] == "does not verify" for row in job.cursor["rows"]),
        "not sealed yet": sum(row["seal"] == "not sealed yet" for row in job.cursor["rows"]),
    }
    return False


def _keep(job: Job, made: Sequence[tuple[str, bytes]]) -> None:
    job_files.keep(job, made)
    job.cursor["files"] += [
        [name, hashlib.sha256(content).hexdigest(), len(content)] for name, content in made
    ]


def _files(case: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """For a program, and for a person."""
    name = f"credits/{case['entry']['id']}"
    yield f"{name}.json", _json(case)
    yield (
        f"{name}.html",
        render_to_string(
            "quotas/evidence_credit.html",
            {"case": case, "amount": _amount(case), "tree": _tree(case)},
        ).encode(),
    )


def _amount(case: Mapping[str, Any]) -> str:
    entry = case["entry"]
    return formats.measured(entry["amount_minor"], entry["currency"], entry["exponent"])


def _tree(case: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, str, str]]]]:
    """What stands behind the credit, as lines of a depth, a label and a value."""
    parts = ("posting", "deal", "rule", "fx_rate", "eligibility", "adjustments", "reversal", "seal")
    return [
        (part.replace("_", " ").capitalize(), list(_lines(case[part], 0)))
        for part in parts
        if case[part] not in (None, [])
    ]


def _lines(value: Any, depth: int) -> Iterator[tuple[int, str, str]]:
    """A document as lines; what is nested stands deeper."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value, start=1)
    for name, inside in pairs:
        label = str(name).replace("_", " ").capitalize()
        if isinstance(inside, dict | list) and inside:
            yield depth, label, ""
            yield from _lines(inside, depth + 1)
        else:
            empty = inside is None or inside == "" or inside == []
            yield depth, label, "none" if empty else str(inside)


def _row(case: Mapping[str, Any]) -> dict[str, Any]:
    entry, seal, deal = case["entry"], case["seal"], case["deal"]
    verifies = seal["sealed"] and all(
        seal[name] for name in ("tag_verifies", "block_verifies", "seal_verifies")
    )
    return {
        "file": f"credits/{entry['id']}.json",
        "entry": entry["id"],
        "stratum": case["stratum"],
        "deal": deal["reference"] if deal else "",
        "rep": entry["rep"],
        "team": entry["team"],
        "measure": entry["measure"],
        "amount": _amount(case),
        "component": entry["component"],
        "credit_date": entry["credit_date"],
        "posting_period": entry["posting_period"],
        "origin_period": entry["origin_period"],
        "rule": case["rule"]["name"] if case["rule"] else "",
        "reversed": bool(case["reversal"]),
        "holds": case["explanation"]["holds"],
        "seal": "verifies"
        if verifies
        else "does not verify"
        if seal["sealed"] or seal["missing"]
        else "not sealed yet",
    }


def _index(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A formula is written as text: what people typed does not run in a spreadsheet."""
    out = io.StringIO()
    names = ["file", *(name for name in (rows[0] if rows else {}) if name != "file")]
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _plain(value) for name, value in row.items()})
    return ("\ufeff" + out.getvalue()).encode()


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value[:1] else value


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _manifest(job: Job, at: datetime) -> dict[str, Any]:
    given = job.parameters
    measure = Measure.objects.get(pk=given["measure"])
    return {
        "manifest": audit.FORM,
        "period": Period.objects.get(pk=given["period"]).name,
        "measure": measure.slug,
        "seed": given["seed"],
        "mark": given["mark"],
        "asked_for": given["count"],
        "stratified": given["stratified"],
        "least_minor": given["least_minor"],
        "strata": job.cursor["strata"],
        "drawn": [row[0] for row in job.cursor["drawn"]],
        "made_by": job.requested_by.name if job.requested_by else None,
        "made_at": at.isoformat(),
        "draw": "Credits that are no reversals, known to the mark, in each stratum in the order of SHA-256 of seed:entry.",
        "files": [
            {"name": name, "sha256": digest, "bytes": size} for name, digest, size in job.cursor["files"]
        ],
    }


# --- verification -----------------------------------------------------------------------------------------


@transaction.atomic
def start_verification(*, by: User, at: datetime) -> Job:
    """Verify the whole ledger in the background; one that already waits or runs is not started twice. Raises NotFound."""
    if not by.has_role(*REVIEWERS):
        raise NotFound.of("not_found", "There is nothing here that you can see.")
    under_way = Job.objects.filter(kind=VERIFICATION, state__in=[JobState.WAITING, JobState.RUNNING]).first()
    if under_way is not None:
        return under_way
    acting(by=by, at=at)
    return jobs.start(
        kind=VERIFICATION,
        title="Verification of the ledger",
        parameters={},
        by_id=by.pk,
        at=at,
        unit="entries",
    )


@jobs.carries_out(VERIFICATION)
def _verify(job: Job, at: datetime) -> bool:
    found = sealing.verify()
    job.result = said(found)
    job.total = job.done = found.entries
    if not found.holds:
        sealing.tell_of_a_break(found, at=at)
    return False


def keep(found: verifying.Verdict, *, at: datetime) -> Job:
    """What the nightly verification found, beside those that people ask for. 1 query."""
    return Job.objects.create(
        kind=VERIFICATION,
        title="Nightly verification of the ledger",
        parameters={},
        unit="entries",
        state=JobState.DONE,
        requested_at=at,
        started_at=at,
        finished_at=at,
        result=said(found),
        total=found.entries,
        done=found.entries,
    )


def said(found: verifying.Verdict) -> dict[str, Any]:
    """A verdict as it is kept with its job."""
    return {
        "holds": found.holds,
        "seals": found.seals,
        "entries": found.entries,
        "unsealed": found.unsealed,
        "digest": found.digest,
        "first_entry": found.first_entry,
        "checks": [{"name": check.name, "wrong": list(check.wrong)} for check in found.checks],
    }

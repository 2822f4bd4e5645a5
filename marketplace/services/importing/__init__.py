"""Importing what other sources say: staged, compared, reported row by row, proposed as a change set. Never a live row by itself.

start_import writes the upload down and lets a job read it; the job's first step understands the whole file, the others write
its rows down, so that a worker that is killed leaves whole parts behind it. A file that cannot be read fails as a whole.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, JSONField, Q, QuerySet, Value

from accounts.audit import acting
from accounts.models import Role, User
from config import jobs, outbox
from config.models import Job
from config.refusals import Conflict, Invalid, NotFound, Problem, refuse_if_any
from marketplace.importers import benchmarks, genai_prices, litellm, models_dev
from marketplace.importers.files import LARGEST, storable, storable_text
from marketplace.importers.rows import Row, Unreadable
from marketplace.models import (
    CatalogImport,
    ChangeSet,
    ChangeSetState,
    Channel,
    Discrepancy,
    DiscrepancyState,
    ImportSource,
    ImportState,
    RowOutcome,
    StagedRow,
)
from marketplace.services import change_sets
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.importing.comparing import LABELS, Understood, understand

KIND: Final = "marketplace.import"
PART: Final = 1000
MOST_PROPOSED: Final = 5000
PACKAGES: Final = frozenset({ImportSource.GENAI_PRICES.value})
OPEN_SETS: Final = (
    ChangeSetState.DRAFT,
    ChangeSetState.SUBMITTED,
    ChangeSetState.IN_REVIEW,
    ChangeSetState.CHANGES_REQUESTED,
    ChangeSetState.SCHEDULED,
)
PROPOSABLE: Final = (RowOutcome.NEW, RowOutcome.CHANGED, RowOutcome.DISAGREES)
ORDER: Final = (
    RowOutcome.NEW,
    RowOutcome.CHANGED,
    RowOutcome.DISAGREES,
    RowOutcome.UNCHANGED,
    RowOutcome.LEFT_OUT,
    RowOutcome.REFUSED,
)

# The understood rows of the import that this process works on; another process understands the file again.
_under_way: dict[int, list[Understood]] = {}


def read_rows(source: str, content: bytes) -> Iterator[Row]:
    """Rows of a source as its importer reads them; a package needs no content. Raises Unreadable."""
    match source:
        case ImportSource.GENAI_PRICES:
            return genai_prices.rows()
        case ImportSource.LITELLM:
            return litellm.rows(content)
        case ImportSource.MODELS_DEV:
            return models_dev.rows(content)
        case ImportSource.EVALUATIONS:
            return benchmarks.evaluations(content)
    return benchmarks.aider(content)


@transaction.atomic
def start_import(
    *,
    source: str,
    content: bytes | None,
    file_name: str,
    stated_on: date,
    by: User,
    at: datetime,
) -> CatalogImport:
    """Write down what is to be read and ask a worker to read it.

    content    The file's bytes; None for the installed package.
    stated_on  The day for which the source is taken to speak.
    Raises     Forbidden, Invalid.
    """
    must_keep_the_catalog(by)
    problems = []
    if source not in ImportSource.values:
        problems.append(
            Problem("unknown_source", f"Sources are {', '.join(ImportSource.values)}.", "/source")
        )
    elif source not in PACKAGES and not content:
        problems.append(Problem("file_missing", "Choose the file to read; it is empty or missing.", "/file"))
    if content is not None and len(content) > LARGEST:
        problems.append(Problem("too_large", f"The file is larger than {LARGEST // 1024**2} MB.", "/file"))
    if not 2000 <= stated_on.year <= 2100:
        problems.append(Problem("day_out_of_range", "Say a day between 2000 and 2100.", "/stated_on"))
    refuse_if_any(problems)
    acting(by=by, at=at, reason=f"Import of {LABELS[source]}")
    packaged = source in PACKAGES
    read = genai_prices.LABEL.encode() if packaged else content or b""
    run = CatalogImport.objects.create(
        source=source,
        file_name="" if packaged else file_name[:200],
        digest=hashlib.sha256(read).hexdigest(),
        content=None if packaged else zlib.compress(read, 6),
        stated_on=stated_on,
        requested_by=by,
        requested_at=at,
    )
    run.job = jobs.start(
        kind=KIND,
        title=f"Import of {LABELS[source]}"[:200],
        parameters={"import": run.pk},
        by_id=by.pk,
        at=at,
        unit="rows",
    )
    run.save(update_fields=["job"])
    return run


@jobs.carries_out(KIND)
def step(job: Job, at: datetime) -> bool:
    """Understand the file, or write the next part of its rows down."""
    run = CatalogImport.objects.select_for_update(of=("self",)).get(pk=job.parameters["import"])
    if run.state in (ImportState.STAGED, ImportState.FAILED):
        return False
    known = _under_way.get(run.pk)
    if known is None:
        try:
            known = _understood(run)
        except Unreadable as why:
            return _failed(run, job, str(why), at)
        _under_way.clear()
        _under_way[run.pk] = known
    if run.state == ImportState.WAITING:
        run.state, run.rows = ImportState.READING, len(known)
        run.save(update_fields=["state", "rows"])
        job.total = len(known)
        return True
    part = known[job.done : job.done + PART]
    _write(run, part, at)
    jobs.count(job, Counter(each.outcome for each in part))
    job.done += len(part)
    if job.done < len(known):
        return True
    _under_way.pop(run.pk, None)
    return _finish(run, job, at)


def _understood(run: CatalogImport) -> list[Understood]:
    content = zlib.decompress(run.content) if run.content is not None else b""
    return understand(
        read_rows(run.source, content),
        source=run.source,
        on=run.stated_on,
        operator=str(settings.OPERATOR["slug"]),
    )


def _failed(run: CatalogImport, job: Job, why: str, at: datetime) -> bool:
    run.state, run.problem, run.content, run.staged_at = ImportState.FAILED, why[:500], None, at
    run.save(update_fields=["state", "problem", "content", "staged_at"])
    job.result = {"problem": why[:500]}
    _tell(run, f"{LABELS[run.source]}: nothing was imported. {why}", at)
    return False


def _finish(run: CatalogImport, job: Job, at: datetime) -> bool:
    """The counts are those of the rows that are there."""
    found = dict(StagedRow.objects.filter(run=run).order_by().values_list("outcome").annotate(n=Count("pk")))
    run.counts = {outcome.value: found[outcome.value] for outcome in ORDER if outcome.value in found}
    run.state, run.content, run.staged_at = ImportState.STAGED, None, at
    run.save(update_fields=["counts", "state", "content", "staged_at"])
    job.result = {"import": run.pk, "counts": run.counts}
    said = ", ".join(f"{n:,} {RowOutcome(o).label.lower()}" for o, n in run.counts.items())
    _tell(run, f"{LABELS[run.source]}: {run.rows:,} rows are staged: {said or 'none'}.", at)
    return False


def _tell(run: CatalogImport, text: str, at: datetime) -> None:
    outbox.promise(
        topic="accounts.notify",
        key=f"import:{run.pk}",
        payload={
            "user_ids": [run.requested_by_id],
            "key": f"import:{run.pk}",
            "text": text[:300],
            "url": f"/catalog/imports/{run.pk}/",
        },
        at=at,
    )


def _write(run: CatalogImport, part: Sequence[Understood], at: datetime) -> None:
    """Rows and discrepancies of one part. 5 queries."""
    proposed = _proposed_before(run, [each.row.key for each in part])
    kept = _kept_before(part)
    rows = []
    disputes = []
    for each in part:
        row = each.row
        same = proposed.get((row.provider, row.key))
        if each.items and same is not None and same[0] == each.items:
            each.outcome, each.code = RowOutcome.UNCHANGED, "already_proposed"
            each.message, each.items = f"Proposed already in CS-{same[1]}.", []
        for dispute in list(each.disputes):
            before = kept.get((dispute.offering_id, dispute.plan_id, dispute.field, dispute.theirs_from))
            if before is not None and before.theirs == dispute.theirs and before.ours == dispute.ours:
                each.disputes.remove(dispute)
                if not each.disputes and each.outcome == RowOutcome.DISAGREES:
                    each.outcome = RowOutcome.CHANGED if each.items else RowOutcome.UNCHANGED
                    each.code = "kept_before"
                    each.message = f"Ours was kept against it: {before.reason}"[:500]
        disputes += each.disputes
        message = each.message
        if row.ignored:
            ignored = f"{len(row.ignored)} field{'s' if len(row.ignored) > 1 else ''} not used."
            message = f"{message} {ignored}".strip()
        rows.append(
            StagedRow(
                run=run,
                number=row.number,
                key=row.key[:200],
                provider=row.provider[:80],
                outcome=each.outcome,
                code=each.code[:60],
                message=storable_text(message)[:500],
                original=row.original if row.original is not None else Value(None, JSONField()),
                staged=storable(each.items),
                offering_id=each.offering_id,
                plan_id=each.plan_id,
            )
        )
    StagedRow.objects.bulk_create(rows, batch_size=PART)
    Discrepancy.objects.bulk_create(
        [
            Discrepancy(
                offering_id=d.offering_id,
                plan_id=d.plan_id,
                field=d.field[:80],
                ours=storable_text(d.ours)[:200],
                ours_from=d.ours_from[:200],
                theirs=storable_text(d.theirs)[:200],
                theirs_from=storable_text(d.theirs_from)[:200],
                difference_ppm=d.ppm,
                items=storable(d.items),
                found_in=run,
                found_at=at,
            )
            for d in disputes
        ],
        ignore_conflicts=True,  # open already
    )


def _proposed_before(run: CatalogImport, keys: Iterable[str]) -> dict[tuple[str, str], tuple[Any, int]]:
    """What earlier readings of the same source have proposed and nobody has decided yet, by provider and key."""
    return {
        (provider, key): (staged, change_set)
        for provider, key, staged, change_set in StagedRow.objects.filter(
            run__source=run.source, change_set__state__in=OPEN_SETS, key__in=[k[:200] for k in keys]
        )
        .order_by("pk")
        .values_list("provider", "key", "staged", "change_set")
    }


def _kept_before(part: Sequence[Understood]) -> dict[tuple[int, int | None, str, str], Discrepancy]:
    disputes = [d for each in part for d in each.disputes]
    return {
        (d.offering_id, d.plan_id, d.field, d.theirs_from): d
        for d in Discrepancy.objects.filter(
            state=DiscrepancyState.KEPT,
            offering__in={d.offering_id for d in disputes},
            theirs_from__in={d.theirs_from[:200] for d in disputes},
        ).order_by("pk")
    }


# Proposing


@transaction.atomic
def propose(
    *,
    run_id: int,
    by: User,
    at: datetime,
    row_ids: Sequence[int] | None = None,
    filter: Mapping[str, str] | None = None,  # noqa: A002 -- the name that the pages and REST use
) -> ChangeSet:
    """Make one change set of rows that are new or changed; a second person decides on it.

    row_ids  The rows that were chosen; else every row that *filter* (outcome, provider, code) leaves.
    Raises   Forbidden, NotFound, Invalid (nothing to propose, too much at once).
    """
    must_keep_the_catalog(by)
    run = CatalogImport.objects.select_for_update(of=("self",)).filter(pk=run_id).first()
    if run is None:
        raise NotFound.of("unknown_import", "There is no such import.")
    if run.state != ImportState.STAGED:
        raise Conflict(Problem("not_staged", "The import is not staged; there is nothing to propose."))
    acting(by=by, at=at, reason=f"Proposed from import {run.pk}")
    chosen = proposable(run)
    if row_ids is not None:
        chosen = chosen.filter(pk__in=list(row_ids))
    for name in ("outcome", "provider", "code"):
        if filter and filter.get(name):
            chosen = chosen.filter(**{name: filter[name]})
    rows = list(chosen.order_by("number")[: MOST_PROPOSED + 1])
    if not rows:
        raise Invalid(
            Problem(
                "nothing_to_propose", "Choose rows that are new or changed and not proposed yet.", "/rows"
            )
        )
    if len(rows) > MOST_PROPOSED:
        raise Invalid(
            Problem("too_many_rows", f"At most {MOST_PROPOSED:,} rows at once: filter by provider.", "/rows")
        )
    rows = _with_what_they_need(run, rows)
    drafts = _drafts(item for row in rows for item in row.staged)
    counted = Counter(RowOutcome(row.outcome).label.lower() for row in rows)
    title = f"{LABELS[run.source]}: {', '.join(f'{n:,} {label}' for label, n in counted.items())}"
    made = change_sets.draft_change_set(
        title=title[:200],
        items=drafts,
        by=by,
        at=at,
        channel=Channel.IMPORT,
        source=f"{LABELS[run.source]}, as of {run.stated_on.isoformat()}, import {run.pk}",
        note=f"{len(rows):,} rows of {run.file_name or LABELS[run.source]}",
    )
    StagedRow.objects.filter(pk__in=[row.pk for row in rows]).update(change_set=made)
    return made


def proposable(run: CatalogImport) -> QuerySet[StagedRow]:
    """Rows with something to propose that is in no change set, or in one that came to nothing."""
    return StagedRow.objects.filter(run=run, outcome__in=PROPOSABLE).filter(
        ~Q(staged=[]),
        Q(change_set=None) | Q(change_set__state__in=[ChangeSetState.REJECTED, ChangeSetState.WITHDRAWN]),
    )


def _with_what_they_need(run: CatalogImport, rows: list[StagedRow]) -> list[StagedRow]:
    """A further plan or name of an offering that the file itself brings needs the row that brings it."""
    brings = {
        item["body"]["slug"] for row in rows for item in row.staged if item["operation"] == "offering.create"
    }
    needs = {
        item["body"]["offering"]
        for row in rows
        if row.code in ("further_plan", "second_name")
        for item in row.staged
        if "offering" in item["body"]
    } - brings
    if not needs:
        return rows
    more = [
        row
        for row in proposable(run)
        .filter(outcome=RowOutcome.NEW)
        .exclude(code__in=["further_plan", "second_name"])
        if any(item["body"].get("slug") in needs for item in row.staged)
    ]
    return sorted({row.pk: row for row in (*rows, *more)}.values(), key=lambda row: row.number)


def _drafts(items: Iterable[Mapping[str, Any]]) -> list[change_sets.ItemDraft]:
    return [change_sets.ItemDraft(operation=item["operation"], body=item["body"]) for item in items]


# Discrepancies


@transaction.atomic
def decide_discrepancy(
    *, discrepancy_id: int, take: bool, reason: str, by: User, at: datetime
) -> tuple[Discrepancy, ChangeSet | None]:
    """Keep ours, or take theirs: then a change set is drafted, and a second person decides on it.

    Raises   Forbidden, NotFound, Conflict (decided already), Invalid (no reason).
    """
    must_keep_the_catalog(by)
    found = (
        Discrepancy.objects.select_for_update(of=("self",))
        .select_related("offering", "plan", "found_in")
        .filter(pk=discrepancy_id)
        .first()
    )
    if found is None:
        raise NotFound.of("unknown_discrepancy", "There is no such discrepancy.")
    if found.state != DiscrepancyState.OPEN:
        raise Conflict(Problem("decided", "Somebody has decided it already."))
    reason = reason.strip()
    if not reason:
        raise Invalid(Problem("reason_missing", "Say why: it is kept with the decision.", "/reason"))
    if len(reason) > 500:
        raise Invalid(Problem("reason_too_long", "Say it in at most 500 characters.", "/reason"))
    acting(by=by, at=at, reason=reason)
    made = None
    if take:
        made = change_sets.draft_change_set(
            title=f"{found.offering.name}: {found.theirs} instead of {found.ours}"[:200],
            items=_drafts(found.items),
            by=by,
            at=at,
            channel=Channel.IMPORT,
            note=reason,
            source=found.theirs_from,
        )
    found.state = DiscrepancyState.TAKEN if take else DiscrepancyState.KEPT
    found.decided_by, found.decided_at, found.reason = by, at, reason
    found.save(update_fields=["state", "decided_by", "decided_at", "reason"])
    return found, made


def may_read(user: User) -> bool:
    """Catalog managers, and auditors to look."""
    return user.has_role(Role.CATALOG_MANAGER, Role.AUDITOR)

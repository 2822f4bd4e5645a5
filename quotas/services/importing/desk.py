"""From an uploaded file to what became of it: look, map, check, carry out. The check is a dry run of the very code that imports.

Reading and writing a file is one step of its job and one transaction; approving under a policy, and cancelling what its
source no longer has, follow in steps of their own. Killed anywhere, it goes on where the last transaction ended.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.db import transaction

from accounts.audit import acting
from accounts.models import Role, User
from config import jobs, outbox
from config.clock import day_of
from config.locks import one_at_a_time
from config.models import Job
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, Refusal, refuse_if_any
from quotas.importers.guessing import guess
from quotas.importers.maps import FIELDS, ImportMapping, WrongMap, bind, draft_of, read_map, write_map
from quotas.importers.tables import Layout, Unreadable, first_rows, layout_of
from quotas.models import (
    FiscalCalendar,
    Grain,
    ImportKind,
    ImportMap,
    ImportOutcome,
    ImportPiece,
    Period,
    SalesImport,
    SalesImportState,
)
from quotas.selectors.imports import UNDER_WAY
from quotas.services.importing import kinds, records
from quotas.services.importing.context import Context
from quotas.services.importing.creating import Creator
from quotas.services.importing.options import Options
from quotas.services.importing.storing import store, stored_file
from quotas.services.policies import in_force

KIND: Final = "quotas.import"
LARGEST: Final = 256 * 1024**2
SHOWN_SAMPLES: Final = 5
MOST_DISTINCT: Final = 40
BY_MANAGERS: Final = (ImportKind.DEALS,)


def may_import(user: User, kind: str) -> bool:
    """Comp admins import everything, managers the deals of their teams."""
    return user.has_role(Role.COMP_ADMIN) or (kind in BY_MANAGERS and user.has_role(Role.MANAGER))


def may_read_imports(user: User) -> bool:
    return user.has_role(Role.COMP_ADMIN, Role.MANAGER, Role.AUDITOR)


def may_read(user: User, run: SalesImport) -> bool:
    """Managers see the imports that they made themselves, comp admins and auditors all of them."""
    return user.has_role(Role.COMP_ADMIN, Role.AUDITOR) or (
        user.has_role(Role.MANAGER) and run.requested_by_id == user.pk
    )


# --- taking a file in --------------------------------------------------------------------------------------


@transaction.atomic
def upload(*, kind: str, file_name: str, pieces: Iterable[bytes], by: User, at: datetime) -> SalesImport:
    """Keep a file, look at it and guess its map. Raises Forbidden, and Invalid with the one thing that is wrong with the file."""
    _must_import(by, kind)
    run = SalesImport.objects.create(
        kind=kind, file_name=Path(file_name).name[-200:], bytes=0, digest="", requested_by=by, requested_at=at
    )
    store(run, _at_most(pieces))
    run.look, run.map_text = _seen(run, stored_file(run))
    run.save()
    return run


def _at_most(pieces: Iterable[bytes]) -> Iterable[bytes]:
    taken = 0
    for piece in pieces:
        taken += len(piece)
        if taken > LARGEST:
            raise Invalid.of(
                "file_too_large",
                f"The file is larger than {LARGEST // 1024**2} MB. Import it with the command line, which takes any size.",
                "/file",
            )
        yield piece


def _seen(
    run: SalesImport, file: BinaryIO, mapping: ImportMapping | None = None
) -> tuple[dict[str, Any], str]:
    """What the file looks like, for the page, and the text of the map that is guessed. Raises Invalid."""
    try:
        layout = layout_of(
            file,
            file_name=run.file_name,
            encoding=mapping.encoding if mapping else "",
            delimiter=mapping.delimiter if mapping else "",
            sheet=mapping.sheet if mapping else "",
        )
        samples = first_rows(file, layout)
    except Unreadable as unreadable:
        raise Invalid.of(unreadable.code, unreadable.message, "/file") from unreadable
    if not samples:
        raise Invalid.of("no_rows", "There is no row below the head of this file.", "/file")
    guessed = guess(run.kind, layout, samples)
    look = {
        "kind": layout.kind,
        "encoding": layout.encoding,
        "delimiter": layout.delimiter,
        "sheet": layout.sheet,
        "sheets": list(layout.sheets),
        "columns": _columns(layout, samples),
        "questions": [
            {"field": q.field, "column": q.column, "choices": list(q.choices), "why": q.why}
            for q in guessed.questions
        ],
        "matched": guessed.matched,
    }
    return look, write_map(guessed.mapping)


def _columns(layout: Layout, samples: Sequence[Sequence[object]]) -> list[dict[str, Any]]:
    """Each column with the first values that differ, and all of them where they are few: words to translate."""
    columns = []
    for place, name in enumerate(layout.columns):
        values = dict.fromkeys(
            str(cells[place])[:80]
            for cells in samples
            if place < len(cells) and cells[place] not in ("", None)
        )
        columns.append(
            {
                "name": name,
                "samples": list(values)[:SHOWN_SAMPLES],
                "distinct": list(values) if len(values) <= MOST_DISTINCT else [],
            }
        )
    return columns


# --- the map -----------------------------------------------------------------------------------------------


@transaction.atomic
def set_map(*, run_id: int, text: str, by: User, at: datetime, name: str = "") -> SalesImport:
    """Say how the file is read. Raises NotFound, Forbidden, Conflict while it is under way, Invalid with every problem of the map."""
    run = _for_change(run_id, by)
    mapping = checked_map(run.kind, text)
    same = (mapping.encoding, mapping.delimiter, mapping.sheet)
    before = _mapping_of(run)
    if before is None or same != (before.encoding, before.delimiter, before.sheet):
        run.look, _ = _seen(run, stored_file(run), mapping)
    _bound(run, mapping)
    run.look = {**run.look, "questions": []}  # what was guessed has been looked at and decided
    run.map_text, run.map_name, run.state = text, name, SalesImportState.UPLOADED
    run.counts, run.reasons, run.preview, run.problem = {}, {}, {}, ""
    run.save()
    return run


def checked_map(kind: str, text: str) -> ImportMapping:
    """The map that a text says. Raises Invalid; pointers are TOML paths."""
    try:
        mapping = read_map(text)
    except WrongMap as wrong:
        raise Invalid(*wrong.problems) from wrong
    if mapping.kind != kind:
        raise Invalid.of("other_kind", f"This map is for {mapping.kind}, the file is about {kind}.", "/kind")
    return mapping


def _mapping_of(run: SalesImport) -> ImportMapping | None:
    return draft_of(run.map_text)[0] if run.map_text else None


def _bound(run: SalesImport, mapping: ImportMapping) -> None:
    """Refuse a map that names columns which the file does not have."""
    layout = Layout(
        kind=run.look["kind"],
        encoding=run.look["encoding"],
        delimiter=run.look["delimiter"],
        sheet=run.look["sheet"],
        sheets=tuple(run.look["sheets"]),
        columns=tuple(column["name"] for column in run.look["columns"]),
        head=1,
    )
    try:
        bind(mapping, layout)
    except WrongMap as wrong:
        raise Invalid(*wrong.problems) from wrong


@transaction.atomic
def save_map(*, name: str, kind: str, text: str, by: User, at: datetime) -> ImportMap:
    """Keep a map under a name, or change the one that has it. Raises Forbidden, Invalid."""
    _must_import(by, kind)
    if not name.strip() or len(name) > 80:
        raise Invalid.of("name_needed", "Give the map a name of at most 80 characters.", "/name")
    checked_map(kind, text)
    known = ImportMap.objects.select_for_update().filter(name=name.strip()).first()
    if known is not None:
        _must_be_own_map(known, by)
        if known.kind != kind:
            raise Conflict.of(
                "name_taken", f"{known.name} is a map for {known.kind}: take another name.", "/name"
            )
    acting(by=by, at=at)
    saved, _ = ImportMap.objects.update_or_create(
        name=name.strip(), defaults={"kind": kind, "text": text, "saved_by": by, "saved_at": at}
    )
    return saved


@transaction.atomic
def remove_map(*, name: str, by: User, at: datetime) -> None:
    """Forget a saved map; imports made with it keep their text. Raises NotFound, Forbidden."""
    saved = ImportMap.objects.filter(name=name).first()
    if saved is None:
        raise NotFound.of("unknown_map", "There is no map of this name.")
    _must_import(by, saved.kind)
    _must_be_own_map(saved, by)
    acting(by=by, at=at)
    saved.delete()


def _must_be_own_map(saved: ImportMap, by: User) -> None:
    """Comp admins import approvals by saved maps: nobody else changes what those say."""
    if saved.saved_by_id != by.pk and not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of(
            "not_your_map",
            f"{saved.name} was saved by somebody else: save yours under another name.",
            "/name",
        )


# --- checking and carrying out -----------------------------------------------------------------------------


@transaction.atomic
def check(*, run_id: int, options: Options, by: User, at: datetime) -> Job:
    """Start the dry run: what would become of every row. Raises NotFound, Forbidden, Conflict, Invalid."""
    run = _for_change(run_id, by)
    mapping = checked_map(run.kind, run.map_text)
    _bound(run, mapping)
    refuse_if_any(wrong_options(run.kind, mapping, options, by))
    run.options, run.state, run.problem = options.document(), SalesImportState.CHECKING, ""
    return _start(run, "check", by=by, at=at)


@transaction.atomic
def carry_out(*, run_id: int, by: User, at: datetime) -> Job:
    """Start the import of a file that was checked, with the options of the check. Raises NotFound, Forbidden, Conflict."""
    run = _for_change(run_id, by)
    if run.state != SalesImportState.CHECKED:
        raise Conflict.of(
            "not_checked", "Check the file first: what would become of it is shown, then it is imported."
        )
    run.state = SalesImportState.IMPORTING
    return _start(run, "import", by=by, at=at)


def _start(run: SalesImport, phase: str, *, by: User, at: datetime) -> Job:
    run.job = jobs.start(
        kind=KIND,
        title=f"{'Check' if phase == 'check' else 'Import'} of {run.file_name}"[:200],
        parameters={"run": run.pk, "phase": phase},
        by_id=by.pk,
        at=at,
        unit="rows",
    )
    run.save()
    return run.job


def wrong_options(kind: str, mapping: ImportMapping, options: Options, by: User) -> list[Problem]:
    """What is wrong with what was asked for."""
    found = []
    if mapping.calendar and not FiscalCalendar.objects.filter(prefix__iexact=mapping.calendar).exists():
        found.append(
            Problem(
                "unknown_calendar",
                f"No fiscal calendar's periods begin with {mapping.calendar}: a comp admin opens its years first.",
                "/rows/calendar",
            )
        )
    if options.policy:
        if not by.has_role(Role.COMP_ADMIN):
            found.append(
                Problem("policy_needs_comp_admin", "Only a comp admin imports approvals.", "/options/policy")
            )
        elif in_force(options.policy) is None:
            found.append(
                Problem(
                    "unknown_policy", f"No policy called {options.policy} is in force.", "/options/policy"
                )
            )
    if options.create_missing and not by.has_role(Role.COMP_ADMIN):
        found.append(
            Problem(
                "creating_needs_comp_admin",
                "Only a comp admin makes reps, accounts and offerings from a file.",
                "/options/create_missing",
            )
        )
    if options.eligibility_reason and not options.create_missing:
        found.append(
            Problem(
                "reason_without_creating",
                "A reason is for offerings that the import makes: ask for that too, or leave it out.",
                "/options/eligibility_reason",
            )
        )
    if options.cancel_gone and kind != ImportKind.DEALS:
        found.append(
            Problem(
                "only_deals_are_gone", "Only deals are cancelled when they are gone.", "/options/cancel_gone"
            )
        )
    return found


@jobs.carries_out(KIND)
def step(job: Job, at: datetime) -> bool:
    """Read the whole file, as a check or for good; or cancel or approve the next deals of it."""
    run = SalesImport.objects.select_for_update().get(pk=job.parameters["run"])
    by = _asked_by(job)
    check_only = job.parameters["phase"] == "check"
    if "read" not in job.cursor:
        progress = jobs.Progress(job)
        try:
            work(run, file=stored_file(run), by=by, at=at, dry_run=check_only, tell=progress.tell)
        finally:
            progress.close()
        job.cursor["read"] = True
        left = 0 if check_only or run.state != SalesImportState.IMPORTING else records.left_to_do(run)
        job.done, job.total = run.rows, run.rows + left
        jobs.count(job, run.counts)
        if left:
            return True
    else:
        job.done += records.do_some(run, by=by, at=at)
        if records.left_to_do(run):
            return True
    _finish(run, at)
    return False


def _asked_by(job: Job) -> User:
    """Who started this job: it acts in their name and with their rights, whoever has uploaded the file."""
    if job.requested_by is None:
        raise AssertionError("an import is started by somebody")
    return job.requested_by


def _finish(run: SalesImport, at: datetime) -> None:
    """Nothing is left to do with this file. Who asked for it is told, and who has deals of it to decide on."""
    if run.state == SalesImportState.IMPORTING:
        run.state = SalesImportState.DONE
        outbox.promise(
            topic="quotas.import_done", key=f"import-done:{run.pk}", payload={"run_id": run.pk}, at=at
        )
    run.finished_at = at
    run.save()


def work(
    run: SalesImport,
    *,
    file: BinaryIO,
    by: User,
    at: datetime,
    dry_run: bool,
    checked_by: User | None = None,
    tell: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Read the file and write what it says, or, on a dry run, roll that back. Sets the run's counts, report and state, and saves it."""
    run.problem = ""
    mapping = read_map(run.map_text)
    options = Options(**run.options)
    calendar = _calendar(mapping)
    context = Context(
        run=run,
        file=file,
        mapping=mapping,
        options=options,
        by=by,
        at=at,
        today=day_of(at),
        dry_run=dry_run,
        calendar=calendar,
        creator=Creator(
            by=by,
            at=at,
            since=_since(mapping, calendar, at),
            mapping=mapping,
            options=options,
            calendar=calendar,
            checked_by=checked_by,
            dry_run=dry_run,
            evidence=f"Import {run.reference} of {run.file_name}",
        ),
        tell=tell,
    )
    try:
        _still_may(run.kind, mapping, options, by)
        _read(context)
        context.write_report()
        _note(context)
    except Unreadable as unreadable:
        _nothing(run, unreadable.message)
    except (WrongMap, Refusal) as wrong:
        _nothing(run, " ".join(problem.message for problem in wrong.problems))
    finally:
        context.close()
    run.save()


def _still_may(kind: str, mapping: ImportMapping, options: Options, by: User) -> None:
    """Rights, policies and calendars may have gone since the job was asked for, and a check may have been another person's. Raises Refusal."""
    _must_import(by, kind)
    refuse_if_any(wrong_options(kind, mapping, options, by))


def _read(context: Context) -> None:
    one_at_a_time("quotas.import", context.mapping.source or context.run.kind)
    with transaction.atomic():
        acting(by=context.by, at=context.at, reason=f"Import of {context.run.file_name}"[:200])
        kinds.KINDS[context.run.kind](context)
        refused = context.counts[ImportOutcome.REFUSED]
        transaction.set_rollback(context.dry_run or bool(refused and context.options.all_or_nothing))


def _note(context: Context) -> None:
    """Keep what came of the reading with its run. Every row has one outcome."""
    run, refused = context.run, context.counts[ImportOutcome.REFUSED]
    if sum(context.counts.values()) != context.read:
        raise AssertionError(
            f"{context.read} rows were read, and {sum(context.counts.values())} have an outcome"
        )
    run.rows, run.counts, run.reasons = context.read, dict(context.counts), dict(context.reasons)
    run.preview = {
        "examples": context.examples,
        **context.credit,
        "created": {name: number for name, number in context.creator.counts.items() if number},
        "decisions": [] if context.dry_run else list(context.creator.decisions),
    }
    if context.dry_run:
        run.state = SalesImportState.CHECKED
        if not context.read:
            _nothing(run, "There is no row below the head of this file.")
    elif refused and context.options.all_or_nothing:
        _nothing(run, f"{refused:,} rows were refused, and all or none was asked for: nothing was imported.")
    else:
        run.state = SalesImportState.IMPORTING


def _nothing(run: SalesImport, why: str) -> None:
    run.state, run.problem = SalesImportState.REFUSED, why[:500]


def _calendar(mapping: ImportMapping) -> FiscalCalendar | None:
    calendars = FiscalCalendar.objects.order_by("pk")
    return (calendars.filter(prefix__iexact=mapping.calendar) if mapping.calendar else calendars).first()


def _since(mapping: ImportMapping, calendar: FiscalCalendar | None, at: datetime) -> date:
    """The day from which what the import makes is there: what the map says, else the first day of the calendar."""
    if mapping.create.get("since"):
        return date.fromisoformat(mapping.create["since"])
    first = Period.objects.filter(calendar=calendar, grain=Grain.YEAR).order_by("starts").first()
    return first.starts if first is not None else date(day_of(at).year - 1, 1, 1)


# --- from the command line ---------------------------------------------------------------------------------


def carry_out_file(
    *,
    kind: str,
    path: Path,
    map_text: str,
    options: Options,
    by: User,
    at: datetime,
    dry_run: bool = False,
    checked_by: User | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> SalesImport:
    """Import a file of any size from where it lies, here and now. The same steps as in the background; raises Forbidden, Invalid.

    checked_by  The second person behind decisions on offerings that the import makes.
    """
    _must_import(by, kind)
    mapping = checked_map(kind, map_text)
    refuse_if_any(wrong_options(kind, mapping, options, by))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        run = SalesImport.objects.create(
            kind=kind,
            file_name=path.name[-200:],
            bytes=path.stat().st_size,
            digest=digest,
            map_text=map_text,
            options=options.document(),
            state=SalesImportState.CHECKING if dry_run else SalesImportState.IMPORTING,
            requested_by=by,
            requested_at=at,
        )
        file.seek(0)
        try:
            with transaction.atomic():
                work(
                    run,
                    file=file,
                    by=by,
                    at=at,
                    dry_run=dry_run,
                    checked_by=checked_by,
                    tell=progress or (lambda _d, _t: None),
                )
            while run.state == SalesImportState.IMPORTING and records.left_to_do(run):
                with transaction.atomic():
                    records.do_some(run, by=by, at=at)
        except BaseException as failure:
            SalesImport.objects.filter(pk=run.pk).update(
                state=SalesImportState.FAILED,
                problem=f"{type(failure).__name__}: {failure}"[:500],
                finished_at=at,
            )
            raise
    with transaction.atomic():
        _finish(run, at)
    return run


# --- who may -----------------------------------------------------------------------------------------------


def _must_import(by: User, kind: str) -> None:
    if kind not in FIELDS:
        raise Invalid.of("unknown_kind", f"A file is about {', '.join(FIELDS)}.", "/kind")
    if not may_import(by, kind):
        raise Forbidden.of("may_not_import", "Comp admins import; managers import the deals of their teams.")


def _for_change(run_id: int, by: User) -> SalesImport:
    run = SalesImport.objects.select_for_update(of=["self"]).select_related("job").filter(pk=run_id).first()
    if run is None or not may_read(by, run):
        raise NotFound.of("unknown_import", "There is no such import.")
    _must_import(by, run.kind)
    under_way = run.state in UNDER_WAY and not (run.job is not None and run.job.finished)
    if under_way:
        raise Conflict.of("import_under_way", f"{run.reference} is under way: wait for it, or stop it first.")
    if run.state == SalesImportState.DONE:
        raise Conflict.of(
            "import_done", f"{run.reference} was imported already: upload the file again to import it again."
        )
    if not run.pieces.exists():
        raise Conflict.of(
            "file_not_kept", "This file was read from the command line and is not kept here: upload it."
        )
    return run


def forget_files(*, before: datetime) -> int:
    """Remove the content of files that were uploaded before; what became of their rows stays. Returns how many pieces went."""
    gone, _ = ImportPiece.objects.filter(run__requested_at__lt=before).delete()
    return gone

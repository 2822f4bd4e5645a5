"""The way of a change set: written, submitted, reviewed by a second person, applied together on its day or not at all.

draft -> submitted -> in review -> changes requested -> submitted ... -> scheduled -> applied; or rejected, or withdrawn.
Everybody who moves a set locks its row first, so that two who decide at once meet there and the second sees what was decided.
"""

import json
import logging
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Final

from django.db import IntegrityError, connection, transaction

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config.clock import day_of
from config.locks import one_at_a_time
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, Refusal, Stale
from marketplace.models import (
    ChangeItem,
    ChangeSet,
    ChangeSetState,
    Channel,
    Finding,
    PublisherMembership,
    Severity,
)
from marketplace.selectors.change_sets import acts_for, change_sets_for, reviewers
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.change_sets import holding
from marketplace.services.change_sets.applying import write_down
from marketplace.services.change_sets.desk import Item
from marketplace.services.change_sets.shapes import (
    LONGEST_BODY,
    MOST_ITEMS,
    SHAPES,
    CannotBeKept,
    Found,
    ItemDraft,
    entity_of,
    plain,
)
from marketplace.services.change_sets.validating import Checked, check
from marketplace.services.webhooks import owe_decision

log = logging.getLogger(__name__)

S = ChangeSetState
EDITABLE: Final = (S.DRAFT, S.CHANGES_REQUESTED)
UNDER_REVIEW: Final = (S.SUBMITTED, S.IN_REVIEW)
OPEN: Final = (*EDITABLE, *UNDER_REVIEW, S.SCHEDULED)
LONGEST_NOTE: Final = 1000
UNCHANGED: Final[Any] = object()
PAGE: Final = "/catalog/change-sets/{}/"


# --- before there is one


def validate(*, items: Sequence[ItemDraft], publisher_id: int | None, on: date) -> list[Found]:
    """A dry run: everything that is wrong, everything worth knowing, and what others hold. Nothing is kept. Never raises."""
    items, found = _keepable(items)
    checked = check(items, publisher_id=publisher_id, on=on)
    said = {(one.pointer, one.code) for one in found}
    found += [one for one in checked.found if (one.pointer, one.code) not in said]
    return [*found, *_held(checked, publisher_id=publisher_id, change_set_id=None)]


def _held(checked: Checked, *, publisher_id: int | None, change_set_id: int | None) -> list[Found]:
    """A warning at the first item on each entity that another set holds."""
    held = holding.others(_entities(checked), change_set_id=change_set_id)
    return [
        Found(
            f"/items/{_first(checked.items, hold.entity)}",
            "held",
            holding.words(hold, publisher_id=publisher_id, sees_all=publisher_id is None),
            Severity.WARNING,
        )
        for hold in held
    ]


def _first(items: Sequence[Item], entity: str) -> int:
    return next((i.number for i in items if entity_of(i.operation, i.body) == entity), 0)


def _entities(checked: Checked) -> list[str]:
    return holding.entities_of(checked.items, new_models={model.slug for model in checked.desk.new_models})


def _keepable(items: Sequence[ItemDraft]) -> tuple[list[ItemDraft], list[Found]]:
    """Items as JSON that can be kept, and what about them cannot be. One that cannot keeps its place, with an empty body."""
    found: list[Found] = []
    if len(items) > MOST_ITEMS:
        return [], [Found("/items", "too_many", f"A change set has at most {MOST_ITEMS:,} items.")]
    kept = []
    for number, item in enumerate(items):
        at = f"/items/{number}"
        body: Any = {}
        asked: Any = item.operation
        operation = asked if isinstance(asked, str) else ""
        if operation not in SHAPES:
            found.append(
                Found(f"{at}/operation", "unknown_operation", f"Operations are {', '.join(SHAPES)}.")
            )
        try:
            body = plain(item.body)
            if not isinstance(body, dict):
                found.append(Found(f"{at}/body", "invalid", "Write a JSON object."))
                body = {}
            elif len(json.dumps(body)) > LONGEST_BODY:
                found.append(
                    Found(f"{at}/body", "too_long", f"A body has at most {LONGEST_BODY:,} characters.")
                )
                body = {}
        except CannotBeKept as wrong:
            found.append(Found(f"{at}/body", "cannot_be_kept", str(wrong)))
        expected: Any = item.expected_revision
        if expected is not None and (
            isinstance(expected, bool) or not isinstance(expected, int) or not 0 < expected < 2**31
        ):
            found.append(Found(f"{at}/expected_revision", "invalid", "Write the number of a revision."))
            expected = None
        kept.append(ItemDraft(operation, body, expected))
    return kept, found


# --- written


@transaction.atomic
def draft_change_set(
    *,
    title: str,
    items: Sequence[ItemDraft],
    by: User,
    at: datetime,
    publisher_id: int | None = None,
    channel: str = Channel.BROWSER,
    note: str = "",
    source: str = "",
    apply_on: date | None = None,
) -> ChangeSet:
    """Keep a set that nobody reviews yet. What is wrong with the business of it is kept as findings beside it.

    publisher_id   Whose catalog it changes; of somebody who acts for a publisher it is always theirs.
    Raises         Forbidden, NotFound (unknown_publisher), Invalid (only what cannot be kept at all, all of it at once).
    """
    acting(by=by, at=at, reason=title)
    publisher_id = _whose(by, publisher_id)
    items, wrong = _keepable(items)
    _refuse(wrong, *_texts(title, note, source))
    made = ChangeSet.objects.create(
        publisher_id=publisher_id,
        title=title.strip(),
        note=note.strip(),
        channel=channel,
        source=source,
        apply_on=apply_on,
        made_by=by,
        made_at=at,
    )
    _keep(made, items)
    _find(made, items, at=at)
    return made


@transaction.atomic
def save_items(
    *,
    change_set_id: int,
    items: Sequence[ItemDraft],
    by: User,
    at: datetime,
    expected_revision: int | None = None,
    title: str | None = None,
    note: str | None = None,
    apply_on: date | None = UNCHANGED,
) -> ChangeSet:
    """Put *items* in the place of those of a draft, or of one to which changes are requested. Raises as draft_change_set, Stale, Conflict."""
    acting(by=by, at=at)
    change_set = _writable(change_set_id, by, expected_revision)
    items, wrong = _keepable(items)
    if title is not None:
        change_set.title = title.strip()
    if note is not None:
        change_set.note = note.strip()
    if apply_on is not UNCHANGED:
        change_set.apply_on = apply_on
    _refuse(wrong, *_texts(change_set.title, change_set.note, change_set.source))
    change_set.items.all().delete()
    _keep(change_set, items)
    _find(change_set, items, at=at)
    change_set.revision += 1
    change_set.save()
    return change_set


@transaction.atomic
def describe(
    *,
    change_set_id: int,
    by: User,
    at: datetime,
    title: str | None = None,
    note: str | None = None,
    apply_on: date | None = UNCHANGED,
    expected_revision: int | None = None,
) -> ChangeSet:
    """Another title, note or wished day; the items stay. Raises as save_items."""
    acting(by=by, at=at)
    change_set = _writable(change_set_id, by, expected_revision)
    if title is not None:
        change_set.title = title.strip()
    if note is not None:
        change_set.note = note.strip()
    if apply_on is not UNCHANGED:
        change_set.apply_on = apply_on
    _refuse([], *_texts(change_set.title, change_set.note, change_set.source))
    change_set.revision += 1
    change_set.save()
    return change_set


@transaction.atomic
def submit(*, change_set_id: int, by: User, at: datetime, expected_revision: int | None = None) -> ChangeSet:
    """Hand it in for review; it then holds what it changes.

    Raises   Forbidden, NotFound, Stale, Invalid (every error at its field), Conflict (held: who holds it; no_such_step).
    """
    acting(by=by, at=at)
    change_set = _writable(change_set_id, by, expected_revision)
    items = drafts_of(change_set)
    if not items:
        raise Invalid(Problem("no_items", "A change set changes something: add an item.", "/items"))
    checked = _check(change_set, items, at=at)
    _refuse(checked.errors)
    holding.take(change_set, _entities(checked), at=at, sees_all=sees_all(by))
    _write_findings(change_set, checked.found, at=at)
    change_set.findings.exclude(by=None).filter(resolved_at=None).update(resolved_at=at)
    change_set.state, change_set.submitted_at, change_set.problem = S.SUBMITTED, at, ""
    change_set.reviewed_by, change_set.reviewed_at = None, None
    _moved(change_set)
    who = f"{by.name} of {change_set.publisher.name}" if change_set.publisher is not None else by.name
    _notify(
        change_set,
        "submitted",
        reviewers(but=(by.pk, change_set.made_by_id)),
        f"{who} submitted {change_set.reference}: {change_set.title}",
        at,
    )
    return change_set


@transaction.atomic
def withdraw(
    *, change_set_id: int, by: User, at: datetime, expected_revision: int | None = None, note: str = ""
) -> ChangeSet:
    """Take it back, whether reviewed or not, as long as it is not applied. Raises Forbidden, NotFound, Stale, Conflict."""
    acting(by=by, at=at, reason=note)
    change_set = _locked(change_set_id, by, expected_revision)
    _must_write(change_set, by)
    _step(change_set, OPEN, "be withdrawn")
    change_set.state = S.WITHDRAWN
    holding.let_go(change_set)
    _moved(change_set)
    return change_set


# --- reviewed


@transaction.atomic
def take_up(*, change_set_id: int, by: User, at: datetime, expected_revision: int | None = None) -> ChangeSet:
    """Begin to review it; another reviewer may take over. Raises Forbidden, NotFound, Stale, Conflict (own_change_set, no_such_step)."""
    acting(by=by, at=at)
    change_set = _reviewable(change_set_id, by, expected_revision, UNDER_REVIEW, "be taken up")
    change_set.state, change_set.reviewed_by, change_set.reviewed_at = S.IN_REVIEW, by, at
    _moved(change_set)
    return change_set


@transaction.atomic
def request_changes(
    *,
    change_set_id: int,
    by: User,
    at: datetime,
    note: str,
    findings: Collection[Found] = (),
    expected_revision: int | None = None,
) -> ChangeSet:
    """Hand it back to be mended, with what to mend at which field. Raises as take_up, and Invalid (reason_missing)."""
    acting(by=by, at=at, reason=note)
    change_set = _reviewable(
        change_set_id, by, expected_revision, (*UNDER_REVIEW, S.SCHEDULED), "be handed back"
    )
    if not note.strip() and not findings:
        raise Invalid(Problem("reason_missing", "Say what has to change.", "/note"))
    _refuse([], *_texts(change_set.title, note, "", "/note"))
    change_set.state = S.CHANGES_REQUESTED
    _decided(change_set, by, at, note)
    Finding.objects.bulk_create(
        [
            Finding(
                change_set=change_set,
                pointer=found.pointer[:200],
                code=found.code[:60] or "reviewer",
                message=found.message[:500],
                severity=found.severity,
                by=by,
                at=at,
            )
            for found in findings
        ]
    )
    _moved(change_set)
    _tell_submitter(change_set, "Changes are requested in", at)
    return change_set


@transaction.atomic
def reject(
    *, change_set_id: int, by: User, at: datetime, note: str, expected_revision: int | None = None
) -> ChangeSet:
    """Turn it down for good, with a reason. Raises as request_changes."""
    acting(by=by, at=at, reason=note)
    change_set = _reviewable(
        change_set_id, by, expected_revision, (*UNDER_REVIEW, S.CHANGES_REQUESTED, S.SCHEDULED), "be rejected"
    )
    if not note.strip():
        raise Invalid(Problem("reason_missing", "Say why it is rejected.", "/note"))
    _refuse([], *_texts(change_set.title, note, "", "/note"))
    change_set.state = S.REJECTED
    holding.let_go(change_set)
    _decided(change_set, by, at, note)
    _moved(change_set)
    _tell_submitter(change_set, "Rejected:", at)
    return change_set


@transaction.atomic
def approve(
    *,
    change_set_id: int,
    by: User,
    at: datetime,
    note: str = "",
    apply_on: date | None = None,
    expected_revision: int | None = None,
) -> ChangeSet:
    """Let it happen: at once, or on *apply_on* (else on the day that was wished) if that lies ahead.

    Raises   Forbidden, NotFound, Stale, Conflict (own_change_set, no_such_step, overtaken),
             Invalid (what has gone wrong with it since it was submitted).
    """
    acting(by=by, at=at, reason=note)
    change_set = _reviewable(change_set_id, by, expected_revision, UNDER_REVIEW, "be approved")
    _refuse([], *_texts(change_set.title, note, "", "/note"))
    today = day_of(at)
    day = apply_on or change_set.apply_on
    _decided(change_set, by, at, note)
    if day is not None and day > today:
        change_set.apply_on = day
        checked = _check(change_set, drafts_of(change_set), at=at)
        _refuse(checked.errors)
        change_set.state = S.SCHEDULED
        _moved(change_set)
        _tell_submitter(change_set, f"Approved, to be applied on {day:%-d %b %Y}:", at)
        return change_set
    change_set.apply_on = day
    _apply(change_set, by=by, on=today, at=at)
    _tell_submitter(change_set, "Approved and applied:", at)
    return change_set


def apply_due(*, on: date, at: datetime) -> int:
    """Apply every scheduled set whose day has come, each in a transaction of its own, in the order of their days.

    One that no longer applies goes back with the reason; the others go on. Safe to run twice, and two at once. Returns how many were applied.
    """
    applied = 0
    due = ChangeSet.objects.filter(state=S.SCHEDULED, apply_on__lte=on).order_by("apply_on", "pk")
    for pk in list(due.values_list("pk", flat=True)):
        applied += _apply_one_due(pk, on=on, at=at)
    return applied


def _apply_one_due(pk: int, *, on: date, at: datetime) -> bool:
    try:
        with transaction.atomic():
            change_set = _due(pk, on)
            if change_set is None or change_set.reviewed_by is None:
                return False
            acting(by=change_set.reviewed_by, at=at, reason=f"{change_set.reference}, on its day")
            _apply(change_set, by=change_set.reviewed_by, on=on, at=at)
            _tell_submitter(change_set, "Applied:", at)
            return True
    except Refusal as refused:
        said = refused
    with transaction.atomic():
        change_set = _due(pk, on)
        if change_set is None:
            return False
        acting(by=None, at=at, reason="It no longer applied when its day came")
        change_set.state = S.CHANGES_REQUESTED
        change_set.problem = "It could not be applied on its day: " + " ".join(
            dict.fromkeys(problem.message for problem in said.problems)
        )
        change_set.problem = change_set.problem[:LONGEST_NOTE]
        _write_findings(change_set, [Found(p.pointer, p.code, p.message) for p in said.problems], at=at)
        _moved(change_set)
        _tell_submitter(change_set, "Could not be applied on its day:", at)
        reviewer = [change_set.reviewed_by_id] if change_set.reviewed_by_id else []
        _notify(
            change_set,
            "problem",
            reviewer,
            f"{change_set.reference} could not be applied on its day: {change_set.title}",
            at,
        )
        log.warning("%s could not be applied: %s", change_set.reference, change_set.problem)
    return False


def _due(pk: int, on: date) -> ChangeSet | None:
    """Locked, if it is still to be done and nobody else is at it."""
    return (
        ChangeSet.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("reviewed_by", "publisher")
        .filter(pk=pk, state=S.SCHEDULED, apply_on__lte=on)
        .first()
    )


def _apply(change_set: ChangeSet, *, by: User, on: date, at: datetime) -> None:
    """Raises Invalid (what is wrong with it by now), Conflict (overtaken). One set at a time: two that bring the same names
    in another order would wait for each other.
    """
    one_at_a_time("marketplace.apply_change_set")
    rows = list(change_set.items.order_by("position"))
    checked = check(
        [ItemDraft(row.operation, row.body, row.expected_revision) for row in rows],
        publisher_id=change_set.publisher_id,
        on=on,
        lock=True,
    )
    _refuse(checked.errors)
    try:
        with transaction.atomic():
            write_down(checked.desk, change_set, by=by, at=at)
    except IntegrityError as failure:
        # Somebody got in between on a way that holds nothing, such as a name that was given away at the same moment.
        log.warning("%s met a constraint: %s", change_set.reference, failure)
        raise Conflict(
            Problem("overtaken", "Something that it needs was changed at the same moment. Look at it again.")
        ) from failure
    _keep_what_was(rows, checked.items)
    holding.let_go(change_set)
    change_set.state, change_set.applied_at, change_set.problem = S.APPLIED, at, ""
    _moved(change_set)


def _keep_what_was(rows: Sequence[ChangeItem], items: Sequence[Item]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE marketplace_changeitem i SET before = x.before FROM unnest(%s::bigint[], %s::text[]) AS t (id, said),"
            " LATERAL (SELECT t.said::jsonb AS before) x WHERE i.id = t.id",
            [[row.pk for row in rows], [json.dumps(item.before) for item in items]],
        )


# --- what they share


def sees_all(by: User) -> bool:
    return by.has_role(Role.CATALOG_MANAGER, Role.AUDITOR)


def _whose(by: User, publisher_id: int | None) -> int | None:
    """Raises Forbidden for somebody who neither keeps the catalog nor acts for a publisher."""
    own = acts_for(by)
    if own is not None and not by.has_role(Role.CATALOG_MANAGER):
        if publisher_id not in (None, own):
            raise NotFound.of("unknown_publisher", "There is no such publisher.", "/publisher")
        return own
    if not by.has_role(Role.CATALOG_MANAGER):
        raise Forbidden.of(
            "not_a_publisher", "Only a publisher's people and catalog managers write change sets."
        )
    return publisher_id


def _locked(change_set_id: int, by: User, expected_revision: int | None) -> ChangeSet:
    change_set = (
        ChangeSet.objects.select_for_update(of=("self",))
        .filter(pk__in=change_sets_for(by).filter(pk=change_set_id).values("pk"))
        .select_related("publisher", "made_by")
        .first()
    )
    if change_set is None:
        raise NotFound.of("unknown_change_set", "There is no such change set.")
    if expected_revision is not None and change_set.revision != expected_revision:
        raise Stale(
            Problem(
                "stale",
                f"{change_set.reference} is at revision {change_set.revision} by now. Read it again, then decide.",
            )
        )
    return change_set


def may_write(change_set: ChangeSet, by: User) -> bool:
    """Its maker; of a publisher's own set everybody who acts for that publisher. 2 queries at most."""
    if change_set.made_by_id == by.pk:
        return by.has_role(Role.CATALOG_MANAGER) or acts_for(by) == change_set.publisher_id is not None
    own = acts_for(by)
    return (
        own is not None
        and own == change_set.publisher_id
        and PublisherMembership.objects.filter(user=change_set.made_by_id, publisher=own).exists()
    )


def may_review(change_set: ChangeSet, by: User) -> bool:
    """A catalog manager who has not made it and does not act for its publisher."""
    return (
        by.has_role(Role.CATALOG_MANAGER)
        and change_set.made_by_id != by.pk
        and (change_set.publisher_id is None or acts_for(by) != change_set.publisher_id)
    )


def _must_write(change_set: ChangeSet, by: User) -> None:
    if not may_write(change_set, by):
        raise Forbidden.of("not_yours", "Only those who made it may do that.")


def _writable(change_set_id: int, by: User, expected_revision: int | None) -> ChangeSet:
    change_set = _locked(change_set_id, by, expected_revision)
    _must_write(change_set, by)
    _step(change_set, EDITABLE, "be changed or submitted")
    return change_set


def _reviewable(
    change_set_id: int,
    by: User,
    expected_revision: int | None,
    states: Collection[str],
    what: str,
) -> ChangeSet:
    change_set = _locked(change_set_id, by, expected_revision)
    must_keep_the_catalog(by)
    if not may_review(change_set, by):
        raise Conflict(
            Problem("own_change_set", "A second person reviews a change set: somebody who is not behind it.")
        )
    _step(change_set, states, what)
    return change_set


def _step(change_set: ChangeSet, states: Collection[str], what: str) -> None:
    if change_set.state not in states:
        here = S(change_set.state).label.lower()
        raise Conflict(
            Problem("no_such_step", f"{change_set.reference} is {here}: it cannot {what}.", "/state")
        )


def _moved(change_set: ChangeSet) -> None:
    change_set.revision += 1
    change_set.save()


def _decided(change_set: ChangeSet, by: User, at: datetime, note: str) -> None:
    change_set.reviewed_by, change_set.reviewed_at, change_set.review_note = by, at, note.strip()


def _keep(change_set: ChangeSet, items: Sequence[ItemDraft]) -> None:
    ChangeItem.objects.bulk_create(
        [
            ChangeItem(
                change_set=change_set,
                position=position,
                operation=item.operation,
                entity=entity_of(item.operation, item.body),
                body=item.body,
                expected_revision=item.expected_revision,
            )
            for position, item in enumerate(items)
        ],
        batch_size=5000,
    )


def drafts_of(change_set: ChangeSet) -> list[ItemDraft]:
    """Its items as they were asked for. 1 query."""
    return [
        ItemDraft(item.operation, item.body, item.expected_revision)
        for item in change_set.items.order_by("position")
    ]


def _check(change_set: ChangeSet, items: Sequence[ItemDraft], *, at: datetime) -> Checked:
    today = day_of(at)
    on = max(today, change_set.apply_on) if change_set.apply_on is not None else today
    return check(items, publisher_id=change_set.publisher_id, on=on)


def _find(change_set: ChangeSet, items: Sequence[ItemDraft], *, at: datetime) -> None:
    checked = _check(change_set, items, at=at)
    held = _held(checked, publisher_id=change_set.publisher_id, change_set_id=change_set.pk)
    _write_findings(change_set, [*checked.found, *held], at=at)


def _write_findings(change_set: ChangeSet, found: Sequence[Found], *, at: datetime) -> None:
    """In the place of what validation found before; what reviewers said stays."""
    change_set.findings.filter(by=None).delete()
    Finding.objects.bulk_create(
        [
            Finding(
                change_set=change_set,
                pointer=one.pointer[:200],
                code=one.code[:60],
                message=one.message[:500],
                severity=one.severity,
                at=at,
            )
            for one in found
        ],
        batch_size=5000,
    )


def _texts(title: str, note: str, source: str, pointer: str = "") -> list[Found]:
    wrong = []
    if not title.strip():
        wrong.append(
            Found("/title", "required", "Give it a title, so that a reviewer knows what it is about.")
        )
    for name, text, most in (("title", title, 200), ("note", note, LONGEST_NOTE), ("source", source, 200)):
        if len(text) > most:
            wrong.append(Found(pointer or f"/{name}", "too_long", f"At most {most} characters."))
        if any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text):
            wrong.append(Found(f"/{name}", "cannot_be_kept", "A text has characters that cannot be kept."))
    return wrong


def _refuse(found: Collection[Found], *more: Found) -> None:
    wrong = [*more, *found]
    if wrong:
        raise Invalid(*(Problem(one.code, one.message, one.pointer) for one in wrong))


def _tell_submitter(change_set: ChangeSet, what: str, at: datetime) -> None:
    """After a decision: the person who made it, and the programs that listen."""
    _notify(
        change_set,
        "decided",
        [change_set.made_by_id],
        f"{what} {change_set.reference}, {change_set.title}",
        at,
    )
    owe_decision(
        change_set_id=change_set.pk,
        revision=change_set.revision,
        state=change_set.state,
        publisher_id=change_set.publisher_id,
        at=at,
    )


def _notify(change_set: ChangeSet, what: str, user_ids: Collection[int], text: str, at: datetime) -> None:
    key = f"change-set-{what}:{change_set.pk}:{change_set.revision}"
    promise(
        topic=NOTIFY,
        key=key,
        payload={
            "user_ids": sorted(user_ids),
            "key": key,
            "text": text if len(text) <= 300 else f"{text[:299]}\N{HORIZONTAL ELLIPSIS}",
            "url": PAGE.format(change_set.pk),
        },
        at=at,
    )

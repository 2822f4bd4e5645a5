"""Whether the ledger is as it was sealed, and what closes froze as the ledger says. Reads alone; see quotas/RULES.md 14.7."""

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import zip_longest
from typing import Any, Final

from django.conf import settings
from django.db import connection

from quotas.crediting import invariants, seals
from quotas.models import CloseState, CreditEntry, Period, PeriodClose, Seal, SealBlock
from quotas.selectors import snapshots

KEPT: Final = (CloseState.CLOSING, CloseState.CLOSED, CloseState.REOPENED)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked. wrong: the first things that do not hold, as sentences; none is good."""

    name: str
    wrong: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return not self.wrong


@dataclass
class Verdict:
    """What was found. first_entry: the id of the first entry that is not as it was sealed."""

    checks: list[Check] = field(default_factory=list)
    seals: int = 0
    entries: int = 0
    unsealed: int = 0
    digest: str = ""
    first_entry: int | None = None

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def wrong(self) -> list[str]:
        return [sentence for check in self.checks for sentence in check.wrong]


def verify(
    *,
    against: str = "",
    invariants_too: bool = True,
    rows: int = 1,
    of_closes: Sequence[tuple[str, Callable[[PeriodClose], str], str]] = (),
) -> Verdict:
    """Check the chain and the tags of every seal, every close, and the ledger's invariants.

    against    A digest that somebody kept: it has to be one of the seals'.
    rows       How many rows are told of an invariant that does not hold.
    of_closes  (name, what works the digest of a close out again, the close's own field), of parts above this one.
    One pass over the ledger for the chain, one for each close and for each invariant.
    """
    found = Verdict()
    found.checks.append(_chain(found))
    if against:
        found.checks.append(_against(against))
    closes = list(
        PeriodClose.objects.filter(state__in=KEPT, mark__isnull=False).select_related("period").order_by("pk")
    )
    found.checks.append(Check("a closed snapshot equals recomputation", list(_snapshots(closes))))
    for name, work_out, attribute in of_closes:
        found.checks.append(Check(name, list(_digests(closes, name, work_out, attribute))))
    if invariants_too:
        broken = invariants.broken(first=rows)
        found.checks += [
            Check(name, [_told(name, row) for row in broken.get(name, ())]) for name in invariants.INVARIANTS
        ]
    return found


def known_digest(given: str) -> Seal | None:
    """The seal of a digest that somebody kept, whole or from its first twelve digits on. 1 query."""
    asked = "".join(given.split()).lower()
    if len(asked) < 12 or not asked.isalnum():
        return None
    return (
        Seal.objects.filter(digest__startswith=asked)
        .select_related("close__period")
        .order_by("number")
        .first()
    )


# --- the chain --------------------------------------------------------------------------------------------


def _chain(found: Verdict) -> Check:
    name = "every seal holds, and every sealed entry is as it was"
    keys = {key.name: key for key in map(seals.Key.of, _secrets())}
    before: Seal | None = None
    for seal in Seal.objects.order_by("number").select_related("close__period"):
        wrong = _of_seal(found, seal, before, keys)
        if wrong:
            return Check(name, [wrong])
        before = seal
        found.seals += 1
        found.entries += seal.entries
        found.digest = seal.digest
    found.unsealed = _unsealed(before.mark_id if before else 0)
    return Check(name)


def _secrets() -> list[str]:
    return [key for key in (settings.LEDGER_SEAL_KEY, *settings.LEDGER_SEAL_KEYS_BEFORE) if key]


def _of_seal(found: Verdict, seal: Seal, before: Seal | None, keys: dict[str, seals.Key]) -> str:
    """What is wrong with a seal, as a sentence; nothing if it holds. 2 queries and a pass over its entries."""
    number = before.number + 1 if before else 1
    if seal.number != number:
        return f"Seal {number} is missing: the next one there is seal {seal.number}."
    key = keys.get(seal.key_name)
    if key is None:
        return (
            f"Seal {seal.number} was made with the key {seal.key_name}, which is not at hand: this is another LEDGER_SEAL_KEY."
            " Set the right one, or name it in LEDGER_SEAL_KEYS_BEFORE."
        )
    content = seal.content
    if seals.digest(key, content) != seal.digest:
        return f"Seal {seal.number} is not what was sealed: its content or its digest was changed."
    said = tuple(content[name] for name in ("number", "before", "mark", "entries", "made_at"))
    made_at = seal.made_at.astimezone(UTC).isoformat()
    if said != (seal.number, before.digest if before else "", seal.mark_id, seal.entries, made_at):
        return f"Seal {seal.number} is not what was sealed: its row says something else than its content."
    if wrong := _close_sealed(seal):
        return wrong
    ids, tags, wrong = _blocks(seal, key, before.content["chain"] if before else "")
    return wrong or _entries(found, seal, key, ids, tags, after=before.mark_id if before else 0)


def _close_sealed(seal: Seal) -> str:
    """Whether the close says what its seal says that it said."""
    told, close = seal.content["close"], seal.close
    if told is None and close is None:
        return ""
    if told is None or close is None or told["id"] != close.pk:
        return f"Seal {seal.number} is of another close than its row says."
    now = {
        "period": close.period.name,
        "version": close.version,
        "asked_by": close.asked_by_id,
        "approved_by": close.approved_by_id,
        "checklist": seals.digest_of_checklist(close.checklist),
        "mark": close.mark_id,
        "entries": close.entries,
        "totals": close.totals,
        "frozen": close.frozen_digest,
        "statements": close.statements_digest,
        "payments": close.payments_digest,
    }
    changed = [name for name, value in now.items() if told[name] != value]
    if changed:
        return f"The close {close} was changed after it was sealed: {', '.join(changed)}."
    return ""


def _blocks(seal: Seal, key: seals.Key, chain: str) -> tuple["array[int]", bytearray, str]:
    """The ids and tags of a seal's entries, if its blocks are as they were."""
    ids, tags, blocks = array("q"), bytearray(), 0
    changed = f"The blocks of seal {seal.number} are not what was sealed: block {{}} was changed."
    for block in SealBlock.objects.filter(seal=seal).order_by("position").iterator(chunk_size=64):
        blocks += 1
        own = bytes(block.tags)
        chain = seals.chained(key, chain, block.entries, own)
        if block.position != blocks or chain != block.chain or len(own) != seals.TAG * len(block.entries):
            return ids, tags, changed.format(blocks)
        ids.extend(block.entries)
        tags += own
    content = seal.content
    if (blocks, chain, len(ids)) != (content["blocks"], content["chain"], content["entries"]):
        return ids, tags, f"Blocks of seal {seal.number} are missing, or were added."
    return ids, tags, ""


def _entries(
    found: Verdict, seal: Seal, key: seals.Key, ids: "array[int]", tags: bytearray, *, after: int
) -> str:
    """The first entry that is not as it was sealed, as a sentence."""
    if seal.mark_id == after:
        return ""
    sealed = zip(ids, (bytes(tags[n : n + seals.TAG]) for n in range(0, len(tags), seals.TAG)), strict=True)
    stored = _tagged(key, after, seal.mark_id)
    for expected, there in zip_longest(sealed, stored):
        if expected == there:
            continue
        if expected is None:
            found.first_entry, how = there[0], "added"
        elif there is None or there[0] != expected[0]:
            added = there is not None and there[0] not in ids
            found.first_entry = there[0] if added else expected[0]
            how = "added" if added else "gone"
        else:
            found.first_entry, how = expected[0], "changed"
        deque(stored, maxlen=0)  # the connection is free again once all of it has been read
        return _said(found.first_entry, how, seal)
    return ""


def _tagged(key: seals.Key, after: int, upto: int) -> Iterator[tuple[int, bytes]]:
    with connection.cursor() as cursor, cursor.cursor.copy(seals.entries(after=after, upto=upto)) as lines:
        for block in seals.blocks(lines, key=key, before=""):
            for n, entry in enumerate(block.entries):
                yield entry, block.tags[n * seals.TAG : (n + 1) * seals.TAG]


def _said(entry: int, how: str, seal: Seal) -> str:
    when = f"seal {seal.number} of {seal.made_at:%Y-%m-%d %H:%M} UTC"
    if how == "added":
        return f"Entry {entry} was added to a posting that {when} covers."
    if how == "changed" or CreditEntry.objects.filter(pk=entry).exists():
        return f"Entry {entry} is not what it was: it was changed after {when}."
    return f"Entry {entry} is missing: it was there at {when}."


def _unsealed(after: int) -> int:
    """Postings that wait for the next seal. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM quotas_posting p LEFT JOIN quotas_markedposting k ON k.posting_id = p.id"
            " WHERE k.mark_id IS NULL OR k.mark_id > %s",
            [after],
        )
        ((number,),) = cursor.fetchall()
        return int(number)


# --- against what somebody kept, and what closes froze -----------------------------------------------------


def _against(given: str) -> Check:
    name = f"the digest {given} is one of the seals"
    if known_digest(given) is not None:
        return Check(name)
    return Check(
        name, ["No seal of this ledger has that digest: it is of another ledger, or a seal is gone."]
    )


def _snapshots(closes: Sequence[PeriodClose]) -> Iterator[str]:
    """One sentence a close at most, of the first total that differs."""
    for close in closes:
        if not close.frozen_digest:
            continue  # its freeze has not been through
        for different in snapshots.differing(close, limit=1):
            yield (
                f"What {close} froze is not what the ledger says: {different.measure}, rep {different.rep_id},"
                f" {different.period}: {different.frozen_direct} and {different.frozen_overlay} were frozen,"
                f" {different.direct} and {different.overlay} come out."
            )
        if snapshots.frozen_digest(close) != close.frozen_digest:
            yield f"The totals or quotas that {close} froze were changed: their digest is not {close.frozen_digest[:12]}…"


def _digests(
    closes: Sequence[PeriodClose], name: str, work_out: Callable[[PeriodClose], str], attribute: str
) -> Iterator[str]:
    for close in closes:
        kept = getattr(close, attribute)
        if kept and work_out(close) != kept:
            yield f"{name}: those of {close} are not what they were."


def _told(name: str, row: Sequence[Any]) -> str:
    return f"{name}: {', '.join(str(value) for value in row)}"


def newest_seal(period: Period | None = None) -> Seal | None:
    """The last seal, or the last of a period's closes. 1 query."""
    every = Seal.objects.order_by("-number").select_related("close__period")
    return (every.filter(close__period=period) if period else every).first()

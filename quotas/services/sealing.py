"""Sealing: what was posted since the last seal is chained with a key that the database does not have. See quotas/RULES.md 14.5 and 14.6."""

import hashlib
import tempfile
from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse

from accounts.audit import acting
from accounts.models import Role
from config import outbox
from config.language import marked
from config.locks import one_at_a_time
from config.mailing import promise_mail, say
from quotas.crediting import seals
from quotas.models import Grain, ParityProof, Period, PeriodClose, Seal
from quotas.selectors import statement_digests, verifying
from quotas.selectors.closing import people_with
from quotas.services import earning, marking

IN_MEMORY: Final = 64_000_000  # bytes of blocks, some four million entries; more wait in a file


@transaction.atomic
def seal(*, at: datetime, close: PeriodClose | None = None) -> Seal | None:
    """Seal every posting that is committed and not sealed yet; None where there is none and no close asks for a seal.

    close   The seal covers its digests too. Its own mark is enough: what was posted since waits for the night.
    """
    key = seals.Key.of(settings.LEDGER_SEAL_KEY)
    one_at_a_time("quotas.seals")
    acting(by=close.approved_by if close else None, at=at, reason="Sealed")
    before = Seal.objects.order_by("-number").first()
    mark = close.mark if close is not None and close.mark is not None else marking.mark(at=at)
    sealed = before.mark_id if before else 0
    upto = max(sealed, mark.pk)  # a nightly seal can have gone further than a close that took long
    if close is None and upto == sealed:
        return None
    number = before.number + 1 if before else 1
    content: dict[str, Any] = {
        "form": seals.FORM,
        "number": number,
        "before": before.digest if before else "",
        "mark": upto,
        "made_at": at.astimezone(UTC).isoformat(),
        "close": _of_close(close) if close else None,
    }
    chain = before.content["chain"] if before else ""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as kept:
        entries, blocks, chain = _chain(kept, key=key, after=sealed, upto=upto, chain=chain)
        content |= {"entries": entries, "blocks": blocks, "chain": chain}
        made = Seal.objects.create(
            number=number,
            close=close,
            mark_id=upto,
            made_at=at,
            entries=entries,
            content=content,
            digest=seals.digest(key, content),
            key_name=key.name,
        )
        _store(made, kept)
    return made


def seal_night(*, at: datetime) -> Seal | None:
    """The night's seal, once on the operator's day, from LEDGER_SEAL_HOUR on; a night that was missed is caught up with."""
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE))
    if local.hour < settings.LEDGER_SEAL_HOUR:
        return None
    begins = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if Seal.objects.filter(close=None, made_at__gte=begins, made_at__lte=at).exists():
        return None
    return seal(at=at)


def verify(*, against: str = "", invariants_too: bool = True, rows: int = 1) -> verifying.Verdict:
    """Everything that can be checked, statements and payments of closes included. Writes nothing; see verifying.verify."""
    return verifying.verify(
        against=against,
        invariants_too=invariants_too,
        rows=rows,
        of_closes=(
            ("statements are what was issued", statement_digests.digest_of, "statements_digest"),
            ("payments are what was posted", earning.digest_of, "payments_digest"),
        ),
    )


@transaction.atomic
def tell_of_a_break(found: verifying.Verdict, *, at: datetime) -> None:
    """Tell comp admins and auditors what does not hold: once for the same thing, however often it is checked."""
    people = people_with(Role.COMP_ADMIN, Role.AUDITOR)
    told = "\n".join(found.wrong)
    key = f"ledger-broken:{hashlib.sha256(told.encode()).hexdigest()[:24]}"
    if not people:
        return
    outbox.promise(
        topic="accounts.notify",
        key=f"notify:{key}",
        payload={
            "user_ids": people,
            "key": key,
            "text": f"The ledger does not hold: {found.wrong[0]}"[:300],
            "url": reverse("quotas:periods"),
        },
        at=at,
    )
    promise_mail(
        key=key, to=people, subject=say(marked("The ledger does not hold")), text=told[:20_000], at=at
    )


def _of_close(close: PeriodClose) -> dict[str, Any]:
    """What a close brings into its seal: what it froze, issued and paid, and the proofs of parity of its months. 2 queries."""
    period = Period.objects.select_related("calendar").get(pk=close.period_id)
    proofs = ParityProof.objects.filter(period=period).order_by("pk").values_list("pk", flat=True)
    return {
        "id": close.pk,
        "period": period.name,
        "calendar": period.calendar.slug,
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
        "parity": list(proofs) if period.grain == Grain.MONTH else [],
    }


def _chain(kept: IO[bytes], *, key: seals.Key, after: int, upto: int, chain: str) -> tuple[int, int, str]:
    """Read the entries once, in order, and keep their blocks as COPY wants them; how many entries and blocks, and the last chain."""
    entries = blocks = 0
    if upto == after:
        return entries, blocks, chain
    with connection.cursor() as cursor, cursor.cursor.copy(seals.entries(after=after, upto=upto)) as lines:
        for block in seals.blocks(lines, key=key, before=chain):
            blocks += 1
            entries += len(block.entries)
            chain = block.chain
            kept.write(_row(blocks, block.entries, block.tags, chain))
    return entries, blocks, chain


def _row(position: int, entries: "array[int]", tags: bytes, chain: str) -> bytes:
    return f"{position}\t{{{','.join(map(str, entries))}}}\t\\\\x{tags.hex()}\t{chain}\n".encode()


def _store(made: Seal, kept: IO[bytes]) -> None:
    """The blocks, in one COPY; the seal's number is put before each row."""
    kept.seek(0)
    rows: Iterable[bytes] = kept
    first = f"{made.pk}\t".encode()
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.cursor.copy(
            "COPY quotas_sealblock (seal_id, position, entries, tags, chain) FROM STDIN"
        ) as into,
    ):
        lines = (first + row for row in rows)
        while piece := b"".join(islice(lines, 16)):
            into.write(piece)

"""The seal's arithmetic: what an entry looks like when it is hashed, its tag, the chain over many, the digest over it all.

The canonical form is fixed. Another one gets another FORM, and seals of the old form stay to be checked by it.
See quotas/RULES.md 14.5.
"""

import hashlib
import hmac
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

FORM: Final = 1
BLOCK: Final = 1_000  # entries a block
TAG: Final = 8  # bytes

# An entry's line: ids, amounts, days and kinds as whole numbers in this order, tabs between, \N for nothing. No names.
# A day is counted from 2000-01-01, a moment in microseconds from 1970.
_LINE: Final = sql.SQL(
    """
    e.id, e.posting_id, (extract(epoch FROM p.recorded_at) * 1000000)::bigint, e.posting_period_id, e.origin_period_id,
    e.credit_date - date '2000-01-01', e.deal_id, e.deal_version_id, e.line_no, e.rep_id, e.team_id, e.receiver_class,
    e.measure_id, e.component, e.rule_id, e.rule_version_id, e.plan_version_id, e.decision_id, e.fx_rate_id,
    e.amount_minor, e.reverses_id, e.adjustment_id
    """
)
_ENTRIES: Final = sql.SQL(
    """
    COPY (SELECT {line} FROM quotas_markedposting k JOIN quotas_posting p ON p.id = k.posting_id
            JOIN quotas_creditentry e ON e.posting_id = k.posting_id
           WHERE k.mark_id > {after} AND k.mark_id <= {upto} ORDER BY k.mark_id, e.posting_id, e.id) TO STDOUT
    """
)


def entries(*, after: int, upto: int) -> sql.Composed:
    """COPY of the lines of every entry that was first known to a mark in (after, upto], in the order of the chain."""
    return _ENTRIES.format(line=_LINE, after=sql.Literal(after), upto=sql.Literal(upto))


_SOME: Final = sql.SQL(
    """
    COPY (SELECT {line} FROM quotas_creditentry e JOIN quotas_posting p ON p.id = e.posting_id
           WHERE e.posting_period_id = ANY({months}) AND e.id = ANY({ids}) ORDER BY e.id) TO STDOUT
    """
)


def some_entries(*, ids: Iterable[int], months: Iterable[int]) -> sql.Composed:
    """COPY of the lines of some entries of some months, by id: what their tags are made of."""
    return _SOME.format(line=_LINE, ids=sql.Literal(list(ids)), months=sql.Literal(list(months)))


def tag(line: bytes, key: "Key") -> bytes:
    """The tag of one line as COPY gives it."""
    return hashlib.blake2b(line, digest_size=TAG, key=key.of_tags).digest()


@dataclass(frozen=True, slots=True)
class Key:
    """What is made of one secret; the secret itself is not kept.

    name  The first digits of a hash, to know it by.
    """

    name: str
    of_tags: bytes
    of_chain: bytes
    of_seals: bytes

    @classmethod
    def of(cls, secret: str) -> "Key":
        if not secret:
            raise ValueError("There is no key to seal with: set LEDGER_SEAL_KEY.")
        derived = [
            hmac.new(secret.encode(), f"parity {what} {FORM}".encode(), hashlib.sha256).digest()
            for what in ("name", "tags", "chain", "seals")
        ]
        return cls(derived[0].hex()[:16], *derived[1:])


@dataclass(frozen=True, slots=True)
class Block:
    """Up to BLOCK entries in the order of the chain. tags: TAG bytes each. chain covers everything up to here."""

    entries: "array[int]"
    tags: bytes
    chain: str


def blocks(lines: Iterable[bytes | bytearray | memoryview], *, key: Key, before: str) -> Iterator[Block]:
    """The chain over lines as COPY gives them.

    before  The chain of what came before, hexadecimal; empty at the very beginning.
    """
    ids, tags = array("q"), bytearray()
    secret, blake = key.of_tags, hashlib.blake2b
    for line in lines:
        text = bytes(line)
        ids.append(int(text[: text.index(b"\t")]))
        tags += blake(text, digest_size=TAG, key=secret).digest()
        if len(ids) == BLOCK:
            before = chained(key, before, ids, bytes(tags))
            yield Block(ids, bytes(tags), before)
            ids, tags = array("q"), bytearray()
    if ids:
        yield Block(ids, bytes(tags), chained(key, before, ids, bytes(tags)))


def chained(key: Key, before: str, ids: Iterable[int], tags: bytes) -> str:
    """The chain after a block, hexadecimal."""
    hashed = hashlib.blake2b(key=key.of_chain, digest_size=32)
    hashed.update(bytes.fromhex(before))
    hashed.update(" ".join(map(str, ids)).encode())
    hashed.update(b"\n" + tags)
    return hashed.hexdigest()


def canonical(content: Mapping[str, Any]) -> bytes:
    """A seal's content as it is hashed: JSON with sorted names and nothing between."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest_of_checklist(items: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of what was checked and acknowledged before a close; who did is in it by id, so that a name can be erased."""
    nameless = [{name: item[name] for name in item if name != "acknowledged_by"} for item in items]
    return hashlib.sha256(canonical({"items": nameless})).hexdigest()


def digest(key: Key, content: Mapping[str, Any]) -> str:
    """HMAC-SHA-256, hexadecimal."""
    return hmac.new(key.of_seals, canonical(content), hashlib.sha256).hexdigest()

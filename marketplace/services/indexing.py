"""Keeps the index that search, filters, counts and orders read. Whoever changes what it is made of calls reindex() in the same transaction."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from django.db import connection, transaction

from config.locks import one_at_a_time
from marketplace.models.search import BITS
from marketplace.selectors.words import run_together, trigrams, words

SOURCE: Final = (Path(__file__).parent / "sql" / "index_source.sql").read_text()
AT_ONCE: Final = 2_000  # offerings whose texts are in memory together
SHORTEST_TO_CORRECT: Final = 3

LOCK: Final = """
WITH added AS (
  INSERT INTO marketplace_offeringindex (offering_id, called, terms, bits, input_from, input_usd)
  SELECT id, '', '{}', '{}', '{}', '{}' FROM marketplace_offering
  WHERE (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s::bigint[]))
    AND NOT EXISTS (SELECT FROM marketplace_offeringindex i WHERE i.offering_id = marketplace_offering.id)
  ORDER BY id ON CONFLICT DO NOTHING
)
SELECT offering_id FROM marketplace_offeringindex
WHERE %(ids)s::bigint[] IS NULL OR offering_id = ANY(%(ids)s::bigint[])
ORDER BY offering_id FOR UPDATE
"""
TERMS: Final = """
WITH added AS (
  INSERT INTO marketplace_facetterm (number, term)
  SELECT (SELECT coalesce(max(number), -1) FROM marketplace_facetterm) + row_number() OVER (ORDER BY term), term
  FROM unnest(%(terms)s::text[]) AS t (term)
  WHERE NOT EXISTS (SELECT FROM marketplace_facetterm f WHERE f.term = t.term)
  RETURNING term, number
)
SELECT term, number FROM added
UNION ALL SELECT term, number FROM marketplace_facetterm WHERE term = ANY(%(terms)s::text[])
"""
WRITE: Final = """
UPDATE marketplace_offeringindex i
SET document = x.document::tsvector, called = x.called, terms = x.terms::text[], bits = x.bits::bigint[],
    context = x.context, released_on = x.released_on,
    input_from = x.input_from::date[], input_usd = x.input_usd::numeric[]
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::date[], %s::text[], %s::text[])
  AS x (id, document, called, terms, bits, context, released_on, input_from, input_usd)
WHERE i.offering_id = x.id
"""
WORDS: Final = """
INSERT INTO marketplace_searchword (word, grams)
SELECT word, grams::text[] FROM unnest(%s::text[], %s::text[]) AS x (word, grams)
WHERE NOT EXISTS (SELECT FROM marketplace_searchword w WHERE w.word = x.word)
ON CONFLICT DO NOTHING
"""


@transaction.atomic
def reindex(offering_ids: Collection[int] | None = None) -> int:
    """Make the index of these offerings, or of all, say what the catalog says now. Returns how many that were.

    5 statements for up to 2,000 offerings. The lines are locked before the catalog is read, so that of two who change
    the same offering the later one reads what the earlier one wrote.
    """
    if offering_ids is not None and not offering_ids:
        return 0
    ids = sorted(set(offering_ids)) if offering_ids is not None else None
    with connection.cursor() as cursor:
        cursor.execute(LOCK, {"ids": ids})
        every = [pk for (pk,) in cursor.fetchall()]
        if ids is None:  # those that have just been added are not seen by the statement that added them
            cursor.execute("SELECT offering_id FROM marketplace_offeringindex ORDER BY offering_id")
            every = [pk for (pk,) in cursor.fetchall()]
        else:
            every = ids
        for start in range(0, len(every), AT_ONCE):
            cursor.execute(SOURCE, {"ids": every[start : start + AT_ONCE]})
            _write(cursor, cursor.fetchall())
    return len(every)


def offerings_of_versions(model_version_ids: Collection[int]) -> list[int]:
    """Whose index changes with these model versions. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM marketplace_offering WHERE model_version_id = ANY(%s)", [list(model_version_ids)]
        )
        return [pk for (pk,) in cursor.fetchall()]


def _write(cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    numbers = _numbers(cursor, {term for row in rows for term in row[6]})
    columns: list[list[Any]] = [[] for _ in range(9)]
    known: set[str] = set()
    for pk, name, slug, aliases, names_near, texts, terms, context, released_on, days, usd in rows:
        named = [words(each) for each in (name, slug, *aliases)]
        near = words(names_near)
        known.update(word for parts in (*named, near) for word in parts)
        line = (
            pk,
            _document(named, near, words(texts)),
            "".join(named[0])[:120],
            _array(_quoted(term) for term in sorted(terms)),
            _array(_bits(numbers[term] for term in terms)),
            context,
            released_on,
            _array(days),
            _array(usd),
        )
        for column, value in zip(columns, line, strict=True):
            column.append(value)
    cursor.execute(WRITE, columns)
    correctable = sorted(w for w in known if len(w) >= SHORTEST_TO_CORRECT and not w.isdigit())
    cursor.execute(WORDS, [correctable, [_array(_quoted(gram) for gram in trigrams(w)) for w in correctable]])


def _document(named: Sequence[list[str]], near: Iterable[str], far: Iterable[str]) -> str:
    """A tsvector as text: each word once, with the best weight it has."""
    weights = dict.fromkeys(far, "C") | dict.fromkeys(near, "B")
    for parts in named:
        weights |= dict.fromkeys(parts, "A") | dict.fromkeys(run_together(parts), "A")
    return " ".join(f"'{word}':1{weight}" for word, weight in sorted(weights.items()))


def _numbers(cursor: Any, terms: Collection[str]) -> dict[str, int]:
    """The number of each term; new ones get the next."""
    cursor.execute(
        "SELECT term, number FROM marketplace_facetterm WHERE term = ANY(%s::text[])", [list(terms)]
    )
    found = dict(cursor.fetchall())
    if len(found) < len(terms):
        one_at_a_time("marketplace.facet_term")
        cursor.execute(TERMS, {"terms": list(terms)})
        found = dict(cursor.fetchall())
    return found


def _bits(numbers: Iterable[int]) -> list[int]:
    """Bit n of the list, BITS in each element."""
    parts: list[int] = []
    for number in numbers:
        place, bit = divmod(number, BITS)
        parts += [0] * (place + 1 - len(parts))
        parts[place] |= 1 << bit
    return parts


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _array(values: Iterable[Any]) -> str:
    """PostgreSQL's text of an array of one dimension: unnest of arrays of arrays would flatten them."""
    return "{" + ",".join("NULL" if v is None else str(v) for v in values) + "}"

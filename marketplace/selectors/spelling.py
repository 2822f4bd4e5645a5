"""What somebody meant whose words find nothing: a misspelt word is read as the nearest word that some name has.

A reading is only offered when it finds something among the offerings given, so nobody learns of a name through it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final

from django.db import connection
from django.db.models import Count, Q, QuerySet

from marketplace.models import Offering
from marketplace.selectors.search import Criteria, beginning, find
from marketplace.selectors.words import trigrams

NEAR: Final = 8  # known words that share most with a misspelt one
TRIED_A_WORD: Final = 3
MOST_READINGS: Final = 9
SHORTEST: Final = 3

# One row per word that begins no known word, and known word near it. The index on trigrams leaves those that share one.
NEAREST: Final = """
SELECT q.word, near.word
FROM unnest(%(words)s::text[], %(grams)s::text[]) AS q (word, grams)
CROSS JOIN LATERAL (
  SELECT w.word, s.shared::numeric / (cardinality(w.grams) + cardinality(q.grams::text[]) - s.shared) AS alike
  FROM marketplace_searchword w
  CROSS JOIN LATERAL (SELECT count(*) AS shared FROM unnest(w.grams) g WHERE g = ANY(q.grams::text[])) s
  WHERE w.grams && q.grams::varchar[]
  ORDER BY alike DESC, w.word
  LIMIT %(near)s
) near
WHERE NOT EXISTS (SELECT FROM marketplace_searchword w WHERE w.word LIKE q.word || '%%')
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Another way to read a search: its words, and how many offerings it finds."""

    search: str
    found: int


def read_as(offerings: QuerySet[Offering], criteria: Criteria) -> tuple[Criteria, str]:
    """The criteria to search by, and what the search was read as; empty where it is taken as it is written.

    1 query where that finds something (or nothing is searched for), else 3.
    """
    looked_for = criteria.words
    alone = replace(Criteria(criteria.on), search=criteria.search)
    if not looked_for or find(offerings, alone).exists():
        return criteria, ""
    near = _near(looked_for)
    if not near:
        return criteria, ""
    readings = list(islice(product(*([near.get(w, [w]) for w in looked_for])), MOST_READINGS))
    best = next((r for r in _counted(offerings, readings) if r.found), None)
    return (replace(criteria, search=best.search), best.search) if best else (criteria, "")


def with_a_word_less(offerings: QuerySet[Offering], criteria: Criteria) -> list[Reading]:
    """What the search finds without one of its words, most first, three at most. 1 query."""
    looked_for = criteria.words
    if len(looked_for) < 2:
        return []
    shorter = [[w for n, w in enumerate(looked_for) if n != left_out] for left_out in range(len(looked_for))]
    found = {r.search: r for r in _counted(offerings, shorter) if r.found}
    return sorted(found.values(), key=lambda r: -r.found)[:3]


def _counted(offerings: QuerySet[Offering], readings: Sequence[Sequence[str]]) -> list[Reading]:
    counted = offerings.order_by().aggregate(
        **{
            f"n{place}": Count("pk", filter=Q(index__document=beginning(list(reading))))
            for place, reading in enumerate(readings)
        }
    )
    return [Reading(" ".join(reading), counted[f"n{place}"]) for place, reading in enumerate(readings)]


def _near(looked_for: Sequence[str]) -> dict[str, list[str]]:
    """Of each word that begins no known one, the known words that it may stand for, nearest first. 1 query."""
    doubtful = sorted({w for w in looked_for if len(w) >= SHORTEST and not w.isdigit()})
    if not doubtful:
        return {}
    grams = ["{" + ",".join(f'"{gram}"' for gram in trigrams(w)) + "}" for w in doubtful]
    with connection.cursor() as cursor:
        cursor.execute(NEAREST, {"words": doubtful, "grams": grams, "near": NEAR})
        found: dict[str, list[tuple[int, int, str]]] = {}
        for typed, known in cursor.fetchall():
            begun, whole = distance(typed, known)
            if begun <= allowed(typed):
                found.setdefault(typed, []).append((begun, whole, known))
    return {typed: [known for *_far, known in sorted(near)[:TRIED_A_WORD]] for typed, near in found.items()}


def allowed(word: str) -> int:
    """How many slips a word of this length may have."""
    return 1 if len(word) <= 4 else 2 if len(word) <= 9 else 3


def distance(typed: str, known: str) -> tuple[int, int]:
    """Slips that turn *typed* into the beginning of *known* that is nearest, and into all of it: letters added, lost, changed, swapped."""
    before: list[int] = []
    above = list(range(len(known) + 1))
    for i, letter in enumerate(typed, start=1):
        row = [i]
        for j, other in enumerate(known, start=1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == known[j - 2] and typed[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return min(above), above[-1]

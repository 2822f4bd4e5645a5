"""Counts under the same filters. A value's count is the length of the list if it alone were chosen in its dimension.

Every offering that meets the search and the bounds is read once, and folded at once into the sorts that there are. A sort
gets a bit for each dimension whose choice it does not meet; it counts for the values of a dimension while no other
dimension's bit is set: so one pass serves them all.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import CharField, F, QuerySet
from django.db.models.functions import Cast
from psycopg import sql

from marketplace.models import CommercialPath, FacetTerm, Offering, Program, Publisher
from marketplace.models.search import BITS
from marketplace.selectors.search import DIMENSIONS, LABELS, Criteria, find, stage_on, value_labels

BIT: Final[Mapping[str, int]] = {name: 1 << place for place, name in enumerate(DIMENSIONS)}
PROGRAMS: Final = tuple(p.value for p in Program)

# A row per set of unmet choices (none, or one dimension's), and within it one for each publisher, path and stage and one
# for everything with the counts of all terms and programs. One pass over the offerings, which are folded at once into
# the few hundred sorts that they are of, and only those are looked at any closer: 10,000 take some 12 ms.
COUNTED: Final = sql.SQL("""
WITH scopes AS MATERIALIZED (
  SELECT level, commercial_path, publisher_id, offering_id, bit_or(b.bit) AS decided,
         bit_or(CASE WHEN rate_ppm > 0 THEN b.bit ELSE 0 END) AS counted
  FROM marketplace_eligibilitydecision
  CROSS JOIN LATERAL (SELECT 1 << array_position({programs}::text[], program::text) AS bit) b
  WHERE checked_at IS NOT NULL AND superseded_at IS NULL AND effective @> {on}::date AND level < 4
  GROUP BY level, commercial_path, publisher_id, offering_id
),
usual AS MATERIALIZED ( -- what holds for a publisher's offerings on a path: the more specific scope has the say
  SELECT x.id AS publisher_id, x.slug, x.origin, c.path,
         coalesce(p.counted, 0) | (coalesce(d.counted, 0) & ~coalesce(p.decided, 0)) AS counted
  FROM marketplace_publisher x
  CROSS JOIN unnest({paths}::text[]) AS c (path)
  LEFT JOIN scopes p ON p.level = 2 AND p.publisher_id = x.id
  LEFT JOIN scopes d ON d.level = 1 AND d.commercial_path = c.path
),
sorts AS (
  SELECT m.publisher_id, m.commercial_path, m.stage, {parts}, o.decided, o.counted, count(*) AS n
  FROM ({met}) m
  LEFT JOIN scopes o ON o.level = 3 AND o.offering_id = m.id
  GROUP BY m.publisher_id, m.commercial_path, m.stage, {parts}, o.decided, o.counted
),
treated AS MATERIALIZED (
  SELECT s.*, u.slug, u.origin, coalesce(s.counted, 0) | (u.counted & ~coalesce(s.decided, 0)) AS programs
  FROM sorts s JOIN usual u ON u.publisher_id = s.publisher_id AND u.path = s.commercial_path
),
compared AS MATERIALIZED (
  SELECT {unmet} AS unmet, treated.* FROM treated
)
SELECT unmet, 'bits', NULL, sum(n)::bigint, ARRAY[{counts}]::bigint[]
FROM compared WHERE unmet = ANY({at_most_one}::int[]) GROUP BY unmet
UNION ALL
SELECT unmet, CASE GROUPING(publisher_id, commercial_path, stage) WHEN 3 THEN 'publisher' WHEN 5 THEN 'path' ELSE 'lifecycle' END,
       coalesce(publisher_id::text, commercial_path, stage), sum(n)::bigint, NULL
FROM compared WHERE unmet = ANY({at_most_one}::int[])
GROUP BY GROUPING SETS ((unmet, publisher_id), (unmet, commercial_path), (unmet, stage))
""")
# The dimensions that stand in a column of a sort; the others are bits of it. Each means what DIMENSIONS means by it.
COLUMNS: Final[Mapping[str, sql.SQL]] = {
    "publisher": sql.SQL("slug"),
    "origin": sql.SQL("origin"),
    "path": sql.SQL("commercial_path"),
    "lifecycle": sql.SQL("stage"),
}


@dataclass(frozen=True, slots=True)
class FacetValue:
    value: str
    label: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """One dimension, with every value that some offering has, and every chosen one."""

    name: str
    label: str
    values: list[FacetValue]

    @property
    def chosen(self) -> int:
        return sum(value.chosen for value in self.values)


@dataclass(frozen=True, slots=True)
class Counted:
    """total: how many meet all of it. without: how many would, if nothing were chosen in a dimension that has a choice."""

    total: int
    facets: list[Facet]
    without: Mapping[str, int]


def facets(offerings: QuerySet[Offering], criteria: Criteria) -> list[Facet]:
    """All dimensions in the order of LABELS. 4 queries, whatever the number of offerings; 1 more for a chosen publisher that nothing is left of."""
    return counted(offerings, criteria).facets


def counted(offerings: QuerySet[Offering], criteria: Criteria) -> Counted:
    """The total and all dimensions in the order of LABELS. 4 queries, whatever the number of offerings; 1 more for a chosen publisher that nothing is left of."""
    terms = list(FacetTerm.objects.order_by("number").values_list("number", "term"))
    rows = _rows(offerings, criteria, terms)
    seen = {key for _unmet, kind, key, *_counts in rows if kind == "publisher"}
    publishers = {
        str(pk): (slug, name, origin)
        for pk, slug, name, origin in Publisher.objects.order_by("name").values_list(
            "pk", "slug", "name", "origin"
        )
    }
    # Nobody learns a publisher's name by choosing one of whom nothing may be seen.
    known = {slug: name for pk, (slug, name, _origin) in publishers.items() if pk in seen}
    if missing := set(criteria.chosen.get("publisher", ())) - known.keys():
        hidden = Publisher.objects.filter(slug__in=missing, pk__in=offerings.order_by().values("publisher"))
        known |= dict(hidden.values_list("slug", "name"))
    labels: Mapping[str, Mapping[str, str]] = {**value_labels(), "publisher": known}
    totals: Counter[int] = Counter()
    numbers: dict[str, Counter[str]] = {name: Counter() for name in DIMENSIONS}

    def note(unmet: int, dimension: str, value: str, n: int) -> None:
        if unmet in (0, BIT[dimension]):
            numbers[dimension][value] += n

    for unmet, kind, key, n, each in rows:
        if kind == "bits":
            totals[unmet] = n
            for (_number, term), times in zip(terms, each, strict=False):
                dimension, _colon, value = term.partition(":")
                note(unmet, dimension, value, times or 0)
            for program, times in zip(PROGRAMS, each[len(terms) :], strict=True):
                note(unmet, "eligible", program, times or 0)
        elif kind == "publisher":
            slug, _name, origin = publishers[key]
            note(unmet, "publisher", slug, n)
            note(unmet, "origin", origin, n)
        else:
            note(unmet, kind, key, n)
    return Counted(
        total=totals[0],
        facets=[_facet(name, labels[name], numbers[name], criteria.chosen.get(name, ())) for name in LABELS],
        without={name: totals[0] + totals[BIT[name]] for name, values in criteria.chosen.items() if values},
    )


def _facet(name: str, known: Mapping[str, str], counts: Counter[str], chosen: Iterable[str]) -> Facet:
    chosen = tuple(chosen)
    there = {value for value, n in counts.items() if n}
    values = [v for v in known if v in there or v in chosen]
    values += sorted((there | set(chosen)) - known.keys())
    return Facet(name, LABELS[name], [FacetValue(v, known.get(v, v), counts[v], v in chosen) for v in values])


def _rows(
    offerings: QuerySet[Offering], criteria: Criteria, terms: Sequence[tuple[int, str]]
) -> list[tuple[Any, ...]]:
    numbers = {term: number for number, term in terms}
    parts = max(numbers.values(), default=0) // BITS + 1
    met = (
        find(offerings, criteria.without_choices())
        .order_by()
        .annotate(
            stage=Cast(stage_on(criteria.on), CharField()),
            **{_part(place): F(f"index__bits__{place}") for place in range(parts)},
        )
        .values("id", "publisher_id", "commercial_path", "stage", *map(_part, range(parts)))
    )
    try:
        text, parameters = met.query.sql_with_params()
    except EmptyResultSet:  # nothing can meet it
        return []
    unmet = [
        sql.SQL("CASE WHEN {} THEN 0 ELSE {} END").format(_meets(name, values, numbers), BIT[name])
        for name, values in criteria.chosen.items()
        if values
    ]
    bits = [_some_bit(_part(number // BITS), 1 << number % BITS) for number, _term in terms]
    bits += [_some_bit("programs", 1 << place) for place in range(1, len(PROGRAMS) + 1)]
    statement = COUNTED.format(
        met=sql.SQL(text),  # Django's own, its values apart
        programs=list(PROGRAMS),
        paths=list(CommercialPath.values),
        on=criteria.on,
        parts=sql.SQL(", ".join(map(_part, range(parts)))),
        unmet=sql.SQL(" + ").join(unmet) if unmet else sql.SQL("0"),
        at_most_one=[0, *BIT.values()],
        counts=sql.SQL(", ".join(f"sum(n) FILTER (WHERE {bit})" for bit in bits)),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _meets(name: str, values: Collection[str], numbers: Mapping[str, int]) -> sql.Composable:
    """Whether a sort meets the choice of *values* in a dimension."""
    if column := COLUMNS.get(name):
        return sql.SQL("{} = ANY({}::text[])").format(column, list(values))
    if name == "eligible":
        return sql.SQL(
            _some_bit("programs", sum(1 << place for place, p in enumerate(PROGRAMS, 1) if p in values))
        )
    masks: Counter[int] = Counter()
    for value in values:
        if (number := numbers.get(f"{name}:{value}")) is not None:  # else no offering has it
            masks[number // BITS] |= 1 << number % BITS
    bits = " OR ".join(_some_bit(_part(place), mask) for place, mask in masks.items())
    return sql.SQL(f"({bits})" if bits else "false")


def _some_bit(column: str, mask: int) -> str:
    """Of names and numbers of our own alone."""
    return f"({column} & {mask}) <> 0"


def _part(place: int) -> str:
    return f"bits_{place}"

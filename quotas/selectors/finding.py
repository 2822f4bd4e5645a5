"""What somebody types to find a deal: parts of names and titles, an external id, a number. By index, however many deals there are.

Each word is looked up first among what deals are of: customers, owners, offerings, titles. What it means there goes into the
search as ids, by which deals have indexes. A word that names more than MOST of something ("inc") goes in as a condition
instead: nearly every deal meets it, so a page of them is found at once, and how many there are in all is not counted.

The indexes are those of name_grams, a function in the database: trigrams, as no extension may be relied on.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any, Final, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import connection, transaction
from django.db.models import (
    BigIntegerField,
    BooleanField,
    Case,
    F,
    Func,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)

from marketplace.models import Customer
from marketplace.selectors.spelling import allowed, distance
from marketplace.selectors.words import trigrams, words
from quotas.models import DealLine, DealVersion, Rep

MOST_WORDS: Final = 6
MOST: Final = 2_000  # of one kind that a word is read as by ids
NEAR: Final = 1_000  # names of each kind among which a misspelt word is looked for
TRIED_A_WORD: Final = 3
MOST_READINGS: Final = 6
SHORTEST_TO_CORRECT: Final = 4
M = TypeVar("M", bound=Model)

_PLANNED: Final = (
    "SELECT set_config('enable_seqscan', %s, true), set_config('enable_indexscan', %s, true),"
    " set_config('enable_indexonlyscan', %s, true)"
)
_SAME_ID: Final = f"(SELECT id FROM quotas_deal WHERE external_id <> '' AND upper(external_id) = upper(%s) LIMIT {MOST + 1})"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Word:
    """What one word may mean: ids, at most MOST of each kind; more are None, and then the condition is on the name itself.

    publisher  Whose offerings alone were looked at, and neither customers nor people, titles or external ids.
    """

    typed: str
    parts: tuple[str, ...]
    publisher: int | None = None
    number: int | None = None
    customers: Sequence[int] | None = ()
    owners: Sequence[int] | None = ()
    offerings: Sequence[int] | None = ()
    sold: Sequence[int] | None = ()
    others: Sequence[int] | None = ()

    @property
    def dense(self) -> bool:
        """Whether so many deals meet it that they are not counted."""
        return None in (self.customers, self.owners, self.sold, self.others)

    @property
    def nothing(self) -> bool:
        return self.number is None and not self.dense and not any(self._lists())

    def _lists(self) -> tuple[Sequence[int] | None, ...]:
        return (self.customers, self.owners, self.sold, self.others)

    @property
    def condition(self) -> Q:
        """On deals."""
        known = [
            *(self.sold or ()),
            *(self.others or ()),
            *([self.number] if self.number is not None else []),
        ]
        found = Q(one_of("pk", known)) if known else Q(pk__in=[])
        for field, ids in (("customer", self.customers), ("owner", self.owners)):
            if ids:
                found |= Q(one_of(f"{field}_id", ids))
        if not self.dense:
            return found
        if self.sold is None:
            lines = DealLine.objects.filter(version=OuterRef("latest_version"))
            found |= _some(lines.filter(one_of("offering_id", self.offerings or ())))
        of: tuple[tuple[Sequence[int] | None, QuerySet[Any], str, str], ...] = (
            (self.customers, Customer.objects.all(), "customer", "name"),
            (self.owners, Rep.objects.all(), "owner", "name"),
            (self.others, DealVersion.objects.all(), "latest_version", "title"),
        )
        for ids, rows, path, name in of:
            if ids is None:
                found |= _some(rows.filter(having(name, self.parts), pk=OuterRef(path)))
        # Looked at deal by deal, in the order of the list. The planner has no idea how many meet a pattern: of a CASE it takes half.
        return Q(Case(When(found, then=Value(True)), default=Value(False), output_field=BooleanField()))


def _some(rows: QuerySet[Any]) -> Q:
    """EXISTS, but never worked out for every deal before the first one is looked at."""
    return Q(
        Subquery(rows.order_by().annotate(met=Value(True)).values("met")[:1], output_field=BooleanField())
    )


def one_of(path: str, ids: Sequence[int]) -> Func:
    """path = ANY(ids): one parameter however many they are."""
    return Func(
        F(path),
        Value(list(ids), ArrayField(BigIntegerField())),
        template="%(expressions)s::bigint[])",
        arg_joiner=" = ANY(",
        output_field=BooleanField(),
    )


def having(path: str, parts: Iterable[str]) -> Q:
    """Every part somewhere in that name, without regard to case and accents."""
    found = Q()
    for part in parts:
        same = Q(_with("plain_name", " LIKE ", Value(f"%{part}%"), path))
        found &= Q(**{f"{path}__icontains": part}) | same
    return found


def looked_up(text: str, *, publisher: int | None = None) -> list[Word]:
    """The words of what was typed, each with what it may mean anywhere. 2 queries at most.

    publisher  Whose partner asks, if one does: a search must not find what its reader cannot see.
    """
    typed = [(each, tuple(words(each))) for each in text.split()[:MOST_WORDS]]
    found = [Word(each, parts, publisher, number_of(each)) for each, parts in typed if parts]
    if not found:  # nothing, or nothing that a name is made of: then no deal has it
        return [Word(each, parts) for each, parts in typed]
    asked, given = _statement(found)
    with _by_index(), connection.cursor() as cursor:
        cursor.execute(asked, given)
        ids: dict[tuple[int, str], list[int]] = {}
        for n, kind, pk in cursor.fetchall():
            ids.setdefault((n, kind), []).append(pk)

        def of(n: int, kind: str) -> list[int] | None:
            every = ids.get((n, kind), [])
            return None if len(every) > MOST else every

        offerings = {n: ids[n, "offering"] for n in range(len(found)) if (n, "offering") in ids}
        sold: dict[int, list[int]] = {}
        if offerings:
            cursor.execute(*_lines(offerings))
            for n, pk in cursor.fetchall():
                sold.setdefault(n, []).append(pk)
    return [
        replace(
            word,
            customers=of(n, "customer"),
            owners=of(n, "owner"),
            offerings=offerings.get(n, ()),
            sold=None if len(sold.get(n, ())) > MOST else sorted(set(sold.get(n, ()))),
            others=of(n, "deal"),
        )
        for n, word in enumerate(found)
    ]


@contextmanager
def _by_index() -> Iterator[None]:
    """Of a common word the planner would rather work out the trigrams of thousands of names than ask their index."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_PLANNED, ["off"] * 3)
        yield
        cursor.execute(_PLANNED, ["on"] * 3)


def called(text: str) -> list[int]:
    """Deals with that external id, or with every word of it in the title. 1 query."""
    parts = tuple(words(text))[:MOST_WORDS]
    if not parts:
        return []
    titled, given = _titled(parts)
    with _by_index(), connection.cursor() as cursor:
        cursor.execute(f"{titled} UNION ALL {_SAME_ID}", [*given, text])
        return [pk for (pk,) in cursor.fetchall()]


def number_of(typed: str) -> int | None:
    """D-000123 and 123 are deal 123."""
    number = typed.upper().removeprefix("D-").lstrip("0")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 16 else None


def _statement(found: Sequence[Word]) -> tuple[str, list[Any]]:
    """One row per word, kind and id; one more than MOST says that there are more."""
    parts: list[str] = []
    given: list[Any] = []

    def add(n: int, kind: str, source: str, parameters: Sequence[Any]) -> None:
        parts.append(f"SELECT {n}, '{kind}', id FROM {source} of_{kind}")  # noqa: S608 -- our own text
        given.extend(parameters)

    def few(table: str, condition: str) -> str:
        return f"(SELECT id FROM {table} WHERE {condition} LIMIT {MOST + 1})"  # noqa: S608

    for n, word in enumerate(found):
        if word.publisher is None:
            condition, likes = _named("name", word.parts)
            add(n, "customer", few("marketplace_customer", condition), likes)
            add(n, "owner", few("quotas_rep", condition), likes)
            add(n, "deal", *_titled(word.parts))
            add(n, "deal", _SAME_ID, [word.typed])
        # Offerings are few: what they are called is read through.
        inside = " AND ".join("(name ILIKE %s OR slug ILIKE %s)" for _ in word.parts)
        whose = "(SELECT id FROM marketplace_offering WHERE publisher_id = coalesce(%s, publisher_id) AND "
        likes = [f"%{part}%" for part in word.parts for _ in "12"]
        add(n, "offering", f"{whose}{inside})", [word.publisher, *likes])
    return " UNION ALL ".join(parts), given


def _lines(offerings: dict[int, list[int]]) -> tuple[str, list[Any]]:
    """Deals whose latest version sells one of them."""
    one = (
        "(SELECT {n}, d.id FROM quotas_dealline l JOIN quotas_dealversion v ON v.id = l.version_id"
        " JOIN quotas_deal d ON d.id = v.deal_id AND d.latest_version_id = v.id"
        " WHERE l.offering_id = ANY(%s::bigint[]) LIMIT {most})"
    )
    return (
        " UNION ALL ".join(one.format(n=n, most=MOST + 1) for n in offerings),
        list(offerings.values()),
    )


def _titled(parts: Sequence[str]) -> tuple[str, list[Any]]:
    """Deals whose latest version has them in its title."""
    condition, given = _named("v.title", parts)
    latest = "quotas_dealversion v JOIN quotas_deal d ON d.id = v.deal_id AND d.latest_version_id = v.id"
    return f"(SELECT d.id FROM {latest} WHERE v.title <> '' AND {condition} LIMIT {MOST + 1})", given  # noqa: S608


def _named(column: str, parts: Sequence[str]) -> tuple[str, list[Any]]:
    """Has each part somewhere in the column: by the index on its trigrams, and then looked at."""
    conditions = [f"name_grams({column}) @> %s::text[]"]
    given: list[Any] = [sorted({gram for part in parts for gram in grams_within(part)})]
    for part in parts:
        if len(part) > 2:
            conditions.append(f"({column} ILIKE %s OR plain_name({column}) LIKE %s)")
            given += [f"%{part}%"] * 2
    return " AND ".join(conditions), given


def grams_within(part: str) -> list[str]:
    """What any name has that holds it; of one letter or two, any name of which it begins a word."""
    if len(part) < 3:
        return [gram for gram in trigrams(part) if not gram.endswith(" ")]
    return [part[start : start + 3] for start in range(len(part) - 2)]


def named(rows: "QuerySet[M]", text: str) -> "QuerySet[M]":
    """Those rows, of customers or of reps, that have every word somewhere in the name: along the same index."""
    parts = words(text)[:MOST_WORDS]
    if not parts:
        return rows.none()
    grams = sorted({gram for part in parts for gram in grams_within(part)})
    rows = rows.filter(_with("name_grams", " @> ", Value(grams, ArrayField(TextField()))))
    return rows.filter(having("name", [part for part in parts if len(part) > 2]))


def _with(function: str, operator: str, value: Value, path: str = "name") -> Func:
    return Func(
        F(path),
        value,
        template=f"{function}(%(expressions)s",
        arg_joiner=f"){operator}",
        output_field=BooleanField(),
    )


# --- misspelt ---------------------------------------------------------------------------------------------


def readings(found: Sequence[Word]) -> Iterator[str]:
    """Other ways to read a search of which some word means nothing, the nearest first; none where each word means something. 1 query.

    Whoever shows one has to see that it finds something for who asks: nobody learns of a name through it.
    """
    doubtful = [n for n, word in enumerate(found) if word.nothing]
    if not doubtful or not all(_correctable(found[n]) for n in doubtful):
        return
    asked, given = _near([found[n] for n in doubtful])
    known: dict[int, set[str]] = {}
    with _by_index(), connection.cursor() as cursor:
        cursor.execute(asked, given)
        for n, name in cursor.fetchall():
            known.setdefault(doubtful[n], set()).update(words(name))
    choices = [
        _nearest(word.parts[0], known.get(n, ())) if n in doubtful else [word.typed]
        for n, word in enumerate(found)
    ]
    for chosen in islice(product(*choices), MOST_READINGS):
        yield " ".join(chosen)


def _correctable(word: Word) -> bool:
    return len(word.parts) == 1 and len(word.parts[0]) >= SHORTEST_TO_CORRECT and not word.typed.isdecimal()


def _near(doubtful: Sequence[Word]) -> tuple[str, list[Any]]:
    """Names that have a stretch of the word as it was typed: a slip spoils at most what lies around it."""
    parts: list[str] = []
    given: list[Any] = []
    for n, word in enumerate(doubtful):
        padded = f"  {word.parts[0]} "
        long = 4 if len(word.parts[0]) < 7 else 5
        stretches = [padded[start : start + long] for start in range(len(padded) - long + 1)]
        for table in ("marketplace_customer", "quotas_rep") if word.publisher is None else ():
            condition = " OR ".join("name_grams(name) @> %s::text[]" for _ in stretches)
            parts.append(f"(SELECT {n}, name FROM {table} WHERE {condition} LIMIT {NEAR})")  # noqa: S608 -- our own text
            given += [[each[at : at + 3] for at in range(len(each) - 2)] for each in stretches]
        parts.append(
            f"(SELECT {n}, name FROM marketplace_offering WHERE publisher_id = coalesce(%s, publisher_id))"  # noqa: S608
        )
        given.append(word.publisher)
    return " UNION ALL ".join(parts), given


def _nearest(typed: str, known: Iterable[str]) -> list[str]:
    """The words that it may stand for, the nearest first."""
    near = sorted(
        (*distance(typed, word), word)
        for word in known
        if not word.isdecimal() and len(word) > len(typed) - 3
    )
    return [word for begun, _whole, word in near if begun <= allowed(typed)][:TRIED_A_WORD]

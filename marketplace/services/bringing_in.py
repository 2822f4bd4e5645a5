"""Offerings and publishers that a file of sales names and the catalog does not have. Set-based; what is there is found, never doubled.

A file proves that something was sold, not what it is: what is made here is a service of unknown price on an assumed
commercial path, live so that its deals can be recorded. It counts toward quota by a decision alone, never by accident.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.text import slugify

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config import bulk
from config.clock import day_of
from config.locks import one_at_a_time
from config.names import fold, tidy
from config.outbox import promise
from config.refusals import Forbidden, Problem, refuse_if_any
from marketplace.extension import Change
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    OfferingKind,
    OfferingRevision,
    Origin,
    Plan,
    PricingForm,
    Program,
    Publication,
    Publisher,
    ScopeLevel,
)
from marketplace.selectors.eligibility import ONE
from marketplace.selectors.on_sale import ON_SALE
from marketplace.selectors.resources import offering_body, with_facts
from marketplace.services.change_sets.shapes import RESERVED
from marketplace.services.eligibility import LONGEST
from marketplace.services.indexing import reindex
from marketplace.services.telling import tell

LONGEST_NAME: Final = 120
SLUG: Final = 80
SHORT_SLUG: Final = 60  # of publishers and families
SUFFIX: Final = 8  # characters that a slug keeps free for a number behind it
NOBODY: Final = "Unknown publisher"
AT_ONCE: Final = 2_000
INSTEAD: Final = "Give an eligibility reason, or add it in the catalog first."
SELLABLE: Final = tuple(path.value for path in CommercialPath if path != CommercialPath.INTERNAL)

# One row per name and offering that it may mean, with the way in which: its name, its slug, what people call it on that
# day. Reads the catalog once for each way.
_KNOWN: Final = """
WITH wanted AS (SELECT name, lower(name) AS low FROM unnest(%(names)s::text[]) AS t (name))
SELECT w.name, w.how, o.id, o.publication, p.name, p.slug
FROM (
  SELECT w.name, 1 AS how, o.id FROM wanted w JOIN marketplace_offering o ON lower(o.name) = w.low
  UNION ALL SELECT w.name, 2, o.id FROM wanted w JOIN marketplace_offering o ON o.slug = w.name
  UNION ALL SELECT DISTINCT w.name, 3, a.offering_id FROM wanted w JOIN marketplace_alias a ON lower(a.name) = w.low
            WHERE a.offering_id IS NOT NULL AND a.used_by = '' AND a.effective @> %(on)s::date
) w
JOIN marketplace_offering o ON o.id = w.id JOIN marketplace_publisher p ON p.id = o.publisher_id
ORDER BY w.name, w.how, o.id
"""
# One row per slug that stands where one of the wanted ones would, with or without a number behind it.
_TAKEN: Final = """
SELECT slug FROM {table} WHERE slug = ANY(%(slugs)s) OR regexp_replace(slug, '-[0-9]+$', '') = ANY(%(slugs)s)
"""


@dataclass(frozen=True, slots=True)
class NamedOffering:
    """What a file says of an offering. publisher, family: their names; empty where it says nothing."""

    name: str
    publisher: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is taken where the file says nothing.

    publisher  Its name; empty is the operator where the origin is the house's own, else one that says it is unknown.
    origin     Of publishers that are made.
    path       Commercial path of offerings that are made: assumed, and said to be.
    """

    publisher: str = ""
    origin: str = Origin.THIRD
    path: str = CommercialPath.MARKETPLACE

    def problems(self) -> Iterable[Problem]:
        if self.origin not in Origin.values:
            yield Problem(
                "unknown_origin",
                f"An origin is {' or '.join(Origin.values)}: {self.origin} is none.",
                "/create/origin",
            )
        if self.path not in SELLABLE:
            yield Problem(
                "unknown_path",
                f"What deals name is on sale: its commercial path is {' or '.join(SELLABLE)}, not {self.path}.",
                "/create/commercial_path",
            )
        if len(self.publisher) > LONGEST_NAME:
            yield Problem(
                "name_too_long",
                f"A publisher's name has at most {LONGEST_NAME} characters.",
                "/create/publisher",
            )


@dataclass(frozen=True, slots=True)
class Counting:
    """That what is made counts toward quota.

    reason      Why, of everything together.
    checked_by  Who has checked it: in force at once. None: proposed, until a catalog manager checks it.
    evidence    Where it comes from, such as the import.
    proposal    Names what is proposed together over several calls.
    """

    reason: str
    checked_by: User | None = None
    evidence: str = ""
    proposal: str = ""


@dataclass(slots=True)
class BroughtIn:
    """offerings: by the name that was asked for, found or made. refused: name to code and sentence. made: ids of the new ones."""

    offerings: dict[str, int] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    made: list[int] = field(default_factory=list)
    publishers: int = 0
    decisions: list[int] = field(default_factory=list)


@transaction.atomic
def bring_in(
    *,
    wanted: Mapping[str, NamedOffering],
    since: date,
    by: User,
    at: datetime,
    defaults: Defaults | None = None,
    counting: Counting | None = None,
    reason: str = "Named by a file of sales",
) -> BroughtIn:
    """Find the offerings of those names, and make those that are not there, with their publishers.

    since     First day on which what is made is on sale, and counts.
    counting  None: no decision is made. What would count by a standing one is refused then, so that nothing counts unsaid.
    Raises    Forbidden, Invalid (defaults, same_person, reason). About 25 statements, whatever the number.
    """
    defaults = defaults or Defaults()
    acting(by=by, at=at, reason=reason)
    _must_import(by, counting)
    refuse_if_any([*defaults.problems(), *_wrong(by, counting)])
    # Two imports that name the same thing make it once.
    one_at_a_time("marketplace.bring_in")
    done = BroughtIn()
    missing = _find(done, wanted, on=day_of(at))
    once = _each_once(missing.values())
    there = _publishers_there(each.publisher or _nobody(defaults) for each in once.values())
    refused = {} if counting is not None else _would_count(once, there, defaults, since)
    done.refused |= {
        key: refused[fold(each.name)] for key, each in missing.items() if fold(each.name) in refused
    }
    new = {key: each for key, each in once.items() if key not in refused}
    if not new:
        return done
    publishers = _publishers(done, new.values(), there, defaults)
    rows = dict(zip(new, _offerings(new.values(), publishers, defaults, since), strict=True))
    done.offerings |= {
        key: rows[fold(each.name)].pk for key, each in missing.items() if fold(each.name) in rows
    }
    done.made = [row.pk for row in rows.values()]
    Plan.objects.bulk_create(
        [
            Plan(offering=row, slug="standard", name="Standard", pricing_form=PricingForm.METERED)
            for row in rows.values()
        ],
        batch_size=AT_ONCE,
    )
    _first_revisions(done.made, by=by, at=at)
    reindex(done.made)
    if counting is not None:
        done.decisions = _decide(done.made, counting, since, by=by, at=at)
    counts = " and counts toward quota" if counting is not None and counting.checked_by is not None else ""
    change = Change("offering", f"{{offering}} is new in the catalog{counts}.", tuple(done.made), since)
    tell(change, key=f"brought-in-{done.made[0]}", at=at)
    return done


def free_slugs(
    table: str, names: Sequence[str], *, longest: int, otherwise: str, reserved: Collection[str] = ()
) -> list[str]:
    """A slug for each name that nothing in *table* has, in their order: a number is put behind one that is taken. 1 query.

    otherwise  What a name becomes of which no Latin letter is left.
    """
    bases = [(slugify(name) or otherwise)[: longest - SUFFIX].strip("-_") or otherwise for name in names]
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN.format(table=connection.ops.quote_name(table)), {"slugs": sorted(set(bases))})
        taken = {slug for (slug,) in cursor.fetchall()} | set(reserved)
    last: Counter[str] = Counter()
    slugs = []
    for base in bases:
        slug = base
        while slug in taken:
            last[base] = max(last[base], 1) + 1
            slug = f"{base}-{last[base]}"
        taken.add(slug)
        slugs.append(slug)
    return slugs


def _must_import(by: User, counting: Counting | None) -> None:
    keepers = (Role.COMP_ADMIN, Role.CATALOG_MANAGER)
    if not by.has_role(*keepers):
        raise Forbidden.of(
            "may_not_bring_in", "Only comp admins and catalog managers add offerings that a file names."
        )
    checker = counting.checked_by if counting is not None else None
    if checker is not None and not checker.has_role(*keepers):
        raise Forbidden.of(
            "may_not_check",
            f"{checker.name} cannot check it: that takes a catalog manager or a comp admin.",
            "/checked_by",
        )


def _wrong(by: User, counting: Counting | None) -> Iterable[Problem]:
    if counting is None:
        return
    if not counting.reason.strip():
        yield Problem(
            "reason_missing",
            "Say why it counts: it is shown to everybody it concerns.",
            "/eligibility_reason",
        )
    elif len(counting.reason) > LONGEST:
        yield Problem("reason_too_long", f"A reason has at most {LONGEST} characters.", "/eligibility_reason")
    if counting.checked_by is not None and counting.checked_by.pk == by.pk:
        yield Problem(
            "same_person",
            "The person who checks decisions must not be the one who makes them.",
            "/checked_by",
        )


def _nobody(defaults: Defaults) -> str:
    if defaults.publisher:
        return defaults.publisher
    return str(settings.OPERATOR["name"]) if defaults.origin == Origin.FIRST else NOBODY


def _find(done: BroughtIn, wanted: Mapping[str, NamedOffering], *, on: date) -> dict[str, NamedOffering]:
    """Put what is there into *done*, and what cannot be; returns what is missing. 1 query."""
    known: dict[str, dict[int, list[tuple[int, bool, set[str]]]]] = {}
    names = sorted({tidy(each.name) for each in wanted.values()})
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, {"names": [name for name in names if "\x00" not in name], "on": on})
        for name, how, pk, publication, publisher, slug in cursor.fetchall():
            row = pk, publication in ON_SALE, {fold(publisher), slug}
            known.setdefault(fold(name), {}).setdefault(how, []).append(row)
    missing = {}
    for key, each in wanted.items():
        ways = known.get(fold(each.name), {})
        found = ways[min(ways)] if ways else []
        found = [row for row in found if fold(each.publisher) in row[2]] or found
        found = [row for row in found if row[1]] or found
        if len(found) == 1:
            done.offerings[key] = found[0][0]
        elif found:
            done.refused[key] = (
                "ambiguous_offering",
                f"{len(found)} offerings are called {each.name}: name its publisher, or give its slug.",
            )
        elif wrong := _unfit(each):
            done.refused[key] = wrong
        else:
            missing[key] = each
    return missing


def _unfit(each: NamedOffering) -> tuple[str, str] | None:
    if not each.name.strip():
        return "name_missing", "An offering needs a name."
    for what, name in (
        ("An offering's", each.name),
        ("A publisher's", each.publisher),
        ("A family's", each.family),
    ):
        if len(name) > LONGEST_NAME:
            return (
                "name_too_long",
                f"{what} name has at most {LONGEST_NAME} characters; {name[:30]}… has {len(name)}.",
            )
        if "\x00" in name:
            return "name_unreadable", f"{what} name has a character that is none."
    return None


def _each_once(missing: Iterable[NamedOffering]) -> dict[str, NamedOffering]:
    """By the key of its name, with the first publisher and family that any way of writing it comes with."""
    once: dict[str, NamedOffering] = {}
    for each in missing:
        known = once.get(fold(each.name), each)
        once[fold(each.name)] = NamedOffering(
            tidy(known.name), known.publisher or each.publisher, known.family or each.family
        )
    return once


def _publishers_there(names: Iterable[str]) -> dict[str, Publisher]:
    """By name or slug in lower case, for whichever of *names* is one. 1 query."""
    low = sorted({tidy(name).lower() for name in names})
    named = Publisher.objects.annotate(low=Lower("name"))
    rows = named.filter(Q(low__in=low) | Q(slug__in=low)).order_by("-pk")
    return {key: row for row in rows for key in (row.slug, fold(row.name))}


def _publishers(
    done: BroughtIn, new: Collection[NamedOffering], there: dict[str, Publisher], defaults: Defaults
) -> dict[str, Publisher]:
    """Of every new offering, by its name's key. The operator is of the house whatever the file is taken to be about. 2 statements."""
    missing: dict[str, str] = {}
    for each in new:
        name = tidy(each.publisher or _nobody(defaults))
        if fold(name) not in there:
            missing.setdefault(fold(name), name)
    own = {fold(str(settings.OPERATOR["name"])), str(settings.OPERATOR["slug"])}
    slugs = free_slugs(
        Publisher._meta.db_table, list(missing.values()), longest=SHORT_SLUG, otherwise="publisher"
    )
    made = Publisher.objects.bulk_create(
        [
            Publisher(slug=slug, name=name, origin=Origin.FIRST if key in own else _origin(name, defaults))
            for (key, name), slug in zip(missing.items(), slugs, strict=True)
        ]
    )
    done.publishers = len(made)
    return there | dict(zip(missing, made, strict=True))


def _origin(name: str, defaults: Defaults) -> str:
    return Origin.THIRD if name == NOBODY else defaults.origin


def _offerings(
    new: Collection[NamedOffering], publishers: Mapping[str, Publisher], defaults: Defaults, since: date
) -> list[Offering]:
    """In their order. 2 statements."""
    slugs = free_slugs(
        Offering._meta.db_table,
        [each.name for each in new],
        longest=SLUG,
        otherwise="offering",
        reserved=RESERVED,
    )
    return bulk.insert(
        [
            Offering(
                slug=slug,
                name=each.name,
                kind=OfferingKind.SERVICE,
                publisher=publishers[fold(each.publisher or _nobody(defaults))],
                family=(slugify(each.family) or slug)[:SHORT_SLUG],
                commercial_path=defaults.path,
                path_basis="Assumed: a file of sales named it.",
                path_assumed=True,
                publication=Publication.LIVE,
                available_on=since,
            )
            for slug, each in zip(slugs, new, strict=True)
        ]
    )


def _first_revisions(offering_ids: Sequence[int], *, by: User, at: datetime) -> None:
    """What deal lines pin. 4 statements for every 2,000."""
    for first in range(0, len(offering_ids), AT_ONCE):
        fresh = with_facts(
            Offering.objects.filter(pk__in=offering_ids[first : first + AT_ONCE]).order_by("pk")
        )
        OfferingRevision.objects.bulk_create(
            [
                OfferingRevision(
                    offering=o, number=o.revision, body=offering_body(o), recorded_at=at, recorded_by=by
                )
                for o in fresh
            ]
        )


def _would_count(
    new: Mapping[str, NamedOffering], there: Mapping[str, Publisher], defaults: Defaults, since: date
) -> dict[str, tuple[str, str]]:
    """What a decision on its publisher or its commercial path would let count, though nobody has said that it should. 1 query."""
    standing = EligibilityDecision.objects.filter(
        Q(commercial_path=defaults.path) | Q(publisher__in={p.pk for p in there.values()}),
        Q(effective__upper_inf=True) | Q(effective__endswith__gt=since),
        program=Program.QUOTA,
        checked_at__isnull=False,
        superseded_at=None,
    ).order_by("pk")
    on_path: EligibilityDecision | None = None
    on_publisher: dict[int, EligibilityDecision] = {}
    kept_out: set[int] = set()
    for decision in standing:
        if decision.level == ScopeLevel.PATH:
            on_path = decision if decision.rate_ppm else on_path
        elif decision.publisher_id is not None and decision.rate_ppm:
            on_publisher[decision.publisher_id] = decision
        elif decision.publisher_id is not None and _covers(decision, since):
            kept_out.add(decision.publisher_id)
    refused = {}
    for key, each in new.items():
        publisher = there.get(fold(each.publisher or _nobody(defaults)))
        whose = publisher.pk if publisher is not None else 0
        decision_in_force = on_publisher.get(whose) or (on_path if whose not in kept_out else None)
        if decision_in_force is None:
            continue
        whom = (
            publisher.name
            if publisher is not None and decision_in_force.publisher_id is not None
            else f"the path {CommercialPath(defaults.path).label.lower()}"
        )
        refused[key] = (
            "needs_eligibility_reason",
            f"{each.name} would count toward quota at once, by decision {decision_in_force.pk} for {whom}. {INSTEAD}",
        )
    return refused


def _covers(decision: EligibilityDecision, since: date) -> bool:
    lower, upper = decision.effective.lower, decision.effective.upper
    return upper is None and (lower is None or lower <= since)


def _decide(
    offering_ids: Sequence[int], counting: Counting, since: date, *, by: User, at: datetime
) -> list[int]:
    """That they count in full. The same reason, so one proposal; there is nothing yet that it could move. 1 to 3 statements."""
    checker = counting.checked_by
    made = EligibilityDecision.objects.bulk_create(
        [
            EligibilityDecision(
                program=Program.QUOTA,
                level=ScopeLevel.OFFERING,
                offering_id=pk,
                rate_ppm=ONE,
                effective=DateRange(since, None),
                reason=counting.reason.strip(),
                evidence=counting.evidence.strip()[:LONGEST],
                made_by=by,
                made_at=at,
                checked_by=checker,
                checked_at=at if checker is not None else None,
                proposal=counting.proposal,
            )
            for pk in offering_ids
        ],
        batch_size=AT_ONCE,
    )
    ids = [decision.pk for decision in made]
    if checker is None:
        others = User.objects.filter(
            role_grants__role=Role.CATALOG_MANAGER, role_grants__withdrawn_at=None, is_active=True
        ).exclude(pk=by.pk)
        key = f"decision-proposed:{ids[0]}"
        what = "1 offering" if len(ids) == 1 else f"{len(ids):,} offerings"
        promise(
            topic=NOTIFY,
            key=key,
            payload={
                "user_ids": list(others.values_list("pk", flat=True)),
                "key": key,
                "text": f"{by.name} has imported {what} that shall count toward quota: somebody has to check it.",
                "url": f"/catalog/decisions/{ids[0]}/",
            },
            at=at,
        )
    return ids

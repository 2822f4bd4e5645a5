"""Companies and what binds them: recorded by a sourcing lead with a source, corrected by superseding, never edited.

A correction keeps what hangs on the tie: its draws and its assumed term move to the row that takes its place, and the
trail says so. A figure that rests on an assumption names it, so a stated term takes the assumption's place.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Q
from django.utils.text import slugify

from accounts.audit import acting
from accounts.models import User
from config import house as formats
from config.clock import day_of
from config.locks import one_at_a_time
from config.months import add_months
from config.refusals import Conflict, NotFound, Problem, refuse_if_any
from marketplace.models import (
    Bound,
    CommitmentDraw,
    Company,
    Currency,
    PublicFact,
    Publisher,
    Relationship,
    RelationshipKind,
    RelationshipStatus,
    RiskEvent,
    RiskSeverity,
    SupplierAgreement,
    TermAssumption,
)
from marketplace.models.sourcing.companies import MONEY_KINDS
from marketplace.services.sourcing.access import must_lead_sourcing
from marketplace.services.sourcing.reasons import clean, reason_problems

LARGEST: Final = 10**18  # minor units; what a bigint holds, with room to add up
EARLIEST: Final = date(1970, 1, 1)
LATEST: Final = date(2100, 1, 1)
ONE: Final = 1_000_000
SYMMETRIC: Final = (RelationshipKind.COMPETITION,)


@dataclass(frozen=True, slots=True)
class RelationshipDraft:
    """A tie as somebody states it. Money goes from payer to payee; who depends is the payer.

    amount_minor   Minor units of *currency*; None is unknown, and then *bound* is unknown too.
    per            "" once, year or month.
    ends_on        The first day after it.
    """

    kind: str
    payer_id: int
    payee_id: int
    source: str
    amount_minor: int | None = None
    currency: str = ""
    bound: str = Bound.UNKNOWN
    per: str = ""
    status: str = ""
    starts_on: date | None = None
    ends_on: date | None = None
    stake_ppm: int | None = None
    note: str = ""
    fact_id: int | None = None


@dataclass(frozen=True, slots=True)
class AgreementDraft:
    """What is agreed with a supplier in [starts_on, ends_on). Text that is empty is not stated."""

    supplier_id: int
    name: str
    starts_on: date
    source: str
    ends_on: date | None = None
    access: str = ""
    pricing: str = ""
    discount_ppm: int = 0
    exclusivity: str = ""
    roadmap_asks: str = ""
    renews_on: date | None = None
    renews_by_itself: bool | None = None
    notice_days: int | None = None


# --- companies ----------------------------------------------------------------------------------------------


@transaction.atomic
def record_company(
    *, name: str, by: User, at: datetime, about: str = "", publisher_id: int | None = None
) -> Company:
    """Add a company to tie others to. Raises Forbidden, Invalid, Conflict (company_known)."""
    acting(by=by, at=at, reason="Company recorded")
    must_lead_sourcing(by)
    called = clean(name)
    slug = slugify(called)[:60]
    slug = f"{slug}-company" if slug == "new" else slug  # the address of the form
    problems = _text_problems(("name", called, 120, True), ("about", about, 300, False))
    if called and not slug:
        problems.append(
            Problem("name_unreadable", "Write the name with at least one letter or digit.", "/name")
        )
    if publisher_id is not None and not Publisher.objects.filter(pk=publisher_id).exists():
        problems.append(Problem("unknown_publisher", "There is no such publisher.", "/publisher"))
    refuse_if_any(problems)
    one_at_a_time("marketplace.companies")
    known = Company.objects.filter(Q(slug=slug) | Q(name__iexact=called)).first()
    if known is not None:
        raise Conflict.of("company_known", f"{known.name} is recorded already: use that one.", "/name")
    if publisher_id is not None and Company.objects.filter(publisher=publisher_id).exists():
        raise Conflict.of("publisher_taken", "That publisher is a company here already.", "/publisher")
    return Company.objects.create(slug=slug, name=called, about=clean(about), publisher_id=publisher_id)


# --- ties ---------------------------------------------------------------------------------------------------


@transaction.atomic
def record_relationship(
    *, draft: RelationshipDraft, by: User, at: datetime, reason: str = "", synthetic: bool = False
) -> Relationship:
    """Write down one tie. Raises Forbidden; Invalid with every problem; Conflict (already_recorded)."""
    acting(by=by, at=at, reason=reason[:500] or "Relationship recorded")
    must_lead_sourcing(by)
    draft = _read(draft)
    _refuse_what_is_wrong(draft)
    one_at_a_time("marketplace.relationships")
    _refuse_twice(draft, None)
    return _write(draft, by=by, at=at, synthetic=synthetic)


@transaction.atomic
def correct_relationship(
    *, relationship_id: int, draft: RelationshipDraft, reason: str, by: User, at: datetime
) -> Relationship:
    """Put another statement in the place of one; its draws and its assumed term go with it.

    Raises   Forbidden, NotFound; Invalid; Conflict (superseded, already_recorded, has_draws: a commitment that
             something is drawn from stays a commitment in its currency).
    """
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    draft = _read(draft)
    old = _locked(relationship_id)
    refuse_if_any(reason_problems(reason))
    _refuse_what_is_wrong(draft)
    one_at_a_time("marketplace.relationships")
    _refuse_twice(draft, old)
    drawn = old.draws.filter(superseded_at=None)
    if (draft.kind != old.kind or (draft.currency or None) != old.currency_id) and drawn.exists():
        raise Conflict.of(
            "has_draws",
            "Months are drawn from this commitment: its kind and its currency stay.",
            "/kind" if draft.kind != old.kind else "/currency",
        )
    old.superseded_at = at
    old.save(update_fields=["superseded_at"])
    new = _write(draft, by=by, at=at, synthetic=old.synthetic)
    CommitmentDraw.objects.filter(relationship=old).update(relationship=new)
    assumed = TermAssumption.objects.filter(relationship=old)
    assumed.update(relationship=new)
    if new.kind != RelationshipKind.COMPUTE_COMMITMENT or (new.starts_on and new.ends_on):
        TermAssumption.objects.filter(relationship=new, superseded_at=None).update(superseded_at=at)
    return new


def end_relationship(
    *, relationship_id: int, ends_on: date, reason: str, by: User, at: datetime
) -> Relationship:
    """It holds no longer from a day on. Raises as correct_relationship; Conflict (already_ended)."""
    with transaction.atomic():
        acting(by=by, at=at, reason=reason.strip()[:500])
        must_lead_sourcing(by)
        old = _locked(relationship_id)
        if old.status == RelationshipStatus.ENDED:
            raise Conflict.of("already_ended", "It has ended already: correct it to change the day.")
        return correct_relationship(
            relationship_id=relationship_id,
            draft=replace(draft_of(old), status=RelationshipStatus.ENDED, ends_on=ends_on),
            reason=reason,
            by=by,
            at=at,
        )


def draft_of(row: Relationship) -> RelationshipDraft:
    """What a row states, to change a part of it."""
    return RelationshipDraft(
        kind=row.kind,
        payer_id=row.payer_id,
        payee_id=row.payee_id,
        source=row.source,
        amount_minor=row.amount_minor,
        currency=row.currency_id or "",
        bound=row.bound,
        per=row.per,
        status=row.status,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        stake_ppm=row.stake_ppm,
        note=row.note,
        fact_id=row.fact_id,
    )


def _read(draft: RelationshipDraft) -> RelationshipDraft:
    """Without stray space; an unknown amount has no currency."""
    return replace(
        draft,
        source=clean(draft.source),
        note=clean(draft.note),
        currency=draft.currency.strip().upper(),
    )


def _write(draft: RelationshipDraft, *, by: User | None, at: datetime, synthetic: bool) -> Relationship:
    return Relationship.objects.create(
        kind=draft.kind,
        payer_id=draft.payer_id,
        payee_id=draft.payee_id,
        amount_minor=draft.amount_minor,
        currency_id=draft.currency or None,
        bound=draft.bound,
        per=draft.per,
        status=draft.status,
        starts_on=draft.starts_on,
        ends_on=draft.ends_on,
        stake_ppm=draft.stake_ppm,
        note=draft.note,
        fact_id=draft.fact_id,
        source=draft.source,
        synthetic=synthetic,
        recorded_by=by,
        recorded_at=at,
    )


def _refuse_what_is_wrong(draft: RelationshipDraft) -> None:
    """3 queries at most."""
    found = _text_problems(("source", draft.source, 200, True), ("note", draft.note, 300, False))
    if draft.kind not in RelationshipKind.values:
        found.append(Problem("unknown_kind", f"Kinds are {', '.join(RelationshipKind.values)}.", "/kind"))
    known = set(Company.objects.filter(pk__in=[draft.payer_id, draft.payee_id]).values_list("pk", flat=True))
    for name, pk in (("payer", draft.payer_id), ("payee", draft.payee_id)):
        if pk not in known:
            found.append(Problem("unknown_company", "There is no such company.", f"/{name}"))
    if draft.payer_id == draft.payee_id:
        found.append(Problem("same_company", "A relationship ties two different companies.", "/payee"))
    found += _amount_problems(draft)
    if draft.status and draft.status not in RelationshipStatus.values:
        found.append(
            Problem("unknown_status", f"States are {', '.join(RelationshipStatus.values)}.", "/status")
        )
    found += _span_problems(draft.starts_on, draft.ends_on)
    if draft.stake_ppm is not None:
        if draft.kind not in (RelationshipKind.EQUITY, RelationshipKind.DEPENDENCE):
            found.append(Problem("stake_of_what", "Only equity and dependence have a share.", "/stake"))
        elif not 0 <= draft.stake_ppm <= ONE:
            found.append(Problem("stake_out_of_range", "A share lies between 0 and 100 %.", "/stake"))
    if draft.fact_id is not None and not PublicFact.objects.filter(pk=draft.fact_id).exists():
        found.append(Problem("unknown_fact", "There is no such public fact.", "/fact"))
    refuse_if_any(found)


def _amount_problems(draft: RelationshipDraft) -> list[Problem]:
    found = []
    if draft.bound not in Bound.values:
        found.append(Problem("unknown_bound", f"Bounds are {', '.join(Bound.values)}.", "/bound"))
    if draft.per not in ("", "year", "month"):
        found.append(Problem("unknown_rate", "An amount is once, a year or a month.", "/per"))
    if draft.amount_minor is None:
        if draft.bound in Bound.values and draft.bound != Bound.UNKNOWN:
            found.append(
                Problem(
                    "bound_without_amount",
                    "A bound needs its amount: enter it, or choose Unknown.",
                    "/amount",
                )
            )
        if draft.currency:
            found.append(
                Problem("currency_without_amount", "Without an amount there is no currency.", "/currency")
            )
        return found
    if draft.kind in RelationshipKind.values and draft.kind not in MONEY_KINDS:
        found.append(
            Problem(
                "no_money", "Dependence and competition have no amount: record the money as spend.", "/amount"
            )
        )
    if not 0 <= draft.amount_minor <= LARGEST:
        found.append(Problem("amount_out_of_range", "Enter an amount that is not negative.", "/amount"))
    if draft.bound == Bound.UNKNOWN:
        found.append(
            Problem(
                "amount_without_bound",
                "Say what the amount is: exact, about, at most or at least.",
                "/bound",
            )
        )
    if not draft.currency:
        found.append(
            Problem("amount_without_currency", "An amount needs its currency, such as USD.", "/currency")
        )
    elif not Currency.objects.filter(code=draft.currency).exists():
        found.append(Problem("unknown_currency", "That currency is not known here.", "/currency"))
    return found


def _span_problems(starts_on: date | None, ends_on: date | None) -> list[Problem]:
    found = []
    for name, day in (("starts_on", starts_on), ("ends_on", ends_on)):
        if day is not None and not EARLIEST <= day < LATEST:
            found.append(Problem("day_out_of_range", "Enter a day between 1970 and 2099.", f"/{name}"))
    if starts_on is not None and ends_on is not None and ends_on <= starts_on:
        found.append(
            Problem(
                "ends_before_it_starts",
                "It ends before it starts: the end is the first day after it.",
                "/ends_on",
            )
        )
    return found


def _refuse_twice(draft: RelationshipDraft, besides: Relationship | None) -> None:
    """The same statement is not recorded a second time: money counted twice is worse than money not known."""
    pairs = Q(payer=draft.payer_id, payee=draft.payee_id)
    if draft.kind in SYMMETRIC:
        pairs |= Q(payer=draft.payee_id, payee=draft.payer_id)
    same = Relationship.objects.filter(
        pairs,
        kind=draft.kind,
        amount_minor=draft.amount_minor,
        currency=draft.currency or None,
        per=draft.per,
        starts_on=draft.starts_on,
        superseded_at=None,
    )
    if besides is not None:
        same = same.exclude(pk=besides.pk)
    if same.exists():
        raise Conflict.of(
            "already_recorded",
            "This is recorded already: correct that one, or say from when on this one holds.",
            "/kind",
        )


def _locked(relationship_id: int) -> Relationship:
    found = Relationship.objects.select_for_update().filter(pk=relationship_id).first()
    if found is None:
        raise NotFound.of("unknown_relationship", "There is no such relationship.")
    if found.superseded_at is not None:
        raise Conflict.of("superseded", "Another statement has taken its place: look at that one.")
    return found


# --- commitments --------------------------------------------------------------------------------------------


@transaction.atomic
def state_term_assumption(
    *, relationship_id: int, starts_on: date, ends_on: date, reason: str, by: User, at: datetime
) -> TermAssumption:
    """Take a term for granted where the source states none; the assumption before it is withdrawn.

    Raises   Forbidden, NotFound; Invalid; Conflict (no_commitment, term_stated, superseded).
    """
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    commitment = _commitment(relationship_id)
    if commitment.starts_on is not None and commitment.ends_on is not None:
        raise Conflict.of("term_stated", "Its term is stated by its source: there is nothing to assume.")
    problems = [*reason_problems(reason), *_span_problems(starts_on, ends_on)]
    for name, stated, assumed in (
        ("starts_on", commitment.starts_on, starts_on),
        ("ends_on", commitment.ends_on, ends_on),
    ):
        if stated is not None and stated != assumed:
            problems.append(
                Problem(
                    "against_what_is_stated",
                    f"Its source states {formats.day(stated)}: keep that.",
                    f"/{name}",
                )
            )
    refuse_if_any(problems)
    commitment.assumptions.filter(superseded_at=None).update(superseded_at=at)
    return TermAssumption.objects.create(
        relationship=commitment,
        starts_on=starts_on,
        ends_on=ends_on,
        reason=clean(reason),
        stated_by=by,
        stated_at=at,
    )


@transaction.atomic
def withdraw_term_assumption(*, relationship_id: int, reason: str, by: User, at: datetime) -> None:
    """The term is unknown again. Raises Forbidden, NotFound, Invalid, Conflict (nothing_assumed)."""
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    commitment = _commitment(relationship_id)
    refuse_if_any(reason_problems(reason))
    if not commitment.assumptions.filter(superseded_at=None).update(superseded_at=at):
        raise Conflict.of("nothing_assumed", "Nobody assumes a term for it.")


@transaction.atomic
def record_draw(
    *,
    relationship_id: int,
    month: date,
    amount_minor: int,
    source: str,
    by: User,
    at: datetime,
    replacing: bool = False,
    synthetic: bool = False,
) -> CommitmentDraw:
    """What a month's bill took of a commitment.

    month      Any day of it. amount_minor: minor units of the commitment's currency, credit notes taken off.
    replacing  Let it take the place of what is recorded for that month; else that is a Conflict (month_recorded).
    Raises     Forbidden, NotFound; Invalid (month_not_over ...); Conflict (no_commitment, no_currency, ...).
    """
    acting(by=by, at=at, reason=source.strip()[:500])
    must_lead_sourcing(by)
    commitment = _commitment(relationship_id)
    first = month.replace(day=1)
    problems = _text_problems(("source", source, 200, True))
    if not EARLIEST <= month < LATEST:
        problems.append(Problem("day_out_of_range", "Enter a month between 1970 and 2099.", "/month"))
    elif add_months(first, 1) > day_of(at):
        problems.append(
            Problem("month_not_over", "That month is not over: a draw is known once it is billed.", "/month")
        )
    elif commitment.starts_on is not None and add_months(first, 1) <= commitment.starts_on:
        problems.append(
            Problem(
                "before_it_starts",
                f"The commitment starts on {formats.day(commitment.starts_on)}.",
                "/month",
            )
        )
    if not 0 <= amount_minor <= LARGEST:
        problems.append(
            Problem(
                "amount_out_of_range",
                "Enter what the month took, with credit notes taken off: not below zero.",
                "/amount",
            )
        )
    refuse_if_any(problems)
    if commitment.currency_id is None:
        raise Conflict.of(
            "no_currency", "Its amount is unknown, and so is its currency: correct that first.", "/amount"
        )
    there = commitment.draws.filter(month=first, superseded_at=None)
    if there.exists() and not replacing:
        raise Conflict.of(
            "month_recorded",
            f"{first:%B %Y} is recorded already: say that this takes its place.",
            "/month",
        )
    there.update(superseded_at=at)
    return CommitmentDraw.objects.create(
        relationship=commitment,
        month=first,
        amount_minor=amount_minor,
        source=clean(source),
        synthetic=synthetic,
        recorded_by=by,
        recorded_at=at,
    )


def _commitment(relationship_id: int) -> Relationship:
    found = _locked(relationship_id)
    if found.kind != RelationshipKind.COMPUTE_COMMITMENT:
        raise Conflict.of("no_commitment", "Only a compute commitment has a term and draws.")
    return found


# --- agreements and risks -----------------------------------------------------------------------------------


@transaction.atomic
def record_agreement(
    *,
    draft: AgreementDraft,
    by: User,
    at: datetime,
    corrects: int | None = None,
    reason: str = "",
    synthetic: bool = False,
) -> SupplierAgreement:
    """What is agreed with a supplier over a span; two of one supplier never share a day, because one discount holds.

    corrects   The agreement whose place it takes, for all of its days; then a reason is needed.
    Raises     Forbidden, NotFound; Invalid; Conflict (agreements_overlap: names the other one).
    """
    acting(by=by, at=at, reason=reason.strip()[:500] or "Agreement recorded")
    must_lead_sourcing(by)
    one_at_a_time("marketplace.agreements")
    refuse_if_any(_agreement_problems(draft))
    old = None
    if corrects is not None:
        refuse_if_any(reason_problems(reason))
        old = SupplierAgreement.objects.select_for_update().filter(pk=corrects).first()
        if old is None:
            raise NotFound.of("unknown_agreement", "There is no such agreement.")
        if old.superseded_at is not None:
            raise Conflict.of("superseded", "Another statement has taken its place: look at that one.")
        if old.supplier_id != draft.supplier_id:
            raise Conflict.of("other_supplier", "A correction stays with its supplier.", "/supplier")
        old.superseded_at = at
        old.save(update_fields=["superseded_at"])
    span = DateRange(draft.starts_on, draft.ends_on)
    other = (
        SupplierAgreement.objects.filter(
            supplier=draft.supplier_id, superseded_at=None, effective__overlap=span
        )
        .order_by("effective")
        .first()
    )
    if other is not None:
        upper = other.effective.upper
        raise Conflict.of(
            "agreements_overlap",
            f"{other.name} holds from {formats.day(other.effective.lower)}"
            f" {'until further notice' if upper is None else f'to before {formats.day(upper)}'}:"
            " correct its days first, or choose others.",
            "/starts_on",
        )
    return SupplierAgreement.objects.create(
        supplier_id=draft.supplier_id,
        name=clean(draft.name),
        effective=span,
        access=clean(draft.access),
        pricing=clean(draft.pricing),
        discount_ppm=draft.discount_ppm,
        exclusivity=clean(draft.exclusivity),
        roadmap_asks=clean(draft.roadmap_asks),
        renews_on=draft.renews_on,
        renews_by_itself=draft.renews_by_itself,
        notice_days=draft.notice_days,
        source=clean(draft.source),
        synthetic=old.synthetic if old is not None else synthetic,
        recorded_by=by,
        recorded_at=at,
    )


def agreement_draft_of(row: SupplierAgreement) -> AgreementDraft:
    return AgreementDraft(
        supplier_id=row.supplier_id,
        name=row.name,
        starts_on=row.effective.lower,
        ends_on=row.effective.upper,
        source=row.source,
        access=row.access,
        pricing=row.pricing,
        discount_ppm=row.discount_ppm,
        exclusivity=row.exclusivity,
        roadmap_asks=row.roadmap_asks,
        renews_on=row.renews_on,
        renews_by_itself=row.renews_by_itself,
        notice_days=row.notice_days,
    )


def _agreement_problems(draft: AgreementDraft) -> list[Problem]:
    found = _text_problems(
        ("name", draft.name, 120, True),
        ("source", draft.source, 200, True),
        ("access", draft.access, 300, False),
        ("pricing", draft.pricing, 300, False),
        ("exclusivity", draft.exclusivity, 300, False),
        ("roadmap_asks", draft.roadmap_asks, 500, False),
    )
    supplier = Company.objects.filter(pk=draft.supplier_id).first()
    if supplier is None:
        found.append(Problem("unknown_company", "There is no such company.", "/supplier"))
    elif supplier.is_operator:
        found.append(
            Problem("own_supplier", "An agreement is with another company, not with ourselves.", "/supplier")
        )
    found += _span_problems(draft.starts_on, draft.ends_on)
    if not 0 <= draft.discount_ppm <= ONE:
        found.append(Problem("discount_out_of_range", "A discount lies between 0 and 100 %.", "/discount"))
    if draft.notice_days is not None and not 0 <= draft.notice_days <= 3660:
        found.append(Problem("notice_out_of_range", "Notice is at most ten years.", "/notice_days"))
    if draft.renews_on is not None:
        if draft.renews_on <= draft.starts_on:
            found.append(Problem("renews_before_it_starts", "It renews after it has started.", "/renews_on"))
        elif draft.ends_on is not None and draft.renews_on > draft.ends_on:
            found.append(
                Problem(
                    "renews_after_it_ends", "It renews by the day it ends on, at the latest.", "/renews_on"
                )
            )
    elif draft.notice_days is not None:
        found.append(
            Problem("notice_of_what", "Notice is counted from the renewal: say when that is.", "/renews_on")
        )
    return found


@transaction.atomic
def record_risk_event(
    *,
    company_id: int,
    severity: str,
    title: str,
    source: str,
    by: User,
    at: datetime,
    dated: date | None = None,
    detail: str = "",
    fact_id: int | None = None,
    synthetic: bool = False,
) -> RiskEvent:
    """Something that happened or is expected, and matters to what we buy. Raises Forbidden, Invalid, Conflict (twice)."""
    acting(by=by, at=at, reason=title.strip()[:500])
    must_lead_sourcing(by)
    problems = _text_problems(
        ("title", title, 160, True), ("source", source, 200, True), ("detail", detail, 500, False)
    )
    if severity not in RiskSeverity.values:
        problems.append(Problem("unknown_severity", f"Choose {', '.join(RiskSeverity.values)}.", "/severity"))
    if not Company.objects.filter(pk=company_id).exists():
        problems.append(Problem("unknown_company", "There is no such company.", "/company"))
    if dated is not None and not EARLIEST <= dated < LATEST:
        problems.append(Problem("day_out_of_range", "Enter a day between 1970 and 2099.", "/dated"))
    if fact_id is not None and not PublicFact.objects.filter(pk=fact_id).exists():
        problems.append(Problem("unknown_fact", "There is no such public fact.", "/fact"))
    refuse_if_any(problems)
    one_at_a_time("marketplace.risk_events", str(company_id))
    if RiskEvent.objects.filter(
        company=company_id, title=clean(title), dated=dated, superseded_at=None
    ).exists():
        raise Conflict.of("already_recorded", "This event is recorded already.", "/title")
    return RiskEvent.objects.create(
        company_id=company_id,
        dated=dated,
        severity=severity,
        title=clean(title),
        detail=clean(detail),
        fact_id=fact_id,
        source=clean(source),
        synthetic=synthetic,
        recorded_by=by,
        recorded_at=at,
    )


@transaction.atomic
def withdraw_risk_event(*, risk_event_id: int, reason: str, by: User, at: datetime) -> RiskEvent:
    """It no longer stands; the trail keeps it. Raises Forbidden, NotFound, Invalid, Conflict (withdrawn)."""
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    found = RiskEvent.objects.select_for_update().filter(pk=risk_event_id).first()
    if found is None:
        raise NotFound.of("unknown_risk_event", "There is no such event.")
    refuse_if_any(reason_problems(reason))
    if found.superseded_at is not None:
        raise Conflict.of("withdrawn", "It has been withdrawn already.")
    found.superseded_at = at
    found.save(update_fields=["superseded_at"])
    return found


# --- what all share -----------------------------------------------------------------------------------------


def _text_problems(*fields: tuple[str, str, int, bool]) -> list[Problem]:
    """fields: name, text, longest, needed."""
    found = []
    for name, text, longest, needed in fields:
        called = name.replace("_", " ")
        if needed and not clean(text):
            said = "Say where it is known from." if name == "source" else f"Enter the {called}."
            found.append(Problem(f"{name}_missing", said, f"/{name}"))
        elif len(clean(text)) > longest:
            found.append(Problem(f"{name}_too_long", f"At most {longest} characters.", f"/{name}"))
    return found

"""Logging, editing and submitting deals: one at a time in the browser and by REST, many at a time from files.

Every problem of a deal is found at once and says where it is. A deal's facts are versions; none is ever overwritten.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction

from accounts.audit import acting
from accounts.models import User
from config import bulk, outbox
from config.clock import day_of
from config.refusals import Conflict, Forbidden, NotFound, Problem, Stale, refuse_if_any
from marketplace.models import Currency, Customer, Offering, OfferingRevision, Plan, PriceVersion
from marketplace.selectors.on_sale import why_not
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    ONE,
    Deal,
    DealAction,
    DealEvent,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    FiscalCalendar,
    FxRate,
    Grain,
    Measure,
    Period,
    PeriodState,
    Rep,
    TeamMembership,
)
from quotas.selectors.visibility import deals_for, may_log_for

MOST_LINES = 100
MOST_SHARES = 50
EDITABLE = (DealState.DRAFT, DealState.RETURNED)


@dataclass(frozen=True)
class NotOnSale(Problem):
    """A line's offering cannot be sold on the close date; replacement is the slug of what takes its place."""

    replacement: str | None = None


@dataclass(frozen=True)
class LineDraft:
    """One line as it was entered; amount in minor units of the deal's currency."""

    offering_id: int
    amount_minor: int
    plan_id: int | None = None
    price_version_id: int | None = None
    quantity: Decimal | None = None
    term_months: int | None = None


@dataclass(frozen=True)
class ShareDraft:
    """One participant's part, in parts per million."""

    rep_id: int
    ppm: int


@dataclass(frozen=True)
class DealDraft:
    """A deal as it was entered, from anywhere."""

    owner_id: int
    customer_id: int
    kind: str
    close_date: date
    currency: str
    lines: tuple[LineDraft, ...]
    shares: tuple[ShareDraft, ...]
    title: str = ""
    new_customer: bool = False
    refunds_id: int | None = None
    source: str = "parity"
    external_id: str = ""


@dataclass
class _Facts:
    """What drafts are checked against and pinned to, read for all of them at once."""

    customers: dict[int, Customer] = field(default_factory=dict)
    currencies: set[str] = field(default_factory=set)
    offerings: dict[int, Offering] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)
    prices: dict[int, list[PriceVersion]] = field(default_factory=dict)
    memberships: dict[int, list[TeamMembership]] = field(default_factory=dict)
    reps: set[int] = field(default_factory=set)
    months: list[Period] = field(default_factory=list)
    rates: list[FxRate] = field(default_factory=list)
    measured_in: set[str] = field(default_factory=set)
    refunded: dict[int, Deal] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))


def problems(draft: DealDraft, *, at: datetime) -> list[Problem]:
    """Everything that is wrong with a draft, each with the place where it is. A fixed number of queries."""
    return _problems_of(draft, _facts_for([draft]), at=at)


@transaction.atomic
def log_deal(*, draft: DealDraft, by: User, at: datetime) -> Deal:
    """Record a new deal as a draft. Raises Invalid, Forbidden, and Conflict for an external id that is taken."""
    if not may_log_for(by, draft.owner_id, day_of(at)):
        raise Forbidden.of(
            "not_your_deal", "You can log deals for yourself, or for the teams that you manage.", "/owner"
        )
    (deal_id,) = record_deals(drafts=[draft], by=by, at=at)
    return Deal.objects.get(pk=deal_id)


@transaction.atomic
def edit_deal(
    *, deal_id: int, draft: DealDraft, by: User, at: datetime, expected_revision: int | None = None
) -> Deal:
    """Record a new version of a draft or returned deal. Raises Invalid, Conflict, Stale, NotFound, Forbidden."""
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    if deal.state not in EDITABLE:
        raise Conflict.of(
            "deal_not_editable",
            f"{deal.reference} is {deal.get_state_display().lower()}; only a draft or a returned deal can be edited.",
        )
    for owner in {deal.owner_id, draft.owner_id}:
        if not may_log_for(by, owner, day_of(at)):
            raise Forbidden.of(
                "not_your_deal", "You can edit deals of your own, or of the teams that you manage.", "/owner"
            )
    facts = _facts_for([draft])
    refuse_if_any(_problems_of(draft, facts, at=at))
    acting(by=by, at=at)
    version = _write_versions([(deal, draft, deal.latest.number + 1, at)], facts, by=by)[0]
    deal.owner_id, deal.customer_id = draft.owner_id, draft.customer_id
    deal.latest_version = version
    deal.revision += 1
    deal.save(update_fields=["owner", "customer", "latest_version", "revision"])
    DealEvent.objects.create(deal=deal, version=version, action=DealAction.EDITED, by=by, at=at)
    return deal


@transaction.atomic
def submit_deal(*, deal_id: int, by: User, at: datetime, expected_revision: int | None = None) -> Deal:
    """Hand a draft or returned deal in for approval. Everything is checked again, because the catalog may have moved on."""
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    if deal.state not in EDITABLE:
        raise Conflict.of(
            "deal_not_submittable", f"{deal.reference} is {deal.get_state_display().lower()} already."
        )
    if not may_log_for(by, deal.owner_id, day_of(at)):
        raise Forbidden.of(
            "not_your_deal", "You can submit deals of your own, or of the teams that you manage."
        )
    draft = draft_of(deal)
    facts = _facts_for([draft])
    wrong = _problems_of(draft, facts, at=at)
    if draft.close_date > at.astimezone(facts.zone).date():
        wrong.append(
            Problem(
                "close_date_in_future",
                "A deal is submitted once it is won: its close date lies ahead.",
                "/close_date",
            )
        )
    refuse_if_any(wrong)
    acting(by=by, at=at)
    deal.state = DealState.SUBMITTED
    deal.submitted_by, deal.submitted_at = by, at
    deal.decided_by, deal.decided_at = None, None
    deal.revision += 1
    deal.save(update_fields=["state", "submitted_by", "submitted_at", "decided_by", "decided_at", "revision"])
    DealEvent.objects.create(deal=deal, version=deal.latest, action=DealAction.SUBMITTED, by=by, at=at)
    outbox.promise(
        topic="quotas.deal_submitted",
        key=f"deal-submitted:{deal.pk}:{deal.revision}",
        payload={"deal_id": deal.pk},
        at=at,
    )
    return deal


@transaction.atomic
def record_deals(
    *,
    drafts: Sequence[DealDraft],
    by: User,
    at: datetime,
    state: str = DealState.DRAFT,
    submitted_by: User | None = None,
    recorded_at_each: Sequence[datetime] | None = None,
) -> list[int]:
    """Record many deals at once, all or none, in a number of statements that does not depend on how many.

    state             draft or submitted.
    recorded_at_each  When each became known, in the order of *drafts*; *at* for all of them otherwise.
    Returns           Ids in the order of *drafts*.
    Raises            Invalid with every problem of every draft, its pointer led by the draft's place when there are several.
    """
    facts = _facts_for(drafts)
    found: list[Problem] = []
    for place, draft in enumerate(drafts):
        at_place = "" if len(drafts) == 1 else f"/{place}"
        found += [replace(p, pointer=f"{at_place}{p.pointer}") for p in _problems_of(draft, facts, at=at)]
    refuse_if_any(found)
    acting(by=by, at=at)
    when = recorded_at_each or [at] * len(drafts)
    submitted = state == DealState.SUBMITTED
    try:
        with transaction.atomic():
            deals = bulk.insert(
                [
                    Deal(
                        source=draft.source,
                        external_id=draft.external_id,
                        owner_id=draft.owner_id,
                        customer_id=draft.customer_id,
                        state=state,
                        created_by_id=by.pk,
                        created_at=moment,
                        submitted_by_id=(submitted_by or by).pk if submitted else None,
                        submitted_at=moment if submitted else None,
                    )
                    for draft, moment in zip(drafts, when, strict=True)
                ]
            )
    except IntegrityError as taken:
        if "deal_unique_in_its_source" in str(taken):
            raise Conflict.of(
                "external_id_taken", "This source has a deal with that external id already.", "/external_id"
            ) from taken
        raise
    versions = _write_versions(
        [(deal, draft, 1, moment) for deal, draft, moment in zip(deals, drafts, when, strict=True)],
        facts,
        by=by,
    )
    for deal, version in zip(deals, versions, strict=True):
        deal.latest_version = version
    bulk.update(Deal, [d.pk for d in deals], {"latest_version_id": ("bigint", [v.pk for v in versions])})
    events = [
        DealEvent(deal_id=d.pk, version_id=v.pk, action=DealAction.LOGGED, by_id=by.pk, at=m)
        for d, v, m in zip(deals, versions, when, strict=True)
    ]
    if submitted:
        events += [
            DealEvent(
                deal_id=d.pk,
                version_id=v.pk,
                action=DealAction.SUBMITTED,
                by_id=(submitted_by or by).pk,
                at=m,
            )
            for d, v, m in zip(deals, versions, when, strict=True)
        ]
    bulk.insert(events)
    return [deal.pk for deal in deals]


def deal_for_change(*, deal_id: int, by: User, at: datetime, expected_revision: int | None) -> Deal:
    """Lock one deal that this person may see. Raises NotFound for any other, Stale when it moved on since it was read."""
    if not deals_for(by, day_of(at)).filter(pk=deal_id).exists():
        raise NotFound.of("deal_not_found", "There is no such deal.")
    deal = (
        Deal.objects.select_for_update(of=("self",)).select_related("latest_version", "owner").get(pk=deal_id)
    )
    if expected_revision is not None and deal.revision != expected_revision:
        raise Stale.of(
            "deal_changed",
            f"{deal.reference} changed since you read it (it is {deal.get_state_display().lower()} now). Load it again, then decide.",
        )
    return deal


def draft_of(deal: Deal) -> DealDraft:
    """The latest version of a deal, as it could be entered again. 2 queries."""
    version = deal.latest
    return DealDraft(
        owner_id=deal.owner_id,
        customer_id=deal.customer_id,
        kind=version.kind,
        close_date=version.close_date,
        currency=version.currency_id,
        lines=tuple(
            LineDraft(x.offering_id, x.amount_minor, x.plan_id, x.price_version_id, x.quantity, x.term_months)
            for x in version.lines.order_by("line_no")
        ),
        shares=tuple(ShareDraft(x.rep_id, x.ppm) for x in version.shares.order_by("ordinal")),
        title=version.title,
        new_customer=version.new_customer,
        refunds_id=version.refunds_id,
        source=deal.source,
        external_id=deal.external_id,
    )


def _facts_for(drafts: Sequence[DealDraft]) -> _Facts:
    """Everything the drafts refer to. 13 queries, however many drafts."""
    lines = [line for draft in drafts for line in draft.lines]
    plan_ids = {line.plan_id for line in lines if line.plan_id is not None}
    rep_ids = {share.rep_id for draft in drafts for share in draft.shares} | {
        draft.owner_id for draft in drafts
    }
    facts = _Facts(
        customers=Customer.objects.in_bulk({draft.customer_id for draft in drafts}),
        currencies=set(
            Currency.objects.filter(code__in={draft.currency for draft in drafts}).values_list(
                "code", flat=True
            )
        ),
        offerings=Offering.objects.select_related("replacement").in_bulk(
            {line.offering_id for line in lines}
        ),
        plans=Plan.objects.in_bulk(plan_ids),
        reps=set(Rep.objects.filter(pk__in=rep_ids).values_list("pk", flat=True)),
        months=list(Period.objects.filter(grain=Grain.MONTH).order_by("starts")),
        measured_in=set(Measure.objects.exclude(currency=None).values_list("currency_id", flat=True)),
        rates=list(
            FxRate.objects.filter(superseded_at=None, from_currency__in={draft.currency for draft in drafts})
        ),
        refunded=Deal.objects.in_bulk({draft.refunds_id for draft in drafts if draft.refunds_id is not None}),
    )
    facts.revisions = {
        offering_id: pk
        for pk, offering_id, number in OfferingRevision.objects.filter(offering__in=list(facts.offerings))
        .order_by("number")
        .values_list("id", "offering_id", "number")
    }
    for price in PriceVersion.objects.filter(plan__in=plan_ids, superseded_at=None).order_by("id"):
        facts.prices.setdefault(price.plan_id, []).append(price)
    for membership in TeamMembership.objects.filter(rep__in=rep_ids, superseded_at=None):
        facts.memberships.setdefault(membership.rep_id, []).append(membership)
    zone = FiscalCalendar.objects.order_by("id").values_list("time_zone", flat=True).first()
    facts.zone = ZoneInfo(zone or "UTC")
    return facts


def _problems_of(draft: DealDraft, facts: _Facts, *, at: datetime) -> list[Problem]:
    found: list[Problem] = []
    say = found.append
    today = at.astimezone(facts.zone).date()
    if draft.owner_id not in facts.reps:
        say(Problem("unknown_rep", "There is no such rep.", "/owner"))
    if draft.customer_id not in facts.customers:
        say(Problem("unknown_customer", "There is no such customer.", "/customer"))
    if draft.kind not in DealKind.values:
        say(Problem("unknown_kind", f"A deal's kind is one of {', '.join(DealKind.values)}.", "/kind"))
    if len(draft.title) > 160:
        say(Problem("title_too_long", "A title has at most 160 characters.", "/title"))
    if draft.kind == DealKind.REFUND:
        original = facts.refunded.get(draft.refunds_id or 0)
        if original is None or original.state != DealState.APPROVED:
            say(
                Problem(
                    "refund_needs_its_original",
                    "A refund names the approved deal that it refunds.",
                    "/refunds",
                )
            )
    elif draft.refunds_id is not None:
        say(Problem("only_a_refund_refunds", "Only a deal of kind refund names another deal.", "/refunds"))
    month = next((m for m in facts.months if m.starts <= draft.close_date < m.ends), None)
    if month is None:
        say(Problem("no_period", f"No fiscal period holds {draft.close_date}.", "/close_date"))
    elif month.state in (PeriodState.CLOSED, PeriodState.CLOSING):
        say(
            Problem(
                "period_closed",
                f"{month.name} is {month.state}: a deal that closed on {draft.close_date} needs the comp admin, or a date in an open period.",
                "/close_date",
            )
        )
    if draft.currency not in facts.currencies:
        say(
            Problem(
                "unknown_currency",
                f"{draft.currency or 'Nothing'} is not a currency known here.",
                "/currency",
            )
        )
    elif draft.close_date <= today:
        without = sorted(
            to
            for to in facts.measured_in - {draft.currency}
            if not any(
                r.from_currency_id == draft.currency
                and r.to_currency_id == to
                and draft.close_date in r.effective
                for r in facts.rates
            )
        )
        if without:
            say(
                Problem(
                    "no_fx_rate",
                    f"There is no exchange rate from {draft.currency} to {', '.join(without)} for {draft.close_date}.",
                    "/currency",
                )
            )
    found.extend(_line_problems(draft, facts))
    found.extend(_share_problems(draft, facts))
    return found


def _line_problems(draft: DealDraft, facts: _Facts) -> Iterable[Problem]:
    if not draft.lines:
        yield Problem("no_lines", "A deal has at least one line.", "/lines")
    if len(draft.lines) > MOST_LINES:
        yield Problem("too_many_lines", f"A deal has at most {MOST_LINES} lines.", "/lines")
    for place, line in enumerate(draft.lines):
        at = f"/lines/{place}"
        offering = facts.offerings.get(line.offering_id)
        if offering is None:
            yield Problem("unknown_offering", "There is no such offering.", f"{at}/offering")
        elif draft.kind not in (DealKind.REFUND, DealKind.CONSUMPTION):
            reason = why_not(offering, draft.close_date)
            if reason is not None:
                yield NotOnSale(
                    reason.code, reason.message, f"{at}/offering", replacement=reason.replacement_slug or None
                )
        if line.plan_id is not None and (
            line.plan_id not in facts.plans or facts.plans[line.plan_id].offering_id != line.offering_id
        ):
            yield Problem("unknown_plan", "There is no such plan of this offering.", f"{at}/plan")
        if line.price_version_id is not None and line.price_version_id not in {
            p.pk for p in facts.prices.get(line.plan_id or 0, ())
        }:
            yield Problem("unknown_price", "There is no such price of this plan.", f"{at}/price_version")
        if abs(line.amount_minor) > LARGEST_AMOUNT_MINOR:
            yield Problem(
                "amount_too_large",
                "Parity counts exactly up to 9,000,000,000,000 minor units; split the line.",
                f"{at}/amount",
            )
        elif line.amount_minor < 0 and draft.kind != DealKind.REFUND:
            yield Problem(
                "negative_amount",
                "An amount is negative on a refund only, which names its original.",
                f"{at}/amount",
            )
        elif line.amount_minor > 0 and draft.kind == DealKind.REFUND:
            yield Problem("refund_is_negative", "A refund's amounts are negative.", f"{at}/amount")
        if line.quantity is not None and line.quantity < 0:
            yield Problem("negative_quantity", "A quantity is zero or more.", f"{at}/quantity")
        elif line.quantity is not None and (
            line.quantity >= 10**12 or line.quantity != round(line.quantity, 4)
        ):
            yield Problem(
                "quantity_out_of_range",
                "A quantity has at most twelve digits and four decimals.",
                f"{at}/quantity",
            )
        if line.term_months is not None and not 1 <= line.term_months <= 600:
            yield Problem("term_out_of_range", "A term is between 1 and 600 months.", f"{at}/term_months")


def _share_problems(draft: DealDraft, facts: _Facts) -> Iterable[Problem]:
    if draft.kind == DealKind.CONSUMPTION:
        if draft.shares:
            yield Problem(
                "consumption_has_no_shares",
                "Consumption is credited to the account's owner of its month; leave the shares out.",
                "/shares",
            )
        return
    if not draft.shares:
        yield Problem("no_shares", "Somebody has to have the credit: give at least one share.", "/shares")
        return
    if len(draft.shares) > MOST_SHARES:
        yield Problem("too_many_shares", f"A deal has at most {MOST_SHARES} participants.", "/shares")
    times: Mapping[int, int] = Counter(share.rep_id for share in draft.shares)
    for place, share in enumerate(draft.shares):
        if share.rep_id not in facts.reps:
            yield Problem("unknown_rep", "There is no such rep.", f"/shares/{place}/rep")
        elif times[share.rep_id] > 1:
            yield Problem("rep_twice", "Each rep has one share.", f"/shares/{place}/rep")
        elif not any(draft.close_date in m.effective for m in facts.memberships.get(share.rep_id, ())):
            yield Problem(
                "rep_without_team", f"This rep was in no team on {draft.close_date}.", f"/shares/{place}/rep"
            )
        if not 0 < share.ppm <= ONE:
            yield Problem(
                "share_out_of_range", "A share is above 0 % and at most 100 %.", f"/shares/{place}/percent"
            )
    together = sum(share.ppm for share in draft.shares)
    if together != ONE:
        difference = Decimal(abs(ONE - together)).scaleb(-4).normalize()
        yield Problem(
            "shares_do_not_add_up",
            f"Shares add up to {Decimal(together).scaleb(-4).normalize():f} %: {'take away' if together > ONE else 'give'} {difference:f} % {'' if together > ONE else 'more '}to reach 100 %.".replace(
                "  ", " "
            ),
            "/shares",
        )


def _write_versions(
    wanted: Sequence[tuple[Deal, DealDraft, int, datetime]], facts: _Facts, *, by: User
) -> list[DealVersion]:
    """Versions, lines and shares of deals that were checked; 3 statements a few thousand rows."""
    versions = bulk.insert(
        [
            DealVersion(
                deal_id=deal.pk,
                number=number,
                kind=draft.kind,
                title=draft.title,
                close_date=draft.close_date,
                currency_id=draft.currency,
                segment=facts.customers[draft.customer_id].segment,
                region=facts.customers[draft.customer_id].region,
                new_customer=draft.new_customer,
                refunds_id=draft.refunds_id,
                recorded_by_id=by.pk,
                recorded_at=at,
            )
            for deal, draft, number, at in wanted
        ]
    )
    pairs = list(zip(versions, (draft for _, draft, _, _ in wanted), strict=True))
    bulk.insert(
        [
            DealLine(
                version_id=version.pk,
                line_no=number,
                offering_id=line.offering_id,
                offering_revision_id=facts.revisions.get(line.offering_id),
                plan_id=line.plan_id,
                price_version_id=line.price_version_id or _price_in_effect(facts, line.plan_id, draft),
                amount_minor=line.amount_minor,
                quantity=line.quantity,
                term_months=line.term_months,
            )
            for version, draft in pairs
            for number, line in enumerate(draft.lines, start=1)
        ]
    )
    bulk.insert(
        [
            DealShare(version_id=version.pk, ordinal=ordinal, rep_id=share.rep_id, ppm=share.ppm)
            for version, draft in pairs
            for ordinal, share in enumerate(draft.shares, start=1)
        ]
    )
    return versions


def _price_in_effect(facts: _Facts, plan_id: int | None, draft: DealDraft) -> int | None:
    """The list price to pin: of the plan, on the close date, in the deal's currency if there is one, else in any."""
    if plan_id is None:
        return None
    valid = [p for p in facts.prices.get(plan_id, ()) if draft.close_date in p.effective]
    own = [p for p in valid if p.currency_id == draft.currency]
    return next((p.pk for p in own or valid), None)

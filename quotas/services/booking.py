"""Logging, editing and submitting deals: one at a time in the browser and by REST, many at a time from files.

Every problem of a deal is found at once and says where it is. A deal's facts are versions; none is ever overwritten.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q

from accounts.audit import acting
from accounts.models import Role, User
from config import bulk, outbox
from config import house as formats
from config.clock import day_of
from config.refusals import Conflict, Forbidden, NotFound, Problem, Stale, refuse_if_any
from marketplace.models import (
    Currency,
    Customer,
    Offering,
    OfferingRevision,
    Plan,
    PriceVersion,
    PrivateOfferState,
)
from marketplace.selectors.on_sale import NotSellable, why_not, why_not_plan
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
    FxRate,
    Grain,
    Measure,
    Period,
    PeriodState,
    Rep,
    TeamMembership,
)
from quotas.selectors.deals import refunded_by
from quotas.selectors.periods import Calendars
from quotas.selectors.visibility import deals_for, may_log_for

K = TypeVar("K")

MOST_LINES = 100
MOST_SHARES = 50
# Columns in the order in which rows of them are written.
_DEAL = ("id", "source", "external_id", "owner_id", "customer_id", "calendar_id", "state", "held", "latest_version_id", "revision", "created_by_id", "created_at", "submitted_by_id", "submitted_at")  # fmt: skip
_VERSION = ("id", "deal_id", "number", "kind", "title", "close_date", "currency_id", "segment", "region", "new_customer", "refunds_id", "recorded_by_id", "recorded_at", "reason")  # fmt: skip
_LINE = ("version_id", "line_no", "offering_id", "offering_revision_id", "plan_id", "price_version_id", "amount_minor", "quantity", "term_months", "billed_minor")  # fmt: skip
_EVENT = ("deal_id", "version_id", "action", "by_id", "at", "reason")
KINDS = frozenset(DealKind.values)
EDITABLE = (DealState.DRAFT, DealState.RETURNED)


@dataclass(frozen=True)
class NotOnSale(Problem):
    """A line's offering cannot be sold on the close date; replacement is the slug of what takes its place."""

    replacement: str | None = None


@dataclass(frozen=True)
class LineDraft:
    """One line as it was entered; amount in minor units of the deal's currency.

    line_no       The number it has in the deal that is amended; empty for a new line. Ignored where a deal is logged or edited.
    billed_minor  Of a month's consumption: what was billed, once that is known.
    """

    offering_id: int
    amount_minor: int
    plan_id: int | None = None
    price_version_id: int | None = None
    quantity: Decimal | None = None
    term_months: int | None = None
    line_no: int | None = None
    billed_minor: int | None = None


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


@dataclass(frozen=True)
class _Before:
    """What an amendment starts from: the version in force and its lines by number.

    last_no        The highest line number that any version of the deal has used.
    may_back_date  Whether its close date may be moved into a month that is closed.
    """

    deal: Deal
    version: DealVersion
    lines: Mapping[int, DealLine]
    last_no: int
    may_back_date: bool

    def sold_then(self, line: LineDraft, draft: "DealDraft") -> bool:
        """Whether the line stands already: what was on sale then needs no second look."""
        return draft.close_date == self.version.close_date and any(
            old.offering_id == line.offering_id for old in self.lines.values()
        )


class _Where(NamedTuple):
    """What a deal pins of its customer."""

    segment: str
    region: str


@dataclass
class Facts:
    """What drafts are checked against and pinned to, read for all of them at once; more can be learned for more of them.

    late     Whoever asks may date a deal in a month that is closed: a comp admin.
    asked    What was looked for already, by kind, found or not.
    weighed  How many drafts were weighed so far: each is its own number, below zero, until it has an id.

    agreed (plan, customer) to the prices of the private offers that the customer has accepted.
    sold   (original, offering) to what the original sold of it.
    taken  (original, offering) to refund to what that refund takes back of it, as an absolute amount.
    """

    late: bool = False
    asked: dict[str, set[Any]] = field(default_factory=lambda: defaultdict(set))
    weighed: int = 0
    customers: dict[int, _Where] = field(default_factory=dict)
    currencies: dict[str, Currency] = field(default_factory=dict)
    offerings: dict[int, Offering] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)
    prices: dict[int, list[PriceVersion]] = field(default_factory=dict)
    agreed: dict[tuple[int, int], list[PriceVersion]] = field(default_factory=dict)
    memberships: dict[int, list[TeamMembership]] = field(default_factory=dict)
    reps: set[int] = field(default_factory=set)
    months: list[Period] = field(default_factory=list)
    rates: list[FxRate] = field(default_factory=list)
    measured_in: set[str] = field(default_factory=set)
    refunded: dict[int, Deal] = field(default_factory=dict)
    sold: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    taken: dict[tuple[int, int], dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    before: dict[int, _Before] = field(default_factory=dict)
    calendars: Calendars = field(default_factory=Calendars)
    _calendars: dict[tuple[int, date], int] = field(default_factory=dict)
    _months: dict[tuple[int, date], Period | None] = field(default_factory=dict)
    _without_rate: dict[tuple[str, date], list[str]] = field(default_factory=dict)
    _unsellable: dict[tuple[int, date], NotSellable | None] = field(default_factory=dict)
    _placed: dict[tuple[int, date], bool] = field(default_factory=dict)

    def unasked(self, kind: str, keys: Iterable[K]) -> set[K]:
        """Those of *keys* that nobody has looked for; they count as asked for from now on."""
        new = set(keys) - self.asked[kind]
        self.asked[kind] |= new
        return new

    def calendar_of(self, draft: DealDraft, deal: Deal | None = None) -> int:
        """Of the owner's business unit on the close date; 0 where there is no calendar.

        deal  What the draft is to be the facts of: it keeps its calendar as long as its owner stays.
        """
        if deal is not None and deal.owner_id == draft.owner_id:
            return deal.calendar_id
        key = (draft.owner_id, draft.close_date)
        if key not in self._calendars:
            found = self.calendars.of_member(self.memberships.get(draft.owner_id, ()), draft.close_date)
            self._calendars[key] = found.pk if found is not None else 0
        return self._calendars[key]

    def today(self, calendar_id: int, at: datetime) -> date:
        """The day it is in the calendar's own time zone."""
        zone = self.calendars.numbered(calendar_id).time_zone if calendar_id else "UTC"
        return at.astimezone(ZoneInfo(zone)).date()

    def month_of(self, calendar_id: int, day: date) -> Period | None:
        """The month of a calendar that holds the day."""
        key = (calendar_id, day)
        if key not in self._months:
            self._months[key] = next(
                (m for m in self.months if m.calendar_id == calendar_id and m.starts <= day < m.ends), None
            )
        return self._months[key]

    def currencies_without_rate(self, currency: str, day: date) -> list[str]:
        """Currencies of measures that an amount in *currency* could not be turned into on *day*."""
        key = (currency, day)
        if key not in self._without_rate:
            self._without_rate[key] = sorted(
                to
                for to in self.measured_in - {currency}
                if not any(
                    r.from_currency_id == currency and r.to_currency_id == to and day in r.effective
                    for r in self.rates
                )
            )
        return self._without_rate[key]

    def unsellable(self, offering_id: int, day: date) -> NotSellable | None:
        """Why the offering cannot be sold on *day*."""
        key = (offering_id, day)
        if key not in self._unsellable:
            self._unsellable[key] = why_not(self.offerings[offering_id], day)
        return self._unsellable[key]

    def in_a_team(self, rep_id: int, day: date) -> bool:
        key = (rep_id, day)
        if key not in self._placed:
            spans = (m.effective for m in self.memberships.get(rep_id, ()))
            self._placed[key] = any(  # by the bounds: Range's own test is many times slower
                (s.lower is None or s.lower <= day) and (s.upper is None or day < s.upper) for s in spans
            )
        return self._placed[key]


def problems(
    draft: DealDraft,
    *,
    at: datetime,
    amends: Deal | None = None,
    by: User | None = None,
    facts: Facts | None = None,
) -> list[Problem]:
    """Everything that is wrong with a draft, each with the place where it is. A fixed number of queries.

    amends  The approved deal that the draft would amend.
    by      Who brings it: a comp admin may date it in a closed month.
    facts   What facts_for knows of it, where somebody goes on asking.
    """
    facts = facts or facts_for([draft], amended=[amends] if amends is not None else [], by=by)
    return _problems_of(draft, facts, at=at, deal=amends)


def problems_in_deciding(deals: Sequence[Deal], *, at: datetime) -> list[list[Problem]]:
    """What stands in the way of approving each of these deals or amendments, together. A fixed number of queries.

    Of other refunds those count that are approved, or are to be approved at the same time.
    """
    drafts = drafts_of(deals)
    facts = facts_for(drafts, amended=[deal for deal in deals if deal.amended_at is not None], settled=True)
    for deal, draft in zip(deals, drafts, strict=True):
        _take(draft, facts, deal.pk)
    return [_problems_of(draft, facts, at=at, deal=deal) for deal, draft in zip(deals, drafts, strict=True)]


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
    facts = facts_for([draft], by=by)
    refuse_if_any(_problems_of(draft, facts, at=at, deal=deal))
    acting(by=by, at=at)
    (version_id,) = write_versions([(deal.pk, draft, deal.latest.number + 1, at)], facts, by=by)
    version = DealVersion.objects.get(pk=version_id)
    deal.calendar_id = facts.calendar_of(draft, deal)
    deal.owner_id, deal.customer_id = draft.owner_id, draft.customer_id
    deal.latest_version = version
    deal.revision += 1
    deal.save(update_fields=["owner", "customer", "calendar", "latest_version", "revision"])
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
    facts = facts_for([draft], by=by)
    wrong = _problems_of(draft, facts, at=at, deal=deal)
    if draft.close_date > facts.today(deal.calendar_id, at):
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
def recall_deal(*, deal_id: int, by: User, at: datetime, expected_revision: int | None = None) -> Deal:
    """Take a submitted deal back before anybody decided on it: it is a draft again. Raises NotFound, Conflict, Forbidden, Stale."""
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    if not may_recall(by, deal, day_of(at)):
        if deal.state != DealState.SUBMITTED or _begun(deal):
            raise Conflict.of(
                "deal_not_recallable", f"{deal.reference} was decided on already, so it cannot be taken back."
            )
        raise Forbidden.of(
            "not_your_deal", "You can take back deals of your own, or of the teams that you manage."
        )
    acting(by=by, at=at)
    deal.state = DealState.DRAFT
    deal.submitted_by, deal.submitted_at = None, None
    deal.revision += 1
    deal.save(update_fields=["state", "submitted_by", "submitted_at", "revision"])
    DealEvent.objects.create(
        deal=deal, version=deal.latest, action=DealAction.RETURNED, by=by, at=at, reason="Taken back"
    )
    return deal


def may_recall(user: User, deal: Deal, on: date) -> bool:
    """Whoever may log for its owner, while nobody has approved it yet. 1 query and those of may_log_for."""
    return deal.state == DealState.SUBMITTED and may_log_for(user, deal.owner_id, on) and not _begun(deal)


def _begun(deal: Deal) -> bool:
    """The first of two has approved what is submitted now."""
    return (
        deal.submitted_at is not None
        and deal.approvals.filter(version=deal.latest_version, submitted_at=deal.submitted_at).exists()
    )


@transaction.atomic
def amend_deal(
    *,
    deal_id: int,
    draft: DealDraft,
    by: User,
    at: datetime,
    reason: str,
    expected_revision: int | None = None,
) -> Deal:
    """Propose new facts for an approved deal. What stands stays credited until the amendment is approved; needs a reason.

    Lines that stay keep their numbers, so that what did not change is not touched. A second amendment takes the place of one
    that waits. Customer, owner and what a refund refunds stay. Raises Invalid, Conflict, Stale, NotFound, Forbidden.
    """
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    refuse_without_reason(reason)
    if deal.state != DealState.APPROVED:
        raise Conflict.of(
            "deal_not_amendable",
            f"{deal.reference} is {deal.get_state_display().lower()}; only an approved deal is amended.",
        )
    if deal.in_force.kind == DealKind.CONSUMPTION:
        raise Conflict.of(
            "consumption_is_not_amended",
            "A month's consumption is corrected by recording its usage again, not by an amendment.",
        )
    if not may_log_for(by, deal.owner_id, day_of(at)):
        raise Forbidden.of(
            "not_your_deal", "You can amend deals of your own, or of the teams that you manage.", "/owner"
        )
    deal.amended_by, deal.amended_at = by, at
    facts = facts_for([draft], amended=[deal])
    before = facts.before[deal.pk]
    refuse_if_any(_problems_of(draft, facts, at=at, deal=deal))
    proposed = _numbered(draft, before)
    if same_facts(proposed, draft_of(deal, version=before.version)):
        raise Conflict.of("nothing_changed", f"This is what {deal.reference} says already.")
    acting(by=by, at=at, reason=reason)
    newest = DealVersion.objects.filter(deal=deal).aggregate(newest=Max("number"))["newest"]
    (version_id,) = write_versions([(deal.pk, proposed, newest + 1, at)], facts, by=by, reason=reason)
    version = DealVersion.objects.get(pk=version_id)
    deal.latest_version = version
    deal.revision += 1
    deal.save(update_fields=["latest_version", "amended_by", "amended_at", "revision"])
    DealEvent.objects.create(
        deal=deal, version=version, action=DealAction.AMENDED, by=by, at=at, reason=reason
    )
    outbox.promise(
        topic="quotas.deal_submitted",
        key=f"deal-amended:{deal.pk}:{deal.revision}",
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
    facts = facts_for(drafts, by=by)
    refuse_if_any(
        replace(p, pointer=f"{'' if len(drafts) == 1 else f'/{place}'}{p.pointer}")
        for place, found in enumerate(weigh(drafts, facts, at=at))
        for p in found
    )
    acting(by=by, at=at)
    try:
        with transaction.atomic():
            return write_deals(
                drafts,
                facts,
                by=by,
                state=state,
                submitted_by=submitted_by or by,
                recorded_at_each=recorded_at_each or [at] * len(drafts),
            )
    except IntegrityError as taken:
        if "deal_unique_in_its_source" in str(taken):
            raise Conflict.of(
                "external_id_taken", "This source has a deal with that external id already.", "/external_id"
            ) from taken
        raise


def weigh(
    drafts: Sequence[DealDraft],
    facts: Facts,
    *,
    at: datetime,
    deals: Sequence[Deal | None] | None = None,
) -> list[list[Problem]]:
    """What is wrong with each draft, refunds of one deal counted one after the other. No query.

    deals  What each of them would change; None for a draft that is not logged yet.
    """
    found = []
    for place, draft in enumerate(drafts):
        deal = deals[place] if deals is not None else None
        wrong = _problems_of(draft, facts, at=at, deal=deal)
        found.append(wrong)
        if not wrong:  # what is refused takes nothing back
            facts.weighed += 1
            _take(draft, facts, deal.pk if deal is not None else -facts.weighed)
    return found


def write_deals(
    drafts: Sequence[DealDraft],
    facts: Facts,
    *,
    by: User,
    state: str,
    submitted_by: User,
    recorded_at_each: Sequence[datetime],
) -> list[int]:
    """Deals that were weighed, with their first version. 7 statements, however many; returns ids in the order of *drafts*."""
    ids, versions = bulk.reserve(Deal, len(drafts)), bulk.reserve(DealVersion, len(drafts))
    submitted = state == DealState.SUBMITTED
    bulk.copy(
        Deal,
        _DEAL,
        (
            (
                pk,
                draft.source,
                draft.external_id,
                draft.owner_id,
                draft.customer_id,
                facts.calendar_of(draft),
                state,
                False,
                version,
                1,
                by.pk,
                moment,
                submitted_by.pk if submitted else None,
                moment if submitted else None,
            )
            for pk, version, draft, moment in zip(ids, versions, drafts, recorded_at_each, strict=True)
        ),
    )
    write_versions(
        [(pk, draft, 1, moment) for pk, draft, moment in zip(ids, drafts, recorded_at_each, strict=True)],
        facts,
        by=by,
        ids=versions,
    )
    steps = [(DealAction.LOGGED, by.pk), *([(DealAction.SUBMITTED, submitted_by.pk)] if submitted else [])]
    bulk.copy(
        DealEvent,
        _EVENT,
        (
            (pk, version, action.value, who, moment, "")
            for pk, version, moment in zip(ids, versions, recorded_at_each, strict=True)
            for action, who in steps
        ),
    )
    return ids


def write_changes(
    changes: Sequence[tuple[Deal, DealDraft]], facts: Facts, *, by: User, at: datetime, reason: str
) -> None:
    """New versions of deals that are logged, weighed before: an amendment of an approved one, an edit of any other. 7 statements.

    Lines of an amendment keep their numbers, as in amend_deal; facts_for() was told of the approved deals.
    """
    if not changes:
        return
    deals = [deal for deal, _ in changes]
    newest = dict(
        DealVersion.objects.filter(deal__in=deals)
        .order_by()
        .values_list("deal_id")
        .annotate(newest=Max("number"))
    )
    drafts = [numbered(deal, draft, facts) for deal, draft in changes]
    versions = write_versions(
        [(deal.pk, draft, newest[deal.pk] + 1, at) for deal, draft in zip(deals, drafts, strict=True)],
        facts,
        by=by,
        reason=reason,
    )
    amends = [deal.state == DealState.APPROVED for deal in deals]
    bulk.update(
        Deal,
        [deal.pk for deal in deals],
        {
            "owner_id": ("bigint", [draft.owner_id for draft in drafts]),
            "customer_id": ("bigint", [draft.customer_id for draft in drafts]),
            "calendar_id": (
                "bigint",
                [facts.calendar_of(draft, deal) for deal, draft in zip(deals, drafts, strict=True)],
            ),
            "latest_version_id": ("bigint", versions),
            "revision": ("int", [deal.revision + 1 for deal in deals]),
            "amended_by_id": ("bigint", [by.pk if amended else None for amended in amends]),
            "amended_at": ("timestamptz", [at if amended else None for amended in amends]),
        },
    )
    bulk.copy(
        DealEvent,
        _EVENT,
        (
            (
                deal.pk,
                version,
                (DealAction.AMENDED if amended else DealAction.EDITED).value,
                by.pk,
                at,
                reason,
            )
            for deal, version, amended in zip(deals, versions, amends, strict=True)
        ),
    )


def hand_in(deal_ids: Sequence[int], *, by: User, at: datetime) -> None:
    """Submit drafts and returned deals whose latest version was weighed. 2 statements."""
    if not deal_ids:
        return
    deals = Deal.objects.filter(bulk.any_of("pk", deal_ids))
    bulk.copy(
        DealEvent,
        _EVENT,
        [
            (pk, version, DealAction.SUBMITTED.value, by.pk, at, "")
            for pk, version in deals.order_by("pk").values_list("pk", "latest_version_id")
        ],
    )
    deals.update(
        state=DealState.SUBMITTED,
        submitted_by=by,
        submitted_at=at,
        decided_by=None,
        decided_at=None,
        revision=F("revision") + 1,
    )


def take_back(deals: Sequence[Deal], *, by: User, at: datetime, reason: str) -> None:
    """Withdraw amendments that wait, of deals that are locked: what stands goes on standing. 2 statements."""
    if not deals:
        return
    bulk.copy(
        DealEvent,
        _EVENT,
        [
            (deal.pk, deal.latest_version_id, DealAction.AMENDMENT_REJECTED.value, by.pk, at, reason)
            for deal in deals
        ],
    )
    Deal.objects.filter(bulk.any_of("pk", [deal.pk for deal in deals])).update(
        latest_version=F("credited_version"), amended_by=None, amended_at=None, revision=F("revision") + 1
    )


def by_hand(version: DealVersion, source: str) -> bool:
    """Whether a version of a deal that *source* brought was made by people, not by an import of that source."""
    return version.number > 1 and not version.reason.startswith(f"{source}: I-")


def numbered(deal: Deal, draft: DealDraft, facts: Facts) -> DealDraft:
    """A change of a deal with its lines numbered as they will be written."""
    before = facts.before.get(deal.pk)
    return _numbered(draft, before) if before is not None else draft


def deal_for_change(*, deal_id: int, by: User, at: datetime, expected_revision: int | None) -> Deal:
    """Lock one deal that this person may see. Raises NotFound for any other, Stale when it moved on since it was read."""
    if not deals_for(by, day_of(at)).filter(pk=deal_id).exists():
        raise NotFound.of("deal_not_found", "There is no such deal.")
    # Two statements: one that waits for the lock would read the deal as it is then, and its versions as they were before.
    Deal.objects.select_for_update().only("pk").get(pk=deal_id)
    deal = Deal.objects.select_related("latest_version", "credited_version", "owner", "amended_by").get(
        pk=deal_id
    )
    if expected_revision is not None and deal.revision != expected_revision:
        raise Stale.of(
            "deal_changed",
            f"{deal.reference} changed since you read it (it is {deal.get_state_display().lower()} now). Load it again, then decide.",
        )
    return deal


def draft_of(deal: Deal, *, version: DealVersion | None = None) -> DealDraft:
    """A version of a deal, the latest if none is given, as it could be entered again. 2 queries."""
    return drafts_of([deal], versions=[version or deal.latest])[0]


def drafts_of(deals: Sequence[Deal], *, versions: Sequence[DealVersion] | None = None) -> list[DealDraft]:
    """The latest versions of deals, or the ones that are given, as they could be entered again. 2 queries, whatever their number."""
    chosen = list(versions) if versions is not None else [deal.latest for deal in deals]
    lines: dict[int, list[LineDraft]] = defaultdict(list)
    for x in DealLine.objects.filter(version__in=chosen).order_by("version_id", "line_no"):
        lines[x.version_id].append(
            LineDraft(
                x.offering_id,
                x.amount_minor,
                x.plan_id,
                x.price_version_id,
                x.quantity,
                x.term_months,
                x.line_no,
                x.billed_minor,
            )
        )
    shares: dict[int, list[ShareDraft]] = defaultdict(list)
    for share in DealShare.objects.filter(version__in=chosen).order_by("version_id", "ordinal"):
        shares[share.version_id].append(ShareDraft(share.rep_id, share.ppm))
    return [
        DealDraft(
            owner_id=deal.owner_id,
            customer_id=deal.customer_id,
            kind=version.kind,
            close_date=version.close_date,
            currency=version.currency_id,
            lines=tuple(lines[version.pk]),
            shares=tuple(shares[version.pk]),
            title=version.title,
            new_customer=version.new_customer,
            refunds_id=version.refunds_id,
            source=deal.source,
            external_id=deal.external_id,
        )
        for deal, version in zip(deals, chosen, strict=True)
    ]


def refund_of(original: Deal, *, on: date) -> DealDraft:
    """A refund of everything that is left of a deal, to start from: its lines with negative amounts, shared as it was. 4 queries."""
    draft = draft_of(original, version=original.in_force)
    left = _by_offering(draft)
    for _original, offering, _refund, amount in refunded_by([original.pk]):
        left[offering] = left.get(offering, 0) + amount
    lines = []
    for line in draft.lines:
        amount = min(line.amount_minor, max(left[line.offering_id], 0))
        left[line.offering_id] -= amount
        if amount:
            quantity = None if line.quantity is None else round(line.quantity * amount / line.amount_minor, 4)
            lines.append(replace(line, amount_minor=-amount, line_no=None, quantity=quantity))
    return replace(
        draft,
        kind=DealKind.REFUND,
        close_date=on,
        lines=tuple(lines),
        title=f"Refund: {draft.title}"[:160] if draft.title else "",
        new_customer=False,
        refunds_id=original.pk,
        source="parity",
        external_id="",
    )


def renewal_of(ending: Deal, *, owner_id: int, on: date) -> DealDraft:
    """The same again once a term ends, to start from: its lines with a term, all of them if none has one. 2 queries."""
    draft = draft_of(ending, version=ending.in_force)
    lines = [line for line in draft.lines if line.term_months] or draft.lines
    return replace(
        draft,
        owner_id=owner_id,
        kind=DealKind.RENEWAL,
        close_date=on,
        # What it cost then is no price of today, and a bill belongs to a month of usage.
        lines=tuple(replace(line, price_version_id=None, line_no=None, billed_minor=None) for line in lines),
        shares=(ShareDraft(owner_id, ONE),),
        title=f"Renewal: {draft.title.removeprefix('Renewal: ')}"[:160] if draft.title else "",
        new_customer=False,
        refunds_id=None,
        source="parity",
        external_id="",
    )


def refuse_without_reason(reason: str) -> None:
    """Whoever changes what counts says why. Raises Conflict."""
    if not reason.strip():
        raise Conflict.of(
            "reason_needed", "Say why: the owner will read it, and so will an auditor.", "/reason"
        )
    if len(reason) > 500:
        raise Conflict.of("reason_too_long", "A reason has at most 500 characters.", "/reason")


def _numbered(draft: DealDraft, before: _Before) -> DealDraft:
    """The draft with a number on every line. A line that stays keeps its own, a new one gets one that was never used.

    A line stays if its offering does: by the number that it names, else by what it has most in common with.
    """
    left = dict(before.lines)
    numbers: list[int | None] = []
    for line in draft.lines:
        old = left.get(line.line_no or 0)
        stays = old is not None and old.offering_id == line.offering_id
        numbers.append(line.line_no if stays else None)
        if stays:
            del left[line.line_no or 0]
    for alike in (_all_of, _what, _which):
        for place, line in enumerate(draft.lines):
            if numbers[place] is None:
                number = next((no for no, old in left.items() if alike(old) == alike(line)), None)
                if number is not None:
                    numbers[place] = number
                    del left[number]
    following = before.last_no
    lines = []
    for number, line in zip(numbers, draft.lines, strict=True):
        if number is None:
            following += 1
        lines.append(replace(line, line_no=number or following))
    return replace(draft, lines=tuple(lines))


def _all_of(line: DealLine | LineDraft) -> object:
    return (*_what(line), line.amount_minor, line.quantity, line.term_months)


def _what(line: DealLine | LineDraft) -> tuple[object, ...]:
    return (line.offering_id, line.plan_id)


def _which(line: DealLine | LineDraft) -> object:
    return line.offering_id


def same_facts(one: DealDraft, other: DealDraft) -> bool:
    """Whether two drafts of one deal say the same, line by line by their numbers."""

    def facts(draft: DealDraft) -> object:
        lines = sorted((line.line_no or 0, _all_of(line)) for line in draft.lines)
        return (
            *(draft.kind, draft.close_date, draft.currency, draft.title, draft.new_customer),
            lines,
            draft.shares,
        )

    return facts(one) == facts(other)


def facts_for(
    drafts: Sequence[DealDraft],
    *,
    amended: Sequence[Deal] = (),
    settled: bool = False,
    known: Facts | None = None,
    by: User | None = None,
) -> Facts:
    """Everything the drafts refer to. 13 queries, however many drafts, and 2 to 4 more where there are refunds or amendments.

    2 more where there are several fiscal calendars.
    amended  The deals that the drafts amend.
    settled  Whether of other refunds only those count that are approved; else those that wait count too.
    known    Facts of earlier drafts, read in the same transaction, to add to; what is in them is not read again.
    by       Who brings the drafts; files are brought by nobody, so that closed months stay as they are.
    """
    facts = known or Facts()
    facts.late = by is not None and by.has_role(Role.COMP_ADMIN)
    lines = [line for draft in drafts for line in draft.lines]
    customer_ids = facts.unasked("customer", (draft.customer_id for draft in drafts))
    plan_ids = facts.unasked("plan", (line.plan_id for line in lines if line.plan_id is not None))
    offering_ids = facts.unasked("offering", (line.offering_id for line in lines))
    rep_ids = facts.unasked(
        "rep",
        {share.rep_id for draft in drafts for share in draft.shares} | {draft.owner_id for draft in drafts},
    )
    codes = facts.unasked("currency", (draft.currency for draft in drafts))
    facts.customers |= {
        pk: _Where(segment, region)
        for pk, segment, region in Customer.objects.filter(bulk.any_of("pk", customer_ids)).values_list(
            "pk", "segment", "region"
        )
    }
    facts.currencies |= Currency.objects.in_bulk(codes)
    facts.offerings |= Offering.objects.select_related("replacement").in_bulk(offering_ids)
    facts.plans |= Plan.objects.in_bulk(plan_ids)
    facts.reps |= set(Rep.objects.filter(bulk.any_of("pk", rep_ids)).values_list("pk", flat=True))
    facts.rates += FxRate.objects.filter(superseded_at=None, from_currency__in=codes)
    facts.refunded = Deal.objects.select_related("credited_version").in_bulk(
        {draft.refunds_id for draft in drafts if draft.refunds_id is not None}
    )
    if known is None:
        facts.months = list(Period.objects.filter(grain=Grain.MONTH).order_by("starts"))
        facts.measured_in = set(Measure.objects.exclude(currency=None).values_list("currency_id", flat=True))
    elif facts.calendars.several:  # teams may have been made since
        facts.calendars, facts._calendars = Calendars(), {}
    _add_families(facts, amended, settled=settled)
    facts.revisions |= {
        offering_id: pk
        for pk, offering_id, number in OfferingRevision.objects.filter(bulk.any_of("offering", offering_ids))
        .order_by("number")
        .values_list("id", "offering_id", "number")
    }
    _add_prices(facts, drafts)
    for membership in TeamMembership.objects.filter(bulk.any_of("rep", rep_ids), superseded_at=None):
        facts.memberships.setdefault(membership.rep_id, []).append(membership)
    return facts


def _add_prices(facts: Facts, drafts: Sequence[DealDraft]) -> None:
    """List prices of the plans, and what the customers have accepted privately for them. 1 query."""
    pairs = facts.unasked(
        "price",
        {(line.plan_id, draft.customer_id) for draft in drafts for line in draft.lines if line.plan_id},
    )
    listed = facts.unasked("listed", (plan_id for plan_id, _ in pairs))
    prices = (
        PriceVersion.objects.filter(
            bulk.any_of("plan", {plan_id for plan_id, _ in pairs}), superseded_at=None
        )
        .filter(
            Q(private_offer=None)
            | Q(
                bulk.any_of("private_offer__customer", {customer_id for _, customer_id in pairs}),
                private_offer__state=PrivateOfferState.ACCEPTED,
            )
        )
        .select_related("private_offer")
        .order_by("id")
    )
    for price in prices:
        if price.private_offer is None:
            if price.plan_id in listed:
                facts.prices.setdefault(price.plan_id, []).append(price)
        elif (price.plan_id, price.private_offer.customer_id) in pairs:
            key = price.plan_id, price.private_offer.customer_id
            facts.agreed.setdefault(key, []).append(price)


def _add_families(facts: Facts, amended: Sequence[Deal], *, settled: bool) -> None:
    """What originals sold and their refunds take back, and what amendments start from.

    Of each original once: refunds that are weighed count from then on, and would count a second time as what is written of them.
    """
    sold_by = facts.unasked("sold", facts.refunded)
    roots = facts.unasked("taken", {*facts.refunded, *(deal.pk for deal in amended)})
    facts.before = {}
    if sold_by:
        sold = DealLine.objects.filter(
            version__in=[facts.refunded[root].credited_version_id for root in sold_by]
        ).values_list("version__deal_id", "offering_id", "amount_minor")
        for root, offering, amount in sold:
            facts.sold[root, offering] += amount
    if roots:
        for root, offering, refund, amount in refunded_by(roots, settled=settled):
            facts.taken[root, offering][refund] = -amount
    if not amended:
        return
    in_force = {deal.credited_version_id: deal for deal in amended}
    versions = DealVersion.objects.select_related("currency").in_bulk([pk for pk in in_force if pk])
    lines: dict[int, dict[int, DealLine]] = defaultdict(dict)
    for line in DealLine.objects.filter(version__in=list(versions)).order_by("line_no"):
        lines[line.version_id][line.line_no] = line
    last = dict(
        DealLine.objects.filter(version__deal__in=[deal.pk for deal in amended])
        .values_list("version__deal_id")
        .annotate(Max("line_no"))
    )
    for pk, version in versions.items():
        deal = in_force[pk]
        facts.before[deal.pk] = _Before(
            deal=deal,
            version=version,
            lines=lines[pk],
            last_no=last[deal.pk],
            may_back_date=deal.amended_by is not None and deal.amended_by.has_role(Role.COMP_ADMIN),
        )


def _take(draft: DealDraft, facts: Facts, refund_id: int) -> None:
    """Let a refund count for those that are looked at after it."""
    if draft.refunds_id is not None:
        for offering, amount in _by_offering(draft).items():
            facts.taken[draft.refunds_id, offering][refund_id] = -amount


def _by_offering(draft: DealDraft) -> dict[int, int]:
    amounts: dict[int, int] = defaultdict(int)
    for line in draft.lines:
        amounts[line.offering_id] += line.amount_minor
    return amounts


def _problems_of(draft: DealDraft, facts: Facts, *, at: datetime, deal: Deal | None = None) -> list[Problem]:
    """What is wrong with a draft; deal is the one that it is or amends, None for one that is not logged yet."""
    found: list[Problem] = []
    say = found.append
    deal_id = deal.pk if deal is not None else None
    calendar_id = facts.calendar_of(draft, deal)
    today = facts.today(calendar_id, at)
    before = facts.before.get(deal_id or 0)
    if draft.owner_id not in facts.reps:
        say(Problem("unknown_rep", "There is no such rep.", "/owner"))
    if draft.customer_id not in facts.customers:
        say(Problem("unknown_customer", "There is no such customer.", "/customer"))
    if draft.kind not in KINDS:
        say(Problem("unknown_kind", f"A deal's kind is one of {', '.join(DealKind.values)}.", "/kind"))
    if len(draft.title) > 160:
        say(Problem("title_too_long", "A title has at most 160 characters.", "/title"))
    if draft.kind == DealKind.REFUND:
        found.extend(_refund_problems(draft, facts, deal_id))
    elif draft.refunds_id is not None:
        say(Problem("only_a_refund_refunds", "Only a deal of kind refund names another deal.", "/refunds"))
    if before is not None:
        found.extend(_amendment_problems(draft, facts, before, today))
    month = facts.month_of(calendar_id, draft.close_date)
    if month is None:
        say(Problem("no_period", f"No fiscal period holds {draft.close_date}.", "/close_date"))
    elif month.state in (PeriodState.CLOSED, PeriodState.CLOSING) and not _may_close_in(
        month, facts, before, deal
    ):
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
        without = facts.currencies_without_rate(draft.currency, draft.close_date)
        if without:
            say(
                Problem(
                    "no_fx_rate",
                    f"There is no exchange rate from {draft.currency} to {', '.join(without)} for {draft.close_date}.",
                    "/currency",
                )
            )
    found.extend(_line_problems(draft, facts, before))
    found.extend(share_problems(draft, facts))
    return found


def _may_close_in(month: Period, facts: Facts, before: _Before | None, deal: Deal | None) -> bool:
    """A correction of what a closed month holds is posted into an open one; only a comp admin brings or moves a deal into another closed month."""
    if before is not None:
        return before.may_back_date or month.starts <= before.version.close_date < month.ends
    handed_in = deal is not None and deal.state == DealState.SUBMITTED and deal.submitted_by
    return facts.late or bool(handed_in and handed_in.has_role(Role.COMP_ADMIN))


def _refund_problems(draft: DealDraft, facts: Facts, deal_id: int | None) -> Iterable[Problem]:
    """A refund takes back at most what is left of each offering of its original, in the same currency. RULES 8.4."""
    original = facts.refunded.get(draft.refunds_id or 0)
    sold = original.credited_version if original is not None else None
    if original is None or sold is None or original.state != DealState.APPROVED:
        yield Problem(
            "refund_needs_its_original", "A refund names the approved deal that it refunds.", "/refunds"
        )
        return
    if sold.kind in (DealKind.REFUND, DealKind.CONSUMPTION):
        yield Problem(
            "not_refundable",
            f"{original.reference} is {'a refund itself' if sold.kind == DealKind.REFUND else 'consumption: record its usage again'}.",
            "/refunds",
        )
        return
    if original.customer_id != draft.customer_id:
        yield Problem(
            "refund_to_another_customer",
            f"{original.reference} was sold to another customer: a refund goes to the one who paid.",
            "/customer",
        )
    if draft.close_date < sold.close_date:
        yield Problem(
            "refund_before_its_original",
            f"{original.reference} closed on {sold.close_date}: a refund is not earlier.",
            "/close_date",
        )
    if sold.currency_id != draft.currency:
        yield Problem(
            "refund_in_another_currency",
            f"{original.reference} is in {sold.currency_id}, and so are its refunds.",
            "/currency",
        )
        return
    own = _by_offering(draft)
    for offering, amount in own.items():
        place = next(n for n, line in enumerate(draft.lines) if line.offering_id == offering)
        key = (original.pk, offering)
        if key not in facts.sold:
            yield Problem(
                "not_in_the_original",
                f"{original.reference} has no line of this offering.",
                f"/lines/{place}/offering",
            )
            continue
        others = sum(taken for refund, taken in facts.taken.get(key, {}).items() if refund != deal_id)
        left = facts.sold[key] - others
        if -amount > left and draft.currency in facts.currencies:
            money = formats.money(max(left, 0), draft.currency, facts.currencies[draft.currency].exponent)
            yield Problem(
                "more_than_is_left",
                f"At most {money} of {facts.offerings[offering].name} is left to refund of {original.reference}."
                if left > 0
                else f"Nothing of {facts.offerings[offering].name} is left to refund of {original.reference}.",
                f"/lines/{place}/amount",
            )


def _amendment_problems(draft: DealDraft, facts: Facts, before: _Before, today: date) -> Iterable[Problem]:
    """What an amendment cannot change: whose deal it is, with whom, what a refund refunds, and what was refunded already."""
    deal, version = before.deal, before.version
    if draft.customer_id != deal.customer_id:
        yield Problem(
            "customer_stays",
            "An amendment keeps the customer: cancel the deal and log it for the other one.",
            "/customer",
        )
    if draft.owner_id != deal.owner_id:
        yield Problem(
            "owner_stays",
            "An amendment keeps the owner: who is credited is said by the split.",
            "/owner",
        )
    apart = (DealKind.REFUND, DealKind.CONSUMPTION)
    if draft.kind != version.kind and (draft.kind in apart or version.kind in apart):
        yield Problem("kind_stays", f"{deal.reference} stays {version.get_kind_display().lower()}.", "/kind")
    if draft.refunds_id != version.refunds_id:
        yield Problem("original_stays", "An amendment keeps the deal that is refunded.", "/refunds")
    if draft.close_date > today:
        yield Problem("close_date_in_future", "The deal is won: its close date is not ahead.", "/close_date")
    times = Counter(line.line_no for line in draft.lines if line.line_no is not None)
    for place, line in enumerate(draft.lines):
        if line.line_no is not None and times[line.line_no] > 1:
            yield Problem("line_twice", "Each line has a number of its own.", f"/lines/{place}/line_no")
        elif line.line_no is not None and not 1 <= line.line_no <= before.last_no:
            yield Problem(
                "unknown_line", f"{deal.reference} has no line {line.line_no}.", f"/lines/{place}/line_no"
            )
    taken = {offering: sum(of.values()) for (root, offering), of in facts.taken.items() if root == deal.pk}
    if taken and draft.currency != version.currency_id:
        yield Problem(
            "currency_stays", f"{deal.reference} has refunds in {version.currency_id}.", "/currency"
        )
        return
    yield from below_refunds(deal, _by_offering(draft), taken, version.currency)


def below_refunds(
    deal: Deal, amounts: Mapping[int, int], taken: Mapping[int, int], currency: Currency
) -> Iterable[Problem]:
    """Where less would be left of an offering than was refunded of it."""
    for offering, gone in taken.items():
        if gone > amounts.get(offering, 0):
            money = formats.money(gone, currency.code, currency.exponent)
            name = Offering.objects.values_list("name", flat=True).get(pk=offering)
            yield Problem(
                "below_its_refunds",
                f"{money} of {name} in {deal.reference} was refunded: less than that cannot be left of it.",
                "/lines",
            )


def _line_problems(draft: DealDraft, facts: Facts, before: _Before | None) -> Iterable[Problem]:
    if not draft.lines:
        yield Problem("no_lines", "A deal has at least one line.", "/lines")
    if len(draft.lines) > MOST_LINES:
        yield Problem("too_many_lines", f"A deal has at most {MOST_LINES} lines.", "/lines")
    for place, line in enumerate(draft.lines):
        at = f"/lines/{place}"
        offering = facts.offerings.get(line.offering_id)
        if offering is None:
            yield Problem("unknown_offering", "There is no such offering.", f"{at}/offering")
        elif draft.kind not in (DealKind.REFUND, DealKind.CONSUMPTION) and not (
            before is not None and before.sold_then(line, draft)
        ):
            reason = facts.unsellable(line.offering_id, draft.close_date)
            if reason is not None:
                yield NotOnSale(
                    reason.code, reason.message, f"{at}/offering", replacement=reason.replacement_slug or None
                )
        if line.plan_id is not None and (
            line.plan_id not in facts.plans or facts.plans[line.plan_id].offering_id != line.offering_id
        ):
            yield Problem("unknown_plan", "There is no such plan of this offering.", f"{at}/plan")
        elif line.plan_id is not None and not (
            draft.kind in (DealKind.REFUND, DealKind.CONSUMPTION)
            or (before is not None and before.sold_then(line, draft))
        ):
            withdrawn = why_not_plan(facts.plans[line.plan_id], draft.close_date)
            if withdrawn is not None:
                yield NotOnSale(withdrawn.code, withdrawn.message, f"{at}/plan")
        if line.price_version_id is not None and line.price_version_id not in {
            p.pk
            for p in (
                *facts.prices.get(line.plan_id or 0, ()),
                *facts.agreed.get((line.plan_id or 0, draft.customer_id), ()),
            )
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


def share_problems(draft: DealDraft, facts: Facts) -> Iterable[Problem]:
    """What is wrong with who shares the deal, and by how much."""
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
        elif not facts.in_a_team(share.rep_id, draft.close_date):
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


def write_versions(
    wanted: Sequence[tuple[int, DealDraft, int, datetime]],
    facts: Facts,
    *,
    by: User,
    reason: str = "",
    ids: Sequence[int] | None = None,
) -> list[int]:
    """Versions, lines and shares of deals that were checked, each as (deal id, draft, number, recorded at). 3 statements, however many.

    An amendment keeps what the version in force pinned: the customer's segment and region, revision and price of the lines that stay.
    ids      Of the versions, where they are reserved already.
    Returns  Ids of the versions in the order of *wanted*.
    """
    made = list(ids) if ids is not None else bulk.reserve(DealVersion, len(wanted))
    bulk.copy(DealVersion, _VERSION, _version_rows(made, wanted, facts, by.pk, reason))
    bulk.copy(
        DealLine,
        _LINE,
        (
            _line(version, deal_id, place, line, draft, facts)
            for version, (deal_id, draft, _, _) in zip(made, wanted, strict=True)
            for place, line in enumerate(draft.lines, start=1)
        ),
    )
    bulk.copy(
        DealShare,
        ("version_id", "ordinal", "rep_id", "ppm"),
        (
            (version, ordinal, share.rep_id, share.ppm)
            for version, (_, draft, _, _) in zip(made, wanted, strict=True)
            for ordinal, share in enumerate(draft.shares, start=1)
        ),
    )
    return made


def _version_rows(
    ids: Sequence[int],
    wanted: Sequence[tuple[int, DealDraft, int, datetime]],
    facts: Facts,
    by_id: int,
    reason: str,
) -> Iterable[tuple[Any, ...]]:
    for pk, (deal_id, draft, number, at) in zip(ids, wanted, strict=True):
        before = facts.before.get(deal_id)
        where = before.version if before is not None else facts.customers[draft.customer_id]
        yield (
            pk,
            deal_id,
            number,
            draft.kind,
            draft.title,
            draft.close_date,
            draft.currency,
            where.segment,
            where.region,
            draft.new_customer,
            draft.refunds_id,
            by_id,
            at,
            reason,
        )


def _line(
    version_id: int, deal_id: int, place: int, line: LineDraft, draft: DealDraft, facts: Facts
) -> tuple[Any, ...]:
    before = facts.before.get(deal_id)
    old = before.lines.get(line.line_no or 0) if before is not None else None
    price = line.price_version_id
    if price is None and old is not None and old.plan_id == line.plan_id:
        price = old.price_version_id
    return (
        version_id,
        (line.line_no or place) if before is not None else place,
        line.offering_id,
        old.offering_revision_id if old else facts.revisions.get(line.offering_id),
        line.plan_id,
        price or _price_in_effect(facts, line.plan_id, draft),
        line.amount_minor,
        line.quantity,
        line.term_months,
        line.billed_minor,
    )


def _price_in_effect(facts: Facts, plan_id: int | None, draft: DealDraft) -> int | None:
    """The price to pin on the close date: what the customer has accepted privately, else the list's.

    Of several list prices the one in the deal's currency, else any.
    """
    if plan_id is None:
        return None
    agreed = facts.agreed.get((plan_id, draft.customer_id), ())
    valid = [p for p in agreed if draft.close_date in p.effective] or [
        p for p in facts.prices.get(plan_id, ()) if draft.close_date in p.effective
    ]
    own = [p for p in valid if p.currency_id == draft.currency]
    return next((p.pk for p in own or valid), None)

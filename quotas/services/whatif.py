"""What if a deal were split otherwise, an account were another's, a quota were another? Nothing of it stays but the answer. RULES 17.

Each makes the change and its posting in a savepoint, reads where everybody stands, and rolls both back: what it tells is what
doing it would come to, by the engine that posts. Comp admins ask about anybody, managers about the teams below them.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from django.db.models import Max, QuerySet

from accounts.audit import acting
from accounts.models import Role, User
from config import house as formats
from config.clock import day_of
from config.refusals import Conflict, Forbidden, Problem, refuse_if_any
from marketplace.models import Customer
from quotas.crediting import engine
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    AccountOwnership,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    Measure,
    Period,
    Quota,
    QuotaMethod,
    Rep,
)
from quotas.selectors.visibility import deals_for, reps_for
from quotas.selectors.weighted import WeightedAttainment, weighted_attainments
from quotas.selectors.whatif import Place, Shift, Standing, places_moved, shifts, standings
from quotas.services import facts
from quotas.services.booking import ShareDraft, drafts_of, facts_for, share_problems
from quotas.services.simulating import for_a_moment

MOST_DEALS: Final = 2_000  # a question is answered while somebody waits, and its deals are locked meanwhile
OPEN: Final = (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED)
WHY: Final = "A question: nothing of it is kept"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A rep's weighted attainment in a period under one plan version, on both sides; None where no component has a quota."""

    rep: Rep
    period: Period
    plan: str
    before: Fraction | None
    after: Fraction | None


@dataclass(frozen=True)
class Answer:
    """What a change would come to. Nothing was written.

    what       A sentence.
    as_if      Whether an open deal was taken as approved, on both sides.
    deals      How many credited deals it touches.
    counts     Outcomes as the posting would count them.
    shifts     Who would stand elsewhere, the largest change first; only those whose numbers the asker may see.
    hidden     How many more reps would move whom the asker may not see.
    """

    what: str
    shifts: Sequence[Shift]
    weighed: Sequence[Weighed] = ()
    deals: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    as_if: bool = False
    hidden: int = 0

    @property
    def winners(self) -> list[Shift]:
        return [shift for shift in self.shifts if shift.change > 0]

    @property
    def losers(self) -> list[Shift]:
        return [shift for shift in self.shifts if shift.change < 0]


# --- who may ask about whom -------------------------------------------------------------------------------


def asks_about(by: User, on: date) -> QuerySet[Rep]:
    """The reps that a person may ask about. Raises Forbidden for who is neither comp admin nor manager."""
    if not by.has_role(Role.COMP_ADMIN, Role.MANAGER):
        raise Forbidden.of("not_a_planner", "Comp admins and managers ask what would be.")
    return reps_for(by, on)


def deals_asked_about(by: User, on: date) -> QuerySet[Deal]:
    """The deals whose split a person may try: those of reps that they may ask about."""
    return deals_for(by, on).filter(owner__in=asks_about(by, on))


def accounts_asked_about(by: User, on: date) -> QuerySet[Customer]:
    """The customers whose transfer a person may try: all, or those that such a rep owns on the day."""
    asked = asks_about(by, on)
    if by.has_role(Role.COMP_ADMIN):
        return Customer.objects.all()
    owned = AccountOwnership.objects.filter(rep__in=asked, superseded_at=None, effective__contains=on)
    return Customer.objects.filter(pk__in=owned.values("customer"))


# --- a deal, split otherwise ------------------------------------------------------------------------------


def split_otherwise(*, deal_id: int, shares: Sequence[ShareDraft], by: User, at: datetime) -> Answer:
    """What other shares of one deal would come to; of a deal that is open, as if it were approved either way.

    Raises  Forbidden, Invalid, Conflict where no month can take a correction.
    """
    on = day_of(at)
    deal = (
        deals_asked_about(by, on)
        .select_related("latest_version", "credited_version", "customer")
        .filter(pk=deal_id)
        .first()
    )
    refuse_if_any([Problem("unknown_deal", "There is no such deal.", "/deal")] if deal is None else [])
    assert deal is not None  # noqa: S101 -- refused above
    refuse_if_any(_split_problems(deal, shares, asks_about(by, on)))
    is_open = deal.state in OPEN

    def split(chosen: Sequence[ShareDraft] | None) -> Callable[[], list[engine.Outcome]]:
        def change() -> list[engine.Outcome]:
            if chosen is None and not is_open:
                return []
            source = engine.ByDeal([deal.pk])
            engine.lock(source)  # before the deal's own row: the one order that everybody keeps
            _put_in_force(deal, chosen, by=by, at=at)
            return [_post(source, by=by, at=at)]

        return change

    before, after = _compare(split(None), split(shares), by=by, at=at)
    names = Rep.objects.in_bulk([share.rep_id for share in shares])
    said = ", ".join(
        f"{names[share.rep_id].name} {Decimal(share.ppm).scaleb(-4).normalize():f}%" for share in shares
    )
    what = f"{deal.reference} for {deal.customer.name}, split {said}"
    return _answer(what, before, after, by=by, on=on, deals=1, as_if=is_open)


def _split_problems(deal: Deal, shares: Sequence[ShareDraft], asked: QuerySet[Rep]) -> Iterator[Problem]:
    version = _in_force(deal)
    if deal.state not in (*OPEN, DealState.APPROVED):
        yield Problem("deal_is_over", f"{deal.reference} is {deal.get_state_display().lower()}.", "/deal")
        return
    if deal.held:
        yield Problem("deal_is_held", f"{deal.reference} is held: no split of it counts.", "/deal")
    if version.kind == DealKind.CONSUMPTION:
        yield Problem(
            "consumption_has_no_shares",
            "Consumption is credited to the account's owner: try another owner instead.",
            "/deal",
        )
        return
    (draft,) = drafts_of([deal], versions=[version])
    wanted = replace(draft, shares=tuple(shares))
    yield from share_problems(wanted, facts_for([wanted]))
    own = set(version.shares.values_list("rep_id", flat=True))
    outside = {share.rep_id for share in shares} - own
    if outside and asked.filter(pk__in=outside).count() < len(outside):
        yield Problem("rep_out_of_reach", "Choose reps of your own teams.", "/shares")


def _put_in_force(deal: Deal, shares: Sequence[ShareDraft] | None, *, by: User, at: datetime) -> None:
    """Credit the deal as it is, or as another version that differs in its shares alone."""
    version = _in_force(deal)
    if shares is not None:
        lines = list(version.lines.all())
        last = deal.versions.aggregate(last=Max("number"))["last"]
        version = DealVersion.objects.get(pk=version.pk)
        version.pk, version.number = None, last + 1
        version.recorded_by, version.recorded_at, version.reason = by, at, WHY
        version.save(force_insert=True)
        for line in lines:
            line.pk, line.version = None, version
        DealLine.objects.bulk_create(lines)
        DealShare.objects.bulk_create(
            DealShare(version=version, ordinal=place, rep_id=share.rep_id, ppm=share.ppm)
            for place, share in enumerate(shares, start=1)
        )
    Deal.objects.filter(pk=deal.pk).update(state=DealState.APPROVED, credited_version=version)


def _in_force(deal: Deal) -> DealVersion:
    return deal.latest if deal.credited_version is None else deal.credited_version


# --- an account, somebody else's --------------------------------------------------------------------------


def owned_otherwise(
    *,
    customer_id: int,
    rep_id: int,
    starts: date,
    holdover_until: date | None = None,
    by: User,
    at: datetime,
) -> Answer:
    """What a transfer of an account from a day on would come to: its usage is credited to the new owner.

    Raises  Forbidden, Invalid, Conflict where the customer is that rep's already or no month can take a correction.
    """
    on = day_of(at)
    refuse_if_any(
        [
            *_unless(accounts_asked_about(by, on).filter(pk=customer_id), "customer"),
            *_unless(asks_about(by, on).filter(pk=rep_id), "rep"),
        ]
    )
    made: list[facts.FactChange] = []

    def change() -> list[engine.Outcome]:
        with facts.trying(by_anybody=True):
            made[:] = [
                facts.transfer_account(
                    customer_id=customer_id,
                    rep_id=rep_id,
                    starts=starts,
                    holdover_until=holdover_until,
                    by=by,
                    at=at,
                    reason=WHY,
                )
            ]
        source = facts.source_of(made[0])
        assert isinstance(source, engine.ByDeal)  # noqa: S101 -- a transfer names its deals
        if len(source.deals) > MOST_DEALS:
            raise Conflict(
                Problem(
                    "too_many_deals",
                    f"It touches {len(source.deals):,} deals, and a question takes at most {MOST_DEALS:,}: make the change with its preview instead.",
                )
            )
        return [_post(source, by=by, at=at)] if source.deals else []

    before, after = _compare(list, change, by=by, at=at)
    return _answer(made[0].what, before, after, by=by, on=on, deals=len(made[0].deals or ()))


def _unless(found: QuerySet[Customer] | QuerySet[Rep], what: str) -> list[Problem]:
    return (
        []
        if found.exists()
        else [Problem(f"unknown_{what}", f"Choose a {what} of those that you answer for.", f"/{what}")]
    )


# --- another quota ----------------------------------------------------------------------------------------


def aiming_otherwise(
    *,
    rep_id: int,
    measure_id: int,
    period_id: int,
    amount_minor: int,
    starts: date | None = None,
    method: str = QuotaMethod.LAST,
    by: User,
    at: datetime,
) -> Answer:
    """What another quota of a rep would do to attainment and rank.

    starts  The first day of the new version; only a method that weighs by days looks at it.
    Raises  Forbidden, Invalid.
    """
    on = day_of(at)
    period = Period.objects.filter(pk=period_id).first()
    measure = Measure.objects.select_related("currency").filter(pk=measure_id).first()
    problems = _unless(asks_about(by, on).filter(pk=rep_id), "rep")
    if measure is None:
        problems.append(Problem("unknown_measure", "Choose a measure.", "/measure"))
    if period is None:
        problems.append(Problem("unknown_period", "Choose a period.", "/period"))
    elif starts is not None and not period.starts <= starts < period.ends:
        problems.append(Problem("not_in_the_period", f"Choose a day of {period.name}.", "/starts"))
    if not 0 <= amount_minor <= LARGEST_AMOUNT_MINOR:
        problems.append(
            Problem(
                "quota_out_of_range",
                "A quota is not below zero, and not beyond what is counted exactly.",
                "/amount",
            )
        )
    if method not in QuotaMethod.values:
        problems.append(Problem("unknown_method", "Choose how versions count.", "/method"))
    refuse_if_any(problems)
    assert measure is not None and period is not None  # noqa: S101, PT018 -- refused above

    def change() -> list[engine.Outcome]:
        known = Quota.objects.filter(measure=measure, period=period, rep=rep_id)
        last = known.aggregate(last=Max("version"))["last"] or 0
        known.filter(superseded_at=None).update(superseded_at=at)
        Quota.objects.create(
            measure=measure,
            period=period,
            rep_id=rep_id,
            version=last + 1,
            amount_minor=amount_minor,
            starts=starts,
            method=method,
            recorded_by=by,
            recorded_at=at,
        )
        return []

    place = Place(rep_id, measure.pk, period.pk)
    before, after = _compare(list, change, by=by, at=at, places={place})
    written = formats.measured(
        amount_minor,
        measure.currency.code if measure.currency else None,
        measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT,
    )
    what = f"{Rep.objects.get(pk=rep_id).name} with a quota of {written} in {measure.name}, {period.name}"
    return _answer(what, before, after, by=by, on=on)


# --- both sides -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """Where everybody stands on one side, and what its posting came to."""

    standings: dict[Place, Standing]
    weighted: Mapping[tuple[int, int], Sequence[WeightedAttainment]]
    counts: Mapping[str, int]


def _compare(
    before: Callable[[], list[engine.Outcome]],
    after: Callable[[], list[engine.Outcome]],
    *,
    by: User,
    at: datetime,
    places: Iterable[Place] = (),
) -> tuple[_Side, _Side]:
    """Make each change in a savepoint of its own and read both sides of whoever either moves."""
    wanted = set(places)
    with for_a_moment():
        acting(by=by, at=at, reason=WHY)
        wanted |= places_moved([outcome.posting_id for outcome in before()])
    sides = []
    for change in (after, before):
        with for_a_moment():
            acting(by=by, at=at, reason=WHY)
            made = change()
            wanted |= places_moved([outcome.posting_id for outcome in made])
            sides.append(
                _Side(
                    standings(wanted),
                    _weighted(wanted, day_of(at)),
                    dict(sum((Counter(outcome.counts) for outcome in made), Counter())),
                )
            )
    return sides[1], sides[0]


def _weighted(places: Iterable[Place], on: date) -> dict[tuple[int, int], list[WeightedAttainment]]:
    """By rep and period. At most 8 queries a period."""
    found = {}
    of: dict[int, set[int]] = defaultdict(set)
    for place in places:
        of[place.period_id].add(place.rep_id)
    for period in Period.objects.filter(pk__in=of):
        for rep, told in weighted_attainments(sorted(of[period.pk]), period=period, on=on).items():
            found[rep, period.pk] = told
    return found


def _post(source: engine.ByDeal, *, by: User, at: datetime) -> engine.Outcome:
    """Its key is new each time: that of a question that was asked before must not answer for it."""
    return engine.post(
        source, key=f"what-if:{secrets.token_hex(16)}", kind="adjust", by=by, at=at, reason=WHY
    )


def _answer(
    what: str, before: _Side, after: _Side, *, by: User, on: date, deals: int = 0, as_if: bool = False
) -> Answer:
    """For the asker: without the numbers of reps that they may not see."""
    found = shifts(before.standings, after.standings)
    seen = set(asks_about(by, on).filter(pk__in={s.rep.pk for s in found}).values_list("pk", flat=True))
    weighed = []
    reps = {shift.rep.pk: shift.rep for shift in found}
    period_by_id = {shift.period.pk: shift.period for shift in found}
    for (rep, period), told in after.weighted.items():
        earlier = {each.plan_version.pk: each for each in before.weighted.get((rep, period), ())}
        for each in told:
            known = earlier.get(each.plan_version.pk)
            if rep in seen and known is not None and known.weighted != each.weighted:
                weighed.append(
                    Weighed(
                        reps[rep], period_by_id[period], str(each.plan_version), known.weighted, each.weighted
                    )
                )
    weighed.sort(key=lambda w: (w.rep.name, w.rep.pk, w.period.starts, w.plan))
    return Answer(
        what=what,
        shifts=[shift for shift in found if shift.rep.pk in seen],
        weighed=weighed,
        deals=deals,
        counts=after.counts,
        as_if=as_if,
        hidden=len({shift.rep.pk for shift in found} - seen),
    )

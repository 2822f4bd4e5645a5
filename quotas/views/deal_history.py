"""What happened to a deal, what each step did to its credit, and what an amendment would change."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet

from config import formats
from config.language import _, spoken
from quotas.crediting.telling import missing_unsaved
from quotas.models import (
    CreditEntry,
    Deal,
    DealAction,
    DealApproval,
    DealEvent,
    DealKind,
    DealLine,
    DealVersion,
    Measure,
    Rep,
)
from quotas.selectors.deals import Expected, expected_credit

# --- what an amendment changes -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that an amendment changes; an empty side was not there, or is not there any more."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PersonChange:
    name: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class CreditChange:
    """What a deal earns in a measure, and whose part of it moves."""

    measure: Measure
    before: int
    after: int
    people: Sequence[PersonChange] = ()

    @property
    def difference(self) -> int:
        return self.after - self.before


@dataclass
class Amendment:
    """A version that waits: what it changes, and what it would do to the credit."""

    deal: Deal
    changes: list[Change]
    credit: list[CreditChange]
    reasons: list[str] = field(default_factory=list)

    @property
    def before_minor(self) -> int:
        return sum(line.amount_minor for line in self.deal.in_force.lines.all())

    @property
    def after_minor(self) -> int:
        return sum(line.amount_minor for line in self.deal.latest.lines.all())


def amendments(
    deals: Sequence[Deal], measures: Mapping[int, Measure], *, people: QuerySet[Rep]
) -> dict[int, Amendment]:
    """By deal, of those whose amendment waits; they come from with_facts() and complete(). Two runs of the engine, whatever their number.

    people  The reps whose amounts the reader may see.
    """
    waiting = [deal for deal in deals if deal.amended_at is not None]
    before = expected_credit(waiting, versions=[deal.in_force for deal in waiting])
    after = expected_credit(waiting, why=missing_unsaved)
    reps = {rep for each in (*before.values(), *after.values()) for _rest, rep in each.by_rep}
    names = dict(people.filter(pk__in=reps).values_list("pk", "name"))
    return {
        deal.pk: Amendment(
            deal=deal,
            changes=changes(deal.in_force, deal.latest),
            credit=_credit(before[deal.pk], after[deal.pk], measures, names),
            reasons=after[deal.pk].reasons,
        )
        for deal in waiting
    }


def _credit(
    before: Expected, after: Expected, measures: Mapping[int, Measure], names: Mapping[int, str]
) -> list[CreditChange]:
    known = [measures[pk] for pk in {*before.by_measure, *after.by_measure} if pk in measures]
    return [
        CreditChange(
            measure,
            before.by_measure.get(measure.pk, 0),
            after.by_measure.get(measure.pk, 0),
            [
                PersonChange(names[rep], before.by_rep.get((of, rep), 0), after.by_rep.get((of, rep), 0))
                for of, rep in dict.fromkeys([*before.by_rep, *after.by_rep])
                if of == measure.pk
                and rep in names
                and before.by_rep.get((of, rep), 0) != after.by_rep.get((of, rep), 0)
            ],
        )
        for measure in sorted(known, key=lambda m: (m.position, m.pk))
    ]


def changes(old: DealVersion, new: DealVersion) -> list[Change]:
    """What differs between two versions of a deal, in words; their lines and shares are read."""
    found = [
        Change(_("Title"), old.title, new.title),
        Change(_("Kind"), spoken(old.get_kind_display()), spoken(new.get_kind_display())),
        Change(_("Close date"), formats.day(old.close_date), formats.day(new.close_date)),
        Change(_("Currency"), old.currency_id, new.currency_id),
        Change(_("New customer"), _yes_or_no(old.new_customer), _yes_or_no(new.new_customer)),
    ]
    lines_before, lines_after = _by_number(old), _by_number(new)
    for number in sorted({*lines_before, *lines_after}):
        before, after = lines_before.get(number), lines_after.get(number)
        line = after or before
        found.append(
            Change(
                _("Line %(number)s, %(offering_name)s")
                % {"number": number, "offering_name": line.offering.name}
                if line
                else "",
                _line(before, old) if before else "",
                _line(after, new) if after else "",
            )
        )
    shares_before = {share.rep.name: share.ppm for share in old.shares.all()}
    shares_after = {share.rep.name: share.ppm for share in new.shares.all()}
    found += [
        Change(
            _("Share of %(name)s") % {"name": name},
            _percent(shares_before.get(name)),
            _percent(shares_after.get(name)),
        )
        for name in dict.fromkeys([*shares_before, *shares_after])
    ]
    return [change for change in found if change.before != change.after]


def _yes_or_no(fact: bool) -> str:
    return _("Yes") if fact else _("No")


def _by_number(version: DealVersion) -> dict[int, DealLine]:
    return {line.line_no: line for line in version.lines.all()}


def _line(line: DealLine, version: DealVersion) -> str:
    said = formats.money(line.amount_minor, version.currency_id, version.currency.exponent)
    if line.quantity is not None:
        said += _(", %(quantity)s units") % {"quantity": f"{line.quantity.normalize():f}"}
    if line.term_months:
        said += _(", %(term_months)s months") % {"term_months": line.term_months}
    return f"{said}, {line.plan.name}" if line.plan else said


def _percent(ppm: int | None) -> str:
    return "" if ppm is None else formats.exact_percent(ppm)


# --- the timeline ------------------------------------------------------------------------------------------


@dataclass
class Step:
    """One step of a deal's history, and what it did to the credit that this person may see."""

    title: str
    who: str
    at: datetime
    action: str = ""
    note: str = ""
    version: int = 1
    effect: list[tuple[Measure, int]] = field(default_factory=list)


MOVES = {
    "approve": (DealAction.APPROVED, DealAction.AMENDMENT_APPROVED),
    "load": (DealAction.APPROVED, DealAction.AMENDMENT_APPROVED),
    "amend": (DealAction.AMENDMENT_APPROVED,),
    "usage": (DealAction.APPROVED, DealAction.AMENDMENT_APPROVED),
    "cancel": (DealAction.CANCELLED, DealAction.PARTLY_CANCELLED),
    "hold": (DealAction.HELD,),
    "release": (DealAction.RELEASED,),
}


def timeline(
    deal: Deal,
    events: Sequence[DealEvent],
    entries: Sequence[CreditEntry],
    approvals: Sequence[DealApproval] = (),
) -> list[Step]:
    """The events of a deal in their order, each with what it posted; postings that another deal or a recredit caused are steps too.

    entries    Those that the reader may see, with their postings and measures.
    approvals  Of the deal, with on_behalf_of: who stood in for whom.
    """
    relieved = {
        (given.version_id, given.by_id, given.at): given.on_behalf_of.name
        for given in approvals
        if given.on_behalf_of is not None
    }
    steps = [
        Step(
            title=_title(event),
            who=_who(event, relieved.get((event.version_id, event.by_id, event.at), "")),
            at=event.at,
            action=event.action,
            note=event.reason,
            version=event.version.number,
        )
        for event in events
    ]
    postings: dict[int, list[CreditEntry]] = defaultdict(list)
    for entry in entries:
        postings[entry.posting_id].append(entry)
    taken: set[int] = set()
    for _rest, posted in sorted(postings.items()):
        posting = posted[0].posting
        place = _event_of(deal, events, posted[0], taken)
        effect: dict[Measure, int] = defaultdict(int)
        for entry in posted:
            effect[entry.measure] += entry.amount_minor
        shown = sorted(effect.items(), key=lambda each: (each[0].position, each[0].pk))
        if place is None:
            steps.append(
                Step(
                    title=_("Recredited")
                    if posting.kind == "recredit"
                    else _("Credit followed another deal"),
                    who="",
                    at=posting.recorded_at,
                    note=posting.reason,
                    effect=shown,
                )
            )
        else:
            taken.add(place)
            steps[place].effect = shown
    return sorted(steps, key=lambda step: step.at)


def _event_of(deal: Deal, events: Sequence[DealEvent], entry: CreditEntry, taken: set[int]) -> int | None:
    """The place of the event that caused a posting; a posting of many deals names none of them."""
    posting = entry.posting
    named = posting.key.split(":")[1] if ":" in posting.key else ""
    if named.startswith("D-") and named != deal.reference:
        return None
    able = [
        place
        for place, event in enumerate(events)
        if place not in taken
        and event.action in MOVES.get(posting.kind, ())
        and event.at <= posting.recorded_at
    ]
    same = [place for place in able if events[place].at == posting.recorded_at]
    return next(iter(same or able), None)


def _who(event: DealEvent, relieved: str) -> str:
    return (
        _("%(by_name)s for %(relieved)s") % {"by_name": event.by.name, "relieved": relieved}
        if relieved
        else str(event.by.name)
    )


def _title(event: DealEvent) -> str:
    if event.action == DealAction.AMENDMENT_REJECTED and event.version.recorded_by_id == event.by_id:
        return _("Amendment withdrawn")
    if event.action == DealAction.AMENDMENT_APPROVED and event.version.kind == DealKind.CONSUMPTION:
        return _("Usage changed")
    return spoken(event.get_action_display())

"""Switches on paper: made, changed, copied and shared by one sourcing lead; promoted into live bindings only by a second one.

draft -> asked -> promoted | declined; asked goes back to draft when whoever asked takes it back. Only a draft changes, and
only in the hands of who made it; others copy it. A promotion sets the mix of every feature that the moves touch, in one
transaction, from the scenario's first day on; where that day has come already, from the day after the decision, since what
ran on a day that is over stays as it was. Prices are agreed with suppliers: a scenario that changes one is not promoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Lower

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config.house import day, percent
from config.months import add_months, month_of, months_between
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, Refusal, Stale, refuse_if_any
from marketplace.models import (
    Binding,
    Company,
    Feature,
    ModelVersion,
    MoveKind,
    Plan,
    Scenario,
    ScenarioMove,
    ScenarioState,
)
from marketplace.selectors.sourcing.scenario import Outcome, evaluate
from marketplace.selectors.sourcing.scenario_mix import ONE, Mix
from marketplace.selectors.sourcing.scenarios import moves_of, scenarios_for
from marketplace.services.sourcing.access import must_lead_sourcing
from marketplace.services.sourcing.binding import LONGEST_REASON, MixRow, set_mix

LONGEST_NAME: Final = 120
LONGEST_NOTE: Final = 500
LONGEST_DECISION: Final = 300
MOST_MOVES: Final = 40
MOST_MONTHS: Final = 60
SHRINKS, GROWS = -900_000, 10 * ONE  # a year
DEAREST: Final = 10 * ONE  # a price that rises to more than eleven times itself is a slip of the pen
WANTED: Final = {
    MoveKind.SHARE: ("feature_id", "source_id", "target_id", "share_ppm"),
    MoveKind.PRICE: ("plan_id", "change_ppm"),
    MoveKind.END_SUPPLIER: ("supplier_id",),
}
# What the members of a move are called where it is sent.
SENT: Final = {
    "feature_id": "feature",
    "source_id": "source",
    "target_id": "target",
    "share_ppm": "share",
    "plan_id": "plan",
    "change_ppm": "change",
    "supplier_id": "supplier",
}


@dataclass(frozen=True, slots=True)
class MoveDraft:
    """One change on paper. What does not belong to its kind stays empty.

    feature_id   Of a share; None is every feature.
    share_ppm    Parts per million of the source's own share.
    change_ppm   Of a price: -100_000 is ten per cent cheaper.
    """

    kind: str
    feature_id: int | None = None
    source_id: int | None = None
    target_id: int | None = None
    share_ppm: int | None = None
    plan_id: int | None = None
    change_ppm: int | None = None
    supplier_id: int | None = None


@dataclass(frozen=True, slots=True)
class ScenarioDraft:
    """What somebody wants to look at: moves from a day on, over so many months.

    growth_ppm   By how much use grows in a year; 0 keeps it as it is.
    """

    name: str
    starts_on: date
    months: int = 12
    note: str = ""
    shared: bool = False
    moves: Sequence[MoveDraft] = ()
    growth_ppm: int = 0


def unsaved(moves: Sequence[MoveDraft]) -> list[ScenarioMove]:
    """As rows that are not written, to be looked at. Raises Invalid. 4 queries at most."""
    refuse_if_any(_move_problems(moves))
    return [_row(move, place) for place, move in enumerate(moves)]


@transaction.atomic
def make_scenario(*, draft: ScenarioDraft, on: date, by: User, at: datetime) -> Scenario:
    """Keep a scenario that only *by* sees unless it is shared. Raises Forbidden, Invalid with every problem at once."""
    acting(by=by, at=at, reason=draft.note)
    must_lead_sourcing(by)
    refuse_if_any([*_problems(draft), *_start_problems(draft.starts_on, on), *_move_problems(draft.moves)])
    made = Scenario.objects.create(
        name=draft.name.strip(),
        note=draft.note.strip(),
        starts_on=draft.starts_on,
        months=draft.months,
        growth_ppm=draft.growth_ppm,
        shared=draft.shared,
        made_by=by,
        made_at=at,
    )
    _write_moves(made, draft.moves)
    return made


@transaction.atomic
def revise_scenario(
    *,
    scenario_id: int,
    draft: ScenarioDraft,
    on: date,
    by: User,
    at: datetime,
    expected_revision: int | None = None,
) -> Scenario:
    """Put *draft* in the place of what it says, moves included. Raises Forbidden, NotFound, Stale, Conflict, Invalid."""
    acting(by=by, at=at, reason=draft.note)
    found = _own_draft(scenario_id, by, expected_revision)
    start = _start_problems(draft.starts_on, on) if draft.starts_on != found.starts_on else []
    refuse_if_any([*_problems(draft), *start, *_move_problems(draft.moves)])
    found.name, found.note = draft.name.strip(), draft.note.strip()
    found.starts_on, found.months, found.shared = draft.starts_on, draft.months, draft.shared
    found.growth_ppm = draft.growth_ppm
    if [draft_of(move) for move in moves_of(found)] != list(draft.moves):
        found.moves.all().delete()
        _write_moves(found, draft.moves)
    return _saved(found)


@transaction.atomic
def add_move(
    *, scenario_id: int, move: MoveDraft, by: User, at: datetime, expected_revision: int | None = None
) -> Scenario:
    """Behind the others. Raises Forbidden, NotFound, Stale, Conflict, Invalid with pointers such as /moves/2/target."""
    acting(by=by, at=at)
    found = _own_draft(scenario_id, by, expected_revision)
    moves = [*(draft_of(each) for each in moves_of(found)), move]
    refuse_if_any(_move_problems(moves))
    last = max((each.position for each in moves_of(found)), default=0)
    row = _row(move, last)
    row.scenario = found
    row.save()
    return _saved(found)


@transaction.atomic
def remove_move(
    *, scenario_id: int, position: int, by: User, at: datetime, expected_revision: int | None = None
) -> Scenario:
    """Raises Forbidden, NotFound (unknown_move too), Stale, Conflict."""
    acting(by=by, at=at)
    found = _own_draft(scenario_id, by, expected_revision)
    gone, _kinds = found.moves.filter(position=position).delete()
    if not gone:
        raise NotFound.of("unknown_move", "That move is not there any more.")
    return _saved(found)


@transaction.atomic
def share_scenario(
    *, scenario_id: int, shared: bool, by: User, at: datetime, expected_revision: int | None = None
) -> Scenario:
    """Let every reader of sourcing see it, or not. Raises Forbidden, NotFound, Stale, Conflict."""
    acting(by=by, at=at)
    found = _own_draft(scenario_id, by, expected_revision)
    found.shared = shared
    return _saved(found)


@transaction.atomic
def copy_scenario(*, scenario_id: int, on: date, by: User, at: datetime) -> Scenario:
    """A draft of one's own with the same moves; from today on where the other's first day is over. Raises Forbidden, NotFound."""
    must_lead_sourcing(by)
    found = scenarios_for(by).filter(pk=scenario_id).first()
    if found is None:
        raise NotFound.of("unknown_scenario", "There is no such scenario.")
    return make_scenario(
        draft=ScenarioDraft(
            name=f"Copy of {found.name}"[:LONGEST_NAME],
            starts_on=max(found.starts_on, on),
            months=found.months,
            growth_ppm=found.growth_ppm,
            note=found.note,
            moves=[draft_of(move) for move in moves_of(found)],
        ),
        on=on,
        by=by,
        at=at,
    )


@transaction.atomic
def delete_scenario(
    *, scenario_id: int, by: User, at: datetime, expected_revision: int | None = None
) -> None:
    """A draft, by who made it. What somebody asked to promote stays. Raises Forbidden, NotFound, Stale, Conflict."""
    acting(by=by, at=at)
    _own_draft(scenario_id, by, expected_revision).delete()


@transaction.atomic
def ask_promotion(
    *, scenario_id: int, on: date, by: User, at: datetime, expected_revision: int | None = None
) -> Scenario:
    """Ask a second sourcing lead to make the live bindings say what the scenario says. From then on every reader sees it.

    Raises Forbidden, NotFound, Stale, Conflict: not_a_draft, no_moves, or everything that speaks against it.
    """
    acting(by=by, at=at)
    found = _own_draft(scenario_id, by, expected_revision)
    _promotable(found, on)
    found.state, found.asked_by, found.asked_at = ScenarioState.ASKED, by, at
    saved = _saved(found)
    others = User.objects.filter(
        role_grants__role=Role.SOURCING_LEAD, role_grants__withdrawn_at=None, is_active=True
    ).exclude(pk=by.pk)
    _tell(saved, list(others.values_list("pk", flat=True)), f"{by.name} asks to promote “{saved.name}”.", at)
    return saved


@transaction.atomic
def take_back(*, scenario_id: int, by: User, at: datetime, expected_revision: int | None = None) -> Scenario:
    """Make a draft of it again, by who asked. Raises Forbidden, NotFound, Stale, Conflict."""
    acting(by=by, at=at)
    must_lead_sourcing(by)
    found = _locked(scenario_id, by, expected_revision)
    _must_wait(found)
    if found.asked_by_id != by.pk:
        raise Forbidden.of("not_yours", "Only who asked can take it back; you can decline it.")
    found.state, found.asked_by, found.asked_at = ScenarioState.DRAFT, None, None
    return _saved(found)


@transaction.atomic
def decide(
    *,
    scenario_id: int,
    promote: bool,
    on: date,
    by: User,
    at: datetime,
    note: str = "",
    expected_revision: int | None = None,
) -> Scenario:
    """Promote it into the live bindings, or decline it with a note; not for who asked.

    note     Needed to decline, and to promote what has something to be weighed.
    Raises   Forbidden (own_promotion), NotFound, Stale, Invalid (no_note, too_long), Conflict (not_asked, or what speaks
             against it by now): nothing is bound then, and it goes on waiting.
    """
    note = note.strip()
    acting(by=by, at=at, reason=note)
    must_lead_sourcing(by)
    found = _locked(scenario_id, by, expected_revision)
    _must_wait(found)
    if by.pk in (found.asked_by_id, found.made_by_id):
        raise Forbidden.of(
            "own_promotion", "Somebody else decides on what you asked for: ask a second sourcing lead."
        )
    if len(note) > LONGEST_DECISION or "\x00" in note:
        raise Invalid(
            Problem("too_long", f"A note has at most {LONGEST_DECISION} characters of text.", "/note")
        )
    if not promote and not note:
        raise Invalid(Problem("no_note", "Say why: whoever asked reads it.", "/note"))
    if promote:
        outcome, whole = _promotable(found, on)
        if outcome.doubts and not note:
            weighed = " ".join(each.text for each in outcome.doubts)
            raise Invalid(Problem("no_note", f"Say why it is promoted all the same. {weighed}", "/note"))
        _bind(found, whole, on, by, at)
    acting(by=by, at=at, reason=note)  # binding has named a reason of its own
    found.state = ScenarioState.PROMOTED if promote else ScenarioState.DECLINED
    found.decided_by, found.decided_at, found.decision_note = by, at, note
    saved = _saved(found)
    said = f"{by.name} {'promoted' if promote else 'declined'} “{saved.name}”."
    _tell(saved, [saved.asked_by_id or saved.made_by_id], said, at)
    return saved


def first_day(scenario: Scenario, on: date) -> date:
    """From when a promotion on *on* would hold: its first day, or tomorrow where that has come."""
    return max(scenario.starts_on, on + timedelta(days=1))


def draft_of(move: ScenarioMove) -> MoveDraft:
    return MoveDraft(move.kind, **{name: getattr(move, name) for name in SENT})


# --- promotion --------------------------------------------------------------------------------------------


def _promotable(scenario: Scenario, on: date) -> tuple[Outcome, Outcome]:
    """What it comes to from the day on which it would hold: over its months, and up to the last mix that is announced.

    Raises Conflict with all that speaks against it.
    """
    moves, start = moves_of(scenario), first_day(scenario, on)
    if not moves:
        raise Conflict(Problem("no_moves", "It moves nothing yet: add a move first."))
    found = whole = evaluate(
        moves, starts_on=start, months=scenario.months, on=on, growth_ppm=scenario.growth_ppm
    )
    latest = Binding.objects.filter(superseded_at=None).aggregate(last=Max(Lower("effective")))["last"]
    if latest is not None and latest >= found.facts.end:
        months = len(months_between(month_of(start), add_months(latest, 1)))
        whole = evaluate(moves, starts_on=start, months=months, on=on, growth_ppm=scenario.growth_ppm)
    if against := found.obstacles or whole.obstacles:
        raise Conflict(*(Problem(each.code, each.text) for each in against))
    if not whole.changed(since=start):
        raise Conflict(Problem("nothing_changes", "The live bindings say all of it already."))
    return found, whole


def _bind(scenario: Scenario, found: Outcome, on: date, by: User, at: datetime) -> None:
    """Every feature in turn, every mix in order of time: the announced ones too, also those beyond the scenario's months."""
    start = first_day(scenario, on)
    reason = f"Scenario {scenario.pk}: {scenario.name}"[:LONGEST_REASON]
    for feature_id, mixes in sorted(found.changed(since=start).items()):
        for mix in mixes:
            try:
                set_mix(
                    feature_id=feature_id,
                    from_day=mix.start,
                    rows=_mix_rows(mix),
                    reason=reason,
                    by=by,
                    at=at,
                    source=f"Asked by {scenario.asked_by.name}" if scenario.asked_by else "",
                    scenario=scenario,
                )
            except Refusal as refused:
                feature = found.facts.features[feature_id]
                raise Conflict(
                    *(
                        Problem(p.code, f"{feature}, from {day(mix.start)}: {p.message}")
                        for p in refused.problems
                    )
                ) from refused


def _mix_rows(mix: Mix) -> list[MixRow]:
    """What stays keeps its evidence; a share that nobody stated stays unstated."""
    rows = []
    for part in mix.parts:
        live = part.binding
        rows.append(
            MixRow(
                part.version_id,
                part.role,
                part.share_ppm if part.stated else None,
                part.plan_id if live is None or live.plan_id is not None else None,
                live.evaluation_id if live is not None else None,
                live.run_id if live is not None else None,
                live.fact_id if live is not None else None,
                assumed=live.assumed if live is not None else False,
            )
        )
    return rows


def _must_wait(scenario: Scenario) -> None:
    if scenario.state != ScenarioState.ASKED:
        raise Conflict(
            Problem(
                "not_asked",
                f"“{scenario.name}” is {scenario.get_state_display().lower()}: nobody asks for it.",
            )
        )


def _tell(scenario: Scenario, user_ids: Sequence[int], text: str, at: datetime) -> None:
    if user_ids:
        promise(
            topic=NOTIFY,
            key=f"scenario-{scenario.pk}-{scenario.revision}",
            payload={
                "user_ids": list(user_ids),
                "text": text,
                "url": f"/sourcing/scenarios/{scenario.pk}/",
                "key": f"scenario:{scenario.pk}:{scenario.revision}",
            },
            at=at,
        )


# --- rows -------------------------------------------------------------------------------------------------


def _locked(scenario_id: int, by: User, expected_revision: int | None) -> Scenario:
    found = scenarios_for(by).select_for_update(of=("self",)).filter(pk=scenario_id).first()
    if found is None:
        raise NotFound.of("unknown_scenario", "There is no such scenario.")
    if expected_revision is not None and found.revision != expected_revision:
        raise Stale(
            Problem(
                "stale",
                f"“{found.name}” was changed in the meantime (revision {found.revision}). Look at it again, then decide.",
            )
        )
    return found


def _own_draft(scenario_id: int, by: User, expected_revision: int | None) -> Scenario:
    must_lead_sourcing(by)
    found = _locked(scenario_id, by, expected_revision)
    if found.made_by_id != by.pk:
        raise Forbidden.of("not_yours", f"It belongs to {found.made_by.name}: copy it, and change the copy.")
    if found.state != ScenarioState.DRAFT:
        raise Conflict(
            Problem(
                "not_a_draft",
                f"“{found.name}” is {found.get_state_display().lower()} and no longer changes: copy it, and change the copy.",
            )
        )
    return found


def _saved(scenario: Scenario) -> Scenario:
    scenario.revision += 1
    scenario.save()
    return scenario


def _row(move: MoveDraft, place: int) -> ScenarioMove:
    return ScenarioMove(position=place + 1, kind=move.kind, **{name: getattr(move, name) for name in SENT})


def _write_moves(scenario: Scenario, moves: Sequence[MoveDraft]) -> None:
    rows = [_row(move, place) for place, move in enumerate(moves)]
    for row in rows:
        row.scenario = scenario
    ScenarioMove.objects.bulk_create(rows)


# --- what may be wrong ------------------------------------------------------------------------------------


def _problems(draft: ScenarioDraft) -> list[Problem]:
    found = []
    if not draft.name.strip():
        found.append(Problem("no_name", "Give it a name by which others know what it asks.", "/name"))
    for name, text, longest in (("name", draft.name, LONGEST_NAME), ("note", draft.note, LONGEST_NOTE)):
        if len(text.strip()) > longest or "\x00" in text:
            found.append(
                Problem("too_long", f"A {name} has at most {longest} characters of text.", f"/{name}")
            )
    if not 1 <= draft.months <= MOST_MONTHS:
        found.append(Problem("out_of_range", f"Look ahead 1 to {MOST_MONTHS} months.", "/months"))
    if not SHRINKS <= draft.growth_ppm <= GROWS:
        found.append(
            Problem(
                "growth_out_of_range",
                f"Use grows by {percent(SHRINKS, ONE, 0)} to {percent(GROWS, ONE, 0)} a year.",
                "/growth",
            )
        )
    return found


def _start_problems(starts_on: date, on: date) -> list[Problem]:
    if starts_on < on:
        return [
            Problem(
                "starts_in_the_past",
                f"What ran before today stays as it was: start on {day(on)} or later.",
                "/starts_on",
            )
        ]
    if starts_on > add_months(on, MOST_MONTHS):
        return [Problem("starts_too_late", f"Start within {MOST_MONTHS} months.", "/starts_on")]
    return []


def _move_problems(moves: Sequence[MoveDraft]) -> list[Problem]:
    """4 queries at most, whatever the number of moves."""
    if len(moves) > MOST_MOVES:
        return [Problem("too_many_moves", f"A scenario has at most {MOST_MOVES} moves.", "/moves")]
    known = {
        "feature_id": _known(Feature, moves, "feature_id"),
        "source_id": _known(ModelVersion, moves, "source_id", "target_id"),
        "plan_id": _known(Plan, moves, "plan_id"),
        "supplier_id": _known(Company, moves, "supplier_id"),
    }
    known["target_id"] = known["source_id"]
    sellers = set(
        Company.objects.filter(pk__in=known["supplier_id"], publisher__isnull=False).values_list(
            "pk", flat=True
        )
    )
    found = []
    for place, move in enumerate(moves):
        found += [
            Problem(code, text, f"/moves/{place}/{pointer}")
            for code, text, pointer in _of_move(move, known, sellers)
        ]
    return found


def _known(
    model: type[Feature] | type[ModelVersion] | type[Plan] | type[Company],
    moves: Sequence[MoveDraft],
    *names: str,
) -> set[int]:
    wanted = {pk for move in moves for name in names if (pk := getattr(move, name)) is not None}
    return set(model._default_manager.filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()


def _of_move(move: MoveDraft, known: dict[str, set[int]], sellers: set[int]) -> list[tuple[str, str, str]]:
    """Code, message and member of everything that is wrong with one move."""
    if move.kind not in MoveKind.values:
        return [("unknown_kind", f"A move is one of {', '.join(MoveKind.values)}.", "kind")]
    kind = MoveKind(move.kind)
    found = [
        ("not_of_this_kind", f"{kind.label} has no {SENT[name]}: leave it out.", SENT[name])
        for name in SENT
        if name not in WANTED[kind] and getattr(move, name) is not None
    ]
    found += [
        ("missing", f"{kind.label} needs a {SENT[name]}.", SENT[name])
        for name in WANTED[kind]
        if name != "feature_id" and getattr(move, name) is None
    ]
    found += [
        (f"unknown_{SENT[name]}", f"There is no such {SENT[name]}.", SENT[name])
        for name in WANTED[kind]
        if name in known and (pk := getattr(move, name)) is not None and pk not in known[name]
    ]
    if found:
        return found
    if move.source_id is not None and move.source_id == move.target_id:
        found.append(("same_version", "It moves from a version to itself: choose another target.", "target"))
    if move.share_ppm is not None and not 0 < move.share_ppm <= ONE:
        found.append(("out_of_range", "Move more than 0% and at most 100% of the source's share.", "share"))
    if move.change_ppm is not None and (not -ONE <= move.change_ppm <= DEAREST or not move.change_ppm):
        text = "A price changes by at least \N{MINUS SIGN}100% and at most 1,000%, and not by nothing."
        found.append(("out_of_range", text, "change"))
    if move.supplier_id is not None and move.supplier_id not in sellers:
        found.append(("no_supplier", "That company makes no model of ours to end.", "supplier"))
    return found

"""Proposing, deciding and withdrawing what could take over in a feature.

An engineer or a sourcing lead proposes; a sourcing lead who did not propose it decides: a qualification is what a
negotiation stands on, and nobody vouches for it alone. What fails a hard requirement (context, modalities, zone, being run
at all) is not qualified, whoever asks: change what the feature asks for instead, which is seen by everybody. What is only
doubtful (worse or missing evidence, a retirement ahead, a requirement nobody can check) is qualified with a note that
speaks to it. Nothing is edited: a withdrawn row is superseded, and a rejected one gives way to a new proposal.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config import house as formats
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, refuse_if_any
from marketplace.models import (
    Evaluation,
    Feature,
    ModelVersion,
    Substitution,
    SubstitutionState,
    SuiteRun,
)
from marketplace.selectors.sourcing.access import JUDGES
from marketplace.selectors.sourcing.substitution import STANDING, Standings, chain
from marketplace.services.sourcing.access import must_judge, must_lead_sourcing

LONGEST: Final = 300  # of a reason, and of a note


@transaction.atomic
def propose(
    *,
    feature_id: int,
    replaced_id: int,
    alternative_id: int,
    reason: str,
    by: User,
    at: datetime,
    on: date,
    run_id: int | None = None,
    evaluation_id: int | None = None,
    synthetic: bool = False,
) -> Substitution:
    """Say that a version could take over from another in a feature, for a sourcing lead to decide.

    on                      The day whose mix and facts it is about.
    run_id, evaluation_id   The evidence it stands on; where neither is given, the best there is of it in the task, if any.
    Raises                  Forbidden, NotFound (unknown_feature), Invalid (everything wrong at once), Conflict
                            (already_proposed, already_qualified, substitution_cycle: names the chain).
    """
    acting(by=by, at=at, reason=reason[:LONGEST])
    must_judge(by)
    # So that of two proposals at once the second sees the first, and no circle is closed by both.
    feature = Feature.objects.select_for_update(of=("self",)).filter(pk=feature_id).first()
    if feature is None:
        raise NotFound.of("unknown_feature", "There is no such feature.", "/feature")
    names = {v.pk: v for v in _versions(replaced_id, alternative_id)}
    refuse_if_any(
        [
            *(
                Problem("unknown_version", "There is no such model version.", pointer)
                for pk, pointer in ((replaced_id, "/replaced"), (alternative_id, "/alternative"))
                if pk not in names
            ),
            *_text_problems(reason, "/reason", "Say why it could take over: whoever decides reads it."),
        ]
    )
    if replaced_id == alternative_id:
        raise Invalid(
            Problem("same_version", "Nothing replaces itself: choose another version.", "/alternative")
        )
    sheet = Standings(on, [feature.pk], [replaced_id, alternative_id])
    standing = [row for row in _current(feature.pk) if row.state in STANDING]
    _must_be_in_use(sheet, feature, replaced_id, standing)
    same = next((r for r in _current(feature.pk) if _pair(r) == (replaced_id, alternative_id)), None)
    if same is not None and same.state in STANDING:
        raise Conflict(
            Problem(
                f"already_{same.state}",
                f"{names[alternative_id]} is {same.state} for {names[replaced_id]} here already.",
                "/alternative",
            )
        )
    _must_not_go_round(standing, replaced_id, alternative_id)
    run, evaluation = _cited(sheet, feature, replaced_id, alternative_id, run_id, evaluation_id)
    if same is not None:  # rejected before: looked at anew
        same.superseded_at = at
        same.save(update_fields=["superseded_at"])
    made = Substitution.objects.create(
        feature=feature,
        replaced_id=replaced_id,
        alternative_id=alternative_id,
        reason=reason.strip(),
        run=run,
        evaluation=evaluation,
        synthetic=synthetic,
        proposed_by=by,
        proposed_at=at,
    )
    leads = User.objects.filter(
        role_grants__role=Role.SOURCING_LEAD, role_grants__withdrawn_at=None, is_active=True
    ).exclude(pk=by.pk)
    _notify(
        list(leads.values_list("pk", flat=True)),
        f"substitution-proposed:{made.pk}",
        f"{by.name} proposes {names[alternative_id]} for {names[replaced_id]} in {feature.name}: decide on it.",
        made,
        at,
    )
    return made


@transaction.atomic
def decide(
    *, substitution_id: int, qualify: bool, note: str, by: User, at: datetime, on: date
) -> Substitution:
    """Qualify a proposal, or reject it.

    note     Why; may be left out only where every verdict is in favour and it is qualified.
    Raises   Forbidden, NotFound, Conflict (own_proposal, already_decided, withdrawn, requirement_failed: one problem
             for each), Invalid (note_missing: names the doubts).
    """
    acting(by=by, at=at, reason=note[:LONGEST])
    must_lead_sourcing(by)
    row = _locked(substitution_id)
    if row.superseded_at is not None:
        raise Conflict(Problem("withdrawn", "It has been withdrawn: propose it anew."))
    if row.state != SubstitutionState.PROPOSED:
        who = f" by {row.decided_by.name}" if row.decided_by is not None else ""
        raise Conflict(Problem("already_decided", f"It is {row.state}{who} already."))
    if row.proposed_by_id == by.pk:
        raise Conflict(
            Problem(
                "own_proposal", "Another sourcing lead has to decide on what you proposed.", "/decided_by"
            )
        )
    refuse_if_any(_text_problems(note, "/note", "" if qualify else "Say why it is rejected."))
    sheet = Standings(on, [row.feature_id], [row.replaced_id, row.alternative_id])
    verdicts = sheet.verdicts(row.feature_id, row.replaced_id, row.alternative_id)
    if qualify and verdicts.failed:
        raise Conflict(
            *(
                Problem(
                    "requirement_failed",
                    f"{verdict.label}: {verdict.text} Reject it, or change what the feature asks for first.",
                    "/decision",
                )
                for verdict in verdicts.failed
            )
        )
    if qualify and verdicts.doubts and not note.strip():
        doubts = ", ".join(verdict.said for verdict in verdicts.doubts)
        raise Invalid(Problem("note_missing", f"Say why it is good enough in spite of: {doubts}.", "/note"))
    row.state = SubstitutionState.QUALIFIED if qualify else SubstitutionState.REJECTED
    row.decided_by, row.decided_at, row.decision_note = by, at, note.strip()
    if row.run_id is None and row.evaluation_id is None and verdicts.evidence is not None:
        row.run, row.evaluation = verdicts.evidence.run, verdicts.evidence.evaluation
    row.save()
    if row.proposed_by_id is not None:
        _notify(
            [row.proposed_by_id],
            f"substitution-decided:{row.pk}",
            f"{by.name} has {row.state} {row.alternative} for {row.replaced} in {row.feature.name}.",
            row,
            at,
        )
    return row


@transaction.atomic
def withdraw(*, substitution_id: int, reason: str, by: User, at: datetime) -> Substitution:
    """Take a proposal or a decision off the table; it stays in the history. Its reason is in the audit trail.

    A sourcing lead may always, whoever proposed it as long as nobody has decided.
    Raises   Forbidden, NotFound, Invalid (reason_missing), Conflict (withdrawn).
    """
    acting(by=by, at=at, reason=reason[:LONGEST])
    if not by.has_role(*JUDGES):
        must_judge(by)
    row = _locked(substitution_id)
    own = row.proposed_by_id == by.pk and row.state == SubstitutionState.PROPOSED
    if not own and not by.has_role(Role.SOURCING_LEAD):
        raise Forbidden.of(
            "not_yours", "Only a sourcing lead withdraws what others proposed, or what is decided."
        )
    refuse_if_any(_text_problems(reason, "/reason", "Say why it is withdrawn."))
    if row.superseded_at is not None:
        raise Conflict(Problem("withdrawn", "It has been withdrawn already."))
    row.superseded_at = at
    row.save(update_fields=["superseded_at"])
    if row.proposed_by_id is not None and row.proposed_by_id != by.pk:
        _notify(
            [row.proposed_by_id],
            f"substitution-withdrawn:{row.pk}",
            f"{by.name} has withdrawn {row.alternative} for {row.replaced} in {row.feature.name}: {reason.strip()}"[
                :400
            ],
            row,
            at,
        )
    return row


def _versions(*ids: int) -> list[ModelVersion]:
    return list(ModelVersion.objects.filter(pk__in=ids).select_related("model"))


def _current(feature_id: int) -> list[Substitution]:
    return list(
        Substitution.objects.filter(feature=feature_id, superseded_at=None)
        .select_related("replaced__model", "alternative__model")
        .order_by("id")
    )


def _pair(row: Substitution) -> tuple[int, int]:
    return row.replaced_id, row.alternative_id


def _must_be_in_use(
    sheet: Standings, feature: Feature, replaced_id: int, standing: list[Substitution]
) -> None:
    """What replaces something that the feature neither runs on nor could, replaces nothing."""
    held = [b.model_version_id for b in sheet.bindings.get(feature.pk, ())]
    if replaced_id in held or replaced_id in {row.alternative_id for row in standing}:
        return
    runs = ", ".join(str(sheet.versions[pk]) for pk in held) or "no model"
    raise Invalid(
        Problem(
            "not_in_use",
            f"{feature.name} does not run on {sheet.versions[replaced_id]} on {formats.day(sheet.on)}: it runs on {runs}.",
            "/replaced",
        )
    )


def _must_not_go_round(standing: list[Substitution], replaced_id: int, alternative_id: int) -> None:
    """A circle would cover every model by models that it covers."""
    round_trip = chain([_pair(row) for row in standing], replaced_id, alternative_id)
    if not round_trip:
        return
    named: Mapping[int, str] = {v.pk: str(v) for v in _versions(*round_trip)}
    last = next(row for row in standing if _pair(row) == (round_trip[-2], round_trip[-1]))
    raise Conflict(
        Problem(
            "substitution_cycle",
            f"It would go round in a circle: {' → '.join(named[pk] for pk in round_trip)}. Choose another alternative,"
            f" or withdraw {last.alternative} for {last.replaced} ({last.state}) first.",
            "/alternative",
        )
    )


def _cited(
    sheet: Standings,
    feature: Feature,
    replaced_id: int,
    alternative_id: int,
    run_id: int | None,
    evaluation_id: int | None,
) -> tuple[SuiteRun | None, Evaluation | None]:
    """The evidence to keep with it. Raises Invalid for evidence of another version or another task."""
    if run_id is None and evaluation_id is None:
        found = sheet.verdicts(feature.pk, replaced_id, alternative_id).evidence
        return (found.run, found.evaluation) if found is not None else (None, None)
    wanted = alternative_id, feature.task_area_id
    run = SuiteRun.objects.select_related("suite").filter(pk=run_id or 0).first()
    evaluation = Evaluation.objects.filter(pk=evaluation_id or 0).first()
    of_run = (run.model_version_id, run.suite.task_area_id) if run is not None else None
    of_result = (evaluation.model_version_id, evaluation.task_area_id) if evaluation is not None else None
    fits = (run_id is None or of_run == wanted) and (evaluation_id is None or of_result == wanted)
    if not fits:
        raise Invalid(
            Problem(
                "other_evidence",
                f"The evidence is of another version, or of another task than {feature.task_area.name}.",
                "/evidence",
            )
        )
    return run, evaluation


def _locked(substitution_id: int) -> Substitution:
    row = (
        Substitution.objects.select_for_update(of=("self",))
        .select_related("feature", "replaced__model", "alternative__model", "decided_by")
        .filter(pk=substitution_id)
        .first()
    )
    if row is None:
        raise NotFound.of("unknown_substitution", "There is no such substitution.")
    return row


def _text_problems(text: str, pointer: str, missing: str) -> list[Problem]:
    name = pointer.lstrip("/")
    if missing and not text.strip():
        return [Problem(f"{name}_missing", missing, pointer)]
    if len(text) > LONGEST:
        return [Problem(f"{name}_too_long", f"At most {LONGEST} characters.", pointer)]
    return []


def _notify(user_ids: list[int], key: str, text: str, row: Substitution, at: datetime) -> None:
    if user_ids:
        promise(
            topic=NOTIFY,
            key=key,
            payload={
                "user_ids": user_ids,
                "key": key,
                "text": text,
                "url": f"/sourcing/substitutions/{row.pk}/",
            },
            at=at,
        )

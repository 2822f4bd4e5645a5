"""Writing plans: drafts with rules and components, review, publication by a second person. Published never changes.

Whoever edits says what they read: a fingerprint of the rule, or of the version. Somebody else's change in between is
refused as stale, and nothing is half written.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Max, Min
from django.utils.text import slugify

from accounts.audit import acting
from accounts.models import Role, User
from config.clock import day_of
from config.locks import one_at_a_time
from config.outbox import promise
from config.refusals import Conflict, Forbidden, NotFound, Problem, Stale, refuse_if_any
from marketplace.models import Currency, Customer
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    ONE,
    CompPlan,
    CreditingRule,
    DealState,
    DealVersion,
    Grain,
    Measure,
    PayBy,
    PayScale,
    PlanComponent,
    PlanState,
    PlanVersion,
    RateTier,
    Receivers,
    RuleVersion,
)
from quotas.selectors.linter import known_values
from quotas.selectors.pay_words import PayTerms, problems_of_order
from quotas.selectors.pay_words import place as pay_place
from quotas.selectors.plans import (
    OPEN_STATES,
    base_of,
    begins_in_the_past,
    covered,
    fingerprint,
    gate,
    past_part,
    rule_fingerprint,
)
from quotas.services import recredit

LARGEST_FACTOR_PPM: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """What a rule is to say. An empty condition means any; conditions by the names of RuleVersion.CONDITIONS."""

    name: str
    measure_id: int
    factor_ppm: int
    receivers: int = Receivers.SHARES
    exclusive: bool = True
    cap_minor: int | None = None
    starts: date | None = None
    ends: date | None = None
    priority: int = 0
    conditions: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScaleDraft:
    """How a component pays; units as in PayScale and RateTier.

    tiers  (from, rate), in the order in which they were entered.
    """

    tiers: Sequence[tuple[int, int]]
    by: str = PayBy.ATTAINMENT
    window: str = Grain.QUARTER
    threshold: int = 0
    whole_amount: bool = False
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ComponentDraft:
    """A measure and what it weighs, in parts per million; the target incentive in minor units of its currency; how it pays."""

    measure_id: int
    weight_ppm: int
    target_incentive_minor: int | None = None
    currency: str | None = None
    scale: ScaleDraft | None = None


# --- drafts -----------------------------------------------------------------------------------------------


@transaction.atomic
def start_plan(
    *, name: str, starts: date | None, ends: date | None = None, note: str = "", by: User, at: datetime
) -> PlanVersion:
    """A new plan with an empty first draft. Raises Forbidden, Invalid."""
    _refuse_unless_comp_admin(by)
    one_at_a_time("quotas.plans", "names")
    title = name.strip()
    problems = _span_problems(starts, ends)
    if not title:
        problems.append(Problem("name_missing", "Give the plan a name.", "/name"))
    elif len(title) > 120:
        problems.append(Problem("name_too_long", "A name has at most 120 characters.", "/name"))
    elif not any(sign.isalnum() for sign in title):
        problems.append(Problem("name_without_letters", "Use letters or digits in the name.", "/name"))
    elif _alike(title) in {_alike(known) for known in CompPlan.objects.values_list("name", flat=True)}:
        problems.append(Problem("name_taken", "There is a plan of this name already.", "/name"))
    refuse_if_any([*problems, *_note_problems(note)])
    acting(by=by, at=at, reason=note)
    taken = set(CompPlan.objects.values_list("slug", flat=True))
    plan = CompPlan.objects.create(slug=_free(slugify(title)[:56] or "plan", taken), name=title)
    return _draft_of(plan, 1, starts, ends, note, by, at)


@transaction.atomic
def start_draft(
    *, plan_id: int, starts: date | None, ends: date | None = None, note: str = "", by: User, at: datetime
) -> PlanVersion:
    """A new version of a plan, copied from the one in force on its first day; a rule that is copied stays the same rule.

    Rules whose own dates are over by then are left out. Raises NotFound, Forbidden, Invalid.
    """
    _refuse_unless_comp_admin(by)
    plan = CompPlan.objects.select_for_update().filter(pk=plan_id).first()
    if plan is None:
        raise NotFound.of("plan_not_found", "There is no such plan.")
    refuse_if_any([*_span_problems(starts, ends), *_note_problems(note)])
    acting(by=by, at=at, reason=note)
    last = plan.versions.aggregate(last=Max("number"))["last"] or 0
    made = _draft_of(plan, last + 1, starts, ends, note, by, at)
    base = base_of(made)
    if base is not None:
        _copy(base, made)
    return made


@transaction.atomic
def change_draft(
    *,
    plan_version_id: int,
    starts: date | None,
    ends: date | None,
    note: str,
    by: User,
    at: datetime,
    expected: str | None = None,
) -> PlanVersion:
    """The dates and the note of a draft. expected: the version's fingerprint as it was read. Raises Stale, Invalid."""
    version = _draft(plan_version_id, by=by, expected=expected)
    refuse_if_any([*_span_problems(starts, ends), *_note_problems(note)])
    acting(by=by, at=at)
    version.effective, version.note = DateRange(starts, ends), note.strip()
    version.save(update_fields=["effective", "note"])
    return version


@transaction.atomic
def save_rule(
    *,
    plan_version_id: int,
    draft: RuleDraft,
    by: User,
    at: datetime,
    rule_version_id: int | None = None,
    expected: str | None = None,
) -> RuleVersion:
    """Write a rule of a draft, a new one without *rule_version_id*.

    expected  The rule's fingerprint as it was read.
    Raises    NotFound, Forbidden, Conflict (no draft any more), Stale, Invalid with a pointer for each field.
    """
    version = _draft(plan_version_id, by=by)
    rule = None
    if rule_version_id is not None:
        rule = version.rules.filter(pk=rule_version_id).first()
        if rule is None:
            raise NotFound.of("rule_not_found", "This rule is not in the draft any more.")
        _refuse_stale(expected, rule_fingerprint(rule))
    refuse_if_any(rule_problems(draft))
    acting(by=by, at=at)
    if rule is None:
        said = _says(unsaved_rule(version, draft))
        if any(_says(known) == said for known in version.rules.all()):
            raise Conflict.of(
                "rule_twice",
                f"“{draft.name.strip()}” is in the draft already, and is not added a second time.",
            )
        rule = RuleVersion(plan_version=version, rule=_identity(version, draft.name))
    _fill(rule, draft)
    rule.save()
    return rule


def unsaved_rule(version: PlanVersion, draft: RuleDraft) -> RuleVersion:
    """The rule that a draft comes to, not stored: for its sentence and its reach while it is typed."""
    rule = RuleVersion(plan_version=version)
    _fill(rule, draft)
    return rule


@transaction.atomic
def remove_rule(
    *, plan_version_id: int, rule_version_id: int, by: User, at: datetime, expected: str | None = None
) -> None:
    """Take a rule out of a draft. In published versions it stays what it was. Raises NotFound, Stale, Conflict."""
    version = _draft(plan_version_id, by=by)
    rule = version.rules.filter(pk=rule_version_id).first()
    if rule is None:
        raise NotFound.of("rule_not_found", "This rule is not in the draft any more.")
    _refuse_stale(expected, rule_fingerprint(rule))
    acting(by=by, at=at)
    rule.delete()


@transaction.atomic
def save_components(
    *,
    plan_version_id: int,
    components: Sequence[ComponentDraft],
    by: User,
    at: datetime,
    expected: str | None = None,
) -> PlanVersion:
    """All components of a draft at once; together they weigh one million. Raises Stale, Invalid with pointers."""
    version = _draft(plan_version_id, by=by, expected=expected)
    refuse_if_any(_component_problems(components))
    acting(by=by, at=at)
    known = {component.measure_id: component for component in version.components.all()}
    for measure_id in known.keys() - {draft.measure_id for draft in components}:
        known[measure_id].delete()
    for draft in components:
        component = known.get(draft.measure_id) or PlanComponent(
            plan_version=version, measure_id=draft.measure_id
        )
        component.weight_ppm = draft.weight_ppm
        component.target_incentive_minor = draft.target_incentive_minor
        component.currency_id = draft.currency if draft.target_incentive_minor is not None else None
        component.save()
        _save_scale(component, draft.scale)
    return version


def _save_scale(component: PlanComponent, draft: ScaleDraft | None) -> None:
    kept = PayScale.objects.filter(component=component).first()
    if draft is None:
        if kept is not None:
            kept.delete()
        return
    scale = kept or PayScale(component=component)
    scale.by, scale.window = draft.by, draft.window
    scale.threshold, scale.whole_amount, scale.cap_minor = (
        draft.threshold,
        draft.whole_amount,
        draft.cap_minor,
    )
    scale.save()
    if list(scale.tiers.values_list("starts_at", "rate_ppm")) != list(draft.tiers):
        scale.tiers.all().delete()
        RateTier.objects.bulk_create(
            [RateTier(scale=scale, starts_at=start, rate_ppm=rate) for start, rate in draft.tiers]
        )


@transaction.atomic
def withdraw_draft(*, plan_version_id: int, by: User, at: datetime, reason: str) -> PlanVersion:
    """Give a draft up. It stays readable, as do its proofs, and is never published. Raises Conflict."""
    version = _open(plan_version_id, by=by)
    _refuse_without_reason(reason)
    acting(by=by, at=at, reason=reason)
    version.state = PlanState.SUPERSEDED
    version.save(update_fields=["state"])
    return version


# --- review and publication -------------------------------------------------------------------------------


@transaction.atomic
def ask_for_review(
    *, plan_version_id: int, by: User, at: datetime, expected: str | None = None
) -> PlanVersion:
    """Hand a draft to a second person; from here on it does not change. Raises Conflict, Stale."""
    version = _draft(plan_version_id, by=by, expected=expected)
    if not version.rules.exists():
        raise Conflict.of("no_rules", "The version has no rule yet: add one first.")
    acting(by=by, at=at)
    version.state = PlanState.IN_REVIEW
    version.review_asked_by, version.review_asked_at = by, at
    version.save(update_fields=["state", "review_asked_by", "review_asked_at"])
    _tell(version, [], f"{by.name} asks for a review of {version}.", by=by, at=at)
    return version


@transaction.atomic
def send_back(*, plan_version_id: int, by: User, at: datetime, reason: str) -> PlanVersion:
    """Make a version in review a draft again, with what to mend. Raises Conflict."""
    version = _open(plan_version_id, by=by)
    if version.state != PlanState.IN_REVIEW:
        raise Conflict.of("not_in_review", f"{version} is not in review.")
    _refuse_without_reason(reason)
    acting(by=by, at=at, reason=reason)
    asked_by = [version.review_asked_by_id] if version.review_asked_by_id else []
    version.state = PlanState.DRAFT
    version.review_asked_by = version.review_asked_at = None
    version.save(update_fields=["state", "review_asked_by", "review_asked_at"])
    _tell(version, asked_by, f"{by.name} sent {version} back: {reason.strip()}", by=by, at=at)
    return version


def _tell(version: PlanVersion, users: Sequence[int], text: str, *, by: User, at: datetime) -> None:
    """Owe *users* a line about a version under review; nobody named: every comp admin but *by*."""
    key = f"{version.pk}:{version.state}:{at:%Y%m%d%H%M%S%f}"
    promise(
        topic="quotas.plan_reviewed",
        key=key,
        payload={
            "key": key,
            "plan_version_id": version.pk,
            "users": list(users),
            "text": text[:300],
            "by": by.pk,
        },
        at=at,
    )


@transaction.atomic
def publish_plan(
    *, plan_version_id: int, by: User, at: datetime, reason: str = "", expected: str | None = None
) -> PlanVersion:
    """Put a reviewed version in force, by somebody who neither drafted it nor asked for its review.

    Older versions that count on no day any more become superseded. Where the version begins in the past, a recredit run
    of that part is started.
    Raises  NotFound, Forbidden, Stale; Conflict with every point of the gate that is open, the refused clause named.
    """
    version = _open(plan_version_id, by=by)
    CompPlan.objects.select_for_update().get(pk=version.plan_id)
    _refuse_stale(expected, fingerprint(version))
    _refuse_unless_second_person(version, by)
    if len(reason) > 500:
        raise Conflict.of("reason_too_long", "A reason has at most 500 characters.", "/reason")
    on = day_of(at)
    problems = [
        Problem(f"{step.code}_open", f"{step.says} {step.todo}".strip()) for step in gate(version, on=on).open
    ]
    problems += outranked(version)
    if problems:
        raise Conflict(*problems)
    acting(by=by, at=at, reason=reason)
    version.state = PlanState.PUBLISHED
    version.published_by, version.published_at = by, at
    version.save(update_fields=["state", "published_by", "published_at"])
    _supersede_older(version)
    if begins_in_the_past(version, on):
        _recredit(version, by=by, at=at, reason=reason, on=on)
    return version


def outranked(version: PlanVersion) -> list[Problem]:
    """That a newer version is published for days of this one, which therefore never is. 1 query."""
    newer = (
        PlanVersion.objects.filter(
            plan=version.plan_id,
            state=PlanState.PUBLISHED,
            number__gt=version.number,
            effective__overlap=version.effective,
        )
        .order_by("-number")
        .first()
    )
    if newer is None:
        return []
    return [
        Problem(
            "newer_version_published",
            f"Version {newer.number} was published meanwhile and counts instead on the days that both have. Start a new draft from it.",
        )
    ]


def _supersede_older(version: PlanVersion) -> None:
    published = list(PlanVersion.objects.filter(plan=version.plan_id, state=PlanState.PUBLISHED))
    for older in published:
        above = [(v.effective.lower, v.effective.upper) for v in published if v.number > older.number]
        if covered((older.effective.lower, older.effective.upper), above):
            older.state = PlanState.SUPERSEDED
            older.save(update_fields=["state"])


def _recredit(version: PlanVersion, *, by: User, at: datetime, reason: str, on: date) -> None:
    """Recredit the part of the span that lies in the past, from the first deal on. Nothing sold, nothing to do."""
    starts, ends = past_part(version, on)
    closed = DealVersion.objects.filter(deal__state=DealState.APPROVED, close_date__lt=ends)
    if starts is None:
        starts = closed.aggregate(first=Min("close_date"))["first"]
    if starts is None or starts >= ends:
        return
    recredit.start_run(
        starts=starts,
        ends=ends,
        cause="plan",
        what=f"{version} was published, in force from {starts}",
        reason=reason.strip() or f"{version} published",
        by=by,
        at=at,
        once=f"plan:{version.pk}",
    )


# --- what is refused --------------------------------------------------------------------------------------


def may_publish(user: User, version: PlanVersion) -> bool:
    """Whether this person is a second one: a comp admin who neither drafted the version nor asked for its review."""
    return user.has_role(Role.COMP_ADMIN) and user.pk not in (
        version.drafted_by_id,
        version.review_asked_by_id,
    )


def rule_problems(draft: RuleDraft) -> list[Problem]:
    """What is wrong with a rule, each with a pointer to its field. About 8 queries."""
    found: list[Problem] = []

    def say(code: str, message: str, pointer: str) -> None:
        found.append(Problem(code, message, pointer))

    if not draft.name.strip():
        say("name_missing", "Give the rule a name.", "/name")
    elif len(draft.name) > 160:
        say("name_too_long", "A name has at most 160 characters.", "/name")
    if not Measure.objects.filter(pk=draft.measure_id).exists():
        say("measure_unknown", "Choose what the rule measures.", "/measure")
    if not 0 <= draft.factor_ppm <= LARGEST_FACTOR_PPM:
        say("factor_out_of_bounds", "Between 0% and 10,000%.", "/factor")
    elif not draft.exclusive and draft.factor_ppm == 0:
        say("factor_out_of_bounds", "A SPIFF of 0% adds nothing: say what it adds.", "/factor")
    if draft.receivers not in Receivers.values:
        say("receivers_unknown", "Say who earns under the rule.", "/receivers")
    if draft.cap_minor is not None and not draft.exclusive:
        say("spiff_without_cap", "A SPIFF has no cap: only a rule of which one wins can have one.", "/cap")
    elif draft.cap_minor is not None and draft.cap_minor < 0:
        say("cap_negative", "A cap is zero or more.", "/cap")
    if draft.starts is not None and draft.ends is not None and draft.ends <= draft.starts:
        say("ends_before_it_starts", "The last day is before the first.", "/ends")
    if not -32_000 <= draft.priority <= 32_000:
        say("priority_out_of_bounds", "Between -32,000 and 32,000.", "/priority")
    given = {name: values for name, values in draft.conditions.items() if values}
    customers = Customer.objects.order_by()
    known = known_values(
        customers.values_list("segment", flat=True).distinct(),
        customers.values_list("region", flat=True).distinct(),
    )
    for name, values in given.items():
        if name not in known:
            say("condition_unknown", "There is no such condition.", f"/conditions/{name}")
        elif strange := [str(value) for value in values if value not in known[name]]:
            say("value_unknown", f"{', '.join(strange)} does not exist: choose again.", f"/conditions/{name}")
    if "territories" in given and draft.receivers != Receivers.TERRITORY:
        say(
            "territories_need_who_covers_them",
            "Territories matter only where those who cover the customer's territory earn.",
            "/conditions/territories",
        )
    if draft.receivers == Receivers.ROLE and "roles" not in given:
        say("role_missing", "Choose the roles whose holders earn.", "/conditions/roles")
    return found


def _component_problems(components: Sequence[ComponentDraft]) -> list[Problem]:
    measures = {m.pk: m for m in Measure.objects.select_related("currency")}
    currencies = set(Currency.objects.values_list("code", flat=True))
    found = []
    for place, each in enumerate(components):
        if each.measure_id not in measures:
            found.append(Problem("measure_unknown", "Choose a measure.", f"/components/{place}/measure"))
        if not 0 < each.weight_ppm <= ONE:
            found.append(
                Problem(
                    "weight_out_of_bounds", "More than 0% and at most 100%.", f"/components/{place}/weight"
                )
            )
        if each.target_incentive_minor is not None and (
            not 0 <= each.target_incentive_minor <= 9_000_000_000_000 or each.currency not in currencies
        ):
            found.append(
                Problem(
                    "target_incentive_invalid",
                    "An amount of zero or more, in a currency.",
                    f"/components/{place}/target_incentive",
                )
            )
        measure = measures.get(each.measure_id)
        if each.scale is not None and measure is not None:
            found += [
                Problem(p.code, p.message, f"/components/{place}{p.pointer}")
                for p in scale_problems(each.scale, measure, target=each.target_incentive_minor)
            ]
    if len({each.measure_id for each in components}) < len(components):
        found.append(Problem("measure_twice", "A measure has one component.", "/components"))
    together = sum(each.weight_ppm for each in components)
    if components and together != ONE:
        found.append(
            Problem(
                "weights_do_not_add_up",
                f"The weights add up to {together / 10_000:g}% and not to 100%.",
                "/components",
            )
        )
    return found


def scale_problems(scale: ScaleDraft, measure: Measure, *, target: int | None) -> list[Problem]:
    """What is wrong with how a component pays: one message for each thing, that says what to do."""
    found: list[Problem] = []
    attained = scale.by == PayBy.ATTAINMENT
    said = PayTerms(measure, measure.currency, scale.by, scale.window, scale.tiers)
    if scale.by not in PayBy.values or scale.window not in Grain.values:
        return [Problem("scale_unknown", "Choose what it pays by, and the window.", "/scale/by")]
    if attained and target is None:
        found.append(
            Problem(
                "target_incentive_missing",
                "Give a target incentive: rates over attainment are parts of it.",
                "/target_incentive",
            )
        )
    if not attained and measure.currency is None:
        found.append(
            Problem(
                "count_has_no_commission",
                f"{measure.name} are counted and have no amount to pay a part of: pay by attainment.",
                "/scale/by",
            )
        )
    most = LARGEST_FACTOR_PPM if attained else LARGEST_AMOUNT_MINOR
    starts = [start for start, _ in scale.tiers]
    wrong = problems_of_order(starts)
    if not scale.tiers:
        found.append(Problem("rates_missing", "Give at least one rate, from 0 on.", "/scale/tiers"))
    elif any(not 0 <= start <= most for start in starts):
        bound = "10,000%" if attained else pay_place(most, said)
        found.append(Problem("rate_starts_out_of_bounds", f"A rate begins at 0 to {bound}.", "/scale/tiers"))
    elif wrong is not None and wrong[1] == "first_not_at_nothing":
        found.append(
            Problem(
                "first_rate_not_at_nothing",
                f"The first rate begins at {pay_place(starts[0], said)} and has to begin at 0: give a rate of 0 up to there if nothing is paid.",
                "/scale/tiers",
            )
        )
    elif wrong is not None:
        nth = wrong[0]
        found.append(
            Problem(
                "rates_not_rising",
                f"Rate {nth + 1} begins at {pay_place(starts[nth], said)}, not above {pay_place(starts[nth - 1], said)} where the one before begins: put them in order.",
                "/scale/tiers",
            )
        )
    if any(not 0 <= rate <= LARGEST_FACTOR_PPM for _, rate in scale.tiers):
        found.append(Problem("rate_out_of_bounds", "A rate is 0% to 10,000%.", "/scale/tiers"))
    elif scale.tiers and not any(rate for _, rate in scale.tiers):
        found.append(
            Problem("rates_pay_nothing", "Every rate is 0: it would never pay anything.", "/scale/tiers")
        )
    if not 0 <= scale.threshold <= most:
        found.append(Problem("threshold_out_of_bounds", "A threshold is 0 or more.", "/scale/threshold"))
    if scale.cap_minor is not None and not 0 < scale.cap_minor <= LARGEST_AMOUNT_MINOR:
        found.append(Problem("cap_out_of_bounds", "A cap is above 0.", "/scale/cap"))
    return found


def _span_problems(starts: date | None, ends: date | None) -> list[Problem]:
    if starts is not None and ends is not None and ends <= starts:
        return [Problem("ends_before_it_starts", "The last day is before the first.", "/ends")]
    return []


def _note_problems(note: str) -> list[Problem]:
    return (
        [Problem("note_too_long", "A note has at most 500 characters.", "/note")] if len(note) > 500 else []
    )


def _refuse_unless_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only a comp admin writes plans.")


def _refuse_unless_second_person(version: PlanVersion, by: User) -> None:
    if may_publish(by, version):
        return
    did = "drafted it" if by.pk == version.drafted_by_id else "asked for its review"
    raise Forbidden.of("needs_a_second_person", f"You {did}, so another comp admin has to publish {version}.")


def _refuse_without_reason(reason: str) -> None:
    if not reason.strip():
        raise Conflict.of("reason_needed", "Say why: whoever wrote it will read it.", "/reason")
    if len(reason) > 500:
        raise Conflict.of("reason_too_long", "A reason has at most 500 characters.", "/reason")


def _refuse_stale(expected: str | None, actual: str) -> None:
    if expected is not None and expected != actual:
        raise Stale.of(
            "changed_meanwhile", "Somebody changed it since you read it: look at it again and decide anew."
        )


# --- rows -------------------------------------------------------------------------------------------------


def _open(plan_version_id: int, *, by: User) -> PlanVersion:
    """A draft or a version in review, locked: whoever else writes to it waits."""
    _refuse_unless_comp_admin(by)
    version = (
        PlanVersion.objects.select_for_update(of=("self",))
        .select_related("plan")
        .filter(pk=plan_version_id)
        .first()
    )
    if version is None:
        raise NotFound.of("plan_version_not_found", "There is no such plan version.")
    if version.state not in OPEN_STATES:
        raise Conflict.of(
            "plan_version_not_open",
            f"{version} is {version.get_state_display().lower()}: it does not change any more.",
        )
    return version


def _draft(plan_version_id: int, *, by: User, expected: str | None = None) -> PlanVersion:
    version = _open(plan_version_id, by=by)
    if version.state != PlanState.DRAFT:
        raise Conflict.of(
            "plan_version_in_review", f"{version} is in review: send it back first, then it can be changed."
        )
    if expected is not None:
        _refuse_stale(expected, fingerprint(version))
    return version


def _draft_of(
    plan: CompPlan, number: int, starts: date | None, ends: date | None, note: str, by: User, at: datetime
) -> PlanVersion:
    return PlanVersion.objects.create(
        plan=plan,
        number=number,
        effective=DateRange(starts, ends),
        note=note.strip(),
        drafted_by=by,
        drafted_at=at,
    )


def _copy(base: PlanVersion, made: PlanVersion) -> None:
    """Rules with their identities, and components. In the order of the original, which decides between equals."""
    for rule in base.rules.order_by("pk"):
        if rule.effective is not None and not _overlap(rule.effective, made.effective):
            continue
        rule.pk, rule.plan_version = None, made
        rule._state.adding = True
        rule.save()
    for component in base.components.select_related("pay_scale").order_by("pk"):
        scale = getattr(component, "pay_scale", None)
        tiers = [] if scale is None else list(scale.tiers.all())
        component.pk, component.plan_version = None, made
        component._state.adding = True
        component.save()
        if scale is None:
            continue
        scale.pk, scale.component = None, component
        scale._state.adding = True
        scale.save()
        RateTier.objects.bulk_create(
            [RateTier(scale=scale, starts_at=tier.starts_at, rate_ppm=tier.rate_ppm) for tier in tiers]
        )


def _overlap(one: DateRange, other: DateRange) -> bool:
    starts = max(one.lower or date.min, other.lower or date.min)
    return bool(starts < min(one.upper or date.max, other.upper or date.max))


def _identity(version: PlanVersion, name: str) -> CreditingRule:
    """A new rule of the plan, by a slug of its name that no other rule of the plan has."""
    base = slugify(name)[:70] or "rule"
    taken = set(version.plan.rules.filter(slug__startswith=base).values_list("slug", flat=True))
    return CreditingRule.objects.create(plan=version.plan, slug=_free(base, taken))


def _free(base: str, taken: Container[str]) -> str:
    slug, nth = base, 1
    while slug in taken:
        nth += 1
        slug = f"{base}-{nth}"
    return slug


def _alike(name: str) -> str:
    """What two names have in common that nobody tells apart."""
    return slugify(name) or name.casefold()


def _says(rule: RuleVersion) -> list[Any]:
    return [
        *(rule.name, rule.measure_id, rule.receivers, rule.exclusive, rule.factor_ppm, rule.cap_minor),
        *(rule.priority, rule.effective),
        *(getattr(rule, name) for name in RuleVersion.CONDITIONS),
    ]


def _fill(rule: RuleVersion, draft: RuleDraft) -> None:
    rule.name = draft.name.strip()
    rule.measure_id = draft.measure_id
    rule.receivers = draft.receivers
    rule.exclusive = draft.exclusive
    rule.factor_ppm = draft.factor_ppm
    rule.cap_minor = draft.cap_minor
    rule.effective = DateRange(draft.starts, draft.ends) if draft.starts or draft.ends else None
    rule.priority = draft.priority
    for name in RuleVersion.CONDITIONS:
        values = draft.conditions.get(name) or ()
        setattr(rule, name, sorted(dict.fromkeys(values)) or None)

"""Proving parity and allowing what is not: every run of the proof is kept as evidence, every exception needs two people and dates."""

from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import Role, User
from config.clock import day_of
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from marketplace.models import EligibilityDecision, Program
from quotas.crediting import engine
from quotas.models import CreditingRule, ParityException, ParityProof, Period, PlanState, PlanVersion
from quotas.selectors.parity import Between, History, Report, report_of_period, report_of_plan, with_version

PROVES = (Role.COMP_ADMIN, Role.AUDITOR)
LONGEST_REASON = 500
A_YEAR = 365


@transaction.atomic
def prove_plan(
    *, plan_version_id: int, between: str = "origin", by: User | None, at: datetime
) -> ParityProof:
    """Prove a plan version over its own span, as if it were published, and keep what was found. by: None is the system.

    Raises NotFound, Forbidden, or Invalid for a comparison that does not exist.
    """
    _refuse_unless_prover(by)
    acting(by=by, at=at, reason="parity proof of a plan version")
    version = PlanVersion.objects.select_related("plan").filter(pk=plan_version_id).first()
    if version is None:
        raise NotFound.of("unknown_plan_version", "There is no such plan version.")
    compared, on = Between.parse(between), day_of(at)
    report = report_of_plan(version, between=compared, on=on, history=_history(version, compared, on))
    return _keep(report, by=by, at=at, plan_version=version)


@transaction.atomic
def prove_period(*, period_id: int, between: str = "origin", by: User | None, at: datetime) -> ParityProof:
    """Prove a month, quarter, half or year under the published rules, and keep what was found. by: None is the system.

    Raises NotFound, Forbidden, or Invalid for a comparison that does not exist.
    """
    _refuse_unless_prover(by)
    acting(by=by, at=at, reason="parity proof of a period")
    period = Period.objects.filter(pk=period_id).first()
    if period is None:
        raise NotFound.of("unknown_period", "There is no such period.")
    report = report_of_period(period, between=Between.parse(between), on=day_of(at))
    return _keep(report, by=by, at=at, period=period)


def _history(version: PlanVersion, between: Between, on: date) -> History | None:
    """The last twelve months as if the version had been in force; only for one that begins later and can still change.

    Its span is moved back in a savepoint that is rolled back. Rules with dates of their own keep them.
    """
    starts, ends = on - timedelta(days=A_YEAR), on
    lower = version.effective.lower
    if version.state not in (PlanState.DRAFT, PlanState.IN_REVIEW) or lower is None or lower < ends:
        return None
    with transaction.atomic():
        PlanVersion.objects.filter(pk=version.pk).update(effective=DateRange(starts, version.effective.upper))
        lines = engine.twins(
            engine.BySpan(starts, ends), twin=between.twin, plan_versions=with_version(version)
        )
        transaction.set_rollback(True)
    return History(starts, ends, lines)


def _keep(
    report: Report,
    *,
    by: User | None,
    at: datetime,
    period: Period | None = None,
    plan_version: PlanVersion | None = None,
) -> ParityProof:
    return ParityProof.objects.create(
        period=period,
        plan_version=plan_version,
        between=str(report.between),
        starts=report.starts,
        ends=report.ends,
        rules_verdict=report.rules_verdict,
        eligibility_verdict=report.eligibility_verdict,
        lines_checked=report.lines_checked,
        combinations_checked=report.combinations_checked,
        findings=report.findings,
        rules_digest=report.rules_digest,
        made_by=by,
        made_at=at,
    )


@transaction.atomic
def ask_exception(
    *,
    rule_id: int | None = None,
    decision_id: int | None = None,
    starts: date,
    ends: date,
    by: User,
    at: datetime,
    reason: str,
) -> ParityException:
    """Ask that one rule, or one eligibility decision, may treat offerings unequally on credit dates in [starts, ends).

    It covers nothing until another comp admin approves it. Raises Forbidden, NotFound, Invalid.
    """
    _refuse_unless_comp_admin(by)
    acting(by=by, at=at, reason=reason)
    refuse_if_any(_problems(rule_id, decision_id, starts, ends, reason))
    if rule_id is not None and not CreditingRule.objects.filter(pk=rule_id).exists():
        raise NotFound.of("unknown_rule", "There is no such rule.", "/rule")
    if (
        decision_id is not None
        and not EligibilityDecision.objects.filter(pk=decision_id, program=Program.QUOTA).exists()
    ):
        raise NotFound.of("unknown_decision", "There is no such eligibility decision.", "/decision")
    return ParityException.objects.create(
        rule_id=rule_id,
        decision_id=decision_id,
        reason=reason.strip(),
        effective=DateRange(starts, ends),
        asked_by=by,
        asked_at=at,
    )


@transaction.atomic
def approve_exception(*, exception_id: int, by: User, at: datetime) -> ParityException:
    """Let it cover its days. Raises Forbidden for whoever asked for it, Conflict for one that is approved or withdrawn, NotFound."""
    _refuse_unless_comp_admin(by)
    exception = _locked(exception_id)
    acting(by=by, at=at, reason=exception.reason)
    if exception.withdrawn_at is not None:
        raise Conflict.of("withdrawn", "This exception has been withdrawn.")
    if exception.approved_at is not None:
        raise Conflict.of("approved_already", "This exception has been approved already.")
    if exception.asked_by_id == by.pk:
        raise Forbidden.of("own_exception", "You asked for this exception: somebody else approves it.")
    exception.approved_by, exception.approved_at = by, at
    exception.save(update_fields=["approved_by", "approved_at"])
    return exception


@transaction.atomic
def withdraw_exception(*, exception_id: int, by: User, at: datetime, reason: str) -> ParityException:
    """End it at once, for all its days; what it covered is refused again. Raises Forbidden, Invalid, Conflict, NotFound."""
    _refuse_unless_comp_admin(by)
    refuse_if_any(
        [] if reason.strip() else [Problem("reason_missing", "Say why it is withdrawn.", "/reason")]
    )
    acting(by=by, at=at, reason=reason)
    exception = _locked(exception_id)
    if exception.withdrawn_at is not None:
        raise Conflict.of("withdrawn", "This exception has been withdrawn already.")
    exception.withdrawn_at = at
    exception.save(update_fields=["withdrawn_at"])
    return exception


def _problems(
    rule_id: int | None, decision_id: int | None, starts: date, ends: date, reason: str
) -> list[Problem]:
    found = []
    if (rule_id is None) == (decision_id is None):
        found.append(Problem("one_subject", "Name either a rule or an eligibility decision.", "/rule"))
    if ends <= starts:
        found.append(Problem("ends_before_it_starts", "It ends before it starts.", "/ends"))
    if not reason.strip():
        found.append(
            Problem("reason_missing", "Say why: it stands in every proof that it covers.", "/reason")
        )
    elif len(reason.strip()) > LONGEST_REASON:
        found.append(
            Problem("reason_too_long", f"A reason has at most {LONGEST_REASON} characters.", "/reason")
        )
    return found


def _locked(exception_id: int) -> ParityException:
    exception = ParityException.objects.select_for_update(of=("self",)).filter(pk=exception_id).first()
    if exception is None:
        raise NotFound.of("unknown_exception", "There is no such exception.")
    return exception


def _refuse_unless_prover(by: User | None) -> None:
    if by is not None and not by.has_role(*PROVES):
        raise Forbidden.of("not_a_prover", "Parity is proved by comp admins and auditors.")


def _refuse_unless_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Exceptions are asked for and approved by comp admins.")

"""The parity report: what was proved of a period or of a plan version, and what is known of proofs that were kept.

Two verdicts, neither alone called parity. Rules: no line earns other than for its twin, and no combination could.
Eligibility: nothing on sale counts less than the best of the other side. What a live exception covers is a pass, the rest is not.
A report's findings are plain JSON, because they are kept as evidence and shown as they were found.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db.models import Count, Max

from config import house as formats
from config.refusals import Invalid
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    Origin,
    PricingForm,
    Publisher,
    TaskArea,
)
from quotas.crediting import engine
from quotas.crediting.parity import OF_THE_OFFERING, Facts, clauses, of_twin, separates, worth
from quotas.models import (
    DealEvent,
    Measure,
    ParityException,
    ParityProof,
    ParityVerdict,
    Period,
    PlanAssignment,
    PlanState,
    PlanVersion,
    Posting,
    RuleVersion,
)
from quotas.selectors.parity_eligibility import Treatment, eligibility
from quotas.selectors.parity_practice import behaviour, policy
from quotas.selectors.parity_words import either, exception_written, share, verdict

CLAUSES: Final[Mapping[str, str]] = {
    "publishers": "publisher",
    "offerings": "offering",
    "families": "family",
    "paths": "commercial path",
    "task_areas": "task area",
    "pricing_forms": "pricing form",
}
SHOWN: Final = 25  # lines of a finding that are kept with it
FORMAT: Final = 1  # of the findings; a proof of another one is evidence, but not shown as what is true now
NAMED: Final = 12  # offerings of a finding that are named


@dataclass(frozen=True)
class Between:
    """What is compared: the origins, the commercial paths, or two publishers."""

    kind: str
    publishers: tuple[Publisher, ...] = ()

    @classmethod
    def parse(cls, asked: str) -> "Between":
        """origin, path, or publisher:a,b with two slugs. 1 query for publishers. Raises Invalid."""
        if asked in ("origin", "path"):
            return cls(asked)
        kind, _, named = asked.partition(":")
        slugs = [slug.strip() for slug in named.split(",")]
        if kind == "publisher" and len(slugs) == 2 and slugs[0] != slugs[1]:
            found = {p.slug: p for p in Publisher.objects.filter(slug__in=slugs)}
            if len(found) == 2:
                return cls("publisher", (found[slugs[0]], found[slugs[1]]))
        raise Invalid.of(
            "unknown_comparison",
            "Compare origin, path, or publisher:a,b with the slugs of two publishers.",
            "/between",
        )

    @property
    def twin(self) -> engine.Twin:
        if self.kind == "publisher":
            return engine.Twin("publisher", (self.publishers[0].pk, self.publishers[1].pk))
        return engine.Twin(self.kind)

    @property
    def sides(self) -> tuple[str, str]:
        """What the two are called."""
        if self.kind == "publisher":
            return self.publishers[0].name, self.publishers[1].name
        if self.kind == "path":
            return CommercialPath.SOLD_BY_CLOUD.label, CommercialPath.MARKETPLACE.label
        return Origin.FIRST.label, Origin.THIRD.label

    @property
    def kinds(self) -> tuple[str, str]:
        """What offerings of the two are called within a sentence."""
        if self.kind == "publisher":
            return self.sides
        return ("cloud-sold", "marketplace") if self.kind == "path" else ("first-party", "third-party")

    def side_of(self, offering: Offering) -> int | None:
        """0 or 1; None for what is on neither side. Reads the publisher: select_related it."""
        if self.kind == "origin":
            return 0 if offering.publisher.origin == Origin.FIRST else 1
        if self.kind == "path":
            return {CommercialPath.SOLD_BY_CLOUD.value: 0, CommercialPath.MARKETPLACE.value: 1}.get(
                offering.commercial_path
            )
        return next((n for n, p in enumerate(self.publishers) if p.pk == offering.publisher_id), None)

    def __str__(self) -> str:
        return f"publisher:{','.join(p.slug for p in self.publishers)}" if self.publishers else self.kind


@dataclass(frozen=True)
class Report:
    """What a run of the proof found. findings is JSON; the rest is what verdicts and evidence are made of."""

    between: Between
    starts: date
    ends: date
    rules_verdict: ParityVerdict
    eligibility_verdict: ParityVerdict
    lines_checked: int
    combinations_checked: int
    findings: Mapping[str, Any]
    rules_digest: str

    @property
    def passes(self) -> bool:
        return ParityVerdict.REFUSED not in (self.rules_verdict, self.eligibility_verdict)


def report_of_period(period: Period, *, between: Between, on: date) -> Report:
    """The proof of a month, quarter, half or year, under the published rules. A fixed number of queries."""
    versions = _published(period.starts, period.ends)
    return _report(
        versions,
        between=between,
        starts=period.starts,
        ends=period.ends,
        on=on,
        subject={"period": period.name},
    )


@dataclass(frozen=True)
class History:
    """What a plan version would have done in [starts, ends), had it been in force then."""

    starts: date
    ends: date
    lines: engine.TwinReport


def report_of_plan(
    version: PlanVersion, *, between: Between, on: date, history: History | None = None
) -> Report:
    """The proof of a plan version over its own span, as if it were published beside what is. A fixed number of queries."""
    starts, ends = span_of(version)
    has_people = PlanAssignment.objects.filter(plan=version.plan_id, superseded_at=None).exists()
    return _report(
        _with(version, _published(starts, ends)),
        between=between,
        starts=starts,
        ends=ends,
        on=on,
        subject={"plan": version.plan.slug, "number": version.number},
        assumed=() if has_people else (version.plan_id,),
        history=history,
    )


def with_version(version: PlanVersion) -> list[int]:
    """Ids of the plan versions that would be published if this one were too. 1 query."""
    published = PlanVersion.objects.filter(state=PlanState.PUBLISHED).values_list("pk", flat=True)
    return sorted({*published, version.pk})


def span_of(version: PlanVersion) -> tuple[date, date]:
    """A version's own days; where it has no bound, those of the calendar. At most 1 query."""
    lower, upper = version.effective.lower, version.effective.upper
    if lower is None or upper is None:
        known = Period.objects.order_by("starts").values_list("starts", flat=True).first()
        last = Period.objects.order_by("-ends").values_list("ends", flat=True).first()
        lower = lower or min(filter(None, [known, upper, date(2000, 1, 1) if known is None else None]))
        upper = upper or max(filter(None, [last, lower.replace(year=lower.year + 1, day=min(lower.day, 28))]))
    return lower, upper


def rules_digest(version: PlanVersion) -> str:
    """SHA-256 of what is proved with a version: its rules, and those of all published versions that share days with it. 2 queries."""
    return _digest(_with(version, _published(*span_of(version))))


def rules_digest_of(period: Period) -> str:
    """SHA-256 of the rules that a proof of the period would be about now. 1 query and its rules."""
    return _digest(_published(period.starts, period.ends))


def valid_proof_of(version: PlanVersion) -> ParityProof | None:
    """The newest proof between the origins whose rules are still these, and which no exception that it passes on has left; None: prove it again. 3 queries, 4 with exceptions."""
    proof = (
        ParityProof.objects.filter(plan_version=version, between="origin", rules_digest=rules_digest(version))
        .select_related("made_by")
        .order_by("-pk")
        .first()
    )
    if proof is None:
        return None
    passed = {
        finding["exception"]["id"]
        for part in ("rules", "eligibility")
        for finding in proof.findings[part]["findings"]
        if finding["exception"] is not None
    }
    if passed and ParityException.objects.filter(pk__in=passed).exclude(withdrawn_at=None).exists():
        return None
    return proof


def newest_proof(period: Period, between: Between) -> ParityProof | None:
    """The last one kept. 1 query."""
    return (
        ParityProof.objects.filter(period=period, between=str(between))
        .select_related("made_by")
        .order_by("-pk")
        .first()
    )


def current_report(period: Period, *, between: Between, on: date) -> tuple[Report, ParityProof | None]:
    """What is true now: the proof that was kept if nothing has happened since, else worked out anew, and the newest proof kept."""
    kept = newest_proof(period, between)
    if kept is not None and kept.findings.get("stamp") == _stamp(on, _published(period.starts, period.ends)):
        return report_kept(kept, between), kept
    return report_of_period(period, between=between, on=on), kept


def is_of(proof: ParityProof | None, report: Report) -> bool:
    """Whether the proof that was kept says what is true now."""
    return proof is not None and bool(proof.findings.get("stamp") == report.findings.get("stamp"))


def report_kept(proof: ParityProof, between: Between | None = None) -> Report:
    """As it was found then."""
    return Report(
        between=between or Between.parse(proof.between),
        starts=proof.starts,
        ends=proof.ends,
        rules_verdict=ParityVerdict(proof.rules_verdict),
        eligibility_verdict=ParityVerdict(proof.eligibility_verdict),
        lines_checked=proof.lines_checked,
        combinations_checked=proof.combinations_checked,
        findings=proof.findings,
        rules_digest=proof.rules_digest,
    )


def proof_numbered(number: int) -> ParityProof | None:
    """1 query."""
    return (
        ParityProof.objects.select_related("period__calendar", "plan_version__plan", "made_by")
        .filter(pk=number)
        .first()
    )


def kept_proofs(period: Period, *, beside: ParityProof | None = None, most: int = 10) -> list[ParityProof]:
    """The last ones of the period, or of the plan version that *beside* is about. 1 query."""
    of = ParityProof.objects.select_related("made_by").order_by("-pk")
    if beside is not None and beside.plan_version_id is not None:
        return list(of.filter(plan_version=beside.plan_version_id)[:most])
    return list(of.filter(period=period)[:most])


def live_exceptions(*, rules: bool) -> list[ParityException]:
    """Approved and not withdrawn, of rules or of decisions, whatever their dates. 1 query."""
    return list(
        ParityException.objects.filter(approved_at__isnull=False, withdrawn_at=None, decision__isnull=rules)
        .select_related("asked_by", "approved_by")
        .order_by("pk")
    )


def exceptions() -> list[ParityException]:
    """Every exception that was asked for, newest first. 1 query."""
    return list(
        ParityException.objects.select_related(
            "rule__plan",
            "decision__publisher",
            "decision__offering",
            "decision__plan",
            "asked_by",
            "approved_by",
        ).order_by("-pk")
    )


# What is proved.


def _published(starts: date, ends: date) -> list[PlanVersion]:
    return list(
        PlanVersion.objects.filter(state=PlanState.PUBLISHED, effective__overlap=(starts, ends))
        .select_related("plan")
        .prefetch_related("rules__rule", "rules__measure__currency")
        .order_by("plan__slug", "number")
    )


def _with(version: PlanVersion, published: Sequence[PlanVersion]) -> list[PlanVersion]:
    others = [other for other in published if other.pk != version.pk]
    return sorted([*others, version], key=lambda v: (v.plan.slug, v.number))


def _digest(versions: Iterable[PlanVersion]) -> str:
    content = [
        [
            version.plan.slug,
            version.number,
            str(version.effective),
            sorted(
                [
                    [
                        *(rule.rule.slug, rule.measure.slug, rule.receivers, rule.exclusive, rule.factor_ppm),
                        *(rule.cap_minor, str(rule.effective or ""), rule.priority),
                        [_sorted(getattr(rule, name)) for name in RuleVersion.CONDITIONS],
                    ]
                    for rule in version.rules.all()
                ],
                key=lambda content: str(content[0]),
            ),
        ]
        for version in versions
    ]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _sorted(values: Sequence[Any] | None) -> list[Any] | None:
    return None if values is None else sorted(values)


def _stamp(on: date, versions: Sequence[PlanVersion]) -> str:
    """Changes with everything a report is made of. 6 queries."""
    decided = EligibilityDecision.objects.aggregate(a=Max("pk"), b=Max("checked_at"), c=Max("superseded_at"))
    excepted = ParityException.objects.aggregate(a=Max("pk"), b=Max("approved_at"), c=Max("withdrawn_at"))
    assigned = PlanAssignment.objects.aggregate(a=Max("pk"), b=Max("superseded_at"))
    offered = Offering.objects.aggregate(a=Max("pk"), b=Count("pk"), c=Max("revision"))
    posted = Posting.objects.aggregate(a=Max("pk"))
    decided_on = DealEvent.objects.aggregate(a=Max("pk"))
    known = [
        [str(value) for value in each.values()]
        for each in (decided, excepted, assigned, offered, posted, decided_on)
    ]
    return hashlib.sha256(json.dumps([FORMAT, str(on), _digest(versions), known]).encode()).hexdigest()


def _report(
    versions: Sequence[PlanVersion],
    *,
    between: Between,
    starts: date,
    ends: date,
    on: date,
    subject: Mapping[str, Any],
    assumed: Sequence[int] = (),
    history: History | None = None,
) -> Report:
    by_id = {rule.pk: rule for version in versions for rule in version.rules.all()}
    ids = [version.pk for version in versions]
    lines = engine.twins(engine.BySpan(starts, ends), twin=between.twin, plan_versions=ids, most=SHOWN)
    possible = engine.combinations(
        engine.Combinations(
            starts,
            ends,
            [segment for rule in by_id.values() for segment in rule.segments or ()],
            [region for rule in by_id.values() for region in rule.regions or ()],
        ),
        twin=between.twin,
        plan_versions=ids,
        assumed=assumed,
    )
    catalog = {
        offering.pk: offering
        for offering in Offering.objects.select_related("publisher").prefetch_related("task_areas", "plans")
    }
    found = _Findings(by_id, catalog, between)
    found.take_combinations(possible)
    found.take_lines(lines)
    treated = eligibility(
        catalog,
        sides=between.sides,
        kinds=between.kinds,
        side_of=between.side_of,
        starts=starts,
        ends=ends,
        on=on,
        exceptions=live_exceptions(rules=False),
    )
    rules_verdict = verdict([finding["exception"] is not None for finding in found.told])
    return Report(
        between=between,
        starts=starts,
        ends=ends,
        rules_verdict=rules_verdict,
        eligibility_verdict=verdict([group["exception"] is not None for group in treated["findings"]]),
        lines_checked=lines.lines,
        combinations_checked=possible.combinations,
        findings={
            "subject": dict(subject),
            "between": str(between),
            "sides": list(between.sides),
            "on": on.isoformat(),
            "rules": {
                "versions": [
                    {"id": v.pk, "name": str(v), "state": v.state, "rules": len(v.rules.all())}
                    for v in versions
                ],
                "offerings": possible.offerings,
                "findings": found.told,
                "proxies": found.proxies(_counting(treated["treatments"])),
            },
            "history": None if history is None else _history(history, by_id, catalog, between),
            "eligibility": {name: value for name, value in treated.items() if name != "treatments"},
            "policy": policy(starts=starts, ends=ends, on=on, side_of=between.side_of, catalog=catalog),
            "behaviour": behaviour(
                starts=starts, ends=ends, sides=between.sides, side_of=between.side_of, catalog=catalog
            ),
            "stamp": _stamp(on, versions) if "period" in subject else "",
        },
        rules_digest=_digest(versions),
    )


def _history(
    history: History, rules: Mapping[int, RuleVersion], catalog: Mapping[int, Offering], between: Between
) -> dict[str, Any]:
    """Under the rules of today's versions a past line may differ too; what is told is what the rules that are proved would do."""
    found = _Findings(rules, catalog, between)
    found.take_lines(history.lines)
    return {
        "starts": history.starts.isoformat(),
        "ends": history.ends.isoformat(),
        "lines": history.lines.lines,
        "findings": found.told,
    }


def _counting(treatments: Sequence[Treatment]) -> set[int]:
    """Offerings that count at some time, on sale or not: the proxies' catalog is the one that the combinations are made of."""
    return {treatment.offering_id for treatment in treatments if treatment.rate_ppm}


@dataclass
class _Finding:
    """One rule that tells twins apart by one set of clauses, under one exception or none."""

    rule: RuleVersion
    names: tuple[str, ...]
    exception: ParityException | None
    offerings: set[int] = field(default_factory=set)
    combinations: int = 0
    outcomes: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    example: Mapping[str, Any] | None = None
    first_day: date | None = None
    lines: set[tuple[int, int]] = field(default_factory=set)
    amounts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    shown: list[dict[str, Any]] = field(default_factory=list)


class _Findings:
    """Groups what differs by the rule and the clause that moved it."""

    def __init__(
        self, rules: Mapping[int, RuleVersion], catalog: Mapping[int, Offering], between: Between
    ) -> None:
        self.rules, self.catalog, self.between = rules, catalog, between
        self.exceptions: dict[int, list[ParityException]] = defaultdict(list)
        for exception in live_exceptions(rules=True):
            if exception.rule_id is not None:
                self.exceptions[exception.rule_id].append(exception)
        self.found: dict[tuple[int, tuple[str, ...], int], _Finding] = {}
        self._clauses: dict[tuple[int, int], tuple[str, ...]] = {}
        self._names: dict[str, dict[Any, str]] | None = None
        self._measures: dict[int, Measure] | None = None

    def take_combinations(self, report: engine.CombinationReport) -> None:
        for unequal in report.unequal:
            own = self._outcome(unequal.own_winner, unequal.own_spiffs)
            twin = self._outcome(unequal.twin_winner, unequal.twin_spiffs)
            if worth(*own) == worth(*twin):
                continue  # other rules, the same credit whatever the amount
            met = {rule.pk for rule in (own[0], twin[0], *own[1], *twin[1]) if rule is not None}
            for finding in self._of(met, unequal.of.offerings[0], unequal.day):
                finding.offerings.update(unequal.of.offerings)
                finding.combinations += unequal.combinations
                finding.outcomes[_said(*own), _said(*twin)] += unequal.combinations
                if finding.first_day is None or unequal.day < finding.first_day:
                    finding.first_day = unequal.day
                finding.example = finding.example or unequal.example

    def take_lines(self, report: engine.TwinReport) -> None:
        """A line that only a shared cap moves belongs to what moved the other lines of its deal under that rule."""
        movers: dict[tuple[int, int], set[tuple[int, tuple[str, ...], int]]] = defaultdict(set)
        indirect = []
        for group in report.unequal:
            findings = self._of(group.rules, group.offering_id, group.credit_date)
            for finding in findings:
                self._add(finding, group, group.lines)
                for deal_id, _ in group.lines:
                    for rule_id in group.rules:
                        movers[deal_id, rule_id].add(self._key(finding))
            if not findings:
                indirect.append(group)
        for group in indirect:
            by_key: dict[tuple[int, tuple[str, ...], int], list[tuple[int, int]]] = defaultdict(list)
            for line in group.lines:
                for key in {key for rule_id in group.rules for key in movers[line[0], rule_id]}:
                    by_key[key].append(line)
            for key, lines in by_key.items():
                self._add(self.found[key], group, lines)
        for shown in report.shown:
            keys = {self._key(f) for f in self._of(shown.rules, shown.offering_id, shown.credit_date)}
            for key in keys or {key for rule_id in shown.rules for key in movers[shown.deal_id, rule_id]}:
                self.found[key].shown.append(self._line(shown))

    def _add(self, finding: _Finding, group: engine.UnequalLines, lines: Sequence[tuple[int, int]]) -> None:
        finding.lines.update(lines)
        finding.offerings.add(group.offering_id)
        finding.amounts[group.measure_id][0] += group.own
        finding.amounts[group.measure_id][1] += group.twin

    def _key(self, finding: _Finding) -> tuple[int, tuple[str, ...], int]:
        return finding.rule.pk, finding.names, finding.exception.pk if finding.exception else 0

    def _of(self, rule_ids: Iterable[int], offering_id: int, day: date) -> list[_Finding]:
        """The findings of those rules that meet only one of the offering and its twin."""
        told = []
        for rule_id in sorted(rule_ids):
            names = self._told_by(rule_id, offering_id)
            if not names:
                continue
            rule = self.rules[rule_id]
            exception = next((e for e in self.exceptions[rule.rule_id] if day in e.effective), None)
            key = rule_id, names, exception.pk if exception else 0
            told.append(self.found.setdefault(key, _Finding(rule, names, exception)))
        return told

    def _told_by(self, rule_id: int, offering_id: int) -> tuple[str, ...]:
        key = rule_id, offering_id
        if key not in self._clauses:
            offering = self.catalog[offering_id]
            own = Facts(offering.publisher_id, offering.pk, offering.family, offering.commercial_path)
            self._clauses[key] = tuple(clauses(self.rules[rule_id], own, of_twin(own, self.between.twin)))
        return self._clauses[key]

    def _outcome(
        self, winner: int | None, spiffs: Sequence[int]
    ) -> tuple[RuleVersion | None, list[RuleVersion]]:
        return self.rules[winner] if winner is not None else None, [self.rules[spiff] for spiff in spiffs]

    # As it is told.

    @property
    def told(self) -> list[dict[str, Any]]:
        """Those without an exception first, then by lines and combinations."""
        ordered = sorted(
            self.found.values(),
            key=lambda f: (f.exception is not None, -len(f.lines), -f.combinations, f.rule.pk, f.names),
        )
        return [self._written(finding) for finding in ordered]

    def _written(self, finding: _Finding) -> dict[str, Any]:
        rule = finding.rule
        offerings = sorted((self.catalog[pk] for pk in finding.offerings), key=lambda o: o.name)
        outcomes = sorted(finding.outcomes.items(), key=lambda pair: (-pair[1], pair[0]))
        return {
            "rule": {
                "id": rule.rule_id,
                "version_id": rule.pk,
                "name": rule.name,
                "plan_version_id": rule.plan_version_id,
                "measure": rule.measure.name,
            },
            "clauses": [
                {"name": name, "label": CLAUSES[name], "values": self._values(name, getattr(rule, name))}
                for name in finding.names
            ],
            "says": self._sentence(finding),
            "exception": None if finding.exception is None else exception_written(finding.exception),
            "since": None if finding.first_day is None else finding.first_day.isoformat(),
            "combinations": finding.combinations,
            "outcomes": [{"own": own, "twin": twin, "combinations": n} for (own, twin), n in outcomes[:5]],
            "example": self._example(finding.example),
            "offerings": [
                {"slug": o.slug, "name": o.name, "publisher": o.publisher.name} for o in offerings[:NAMED]
            ],
            "offerings_in_all": len(offerings),
            "lines": len(finding.lines),
            "deals": len({deal_id for deal_id, _ in finding.lines}),
            "amounts": [
                self._amounts(measure_id, own, twin)
                for measure_id, (own, twin) in sorted(finding.amounts.items())
            ],
            "shown": finding.shown[:SHOWN],
        }

    def _sentence(self, finding: _Finding) -> str:
        told = " and ".join(
            f"{CLAUSES[name]} {either(self._values(name, getattr(finding.rule, name)))}"
            for name in finding.names
        )
        if not finding.outcomes:
            return f"“{finding.rule.name}” looks at {told}."
        (own, twin), _ = max(finding.outcomes.items(), key=lambda pair: pair[1])
        return f"“{finding.rule.name}” looks at {told}: the offering earns {own}, its twin {twin}."

    def _values(self, name: str, values: Sequence[Any] | None) -> list[str]:
        return [self._name(name, value) for value in values or ()]

    def _name(self, name: str, value: Any) -> str:
        if self._names is None:
            self._names = {
                "offerings": {pk: offering.name for pk, offering in self.catalog.items()},
                "publishers": dict(Publisher.objects.values_list("pk", "name")),
                "task_areas": dict(TaskArea.objects.values_list("pk", "name")),
                "paths": dict(CommercialPath.choices),
                "pricing_forms": dict(PricingForm.choices),
            }
        return str(self._names.get(name, {}).get(value, value))

    def _measure(self, measure_id: int) -> Measure:
        if self._measures is None:
            self._measures = {m.pk: m for m in Measure.objects.select_related("currency")}
        return self._measures[measure_id]

    def _amounts(self, measure_id: int, own: int, twin: int) -> dict[str, Any]:
        measure = self._measure(measure_id)
        return {
            "measure": measure.slug,
            "measure_name": measure.name,
            **_unit(measure),
            "own_minor": own,
            "twin_minor": twin,
        }

    def _line(self, shown: engine.Unequal) -> dict[str, Any]:
        offering = self.catalog[shown.offering_id]
        return {
            "deal_id": shown.deal_id,
            "line_no": shown.line_no,
            "rep_id": shown.rep_id,
            "overlay": shown.receiver_class != 1,
            "offering": {"slug": offering.slug, "name": offering.name, "publisher": offering.publisher.name},
            "credit_date": shown.credit_date.isoformat(),
            **self._amounts(shown.measure_id, shown.own, shown.twin),
        }

    def _example(self, example: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if example is None:
            return None
        return {name: example[name] for name in ("kind", "segment", "region", "role", "receiver_class")}

    def proxies(self, counting: set[int]) -> list[dict[str, Any]]:
        """Conditions on the offering that tell the two sides' catalogs apart, whether or not a twin moves: it has the same task areas."""
        sides: tuple[list[Offering], list[Offering]] = ([], [])
        for pk in sorted(counting):
            side = self.between.side_of(self.catalog[pk])
            if side is not None:
                sides[side].append(self.catalog[pk])
        told = {(finding.rule.pk, name) for finding in self.found.values() for name in finding.names}
        proxies = []
        for rule in sorted(self.rules.values(), key=lambda r: r.pk):
            for name in OF_THE_OFFERING:
                named = getattr(rule, name)
                if named is None or (rule.pk, name) in told:
                    continue
                matched = separates(named, [{o.pk: _has(o, name) for o in side} for side in sides])
                if matched is None:
                    continue
                values = self._values(name, named)
                counts = [
                    {"side": label, "matched": n, "of": len(side)}
                    for label, n, side in zip(self.between.sides, matched, sides, strict=True)
                ]
                proxies.append(
                    {
                        "rule": {
                            "id": rule.rule_id,
                            "name": rule.name,
                            "plan_version_id": rule.plan_version_id,
                        },
                        "clause": {"name": name, "label": CLAUSES[name], "values": values},
                        "sides": counts,
                        "says": f"“{rule.name}” looks at {CLAUSES[name]} {either(values)}, which "
                        + " and ".join(
                            f"{c['matched']} of {c['of']} {c['side']} offerings have" for c in counts
                        )
                        + ".",
                    }
                )
        return proxies


def _has(offering: Offering, name: str) -> list[Any]:
    if name == "task_areas":
        return [area.pk for area in offering.task_areas.all()]
    if name == "pricing_forms":
        return [plan.pricing_form for plan in offering.plans.all()]
    own: dict[str, Any] = {
        "publishers": offering.publisher_id,
        "offerings": offering.pk,
        "families": offering.family,
        "paths": offering.commercial_path,
    }
    return [own[name]]


def _said(winner: RuleVersion | None, spiffs: Sequence[RuleVersion]) -> str:
    """An outcome in words: 120 % up to $300,000 a deal under “name”, and 5 % by “name”."""
    if winner is None:
        said = "nothing, because no rule matches"
    else:
        said = f"{share(winner.factor_ppm)} under “{winner.name}”"
        if winner.cap_minor is not None:
            unit = _unit(winner.measure)
            said += (
                f", at most {formats.measured(winner.cap_minor, unit['currency'], unit['exponent'])} a deal"
            )
    added = [f"{share(spiff.factor_ppm)} by “{spiff.name}”" for spiff in spiffs]
    return f"{said} and {' and '.join(added)} on top" if added else said


def _unit(measure: Measure) -> dict[str, Any]:
    if measure.currency is None:
        return {"currency": None, "exponent": formats.COUNT_EXPONENT}
    return {"currency": measure.currency.code, "exponent": measure.currency.exponent}

"""Why there is no credit: one sentence that a rep understands, with the fact and where it is mended.

The same words for an approved deal, for one that waits for approval, and for an estimate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db.models import Q

from config.language import _, marked, ngettext, spoken
from marketplace.models import Customer, EligibilityDecision, Plan, Program
from quotas.crediting import engine
from quotas.crediting.explanation.credits import decided, scope
from quotas.crediting.explanation.known import Known, Wanted
from quotas.crediting.explanation.matching import Sold, Tried, closest, tried
from quotas.crediting.explanation.pending import document_of, with_document
from quotas.crediting.explanation.words import (
    CONDITIONS,
    DEALS,
    day,
    inside,
    money_of,
    percent,
    place,
    small,
    span,
)
from quotas.models import (
    Deal,
    DealAction,
    DealEvent,
    DealKind,
    DealVersion,
    Grain,
    Measure,
    Period,
    PeriodState,
    Reason,
    Rep,
    UncreditedLine,
)

LARGEST: Final = 9_000_000_000_000


@dataclass(frozen=True)
class Missing:
    """Why a line earned nothing, or would earn nothing: for one measure and rep, or for all of them where these are empty.

    sentence  The whole answer, for a rep. remedy says where the fact behind it is mended, and by whom.
    rules     Those that were tried, the closest first; where there is no rule.
    """

    deal_id: int
    line_no: int
    measure: Measure | None
    rep: Rep | None
    reason: str
    sentence: str
    remedy: str
    rules: list[Tried] = field(default_factory=list)

    def __str__(self) -> str:
        return _("Line %(line)s: %(sentence)s %(remedy)s") % {
            "line": self.line_no,
            "sentence": self.sentence,
            "remedy": self.remedy,
        }

    @property
    def rep_id(self) -> int | None:
        return self.rep.pk if self.rep else None

    @property
    def closest(self) -> Tried | None:
        return closest(self.rules)


@dataclass(frozen=True)
class _Gap:
    deal_id: int
    line_no: int
    measure_id: int | None
    rep_id: int | None
    reason: str


def why_nothing(gap: UncreditedLine) -> str:
    """The sentence for one missing credit and where it is mended. missing() does many at the cost of one."""
    (told,) = missing([gap])
    return str(told)


def missing(gaps: Sequence[UncreditedLine]) -> list[Missing]:
    """For stored reasons, in their order. A fixed number of queries, whatever their number."""
    if not gaps:
        return []
    deals = Deal.objects.in_bulk({gap.deal_id for gap in gaps})
    ids = {d.credited_version_id or d.latest_version_id or 0 for d in deals.values()}
    versions = with_document(DealVersion.objects.filter(pk__in=ids))
    documents = {
        v.deal_id: document_of(v, customer_id=v.deal.customer_id, calendar_id=v.deal.calendar_id)
        for v in versions
    }
    return _tell(
        [_Gap(g.deal_id, g.line_no, g.measure_id, g.rep_id, g.reason) for g in gaps], documents, saved=True
    )


def missing_unsaved(
    gaps: Sequence[engine.Uncredited], documents: Sequence[Mapping[str, Any]]
) -> list[Missing]:
    """For the reasons that the engine gave for unsaved documents, in their order; deal ids count from 1, as there."""
    if not gaps:
        return []
    return _tell(
        [_Gap(g.deal_id, g.line_no, g.measure_id, g.rep_id, g.reason) for g in gaps],
        dict(enumerate(documents, start=1)),
        saved=False,
    )


def missing_pending(deal: Deal) -> list[Missing]:
    """What would earn nothing if the latest version were approved now."""
    version = with_document(DealVersion.objects.filter(pk=deal.latest_version_id or 0)).first()
    if version is None:
        return []
    document = document_of(
        version, customer_id=version.deal.customer_id, calendar_id=version.deal.calendar_id
    )
    gaps = engine.desired(engine.Unsaved([document]))[1]
    return missing_unsaved(gaps, [document])


def _tell(gaps: Sequence[_Gap], documents: Mapping[int, Mapping[str, Any]], *, saved: bool) -> list[Missing]:
    teller = _Teller(gaps, documents, saved=saved)
    return [teller.tell(gap) for gap in gaps]


def _on(document: Mapping[str, Any]) -> date:
    return date.fromisoformat(str(document["close_date"]))


class _Teller:
    """What the sentences name, read once for all of them."""

    def __init__(
        self, gaps: Sequence[_Gap], documents: Mapping[int, Mapping[str, Any]], *, saved: bool
    ) -> None:
        self.documents = documents
        self.lines: dict[tuple[int, int], Mapping[str, Any]] = {
            (deal_id, line["line_no"]): line
            for deal_id, document in documents.items()
            for line in document["lines"]
        }
        used = [(documents[g.deal_id], self.lines[g.deal_id, g.line_no]) for g in gaps]
        self.measures = Measure.objects.select_related("currency").in_bulk(
            {g.measure_id for g in gaps if g.measure_id}
        )
        self.reps = Rep.objects.in_bulk({g.rep_id for g in gaps if g.rep_id})
        refunded = Deal.objects.filter(pk__in={d["refunds_id"] for d, _ in used if d.get("refunds_id")})
        self.sold_as = {
            deal.pk: deal.in_force.kind
            for deal in refunded.select_related("credited_version", "latest_version")
        }
        self.customers = Customer.objects.in_bulk({d["customer_id"] for d, _ in used if d["customer_id"]})
        self.plans = Plan.objects.in_bulk({line["plan_id"] for _, line in used if line["plan_id"]})
        self.known = Known(
            Wanted(
                measures=set(self.measures),
                reps=set(self.reps),
                customers=set(self.customers),
                days={_on(d) for d, _ in used},
                offerings={line["offering_id"] for _, line in used},
            )
        )
        reasons = {g.reason for g in gaps}
        self.decisions = (
            self._decisions() if reasons & {Reason.NOT_ELIGIBLE, Reason.RATE_ZERO, Reason.NOTHING} else []
        )
        self.months = (
            list(Period.objects.filter(grain=Grain.MONTH).order_by("calendar_id", "starts"))
            if Reason.NO_PERIOD in reasons
            else []
        )
        self.holds = self._holds(gaps) if saved and Reason.HELD in reasons else {}

    def tell(self, gap: _Gap) -> Missing:
        rules: list[Tried] = []
        if gap.reason == Reason.NO_RULE:
            rules = self._tried(gap)
            said, remedy = self._no_rule(gap, rules)
        else:
            said, remedy = _SENTENCES[Reason(gap.reason)](self, gap)
        return Missing(
            gap.deal_id,
            gap.line_no,
            self.measures.get(gap.measure_id or 0),
            self.reps.get(gap.rep_id or 0),
            gap.reason,
            said,
            remedy,
            rules,
        )

    # --- rules ----------------------------------------------------------------------------------------------

    def _sold(self, gap: _Gap) -> Sold:
        document, line = self.documents[gap.deal_id], self.lines[gap.deal_id, gap.line_no]
        return Sold(
            gap.line_no,
            document["customer_id"],
            document["kind"],
            _on(document),
            document["currency"],
            document["segment"],
            document["region"],
            self.known.offerings[line["offering_id"]],
            self.plans.get(line["plan_id"] or 0),
            line["amount"],
            self.known.task_areas(line["offering_id"]),
            self.sold_as.get(document.get("refunds_id") or 0, ""),
        )

    def _tried(self, gap: _Gap) -> list[Tried]:
        sold, rep = self._sold(gap), self.reps[gap.rep_id or 0]
        receiver = self.known.receiver(rep.pk, rep.name, sold, None)
        rules = self.known.rules_on(sold.on, None, measure_id=gap.measure_id or 0)
        return tried(rules, sold, receiver, self.known.names)

    def _no_rule(self, gap: _Gap, rules: Sequence[Tried]) -> tuple[str, str]:
        sold, rep, measure = self._sold(gap), self.reps[gap.rep_id or 0], self.measures[gap.measure_id or 0]
        values: dict[str, object] = {
            "deals": spoken(DEALS.get(sold.kind, sold.kind)),
            "region": place(sold.region),
            "measure": measure.name,
            "rep": rep.name,
            "day": day(sold.on),
        }
        head = (
            _("No rule covers %(deals)s in %(region)s on %(measure)s for %(rep)s")
            if sold.region
            else _("No rule covers %(deals)s on %(measure)s for %(rep)s")
        ) % values
        near = closest(rules)
        values |= {"head": head}
        if near is None:
            return _("%(head)s: no plan has a rule for %(measure)s on %(day)s.") % values, spoken(_RULES)
        failed = near.failed[0]
        values |= {"rule": near.rule.name, "plan": str(near.rule.plan_version), "asks": failed.asks}
        if failed.condition == "plan_version":
            told = _("%(head)s: the closest is “%(rule)s” in %(plan)s, which is in force %(asks)s.")
            return told % values, spoken(_RULES)
        if failed.condition == "dates":
            return _("%(head)s: the closest is “%(rule)s”, which holds %(asks)s.") % values, spoken(_RULES)
        if failed.condition == "assignment":
            told = _(
                "%(head)s: the closest is “%(rule)s” in %(asks)s, to which %(rep)s is not assigned on %(day)s."
            )
            return told % values, _("A comp admin assigns plans under Crediting rules.")
        if failed.condition not in ("deal_kinds", "regions", "roles"):
            values["asks"] = _("the %(condition)s %(asks)s") % {
                "condition": spoken(CONDITIONS[failed.condition]),
                "asks": failed.asks,
            }
        told = _("%(head)s: the closest is “%(rule)s”, which asks for %(asks)s") % values
        if failed.condition not in ("deal_kinds", "regions"):
            told = f"{told}; {failed.found}"
        if more := len(near.failed) - 1:
            told = ngettext(
                "%(told)s, and %(number)s more that does not hold",
                "%(told)s, and %(number)s more that do not hold",
                more,
            ) % {"told": told, "number": more}
        return f"{told}.", spoken(_RULES)

    # --- eligibility ----------------------------------------------------------------------------------------

    def _decisions(self) -> list[EligibilityDecision]:
        offerings = self.known.offerings.values()
        return list(
            EligibilityDecision.objects.filter(
                Q(commercial_path__in={o.commercial_path for o in offerings})
                | Q(publisher__in={o.publisher_id for o in offerings})
                | Q(offering__in=set(self.known.offerings))
                | Q(plan__in=set(self.plans)),
                program=Program.QUOTA,
                superseded_at=None,
                checked_at__isnull=False,
            ).select_related("made_by", "checked_by", "publisher", "offering", "plan__offering")
        )

    def _decisions_on(self, gap: _Gap) -> list[EligibilityDecision]:
        """Those that speak of the line's offering or plan on any day, the most specific first."""
        sold = self._sold(gap)
        found = [
            d
            for d in self.decisions
            if (d.commercial_path and d.commercial_path == sold.offering.commercial_path)
            or (d.publisher_id and d.publisher_id == sold.offering.publisher_id)
            or (d.offering_id and d.offering_id == sold.offering.pk)
            or (d.plan_id and sold.plan is not None and d.plan_id == sold.plan.pk)
        ]
        return sorted(found, key=lambda d: (-d.level, -d.pk))

    def _not_eligible(self, gap: _Gap) -> tuple[str, str]:
        sold = self._sold(gap)
        head = _("%(offering)s does not count toward quota on %(day)s") % {
            "offering": sold.offering.name,
            "day": day(sold.on),
        }
        told = self._decisions_on(gap)
        before = [d for d in told if d.effective.upper is not None and d.effective.upper <= sold.on]
        after = [d for d in told if d.effective.lower is not None and d.effective.lower > sold.on]
        if before:
            last = max(before, key=lambda d: (d.effective.upper, d.level))
            said = _("%(head)s: decision %(decision)s on %(scope)s held %(span)s, and none has followed it.")
            return said % {"head": head, **_named(last)}, _decides(sold)
        if after:
            first = min(after, key=lambda d: (d.effective.lower, -d.level))
            said = _("%(head)s: the first decision, number %(decision)s on %(scope)s, holds %(span)s.")
            return said % {"head": head, **_named(first)}, _decides(sold)
        return _("%(head)s: nobody has decided that it does.") % {"head": head}, _decides(sold)

    def _decision(self, gap: _Gap) -> EligibilityDecision | None:
        on = _on(self.documents[gap.deal_id])
        return next((d for d in self._decisions_on(gap) if on in d.effective), None)

    def _rate_zero(self, gap: _Gap) -> tuple[str, str]:
        sold, decision = self._sold(gap), self._decision(gap)
        values = {"offering": sold.offering.name, "day": day(sold.on)}
        if decision is None:
            told = _("%(offering)s was decided not to count toward quota on %(day)s.")
            return told % values, _decides(sold)
        told = _("%(offering)s does not count toward quota on %(day)s: %(why)s (%(decision)s).")
        values |= {"why": decision.reason.rstrip("."), "decision": small(decided(decision).rstrip("."))}
        return told % values, _decides(sold)

    # --- the rest -------------------------------------------------------------------------------------------

    def _no_fx_rate(self, gap: _Gap) -> tuple[str, str]:
        document, measure = self.documents[gap.deal_id], self.measures[gap.measure_id or 0]
        told = _(
            "There is no exchange rate from %(from)s to %(to)s for %(day)s, so nothing can be counted in %(measure)s."
        ) % {
            "from": document["currency"],
            "to": measure.currency_id,
            "day": day(_on(document)),
            "measure": measure.name,
        }
        return told, _("A comp admin enters exchange rates; the credit follows by itself.")

    def _no_team(self, gap: _Gap) -> tuple[str, str]:
        rep, on = self.reps[gap.rep_id or 0], _on(self.documents[gap.deal_id])
        rows = [m for m in self.known.memberships.get(rep.pk, ()) if m.superseded_at is None]
        before = [m for m in rows if m.effective.upper is not None and m.effective.upper <= on]
        after = [m for m in rows if m.effective.lower is not None and m.effective.lower > on]
        values = {"rep": rep.name, "day": day(on)}
        told = _("%(rep)s was in no team on %(day)s.")
        if before:
            last = max(before, key=lambda m: m.effective.upper)
            values |= {"team": last.team.name, "span": span(last.effective)}
            told = _("%(rep)s was in no team on %(day)s, having left %(team)s (%(span)s).")
        elif after:
            first = min(after, key=lambda m: m.effective.lower)
            values |= {"team": first.team.name, "span": span(first.effective)}
            told = _("%(rep)s was in no team on %(day)s; the first is %(team)s, %(span)s.")
        return told % values, _("A comp admin puts reps into teams, with a date.")

    def _no_receiver(self, gap: _Gap) -> tuple[str, str]:
        document = self.documents[gap.deal_id]
        if document["kind"] != DealKind.CONSUMPTION:
            return (
                _("Nobody has a share in this deal yet."),
                _("Enter who takes part in it; the shares add up to 100%."),
            )
        customer, on = self.customers.get(document["customer_id"]), _on(document)
        values = {"customer": customer.name if customer else _("the account"), "day": day(on)}
        rows = [
            o
            for o in self.known.owners.get(document["customer_id"], ())
            if o.superseded_at is None and o.effective.lower is not None and o.effective.lower > on
        ]
        told = _("Nobody owned %(customer)s on %(day)s, and consumption is the account owner's.")
        if rows:
            values |= {"span": span(min(rows, key=lambda o: o.effective.lower).effective)}
            told = _(
                "Nobody owned %(customer)s on %(day)s, and consumption is the account owner's; its first owner is there %(span)s."
            )
        return told % values, _("A comp admin gives accounts to reps, with a date.")

    def _no_period(self, gap: _Gap) -> tuple[str, str]:
        document = self.documents[gap.deal_id]
        on = _on(document)
        # As the engine does: a document that names no calendar means the operator's, the first one.
        calendar = document.get("calendar_id") or (self.months[0].calendar_id if self.months else None)
        month = next((m for m in self.months if m.calendar_id == calendar and m.starts <= on < m.ends), None)
        if month is None:
            told = _("The fiscal calendar has no month for %(day)s.") % {"day": day(on)}
            return told, _("A comp admin sets up fiscal years.")
        told = _("%(month)s, the month of %(day)s, is %(state)s, and no later month is open yet.") % {
            "month": month.name,
            "day": day(on),
            "state": inside(PeriodState(month.state).label),
        }
        return told, _("Credit follows when a comp admin opens the next month.")

    def _holds(self, gaps: Iterable[_Gap]) -> dict[int, DealEvent]:
        held = DealEvent.objects.filter(
            deal__in={g.deal_id for g in gaps}, action=DealAction.HELD
        ).select_related("by")
        return {event.deal_id: event for event in held.order_by("id")}

    def _held(self, gap: _Gap) -> tuple[str, str]:
        event = self.holds.get(gap.deal_id)
        remedy = _("A comp admin releases it on the deal's page; its credit then counts again.")
        values = {"deal": f"D-{gap.deal_id:06d}"}
        if event is None:
            return _("%(deal)s is held, so its credit is out of attainment.") % values, remedy
        values |= {"day": day(event.at), "who": event.by.name, "why": event.reason.rstrip(".")}
        if event.reason:
            return _("%(deal)s is held since %(day)s by %(who)s: %(why)s.") % values, remedy
        return _("%(deal)s is held since %(day)s by %(who)s.") % values, remedy

    def _too_large(self, gap: _Gap) -> tuple[str, str]:
        measure = self.measures[gap.measure_id or 0]
        told = _(
            "The line comes to more than %(amount)s in %(measure)s, the most that is counted exactly."
        ) % {"amount": money_of(measure)(LARGEST), "measure": measure.name}
        return told, _("Check the amount, the quantity and the currency of the line.")

    def _nothing(self, gap: _Gap) -> tuple[str, str]:
        measure, line = self.measures[gap.measure_id or 0], self.lines[gap.deal_id, gap.line_no]
        document, rep = self.documents[gap.deal_id], self.reps[gap.rep_id or 0]
        billed = measure.basis == "billed" and line.get("billed") is not None
        amount = line.get("billed") if billed else line["amount"]
        remedy = _("Nothing has to be mended unless the line is wrong.")
        values = {"rep": rep.name, "measure": measure.name}
        if measure.basis == "units" and not line["quantity"]:
            told = _("The credit of %(rep)s in %(measure)s comes to zero: the line's quantity is zero.")
            return told % values, remedy
        if measure.currency_id is not None and amount == 0:
            told = _("The credit of %(rep)s in %(measure)s comes to zero: the line's amount is zero.")
            return told % values, remedy
        share = next((s["ppm"] for s in document["shares"] if s["rep_id"] == rep.pk), None)
        decision = self._decision(gap)
        part = _("the line") if share is None else _("%(share)s of it") % {"share": percent(share)}
        if decision and decision.rate_ppm != 1_000_000:
            part = _("%(part)s at an eligibility of %(rate)s") % {
                "part": part,
                "rate": percent(decision.rate_ppm),
            }
        values |= {"part": part, "least": money_of(measure)(1)}
        told = _(
            "The credit of %(rep)s in %(measure)s comes to zero: %(part)s rounds to less than %(least)s, the smallest unit."
        )
        return told % values, remedy


def _named(decision: EligibilityDecision) -> dict[str, object]:
    return {"decision": decision.pk, "scope": scope(decision), "span": span(decision.effective)}


def _decides(sold: Sold) -> str:
    return _(
        "A catalog manager decides eligibility, with a date and a reason, on the page of %(offering)s."
    ) % {"offering": sold.offering.name}


_RULES: Final = marked("A comp admin writes rules under Crediting rules.")
_SENTENCES: Final = {
    Reason.NOT_ELIGIBLE: _Teller._not_eligible,
    Reason.RATE_ZERO: _Teller._rate_zero,
    Reason.NO_FX_RATE: _Teller._no_fx_rate,
    Reason.NO_TEAM: _Teller._no_team,
    Reason.NO_RECEIVER: _Teller._no_receiver,
    Reason.NO_PERIOD: _Teller._no_period,
    Reason.HELD: _Teller._held,
    Reason.TOO_LARGE: _Teller._too_large,
    Reason.NOTHING: _Teller._nothing,
}

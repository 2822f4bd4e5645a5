"""A sample of credits with all that stands behind each of them, for whoever has to be convinced. See quotas/RULES.md 18.7.

Drawn from what a mark knows, by a seed: the same seed, mark and filters draw the same credits, whatever is posted later.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Prefetch, Q
from psycopg import sql

from marketplace.models import EligibilityDecision
from quotas.crediting import seals
from quotas.crediting.explain import Explanation, entries_to_explain, explain_entries, rate_of, scope
from quotas.models import (
    Adjustment,
    CreditEntry,
    DealApproval,
    DealEvent,
    DealShare,
    DealVersion,
    FxRate,
    Grain,
    MarkedPosting,
    Measure,
    Period,
    PeriodClose,
    Posting,
    Reversal,
    RuleVersion,
    Seal,
    SealBlock,
)
from quotas.selectors import periods, rules

SMALLEST, LARGEST = 1, 500
FORM: Final = 1  # of a file

# Strata by value: the largest credits that make up half of it, those that make up the next three tenths, the rest.
_POPULATION: Final = """
    SELECT e.id, e.posting_period_id, e.amount_minor,
           sum(abs(e.amount_minor)) OVER (ORDER BY abs(e.amount_minor) DESC, e.id) - abs(e.amount_minor) AS above,
           sum(abs(e.amount_minor)) OVER () AS whole
      FROM quotas_creditentry e JOIN quotas_markedposting k ON k.posting_id = e.posting_id AND k.mark_id <= %(mark)s
     WHERE e.posting_period_id = ANY(%(months)s) AND e.measure_id = %(measure)s AND e.reverses_id IS NULL
       AND abs(e.amount_minor) >= %(least)s
"""
_STRATA: Final = f"""
    SELECT id, posting_period_id, amount_minor,
           CASE WHEN NOT %(stratified)s THEN 1 WHEN above * 2 < whole THEN 1 WHEN above * 10 < whole * 8 THEN 2 ELSE 3 END AS stratum
      FROM ({_POPULATION}) population
"""  # noqa: S608 -- our own statements
_SIZES: Final = f"""
    SELECT stratum, count(*), sum(abs(amount_minor))::bigint FROM ({_STRATA}) strata GROUP BY stratum ORDER BY stratum
"""  # noqa: S608
_DRAWN: Final = f"""
    SELECT id, posting_period_id, stratum FROM (
      SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY sha256(convert_to(%(seed)s || ':' || id, 'UTF8')), id) AS nth FROM ({_STRATA}) strata) drawn
     WHERE nth <= (%(take)s::int[])[stratum] ORDER BY stratum, nth
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the population: how many credits, what they come to by absolute value, and how many of them are drawn."""

    number: int
    credits: int
    value_minor: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A credit of the sample."""

    entry_id: int
    month_id: int
    stratum: int


def draw(
    *,
    period: Period,
    measure: Measure,
    mark_id: int,
    count: int,
    seed: str,
    stratified: bool,
    least_minor: int = 0,
) -> tuple[list[Stratum], list[Drawn]]:
    """The sample, in its order. Two passes over the period's entries.

    least_minor  Credits of a smaller absolute amount are left aside.
    """
    given: dict[str, Any] = {
        "months": [month.pk for month in periods.leaves_of(period)],
        "measure": measure.pk,
        "mark": mark_id,
        "least": least_minor,
        "stratified": stratified,
        "seed": seed,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SIZES, given)
        sizes = {stratum: (credits, value) for stratum, credits, value in cursor.fetchall()}
        take = shared(count, {stratum: credits for stratum, (credits, _) in sizes.items()})
        cursor.execute(_DRAWN, {**given, "take": [take.get(n, 0) for n in (1, 2, 3)]})
        drawn = [Drawn(*row) for row in cursor.fetchall()]
    return [Stratum(n, *sizes[n], take[n]) for n in sorted(sizes)], drawn


def shared(count: int, sizes: Mapping[int, int]) -> dict[int, int]:
    """The sample over the strata: evenly, what one cannot fill goes to the others, odd ones to the first."""
    take = dict.fromkeys(sizes, 0)
    left = min(count, sum(sizes.values()))
    while left:
        free = [n for n in sorted(sizes) if take[n] < sizes[n]]
        each, odd = divmod(left, len(free))
        for at, n in enumerate(free):
            more = min(each or int(at < odd), sizes[n] - take[n])
            take[n] += more
            left -= more
    return take


# --- what stands behind a credit --------------------------------------------------------------------------


def cases(drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
    """One document for each credit, in order. A fixed number of queries, at most 80, and one pass over the seals' blocks."""
    ids, months = [each.entry_id for each in drawn], {each.month_id for each in drawn}
    entries = {e.pk: e for e in entries_to_explain().filter(pk__in=ids, posting_period__in=months)}
    told = {each.entry.pk: each for each in explain_entries([entries[pk] for pk in ids])}
    behind = _Behind(list(entries.values()))
    return [
        {
            "evidence": FORM,
            "stratum": each.stratum,
            **_credit(told[each.entry_id]),
            **behind.of(entries[each.entry_id]),
        }
        for each in drawn
    ]


def _credit(told: Explanation) -> dict[str, Any]:
    entry = told.entry
    currency = entry.measure.currency
    return {
        "entry": {
            "id": entry.pk,
            "rep": entry.rep.name,
            "rep_id": entry.rep_id,
            "team": entry.team.name,
            "measure": entry.measure.slug,
            "amount_minor": entry.amount_minor,
            "currency": currency.code if currency else None,
            "exponent": currency.exponent if currency else 6,
            "component": entry.get_component_display(),
            "receiver": entry.get_receiver_class_display(),
            "credit_date": entry.credit_date.isoformat(),
            "posting_period": entry.posting_period.name,
            "origin_period": entry.origin_period.name,
            "line": entry.line_no,
        },
        "explanation": {
            "sentence": told.sentence,
            "steps": [{"label": s.label, "value": s.value, "detail": s.detail} for s in told.steps],
            "facts": [{"label": f.label, "value": f.value, "detail": f.detail} for f in told.facts],
            "parts": [
                {"name": p.name, "ppm": p.ppm, "own": p.own, "odd_unit": p.odd_unit} for p in told.parts
            ],
            "computed_again_minor": told.evaluated_minor,
            "holds": told.holds,
        },
    }


class _Behind:
    """Everything that the sampled entries name, read once."""

    def __init__(self, entries: Sequence[CreditEntry]) -> None:
        deals = {e.deal_id for e in entries if e.deal_id}
        adjusted = {e.adjustment_id for e in entries if e.adjustment_id}
        self.adjustments = {
            each.pk: each
            for each in Adjustment.objects.filter(Q(pk__in=adjusted) | Q(deal__in=deals)).select_related(
                "asked_by", "decided_by", "dispute"
            )
        }
        deals |= {each.deal_id for each in self.adjustments.values() if each.deal_id}
        self.versions = _by_deal(
            DealVersion.objects.filter(deal__in=deals)
            .select_related("currency", "recorded_by", "deal__customer", "deal__owner")
            .prefetch_related(
                "lines__offering",
                "lines__plan",
                Prefetch("shares", DealShare.objects.select_related("rep").order_by("ordinal")),
            )
            .order_by("number")
        )
        self.events = _by_deal(
            DealEvent.objects.filter(deal__in=deals).select_related("by", "version").order_by("pk")
        )
        self.approvals = _by_deal(
            DealApproval.objects.filter(deal__in=deals)
            .select_related("by", "on_behalf_of", "version")
            .order_by("pk")
        )
        found = RuleVersion.objects.select_related(
            "rule", "measure__currency", "plan_version__plan", "plan_version__drafted_by"
        ).select_related("plan_version__published_by", "plan_version__review_asked_by")
        self.rules = found.in_bulk([e.rule_version_id for e in entries if e.rule_version_id])
        self.names = rules.names_in(self.rules.values())
        self.decisions = EligibilityDecision.objects.select_related(
            "made_by", "checked_by", "publisher", "offering", "plan__offering"
        ).in_bulk([e.decision_id for e in entries if e.decision_id])
        self.rates = FxRate.objects.in_bulk([e.fx_rate_id for e in entries if e.fx_rate_id])
        self.reversed = dict(
            Reversal.objects.filter(entry_id__in=[e.pk for e in entries]).values_list(
                "entry_id", "reversed_by_id"
            )
        )
        months = list(Period.objects.filter(grain=Grain.MONTH).values_list("pk", flat=True))
        self.reversing = {
            e.pk: e
            for e in CreditEntry.objects.filter(
                pk__in=self.reversed.values(), posting_period__in=months
            ).select_related("posting", "posting_period")
        }
        postings = {e.posting_id for e in entries} | {e.posting_id for e in self.reversing.values()}
        self.postings = Posting.objects.select_related("by").in_bulk(list(postings))
        self.marks = dict(
            MarkedPosting.objects.filter(posting__in=postings).values_list("posting_id", "mark_id")
        )
        self.seals = sealed(entries)

    def of(self, entry: CreditEntry) -> dict[str, Any]:
        given = self.adjustments.get(entry.adjustment_id or 0)
        deal = entry.deal_id or (given.deal_id if given else None)
        return {
            "posting": self._posting(entry.posting_id),
            "deal": self._deal(deal) if deal else None,
            "rule": self._rule(entry),
            "fx_rate": self._rate(entry),
            "eligibility": self._decision(entry),
            "adjustments": [
                _adjustment(each)
                for each in self.adjustments.values()
                if each.pk == entry.adjustment_id or (deal and each.deal_id == deal)
            ],
            "reversal": self._reversal(entry),
            "seal": self.seals[entry.pk],
        }

    def _posting(self, posting_id: int) -> dict[str, Any]:
        posting = self.postings[posting_id]
        return {
            "id": posting.pk,
            "key": posting.key,
            "kind": posting.kind,
            "by": _who(posting.by),
            "recorded_at": posting.recorded_at.isoformat(),
            "reason": posting.reason,
            "mark": self.marks.get(posting.pk),
        }

    def _deal(self, deal_id: int) -> dict[str, Any]:
        versions = self.versions.get(deal_id, [])
        deal = versions[-1].deal if versions else None
        return {
            "reference": deal.reference if deal else f"D-{deal_id:06d}",
            "state_now": deal.state if deal else None,
            "customer": deal.customer.name if deal else None,
            "owner": deal.owner.name if deal else None,
            "source": deal.source if deal else None,
            "external_id": deal.external_id if deal else None,
            "versions": [_version(each) for each in versions],
            "events": [
                {
                    "action": each.action,
                    "version": each.version.number,
                    "by": _who(each.by),
                    "at": each.at.isoformat(),
                    "reason": each.reason,
                }
                for each in self.events.get(deal_id, [])
            ],
            "approvals": [
                {
                    "approver": each.ordinal,
                    "version": each.version.number,
                    "by": _who(each.by),
                    "delegated_by": _who(each.on_behalf_of),
                    "at": each.at.isoformat(),
                }
                for each in self.approvals.get(deal_id, [])
            ],
        }

    def _rule(self, entry: CreditEntry) -> dict[str, Any] | None:
        rule = self.rules.get(entry.rule_version_id or 0)
        if rule is None:
            return None
        version = rule.plan_version
        return {
            "rule": rule.rule.slug,
            "name": rule.name,
            "text": rules.sentence(rule, self.names),
            "factor_ppm": rule.factor_ppm,
            "cap_minor": rule.cap_minor,
            "plan_version": str(version),
            "effective": _span(version.effective),
            "drafted_by": _who(version.drafted_by),
            "drafted_at": _at(version.drafted_at),
            "review_asked_by": _who(version.review_asked_by),
            "published_by": _who(version.published_by),
            "published_at": _at(version.published_at),
        }

    def _rate(self, entry: CreditEntry) -> dict[str, Any] | None:
        rate = self.rates.get(entry.fx_rate_id or 0)
        if rate is None:
            return None
        return {
            "id": rate.pk,
            "from": rate.from_currency_id,
            "to": rate.to_currency_id,
            "rate": rate_of(rate),
            "effective": _span(rate.effective),
            "recorded_at": rate.recorded_at.isoformat(),
            "superseded_at": _at(rate.superseded_at),
        }

    def _decision(self, entry: CreditEntry) -> dict[str, Any] | None:
        decision = self.decisions.get(entry.decision_id or 0)
        if decision is None:
            return None
        return {
            "id": decision.pk,
            "of": scope(decision),
            "rate_ppm": decision.rate_ppm,
            "effective": _span(decision.effective),
            "reason": decision.reason,
            "evidence": decision.evidence,
            "made_by": _who(decision.made_by),
            "made_at": decision.made_at.isoformat(),
            "checked_by": _who(decision.checked_by),
            "checked_at": _at(decision.checked_at),
            "superseded_at": _at(decision.superseded_at),
        }

    def _reversal(self, entry: CreditEntry) -> dict[str, Any] | None:
        by = self.reversing.get(self.reversed.get(entry.pk, 0))
        if by is None:
            return None
        return {
            "entry": by.pk,
            "amount_minor": by.amount_minor,
            "posting_period": by.posting_period.name,
            "posting": self._posting(by.posting_id),
        }


def _by_deal(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.deal_id].append(row)
    return dict(found)


def _version(version: DealVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "kind": version.kind,
        "title": version.title,
        "close_date": version.close_date.isoformat(),
        "currency": version.currency_id,
        "exponent": version.currency.exponent,
        "segment": version.segment,
        "region": version.region,
        "new_customer": version.new_customer,
        "recorded_by": _who(version.recorded_by),
        "recorded_at": version.recorded_at.isoformat(),
        "reason": version.reason,
        "lines": [
            {
                "line": line.line_no,
                "offering": line.offering.slug,
                "plan": line.plan.slug if line.plan else None,
                "amount_minor": line.amount_minor,
                "billed_minor": line.billed_minor,
                "quantity": None if line.quantity is None else f"{line.quantity.normalize():f}",
                "term_months": line.term_months,
            }
            for line in sorted(version.lines.all(), key=lambda line: line.line_no)
        ],
        "shares": [{"rep": share.rep.name, "ppm": share.ppm} for share in version.shares.all()],
    }


def _adjustment(given: Adjustment) -> dict[str, Any]:
    return {
        "reference": f"ADJ-{given.pk:05d}",
        "state": given.state,
        "amount_minor": given.amount_minor,
        "reason": given.get_reason_code_display(),
        "note": given.note,
        "asked_by": _who(given.asked_by),
        "asked_at": given.asked_at.isoformat(),
        "decided_by": _who(given.decided_by),
        "decided_at": _at(given.decided_at),
        "decision_note": given.decision_note,
        "undoes": given.undoes_id,
        "dispute": given.dispute_id,
    }


def _who(user: Any) -> str | None:
    return f"{user.name} <{user.email}>" if user is not None else None


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _span(span: Any) -> list[str | None]:
    def said(day: date | None) -> str | None:
        return day.isoformat() if day else None

    return [said(span.lower), said(span.upper)]


# --- the seal of an entry ---------------------------------------------------------------------------------

_BLOCKS: Final = sql.SQL(
    "SELECT id FROM quotas_sealblock WHERE entries && %(ids)s::bigint[] ORDER BY seal_id, position"
)


def sealed(entries: Sequence[CreditEntry]) -> dict[int, dict[str, Any]]:
    """Entry id to the block that seals it, and whether tag, block and seal are what the key makes of what is stored now.

    8 queries and one pass over the blocks' ids.
    """
    ids = [entry.pk for entry in entries]
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKS, {"ids": ids})
        found = [pk for (pk,) in cursor.fetchall()]
        lines: dict[int, bytes] = {}
        with cursor.cursor.copy(
            seals.some_entries(ids=ids, months={entry.posting_period_id for entry in entries})
        ) as rows:
            for row in rows:
                line = bytes(row)
                lines[int(line[: line.index(b"\t")])] = line
    keys = {
        key.name: key
        for key in map(
            seals.Key.of,
            [each for each in (settings.LEDGER_SEAL_KEY, *settings.LEDGER_SEAL_KEYS_BEFORE) if each],
        )
    }
    wanted = set(ids)
    told: dict[int, dict[str, Any]] = {}
    for block in SealBlock.objects.filter(pk__in=found).select_related("seal__close__period"):
        key, tags = keys.get(block.seal.key_name), bytes(block.tags)
        whole = key is not None and _block_holds(block, key, tags)
        for nth, entry in enumerate(block.entries):
            if entry not in wanted:
                continue
            tag = tags[nth * seals.TAG : (nth + 1) * seals.TAG]
            told[entry] = {
                "sealed": True,
                "seal": block.seal.number,
                "of": str(block.seal.close) if block.seal.close else "night",
                "made_at": block.seal.made_at.isoformat(),
                "digest": block.seal.digest,
                "block": block.position,
                "position": nth + 1,
                "tag": tag.hex(),
                "tag_verifies": key is not None and seals.tag(lines[entry], key) == tag,
                "block_verifies": whole,
                "seal_verifies": key is not None
                and seals.digest(key, block.seal.content) == block.seal.digest,
                "key": block.seal.key_name if key else f"{block.seal.key_name} is not at hand",
            }
    for entry in _left_out([each for each in entries if each.pk not in told]):
        told[entry] = {
            "sealed": False,
            "missing": True,
            "why": "It was known before the last seal and is in none: it was added behind the application's back.",
        }
    since = {
        "sealed": False,
        "missing": False,
        "why": "Posted since the last seal: the next one takes it in.",
    }
    return {pk: told.get(pk, since) for pk in ids}


def _left_out(entries: Sequence[CreditEntry]) -> list[int]:
    """Ids of those that a seal should have taken in, among entries that no block holds. 2 queries."""
    last = Seal.objects.order_by("-number").values_list("mark_id", flat=True).first()
    if last is None or not entries:
        return []
    known = set(
        MarkedPosting.objects.filter(
            posting__in={each.posting_id for each in entries}, mark__lte=last
        ).values_list("posting_id", flat=True)
    )
    return [each.pk for each in entries if each.posting_id in known]


def _block_holds(block: SealBlock, key: seals.Key, tags: bytes) -> bool:
    """Whether its chain follows from the one before. 1 query."""
    if block.position > 1:
        before = (
            SealBlock.objects.filter(seal=block.seal_id, position=block.position - 1)
            .values_list("chain", flat=True)
            .first()
        )
    else:
        content = Seal.objects.filter(number=block.seal.number - 1).values_list("content", flat=True).first()
        before = content["chain"] if content else ""
    return before is not None and seals.chained(key, before, block.entries, tags) == block.chain


# --- the auditor's home -----------------------------------------------------------------------------------


def newest_seals(most: int = 10) -> list[Seal]:
    """1 query."""
    return list(Seal.objects.select_related("close__period").order_by("-number")[:most])


def newest_closes(most: int = 10) -> list[PeriodClose]:
    """1 query."""
    return list(
        PeriodClose.objects.exclude(approved_by=None)
        .select_related("period", "asked_by", "approved_by")
        .order_by("-pk")[:most]
    )

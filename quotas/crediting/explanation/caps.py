"""What a cap cut is made of: what a deal and its family of refunds came to under a rule when the cut was posted. RULES 6.5 and 6.7."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from quotas.crediting import engine
from quotas.crediting.arithmetic import split
from quotas.crediting.explanation.pending import document_of, with_document
from quotas.models import (
    Component,
    CreditEntry,
    Deal,
    DealAction,
    DealEvent,
    DealState,
    DealVersion,
    Reversal,
    RuleVersion,
)


@dataclass(frozen=True)
class Member:
    """A deal of the family and what it came to under the rule: its credit and uplift, before any cut."""

    deal_id: int
    earned_minor: int


@dataclass(frozen=True)
class CapCut:
    """One entry's part of a cut, with the arithmetic of the whole.

    rule_cap_minor  What the rule says; cap_minor is what it leaves for this deal: less, for a refund.
    family          The original and the refunds logged before this one, in order; this deal is the last. One alone: no refund.
    together_minor  What this deal came to under the rule.
    odd_unit        Whether this part got one of the units that rounding left over.
    amount_minor    The entry's amount: against what was earned.
    """

    rule_cap_minor: int
    cap_minor: int
    family: tuple[Member, ...]
    together_minor: int
    earned_minor: int
    odd_unit: bool
    amount_minor: int

    @property
    def cut_minor(self) -> int:
        return abs(self.together_minor) - self.cap_minor

    @property
    def left_minor(self) -> int:
        """What is left of the original after its refunds."""
        return sum(member.earned_minor for member in self.family)


class Families:
    """Entries of deals with a cap cut, and of the deals that they refund or that refund them, read once. At most 8 queries."""

    def __init__(self, cuts: Sequence[CreditEntry], versions: Mapping[int, DealVersion]) -> None:
        self.versions = versions
        self.root = {
            e.pins.deal_id: versions[e.pins.deal_version_id].refunds_id or e.pins.deal_id for e in cuts
        }
        self.members: dict[int, set[int]] = {root: {root} for root in self.root.values()}
        self.earned: dict[tuple[int, int], list[CreditEntry]] = {}
        self.gone: dict[int, tuple[int, str]] = {}
        self.cap: dict[int, int | None] = {}
        self.deals: dict[int, Deal] = {}
        self.cancelled: dict[int, list[datetime]] = {}
        self.unposted: dict[tuple[int, int], int] = {}
        self.unposted_cap: dict[tuple[int, int], int] = {}
        if cuts:
            self._read({e.pins.rule_id for e in cuts})

    def _read(self, rules: set[int]) -> None:
        roots = set(self.members)
        for deal_id, root in DealVersion.objects.filter(refunds__in=roots).values_list(
            "deal_id", "refunds_id"
        ):
            if root is not None:
                self.members[root].add(deal_id)
        every = {deal_id for members in self.members.values() for deal_id in members}
        self.deals = Deal.objects.in_bulk(every)
        entries = list(
            CreditEntry.objects.filter(
                Q(component__in=(Component.CREDIT, Component.UPLIFT, Component.CAP_CUT)),
                deal__in=every,
                rule_id__in=rules,
                reverses_id=None,
            ).order_by("id")
        )
        undone = dict(
            Reversal.objects.filter(entry_id__in=[e.pk for e in entries]).values_list(
                "reversed_by_id", "entry_id"
            )
        )
        for pk, posting, kind in CreditEntry.objects.filter(pk__in=undone).values_list(
            "pk", "posting_id", "posting__kind"
        ):
            self.gone[undone[pk]] = (posting, kind)
        for entry in entries:
            self.earned.setdefault((entry.pins.deal_id, entry.pins.rule_id), []).append(entry)
        self.cap = dict(
            RuleVersion.objects.filter(pk__in={e.pins.rule_version_id for e in entries}).values_list(
                "pk", "cap_minor"
            )
        )
        for deal_id, at in DealEvent.objects.filter(deal__in=every, action=DealAction.CANCELLED).values_list(
            "deal_id", "at"
        ):
            self.cancelled.setdefault(deal_id, []).append(at)
        self._read_unposted(every, rules)

    def _read_unposted(self, every: set[int], rules: set[int]) -> None:
        """Members that were held before they were ever credited: what they would have earned, by the engine."""
        never = [
            pk
            for pk in sorted(every)
            if self.deals[pk].held
            and self.deals[pk].state == DealState.APPROVED
            and not any((pk, rule) in self.earned for rule in rules)
        ]
        if not never:
            return
        ids = [self.deals[pk].credited_version_id or 0 for pk in never]
        versions = list(with_document(DealVersion.objects.filter(pk__in=ids)))
        wanted, _ = engine.desired(
            engine.Unsaved(
                [
                    document_of(v, customer_id=v.deal.customer_id, calendar_id=v.deal.calendar_id)
                    for v in versions
                ]
            )
        )
        for entry in wanted:
            if entry.component in (Component.CREDIT, Component.UPLIFT) and entry.rule_id in rules:
                key = (versions[entry.deal_id - 1].deal_id, entry.rule_id)
                self.unposted[key] = self.unposted.get(key, 0) + entry.amount
                self.unposted_cap[key] = self._cap_of(entry.rule_version_id)

    def cut_of(self, entry: CreditEntry) -> CapCut:
        """The part of one entry that is not a reversal, from what stood when it was posted."""
        by = entry.posting_id
        own = self._standing(entry.pins.deal_id, entry.pins.rule_id, by)
        place = {s.rep_id: n for n, s in enumerate(self.versions[entry.pins.deal_version_id].shares.all())}
        earned: dict[tuple[int, int, int], int] = {}
        for each in own:
            if each.component != Component.CAP_CUT:
                key = self._key(each, place)
                earned[key] = earned.get(key, 0) + each.amount_minor
        mine, together = self._key(entry, place), sum(earned.values())
        family = self._family(entry, by, together)
        first = family[0].deal_id
        rule_cap = self._cap(
            first if first == self.root[entry.pins.deal_id] else entry.pins.deal_id, entry, by
        )
        cap = rule_cap
        if entry.pins.deal_id != self.root[entry.pins.deal_id]:
            cap -= min(rule_cap, max(0, sum(member.earned_minor for member in family)))
        keys = sorted(earned)
        weights = [abs(earned[key]) for key in keys]
        over = abs(together) - cap
        part = dict(zip(keys, split(over, weights), strict=True))[mine]
        return CapCut(
            rule_cap_minor=rule_cap,
            cap_minor=cap,
            family=family,
            together_minor=together,
            earned_minor=earned[mine],
            odd_unit=part > over * abs(earned[mine]) // sum(weights),
            amount_minor=-part if earned[mine] > 0 else part,
        )

    def _key(self, entry: CreditEntry, place: Mapping[int, int]) -> tuple[int, int, int]:
        """Line, then participant; overlay stands after the shares, by rep."""
        if entry.receiver_class == 1:
            return entry.pins.line_no, 0, place.get(entry.rep_id, 0)
        return entry.pins.line_no, 1, entry.rep_id

    def _standing(self, deal_id: int, rule_id: int, by: int) -> list[CreditEntry]:
        return [
            e
            for e in self.earned.get((deal_id, rule_id), ())
            if e.posting_id <= by and (e.pk not in self.gone or self.gone[e.pk][0] > by)
        ]

    def _held_back(self, deal_id: int, entry: CreditEntry) -> list[CreditEntry]:
        """What a hold had taken out of the ledger by then: it counts in the family as if it stood."""
        by = entry.posting_id
        if any(at <= entry.posting.recorded_at for at in self.cancelled.get(deal_id, ())):
            return []
        out = [
            e
            for e in self.earned.get((deal_id, entry.pins.rule_id), ())
            if e.pk in self.gone and self.gone[e.pk][0] <= by
        ]
        last = max((self.gone[e.pk][0] for e in out), default=0)
        return [e for e in out if self.gone[e.pk] == (last, "hold")]

    def _member(self, deal_id: int, entry: CreditEntry) -> int:
        rows = self._standing(deal_id, entry.pins.rule_id, entry.posting_id) or self._held_back(
            deal_id, entry
        )
        if not rows:
            return self.unposted.get((deal_id, entry.pins.rule_id), 0)
        return sum(e.amount_minor for e in rows if e.component != Component.CAP_CUT)

    def _family(self, entry: CreditEntry, by: int, together: int) -> tuple[Member, ...]:
        root = self.root[entry.pins.deal_id]
        if entry.pins.deal_id == root:
            return (Member(root, together),)
        before = [root, *sorted(d for d in self.members[root] if d != root and d < entry.pins.deal_id)]
        told = [Member(deal_id, self._member(deal_id, entry)) for deal_id in before]
        return (*(member for member in told if member.earned_minor), Member(entry.pins.deal_id, together))

    def _cap(self, deal_id: int, entry: CreditEntry, by: int) -> int:
        """The cap of the family's first deal under the rule: of the version that its cut is pinned to, if it was cut."""
        if deal_id == entry.pins.deal_id:
            return self._cap_of(entry.pins.rule_version_id)
        rows = self._standing(deal_id, entry.pins.rule_id, by) or self._held_back(deal_id, entry)
        if not rows:
            return self.unposted_cap.get(
                (deal_id, entry.pins.rule_id), self._cap_of(entry.pins.rule_version_id)
            )
        rows.sort(key=lambda e: (e.component != Component.CAP_CUT, e.pk))
        return self._cap_of(rows[0].pins.rule_version_id)

    def _cap_of(self, rule_version_id: int) -> int:
        """Read when it is met first: a version whose cut is explained nearly always says one."""
        if rule_version_id not in self.cap:
            self.cap[rule_version_id] = RuleVersion.objects.values_list("cap_minor", flat=True).get(
                pk=rule_version_id
            )
        return self.cap[rule_version_id] or 0

"""Why an entry was given by hand: who asked for it and why, who approved it, and what undid it. RULES 13."""

from collections.abc import Sequence

from quotas.crediting.explanation.credits import Explanation, Fact, Step, posted
from quotas.crediting.explanation.words import day, money_of
from quotas.models import Adjustment, CreditEntry, Reversal


class Adjustments:
    """Explains entries of adjustments: 2 queries, whatever their number."""

    def __init__(self, entries: Sequence[CreditEntry]) -> None:
        """entries with rep, team, measure__currency, posting, posting_period and origin_period selected."""
        self.entries = entries
        known = Adjustment.objects.select_related(
            "asked_by",
            "decided_by",
            "deal__customer",
            "dispute",
            "undone_by__asked_by",
            "undone_by__decided_by",
        )
        self.adjustments = known.in_bulk({e.adjustment_id for e in entries if e.adjustment_id is not None})
        self.undone = set(
            Reversal.objects.filter(entry_id__in=[e.pk for e in entries]).values_list("entry_id", flat=True)
        )

    def all(self) -> list[Explanation]:
        return [self._explain(entry) for entry in self.entries]

    def _explain(self, entry: CreditEntry) -> Explanation:
        told = self.adjustments[entry.adjustment_id or 0]
        undo = told.undone_by if entry.reverses_id is not None and hasattr(told, "undone_by") else None
        by = undo or told
        money = money_of(entry.measure)
        decided = by.decided_by.name if by.decided_by else "nobody"
        at = by.decided_at.date() if by.decided_at else entry.posting.recorded_at.date()
        asked = f"{by.asked_by.name} asked for it on {day(by.asked_at.date())}: {_stop(by.note)}"
        followed = by.asked_by_id == by.decided_by_id
        steps = [
            Step(
                "Asked for",
                money(by.amount_minor),
                f"{by.reference}, {by.get_reason_code_display().lower()}. {asked}",
            ),
            Step(
                "Approved",
                "",
                f"It followed the cancellation of {told.deal.reference if told.deal else 'its deal'} by {decided} on {day(at)}."
                if followed
                else f"{decided} approved it on {day(at)}{f': {_stop(by.decision_note)}' if by.decision_note else '.'}",
            ),
        ]
        if undo is not None:
            steps.append(
                Step(
                    "Undoes",
                    money(told.amount_minor),
                    f"{told.reference}, entry {entry.reverses_id}, to the unit.",
                )
            )
        steps.append(
            Step("Quota credit", money(entry.amount_minor), f"{posted(entry)} Direct, for {entry.team.name}.")
        )
        return Explanation(
            entry=entry,
            sentence=self._sentence(entry, told, undo),
            steps=steps,
            facts=self._facts(entry, told, undo),
            rules=[],
            parts=[],
            amount_minor=entry.amount_minor,
            evaluated_minor=by.amount_minor,
            pins={
                "adjustment": told.pk,
                "undone_by": undo.pk if undo is not None else None,
                "deal": told.deal_id,
                "dispute": told.dispute_id,
                "team": entry.team_id,
                "posting": entry.posting_id,
                "reverses": entry.reverses_id,
            },
            adjustment=undo or told,
        )

    def _sentence(self, entry: CreditEntry, told: Adjustment, undo: Adjustment | None) -> str:
        money, name = money_of(entry.measure), entry.rep.name
        about = f" about {told.deal.reference}" if told.deal else ""
        if undo is not None:
            return f"{undo.reference} undoes {told.reference}{about} exactly: {money(abs(told.amount_minor))} no longer {'stands for' if told.amount_minor > 0 else 'is taken from'} {name}."
        does = (
            f"gives {money(told.amount_minor)} to"
            if told.amount_minor > 0
            else f"takes {money(-told.amount_minor)} from"
        )
        why = told.get_reason_code_display()
        return f"{told.reference} {does} {name} by hand{about}: {why[0].lower()}{why[1:]}."

    def _facts(self, entry: CreditEntry, told: Adjustment, undo: Adjustment | None) -> list[Fact]:
        by = undo or told
        facts = [
            Fact("adjustment", "Adjustment", by.reference, by.note, by.pk),
            Fact("reason_code", "Reason", by.get_reason_code_display()),
            Fact(
                "credit_date",
                "Credit date",
                day(told.credit_date),
                f"It picked the team and {entry.origin_period.name}.",
            ),
            Fact("team", "Team", entry.team.name, "The rep's on the credit date.", entry.team_id),
            Fact(
                "asked_by", "Asked for by", by.asked_by.name, f"On {day(by.asked_at.date())}.", by.asked_by_id
            ),
        ]
        if by.decided_by is not None:
            facts.append(Fact("approved_by", "Approved by", by.decided_by.name, "", by.decided_by_id))
        if told.deal is not None:
            facts.append(
                Fact(
                    "deal", "Deal", told.deal.reference, "Cancelling it undoes the adjustment.", told.deal_id
                )
            )
        if told.dispute is not None:
            facts.append(
                Fact("dispute", "Dispute", told.dispute.reference, "What it answers.", told.dispute_id)
            )
        if undo is None and entry.pk in self.undone:
            facts.append(
                Fact(
                    "undone_by",
                    "Undone by",
                    told.undone_by.reference,
                    told.undone_by.note,
                    told.undone_by.pk,
                )
            )
        return facts


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."

"""Why an entry was given by hand: who asked for it and why, who approved it, and what undid it. RULES 13."""

from collections.abc import Sequence

from config.language import _, spoken
from quotas.crediting.explanation.credits import Explanation, Fact, Step, posted
from quotas.crediting.explanation.words import day, inside, money_of, stopped
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
        steps = [_asked(by, money(by.amount_minor)), _approved(entry, by, told)]
        if undo is not None:
            steps.append(
                Step(
                    _("Undoes"),
                    money(told.amount_minor),
                    _("%(adjustment)s, entry %(entry)s, to the unit.")
                    % {"adjustment": told.reference, "entry": entry.reverses_id},
                )
            )
        steps.append(
            Step(
                _("Quota credit"),
                money(entry.amount_minor),
                _("%(posted)s Direct, for %(team)s.") % {"posted": posted(entry), "team": entry.team.name},
            )
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
        money = money_of(entry.measure)
        values = {
            "adjustment": told.reference,
            "deal": told.deal.reference if told.deal else "",
            "amount": money(abs(told.amount_minor)),
            "rep": entry.rep.name,
        }
        if undo is not None:
            values |= {"undo": undo.reference}
            if told.amount_minor > 0:
                return (
                    _(
                        "%(undo)s undoes %(adjustment)s about %(deal)s exactly: %(amount)s no longer stands for %(rep)s."
                    )
                    if told.deal
                    else _("%(undo)s undoes %(adjustment)s exactly: %(amount)s no longer stands for %(rep)s.")
                ) % values
            return (
                _(
                    "%(undo)s undoes %(adjustment)s about %(deal)s exactly: %(amount)s no longer is taken from %(rep)s."
                )
                if told.deal
                else _("%(undo)s undoes %(adjustment)s exactly: %(amount)s no longer is taken from %(rep)s.")
            ) % values
        values |= {"why": inside(told.get_reason_code_display())}
        if told.amount_minor > 0:
            return (
                _("%(adjustment)s gives %(amount)s to %(rep)s by hand about %(deal)s: %(why)s.")
                if told.deal
                else _("%(adjustment)s gives %(amount)s to %(rep)s by hand: %(why)s.")
            ) % values
        return (
            _("%(adjustment)s takes %(amount)s from %(rep)s by hand about %(deal)s: %(why)s.")
            if told.deal
            else _("%(adjustment)s takes %(amount)s from %(rep)s by hand: %(why)s.")
        ) % values

    def _facts(self, entry: CreditEntry, told: Adjustment, undo: Adjustment | None) -> list[Fact]:
        by = undo or told
        facts = [
            Fact("adjustment", _("Adjustment"), by.reference, by.note, by.pk),
            Fact("reason_code", _("Reason"), spoken(by.get_reason_code_display())),
            Fact(
                "credit_date",
                _("Credit date"),
                day(told.credit_date),
                _("It picked the team and %(period)s.") % {"period": entry.origin_period.name},
            ),
            Fact("team", _("Team"), entry.team.name, _("The rep's on the credit date."), entry.team_id),
            Fact(
                "asked_by",
                _("Asked for by"),
                by.asked_by.name,
                _("On %(day)s.") % {"day": day(by.asked_at)},
                by.asked_by_id,
            ),
        ]
        if by.decided_by is not None:
            facts.append(Fact("approved_by", _("Approved by"), by.decided_by.name, "", by.decided_by_id))
        if told.deal is not None:
            facts.append(
                Fact(
                    "deal",
                    _("Deal"),
                    told.deal.reference,
                    _("Cancelling it undoes the adjustment."),
                    told.deal_id,
                )
            )
        if told.dispute is not None:
            facts.append(
                Fact("dispute", _("Dispute"), told.dispute.reference, _("What it answers."), told.dispute_id)
            )
        if undo is None and entry.pk in self.undone:
            facts.append(
                Fact(
                    "undone_by",
                    _("Undone by"),
                    told.undone_by.reference,
                    told.undone_by.note,
                    told.undone_by.pk,
                )
            )
        return facts


def _asked(by: Adjustment, amount: str) -> Step:
    asked = _("%(who)s asked for it on %(day)s: %(note)s") % {
        "who": by.asked_by.name,
        "day": day(by.asked_at),
        "note": stopped(by.note),
    }
    return Step(
        _("Asked for"),
        amount,
        _("%(adjustment)s, %(reason)s. %(asked)s")
        % {"adjustment": by.reference, "reason": inside(by.get_reason_code_display()), "asked": asked},
    )


def _approved(entry: CreditEntry, by: Adjustment, told: Adjustment) -> Step:
    values = {
        "who": by.decided_by.name if by.decided_by else _("nobody"),
        "day": day(by.decided_at or entry.posting.recorded_at),
        "deal": told.deal.reference if told.deal else _("its deal"),
        "note": stopped(by.decision_note),
    }
    if by.asked_by_id == by.decided_by_id:
        detail = _("It followed the cancellation of %(deal)s by %(who)s on %(day)s.") % values
    elif by.decision_note:
        detail = _("%(who)s approved it on %(day)s: %(note)s") % values
    else:
        detail = _("%(who)s approved it on %(day)s.") % values
    return Step(_("Approved"), "", detail)

"""What companies have committed to, drawn and still owe each other; our own spend plans beside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.models import Role
from config import charts, exporting, formats
from config.exports import Amount as Cell
from config.exports import Column, Table
from config.language import _
from config.months import month_of
from marketplace.models import SpendPlan
from marketplace.selectors.sourcing import commitments as known
from marketplace.selectors.sourcing.commitments import Standing
from marketplace.selectors.sourcing.flows import Amount, amount_text, bounded
from marketplace.views import day_asked
from marketplace.views.sourcing.commitment_charts import burn_down, drawn_so_far
from marketplace.views.sourcing.companies import reader


@dataclass(frozen=True, slots=True)
class Shown:
    """A commitment with its chart, and its amounts in words of its currency."""

    standing: Standing
    chart: SafeString | None = None
    twin: SafeString | None = None

    def _text(self, amount: Amount | None) -> str:
        currency = self.standing.relationship.currency
        if amount is None:
            return "unknown"
        return amount.text(currency.code, currency.exponent) if currency is not None else "unknown"

    @property
    def amount(self) -> str:
        return amount_text(self.standing.relationship)

    @property
    def drawn(self) -> str:
        return self._text(Amount(self.standing.drawn, self.standing.drawn))

    @property
    def drawn_share(self) -> str:
        """Of an exact amount its share; and up to when it is known."""
        total, last = self.standing.total, self.standing.months[-1].draw.month
        until = _("to the end of %(last)s") % {"last": formats.month(last)}
        if total.exact and total.high:
            return f"{formats.percent(self.standing.drawn, total.high)} {until}"
        return until.capitalize()

    @property
    def remaining(self) -> str:
        return self._text(self.standing.remaining)

    @property
    def remaining_sub(self) -> str:
        if self.standing.over:
            return _("Drawn beyond it: %(over)s") % {
                "over": self._text(Amount(self.standing.over, self.standing.over))
            }
        if self.standing.pace is None:
            return (
                _("No pace without a term")
                if self.standing.term is None
                else _("No pace before the first bill")
            )
        return (
            _("%(needed)s a month to draw it all") % {"needed": self.needed}
            if self.standing.pace.needed
            else _("The term is over")
        )

    @property
    def shortfall(self) -> str:
        pace = self.standing.pace
        return self._text(pace.shortfall if pace else None)

    @property
    def behind(self) -> tuple[str, str]:
        """Behind, ahead of, or between: with the words and the tone."""
        pace = self.standing.pace
        if pace is None:
            return "unknown", "muted"
        return behind_words(self.standing)

    @property
    def needed(self) -> str:
        pace = self.standing.pace
        return self._text(pace.needed) if pace and pace.needed is not None else _("the term is over")


def behind_words(found: Standing) -> tuple[str, str]:
    """Where the draw stands against even pace, and a tone for it."""
    currency = found.relationship.currency
    if found.pace is None or currency is None:
        return "unknown", "muted"
    behind = found.pace.behind
    if behind.low is not None and behind.low > 0:
        return _("%(currency_code)s behind even pace") % {
            "currency_code": behind.text(currency.code, currency.exponent)
        }, "warn"
    if behind.high is not None and behind.high <= 0:
        return _("%(currency_code)s ahead of even pace") % {
            "currency_code": (-behind).text(currency.code, currency.exponent)
        }, "good"
    return _("behind or ahead: the amount is a bound"), "muted"


def shown(found: Standing) -> Shown:
    if not found.months:
        return Shown(found)
    chart = burn_down(found) if found.pace is not None else drawn_so_far(found)
    return Shown(found, chart, _twin(found))


def usual_start(found: Standing) -> date:
    """A term that is tried begins when it is stated to, else with the first bill, else with this month."""
    if found.relationship.starts_on is not None:
        return found.relationship.starts_on
    return found.months[0].draw.month if found.months else month_of(found.on)


def tried(found: Standing) -> list[tuple[int, Shown]]:
    """What terms of so many years would mean, where none is stated or assumed and something is drawn."""
    if found.term is not None or not found.months:
        return []
    return [
        (years, Shown(each)) for years, each in known.tried(found.relationship, found.on, usual_start(found))
    ]


def _twin(found: Standing) -> SafeString:
    currency = found.relationship.currency
    code, exponent = (currency.code, currency.exponent) if currency is not None else ("USD", 2)
    total = found.total

    def left(drawn: int) -> str:
        return Amount(
            None if total.low is None else max(total.low - drawn, 0),
            None if total.high is None else max(total.high - drawn, 0),
            total.about,
        ).text(code, exponent)

    return charts.table_twin(
        _("Drawn by month"),
        [_("End of"), _("Drawn in the month"), _("Drawn in all"), _("Left")],
        [
            (
                formats.month(month.draw.month),
                formats.money(month.draw.amount_minor, code, exponent, compact=True),
                formats.money(month.total, code, exponent, compact=True),
                left(month.total),
            )
            for month in found.months
        ],
    )


@require_safe
@login_required
def commitments(request: HttpRequest) -> HttpResponseBase:
    """8 queries, whatever the number of commitments."""
    user, on = reader(request), day_asked(request)
    standings = known.commitments_on(on)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="commitments",
            title="Commitments",
            table=_table(standings),
            total=len(standings),
        )
    plans = (
        SpendPlan.objects.filter(superseded_at=None)
        .select_related("supplier", "currency", "fact")
        .order_by("supplier__name", "effective")
    )
    return render(
        request,
        "marketplace/sourcing/commitments.html",
        {
            "on": on,
            "shown_all": [(shown(each), tried(each)) for each in standings],
            "plans": [
                (
                    plan,
                    bounded(plan.amount_minor, plan.bound).text(plan.currency.code, plan.currency.exponent),
                )
                for plan in plans
            ],
            "may_write": user.has_role(Role.SOURCING_LEAD),
        },
    )


def _table(standings: Sequence[Standing]) -> Table:
    columns = [
        Column("from", "From"),
        Column("to", "To"),
        Column("bound", "The amount is"),
        Column("amount", "Amount", "money"),
        Column("drawn", "Drawn", "money"),
        Column("drawn_to", "Drawn until before", "date"),
        Column("term_from", "Term from", "date"),
        Column("term_to", "Term to before", "date"),
        Column("term_is", "The term is"),
        Column("assumed_because", "Assumed because"),
        Column("shortfall_low", "Expected shortfall, at least", "money"),
        Column("shortfall_high", "Expected shortfall, at most", "money"),
        Column("synthetic", "Draws made up for the demo", "flag"),
        Column("source", "Known from"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in standings:
            tie = each.relationship
            currency = tie.currency

            def cell(minor: int | None, currency: Any = currency) -> Cell | None:
                return (
                    None
                    if minor is None or currency is None
                    else Cell(minor, currency.code, currency.exponent)
                )

            term, pace = each.term, each.pace
            assumption = term.assumption if term is not None else None
            yield (
                tie.payer.name,
                tie.payee.name,
                tie.get_bound_display(),
                cell(tie.amount_minor),
                cell(each.drawn),
                pace.at if pace is not None else None,
                term.start if term is not None else None,
                term.end if term is not None else None,
                term.basis if term is not None else "unknown",
                assumption.reason if assumption is not None else "",
                cell(pace.shortfall.low if pace is not None else None),
                cell(pace.shortfall.high if pace is not None else None),
                each.synthetic,
                tie.source,
            )

    return Table(columns, rows)

"""Sourcing on one printed page, for an executive: every figure is the one of its own page, and says what it rests on."""

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from config import clock, formats
from config.language import _, later, ngettext, spoken
from marketplace.models import PublicFact, Relationship, RelationshipKind, RiskSeverity
from marketplace.selectors.sourcing.concentration import ONE, Basis, Exposure
from marketplace.selectors.sourcing.flows import amount_text
from marketplace.selectors.sourcing.summary import ProductMix, Summary
from marketplace.views.sourcing.concentration import card, day_of, reader, unknown_in_words
from marketplace.views.sourcing.overview import in_days, money, percent, sheet_row, standing, supplier

MOST_PRODUCTS: Final = 6
MOST_SUPPLIERS: Final = 5
MOST_TIES: Final = 6
MOST_LEVERS: Final = 3
MOST_DATES: Final = 6
MOST_RISKS: Final = 2
GRADES: Final = (later("High"), later("Moderate"))  # said in the table already
SAYS: Final = {
    RelationshipKind.SPEND: later("spends with"),
    RelationshipKind.COMPUTE_COMMITMENT: later("commits to buy compute of"),
    RelationshipKind.EQUITY: later("invests in"),
    RelationshipKind.INFRASTRUCTURE: later("buys infrastructure of"),
}


class Notes:
    """Foot notes in the order of their first use; the same words have one number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@require_safe
@login_required
def brief(request: HttpRequest) -> HttpResponse:
    """A fixed number of queries, whatever there is."""
    user, on = reader(request), day_of(request)
    found, notes = Summary(user, on), Notes()
    exposure = found.exposure
    rate_note = notes.number(_rate_said(found)) if found.rates else 0
    context = {
        "products": [_product(mix, exposure, notes) for mix in found.mixes[:MOST_PRODUCTS]],
        "more_products": max(len(found.mixes) - MOST_PRODUCTS, 0),
        "features": len(exposure.sourcing),
        "sole": len(exposure.sole),
        "suppliers": [_supplier(found, rate, notes) for rate in found.rates[:MOST_SUPPLIERS]],
        "more_suppliers": max(len(found.rates) - MOST_SUPPLIERS, 0),
        "run_rate": money(found.run_rate),
        "rate_note": rate_note,
        "indexes": [_index(exposure, basis, notes) for basis in Basis],
        "levers": [_lever(each, notes) for each in found.leverage if each.spent][:MOST_LEVERS],
        "ties": [_tie(tie, found, notes) for tie in _in_order(found.ties)[:MOST_TIES]],
        "more_ties": max(len(found.ties) - MOST_TIES, 0),
        "dates": [
            {
                "day": each.day,
                "what": each.what,
                "days": in_days(each.days(on)),
                "note": notes.number(each.caveat) if each.caveat else 0,
            }
            for each in found.coming[:MOST_DATES]
        ],
        "risks": [
            {"event": event, "note": notes.number(said_of(event.fact, event.source))}
            for event in [event for event in found.risks if event.severity == RiskSeverity.HIGH][:MOST_RISKS]
        ],
    }
    if any(line.synthetic for line in exposure.lines):
        notes.number(_("Usage, and with it spend, tokens and their concentration, is made up for the demo."))
    return render(
        request,
        "marketplace/sourcing/brief.html",
        {
            "on": on,
            "today": clock.today(),
            "last_month": formats.month(exposure.months[-1]),
            "switchable": _share(*found.switchable),
            "findings": [each for each in exposure.findings if each.word not in GRADES][:2],
            **context,
            "notes": notes.texts,
        },
    )


def _share(part: int, whole: int) -> str:
    return percent(part, whole) if whole else _("Unknown")


def said_of(fact: PublicFact | None, source: str) -> str:
    """A public statement by its paragraph and reference numbers; else where it is known from."""
    if fact is None:
        return f"{source}."
    cited = _(", references %(str)s") % {"str": ", ".join(map(str, fact.cited))} if fact.cited else ""
    return _("Public statement, paragraph %(paragraph)s%(cited)s.") % {
        "paragraph": fact.paragraph,
        "cited": cited,
    }


def _product(mix: ProductMix, exposure: Exposure, notes: Notes) -> dict[str, Any]:
    held = [
        binding
        for each in exposure.sourcing
        if each.feature.product_id == mix.product.pk
        for binding in exposure.held.get(each.feature.pk, ())
    ]
    return {
        "name": mix.product.name,
        "features": mix.features,
        "sole": mix.sole,
        "mix": [(exposure.name(pk), formats.percent(share, ONE, 0)) for pk, share in mix.votes.items()],
        "unknown": formats.percent(mix.unknown, ONE, 0) if mix.unknown else "",
        "note": notes.number(_("Model versions, shares of traffic or dates that are not public are assumed."))
        if any(binding.assumed for binding in held)
        else 0,
    }


def _rate_said(found: Summary) -> str:
    unpriced = (
        ngettext(
            "; %(lines)s line without a price is in no figure",
            "; %(lines)s lines without a price are in no figure",
            found.unpriced,
        )
        % {"lines": formats.whole(found.unpriced)}
        if found.unpriced
        else ""
    )
    return _(
        "Run-rate is %(months)s times twelve, at the prices in effect less agreed discounts%(unpriced)s."
    ) % {"months": formats.month(found.exposure.months[-1]), "unpriced": unpriced}


def _supplier(found: Summary, rate: Any, notes: Notes) -> dict[str, Any]:
    row = supplier(rate, found.exposure)
    note = 0
    if rate.plan is not None:
        note = notes.number(
            _("Plan: %(fact)s") % {"fact": said_of(rate.plan.plan.fact, rate.plan.plan.source)}
        )
    return {**row, "note": note}


def _index(exposure: Exposure, basis: Basis, notes: Notes) -> dict[str, Any]:
    row = card(exposure, basis)
    last = exposure.series(basis).last
    gap = unknown_in_words(basis, last) if last is not None else ""
    return {
        **row,
        "note": notes.number(
            _("%(basis)s, %(row)s: %(gap)s, in no share.")
            % {"basis": spoken(basis.label), "row": row["as_of"], "gap": gap}
        )
        if gap
        else 0,
    }


def _in_order(ties: Iterable[Relationship]) -> list[Relationship]:
    """What is the largest of its kind first, unknown ones last; by kind."""
    kinds = list(SAYS)
    return sorted(
        ties,
        key=lambda tie: (
            tie.amount_minor is None,
            kinds.index(RelationshipKind(tie.kind)),
            -(tie.amount_minor or 0),
        ),
    )


def _tie(tie: Relationship, found: Summary, notes: Notes) -> dict[str, Any]:
    row = next((standing(each) for each in found.standings if each.relationship.pk == tie.pk), None)
    said = []
    if row is not None:
        said = [
            _("%(row)s drawn") % {"row": row["drawn"]},
            _("shortfall %(row)s") % {"row": row["shortfall"]},
            row["term"].lower(),
        ]
    return {
        "payer": tie.payer.name,
        "says": SAYS[RelationshipKind(tie.kind)],
        "payee": tie.payee.name,
        "amount": amount_text(tie),
        "status": spoken(tie.get_status_display()).lower() if tie.status else _("status not stated"),
        "said": "; ".join([part for part in said if part]),
        "stake": _("%(stake_ppm)s held") % {"stake_ppm": formats.percent(tie.stake_ppm, ONE, 1)}
        if tie.stake_ppm is not None
        else _("per cent unknown")
        if tie.kind == RelationshipKind.EQUITY
        else "",
        "qualifier": tie.note,
        "note": notes.number(said_of(tie.fact, tie.source)),
    }


def _lever(each: Any, notes: Notes) -> dict[str, Any]:
    return {
        **sheet_row(each),
        "note": notes.number(
            _(
                "Switchable: what a fallback, another bound model or a qualified alternative could take over today."
            )
        ),
    }

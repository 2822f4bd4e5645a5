"""Money between companies: who pays whom, where it comes back to, and what is left of it for each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.models import Role
from config import charts, exporting, formats
from config.charts import Arrow, Node, Tone
from config.exports import Amount as Cell
from config.exports import Column, Table
from config.language import _, ngettext, spoken
from marketplace.models import Company, Currency, Relationship, RelationshipKind
from marketplace.selectors.sourcing import flows as known
from marketplace.selectors.sourcing.companies import operator
from marketplace.selectors.sourcing.flows import amount_text
from marketplace.views import day_asked
from marketplace.views.sourcing.companies import position_texts, reader

TONES: Final[dict[str, Tone]] = {
    RelationshipKind.SPEND: "c1",
    RelationshipKind.COMPUTE_COMMITMENT: "c3",
    RelationshipKind.EQUITY: "c2",
    RelationshipKind.INFRASTRUCTURE: "c4",
}
MOST_DRAWN: Final = 12
MOST_ARROWS: Final = 40


@require_safe
@login_required
def flows(request: HttpRequest) -> HttpResponseBase:
    """5 queries, whatever the number of ties."""
    user, on = reader(request), day_asked(request)
    ties = known.money_ties(on)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="money flows",
            title="Money between companies",
            table=_table(ties),
            total=len(ties),
        )
    us = operator()
    usual = Currency.objects.filter(code="USD").first()
    drawn = most_telling(ties, us)
    kinds = {tie.kind for tie in drawn}
    return render(
        request,
        "marketplace/sourcing/flows.html",
        {
            "on": on,
            "us": us,
            "ties": [(tie, amount_text(tie), TONES[tie.kind]) for tie in ties],
            "picture": picture(drawn, us, undrawn=len(ties) - len(drawn)),
            "drawn": len(drawn),
            "undrawn": len(ties) - len(drawn),
            "kinds": [
                (spoken(RelationshipKind(kind).label), tone) for kind, tone in TONES.items() if kind in kinds
            ],
            "unknown": any(tie.amount_minor is None for tie in drawn),
            "cycles": known.cycles(ties, us.pk if us is not None else None),
            "positions": [
                (each, *position_texts(each))
                for each in (known.positions(ties, usual) if usual is not None else ())
            ],
            "may_write": user.has_role(Role.SOURCING_LEAD),
        },
    )


def most_telling(ties: Sequence[Relationship], us: Company | None) -> list[Relationship]:
    """What a picture has room for: of very many companies those with the most ties, of very many ties the largest; in their order."""
    first = us.pk if us is not None else 0
    number = Counter(pk for tie in ties for pk in (tie.payer_id, tie.payee_id))
    names = {company.pk: company.name for tie in ties for company in (tie.payer, tie.payee)}
    kept = set(sorted(names, key=lambda pk: (pk != first, -number[pk], names[pk]))[:MOST_DRAWN])
    among = [tie for tie in ties if {tie.payer_id, tie.payee_id} <= kept]
    largest = {tie.pk for tie in sorted(among, key=_size, reverse=True)[:MOST_ARROWS]}
    return [tie for tie in among if tie.pk in largest]


def _size(tie: Relationship) -> Fraction:
    """By the year, in units of its currency; what is unknown comes behind nothing."""
    if tie.amount_minor is None or tie.currency is None:
        return Fraction(-1)
    return Fraction(tie.amount_minor, 10**tie.currency.exponent) * (known.MONTHS if tie.per == "month" else 1)


def picture(ties: Sequence[Relationship], us: Company | None, *, undrawn: int = 0) -> SafeString:
    """Companies as stations, ties as arrows. undrawn: how many ties stand in the list alone, for whoever hears the picture."""
    number = Counter(pk for tie in ties for pk in (tie.payer_id, tie.payee_id))
    companies = {company.pk: company for tie in ties for company in (tie.payer, tie.payee)}
    first = us.pk if us is not None else 0
    said = "; ".join(
        _("%(payer)s to %(payee)s, %(kind)s, %(amount)s")
        % {
            "payer": tie.payer.name,
            "payee": tie.payee.name,
            "kind": spoken(tie.get_kind_display()).lower(),
            "amount": amount_text(tie),
        }
        for tie in ties
    )
    if undrawn:
        said += "; " + ngettext("%(number)s more", "%(number)s more", undrawn) % {
            "number": formats.whole(undrawn)
        }
    return charts.network(
        [
            Node(str(pk), companies[pk].name, "accent" if pk == first else "muted")
            for pk in sorted(companies, key=lambda pk: (pk != first, -number[pk], companies[pk].name))
        ],
        [
            Arrow(
                str(tie.payer_id),
                str(tie.payee_id),
                (spoken(tie.get_kind_display()), amount_text(tie)),
                tie.amount_minor,
                TONES[tie.kind],
            )
            for tie in ties
        ],
        label=_("Who pays whom: %(said)s") % {"said": said}
        if said
        else _("Who pays whom: nothing is recorded"),
    )


def _table(ties: Sequence[Relationship]) -> Table:
    columns = [
        Column("from", "From"),
        Column("to", "To"),
        Column("kind", "Kind"),
        Column("bound", "The amount is"),
        Column("amount", "Amount", "money"),
        Column("per", "Paid"),
        Column("status", "Status"),
        Column("note", "The source's words"),
        Column("source", "Known from"),
        Column("synthetic", "Made up for the demo", "flag"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for tie in ties:
            currency = tie.currency
            yield (
                tie.payer.name,
                tie.payee.name,
                tie.get_kind_display(),
                tie.get_bound_display(),
                Cell(tie.amount_minor, currency.code, currency.exponent)
                if tie.amount_minor is not None and currency is not None
                else None,
                tie.get_per_display() if tie.per else "once",
                tie.get_status_display() if tie.status else _("not stated"),
                tie.note,
                tie.source,
                tie.synthetic,
            )

    return Table(columns, rows)

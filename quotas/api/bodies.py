"""A deal as it is sent, read into the draft that the services take. Every problem at once, each with its pointer."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from config.refusals import Invalid, Problem, refuse_if_any
from config.rest.fields import Money, MoneyField
from config.rest.serializers import Strict
from marketplace.models import Currency, Customer, Offering, Plan
from quotas.api.viewer import Viewer
from quotas.models import ONE, Deal, DealKind, Rep
from quotas.selectors.visibility import deals_for
from quotas.services.booking import DealDraft, LineDraft, ShareDraft, problems

UNKNOWN = -1
"""An id that nothing has, so that the services look at the rest of a deal that names something unknown."""

API = "api"
SOURCE = RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*$", "Lower-case letters, digits and hyphens.")


class DealLineBody(Strict):
    offering = serializers.SlugField(max_length=80)
    plan = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)
    amount = MoneyField(help_text="In the deal's currency; negative on a refund only.")
    quantity = serializers.DecimalField(
        max_digits=16,
        decimal_places=4,
        required=False,
        allow_null=True,
        default=None,
        help_text="Zero or more.",
    )
    term_months = serializers.IntegerField(
        min_value=-(2**31),
        max_value=2**31 - 1,
        required=False,
        allow_null=True,
        default=None,
        help_text="1 to 600.",
    )


class AmendedLineBody(DealLineBody):
    line_no = serializers.IntegerField(
        min_value=1,
        max_value=32767,
        required=False,
        allow_null=True,
        default=None,
        help_text="The number it has; without one, a line is recognised by its offering, plan and amount.",
    )


class DealShareBody(Strict):
    rep = serializers.SlugField(max_length=80)
    percent = serializers.DecimalField(
        max_digits=7,
        decimal_places=4,
        help_text='Up to four decimals, such as "33.3333". All shares add up to 100.',
    )


class DealBody(Strict):
    """What can be said about a deal at any time."""

    owner = serializers.SlugField(max_length=80, required=False, help_text="A rep; yourself if left out.")
    customer = serializers.SlugField(max_length=80)
    title = serializers.CharField(max_length=160, required=False, allow_blank=True, default="")
    kind = serializers.ChoiceField(DealKind.choices, default=DealKind.NEW_BUSINESS)
    close_date = serializers.DateField(help_text="A day in the fiscal calendar's time zone; the credit date.")
    currency = serializers.RegexField(r"^[A-Z]{3}$", help_text="ISO 4217.")
    new_customer = serializers.BooleanField(default=False)
    refunds = serializers.IntegerField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        allow_null=True,
        default=None,
        help_text="Of a refund: the id of its original.",
    )
    lines = DealLineBody(many=True)
    shares = DealShareBody(
        many=True, required=False, help_text="In participant order; all of it is the owner's if left out."
    )


class NewDeal(DealBody):
    """A deal that is logged. The pair of source and external_id is unique, so the same deal cannot come in twice."""

    source = serializers.CharField(  # type: ignore[assignment]  # a field of that name, not the attribute
        max_length=20,
        required=False,
        validators=[SOURCE],
        help_text="Where it comes from; api if left out. For services.",
    )
    external_id = serializers.CharField(
        max_length=80, required=False, allow_blank=True, default="", help_text="The source's own id."
    )


class ReasonBody(Strict):
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AmendmentBody(DealBody):
    """What a deal is to say from now on. Members that are left out stay as they stand; lines and shares come as a whole."""

    lines = AmendedLineBody(many=True)
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class RemainingLine(Strict):
    line_no = serializers.IntegerField(min_value=1, max_value=32767)
    remaining = MoneyField(help_text="What is left of the line, in the deal's currency.")
    quantity = serializers.DecimalField(
        max_digits=16,
        decimal_places=4,
        required=False,
        allow_null=True,
        default=None,
        help_text="What is left of the quantity; in proportion if left out.",
    )


class CancelBody(ReasonBody):
    lines = RemainingLine(
        many=True,
        required=False,
        help_text="To cancel a part: what is left of these lines. The others stay. Without lines the whole deal is cancelled.",
    )


def draft_from(
    read: Mapping[str, Any], *, viewer: Viewer, at: datetime, amends: Deal | None = None
) -> DealDraft:
    """The draft that a valid body means. Raises Invalid with everything that is wrong, the services' findings included.

    A fixed number of queries, whatever the number of lines and shares.
    """
    reader = _Reader(read, viewer)
    draft = reader.draft()
    if reader.found:
        told = {problem.pointer for problem in reader.found} | reader.implied
        more = problems(draft, by=viewer.user, at=at, amends=amends)
        raise Invalid(*reader.found, *(p for p in more if p.pointer not in told))
    return draft


def remaining_from(
    read: Sequence[Mapping[str, Any]], deal: Deal
) -> tuple[dict[int, int], dict[int, Decimal], dict[int, int]]:
    """By line number: what remains of the amount, of the quantity, and the place in the body. Raises Invalid."""
    currency = deal.in_force.currency
    amounts: dict[int, int] = {}
    quantities: dict[int, Decimal] = {}
    places: dict[int, int] = {}
    found: list[Problem] = []
    for place, line in enumerate(read):
        number, at = line["line_no"], f"/lines/{place}"
        if number in places:
            found.append(Problem("line_twice", f"Line {number} is there twice.", f"{at}/line_no"))
        places[number] = place
        if line["remaining"].currency != currency.code:
            found.append(
                Problem(
                    "currency_differs", f"{deal.reference} is in {currency.code}.", f"{at}/remaining/currency"
                )
            )
            continue
        try:
            amounts[number] = line["remaining"].minor(currency.exponent, pointer=f"{at}/remaining")
        except Invalid as wrong:
            found.extend(wrong.problems)
        if line["quantity"] is not None:
            quantities[number] = line["quantity"]
    refuse_if_any(found)
    return amounts, quantities, places


def writable(deal: Deal, *, numbered: bool = False) -> dict[str, Any]:
    """A deal as it could be sent again: what a PATCH or an amendment changes parts of. Reads what the deals endpoint has fetched.

    numbered  With the numbers of the lines, which only an amendment takes.
    """
    version = deal.in_force
    exponent = version.currency.exponent
    return {
        "owner": deal.owner.slug,
        "customer": deal.customer.slug,
        "title": version.title,
        "kind": version.kind,
        "close_date": version.close_date.isoformat(),
        "currency": version.currency_id,
        "new_customer": version.new_customer,
        "refunds": version.refunds_id,
        "lines": [
            {
                "offering": line.offering.slug,
                "plan": line.plan.slug if line.plan else None,
                "amount": {
                    "amount": f"{Decimal(line.amount_minor).scaleb(-exponent):f}",
                    "currency": version.currency_id,
                },
                "quantity": line.quantity,
                "term_months": line.term_months,
                **({"line_no": line.line_no} if numbered else {}),
            }
            for line in version.lines.all()
        ],
        "shares": [
            {"rep": share.rep.slug, "percent": Decimal(share.ppm).scaleb(-4)}
            for share in version.shares.all()
        ],
    }


class _Reader:
    """Turns slugs and amounts of one body into ids and minor units. 7 queries at most.

    found    What is wrong.
    implied  Pointers whose problems only follow from something found.
    """

    def __init__(self, read: Mapping[str, Any], viewer: Viewer) -> None:
        self.read = read
        self.viewer = viewer
        self.found: list[Problem] = []
        self.implied: set[str] = set()

    def draft(self) -> DealDraft:
        currency = Currency.objects.filter(code=self.read["currency"]).first()
        if currency is None:
            self._say(
                "unknown_currency", f"{self.read['currency']} is not a currency known here.", "/currency"
            )
        owner_id = self._owner()
        return DealDraft(
            owner_id=owner_id,
            customer_id=self._customer(),
            kind=str(self.read["kind"]),
            close_date=self._day(),
            currency=self.read["currency"],
            lines=self._lines(currency),
            shares=self._shares(owner_id),
            title=self.read["title"],
            new_customer=self.read["new_customer"],
            refunds_id=self._refunds(),
            source=self._source(),
            external_id=self.read.get("external_id", ""),
        )

    def _say(self, code: str, message: str, pointer: str) -> None:
        self.found.append(Problem(code, message, pointer))

    def _day(self) -> date:
        day: date = self.read["close_date"]
        return day

    def _owner(self) -> int:
        slug = self.read.get("owner")
        if slug is None:
            if self.viewer.rep is not None:
                return self.viewer.rep.pk
            self._say("owner_needed", "You are no rep yourself: say whose deal it is.", "/owner")
            return UNKNOWN
        owner = Rep.objects.filter(slug=slug).values_list("pk", flat=True).first()
        if owner is None:
            self._say("unknown_rep", f"There is no rep {slug}.", "/owner")
        return owner or UNKNOWN

    def _customer(self) -> int:
        slug = self.read["customer"]
        customer = Customer.objects.filter(slug=slug).values_list("pk", flat=True).first()
        if customer is None:
            self._say("unknown_customer", f"There is no customer {slug}.", "/customer")
        return customer or UNKNOWN

    def _refunds(self) -> int | None:
        """A deal that is not the caller's cannot be told from one that does not exist."""
        asked: int | None = self.read["refunds"]
        if asked is None:
            return None
        seen = deals_for(self.viewer.user, self.viewer.on).filter(pk=asked).exists()
        return asked if seen else UNKNOWN

    def _source(self) -> str:
        """A person cannot pass a deal off as another system's: straight-through policies trust sources."""
        source: str = self.read.get("source", API)
        if source != API and not self.viewer.user.is_service:
            self._say("source_not_yours", "Only a service names a source; leave it out.", "/source")
        return source

    def _lines(self, currency: Currency | None) -> tuple[LineDraft, ...]:
        sent = self.read["lines"]
        offerings = dict(
            Offering.objects.filter(slug__in={line["offering"] for line in sent}).values_list("slug", "id")
        )
        plans = {
            (offering_id, slug): pk
            for pk, offering_id, slug in Plan.objects.filter(
                offering__in=offerings.values(), slug__in={line["plan"] for line in sent if line["plan"]}
            ).values_list("id", "offering_id", "slug")
        }
        return tuple(self._line(place, line, currency, offerings, plans) for place, line in enumerate(sent))

    def _line(
        self,
        place: int,
        line: Mapping[str, Any],
        currency: Currency | None,
        offerings: Mapping[str, int],
        plans: Mapping[tuple[int, str], int],
    ) -> LineDraft:
        at = f"/lines/{place}"
        offering_id = offerings.get(line["offering"])
        plan_id = None
        if offering_id is None:
            self._say("unknown_offering", f"There is no offering {line['offering']}.", f"{at}/offering")
        elif line["plan"]:
            plan_id = plans.get((offering_id, line["plan"]))
            if plan_id is None:
                self._say("unknown_plan", f"{line['offering']} has no plan {line['plan']}.", f"{at}/plan")
        return LineDraft(
            offering_id=offering_id or UNKNOWN,
            amount_minor=self._minor(line["amount"], currency, f"{at}/amount"),
            plan_id=plan_id,
            quantity=line["quantity"],
            term_months=line["term_months"],
            line_no=line.get("line_no"),
        )

    def _minor(self, amount: Money, currency: Currency | None, pointer: str) -> int:
        if amount.currency != self.read["currency"]:
            self._say(
                "currency_differs",
                f"This deal is in {self.read['currency']}: all of its lines are.",
                f"{pointer}/currency",
            )
            return 0
        if currency is None:
            return 0
        try:
            return amount.minor(currency.exponent, pointer=pointer)
        except Invalid as wrong:
            self.found.extend(wrong.problems)
            return 0

    def _shares(self, owner_id: int) -> tuple[ShareDraft, ...]:
        sent = self.read.get("shares")
        if sent is None:
            if owner_id == UNKNOWN:
                self.implied |= {"/shares", "/shares/0/rep"}
            return () if self.read["kind"] == DealKind.CONSUMPTION else (ShareDraft(owner_id, ONE),)
        reps = dict(Rep.objects.filter(slug__in={share["rep"] for share in sent}).values_list("slug", "id"))
        for place, share in enumerate(sent):
            if share["rep"] not in reps:
                self._say("unknown_rep", f"There is no rep {share['rep']}.", f"/shares/{place}/rep")
        return tuple(
            ShareDraft(reps.get(share["rep"], UNKNOWN), int(share["percent"] * 10_000)) for share in sent
        )

"""The deal form: a head, lines and a split. Text in, a draft out; what is wrong stands beside the field that it is about."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_DOWN, Decimal
from functools import cached_property
from typing import Any, Final, TypeVar
from uuid import uuid4

from django import forms
from django.db.models import Count, Q, QuerySet
from django.forms.utils import ErrorDict
from django.http import QueryDict
from django.urls import reverse_lazy

from accounts.models import User
from config import formats
from config.language import _, later, spoken, spoken_choices
from config.refusals import Problem
from marketplace.models import Currency, Customer, Offering, Plan
from marketplace.selectors.visibility import offerings_for
from quotas.models import ONE, Deal, DealKind, Rep
from quotas.selectors.visibility import deals_for, rep_of, reps_for
from quotas.services.booking import MOST_LINES, MOST_SHARES, DealDraft, LineDraft, ShareDraft

T = TypeVar("T", Customer, Offering, Rep)
KINDS: Final = spoken_choices((kind.value, kind.label) for kind in DealKind if kind != DealKind.CONSUMPTION)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
MOST_PER_CENT: Final = 999  # nobody means 1234 % by 1.234
_TOKEN: Final = re.compile(r"[-_0-9A-Za-z]{1,64}")
_SLUG_BEHIND: Final = re.compile(r"^(.*)\s\(([-\w]+)\)$")
_NOT_ONE: Final = {  # what there is none of, and several with the same name
    "customer": (
        later("There is no such customer: choose one from the list."),
        later("%(found)s customers have this name: choose one from the list."),
    ),
    "offering": (
        later("There is no such offering: choose one from the list."),
        later("%(found)s offerings have this name: choose one from the list."),
    ),
    "rep": (
        later("There is no such rep: choose one from the list."),
        later("%(found)s reps have this name: choose one from the list."),
    ),
    "team": (
        later("There is no such team: choose one from the list."),
        later("%(found)s teams have this name: choose one from the list."),
    ),
    "territory": (
        later("There is no such territory: choose one from the list."),
        later("%(found)s territories have this name: choose one from the list."),
    ),
}
PLACES: Final[Mapping[str, str]] = {"plan": "plan", "price_version": "plan"}


class Part(forms.Form):
    """A form whose fields always have a place for errors, which may come later than the page."""

    use_required_attribute = False

    def __init__(self, data: QueryDict, prefix: str | None = None) -> None:
        super().__init__(data, prefix=prefix)
        self._errors = ErrorDict()  # nothing is wrong until check() has looked
        self.cleaned_data: dict[str, Any] = {}
        for name, field in self.fields.items():
            ids = [f"{self[name].auto_id}_helptext"] if field.help_text else []
            field.widget.attrs["aria-describedby"] = " ".join([*ids, f"{self[name].auto_id}_error"])

    @property
    def blank(self) -> bool:
        """Nothing was entered at all."""
        return not any(
            str(self[name].value() or "").strip()
            for name, field in self.fields.items()
            if not field.widget.is_hidden
        )


def _text(
    label: str,
    *,
    options: str = "",
    wrong: str = "",
    help_text: str = "",
    required: bool = True,
    css: str = "",
    **attrs: str,
) -> forms.CharField:
    given = {
        "autocomplete": "off",
        **({"list": options} if options else {}),
        **({"class": css} if css else {}),
        **attrs,
    }
    return forms.CharField(
        label=label,
        required=required,
        max_length=200,
        help_text=help_text,
        error_messages={"required": wrong},
        widget=forms.TextInput(attrs=given),
    )


class HeadForm(Part):
    customer = _text(
        later("Customer"),
        options="customers",
        wrong=later("Say who bought."),
        placeholder=later("Type a part of the name"),
    )
    owner = _text(
        later("Owner"),
        options="reps",
        wrong=later("Say whose deal it is."),
        help_text=later("The rep whose deal it is."),
    )
    kind = forms.ChoiceField(choices=KINDS, initial=DealKind.NEW_BUSINESS, label=later("Kind"))
    close_date = forms.DateField(
        label=later("Close date"),
        help_text=later("The credit date: it picks period, plan, team and exchange rate."),
        error_messages={
            "required": later("Say when it closed."),
            "invalid": later("Enter a day, such as 2026-08-14."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    currency = forms.ChoiceField(choices=(), label=later("Currency"))
    title = forms.CharField(
        label=later("Title"),
        required=False,
        max_length=160,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    refunds = _text(
        later("Refund of"),
        wrong="",
        required=False,
        help_text=later("For a refund: the deal that it refunds."),
        placeholder="D-000123",
    )
    new_customer = forms.BooleanField(
        label=later("New customer"),
        required=False,
        help_text=later("Confirmed at approval; counts once, on the first line."),
    )


class LineForm(Part):
    offering = _text(
        later("Offering"),
        options="offerings",
        wrong=later("Say what was sold."),
        placeholder=later("Type a part of the name"),
    )
    plan = forms.ChoiceField(label=later("Plan"), required=False, choices=())
    amount = _text(later("Amount"), wrong=later("Enter the amount."), css="num-in", inputmode="decimal")
    quantity = _text(later("Quantity"), wrong="", required=False, css="num-in", inputmode="decimal")
    term_months = _text(later("Term, months"), wrong="", required=False, css="num-in", inputmode="numeric")


class AmendedHeadForm(HeadForm):
    reason = forms.CharField(
        label=later("Reason"),
        max_length=500,
        help_text=later("Whoever approves it reads this, and it stays in the history."),
        error_messages={"required": later("Say why: the approver will read it, and so will an auditor.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class AmendedLineForm(LineForm):
    line_no = forms.CharField(required=False, max_length=6, widget=forms.HiddenInput)


class ShareForm(Part):
    rep = _text(
        later("Rep"),
        options="reps",
        wrong=later("Say who takes part."),
        placeholder=later("Type a part of the name"),
    )
    percent = _text(later("Share"), wrong=later("Enter the share."), css="num-in", inputmode="decimal")


class DealForms:
    """Head, lines and shares of one deal as they were entered, and the draft that they come to."""

    def __init__(
        self,
        *,
        user: User,
        today: date,
        data: QueryDict | None = None,
        draft: DealDraft | None = None,
        amends: Deal | None = None,
        rows: Mapping[str, str] | None = None,
    ) -> None:
        """draft: what the fields hold at first. amends: the approved deal whose facts are to change; its customer and owner stay.

        rows  How many lines and shares an address asks for, where nothing was sent: empty ones are added, none is taken away.
        """
        self.user = user
        self.amends = amends
        self.today = today
        self.me = rep_of(user)
        self.currencies = {c.code: c for c in Currency.objects.order_by("code")}
        if data is None:
            data = self._entered(draft) if draft else self._fresh()
            for name, most in (("lines", MOST_LINES), ("shares", MOST_SHARES)):
                data[name] = str(max(_count(data, name, most), _count(rows or {}, name, most)))
            self.bound = False
        else:
            self.bound = True
        self.data = data
        token = str(data.get("token", ""))
        self.token = token if _TOKEN.fullmatch(token) else uuid4().hex
        self.head = AmendedHeadForm(data) if amends else HeadForm(data)
        choices = [(c.code, f"{c.code}, {c.name}") for c in self.currencies.values()]
        self.head.fields["currency"].choices = choices  # type: ignore[attr-defined]
        if not self.may_choose_owner or amends:
            del self.head.fields["owner"]
        if amends:
            self._keep(amends)
        line_form = AmendedLineForm if amends else LineForm
        self.lines = [
            line_form(data, prefix=f"lines-{at}") for at in range(_count(data, "lines", MOST_LINES))
        ]
        self.shares = [
            ShareForm(data, prefix=f"shares-{at}") for at in range(_count(data, "shares", MOST_SHARES))
        ]
        for form in self.lines:
            offering = self.offering_of(form)
            plans = offering.plans.all() if offering else ()
            form.fields["plan"].choices = [("", _("Any plan")), *((str(p.pk), _plan_name(p)) for p in plans)]  # type: ignore[attr-defined]

    def _keep(self, deal: Deal) -> None:
        """Leave out what an amendment cannot change."""
        del self.head.fields["customer"], self.head.fields["refunds"]
        if deal.in_force.kind == DealKind.REFUND:
            del self.head.fields["kind"]
        else:
            kinds = [(value, label) for value, label in KINDS if value != DealKind.REFUND]
            self.head.fields["kind"].choices = kinds  # type: ignore[attr-defined]

    # --- what the fields name ---

    @cached_property
    def may_choose_owner(self) -> bool:
        return self.user.has_role("manager", "comp_admin")

    @cached_property
    def _offerings(self) -> dict[str, list[Offering]]:
        asked = [form["offering"].value() for form in self.lines]
        return named(offerings_for(self.user).select_related("publisher").prefetch_related("plans"), asked)

    @cached_property
    def _reps(self) -> dict[str, list[Rep]]:
        return named(Rep.objects.all(), [form["rep"].value() for form in self.shares])

    @property
    def kind(self) -> str:
        if "kind" not in self.head.fields:
            return str(self.amends.in_force.kind) if self.amends else ""
        return str(self.head["kind"].value() or "")

    @cached_property
    def customer(self) -> Customer | None:
        if self.amends:
            return self.amends.customer
        text = self.head["customer"].value() or ""
        found = named(Customer.objects.all(), [text])[text]
        return found[0] if len(found) == 1 else None

    @cached_property
    def owner(self) -> Rep | None:
        if self.amends:
            return self.amends.owner
        if not self.may_choose_owner:
            return self.me
        text = self.head["owner"].value() or ""
        found = named(reps_for(self.user, self.today), [text])[text]
        return found[0] if len(found) == 1 else None

    @cached_property
    def currency(self) -> Currency | None:
        return self.currencies.get(self.head["currency"].value() or "")

    @cached_property
    def close_date(self) -> date | None:
        try:
            return date.fromisoformat(self.head["close_date"].value() or "")
        except ValueError:
            return None

    def offering_of(self, form: LineForm) -> Offering | None:
        found = self._offerings[form["offering"].value() or ""]
        return found[0] if len(found) == 1 else None

    def rep_of(self, form: ShareForm) -> Rep | None:
        found = self._reps[form["rep"].value() or ""]
        return found[0] if len(found) == 1 else None

    @cached_property
    def used_lines(self) -> list[LineForm]:
        """Lines with anything in them, and the first."""
        return [form for at, form in enumerate(self.lines) if at == 0 or not form.blank]

    @cached_property
    def used_shares(self) -> list[ShareForm]:
        return [form for form in self.shares if not form.blank]

    @property
    def remainder_ppm(self) -> int:
        """What is left to share out; negative when too much was."""
        return ONE - sum(ppm(form["percent"].value()) or 0 for form in self.used_shares)

    # --- what they come to ---

    def draft(self, *, strict: bool) -> DealDraft | None:
        """The deal as entered; None while something that it cannot do without is missing or unreadable.

        strict  False for an estimate: lines and shares that are not finished are left out, and so is the customer.
        """
        owner, currency, closes = self.owner, self.currency, self.close_date
        kind = self.kind
        if owner is None or currency is None or closes is None or kind not in DealKind.values:
            return None
        if strict and self.customer is None:
            return None
        lines = [self._line(form, currency) for form in self.used_lines]
        shares = [self._share(form) for form in self.used_shares]
        if strict and (None in lines or None in shares):
            return None
        found = tuple(line for line in lines if line is not None)
        if not found:
            return None
        return DealDraft(
            owner_id=owner.pk,
            customer_id=self.customer.pk if self.customer else 0,
            kind=kind,
            close_date=closes,
            currency=currency.code,
            lines=found,
            shares=tuple(share for share in shares if share is not None),
            title=str(self.head["title"].value() or "").strip(),
            new_customer=bool(self.head["new_customer"].value()),
            refunds_id=self._original() if kind == DealKind.REFUND else None,
            external_id=self.token,
        )

    def _line(self, form: LineForm, currency: Currency) -> LineDraft | None:
        offering = self.offering_of(form)
        amount = minor(form["amount"].value(), currency.exponent)
        quantity, term = form["quantity"].value() or "", form["term_months"].value() or ""
        chosen = form["plan"].value() or ""
        if (
            offering is None
            or amount is None
            or (quantity.strip() and number(quantity) is None)
            or (term.strip() and _whole(term) is None)
        ):
            return None
        plan = next((plan.pk for plan in offering.plans.all() if str(plan.pk) == chosen), None)
        return LineDraft(
            offering_id=offering.pk,
            amount_minor=amount,
            plan_id=plan,
            quantity=number(quantity) if quantity.strip() else None,
            term_months=_whole(term) if term.strip() else None,
            line_no=_whole(form["line_no"].value()) if "line_no" in form.fields else None,
        )

    def _share(self, form: ShareForm) -> ShareDraft | None:
        rep, part = self.rep_of(form), ppm(form["percent"].value())
        return ShareDraft(rep.pk, part) if rep is not None and part is not None else None

    def _original(self) -> int | None:
        return self.amends.in_force.refunds_id if self.amends else self._refunded()

    def _refunded(self) -> int | None:
        text = str(self.head["refunds"].value() or "").upper().removeprefix("D-").lstrip("0")
        if not text.isdecimal() or len(text) > 15:
            return None
        found = deals_for(self.user, self.today).filter(pk=int(text)).values_list("pk", flat=True).first()
        return found

    # --- what is wrong ---

    def check(self) -> bool:
        """Say what cannot be read or is missing, beside each field. True if there is a draft."""
        forms_ = [self.head, *self.used_lines, *self.used_shares]
        for form in forms_:
            form.full_clean()
        self._check_named()
        for line in self.used_lines:
            self._check_numbers(line)
        for share in self.used_shares:
            text = share["percent"].value()
            if "percent" not in share.errors and ppm(text) is None:
                share.add_error(
                    "percent",
                    formats.misread(text, most=MOST_PER_CENT)
                    or _("Enter per cent with at most four decimals, such as %(example)s.")
                    % {"example": formats.entered(Decimal("33.3333"))},
                )
        return not any(form.errors for form in forms_)

    def _check_named(self) -> None:
        if not self.amends:
            self._check_head()
        for line in self.used_lines:
            text = line["offering"].value() or ""
            if text and self.offering_of(line) is None:
                line.add_error("offering", not_one(len(self._offerings[text]), "offering"))
        for share in self.used_shares:
            text = share["rep"].value() or ""
            if text and self.rep_of(share) is None:
                share.add_error("rep", not_one(len(self._reps[text]), "rep"))

    def _check_head(self) -> None:
        text = self.head["customer"].value() or ""
        if text and self.customer is None:
            self.head.add_error(
                "customer", not_one(len(named(Customer.objects.all(), [text])[text]), "customer")
            )
        if self.may_choose_owner and self.head["owner"].value() and self.owner is None:
            self.head.add_error("owner", _("Choose a rep of the teams that you manage."))
        if self.kind == DealKind.REFUND and self._refunded() is None:
            self.head.add_error("refunds", _("Name the approved deal that it refunds, such as D-000123."))

    def _check_numbers(self, line: LineForm) -> None:
        exponent = self.currency.exponent if self.currency else 2
        amount, quantity, term = (
            str(line[name].value() or "").strip() for name in ("amount", "quantity", "term_months")
        )
        if amount and minor(amount, exponent) is None:
            places = (
                _("at most %(exponent)s decimals") % {"exponent": exponent} if exponent else _("no decimals")
            )
            line.add_error(
                "amount",
                formats.misread(amount)
                or _("Enter a number with %(places)s, such as %(formats)s.")
                % {"places": places, "formats": formats.money(123456789, "", exponent).strip()},
            )
        if quantity and number(quantity) is None:
            line.add_error("quantity", formats.misread(quantity) or _("Enter a number, zero or more."))
        if term and _whole(term) is None:
            line.add_error("term_months", _("Enter whole months, such as 12."))

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        """Put each problem beside its field. Returns those that are about the whole deal, or about the split."""
        rest = []
        for problem in problems:
            steps = problem.pointer.strip("/").split("/")
            if len(steps) == 3 and steps[0] in ("lines", "shares") and steps[1].isdecimal():
                used: Sequence[Part] = self.used_lines if steps[0] == "lines" else self.used_shares
                form = used[int(steps[1])]
                name = PLACES.get(steps[2], steps[2])
                form.add_error(name if name in form.fields else None, problem.message)
            elif len(steps) == 1 and steps[0] in self.head.fields:
                self.head.add_error(steps[0], problem.message)
            else:
                rest.append(problem)
        return rest

    @property
    def parts(self) -> list[Part]:
        return [self.head, *self.lines, *self.shares]

    # --- rows more or less ---

    def _fresh(self) -> QueryDict:
        data = QueryDict(mutable=True)
        data.update(
            {"close_date": self.today.isoformat(), "currency": "USD", "kind": str(DealKind.NEW_BUSINESS)}
        )
        data.update({"lines": "1", "shares": "1"})
        if self.me is not None:
            me = choices([self.me])[self.me.pk]
            data.update({"owner": me, "shares-0-rep": me, "shares-0-percent": "100"})
        return data

    def _entered(self, draft: DealDraft) -> QueryDict:
        """A stored draft as its fields would hold it. 6 queries."""
        data = QueryDict(mutable=True)
        exponent = self.currencies[draft.currency].exponent
        offerings = Offering.objects.in_bulk([line.offering_id for line in draft.lines])
        reps = Rep.objects.in_bulk([draft.owner_id, *(share.rep_id for share in draft.shares)])

        named_offerings, named_reps = choices(list(offerings.values())), choices(list(reps.values()))
        data.update(
            {
                "customer": choices([Customer.objects.get(pk=draft.customer_id)])[draft.customer_id],
                "owner": named_reps[draft.owner_id],
                "kind": draft.kind,
                "close_date": draft.close_date.isoformat(),
                "currency": draft.currency,
                "usual_of": str(draft.customer_id),  # its currency is chosen already
                "title": draft.title,
                "refunds": f"D-{draft.refunds_id:06d}" if draft.refunds_id else "",
                "token": draft.external_id,
                "lines": str(len(draft.lines)),
                "shares": str(max(len(draft.shares), 1)),
            }
        )
        if draft.new_customer:
            data["new_customer"] = "on"
        for at, line in enumerate(draft.lines):
            data.update(
                {
                    f"lines-{at}-offering": named_offerings[line.offering_id],
                    f"lines-{at}-plan": str(line.plan_id or ""),
                    f"lines-{at}-amount": _plain(Decimal(line.amount_minor).scaleb(-exponent), exponent),
                    f"lines-{at}-quantity": f"{line.quantity.normalize():f}"
                    if line.quantity is not None
                    else "",
                    f"lines-{at}-term_months": str(line.term_months or ""),
                    f"lines-{at}-line_no": str(line.line_no or ""),
                }
            )
        for at, share in enumerate(draft.shares):
            data.update(
                {
                    f"shares-{at}-rep": named_reps[share.rep_id],
                    f"shares-{at}-percent": written_ppm(share.ppm),
                }
            )
        return data


def rearranged(data: QueryDict, do: str) -> QueryDict:
    """What was entered with a row added, taken away, or the split made even; anything else leaves it as it is."""
    changed = data.copy()
    if do == "even":
        _share_evenly(changed)
        return changed
    if do.startswith("switch-line-"):
        _switch(changed, do.removeprefix("switch-line-"))
        return changed
    for kind, most in (("line", MOST_LINES), ("share", MOST_SHARES)):
        count = _count(data, f"{kind}s", most)
        if do == f"add-{kind}" and count < most:
            changed[f"{kind}s"] = str(count + 1)
            if kind == "share":
                left = ONE - sum(ppm(data.get(f"shares-{at}-percent")) or 0 for at in range(count))
                changed[f"shares-{count}-percent"] = written_ppm(left) if left > 0 else ""
        elif do.startswith(f"remove-{kind}-") and do.removeprefix(f"remove-{kind}-").isdecimal():
            _remove(changed, f"{kind}s", int(do.removeprefix(f"remove-{kind}-")), count)
    return changed


def _switch(data: QueryDict, asked: str) -> None:
    """3/Name (slug): the fourth line sells that offering instead; its plan is chosen anew."""
    line, _rest, offering = asked.partition("/")
    if line.isdecimal() and offering and f"lines-{line}-offering" in data:
        data[f"lines-{line}-offering"] = offering
        data[f"lines-{line}-plan"] = ""


def _remove(data: QueryDict, rows: str, gone: int, count: int) -> None:
    if not 0 <= gone < count or count == 1:
        return
    kept = {name: str(data[name]) for name in data if name.startswith(f"{rows}-")}
    for name in kept:
        del data[name]
    for name, value in kept.items():
        at = int(name.split("-")[1])
        if at != gone:
            data[name.replace(f"{rows}-{at}-", f"{rows}-{at - (at > gone)}-", 1)] = value
    data[rows] = str(count - 1)


def _share_evenly(data: QueryDict) -> None:
    """Equal parts; what does not divide goes to the first."""
    count = _count(data, "shares", MOST_SHARES)
    part = ONE // count
    for at in range(count):
        data[f"shares-{at}-percent"] = written_ppm(part + (ONE - part * count if at == 0 else 0))


# --- text and numbers -------------------------------------------------------------------------------------


def number(text: object) -> Decimal | None:
    """A decimal as its reader types it: groups and spaces are fine, exponents and words are not. formats.misread() says what is wrong."""
    return _read(text, None)


def minor(text: object, exponent: int) -> int | None:
    """Major units as typed to minor units; None for what is not a number, or finer than the currency."""
    return _scaled(number(text), exponent)


def ppm(text: object) -> int | None:
    """Per cent as typed to parts per million."""
    return _scaled(_read(str(text or "").replace("%", ""), MOST_PER_CENT), 4)


def _read(text: object, most: int | None) -> Decimal | None:
    try:
        plain = formats.typed(str(text or ""), most=most)
    except formats.Unreadable:
        return None
    return Decimal(plain) if _NUMBER.fullmatch(plain) else None


def _scaled(value: Decimal | None, exponent: int) -> int | None:
    if value is None:
        return None
    scaled = value.scaleb(exponent)
    return int(scaled) if scaled == scaled.to_integral_value(ROUND_DOWN) else None


def written_ppm(value: int) -> str:
    return formats.entered(Decimal(value).scaleb(-4).normalize())


def _plain(value: Decimal, exponent: int) -> str:
    return formats.entered(value, exponent, grouped=True)


def _whole(text: object) -> int | None:
    value = number(text)
    return int(value) if value is not None and value == int(value) and abs(value) < 10**6 else None


def _count(data: Mapping[str, Any], name: str, most: int) -> int:
    text = str(data.get(name, "1"))
    return min(max(int(text), 1), most) if text.isdecimal() and len(text) < 6 else 1


def _plan_name(plan: Plan) -> str:
    return f"{plan.name}, {spoken(plan.get_pricing_form_display()).lower()}"


def _readable(text: str) -> bool:
    return bool(text.strip()) and "\x00" not in text


def sought(what: str) -> dict[str, Any]:
    """Attributes of a field whose options are asked for while a part of a name is typed; its page has <datalist id={what}>.

    what  "reps", "customers" or "offerings", as quotas:deal-find knows them.
    """
    return {
        "list": what,
        "autocomplete": "off",
        "placeholder": later("Type a part of the name"),
        "hx-get": reverse_lazy("quotas:deal-find", args=[what]),
        "hx-trigger": "input delay:200ms",
        "hx-target": f"#{what}",
        "hx-sync": "this:queue last",
    }


def choices(things: Sequence[T]) -> dict[int, str]:
    """Id to how a thing is named in a field: by its name, with the slug behind it where two share the name. 1 query."""
    if not things:
        return {}
    same_name = type(things[0])._default_manager.filter(name__in={thing.name for thing in things}).order_by()
    shared = {name for name, count in same_name.values_list("name").annotate(Count("pk")) if count > 1}
    return {t.pk: f"{t.name} ({t.slug})" if t.name in shared else t.name for t in things}


def named(things: "QuerySet[T]", texts: Iterable[str | None]) -> dict[str, list[T]]:
    """What each text names: by the slug in brackets behind a name, by the slug, or by the whole name. 1 query."""
    asked = {text or "" for text in texts}
    # PostgreSQL knows no NUL, and no name has one.
    slugs = {text: _SLUG_BEHIND.sub(r"\2", text.strip()).lower() for text in asked if _readable(text)}
    names = {text: text.strip().casefold() for text in slugs}
    found: dict[str, list[T]] = {text: [] for text in asked}
    if not slugs:
        return found
    wanted = Q(slug__in=slugs.values())
    for text in names.values():
        wanted |= Q(name__iexact=text)
    known = list(things.filter(wanted)[:200])
    for text in slugs:
        by_slug = [thing for thing in known if thing.slug == slugs[text]]
        found[text] = by_slug or [thing for thing in known if thing.name.casefold() == names[text]]
    return found


def not_one(found: int, what: str) -> str:
    """What to say of a name that is none's, or several's. what: a key of _NOT_ONE."""
    none, several = _NOT_ONE[what]
    return several % {"found": formats.whole(found)} if found else str(none)

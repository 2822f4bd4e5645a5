"""Changing a dated fact: a form, what it would move, and the change with its run. One way for every kind of fact."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Model
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.language import _, later, spoken_choices
from config.paging import paged
from config.refusals import Refusal
from marketplace.models import Currency, Customer
from quotas.forms import named, not_one
from quotas.models import Deal, Measure, Period, Rep, SalesRole, Team, Territory
from quotas.selectors import exports
from quotas.selectors import facts as dated
from quotas.selectors import recredits as selectors
from quotas.selectors.visibility import deals_for
from quotas.services import facts
from quotas.views import HtmxRequest
from quotas.views.recredits import Run, reviewer

MOST_SHOWN: Final = 20


class Day(forms.DateField):
    def __init__(self, label: str, *, help_text: str = "", required: bool = True) -> None:
        super().__init__(
            label=label,
            help_text=help_text,
            required=required,
            error_messages={
                "required": later("Say from when on."),
                "invalid": later("Enter a day, such as 2026-08-14."),
            },
            widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        )


class Thing(forms.CharField):
    """One row of a model by its name, or by its slug where names are shared. Reads as the row, or None where nothing is entered."""

    def __init__(self, model: type[Model], label: str, *, required: bool = True, help_text: str = "") -> None:
        self.model = model
        self.what, self.find, missing = {
            Customer: ("customer", "customers", later("Choose a customer.")),
            Rep: ("rep", "reps", later("Choose a rep.")),
            Team: ("team", "teams", later("Choose a team.")),
            Territory: ("territory", "territories", later("Choose a territory.")),
        }[model]
        super().__init__(
            label=label,
            required=required,
            help_text=help_text,
            max_length=200,
            error_messages={"required": missing},
            widget=forms.TextInput(
                attrs={
                    "list": self.find,
                    "autocomplete": "off",
                    "placeholder": later("Type a part of the name"),
                }
            ),
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        found = self.named(text)
        if len(found) != 1:
            raise forms.ValidationError(not_one(len(found), self.what))
        return found[0]

    def named(self, text: str) -> list[Any]:
        """The rows that a text names. 1 query."""
        rows: Any = self.model._default_manager.all()
        return named(rows, [text])[text]


class Rate(forms.CharField):
    """A decimal as it is written, read exactly into units of 0.000000001."""

    def __init__(self) -> None:
        super().__init__(
            label=later("Rate"),
            max_length=20,
            help_text=later("Units of the second for one of the first, at most nine decimals: 1.0837."),
            error_messages={"required": later("Enter the rate.")},
            widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num-in"}),
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value).replace(",", "").strip()
        whole, _rest, rest = text.partition(".")
        if not (whole + rest).isdecimal() or not (whole + rest).isascii() or len(whole) > 7 or len(rest) > 9:
            raise forms.ValidationError(_("Enter a number, such as 1.0837."))
        return int(whole or 0) * 10**9 + int(rest.ljust(9, "0"))


class Change(forms.Form):
    """What every change of a fact asks for. Names of fields are those of the services' arguments, without _id."""

    use_required_attribute = False
    renamed: ClassVar[Mapping[str, str]] = {"rate": "rate_e9"}

    reason = forms.CharField(
        max_length=500,
        help_text=later("Kept in the audit trail, and with every posting that follows."),
        error_messages={"required": later("Say why.")},
        widget=forms.Textarea(attrs={"rows": 2}),
        label=later("Reason"),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.order_fields([*(name for name in self.fields if name != "reason"), "reason"])

    def arguments(self) -> dict[str, Any]:
        """For the service: rows by their id."""
        return {
            **{
                f"{name}_id" if isinstance(self.fields[name], Thing) else self.renamed.get(name, name): (
                    value.pk if isinstance(value, Model) else value
                )
                for name, value in self.cleaned_data.items()
            }
        }

    def refuse(self, refused: Refusal) -> None:
        """Each problem beside the field that it is about."""
        for problem in refused.problems:
            name = problem.pointer.lstrip("/")
            self.add_error(name if name in self.fields else None, problem.message)

    @property
    def lists(self) -> list[Thing]:
        """The fields that offer names, one of each kind."""
        return list({f.find: f for f in self.fields.values() if isinstance(f, Thing)}.values())

    def sent(self) -> list[tuple[str, str]]:
        return [(name, str(self[name].value() or "")) for name in self.fields]

    def said(self) -> list[tuple[str, str]]:
        """What was entered, in words."""
        return [
            (str(self[name].label), self._words(name))
            for name in self.fields
            if self.cleaned_data.get(name) not in (None, "")
        ]

    def _words(self, name: str) -> str:
        value = self.cleaned_data[name]
        if isinstance(value, date):
            return formats.day(value)
        if isinstance(self.fields[name], forms.ChoiceField):
            return str(dict(self.fields[name].choices).get(value, value))  # type: ignore[attr-defined]
        return dated.written_rate(value) if name == "rate" else str(value)


FIRST_DAY: Final = later(
    "The first credit date that it holds for. It may lie in the past: what was credited since is worked out again."
)
UNTIL: Final = later("The first day on which it no longer holds.")
UNTIL_NOTICE: Final = later("The first day on which it no longer holds. Empty: until further notice.")


class RateForm(Change):
    from_currency = forms.ChoiceField(label=later("One unit of"))
    to_currency = forms.ChoiceField(label=later("In"))
    rate = Rate()
    starts = Day(later("From"), help_text=FIRST_DAY)
    ends = Day(
        later("To before"),
        required=False,
        help_text=later(
            "The first day on which it no longer holds. Empty: as long as the rate that it corrects."
        ),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        codes = [(c.code, f"{c.code}, {c.name}") for c in Currency.objects.order_by("code")]
        for name in ("from_currency", "to_currency"):
            self.fields[name].choices = codes  # type: ignore[attr-defined]
        first = Measure.objects.exclude(currency=None).order_by("position", "pk").first()
        if first is not None:
            self.fields["to_currency"].initial = first.currency_id


class MoveForm(Change):
    rep = Thing(Rep, later("Rep"))
    team = Thing(Team, later("Team"))
    role = forms.ChoiceField(choices=spoken_choices(SalesRole.choices), label=later("Role"))
    starts = Day(
        later("From"),
        help_text=later(
            "The first credit date that it holds for. It may lie in the past: what was credited since is worked out again. It lasts as long as what they were in on that day would have."
        ),
    )


class PlaceForm(Change):
    team = Thing(Team, later("Team"))
    parent = Thing(Team, later("Under"), required=False, help_text=later("Empty: at the top."))
    starts = Day(
        later("From"),
        help_text=later("The tree is read as at the end of a period, or as of today in one that runs."),
    )


class TransferForm(Change):
    customer = Thing(Customer, later("Customer"))
    rep = Thing(Rep, later("New owner"))
    starts = Day(later("From"), help_text=FIRST_DAY)
    holdover_until = Day(
        later("Holdover to before"),
        required=False,
        help_text=later(
            "Until then whoever was credited before is credited still. Empty: the new owner from the first day."
        ),
    )


class CoverForm(Change):
    territory = Thing(Territory, later("Territory"))
    rep = Thing(Rep, later("Rep"), help_text=later("Beside whoever else covers it."))
    starts = Day(later("From"), help_text=FIRST_DAY)
    ends = Day(later("To before"), required=False, help_text=UNTIL_NOTICE)


class LeaveForm(Change):
    territory = Thing(Territory, later("Territory"))
    rep = Thing(Rep, later("Rep"))
    ends = Day(later("To before"), help_text=UNTIL)


class PutForm(Change):
    territory = Thing(Territory, later("Territory"))
    customer = Thing(Customer, later("Customer"), help_text=later("It may lie in several territories."))
    starts = Day(later("From"), help_text=FIRST_DAY)
    ends = Day(later("To before"), required=False, help_text=UNTIL_NOTICE)


class TakeForm(Change):
    territory = Thing(Territory, later("Territory"))
    customer = Thing(Customer, later("Customer"))
    ends = Day(later("To before"), help_text=UNTIL)


class TerritoryForm(Change):
    name = forms.CharField(
        max_length=120, error_messages={"required": later("Give it a name.")}, label=later("Name")
    )
    house_rep = Thing(
        Rep,
        later("House rep"),
        required=False,
        help_text=later("Keeps its overlay credit while nobody covers it."),
    )


class SpanForm(Change):
    starts = Day(later("From"), help_text=later("The first credit date to work out again."))
    ends = Day(later("To before"), help_text=later("The first credit date that is no longer in it."))


@dataclass(frozen=True)
class Kind:
    """One kind of change: its words, its form and the service that makes it."""

    slug: str
    title: str
    about: str
    icon: str
    form: type[Change]
    make: Callable[..., facts.FactChange]
    button: str = later("Make the change")
    known: Callable[[Mapping[str, Any], date], list[dated.Known]] = lambda chosen, on: []
    known_title: str = ""
    rolls_up: bool = False


def _of(
    name: str, read: Callable[[Any], list[dated.Known]]
) -> Callable[[Mapping[str, Any], date], list[dated.Known]]:
    return lambda chosen, on: read(chosen[name]) if chosen.get(name) else []


def _pair(chosen: Mapping[str, Any]) -> tuple[str, str] | None:
    both = str(chosen.get("from_currency") or ""), str(chosen.get("to_currency") or "")
    return both if all(both) else None


KINDS: Final = (
    Kind(
        slug="rate",
        title=later("Correct an exchange rate"),
        about=later("What one unit of a currency was worth on some days."),
        icon="banknote",
        form=RateForm,
        make=facts.correct_rate,
        button=later("Correct the rate"),
        known=lambda chosen, on: dated.rates(_pair(chosen), on),
        known_title=later("Rates as they are known"),
    ),
    Kind(
        slug="move",
        title=later("Move a rep"),
        about=later("Another team or role from a day on. Credit follows the rep."),
        icon="user-round-cog",
        form=MoveForm,
        make=facts.move_rep,
        button=later("Move the rep"),
        known=_of("rep", dated.memberships),
        known_title=later("Teams so far"),
    ),
    Kind(
        slug="place",
        title=later("Place a team"),
        about=later("Another place in the tree. Roll-ups follow; no credit moves."),
        icon="network",
        form=PlaceForm,
        make=facts.place_team,
        button=later("Place the team"),
        known=_of("team", dated.placements),
        known_title=later("Places so far"),
        rolls_up=True,
    ),
    Kind(
        slug="transfer",
        title=later("Transfer an account"),
        about=later("A new owner, with a holdover if wanted."),
        icon="building-2",
        form=TransferForm,
        make=facts.transfer_account,
        button=later("Transfer the account"),
        known=_of("customer", dated.owners),
        known_title=later("Owners so far"),
    ),
    Kind(
        slug="cover",
        title=later("Cover a territory"),
        about=later("A rep earns the overlay of its customers."),
        icon="map-pin",
        form=CoverForm,
        make=facts.cover_territory,
        button=later("Let them cover it"),
        known=lambda chosen, on: dated.coverage(chosen.get("territory"), on),
        known_title=later("Who covers it"),
    ),
    Kind(
        slug="leave",
        title=later("Leave a territory"),
        about=later("A rep covers it no longer."),
        icon="map-pin-off",
        form=LeaveForm,
        make=facts.leave_territory,
        button=later("Let them leave it"),
        known=lambda chosen, on: dated.coverage(chosen.get("territory"), on),
        known_title=later("Who covers it"),
    ),
    Kind(
        slug="put",
        title=later("Put a customer in a territory"),
        about=later("Its deals then earn overlay there."),
        icon="map-plus",
        form=PutForm,
        make=facts.put_in_territory,
        button=later("Put it in"),
        known=lambda chosen, on: dated.lying_in(chosen.get("territory"), on),
        known_title=later("Customers in it"),
    ),
    Kind(
        slug="take",
        title=later("Take a customer out"),
        about=later("From a day on it lies in a territory no longer."),
        icon="map-minus",
        form=TakeForm,
        make=facts.take_out_of_territory,
        button=later("Take it out"),
        known=lambda chosen, on: dated.lying_in(chosen.get("territory"), on),
        known_title=later("Customers in it"),
    ),
    Kind(
        slug="territory",
        title=later("Add a territory"),
        about=later("A country, an industry: what overlay reps cover."),
        icon="map",
        form=TerritoryForm,
        make=facts.make_territory,
        button=later("Add it"),
    ),
)
BY_HAND: Final = Kind(
    slug="recredit",
    title=later("Recredit by hand"),
    about=later("Work out again what was credited on some days."),
    icon="rotate-ccw",
    form=SpanForm,
    make=facts.recredit_span,
    button=later("Recredit"),
)


@require_safe
@login_required
def index(request: HtmxRequest) -> HttpResponseBase:
    user = reviewer(request.user)
    on = clock.today()
    if form := exporting.asked(request):
        table = exports.territories(on)
        return exporting.answer(request, form, name="territories", title="Territories", table=table)
    context = {
        "kinds": [kind for kind in KINDS if kind.slug != "territory"],
        "territories": paged(request, dated.territories(on)),
        "runs": [Run(job) for job in selectors.runs().exclude(parameters__cause="manual")[:5]],
        "may_change": user.has_role(Role.COMP_ADMIN),
        "today": on,
    }
    return render(request, "quotas/facts.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def change(request: HtmxRequest, kind: str) -> HttpResponse:
    """The form; with do=preview what it would move; with do=make the change itself."""
    user = _comp_admin(request.user)
    asked = next((each for each in (*KINDS, BY_HAND) if each.slug == kind), None)
    if asked is None:
        raise Http404
    if request.method != "POST":
        return _page(request, asked, asked.form(initial=_initial(asked, request.GET)))
    form = asked.form(request.POST)
    do = request.POST.get("do", "preview")
    if do == "edit" or not form.is_valid():
        return _page(request, asked, form)
    given = {**form.arguments(), "by": user, "at": clock.now()}
    try:
        if do != "make":
            return _page(request, asked, form, _Impact(facts.preview(asked.make, **given), user))
        made = asked.make(**given)
    except Refusal as refused:
        form.refuse(refused)
        return _page(request, asked, form)
    messages.success(request, f"{capfirst(made.what)}.")
    if made.job is not None:
        return redirect("quotas:recredit", made.job.pk)
    return redirect("quotas:facts")


def recredit_by_hand(request: HtmxRequest) -> HttpResponse:
    return change(request, BY_HAND.slug)


class _Impact:
    """What a change would move, with the rows that its page names. A fixed number of queries."""

    def __init__(self, impact: facts.Impact, user: User) -> None:
        found = impact.preview
        self.change = impact.change
        self.counts = selectors.told(found.counts)
        self.moves = bool(found.counts.get("credited") or found.counts.get("reversed"))
        self.untouched = impact.change.deals == ()
        self.closed = selectors.closed_months(impact.change.starts, impact.change.ends)
        standings = sorted(found.standings, key=lambda m: (-abs(m.after - m.before), m.rep_id, m.period_id))
        self.people = len({m.rep_id for m in standings})
        self.more_standings = max(0, len(standings) - MOST_SHOWN)
        standings, deals = standings[:MOST_SHOWN], found.deals[:MOST_SHOWN]
        self.more_deals = len(found.deals) > MOST_SHOWN
        measures = Measure.objects.select_related("currency").in_bulk(
            {m.measure_id for m in standings} | {d.measure_id for d in deals}
        )
        reps = Rep.objects.in_bulk({m.rep_id for m in standings})
        teams = Team.objects.in_bulk({m.team_id for m in standings})
        periods = Period.objects.in_bulk({m.period_id for m in standings})
        sold: dict[int, Deal] = (
            deals_for(user, clock.today()).select_related("customer").in_bulk({d.deal_id for d in deals})
        )
        self.standings = [
            {
                "rep": reps[m.rep_id],
                "team": teams[m.team_id],
                "period": periods[m.period_id],
                "measure": measures[m.measure_id],
                "before": m.before,
                "after": m.after,
                "move": m.after - m.before,
            }
            for m in standings
        ]
        self.deals = [
            {
                "deal": sold[d.deal_id],
                "measure": measures[d.measure_id],
                "before": d.before,
                "after": d.after,
                "move": d.after - d.before,
            }
            for d in deals
        ]


def _page(request: HtmxRequest, kind: Kind, form: Change, impact: _Impact | None = None) -> HttpResponse:
    chosen = dict(getattr(form, "cleaned_data", {})) or _chosen(form)
    context = {
        "kind": kind,
        "form": form,
        "impact": impact,
        "known": [] if impact else kind.known(chosen, clock.today()),
        "by_hand": kind is BY_HAND,
        "today": clock.today(),
    }
    return render(request, "quotas/fact.html", context, status=422 if form.errors else 200)


def _initial(kind: Kind, asked: QueryDict) -> dict[str, str]:
    """What a link fills in; dates and texts alone, of bearable length."""
    return {name: str(asked[name])[:200] for name in kind.form.base_fields if name in asked}


def _chosen(form: Change) -> dict[str, Any]:
    """What a form begins with that nobody has sent yet; for a field that names a row, the row."""
    found = {name: value for name, value in form.initial.items() if not isinstance(form.fields[name], Thing)}
    for name, field in form.fields.items():
        text = form.initial.get(name)
        if text and isinstance(field, Thing):
            rows = field.named(text)
            if len(rows) == 1:
                found[name] = rows[0]
    return found


def _comp_admin(user: Any) -> User:
    """Auditors read what was changed, and change nothing."""
    if not reviewer(user).has_role(Role.COMP_ADMIN):
        raise Http404
    return user  # type: ignore[no-any-return]

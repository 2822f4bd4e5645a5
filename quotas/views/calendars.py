"""Fiscal calendars side by side with their years and the states of their months; a comp admin opens more of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dates import MONTHS
from django.views.decorators.http import require_http_methods

from accounts.models import Role
from config import clock, exporting
from config.language import _, later
from config.refusals import Refusal
from quotas.models import FiscalCalendar, Grain, Period, PeriodClose, PeriodState, Seal
from quotas.selectors import closing, closing_tables, exports
from quotas.services import calendars
from quotas.views import HtmxRequest, sales_user

NEW: Final = "new"
_SEVERAL: Final = re.compile(r"([0-9]{4})\s*[-–]\s*([0-9]{4})")
_YEAR: Final = re.compile(r"[0-9]{4}")


class Years(forms.CharField):
    """2017, or 2018 2019 2020, or 2018-2020; reads as numbers."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        years: list[int] = []
        for word in _SEVERAL.sub(r"\1-\2", text).replace(",", " ").split():
            first, _rest, last = word.partition("-")
            if not _YEAR.fullmatch(first) or (last and not _YEAR.fullmatch(last)):
                raise forms.ValidationError(_("Write years as 2017, or 2018 2019 2020, or 2018-2020."))
            years += range(int(first), int(last or first) + 1)
        return years


class OpenForm(forms.Form):
    """Which years, of a calendar that is there or of a new one. Fields are named as the services' arguments are."""

    use_required_attribute = False
    years = Years(
        label=later("Years"),
        max_length=60,
        help_text=later("2017, or 2018-2020. A year is named after the one in which it ends."),
        error_messages={"required": later("Say which years, such as 2017.")},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    calendar = forms.ChoiceField(choices=(), label=later("Calendar"))
    state = forms.ChoiceField(
        label=later("Months begin as"),
        choices=[
            (PeriodState.OPEN.value, later("Open: they take credit at once")),
            (PeriodState.FUTURE.value, later("Future")),
        ],
    )
    plan = forms.BooleanField(
        label=later("Write a plan for these years: every eligible line at 100 %, for everybody"),
        required=False,
        help_text=later("Without a plan nothing is credited. It waits in review for a second comp admin."),
    )
    name = forms.CharField(
        max_length=80,
        error_messages={"required": later("Give the calendar a name.")},
        widget=forms.TextInput(attrs={"placeholder": "Calendar years"}),
        label=later("Name"),
    )
    letters = forms.CharField(
        label=later("Prefix"),
        max_length=4,
        error_messages={"required": later("One to four letters, such as CY.")},
        help_text=later("Names of its periods begin with it: CY17, CY17-Q3."),
        widget=forms.TextInput(attrs={"placeholder": "CY", "autocomplete": "off"}),
    )
    first_month = forms.TypedChoiceField(
        label=later("Years begin in"),
        choices=list(MONTHS.items()),
        coerce=int,
        initial=1,
    )
    time_zone = forms.CharField(
        max_length=64,
        help_text=later("IANA name; a close date is a day in it."),
        error_messages={"required": later("Such as Europe/Berlin or UTC.")},
        label=later("Time zone"),
    )
    business_unit = forms.CharField(
        required=False,
        max_length=120,
        help_text=later(
            "A team of this name is made at the top; who is in it, or below it, sells by this calendar."
        ),
        widget=forms.TextInput(attrs={"placeholder": "Maven Computers", "autocomplete": "off"}),
        label=later("Business unit"),
    )
    of_a_new_one: Final = ("name", "letters", "first_month", "time_zone", "business_unit")

    def __init__(self, *args: Any, known: Sequence[FiscalCalendar], **options: Any) -> None:
        super().__init__(*args, **options)
        self.known = {str(each.pk): each for each in known}
        choices = [(pk, f"{each.name} ({each.prefix})") for pk, each in self.known.items()]
        self.fields["calendar"].choices = [*choices, (NEW, _("A new calendar"))]  # type: ignore[attr-defined]
        self.fields["time_zone"].initial = known[0].time_zone if known else "UTC"
        if self.is_bound and self.data.get("calendar") != NEW:
            for name in self.of_a_new_one:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if found.get("calendar") != NEW:
            for name in ("name", "letters", "business_unit"):
                if found.get(name):
                    self.add_error(
                        name, _("This is of a new calendar: choose “A new calendar” above, or empty it.")
                    )
        return found

    def arguments(self) -> dict[str, Any]:
        given = self.cleaned_data
        new = None
        if given["calendar"] == NEW:
            new = calendars.NewCalendar(
                name=given["name"],
                prefix=given["letters"].upper(),
                first_month=given["first_month"],
                time_zone=given["time_zone"],
                business_unit=given["business_unit"],
            )
        return {
            "years": given["years"],
            "calendar": self.known.get(given["calendar"]),
            "new": new,
            "state": given["state"],
            "plan": given["plan"],
        }

    def refuse(self, refused: Refusal) -> None:
        """Each problem beside the field that it is about."""
        for problem in refused.problems:
            name = problem.pointer.lstrip("/").replace("prefix", "letters")
            self.add_error(name if name in self.fields else None, problem.message)

    @property
    def first_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("years", "calendar", "state")]

    @property
    def new_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.of_a_new_one]


@dataclass(frozen=True, slots=True)
class Month:
    """A month in the list, and its standing close if it has one."""

    period: Period
    close: PeriodClose | None

    @property
    def seal(self) -> Seal | None:
        return next(iter(self.close.seals.all()), None) if self.close else None


@dataclass(frozen=True, slots=True)
class Year:
    """A fiscal year with its quarters, and how many of its months are in each state."""

    period: Period
    quarters: Sequence[tuple[Period, Sequence[Month]]]
    states: Mapping[str, int]
    unfolded: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A calendar, who sells by it, and its years, the newest first. board is where its periods are looked at."""

    calendar: FiscalCalendar
    first_month: str
    units: Sequence[Any]
    years: Sequence[Year]
    now: Period | None
    board: str


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def periods(request: HtmxRequest) -> HttpResponseBase:
    """The calendars; a comp admin's form opens more years, and whoever sees to closes finds each month's. 5 queries for all calendars together."""
    user = sales_user(request)
    reviews = closing.sees_closes(user)
    if form := exporting.asked(request):
        if "closes" in request.GET and reviews:
            return exporting.answer(
                request, form, name="closes", title="Closes", table=closing_tables.closes()
            )
        return exporting.answer(request, form, name="periods", title="Periods", table=exports.periods())
    may_open = user.has_role(Role.COMP_ADMIN)
    known = list(FiscalCalendar.objects.prefetch_related("teams").order_by("pk"))
    asked = OpenForm(known=known)
    if request.method == "POST":
        if not may_open:
            raise Http404
        asked = OpenForm(request.POST, known=known)
        if asked.is_valid():
            try:
                made = calendars.set_up(**asked.arguments(), by=user, at=clock.now())
            except Refusal as refused:
                asked.refuse(refused)
            else:
                messages.success(request, _said(made))
                return redirect("quotas:periods")
    today = clock.today()
    ids = [each.pk for each in known]
    context = {
        "calendars": _shown(known, today, closing.standing_closes(ids) if reviews else {}),
        "reviews": reviews,
        "due": closing.next_to_close(ids) if reviews else [],
        "form": asked if may_open else None,
        "today": today,
    }
    return render(request, "quotas/periods.html", context, status=422 if asked.errors else 200)


def _said(made: calendars.Opened) -> str:
    years = [period.name for period in made.periods if period.grain == Grain.YEAR]
    told = _("%(years)s of %(calendar_name)s: %(value)s months.") % {
        "years": ", ".join(years),
        "calendar_name": made.calendar.name,
        "value": 12 * len(years),
    }
    if made.unit is not None:
        told += _(" %(unit_name)s sells by it.") % {"unit_name": made.unit.name}
    if made.plan is not None:
        told += _(" %(plan)s waits in review for a second comp admin.") % {"plan": made.plan}
    return told


def _shown(known: Sequence[FiscalCalendar], today: date, closes: Mapping[int, PeriodClose]) -> list[Shown]:
    """1 query."""
    of: dict[int, list[Period]] = {each.pk: [] for each in known}
    for period in Period.objects.order_by("-starts"):
        of[period.calendar_id].append(period)
    found = []
    for calendar in known:
        every = of[calendar.pk]
        units = list(calendar.teams.all())
        now = next((p for p in every if p.grain == Grain.QUARTER and p.starts <= today < p.ends), None)
        years = [period for period in every if period.grain == Grain.YEAR]
        found.append(
            Shown(
                calendar=calendar,
                first_month=str(MONTHS[calendar.first_month]),
                units=units,
                years=[_year(year, every, years[0], today, closes) for year in years],
                now=now,
                board=reverse("quotas:board", args=[units[0].slug]) if units else reverse("quotas:board"),
            )
        )
    return found


def _year(
    year: Period, every: Sequence[Period], newest: Period, today: date, closes: Mapping[int, PeriodClose]
) -> Year:
    months = [
        period for period in reversed(every) if period.year_id == year.pk and period.grain == Grain.MONTH
    ]
    counted = {state: sum(month.state == state for month in months) for state in PeriodState.values}
    return Year(
        period=year,
        quarters=[
            (
                quarter,
                [Month(month, closes.get(month.pk)) for month in months if month.quarter_id == quarter.pk],
            )
            for quarter in reversed(every)
            if quarter.grain == Grain.QUARTER and quarter.year_id == year.pk
        ],
        states={str(PeriodState(state).value): count for state, count in reversed(counted.items()) if count},
        unfolded=year.pk == newest.pk
        or year.starts <= today < year.ends
        or bool(counted[PeriodState.OPEN] or counted[PeriodState.CLOSING]),
    )

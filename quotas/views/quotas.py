"""Quotas: what each team has and its people add up to, set by hand or handed down; their versions; ramp and leave."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.exports import Amount, Column, Table
from config.given import given, tidy, written
from config.language import _, later, spoken, spoken_choices
from config.paging import PAGE, Part, paged
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from quotas.forms import minor, named, ppm, sought
from quotas.models import Measure, Period, Quota, QuotaMethod, QuotaRelief, ReliefKind, Rep, Team
from quotas.plan_forms import Described
from quotas.selectors import periods, targets, teams
from quotas.selectors.quota_planning import (
    Authority,
    HistoryKind,
    PlanLine,
    Sheet,
    counted_ppm,
    reasons_of,
    reliefs_for,
    sheet,
    versions_of,
)
from quotas.selectors.visibility import calendars_of, rep_of
from quotas.services import quota_planning
from quotas.services.quota_planning import BASES, Basis, Effect, Plan, ReliefStep, Target, Way, Whose
from quotas.views import HtmxRequest, Writer, chosen_measure, chosen_period, sales_user

READS: Final = (Role.MANAGER, Role.COMP_ADMIN, Role.AUDITOR)
STEPS: Final = (1, 100, 1_000, 10_000)  # units of the measure that parts are multiples of
BASIS_WORDS: Final = {
    "history": later("What was credited before"),
    "evenly": later("Evenly, by people"),
    "current": later("The quotas they have"),
}
HISTORY_WORDS: Final = {
    "year_before": later("A year before"),
    "last_four_quarters": later("The last four quarters"),
}
TELLING: Final = {
    "good": ("good", "circle-check"),
    "short": ("bad", "circle-alert"),
    "over": ("warn", "circle-alert"),
}
BAND_WORDS: Final = {"good": later("Good"), "short": later("Short"), "over": later("High"), "none": ""}


@dataclass(frozen=True, slots=True)
class Shown:
    """A line as the page shows it; text is what stands in its field, wrong what is wrong with it, plain the amount for a script."""

    line: PlanLine
    text: str
    wrong: str = ""
    plain: str = ""

    @property
    def tone(self) -> str:
        return TELLING.get(self.line.band, ("muted", ""))[0]

    @property
    def band(self) -> str:
        return BAND_WORDS[self.line.band]

    @property
    def over(self) -> str:
        over = self.line.over
        return (
            formats.NO_VALUE
            if over is None
            else formats.percent(over.numerator, over.denominator, signed=True)
        )

    @property
    def bar(self) -> str:
        """Reps' sum on a scale on which the quota stands at two thirds."""
        over = self.line.over
        return (
            "0"
            if over is None
            else f"{float(min(max((1 + over) * 200, Fraction(0)), Fraction(300)) / 3):.2f}"
        )

    @property
    def growth(self) -> str:
        growth = self.line.growth
        return (
            formats.NO_VALUE
            if growth is None
            else formats.percent(growth.numerator, growth.denominator, signed=True)
        )

    @property
    def reliefs(self) -> Iterator[tuple[str, str]]:
        for relief in self.line.reliefs:
            yield spoken(ReliefKind(relief.kind).label), _span(relief)


# The sheet.


@require_safe
@login_required
def planning(request: HtmxRequest, slug: str = "") -> HttpResponseBase:
    user = _reader(request)
    authority = Authority(user, clock.today())
    if not slug:
        return _home(request, user, authority)
    found = _sheet(request, _team(slug, authority), request.GET, authority)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"quotas {found.team.slug} {found.measure.slug} {found.period}",
            title=f"{found.team.name}, quotas",
            table=_table(found),
            said=[("Period", str(found.period)), ("Measure", found.measure.name)],
        )
    return _page(request, user, found)


@posted_from("quotas:planning-team", "slug")
@login_required
def put(request: HtmxRequest, slug: str) -> HttpResponse:
    """What was entered by hand: checked, which shows what it does, or saved."""
    user = _reader(request)
    authority = Authority(user, clock.today())
    found = _sheet(request, _team(slug, authority), request.POST, authority)
    if not authority.plans:
        raise Http404
    entered = _Entered(found, request.POST)
    asked: dict[str, Any] = {
        "measure_id": found.measure.pk,
        "period_id": found.period.pk,
        "targets": entered.targets,
        "starts": entered.starts,
        "method": entered.method,
        "by": user,
        "at": clock.now(),
        "expected_versions": entered.versions,
    }
    if "do" not in request.POST and "page" in request.POST:  # it turns the page: what was entered goes along
        return _page(request, user, found, entered=entered)
    wrong: list[Problem] = list(entered.problems)
    effects: list[Effect] | None = None
    if not wrong and not entered.targets:
        wrong = [Problem("nothing_changed", _("Every quota is what it was: there is nothing to save."))]
    if not wrong:
        try:
            if request.POST.get("do") == "save":
                done = quota_planning.set_quotas(**asked, reason=written(request.POST, "reason"))
                messages.success(request, _saved(len(done.changed)))
                page = paged(request, found.lines).number
                return redirect(f"{_address(found)}&page={page}" if page > 1 else _address(found))
            effects = quota_planning.preview_quotas(**asked)
        except NotFound as missing:
            raise Http404 from missing
        except Refusal as refused:
            wrong = list(refused.problems)
    return _page(request, user, found, entered=entered, wrong=wrong, effects=effects)


class _Entered:
    """What a form says about a sheet. targets: of the lines that it changes alone."""

    def __init__(self, found: Sheet, data: QueryDict) -> None:
        self.sheet = found
        self.texts: dict[str, str] = {}
        self.wrong: dict[str, str] = {}
        self.targets: list[Target] = []
        self.lines: list[PlanLine] = []
        self.versions: dict[Whose, int] = {}
        self.amounts: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.method = data.get("method", "")
        self.reason = data.get("reason", "")[:600]
        self.starts: date | None = None
        self.starts_text = given(data, "starts")
        if self.starts_text:
            try:
                self.starts = date.fromisoformat(self.starts_text)
            except ValueError:
                self.problems.append(Problem("not_a_day", _("Enter a day, such as 2026-08-15."), "/starts"))
        exponent = Writer.of(found.measure).exponent
        for line in (found.own, *found.lines):
            name = f"amount-{line.key}"
            if name not in data or not line.may_set:
                continue
            text = given(data, name)[:40]
            self.texts[line.key] = text
            if not text and line.quota_minor is None:
                continue
            amount = minor(text, exponent)
            if amount is None:
                self.wrong[line.key] = formats.misread(text) or _("Enter an amount, or 0 for none.")
            elif amount < 0:
                self.wrong[line.key] = _("A quota is zero or more.")
            else:
                self.amounts[line.key] = amount
                self._take(line, amount, data)
        if self.wrong:
            self.problems.append(Problem("not_an_amount", _("Some amounts cannot be read: they are marked.")))

    def _take(self, line: PlanLine, amount: int, data: QueryDict) -> None:
        version = data.get(f"version-{line.key}", "")
        self.versions[line.whose] = int(version) if version.isdecimal() and len(version) < 9 else line.version
        if amount != line.quota_minor:
            rep_id, team_id = line.whose
            self.targets.append(Target(amount, rep_id=rep_id or None, team_id=team_id or None))
            self.lines.append(line)

    def elsewhere(self, shown: Sequence[PlanLine], write: Writer) -> list[tuple[str, str, int]]:
        """What was entered for lines on other pages of the sheet, where it says something new: key, text and version."""
        here = {line.key for line in shown}
        return [
            (line.key, self.texts[line.key], self.versions.get(line.whose, line.version))
            for line in self.sheet.lines
            if line.key in self.texts
            and line.key not in here
            and self.texts[line.key] != _text(line.quota_minor, write)
        ]

    @property
    def first_wrong(self) -> int:
        """Where among the lines the first one is that cannot be read; 0 without."""
        return next((at for at, line in enumerate(self.sheet.lines) if line.key in self.wrong), 0)

    def difference(self, found: Sheet) -> int | None:
        """What would be set below, less the team's quota."""
        own = self.amounts.get(found.own.key, found.own.quota_minor)
        below = sum(self.amounts.get(line.key, line.quota_minor or 0) for line in found.lines)
        return None if own is None else below - own


def _page(
    request: HtmxRequest,
    user: User,
    found: Sheet,
    *,
    entered: _Entered | None = None,
    wrong: Sequence[Problem] = (),
    effects: Sequence[Effect] | None = None,
) -> HttpResponse:
    write = Writer.of(found.measure)
    texts, marked = (entered.texts, entered.wrong) if entered else ({}, {})

    def shown(line: PlanLine) -> Shown:
        text = texts.get(line.key, _text(line.quota_minor, write))
        return Shown(line, text, marked.get(line.key, ""), _plain(line.quota_minor or 0, write))

    today = clock.today()
    difference = entered.difference(found) if entered else found.difference_minor
    page = paged(request, found.lines)
    if entered and wrong and entered.wrong:
        page = cast(Part, page.paginator.page(entered.first_wrong // PAGE + 1))
    lines: list[PlanLine] = list(page.object_list)
    here = {line.key for line in lines}
    amounts = entered.amounts if entered else {}
    rest = sum(amounts.get(line.key, line.quota_minor or 0) for line in found.lines if line.key not in here)
    context = {
        **_frame(request, found, today),
        "own": shown(found.own),
        "page": page,
        "rows": [shown(line) for line in lines],
        "rest": _plain(rest, write),
        "elsewhere": entered.elsewhere(lines, write) if entered else [],
        "of_teams": found.own.may_set or any(line.kind == "team" for line in found.lines),
        "may_write": found.own.may_set or any(line.may_set for line in found.lines),
        "difference": difference,
        "begun": quota_planning.needs_reason(found.period, today),
        "methods": spoken_choices(QuotaMethod.choices),
        "method": entered.method if entered else "",
        "starts": entered.starts_text if entered else "",
        "reason": entered.reason if entered else "",
        "wrong": wrong,
        "effects": None if effects is None else effects[:PAGE],
        "more_effects": max(len(effects or ()) - PAGE, 0),
        "target_text": _plain(found.own.quota_minor, write),
        "exponent": write.exponent,
        "code": write.code or "",
        "may_hand_down": Authority(user, today).plans
        and found.own.quota_minor is not None
        and bool(found.lines),
    }
    return render(request, "quotas/quotas.html", context, status=422 if wrong else 200)


def _frame(request: HtmxRequest, found: Sheet, today: date) -> dict[str, Any]:
    """What every page about one sheet shows round it."""
    return {
        "sheet": found,
        "team": found.team,
        "measure": found.measure,
        "measures": list(Measure.objects.order_by("position", "pk")),
        "switch": periods.switch(
            found.period, date.max, calendars_of(_reader(request), today, first=found.team)
        ),
        "today": today,
        "here": "?" + urlencode({"measure": found.measure.slug, "period": found.period.name}),
    }


def _table(found: Sheet) -> Table:
    """The sheet's team and what is below it; the columns are named as quota imports know them."""
    write = Writer.of(found.measure)

    def amount(value: int | None) -> Amount | None:
        return None if value is None else Amount(value, write.code or "", write.exponent)

    columns = [
        Column("rep", "Rep"),
        Column("team", "Team"),
        Column("measure", "Measure"),
        Column("period", "Period"),
        Column("amount", "Quota", "money", currency="Currency"),
        Column("counts", "Counts as", "money", currency="Currency"),
        Column("below", "Reps below", "money", currency="Currency"),
        Column("history", "Credited before", "money", currency="Currency"),
        Column("over_assignment", "Over-assignment", "percent"),
        Column("growth", "Growth", "percent"),
        Column("version", "Version", "whole"),
        Column("about", "About"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for line in (found.own, *found.lines):
            rep = line.kind == "rep"
            yield (
                line.name if rep else "",
                found.team.name if rep else line.name,
                found.measure.name,
                found.period.name,
                amount(line.quota_minor),
                amount(line.effective_minor),
                None if rep else amount(line.assigned_minor),
                amount(line.history_minor),
                line.over,
                line.growth,
                line.version or None,
                "vacant" if line.vacant else ", ".join(word for word, _days in Shown(line, "").reliefs),
            )

    return Table(columns, rows)


# Handing down.


@require_safe
@login_required
def hand_down(request: HtmxRequest, slug: str) -> HttpResponse:
    """A proposal, by the way that the address says."""
    user = _reader(request)
    authority = Authority(user, clock.today())
    if not authority.plans:
        raise Http404
    return _proposal(request, _team(slug, authority), request.GET, authority)


@posted_from("quotas:planning-hand-down", "slug")
@login_required
def use(request: HtmxRequest, slug: str) -> HttpResponse:
    """Set the quotas as they were proposed, if they are still proposed so."""
    user = _reader(request)
    authority = Authority(user, clock.today())
    if not authority.plans:
        raise Http404
    return _proposal(request, _team(slug, authority), request.POST, authority, by=user)


def _proposal(
    request: HtmxRequest, team: Team, data: QueryDict, authority: Authority, *, by: User | None = None
) -> HttpResponse:
    found = _sheet(request, team, data, authority)
    asked = _Asked(found, data)
    plans: list[Plan] = []
    wrong: list[Problem] = list(asked.problems)
    if asked.wanted and not wrong:
        try:
            plans = asked.plans(authority)
            if by is not None:
                done = quota_planning.use_plans(
                    plans=plans,
                    seen=data.get("seen", ""),
                    measure=found.measure,
                    period=found.period,
                    reason=written(data, "reason"),
                    by=by,
                    at=clock.now(),
                )
                messages.success(request, _saved(len(done.changed)))
                return redirect(_address(found))
        except NotFound as missing:
            raise Http404 from missing
        except Refusal as refused:
            wrong = list(refused.problems)
    parts = paged(request, [(plan, part) for plan in plans for part in plan.parts])
    shown = [
        (plan, [part for _plan, part in both], plan is plans[0])
        for plan, both in groupby(parts, key=itemgetter(0))
    ]
    here = {part.line.key for _plan, its, top in shown if top for part in its}
    context = {
        **_frame(request, found, clock.today()),
        "asked": asked,
        "plans": plans,
        "parts": parts,
        "shown": shown,
        "fixed_elsewhere": [(key, text) for key, text in asked.fixed.items() if plans and key not in here],
        "way": urlencode(list(asked.hidden)),
        "wrong": wrong,
        "seen": quota_planning.fingerprint(plans) if plans else "",
        "bases": BASIS_WORDS.items(),
        "histories": HISTORY_WORDS.items(),
        "steps": STEPS,
        "own": Shown(found.own, ""),
        "begun": quota_planning.needs_reason(found.period, clock.today()),
        "reason": data.get("reason", "")[:600],
    }
    return render(request, "quotas/quota_hand_down.html", context, status=422 if wrong else 200)


class _Asked:
    """How a quota is to be handed down, as an address or a form says it."""

    def __init__(self, found: Sheet, data: QueryDict) -> None:
        self.sheet = found
        self.problems: list[Problem] = []
        self.wanted = "by" in data
        by = data.get("by", "history")
        basis: Basis = next((each for each in BASES if each == by), "history")
        history: HistoryKind = (
            "last_four_quarters" if data.get("history") == "last_four_quarters" else "year_before"
        )
        self.over = given(data, "over") or "0"
        over = ppm(self.over)
        if over is None or not 0 <= over <= quota_planning.MOST_OVER_PPM:
            self.problems.append(
                Problem("over_assignment_out_of_range", _("Over-assignment is 0 to 100 per cent."), "/over")
            )
        step = given(data, "step") or "1"
        self.step = int(step) if step.isdecimal() and int(step) in STEPS else 1
        self.carry = "carry" in data
        write = Writer.of(found.measure)
        self.way = Way(
            by=basis,
            over_assignment_ppm=over or 0,
            step_minor=self.step * 10**write.exponent,
            reliefs="reliefs" in data,
            vacant="vacant" in data,
            history=history,
        )
        self.fixed: dict[str, str] = {}
        self.keep: dict[Whose, int] = {}
        for line in found.lines:
            text = given(data, f"keep-{line.key}")
            if not text:
                continue
            self.fixed[line.key] = text
            amount = minor(text, write.exponent)
            if amount is None or amount < 0:
                self.problems.append(
                    Problem(
                        "not_an_amount",
                        _("What is fixed for %(line_name)s is no amount of zero or more.")
                        % {"line_name": line.name},
                        "/keep",
                    )
                )
            else:
                self.keep[line.whose] = amount

    def plans(self, authority: Authority) -> list[Plan]:
        asked: dict[str, Any] = {
            "team": self.sheet.team,
            "measure": self.sheet.measure,
            "period": self.sheet.period,
            "way": self.way,
            "authority": authority,
            "today": clock.today(),
            "keep": self.keep,
        }
        return quota_planning.carry(**asked) if self.carry else [quota_planning.distribute(**asked)]

    @property
    def hidden(self) -> Iterator[tuple[str, str]]:
        """The same as fields of the form that uses the proposal."""
        yield "measure", self.sheet.measure.slug
        yield "period", self.sheet.period.name
        yield "by", self.way.by
        yield "history", self.way.history
        yield "over", self.over
        yield "step", str(self.step)
        for name in ("carry", "reliefs", "vacant"):
            if getattr(self, name, getattr(self.way, name, False)):
                yield name, "on"
        for key, text in self.fixed.items():
            yield f"keep-{key}", text


# Versions of one quota.


@require_safe
@login_required
def versions(request: HtmxRequest, kind: str, slug: str) -> HttpResponseBase:
    user = _reader(request)
    authority = Authority(user, clock.today())
    subject: Rep | Team = (
        get_object_or_404(Rep, slug=slug) if kind == "rep" else get_object_or_404(Team, slug=slug)
    )
    if not authority.sees("rep" if kind == "rep" else "team", subject.pk):
        raise Http404
    measure, measures = chosen_measure(request.GET)
    period = chosen_period(request.GET, clock.today())
    whose = {"rep": subject} if isinstance(subject, Rep) else {"team": subject}
    last = Quota.objects.filter(measure=measure, period=period, superseded_at=None, **whose).first()
    found = versions_of(last) if last is not None else []
    reasons = reasons_of(found)
    reliefs: Sequence[QuotaRelief] = ()
    counts: int | None = None
    if isinstance(subject, Rep):
        reliefs = targets.reliefs_of([subject.pk], period).get(subject.pk, ())
        counts = targets.quotas_of_reps([subject.pk], measure=measure, period=period).get(subject.pk)
    else:
        counts = targets.quotas_of_teams([subject.pk], measure=measure, period=period).get(subject.pk)
    write = Writer.of(measure)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"quota {subject.slug} {measure.slug} {period}",
            title=f"{subject.name}, versions of the quota",
            table=_versions_table(found, reasons, write),
        )
    home = _home_of(subject, period)
    context = {
        "subject": subject,
        "kind": kind,
        "measure": measure,
        "measures": measures,
        "period": period,
        "switch": periods.switch(period, date.max, calendars_of(user, clock.today())),
        "versions": [(quota, reasons.get(quota.pk, "")) for quota in found],
        "reliefs": [(relief, _span(relief)) for relief in reliefs],
        "counts": counts,
        "counted": formats.percent(*_pair(counted_ppm(reliefs, period))) if reliefs else "",
        "closed": [m for m in periods.leaves_of(period) if m.state in ("closing", "closed")],
        "home": home,
        "here": "?" + urlencode({"measure": measure.slug, "period": period.name}),
        "today": clock.today(),
    }
    return render(request, "quotas/quota_versions.html", context)


def _versions_table(found: Sequence[Quota], reasons: Mapping[int, str], write: Writer) -> Table:
    columns = [
        Column("version", "Version", "whole"),
        Column("amount", "Quota", "money", currency="Currency"),
        Column("starts", "From", "date"),
        Column("method", "Counts"),
        Column("reason", "Reason"),
        Column("recorded_by", "Set by"),
        Column("recorded_at", "Set at", "instant"),
        Column("superseded_at", "Superseded at", "instant"),
    ]
    return Table(
        columns,
        lambda: (
            (
                quota.version,
                Amount(quota.amount_minor, write.code or "", write.exponent),
                quota.starts,
                QuotaMethod(quota.method).label,
                reasons.get(quota.pk, ""),
                quota.recorded_by.name if quota.recorded_by else "",
                quota.recorded_at,
                quota.superseded_at,
            )
            for quota in found
        ),
    )


# Ramp and leave.


class ReliefForm(Described):
    """One span, or a ramp of several months, as it is entered."""

    rep = forms.CharField(
        label=later("Who"),
        max_length=150,
        help_text=later("The name, or the short name of the address."),
        error_messages={"required": later("Say whose quotas shrink.")},
        widget=forms.TextInput(attrs=sought("reps")),
    )
    kind = forms.ChoiceField(label=later("Why"), choices=spoken_choices(ReliefKind.choices))
    starts = forms.DateField(
        label=later("First day"),
        error_messages={
            "required": later("Choose a day."),
            "invalid": later("Enter a day, such as 2026-10-01."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    ends = forms.DateField(
        label=later("First day that counts in full again"),
        required=False,
        help_text=later("Empty: until further notice. A ramp of several steps needs none."),
        error_messages={"invalid": later("Enter a day, such as 2026-10-01.")},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    counts = forms.CharField(
        label=later("Per cent of the quota that counts"),
        max_length=200,
        initial="0",
        help_text=later("0 for a leave. A ramp by month: 25, 50, 75."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text", "class": "num-in"}),
    )
    reason = forms.CharField(
        label=later("Reason"),
        max_length=quota_planning.LONGEST_REASON,
        error_messages={"required": later("Say why: it stays in the audit trail.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def steps(self) -> list[ReliefStep]:
        """Of a valid form; several percentages are a month each. Adds an error and returns nothing where they cannot be read."""
        read = [ppm(text) for text in re.split(r"[,;\s]+", self.cleaned_data["counts"].strip()) if text]
        factors = [value for value in read if value is not None]
        starts, ends = self.cleaned_data["starts"], self.cleaned_data["ends"]
        if not factors or len(factors) != len(read):
            self.add_error("counts", _("Enter per cent, such as 0, or 25, 50, 75 for a ramp."))
            return []
        if len(factors) == 1:
            return [ReliefStep(starts, ends, factors[0])]
        if ends is not None:
            self.add_error("ends", _("Each step of a ramp lasts a month: leave this empty."))
            return []
        days = [_months_later(starts, n) for n in range(len(factors) + 1)]
        return [ReliefStep(a, b, factor) for a, b, factor in zip(days, days[1:], factors, strict=False)]


@require_safe
@login_required
def reliefs(request: HtmxRequest) -> HttpResponseBase:
    user = _reader(request)
    authority = Authority(user, clock.today())
    if form := exporting.asked(request):
        found = _reliefs(request, authority)
        return exporting.answer(
            request, form, name="ramp and leave", title="Ramp and leave", table=_reliefs_table(found)
        )
    initial = {"rep": given(request.GET, "rep"), "kind": ReliefKind.LEAVE, "starts": clock.today()}
    return _reliefs_page(request, authority, ReliefForm(initial=initial), opened="new" in request.GET)


@posted_from("quotas:reliefs")
@login_required
def relieve(request: HtmxRequest) -> HttpResponse:
    user = _reader(request)
    authority = Authority(user, clock.today())
    if not authority.plans:
        raise Http404
    form = ReliefForm(request.POST)
    if form.is_valid() and (steps := form.steps()):
        rep = _named_rep(form.cleaned_data["rep"], authority)
        if rep is None:
            form.add_error("rep", _("Nobody of that name is below you, or several are: take the short name."))
        else:
            try:
                quota_planning.record_relief(
                    rep_id=rep.pk,
                    kind=form.cleaned_data["kind"],
                    steps=steps,
                    reason=form.cleaned_data["reason"],
                    by=user,
                    at=clock.now(),
                )
            except Refusal as refused:
                for problem in form.place(refused.problems):
                    form.add_error(None, problem.message)
            else:
                messages.success(
                    request,
                    _("It is recorded: the quotas of %(rep_name)s shrink by these days.")
                    % {"rep_name": rep.name},
                )
                return redirect("quotas:reliefs")
    return _reliefs_page(request, authority, form, opened=True)


@posted_from("quotas:reliefs")
@login_required
def end_relief(request: HtmxRequest, pk: int) -> HttpResponse:
    user = _reader(request)
    authority = Authority(user, clock.today())
    if not authority.plans:
        raise Http404
    try:
        on = date.fromisoformat(given(request.POST, "on"))
    except ValueError:
        wrong = [Problem("not_a_day", _("Enter the day from which it does not count any more."), "/on")]
        return _reliefs_page(request, authority, ReliefForm(), opened=False, wrong=wrong, about=pk)
    try:
        quota_planning.end_relief(
            relief_id=pk,
            on=on,
            reason=written(request.POST, "reason"),
            by=user,
            at=clock.now(),
        )
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        return _reliefs_page(request, authority, ReliefForm(), opened=False, wrong=refused.problems, about=pk)
    messages.success(request, _("It ends there; what was known before stays in the trail."))
    return redirect("quotas:reliefs")


@dataclass(frozen=True, slots=True)
class _ShownRelief:
    """A span, and what it does to the rep's quota in the first measure of the present quarter."""

    relief: QuotaRelief
    span: str
    state: str
    tone: str
    counted: str
    as_set_minor: int | None
    counts_minor: int | None
    may_end: bool


def _reliefs_page(
    request: HtmxRequest,
    authority: Authority,
    form: ReliefForm,
    *,
    opened: bool,
    wrong: Sequence[Problem] = (),
    about: int = 0,
) -> HttpResponse:
    today = clock.today()
    page = paged(request, _reliefs(request, authority))
    rows = list(page.object_list)
    period = periods.current_period(today)
    measure = Measure.objects.select_related("currency").order_by("position", "pk").first()
    ids = [relief.rep_id for relief in rows]
    as_set: dict[int, int] = {}
    counts: dict[int, int] = {}
    if period is not None and measure is not None and ids:
        as_set = dict(
            Quota.objects.filter(measure=measure, period=period, rep__in=ids, superseded_at=None).values_list(
                "rep_id", "amount_minor"
            )
        )
        counts = targets.quotas_of_reps(ids, measure=measure, period=period)
    context = {
        "rows": [_shown_relief(relief, today, period, as_set, counts, authority) for relief in rows],
        "form": form,
        "opened": opened or form.is_bound,
        "may_write": authority.plans,
        "page": page,
        "every": "all" in request.GET,
        "measure": measure,
        "period": period,
        "wrong": wrong,
        "about": about,
        "today": today,
    }
    return render(request, "quotas/quota_reliefs.html", context, status=422 if wrong or form.errors else 200)


def _reliefs(request: HttpRequest, authority: Authority) -> Any:
    rows = reliefs_for(authority).order_by("-effective", "rep__name", "-pk")
    return rows if "all" in request.GET else rows.filter(superseded_at=None)


def _shown_relief(
    relief: QuotaRelief,
    today: date,
    period: Period | None,
    as_set: Mapping[int, int],
    counts: Mapping[int, int],
    authority: Authority,
) -> _ShownRelief:
    upper, lower = relief.effective.upper, relief.effective.lower
    over = relief.superseded_at is None and upper is not None and upper <= today
    if relief.superseded_at is not None:
        state, tone = _("Superseded"), "muted"
    elif over:
        state, tone = _("Over"), "muted"
    elif lower is not None and lower > today:
        state, tone = _("Ahead"), "accent"
    else:
        state, tone = _("Now"), "warn"
    touches = period is not None and counted_ppm([relief], period) != 1
    return _ShownRelief(
        relief=relief,
        span=_span(relief),
        state=state,
        tone=tone,
        counted=formats.percent(relief.factor_ppm, 1_000_000),
        as_set_minor=as_set.get(relief.rep_id) if touches and relief.superseded_at is None else None,
        counts_minor=counts.get(relief.rep_id) if touches and relief.superseded_at is None else None,
        may_end=relief.superseded_at is None and authority.sets("rep", relief.rep_id) and not over,
    )


def _reliefs_table(found: Any) -> Table:
    columns = [
        Column("rep", "Rep"),
        Column("kind", "Kind"),
        Column("starts", "First day", "date"),
        Column("ends", "In full again from", "date"),
        Column("counts", "Counts", "percent"),
        Column("reason", "Reason"),
        Column("recorded_by", "Recorded by"),
        Column("recorded_at", "Recorded at", "instant"),
        Column("superseded_at", "Superseded at", "instant"),
    ]
    return Table(
        columns,
        lambda: (
            (
                relief.rep.name,
                ReliefKind(relief.kind).label,
                relief.effective.lower,
                relief.effective.upper,
                Fraction(relief.factor_ppm, 1_000_000),
                relief.reason,
                relief.recorded_by.name,
                relief.recorded_at,
                relief.superseded_at,
            )
            for relief in found.iterator(chunk_size=2_000)
        ),
    )


# What they have in common.


def _reader(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(*READS):
        raise Http404
    return user


def _team(slug: str, authority: Authority) -> Team:
    team = get_object_or_404(Team, slug=slug)
    if not authority.sees("team", team.pk):
        raise Http404
    return team


def _home(request: HtmxRequest, user: User, authority: Authority) -> HttpResponse:
    """The team that a manager leads; the top of the tree for everybody else."""
    today = clock.today()
    me = rep_of(user)
    membership = teams.membership_of(me, today) if me else None
    team = (
        membership.team
        if membership is not None and membership.team_id in authority.led
        else Team.objects.filter(pk__in=authority.led).order_by("pk").first()
        if authority.led
        else teams.top_team(today)
        if authority.sees_everything
        else None
    )
    if team is None:
        return render(request, "quotas/quotas_none.html", {"today": today})
    return redirect(
        reverse("quotas:planning-team", args=[team.slug])
        + ("?" + request.GET.urlencode() if request.GET else "")
    )


def _home_of(subject: Rep | Team, period: Period) -> Team | None:
    """The team on whose sheet a quota stands."""
    if isinstance(subject, Team):
        return subject
    found = teams.membership_of(subject, periods.last_day(period, clock.today()))
    return found.team if found else None


def _sheet(request: HtmxRequest, team: Team, data: QueryDict, authority: Authority) -> Sheet:
    today = clock.today()
    measure, _measures = chosen_measure(data)
    period = chosen_period(data, today, lambda: periods.calendar_of_team(team.pk, today))
    history: HistoryKind = (
        "last_four_quarters" if data.get("history") == "last_four_quarters" else "year_before"
    )
    return sheet(team=team, measure=measure, period=period, today=today, authority=authority, history=history)


def _address(found: Sheet) -> str:
    query = urlencode({"measure": found.measure.slug, "period": found.period.name})
    return f"{reverse('quotas:planning-team', args=[found.team.slug])}?{query}"


def _saved(count: int) -> str:
    if not count:
        return _("Every quota was that already.")
    return (
        _("One quota has a new version.")
        if count == 1
        else _("%(count)s quotas have a new version.") % {"count": formats.whole(count)}
    )


def _text(value: int | None, write: Writer) -> str:
    """As it stands in a field: grouped, without a zero fraction."""
    if value is None:
        return ""
    amount = Decimal(value).scaleb(-write.exponent)
    whole = amount == amount.to_integral_value()
    places = 0 if whole else write.exponent if write.code else None
    return formats.entered(amount.normalize() if places is None else amount, places, grouped=True)


def _plain(value: int | None, write: Writer) -> str:
    return "" if value is None else f"{Decimal(value).scaleb(-write.exponent):f}"


def _span(relief: QuotaRelief) -> str:
    upper = relief.effective.upper
    if upper is None:
        return _("from %(lower)s until further notice") % {"lower": formats.day(relief.effective.lower)}
    return _("%(lower)s to %(upper)s") % {
        "lower": formats.day(relief.effective.lower),
        "upper": formats.day(date.fromordinal(upper.toordinal() - 1)),
    }


def _pair(share: Fraction) -> tuple[int, int]:
    return share.numerator, share.denominator


def _months_later(day: date, months: int) -> date:
    """The same day so many months later, the last of that month where there is none."""
    number = day.year * 12 + day.month - 1 + months
    first = date(number // 12, number % 12 + 1, 1)
    following = date((number + 1) // 12, (number + 1) % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - first).days))


def _named_rep(text: str, authority: Authority) -> Rep | None:
    """By slug, or by a name that only one has; of those whose quotas this person sees."""
    seen = Rep.objects.all() if authority.sees_everything else Rep.objects.filter(pk__in=authority.reps)
    text = tidy(text)
    found = named(seen, [text])[text]
    return found[0] if len(found) == 1 else None

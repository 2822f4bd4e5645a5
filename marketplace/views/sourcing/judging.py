"""Judging models ourselves: blind votes on pairs, suites with their rounds and runs, and the matrix of task and model.

The page that shows a pair knows two texts and a token; which model wrote which text is not in its context.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Role, User
from config import charts, clock, exporting, formats
from config.exports import Column, Table
from config.language import _, later
from config.refusals import Refusal
from marketplace.models import Answer, ModelVersion, SuiteCase, TaskSuite, VotingRound
from marketplace.selectors.evidence import source_name
from marketplace.selectors.sourcing import matrix as task_matrix
from marketplace.selectors.sourcing import rounds, suites
from marketplace.selectors.sourcing.access import JUDGES, reads_bindings
from marketplace.selectors.sourcing.judging import INTERNAL, Quality
from marketplace.services.sourcing import judging as judge_services
from marketplace.views import day_asked, signed_in
from marketplace.views.sourcing.answer_text import Block, blocks

SKIPPED: Final = "judging-skipped"  # of the session: tokens of pairs that were put off
MOST_SKIPPED: Final = 200
ONE: Final = Decimal(1)


def reader(request: HttpRequest) -> User:
    """Raises Http404 for who may not read our evaluations: partners, and who has no role."""
    user = signed_in(request)
    if not reads_bindings(user):
        raise Http404
    return user


def judge(request: HttpRequest) -> User:
    """Raises Http404 as reader(), and PermissionDenied for who reads and does not judge."""
    user = reader(request)
    if not user.has_role(*JUDGES):
        raise PermissionDenied
    return user


def _told(request: HttpRequest, refused: Refusal) -> None:
    for problem in refused.problems:
        messages.error(request, problem.message)


# --- what there is to judge -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenRound:
    """An open round as one person has it before them."""

    round: VotingRound
    standing: rounds.Standing


@require_safe
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """5 queries, and 2 for each open round."""
    user = reader(request)
    lines = suites.suite_lines()
    may_judge = user.has_role(*JUDGES)
    opened = []
    for line in lines:
        if line.round is not None:
            pairs = rounds.pairs_of(line.round.suite_id, line.round.harness)
            opened.append(OpenRound(line.round, rounds.standing(line.round, user.pk, len(pairs))))
    opened.sort(key=lambda each: (each.standing.left == 0, each.round.opened_at))
    return render(
        request,
        "marketplace/sourcing/judge.html",
        {"lines": lines, "opened": opened, "may_judge": may_judge, "today": clock.today()},
    )


# --- one pair after the other -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """One of two answers, under its letter."""

    letter: str
    blocks: list[Block]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def vote(request: HttpRequest, slug: str) -> HttpResponse:
    """The next pair of the suite's open round; a POST votes on the one that was shown, or puts it off."""
    user = judge(request)
    if suites.suite_named(slug) is None:
        raise Http404
    found = rounds.open_round(slug)
    if found is None:
        if request.method == "POST":
            messages.error(request, _("The round is closed: votes count no more."))
        else:
            messages.info(request, _("No round of this suite is open."))
        return redirect("marketplace:suite", slug)
    if request.method == "POST":
        return _voted(request, slug, found, user)
    pairs = rounds.pairs_of(found.suite_id, found.harness)
    skipped = request.session.get(SKIPPED, [])
    pair = rounds.next_pair(found, user.pk, pairs, skipped)
    standing = rounds.standing(found, user.pk, len(pairs))
    context: dict[str, Any] = {"suite": found.suite, "standing": standing}
    if pair is None:
        context["others"] = (
            VotingRound.objects.filter(closed_at=None).exclude(pk=found.pk).select_related("suite__task_area")
        )
        return render(request, "marketplace/sourcing/vote_done.html", context)
    seen = rounds.shown(found, user.pk, pair)
    context |= {
        "token": seen.token,
        "put_off": seen.token in skipped,
        "prompt": blocks(seen.prompt),
        "sides": [Side("A", blocks(seen.left)), Side("B", blocks(seen.right))],
        "synthetic": seen.synthetic,
        "slides": found.suite.task_area.slug == "slides",
        "choices": CHOICES,
    }
    return render(request, "marketplace/sourcing/vote.html", context)


# Value, words, key, and what the button looks like.
CHOICES: Final = (
    (judge_services.LEFT, later("A is better"), "1", "primary"),
    (judge_services.RIGHT, later("B is better"), "2", "primary"),
    ("tie", later("Equally good"), "3", ""),
    ("neither", later("Neither will do"), "4", ""),
)


def _voted(request: HttpRequest, slug: str, found: VotingRound, user: User) -> HttpResponse:
    token = request.POST.get("token", "")[:64]
    if request.POST.get("choice") == "skip":
        kept = [each for each in request.session.get(SKIPPED, []) if each != token]
        request.session[SKIPPED] = [*kept, token][-MOST_SKIPPED:]
        return redirect("marketplace:vote", slug)
    try:
        cast = judge_services.cast_vote(
            round_id=found.pk,
            token=token,
            choice=request.POST.get("choice", ""),
            by=user,
            at=clock.now(),
        )
    except Refusal as refused:
        _told(request, refused)
    else:
        if not cast.new:
            messages.info(request, _("You had voted on that pair already; your first vote stands."))
    return redirect("marketplace:vote", slug)


# --- one suite --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """A result as a tick in its range, with its words."""

    name: str
    detail: str
    score: str
    span: str
    bar: SafeString
    n: str


def _unit(value: Decimal, top: Decimal = ONE) -> float:
    return float(min(max(value / top, Decimal(0)), ONE))


def span_text(low: Decimal | None, high: Decimal | None, scale: int = 1) -> str:
    if low is None or high is None:
        return _("interval not known")
    return _("%(low)s to %(high)s") % {"low": score_text(low, scale), "high": score_text(high, scale)}


def score_text(value: Decimal, scale: int = 1) -> str:
    """Always as many decimals, so that a column can be read downwards: two of fractions, else one."""
    kept = value.quantize(Decimal("0.01") if scale == 1 else Decimal("0.1"), ROUND_HALF_UP)
    return formats.entered(kept, grouped=True).replace("-", formats.MINUS)


def bars_of(entries: Sequence[tuple[ModelVersion, Quality]]) -> tuple[list[Bar], str]:
    """A ranking's bars on one scale from nothing up, and that scale in words; no bars where it has no second end."""
    values = [v for _of, e in entries for v in (e.low, e.score, e.high) if v is not None]
    scale = entries[0][1].scale if entries else 1
    drawn = bool(values) and min(values) >= 0 and max(values) <= scale
    top = next(
        (scale / Decimal(part) for part in (10, 5, 4, 2) if values and max(values) <= scale / Decimal(part)),
        Decimal(scale),
    )
    bars = []
    for version, found in entries:
        name = version.model.name
        score, span = score_text(found.score, scale), span_text(found.low, found.high, scale)
        bar = SafeString("")
        if drawn:
            ends = (found.score if found.low is None else found.low, found.score)
            high = found.score if found.high is None else found.high
            bar = charts.range_bar(
                *(_unit(value, top) for value in (*ends, high)),
                label=f"{name}: {score}, {span}",
                tone="accent" if found.kind == INTERNAL else "c2",
            )
        n = formats.whole(found.n) if found.n else ""
        bars.append(Bar(name, version.label, score, span, bar, n))
    return bars, _("0 to %(top)s") % {"top": formats.decimal(top)} if drawn else ""


@require_safe
@login_required
def suite(request: HttpRequest, slug: str) -> HttpResponse:
    """13 queries or fewer, whatever the number of cases and runs."""
    user = reader(request)
    found = suites.suite_named(slug, request.GET.get("version", "")[:20])
    if found is None:
        raise Http404
    runs = suites.runs_of(found)
    lines = suites.rounds_of(found, runs)
    pairs_by_harness = [
        (harness, len(pairs))
        for harness in Answer.objects.filter(case__suite=found)
        .order_by("harness")
        .values_list("harness", flat=True)
        .distinct()
        if (pairs := rounds.pairs_of(found.pk, harness))
    ]
    opened = next((line for line in lines if line.state == "open"), None)
    context = {
        "suite": found,
        "versions": TaskSuite.objects.filter(slug=slug).order_by("-id").values_list("version", flat=True),
        "cases": [
            {"label": _("Case %(number)s") % {"number": case.number}, "blocks": blocks(case.prompt)}
            for case in SuiteCase.objects.filter(suite=found).order_by("number")
        ],
        "runs": [
            (run, score_text(run.score), span_text(run.interval_low, run.interval_high)) for run in runs
        ],
        "rounds": lines,
        "opened": opened,
        "standing": rounds.standing(
            opened.round, user.pk, len(rounds.pairs_of(found.pk, opened.round.harness))
        )
        if opened
        else None,
        "result": next((_result(line) for line in lines if line.records), None),
        "citing": suites.citing(found),
        "harnesses": pairs_by_harness,
        "least": rounds.LEAST,
        "may_judge": user.has_role(*JUDGES),
        "may_lead": user.has_role(Role.SOURCING_LEAD),
    }
    return render(request, "marketplace/sourcing/suite.html", context)


def _result(line: suites.RoundLine) -> dict[str, Any]:
    """What the newest closed round came to."""
    entries = sorted(line.records, key=lambda entry: (-entry[0].score, entry[0].pk))
    bars = []
    for run, record in entries:
        score, span = score_text(run.score), span_text(run.interval_low, run.interval_high)
        bar = charts.range_bar(
            *(_unit(value) for value in (run.interval_low, run.score, run.interval_high)),
            label=f"{run.model_version.model.name}: {score}, {span}",
        )
        bars.append((run, score, span, bar, record))
    same = line.agreement
    left, preferred = line.left
    return {
        "line": line,
        "bars": bars,
        "agreement": formats.percent(same.same, same.of, 0) if same else formats.NO_VALUE,
        "agreed_of": same.of if same else 0,
        "left": formats.percent(left, preferred, 0),
        "neither": sum(record.neither for _run, record in entries) // 2,
    }


# --- rounds -----------------------------------------------------------------------------------------------


@require_POST
@login_required
def open_a_round(request: HttpRequest, slug: str) -> HttpResponse:
    user = judge(request)
    found = suites.suite_named(slug)
    if found is None:
        raise Http404
    if not user.has_role(Role.SOURCING_LEAD):
        raise PermissionDenied
    try:
        judge_services.open_round(
            suite_id=found.pk,
            harness=request.POST.get("harness", ""),
            by=user,
            at=clock.now(),
            synthetic=found.synthetic,
        )
    except Refusal as refused:
        _told(request, refused)
    else:
        messages.success(request, _("The round is open: engineers can vote."))
    return redirect("marketplace:suite", slug)


@require_POST
@login_required
def end_a_round(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """action: close, or call-off."""
    user = judge(request)
    found = get_object_or_404(VotingRound.objects.select_related("suite"), pk=pk)
    if not user.has_role(Role.SOURCING_LEAD):
        raise PermissionDenied
    try:
        if action == "close":
            runs = judge_services.close_round(round_id=pk, by=user, at=clock.now())
            messages.success(request, _("Closed: %(runs)s runs are recorded.") % {"runs": len(runs)})
        elif action == "call-off":
            judge_services.call_off_round(
                round_id=pk, reason=request.POST.get("reason", ""), by=user, at=clock.now()
            )
            messages.success(request, _("Called off: its votes stay and count for nothing."))
        else:
            raise Http404
    except Refusal as refused:
        _told(request, refused)
    return redirect("marketplace:suite", found.suite.slug)


# --- runs that a program scored ---------------------------------------------------------------------------


class RunForm(forms.Form):
    """The interval may stay empty for a rate."""

    model_version = forms.ModelChoiceField(
        ModelVersion.objects.none(), label=later("Model version"), empty_label=later("Choose one")
    )
    dated = forms.DateField(label=later("Run on"), widget=forms.DateInput(attrs={"type": "date"}))
    metric = forms.CharField(
        max_length=60,
        help_text=later("Such as pass rate or accuracy. Rates are fractions of 0 to 1."),
        label=later("Metric"),
    )
    higher_is_better = forms.BooleanField(label=later("Higher is better"), required=False, initial=True)
    harness = forms.CharField(
        max_length=80,
        help_text=later("What ran it, with its version. Another harness is another ranking."),
        label=later("Harness"),
    )
    sample_size = forms.IntegerField(label=later("Cases"), min_value=1, max_value=100_000_000)
    score = forms.DecimalField(max_digits=14, decimal_places=4, label=later("Score"))
    interval_low = forms.DecimalField(
        label=later("Interval from"),
        max_digits=14,
        decimal_places=4,
        required=False,
        help_text=later(
            "95 %. Of a rate it is worked out from the number of cases where you leave it empty."
        ),
    )
    interval_high = forms.DecimalField(
        label=later("Interval to"), max_digits=14, decimal_places=4, required=False
    )
    cost_usd = forms.DecimalField(label=later("Cost in USD"), max_digits=12, decimal_places=4, required=False)
    latency_s = forms.DecimalField(
        label=later("Seconds a case"), max_digits=10, decimal_places=2, required=False
    )
    evaluator = forms.CharField(max_length=120, help_text=later("Who ran it."), label=later("Evaluator"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["model_version"]
        if isinstance(choice, forms.ModelChoiceField):
            choice.queryset = ModelVersion.objects.select_related("model").order_by(
                "model__name", "label", "id"
            )

    def refuse(self, refused: Refusal) -> None:
        """Each problem beside the field that it is about."""
        for problem in refused.problems:
            name = problem.pointer.lstrip("/")
            self.add_error(name if name in self.fields else None, problem.message)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new_run(request: HttpRequest, slug: str) -> HttpResponse:
    user = judge(request)
    found = suites.suite_named(slug, request.GET.get("version", "")[:20])
    if found is None:
        raise Http404
    last = found.runs.exclude(round__isnull=False).order_by("-dated", "-id").first()
    initial = {"dated": clock.today(), "evaluator": user.name}
    if last is not None:
        initial |= {
            "metric": last.metric,
            "harness": last.harness,
            "sample_size": last.sample_size,
            "evaluator": last.evaluator,
            "higher_is_better": last.higher_is_better,
        }
    form = RunForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        given = dict(form.cleaned_data)
        version = given.pop("model_version")
        try:
            run = judge_services.record_run(
                suite_id=found.pk, model_version_id=version.pk, by=user, at=clock.now(), **given
            )
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(
                request,
                _("Recorded: %(model_name)s, %(score)s.")
                % {"model_name": version.model.name, "score": score_text(run.score)},
            )
            return redirect("marketplace:suite", slug)
    return render(
        request,
        "marketplace/sourcing/run_new.html",
        {"suite": found, "form": form},
        status=422 if form.is_bound else 200,
    )


# --- which model for which task ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskCard:
    """One task with its ranking drawn."""

    column: task_matrix.Column
    bars: list[Bar]
    axis: str

    @property
    def first(self) -> Quality | None:
        return next((entry for _pk, entry in self.column.ordered), None)

    @property
    def source(self) -> str:
        """Of a published ranking, short enough for a line."""
        first = self.first
        return source_name(first.evaluation) if first is not None and first.evaluation is not None else ""


@require_safe
@login_required
def matrix(request: HttpRequest) -> HttpResponseBase:
    """8 queries, whatever the number of models."""
    reader(request)
    on = day_asked(request)
    found = task_matrix.matrix(on)
    by_id = {version.pk: version for version in found.versions}
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="task matrix",
            title="Which model for which task",
            table=_table(found, by_id),
        )
    shown = {pk for column in found.columns for pk in (*column.entries, *column.elsewhere)}
    rows = [
        (version, version.pk in found.bound, found.sold_as.get(version.pk), _cells(found, version.pk))
        for version in found.versions
        if version.pk in shown
    ]
    cards = [
        TaskCard(column, *bars_of([(by_id[pk], entry) for pk, entry in column.ordered]))
        for column in found.columns
    ]
    return render(
        request,
        "marketplace/sourcing/task_matrix.html",
        {
            "found": found,
            "rows": rows,
            "cards": cards,
            "unjudged": [version for version in found.versions if version.pk not in shown],
            "on": on,
            "today": clock.today(),
        },
    )


def _cells(found: task_matrix.Matrix, version_id: int) -> Sequence[tuple[Quality | None, str, str, int]]:
    """Entry, score, interval, and in how many rankings beside the task's own the version is."""
    cells = []
    for column in found.columns:
        entry = column.entries.get(version_id)
        cells.append(
            (
                entry,
                score_text(entry.score, entry.scale) if entry else "",
                span_text(entry.low, entry.high, entry.scale) if entry else "",
                column.elsewhere.get(version_id, 0),
            )
        )
    return cells


def _table(found: task_matrix.Matrix, by_id: dict[int, ModelVersion]) -> Table:
    """A row an entry of a task's ranking, best first, then what gives no figures."""

    def rows() -> Iterable[Sequence[Any]]:
        for column in found.columns:
            for pk, entry in column.ordered:
                version, of = by_id[pk], entry.evaluation
                yield (
                    column.task_area.slug,
                    version.model.publisher.name,
                    version.model.name,
                    version.label,
                    entry.kind,
                    entry.key.title,
                    entry.key.metric,
                    entry.key.harness,
                    entry.score,
                    entry.low,
                    entry.high,
                    entry.n,
                    entry.dated,
                    entry.run.evaluator if entry.run else of.evaluator if of else "",
                    source_name(of) if of else "",
                    entry.synthetic,
                    "",
                )
            for finding in column.findings:
                of = finding.evaluation
                yield (
                    *(column.task_area.slug, "", of.subject, "", "published", of.benchmark, "", ""),
                    *(None, None, None, None, of.dated, of.evaluator, of.source, of.synthetic, of.finding),
                )

    return Table(
        [
            Column("task", "Task"),
            Column("publisher", "Publisher"),
            Column("model", "Model"),
            Column("version", "Version"),
            Column("kind", "Kind"),
            Column("ranking", "Ranking"),
            Column("metric", "Metric"),
            Column("harness", "Harness"),
            Column("score", "Score", "number"),
            Column("interval_low", "Interval from", "number"),
            Column("interval_high", "Interval to", "number"),
            Column("n", "Cases or votes", "whole"),
            Column("dated", "Dated", "date"),
            Column("evaluator", "Evaluator"),
            Column("source", "Source"),
            Column("synthetic", "Synthetic", "flag"),
            Column("finding", "Finding"),
        ],
        rows,
    )

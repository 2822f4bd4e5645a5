"""What is known by task: all tasks beside all publishers, and one task with every ranking. No overall winner anywhere."""

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from config import clock, exporting
from config.language import _
from config.paging import Part, paged
from marketplace.models import Offering, TaskArea
from marketplace.selectors import exports
from marketplace.selectors.evidence import Cell, Ranking, Result, task_evidence, task_matrix
from marketplace.selectors.public_facts import TASKS, facts_named
from marketplace.selectors.visibility import offerings_for, publishers_for
from marketplace.views import day_asked, signed_in

COLUMNS: Final = 24  # publishers side by side
ROWS: Final = 50  # of one ranking
NAMED: Final = 24


@dataclass(frozen=True, slots=True)
class Tested:
    """A ranking as the page shows it: what is on sale here, or everything that was tested (whole), a page of it."""

    ranking: Ranking
    tested: int
    whole: bool
    page: "Part | list[tuple[Result, list[Offering]]]"

    @property
    def more(self) -> bool:
        return not self.whole and self.tested > len(self.page)


@require_safe
@login_required
def tasks(request: HttpRequest) -> HttpResponse:
    """A column for each publisher that something is known of; the others are named below."""
    user, on = signed_in(request), day_asked(request)
    matrix = task_matrix(offerings_for(user), on)
    known = {pk for row in matrix for pk, cell in row.cells.items() if cell.known}
    every = publishers_for(user).order_by("name", "id")
    page = paged(request, [p for p in every if p.pk in known], size=COLUMNS)
    publishers = list(page)
    silent = [p for p in every if p.pk not in known]
    return render(
        request,
        "marketplace/tasks.html",
        {
            "publishers": publishers,
            "page": page,
            "silent": silent[:NAMED],
            "more_silent": max(0, len(silent) - NAMED),
            "rows": [(row, [row.cells.get(p.pk, Cell(0, 0)) for p in publishers]) for row in matrix],
            "results": sum(row.results for row in matrix),
            "findings": sum(row.findings for row in matrix),
            "facts": facts_named(TASKS),
            "on": on,
            "today": clock.today(),
        },
    )


@require_safe
@login_required
def task(request: HttpRequest, slug: str) -> HttpResponseBase:
    user, on = signed_in(request), day_asked(request)
    area = get_object_or_404(TaskArea, slug=slug)
    known = task_evidence(area, offerings_for(user), on)
    if form := exporting.asked(request):
        name, title = (
            _("evidence %(slug)s") % {"slug": area.slug},
            _("Evidence for %(area_name)s") % {"area_name": area.name.lower()},
        )
        return exporting.answer(request, form, name=name, title=title, table=exports.evaluations(known))

    def entries(results: list[Result]) -> list[tuple[Result, list[Offering]]]:
        return [(r, known.sold_as.get(r.evaluation.model_version_id or 0, [])) for r in results]

    whole = request.GET.get("ranking", "")  # the one of which everything tested is asked for
    tables = []
    for ranking in known.rankings:
        every = entries(ranking.in_order)
        asked = ranking.key.slug == whole
        page = paged(request, every, size=ROWS) if asked else [entry for entry in every if entry[1]][:ROWS]
        tables.append(Tested(ranking, len(every), asked, page))
    return render(
        request,
        "marketplace/task.html",
        {
            "area": area,
            "areas": TaskArea.objects.order_by("position", "id"),
            "known": known,
            "tables": tables,
            "alone": entries(known.alone),
            "on": on,
            "today": clock.today(),
        },
    )

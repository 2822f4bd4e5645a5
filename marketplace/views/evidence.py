"""What is known by task: all tasks beside all publishers, and one task with every ranking. No overall winner anywhere."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from config import clock, exporting
from config.language import _
from marketplace.models import Offering, TaskArea
from marketplace.selectors import exports
from marketplace.selectors.evidence import Cell, Result, task_evidence, task_matrix
from marketplace.selectors.public_facts import TASKS, facts_named
from marketplace.selectors.visibility import offerings_for, publishers_for
from marketplace.views import day_asked, signed_in


@require_safe
@login_required
def tasks(request: HttpRequest) -> HttpResponse:
    user, on = signed_in(request), day_asked(request)
    publishers = list(publishers_for(user).order_by("name", "id"))
    matrix = task_matrix(offerings_for(user), on)
    return render(
        request,
        "marketplace/tasks.html",
        {
            "publishers": publishers,
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

    tables = [
        (ranking, every, [entry for entry in every if entry[1]])
        for ranking in known.rankings
        for every in [entries(ranking.in_order)]
    ]
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

"""The catalog as a workbook, and the edited workbook back as a change set."""

import os
import tempfile
from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe
from openpyxl.utils import column_index_from_string

from accounts.models import Role, User
from config import clock, formats, locales
from config.language import _
from config.refusals import Invalid, Problem, Refusal
from marketplace.selectors.change_sets import acts_for
from marketplace.selectors.spreadsheets import MOST_OFFERINGS, SHEETS, for_workbook, write_workbook
from marketplace.services import spreadsheets as service
from marketplace.views import day_asked, signed_in
from marketplace.views.catalog import asked_for

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
IN_MEMORY: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class WrongCell:
    sheet: str
    row: str
    column: str
    header: str
    message: str


@require_safe
@login_required
@locales.as_data
def export(request: HttpRequest) -> HttpResponseBase:
    """The offerings that the catalog would list for the same address, or those picked, as XLSX."""
    user = signed_in(request)
    on = day_asked(request)
    found = asked_for(request.GET, user, on)
    offerings = for_workbook(found)
    if len(offerings) > MOST_OFFERINGS:
        messages.error(
            request,
            _("More than %(MOST_OFFERINGS)s offerings: narrow the list, then export it.")
            % {"MOST_OFFERINGS": formats.whole(MOST_OFFERINGS)},
        )
        return redirect(f"{reverse('marketplace:catalog')}?{request.GET.urlencode()}")
    out = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 -- the response closes it
    write_workbook(out, offerings, on=on)
    size = out.tell()
    out.seek(0, os.SEEK_SET)
    answer = FileResponse(
        out, as_attachment=True, filename=f"catalog-{on.isoformat()}.xlsx", content_type=XLSX
    )
    answer["Content-Length"] = str(size)
    answer["Cache-Control"] = "private, no-store"
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def upload(request: HttpRequest) -> HttpResponseBase:
    """A form for the edited workbook; what is wrong with it is said cell by cell."""
    user = signed_in(request)
    own = _whose(user)
    refused: Refusal | None = None
    if request.method == "POST":
        try:
            made = service.upload(
                content=_content(request),
                file_name=getattr(request.FILES["file"], "name", "") or "",
                by=user,
                at=clock.now(),
                on=clock.today(),
                publisher_id=own,
            )
        except Refusal as wrong:
            refused = wrong
        else:
            if made is None:
                messages.info(request, _("Nothing differs from the catalog: there is no change to make."))
                return redirect("marketplace:spreadsheet-upload")
            messages.success(
                request,
                _("%(made_reference)s holds what differs. Look it over, then submit it.")
                % {"made_reference": made.reference},
            )
            return redirect("marketplace:change-set", made.pk)
    problems = refused.problems if refused is not None else ()
    context = {
        "whole": [p.message for p in problems if not _is_cell(p)],
        "cells": [_cell(p) for p in problems if _is_cell(p)],
        "most": MOST_OFFERINGS,
        "most_mb": service.MOST_BYTES // 1_000_000,
        "inside": own is None,
    }
    return render(
        request,
        "marketplace/spreadsheet.html",
        context,
        status=refused.status if refused is not None else 200,
    )


def _whose(user: User) -> int | None:
    """None for who keeps the whole catalog. Others than a publisher's people do not find the page."""
    if user.has_role(Role.CATALOG_MANAGER):
        return None
    own = acts_for(user)
    if own is None:
        raise Http404
    return own


def _content(request: HttpRequest) -> bytes:
    given = request.FILES.get("file")
    if not isinstance(given, UploadedFile):
        raise Invalid(Problem("no_file", _("Choose a file first.")))
    if given.size is not None and given.size > service.MOST_BYTES:
        raise Invalid(
            Problem(
                "too_large",
                _("The file is larger than %(MOST_BYTES)s MB: upload it in parts.")
                % {"MOST_BYTES": service.MOST_BYTES // 1000000},
            )
        )
    return bytes(given.read())


def _is_cell(problem: Problem) -> bool:
    return problem.pointer.count("/") == 3


def _cell(problem: Problem) -> WrongCell:
    _empty, sheet, row, column = problem.pointer.split("/")
    headers = next(one.headers for one in SHEETS if one.name == sheet)
    return WrongCell(sheet, row, column, headers[column_index_from_string(column) - 1], problem.message)

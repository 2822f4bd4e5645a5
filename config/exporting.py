"""A list's page hands out the list as a file: the same address with ?format=csv, xlsx or jsonl, the same filters, every page of it."""

import os
import tempfile
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect

from config import clock
from config.exports import (
    CONTENT_TYPES,
    Export,
    Format,
    Table,
    TooManyRows,
    format_named,
    pieces,
    without,
    write_xlsx,
)
from config.lists import HIDE, hidden_in

PARAMETER: Final = "format"
UNSAID: Final = (HIDE,)  # in the address of the page, but no filter
NO_FILTERS: Final = (PARAMETER, "cursor", "before", "page", "choose")  # a file has every page


def asked(request: HttpRequest) -> Format | None:
    """The format of the address; None where the page itself is asked for. Raises Http404 for another than csv, xlsx, jsonl."""
    given = request.GET.get(PARAMETER, "")
    try:
        return format_named(given) if given else None
    except ValueError as unknown:
        raise Http404 from unknown


def answer(
    request: HttpRequest,
    form: Format,
    *,
    name: str,
    title: str,
    table: Table,
    said: Sequence[tuple[str, str]] = (),
    total: int | None = None,
) -> HttpResponseBase:
    """The file, streamed; or back to the page with a message where a sheet cannot hold it. Columns hidden there are not in it.

    name, title, said, total   As Export has them; the page's filters are told without being given.

    CSV and JSON Lines leave while their rows are read: a failure on the way breaks the connection off, so that nobody takes
    half a file for a whole one. XLSX is written to a file that has no name first.
    """
    export = Export(
        name=name,
        title=title,
        table=without(table, hidden_in(request.GET)),
        at=clock.now().astimezone(ZoneInfo(settings.TIME_ZONE)),
        by=str(request.user),
        said=(*said, *_filters(request), *_left_out(request, table)),
        total=total,
    )
    made: HttpResponseBase
    if form == "xlsx":
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the response closes it
        try:
            write_xlsx(export, file)
        except TooManyRows as too_many:
            file.close()
            messages.error(request, str(too_many))
            return redirect(_without_format(request))
        except BaseException:
            file.close()
            raise
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        made = FileResponse(file, content_type=CONTENT_TYPES[form])
        made["Content-Length"] = str(size)
    else:
        made = StreamingHttpResponse(pieces(export, form), content_type=CONTENT_TYPES[form])
    made["Content-Disposition"] = f'attachment; filename="{export.file_name(form)}"'
    made["Cache-Control"] = "private, no-store"
    return made


def _filters(request: HttpRequest) -> list[tuple[str, str]]:
    """What stands in the address, and where it leads: the page with the same rows."""
    chosen = [
        f"{name.replace('_', ' ')}: {value}"
        for name, values in request.GET.lists()
        if name not in (*NO_FILTERS, *UNSAID)
        for value in values
        if value
    ]
    return [
        ("Narrowed to", "; ".join(chosen) or "nothing: all that this person may see"),
        ("Page", request.build_absolute_uri(_without_format(request))),
    ]


def _left_out(request: HttpRequest, table: Table) -> list[tuple[str, str]]:
    hidden = hidden_in(request.GET)
    gone = [column.label for column in table.columns if column.key in hidden]
    return [("Columns left out", ", ".join(gone))] if gone else []


def _without_format(request: HttpRequest) -> str:
    kept = request.GET.copy()
    for name in NO_FILTERS:
        kept.pop(name, None)
    return f"{request.path}?{kept.urlencode()}" if kept else request.path

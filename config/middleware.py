"""A name for each request, so that a log line, a problem answer and an audit event can be brought together; and whose eyes a page is for."""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from django.conf import settings
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.views.defaults import bad_request

from config import locales

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,40}")


def current_request_id() -> str:
    """Of the request being answered; empty outside one."""
    return _request_id.get()


class RequestIdMiddleware:
    """Takes X-Request-ID where it looks like one, else makes one; answers with it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        token = _request_id.set(given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex)
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = _request_id.get()
            return response
        finally:
            _request_id.reset(token)


class ZeroByteMiddleware:
    """PostgreSQL keeps no zero byte and looks for none. Where a view let one through, the request was wrong, and nothing here is broken."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, failure: Exception) -> HttpResponse | None:
        return bad_request(request, failure) if is_zero_byte(failure) else None


def is_zero_byte(failure: Exception) -> bool:
    """As psycopg says it before anything is sent."""
    return isinstance(failure, DataError) and "NUL (0x00)" in str(failure)


API: Final = "/api/"
FILE: Final = "format"  # of a list, as config/exporting.py has it


class ReaderMiddleware:
    """Pages are written as their reader reads: style, time zone and language of the preferences. REST and files are not.

    Whatever happens, nothing stays in effect when the request is over.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(API) or request.GET.get(FILE):
            return self.get_response(request)
        with locales.answering(request, _reader(request)):
            return self.get_response(request)


def _reader(request: HttpRequest) -> locales.Reader | None:
    """Whoever is logged in. Without a session nobody is, and nobody is asked for."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
        return None
    return request.user

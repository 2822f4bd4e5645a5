"""Every refusal as one shape: application/problem+json (RFC 9457).

type        urn:parity:problem:<kind>, one for each title
errors      one entry for each thing that is wrong: code, detail, and where: pointer (into the body) or parameter (of the query);
            whatever else a Problem carries (a replacement, say) stands beside them
request_id  what X-Request-ID says too

A wrong body is 422, whoever found it: the serializer or the service. A wrong query or JSON that cannot be read is 400.
"""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.core.signals import got_request_exception
from django.db import DataError, OperationalError
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults
from psycopg import errors as pg
from rest_framework import exceptions
from rest_framework.settings import api_settings

from config.middleware import current_request_id, is_zero_byte
from config.refusals import Problem, Refusal

MEDIA_TYPE: Final = "application/problem+json"
API: Final = "/api/"

# Kind and title by status; a refusal brings its own title.
KINDS: Final = {
    400: ("bad-request", "The request cannot be understood"),
    401: ("not-authenticated", "Who is asking?"),
    403: ("forbidden", "You may not do that"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "That method does not exist here"),
    406: ("not-acceptable", "There is no such representation"),
    409: ("conflict", "That is not possible in the present state"),
    412: ("stale", "It has changed since you read it"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "Only application/json is read"),
    422: ("invalid", "What was sent cannot be accepted"),
    428: ("precondition-required", "Say which state you saw"),
    429: ("too-many-requests", "Too many requests"),
    500: ("unexpected", "Something went wrong on our side"),
    503: ("unavailable", "Not available right now"),
}
BUSY: Final = (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable, pg.QueryCanceled)
CODES: Final = {"parse_error": "malformed_json", "authentication_failed": "invalid_key"}

log = logging.getLogger("django.request")
Errors = list[dict[str, Any]]


class BadQuery(exceptions.APIException):
    """A parameter of the query is unknown or wrong; the answer names it. Status 400."""

    status_code = 400

    def __init__(self, *problems: tuple[str, str, str]) -> None:
        """problems   (parameter, code, sentence) each."""
        self.problems = problems
        super().__init__("; ".join(sentence for _name, _code, sentence in problems), code="bad_query")


class PreconditionRequired(exceptions.APIException):
    """A change without If-Match could overwrite what somebody else did."""

    status_code = 428
    default_detail = "Send If-Match with the ETag that you read, so that nobody's change is overwritten."
    default_code = "precondition_required"


class TooLarge(exceptions.APIException):
    status_code = 413
    default_detail = "The body is larger than this server reads."
    default_code = "too_large"


def problem(
    *,
    status: int,
    errors: Errors,
    title: str = "",
    detail: str = "",
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """Always JSON, whatever the endpoint writes and whatever was asked for."""
    return JsonResponse(
        document(status=status, errors=errors, title=title, detail=detail),
        status=status,
        content_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def document(*, status: int, errors: Errors, title: str = "", detail: str = "") -> dict[str, Any]:
    """The members of a problem. Without a detail it says what its errors say."""
    kind, usual = KINDS.get(status) or KINDS[400 if status < 500 else 500]
    return {
        "type": f"urn:parity:problem:{kind}",
        "title": title or usual,
        "status": status,
        "detail": detail or " ".join(dict.fromkeys(e["detail"] for e in errors)),
        "errors": errors,
        "request_id": current_request_id(),
    }


def problem_response(failure: Exception, context: Mapping[str, Any]) -> JsonResponse:
    """What DRF calls with whatever a view raised. Never passes anything on: an unexpected error is logged and answered as 500."""
    match failure:
        case Refusal():
            return problem(
                status=failure.status, title=failure.title, errors=[_of_problem(p) for p in failure.problems]
            )
        case BadQuery():
            return problem(
                status=400,
                errors=[
                    {"parameter": name, "code": code, "detail": said} for name, code, said in failure.problems
                ],
            )
        case exceptions.ValidationError():
            return problem(status=422, errors=list(_flat(failure.get_full_details(), "")))
        case exceptions.APIException():
            return _of_framework(failure)
        case Http404():
            return _plain(404, "not_found", "There is nothing here that you can see.")
        case PermissionDenied():
            return _plain(403, "forbidden", "You may not do that.")
        case RequestDataTooBig() | TooManyFieldsSent():
            return _of_framework(TooLarge())
        case DataError() if is_zero_byte(failure):
            return _plain(400, "bad_request", "A text has a zero byte in it.")
        case SuspiciousOperation() | BadRequest():
            return _plain(400, "bad_request", "The request cannot be understood.")
        case OperationalError() if isinstance(failure.__cause__, BUSY):
            log.warning("The database gave up: %s", failure, exc_info=failure)
            return _plain(
                503, "busy", "Others were changing the same things. Try again.", {"Retry-After": "1"}
            )
    return _unexpected(failure, context)


def _unexpected(failure: Exception, context: Mapping[str, Any]) -> JsonResponse:
    request = context.get("request")
    plain = getattr(request, "_request", request)
    got_request_exception.send(sender=None, request=plain)
    log.error("%s %s failed", getattr(plain, "method", ""), getattr(plain, "path", ""), exc_info=failure)
    return _plain(500, "unexpected", "It has been logged under this request id.")


def _plain(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> JsonResponse:
    return problem(status=status, errors=[{"pointer": "", "code": code, "detail": detail}], headers=headers)


def _of_problem(found: Problem) -> dict[str, Any]:
    """With the further fields of a subclass, such as a replacement."""
    more = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    del more["message"]
    return {"pointer": more.pop("pointer"), "code": more.pop("code"), "detail": found.message, **more}


def _of_framework(failure: exceptions.APIException) -> JsonResponse:
    headers = {}
    if said := getattr(failure, "auth_header", None):
        headers["WWW-Authenticate"] = said
    if (wait := getattr(failure, "wait", None)) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    errors = [
        {**error, "code": CODES.get(error["code"], error["code"])}
        for error in _flat(failure.get_full_details(), "")
    ]
    return problem(status=failure.status_code, errors=errors, headers=headers)


def sentences(errors: Any) -> list[tuple[str, str, str]]:
    """A serializer's errors for BadQuery: (parameter, code, sentence) each."""
    found = _flat(exceptions.ValidationError(errors).get_full_details(), "")
    return [(error["pointer"].lstrip("/").split("/")[0], error["code"], error["detail"]) for error in found]


def _flat(details: Any, pointer: str) -> Iterator[dict[str, Any]]:
    """Nested validation errors, each with a JSON pointer (RFC 6901) to its place."""
    if _is_one(details):
        yield {"pointer": pointer, "code": details["code"], "detail": str(details["message"])}
    elif isinstance(details, Mapping):
        for name, inner in details.items():
            here = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _flat(inner, pointer if here else f"{pointer}/{escaped(str(name))}")
    elif isinstance(details, Iterable) and not isinstance(details, str):
        for place, inner in enumerate(details):
            # A list holds either the errors of one place or, for a list of things, the errors of each of them.
            nested = isinstance(inner, Mapping) and not _is_one(inner)
            yield from _flat(inner, f"{pointer}/{place}" if nested else pointer)


def _is_one(details: Any) -> bool:
    """One error, and not the errors of a thing that happens to have the fields message and code."""
    return (
        isinstance(details, Mapping)
        and set(details) == {"message", "code"}
        and isinstance(details["code"], str)
    )


def escaped(name: str) -> str:
    """One reference token of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


# Outside DRF's views: an address of the API that nobody answers, a wrong host, a crash in a middleware.


def _page_or_problem(
    request: HttpRequest, status: int, code: str, detail: str, page: Any
) -> HttpResponseBase:
    if not request.path.startswith(API):
        answer: HttpResponseBase = page()
        return answer
    return _plain(status, code, detail)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    detail = "The request cannot be understood."
    return _page_or_problem(
        request, 400, "bad_request", detail, lambda: defaults.bad_request(request, exception)
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    detail = "You may not do that."
    return _page_or_problem(
        request, 403, "forbidden", detail, lambda: defaults.permission_denied(request, exception)
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    detail = "There is no such address."
    return _page_or_problem(
        request, 404, "not_found", detail, lambda: defaults.page_not_found(request, exception)
    )


def server_error(request: HttpRequest) -> HttpResponseBase:
    detail = "It has been logged under this request id."
    return _page_or_problem(request, 500, "unexpected", detail, lambda: defaults.server_error(request))

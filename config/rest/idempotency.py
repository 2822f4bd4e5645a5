"""Idempotency-Key: a POST that is sent again, because its answer got lost, is not done again.

The work and its remembered answer are one transaction: whatever crashes, there is never one without the other. Should work
still be running when its claim is void (config/claims.py), it fails instead of being done twice.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.db import DatabaseError, transaction
from django.http import HttpResponse, HttpResponseBase
from rest_framework.request import Request

from accounts.models import User
from config import claims, clock
from config.claims import Claim
from config.models import IdempotencyRecord
from config.refusals import Conflict, Invalid, Problem
from config.sealed import seal, unseal

PURPOSE: Final = "idempotent-answer"
HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
LONGEST: Final = 255
KEPT_HEADERS: Final = ("Content-Type", "Location", "ETag", "Cache-Control", "Retry-After")
# Nothing was looked at yet, so the same request may well succeed when it comes again.
NOT_KEPT: Final = frozenset({401, 408, 412, 425, 428, 429})

Handler = Callable[..., HttpResponseBase]


class Overtaken(Conflict):
    """This work took so long that another request has taken over its key; the work is undone."""

    def __init__(self) -> None:
        super().__init__(
            Problem("in_flight", f"Another request with this {HEADER} has taken over. Ask again.")
        )


def idempotent(view: Any, handler: Handler) -> Handler:
    """Wrap a view's POST handler for a request that carries a key."""

    def once(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        key = request.headers[HEADER]
        caller = request.user
        if not isinstance(caller, User):
            return handler(request, *args, **kwargs)
        if not 1 <= len(key) <= LONGEST or not key.isprintable():
            raise Invalid(
                Problem("invalid_idempotency_key", f"{HEADER} is 1 to {LONGEST} printable characters.")
            )
        claimed = _claim(caller, key, _digest(request), clock.now())
        if not isinstance(claimed, Claim):
            return claimed
        try:
            return _work(view, handler, claimed, request, *args, **kwargs)
        except BaseException:
            with suppress(DatabaseError):
                claims.release(claimed)
            raise

    return once


def _work(
    view: Any, handler: Handler, claim: Claim, request: Request, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    try:
        with transaction.atomic():
            answer = _rendered(view, handler(request, *args, **kwargs), request)
            _settle(claim, answer)
            return answer
    except Exception as failure:
        # The work is undone; a refusal is an answer like any other and is remembered too.
        answer = _rendered(view, view.handle_exception(failure), request)
    _settle(claim, answer)
    return answer


def _rendered(view: Any, answer: HttpResponseBase, request: Request) -> HttpResponse:
    finished = view.finalize_response(request, answer, *view.args, **view.kwargs)
    if not isinstance(finished, HttpResponse):
        raise TypeError("An answer that is streamed cannot be remembered.")
    render = getattr(finished, "render", None)
    return render() if render else finished


def is_form(request: Request) -> bool:
    """A form with files: too large to be held as one body, and never the same bytes twice, as each sending has its own boundary."""
    return request._request.content_type == "multipart/form-data"


def _digest(request: Request) -> str:
    plain = request._request
    digest = hashlib.sha256(f"{plain.method} {plain.get_full_path()}\n{plain.content_type}\n".encode())
    for piece in _parts(request) if is_form(request) else (plain.body,):
        digest.update(piece)
    return digest.hexdigest()


def _parts(request: Request) -> Iterator[bytes]:
    """What a form says, in an order of its own; its files are left at their beginnings."""
    form: Any = request.data  # a QueryDict, as no other parser reads this content type
    for name, values in sorted(form.lists()):
        for value in values:
            if isinstance(value, UploadedFile):
                yield f"file {name!r} {value.name!r} {value.size}\n".encode()
                yield from value.chunks()
                value.seek(0)
            else:
                yield f"text {name!r} {value!r}\n".encode()


def _claim(caller: User, key: str, digest: str, at: datetime) -> Claim | HttpResponse:
    """The right to work, or the answer given before. Raises Conflict while another request has it, Invalid if it was for another one."""
    found = claims.claim(caller, key, digest, at)
    if isinstance(found, Claim):
        return found
    if found.request_digest != digest:
        raise Invalid(
            Problem("idempotency_key_reused", f"This {HEADER} belongs to another request. Take a new one.")
        )
    if found.status is not None:
        return _replay(found)
    raise Conflict(
        Problem("in_flight", f"The first request with this {HEADER} is still being answered. Ask again.")
    )


def _settle(claim: Claim, answer: HttpResponse) -> None:
    """Remember the answer, or let go of the key where a repetition should be tried. Raises Overtaken if the claim is lost."""
    mine = claims.in_flight(claim)
    if answer.status_code >= 500 or answer.status_code in NOT_KEPT:
        mine.delete()
        return
    headers = {name: answer[name] for name in KEPT_HEADERS if name in answer}
    # An answer may tell a secret that is told once: it is not kept in the clear.
    body = seal(answer.content.decode(), purpose=PURPOSE)
    if not mine.update(status=answer.status_code, headers=headers, body=body):
        raise Overtaken


def _replay(record: IdempotencyRecord) -> HttpResponse:
    try:
        body = unseal(record.body, purpose=PURPOSE)
    except ValueError:  # remembered by an older release, or sealed under another key of the application
        body = record.body
    answer = HttpResponse(body.encode(), status=record.status, headers=record.headers)
    answer[REPLAYED] = "true"
    return answer

"""What every endpoint is made of, so that none can forget a mechanism.

Resources(...)   rows: list and retrieve over get_queryset(), which starts at what this caller may see
Computed(...)    answers that are worked out: get() returns a Response

Both refuse unknown parameters, answer with ETag and 304, ask for If-Match, honour Idempotency-Key and say what is left
of the caller's rate. Changing something goes like this:

    class Deals(Resources):
        serializer_class = DealResource
        filterset_class = DealFilters
        orderings = {"-close_date": ("-close_date", "-id"), "id": ("id",)}

        def get_queryset(self): return deals_for(self.caller, clock.today())

        def create(self, request): return self.created(log_deal(draft=self.body(NewDeal).draft(), by=self.caller, at=self.at))

        @action(detail=True, methods=["post"])
        def submit(self, request, pk): return self.act(submit_deal, "deal_id")
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import patch_vary_headers
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from accounts.models import User
from config import clock
from config.refusals import Problem, Stale
from config.rest import idempotency, pagination, preconditions
from config.rest.filters import known_to, refuse_twice, refuse_unknown
from config.rest.problems import BadQuery, PreconditionRequired, TooLarge, sentences
from config.rest.representation import PlainJson
from config.uploads import too_long

READS = ("GET", "HEAD")
NEED_MATCH = ("PUT", "PATCH", "DELETE")
ORDERING = "ordering"

Body = TypeVar("Body", bound="serializers.BaseSerializer[Any]")


class Mechanisms(APIView):
    """Parameters, ETags, preconditions, idempotency, rates: for every endpoint, before and after its own code."""

    parameters: ClassVar[Collection[str]] = ()
    """Names that this endpoint reads from the query itself, with query() or by hand."""

    largest_upload: ClassVar[int | None] = None
    """Bytes of the largest file that a POST may bring; a larger one is refused before anything of it is read."""

    _match_was_checked = False

    def known_parameters(self) -> frozenset[str]:
        return frozenset(self.parameters)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if idempotency.HEADER in request.headers and not idempotency.is_form(request):
            _ = request._request.body  # kept for the digest: the check of a session's token reads the stream
        super().initial(request, *args, **kwargs)
        handler = getattr(self, (request.method or "").lower(), None)
        if handler is None:
            return
        known = self.known_parameters()
        refuse_unknown(request.query_params, known)
        refuse_twice(request.query_params, known)
        if request.method in NEED_MATCH and not preconditions.asks_for_match(request):
            raise PreconditionRequired
        most = self.largest_upload if request.method == "POST" else None
        if most is not None and too_long(request._request, most):
            raise TooLarge
        if request.method == "POST" and idempotency.HEADER in request.headers:
            self.post = idempotency.idempotent(self, handler)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if request.method in NEED_MATCH and response.status_code < 300 and not self._match_was_checked:
            raise AssertionError(f"{type(self).__name__} changed something without matched().")
        if request.method in READS and response.status_code == 200 and isinstance(response, Response):
            response = self._tagged(request, response)
        patch_vary_headers(response, ("Authorization", "Cookie"))
        if "Cache-Control" not in response:
            response["Cache-Control"] = (
                "private, no-cache"  # may be kept by its reader, to be asked about each time
            )
        if allowance := getattr(request, "allowance", None):
            allowance.describe(response)
        return response

    def _tagged(self, request: Request, response: Response) -> HttpResponse:
        tag = response.get("ETag") or preconditions.etag(response.render().content)
        response["ETag"] = tag
        return preconditions.not_modified(request._request, tag) or response

    # What an endpoint's own code asks for.

    @cached_property
    def at(self) -> datetime:
        """The one moment of this request."""
        return clock.now()

    @property
    def caller(self) -> User:
        """Who asks; only behind IsAuthenticated."""
        if not isinstance(self.request.user, User):
            raise TypeError("This endpoint lets anybody in: it has no caller.")
        return self.request.user

    def body(self, kind: type[Body], **options: Any) -> Body:
        """The request's body, read and valid. Raises ValidationError with pointers, answered as 422."""
        read = kind(data=self.request.data, context={"request": self.request, "view": self}, **options)
        read.is_valid(raise_exception=True)
        return read

    def query(self, kind: type["serializers.Serializer[Any]"]) -> dict[str, Any]:
        """The request's parameters, read and valid; the view lists their names in `parameters`. Raises BadQuery."""
        read = kind(data=self.request.query_params.dict(), context={"request": self.request, "view": self})
        if not read.is_valid():
            raise BadQuery(*sentences(read.errors))
        return dict(read.validated_data)


class Computed(Mechanisms):
    """An answer that is worked out: subclasses have get(), or post() for one that needs a body."""


class Resources(Mechanisms, GenericViewSet[Any]):
    """Rows that have an address each. get_queryset() begins at what the caller may see: the rest is 404."""

    keyset: ClassVar[Sequence[str]] = pagination.DEFAULT_KEYSET
    orderings: ClassVar[Mapping[str, Sequence[str]]] = {}
    """What ?ordering= may say, and the keys behind it; the last one is unique. Without it, keyset."""
    list_parameters: ClassVar[Collection[str]] = ()
    """Like parameters, of the list alone."""

    def known_parameters(self) -> frozenset[str]:
        if self.action != "list":
            return super().known_parameters()
        own = {*self.list_parameters, *([ORDERING] if self.orderings else [])}
        return (
            super().known_parameters()
            | known_to(getattr(self, "filterset_class", None))
            | pagination.PARAMETERS
            | own
        )

    def get_keyset(self) -> Sequence[str]:
        asked = self.request.query_params.get(ORDERING)
        if asked is None or not self.orderings:
            return self.keyset
        if asked not in self.orderings:
            known = ", ".join(sorted(self.orderings))
            raise BadQuery((ORDERING, "invalid_choice", f"Orders are {known}."))
        return self.orderings[asked]

    def get_object(self) -> Any:
        """404 for what is not there, for what is not the caller's, and for an address that cannot be one."""
        field = self.lookup_url_kwarg or self.lookup_field
        try:
            found = get_object_or_404(
                self.filter_for_object(self.get_queryset()), **{self.lookup_field: self.kwargs[field]}
            )
        except (ValueError, TypeError, OverflowError):
            raise Http404 from None
        self.check_object_permissions(self.request, found)
        return found

    def filter_for_object(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        """A list's filters do not hide a single row; a subclass may narrow or prefetch here."""
        return rows

    def represent(self, row: Any) -> dict[str, Any]:
        """As retrieve answers it; its ETag is made of this."""
        return dict(self.get_serializer(row).data)

    def etag_of(self, row: Any) -> str:
        return preconditions.etag(PlainJson().render(self.represent(row)))

    def matched(self, row: Any) -> int | None:
        """The revision for the service to check again under its lock; None where the caller did not ask.

        Raises Stale if If-Match names another state than the one *row* is in.
        """
        self._match_was_checked = True
        request = self.request._request
        if not preconditions.asks_for_match(request):
            return None
        if not preconditions.matches(request, self.etag_of(row)):
            raise Stale(Problem("stale", "It has changed since you read it: read it again and decide anew."))
        return getattr(row, "revision", None)

    def answer(self, row: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """One resource with its ETag."""
        body = self.represent(row)
        tag = preconditions.etag(PlainJson().render(body))
        return Response(body, status=status, headers={**(headers or {}), "ETag": tag})

    def created(self, row: Model) -> Response:
        """201 with the new resource and its address; read again, as the caller will see it."""
        fresh = get_object_or_404(self.get_queryset(), pk=row.pk)
        field = self.lookup_url_kwarg or self.lookup_field
        where = self.reverse_action("detail", kwargs={field: getattr(fresh, self.lookup_field)})
        return self.answer(fresh, status=201, headers={"Location": where})

    def act(self, service: Callable[..., Any], named: str, **more: Any) -> Response:
        """Call service(<named>=pk, by=, at=, expected_revision=, **more) on the addressed row and answer with what it has become."""
        row = self.get_object()
        revision = self.matched(row)
        service(**{named: row.pk}, by=self.caller, at=self.at, expected_revision=revision, **more)
        return self.answer(get_object_or_404(self.get_queryset(), pk=row.pk))

    # Subclasses that have neither list nor retrieve set http methods by their routes.

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)

    def retrieve(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        return self.answer(self.get_object())

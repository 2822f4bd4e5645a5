"""The changes of the catalog as Atom and as JSON Feed, for feed readers: by a personal address, by API key, or logged in."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.feedgenerator import Atom1Feed
from django.utils.html import escape
from django.views.decorators.http import require_safe

from accounts import api_keys
from accounts.models import User
from accounts.scopes import Scope, within
from config import clock, formats, locales
from config.language import _
from config.rest.preconditions import etag, not_modified
from marketplace.models import CatalogChange
from marketplace.selectors.changes import KINDS, Asked, changes_for, chosen, newest_first, page_of
from marketplace.selectors.visibility import publishers_for
from marketplace.services.feeds import owner_of

NEWEST: Final = 100
PARAMETERS: Final = frozenset({"kind", "publisher", "key"})
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)  # of an empty feed, so that it too stays the same


class Refused(Exception):
    """With the answer that says why."""

    def __init__(self, status: int, why: str) -> None:
        self.answer = HttpResponse(f"{why}\n", status=status, content_type="text/plain; charset=utf-8")
        self.answer["Cache-Control"] = "no-store"
        if status == 401:
            self.answer["WWW-Authenticate"] = 'Bearer realm="Parity"'


@dataclass(frozen=True, slots=True)
class Feed:
    """What both forms of the feed are made of; addresses are absolute."""

    title: str
    home: str
    address: str
    author: str
    changes: list[CatalogChange]
    absolute: Callable[[str], str]

    @property
    def updated(self) -> datetime:
        return max((change.at for change in self.changes), default=EPOCH)


class _Atom(Atom1Feed):
    """Django's, but an empty feed does not claim to have changed just now."""

    def latest_post_date(self) -> datetime:
        return super().latest_post_date() if self.items else EPOCH


@require_safe
@locales.as_data
def atom(request: HttpRequest) -> HttpResponse:
    return _answer(request, _as_atom, "application/atom+xml; charset=utf-8")


@require_safe
@locales.as_data
def json_feed(request: HttpRequest) -> HttpResponse:
    return _answer(request, _as_json, "application/feed+json; charset=utf-8")


def _answer(request: HttpRequest, written: Callable[[Feed], bytes], content_type: str) -> HttpResponse:
    """With a strong ETag, and 304 for who has it. 3 queries."""
    try:
        feed = _feed(request, _reader(request), _asked(request))
    except Refused as refused:
        return refused.answer
    content = written(feed)
    tag = etag(content)
    answer = not_modified(request, tag) or HttpResponse(content, content_type=content_type)
    answer["ETag"] = answer.get("ETag", tag)
    answer["Last-Modified"] = format_datetime(feed.updated.astimezone(UTC), usegmt=True)
    answer["Cache-Control"] = "private, no-cache"
    patch_vary_headers(answer, ("Authorization", "Cookie"))
    return answer


def _reader(request: HttpRequest) -> User:
    """Who reads. Raises Refused; nothing tells a wrong key from one that was replaced or withdrawn."""
    if "key" in request.GET:
        owner = owner_of(request.GET["key"])
        if owner is None:
            raise Refused(
                401, _("This feed address is not valid any more: take the present one from Parity.")
            )
        return owner
    words = request.headers.get("Authorization", "").split()
    if words and words[0].lower() == "bearer":
        at = clock.now()
        key = api_keys.find(words[1], at) if len(words) == 2 else None
        if key is None:
            raise Refused(401, _("This key is not valid."))
        if not within(key.scopes, Scope.CATALOG_READ):
            raise Refused(
                403, _("This key does not have the scope %(value)s.") % {"value": Scope.CATALOG_READ.value}
            )
        api_keys.note_use(key, at)
        return key.user
    if isinstance(request.user, User):
        return request.user
    raise Refused(
        401, _("Ask with your own feed address, which Parity shows under What is new, or with an API key.")
    )


def _asked(request: HttpRequest) -> Asked:
    """Raises Refused for a parameter or a kind that is not known; an unknown publisher has no changes."""
    unknown = sorted(set(request.GET) - PARAMETERS)
    kinds = _several(request.GET.get("kind", ""))
    if unknown:
        raise Refused(
            400,
            _("%(unknown)s is not known here: parameters are kind and publisher.")
            % {"unknown": ", ".join(unknown)},
        )
    if wrong := [kind for kind in kinds if kind not in KINDS]:
        raise Refused(
            400,
            _("%(wrong)s is no kind of change: they are %(KINDS)s.")
            % {"wrong": ", ".join(wrong), "KINDS": ", ".join(KINDS)},
        )
    return Asked(kinds, _several(request.GET.get("publisher", "")))


def _several(written: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in written.split(",")) if word)


def _feed(request: HttpRequest, reader: User, asked: Asked) -> Feed:
    """No name of a publisher is in the title unless the reader sees a change of it."""
    changes = list(newest_first(chosen(changes_for(reader), asked))[:NEWEST])
    parts = [KINDS[kind].lower() for kind in asked.kinds]
    if changes and asked.publishers:
        parts += (
            publishers_for(reader)
            .filter(slug__in=asked.publishers)
            .order_by("name")
            .values_list("name", flat=True)
        )
    title = _("Changes of the catalog") + (f": {', '.join(parts)}" if parts else "")
    return Feed(
        title=title,
        home=request.build_absolute_uri(reverse("marketplace:changes")),
        address=request.build_absolute_uri(),
        author=str(settings.OPERATOR["name"]),
        changes=changes,
        absolute=request.build_absolute_uri,
    )


def tag_of(number: int | None = None) -> str:
    """A name that stays whatever happens to addresses (RFC 4151): of the feed, or of one change."""
    authority = (urlsplit(settings.SITE_URL).hostname or "localhost").lower()
    return (f"tag:{authority},2026:catalog") + ("" if number is None else f"/changes/{number}")


def _text(change: CatalogChange) -> str:
    return _("%(what)s From %(first_day)s.") % {
        "what": change.what,
        "first_day": formats.day(change.first_day),
    }


def _categories(change: CatalogChange) -> list[str]:
    publisher = change.offering.publisher if change.offering is not None else change.publisher
    return [word for word in (change.kind, publisher.slug if publisher else "", change.program) if word]


def _as_atom(feed: Feed) -> bytes:
    written = _Atom(
        title=feed.title,
        link=feed.home,
        description="",
        language="en",
        author_name=feed.author,
        feed_url=feed.address,
        feed_guid=tag_of(),
    )
    for change in feed.changes:
        written.add_item(
            title=change.what,
            link=feed.absolute(page_of(change)),
            description=escape(_text(change)),
            unique_id=tag_of(change.number),
            pubdate=change.at,
            updateddate=change.at,
            categories=_categories(change),
        )
    text: str = written.writeString("utf-8")
    return text.encode()


def _as_json(feed: Feed) -> bytes:
    """JSON Feed 1.1."""
    body = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": feed.home,
        "feed_url": feed.address,
        "language": "en",
        "authors": [{"name": feed.author}],
        "items": [
            {
                "id": tag_of(change.number),
                "url": feed.absolute(page_of(change)),
                "title": change.what,
                "content_text": _text(change),
                "date_published": change.at.isoformat(),
                "tags": _categories(change),
            }
            for change in feed.changes
        ],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

"""Webhooks as Standard Webhooks have them: signed, thin, sent at least once under one id, tried for days, then given up.

What is owed is a row, written in the transaction that numbers the change. A worker takes what is due by moving its next
attempt behind a lease and commits that before it sends; killed in between, it leaves a row that comes due again, and the
receiver sees the same webhook-id twice. Sending happens outside every transaction, side by side for different endpoints.
"""

import base64
import hashlib
import hmac
import json
import logging
import secrets as randomness
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, time
from typing import Any, Final
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.urls import reverse

from accounts.audit import acting
from accounts.models import User
from config.celery import ask
from config.outbox import promise
from config.refusals import Conflict, NotFound, Problem, Stale, refuse_if_any
from config.sealed import seal, unseal
from marketplace.models import (
    CatalogChange,
    DeliveryState,
    Publisher,
    PublisherMembership,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)
from marketplace.selectors.webhooks import CHANGE_SET_DECIDED, KINDS, OF_A_CHANGE, PING, endpoints_for
from marketplace.services.sending import Outcome, problem_of_url, send

TASK: Final = "marketplace.deliver_webhooks"
PREFIX: Final = "whsec_"
BOTH_HOLD: Final = timedelta(hours=24)
MOST_ENDPOINTS: Final = 20

# How long after the first, second ... failed attempt the next one comes; after the last there is none.
WAITS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
LEASE: Final = timedelta(minutes=2)
DISABLED_AFTER: Final = timedelta(days=5)
LONGEST_PAUSE: Final = timedelta(minutes=30)
BATCH: Final = 200
IN_A_ROW: Final = 20
SIDE_BY_SIDE: Final = 16
ONE_PASS: Final = 20.0  # seconds of real time; what is not sent by then goes back
MOST_REPLAYED: Final = 1000
KEPT: Final = timedelta(days=90)
MOST_FORGOTTEN: Final = 50_000

log = logging.getLogger(__name__)

Sender = Callable[[str, Mapping[str, str], bytes], Outcome]


# --- endpoints and their secrets


@transaction.atomic
def register_endpoint(
    *, url: str, kinds: Sequence[str], about: str, by: User, at: datetime
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which nobody can read again. Of the person's publisher, else of the operator.

    kinds    Event types that it wants; empty is all.
    Raises   NotFound for who has no endpoints; Invalid; Conflict (url_taken, too_many_endpoints).
    """
    acting(by=by, at=at)
    publisher_id = _acts_for(by)
    refuse_if_any(_problems(url, kinds, about))
    there = WebhookEndpoint.objects.filter(publisher=publisher_id, removed_at=None)
    if there.filter(url=url).exists():
        raise Conflict(Problem("url_taken", "There is an endpoint with this address already.", "/url"))
    if there.count() >= MOST_ENDPOINTS:
        raise Conflict(Problem("too_many_endpoints", f"{MOST_ENDPOINTS} endpoints are the most: remove one."))
    endpoint = WebhookEndpoint.objects.create(
        publisher_id=publisher_id,
        url=url,
        about=about.strip(),
        kinds=sorted(set(kinds)),
        made_by=by,
        made_at=at,
    )
    return endpoint, _new_secret(endpoint, at)


@transaction.atomic
def edit_endpoint(
    *,
    endpoint_id: int,
    by: User,
    at: datetime,
    url: str | None = None,
    kinds: Sequence[str] | None = None,
    about: str | None = None,
    expected_revision: int | None = None,
) -> WebhookEndpoint:
    """Change what is given. Raises NotFound, Stale, Invalid, Conflict (url_taken)."""
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    wanted = endpoint.url if url is None else url
    refuse_if_any(_problems(wanted, kinds or (), about or ""))
    same = WebhookEndpoint.objects.filter(publisher=endpoint.publisher_id, removed_at=None, url=wanted)
    if same.exclude(pk=endpoint.pk).exists():
        raise Conflict(Problem("url_taken", "There is an endpoint with this address already.", "/url"))
    endpoint.url = wanted
    if kinds is not None:
        endpoint.kinds = sorted(set(kinds))
    if about is not None:
        endpoint.about = about.strip()
    return _saved(endpoint)


@transaction.atomic
def rotate_secret(
    *, endpoint_id: int, by: User, at: datetime, expected_revision: int | None = None
) -> tuple[WebhookEndpoint, str]:
    """A new secret. The one before it signs beside it for a day, so that a receiver can change over; older ones end at once."""
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    holding = list(_holding(endpoint.secrets.all(), at).order_by("-id"))
    if holding:
        endpoint.secrets.filter(pk=holding[0].pk, expires_at=None).update(expires_at=at + BOTH_HOLD)
        endpoint.secrets.exclude(pk=holding[0].pk).delete()
    secret = _new_secret(endpoint, at)
    return _saved(endpoint), secret


@transaction.atomic
def disable_endpoint(
    *, endpoint_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> WebhookEndpoint:
    """Nothing more is sent to it; what waited is given up and can be replayed. Twice changes nothing."""
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    if endpoint.disabled_at is None:
        _disable(endpoint, reason.strip()[:200] or "Disabled by hand", at)
    return endpoint


@transaction.atomic
def enable_endpoint(
    *, endpoint_id: int, by: User, at: datetime, expected_revision: int | None = None
) -> WebhookEndpoint:
    """It hears of what happens from now on; what it missed is in the change feed, what was given up can be replayed."""
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    if endpoint.disabled_at is None:
        return endpoint
    endpoint.disabled_at, endpoint.disabled_why, endpoint.failing_since = None, "", None
    return _saved(endpoint)


@transaction.atomic
def remove_endpoint(
    *, endpoint_id: int, by: User, at: datetime, expected_revision: int | None = None
) -> WebhookEndpoint:
    """For good. Its secrets are deleted, its log stays in the database for the audit."""
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    endpoint.removed_at = at
    endpoint.secrets.all().delete()
    _give_up_what_waits(endpoint)
    return _saved(endpoint)


def _acts_for(by: User) -> int | None:
    """The publisher whose endpoints *by* keeps; None is the operator. Raises NotFound for who keeps none."""
    membership = PublisherMembership.objects.filter(user=by).first()
    if membership is not None:
        return membership.publisher_id
    if by.has_role("catalog_manager"):
        return None
    raise NotFound.of("no_webhooks", "You act for no publisher: there is nothing to tell you about.")


def _problems(url: str, kinds: Sequence[str], about: str) -> list[Problem]:
    found = []
    if wrong := problem_of_url(url, loopback=settings.WEBHOOKS_TO_LOOPBACK):
        found.append(wrong)
    for place, kind in enumerate(kinds):
        if kind not in KINDS:
            found.append(Problem("unknown_kind", f"Event types are {', '.join(KINDS)}.", f"/kinds/{place}"))
    if len(about) > 200:
        found.append(Problem("too_long", "Say it in at most 200 characters.", "/about"))
    return found


def _locked(endpoint_id: int, by: User, at: datetime, expected_revision: int | None) -> WebhookEndpoint:
    """One of the person's own, locked. Raises NotFound, Stale."""
    acting(by=by, at=at)
    endpoint = endpoints_for(by).select_for_update(of=("self",)).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound.of("unknown_endpoint", "There is no such endpoint.")
    if expected_revision is not None and endpoint.revision != expected_revision:
        raise Stale(Problem("stale", "Somebody changed this endpoint meanwhile. Read it again, then decide."))
    return endpoint


def _saved(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    endpoint.revision += 1
    endpoint.save()
    return endpoint


def _disable(endpoint: WebhookEndpoint, why: str, at: datetime) -> None:
    endpoint.disabled_at, endpoint.disabled_why = at, why
    _give_up_what_waits(endpoint)
    _saved(endpoint)


def _give_up_what_waits(endpoint: WebhookEndpoint) -> None:
    endpoint.deliveries.filter(state=DeliveryState.WAITING).update(state=DeliveryState.GIVEN_UP, next_at=None)


def _new_secret(endpoint: WebhookEndpoint, at: datetime) -> str:
    secret = PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()
    WebhookSecret.objects.create(
        endpoint=endpoint, sealed=seal(secret, purpose=_purpose(endpoint.pk)), made_at=at
    )
    return secret


def _purpose(endpoint_id: int) -> str:
    """A secret copied to another endpoint's row does not open there."""
    return f"webhook-secret-{endpoint_id}"


def _holding(secrets: QuerySet[WebhookSecret], at: datetime) -> QuerySet[WebhookSecret]:
    return secrets.filter(Q(expires_at=None) | Q(expires_at__gt=at))


# --- what is owed


def owe_changes(changes: Sequence[CatalogChange], *, at: datetime) -> int:
    """One delivery for each numbered change and each endpoint that wants it; in the transaction that numbers. 2 to 3 queries.

    A publisher hears of its own offerings and of what is decided for it or for a commercial path that it sells on;
    an endpoint of the operator hears of everything.
    """
    endpoints = _listening()
    if not endpoints or not changes:
        return 0
    paths = _paths_of(endpoints) if any(c.commercial_path for c in changes) else {}
    rows = []
    for change in changes:
        kind = OF_A_CHANGE[change.kind]
        payload: dict[str, Any] | None = None
        for endpoint in endpoints:
            if endpoint.kinds and kind not in endpoint.kinds:
                continue
            if endpoint.publisher_id is not None and not _concerns(change, endpoint.publisher_id, paths):
                continue
            payload = payload or _payload(kind, change.at, _about(change))
            rows.append(_delivery(endpoint, f"change-{change.number}", kind, payload, at))
    return _owe(rows)


def owe_decision(
    *, change_set_id: int, revision: int, state: str, publisher_id: int | None, at: datetime
) -> int:
    """A change set was decided on: tell its publisher's endpoints, or the operator's for a set of the operator's own.

    In the transaction that decides. *revision* names the decision: the same one again owes nothing more. 2 queries.
    """
    data = {
        "change_set": change_set_id,
        "state": state,
        "url": _absolute(f"/api/v1/change-sets/{change_set_id}/"),
    }
    payload = _payload(CHANGE_SET_DECIDED, at, data)
    return _owe(
        [
            _delivery(endpoint, f"change-set-{change_set_id}-{revision}", CHANGE_SET_DECIDED, payload, at)
            for endpoint in _listening()
            if endpoint.publisher_id in (publisher_id, None)
            and (not endpoint.kinds or CHANGE_SET_DECIDED in endpoint.kinds)
        ]
    )


@transaction.atomic
def ping(
    *, endpoint_id: int, by: User, at: datetime, expected_revision: int | None = None
) -> WebhookDelivery:
    """Owe one message that says nothing, to see whether it arrives. Raises NotFound, Stale, Conflict (disabled)."""
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    _must_be_enabled(endpoint)
    delivery = _delivery(
        endpoint, f"ping-{uuid4().hex}", PING, _payload(PING, at, {"endpoint": endpoint.pk}), at
    )
    delivery.save()
    _ask()
    return delivery


@transaction.atomic
def replay(*, delivery_id: int, by: User, at: datetime) -> WebhookDelivery:
    """Owe a message once more, under the same webhook-id. Raises NotFound, Conflict (disabled, still_waiting)."""
    acting(by=by, at=at)
    first = (
        WebhookDelivery.objects.filter(pk=delivery_id, endpoint__in=endpoints_for(by).values("pk"))
        .select_related("replay_of")
        .first()
    )
    if first is None:
        raise NotFound.of("unknown_delivery", "There is no such delivery.")
    endpoint = _locked(first.endpoint_id, by, at, None)
    _must_be_enabled(endpoint)
    original = first.replay_of or first
    if _of_message(original).filter(state=DeliveryState.WAITING).exists():
        raise Conflict(Problem("still_waiting", "This message is still going to be tried: wait for it."))
    again = _again(original, at)
    again.save()
    _ask()
    return again


@transaction.atomic
def replay_failed(
    *, endpoint_id: int, since: datetime, by: User, at: datetime, expected_revision: int | None = None
) -> int:
    """Owe again, oldest first, what was given up since then and has arrived by no replay. Twice owes nothing more.

    Returns how many, MOST_REPLAYED at most. Raises NotFound, Stale, Conflict (disabled).
    """
    endpoint = _locked(endpoint_id, by, at, expected_revision)
    _must_be_enabled(endpoint)
    under_way = WebhookDelivery.objects.filter(replay_of=OuterRef("pk")).exclude(state=DeliveryState.GIVEN_UP)
    missed = endpoint.deliveries.filter(
        ~Exists(under_way), replay_of=None, state=DeliveryState.GIVEN_UP, made_at__gte=since
    ).order_by("id")[:MOST_REPLAYED]
    return _owe([_again(delivery, at) for delivery in missed])


def _listening() -> list[WebhookEndpoint]:
    return list(WebhookEndpoint.objects.filter(disabled_at=None, removed_at=None).order_by("id"))


def _paths_of(endpoints: Sequence[WebhookEndpoint]) -> dict[int, set[str]]:
    """Publisher to the commercial paths that it sells on."""
    found: dict[int, set[str]] = {}
    asked = {e.publisher_id for e in endpoints if e.publisher_id is not None}
    rows = Publisher.objects.filter(pk__in=asked, offerings__isnull=False)
    for publisher_id, path in rows.values_list("pk", "offerings__commercial_path").distinct():
        found.setdefault(publisher_id, set()).add(path)
    return found


def _concerns(change: CatalogChange, publisher_id: int, paths: Mapping[int, Collection[str]]) -> bool:
    if change.offering is not None:
        return change.offering.publisher_id == publisher_id
    if change.publisher_id is not None:
        return change.publisher_id == publisher_id
    return change.commercial_path in paths.get(publisher_id, ())


def _about(change: CatalogChange) -> dict[str, Any]:
    """Thin: what it is and where to read the rest, as whoever reads may."""
    publisher = change.offering.publisher if change.offering is not None else change.publisher
    return {
        "number": change.number,
        "kind": change.kind,
        "offering": change.offering.slug if change.offering is not None else None,
        "publisher": publisher.slug if publisher is not None else None,
        "commercial_path": change.commercial_path or None,
        "program": change.program or None,
        "first_day": change.first_day.isoformat(),
        "url": _absolute(reverse("change-detail", args=[change.number])),
    }


def _absolute(path: str) -> str:
    return f"{settings.SITE_URL}{path}"


def _payload(kind: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "timestamp": at.isoformat(), "data": data}


def _delivery(
    endpoint: WebhookEndpoint, message: str, kind: str, payload: dict[str, Any], at: datetime
) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint=endpoint, message=message, kind=kind, payload=payload, next_at=at, made_at=at
    )


def _again(original: WebhookDelivery, at: datetime) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint_id=original.endpoint_id,
        message=original.message,
        kind=original.kind,
        payload=original.payload,
        next_at=at,
        made_at=at,
        replay_of=original,
    )


def _of_message(original: WebhookDelivery) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(Q(pk=original.pk) | Q(replay_of=original.pk))


def _owe(rows: Sequence[WebhookDelivery]) -> int:
    """Each once: what was owed to an endpoint before under the same id is not owed again."""
    if rows:
        WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
        _ask()
    return len(rows)


def _ask() -> None:
    transaction.on_commit(lambda: ask(TASK), robust=True)


def _must_be_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise Conflict(Problem("disabled", "This endpoint is disabled: enable it first."))


@transaction.atomic
def forget_old(*, at: datetime) -> int:
    """Delete what was delivered, given up and replayed more than KEPT ago, with its attempts. Returns how many messages."""
    old = WebhookDelivery.objects.filter(made_at__lt=at - KEPT, replay_of=None).exclude(
        state=DeliveryState.WAITING
    )
    young = WebhookDelivery.objects.filter(replay_of=OuterRef("pk"), made_at__gte=at - KEPT)
    ids = list(old.filter(~Exists(young)).values_list("pk", flat=True)[:MOST_FORGOTTEN])
    WebhookDelivery.objects.filter(pk__in=ids).delete()
    return len(ids)


# --- sending


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Everything that a thread needs to send one delivery; it reads nothing from the database."""

    delivery_id: int
    endpoint_id: int
    attempts: int
    message: str
    url: str
    body: bytes
    secrets: tuple[str, ...]


def deliver_due(*, at: datetime, sender: Sender | None = None) -> int:
    """Send what is due, one after another to each endpoint and side by side to different ones. Returns how many were tried.

    An endpoint that fails once is left alone for the rest of the pass: what else it is owed goes back untried and comes with
    the next attempt. A pass takes ONE_PASS seconds and the attempts then under way; safe beside itself.
    """
    queues: dict[int, list[_Parcel]] = {}
    for parcel in _take(at):
        queues.setdefault(parcel.endpoint_id, []).append(parcel)
    if not queues:
        return 0
    deliver = sender or _send
    until = monotonic() + ONE_PASS
    tried = 0
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(queues)), thread_name_prefix="webhook") as pool:
        under_way: dict[Future[Outcome], _Parcel] = {}

        def next_of(queue: list[_Parcel]) -> None:
            parcel = queue.pop(0)
            under_way[pool.submit(_attempt, parcel, deliver)] = parcel

        for queue in queues.values():
            next_of(queue)
        while under_way:
            done, _rest = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                parcel = under_way.pop(future)
                outcome = future.result()
                _note(parcel, outcome, at)
                tried += 1
                queue = queues[parcel.endpoint_id]
                if outcome.delivered and queue and monotonic() < until:
                    next_of(queue)
                elif queue:
                    _put_back(queue, at)
                    queue.clear()
                if not outcome.delivered:
                    _pause(parcel.endpoint_id, at)
    return tried


def signature(*, message: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The webhook-signature header: v1 and base64 of HMAC-SHA256 over id.timestamp.body, once for each secret."""
    signed = f"{message}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()
        for secret in secrets
    )


def headers_of(*, message: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "Parity-Webhooks/1",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(message=message, timestamp=timestamp, body=body, secrets=secrets),
    }


def body_of(payload: Mapping[str, Any]) -> bytes:
    """The bytes that are signed and sent: the same in every attempt and replay."""
    return json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))


def _send(url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
    return send(url, headers, body, loopback=settings.WEBHOOKS_TO_LOOPBACK)


def _attempt(parcel: _Parcel, deliver: Sender) -> Outcome:
    if not parcel.secrets:
        return Outcome(None, "It has no secret to sign with: rotate it.", 0)
    # A receiver compares the timestamp with its own clock, so this is real time, whatever business date is shown.
    headers = headers_of(
        message=parcel.message, timestamp=int(time()), body=parcel.body, secrets=parcel.secrets
    )
    try:
        return deliver(parcel.url, headers, parcel.body)
    except Exception as failure:  # a bug must not stop the others; the log has its traceback
        log.exception("Delivery %s could not be sent", parcel.delivery_id)
        return Outcome(None, f"It could not be sent: {type(failure).__name__}.", 0)


@transaction.atomic
def _take(at: datetime) -> list[_Parcel]:
    """What is due, now leased: others skip it, and it comes due again should this worker be killed. 4 queries.

    Every endpoint gets its turn: a thousand messages for one do not stand before the first of another.
    """
    turn = Window(RowNumber(), partition_by="endpoint_id", order_by=["next_at", "id"])
    in_turn = (
        # What is further ahead than any wait reaches is void: the demo's clock goes back at midnight.
        WebhookDelivery.objects.filter(
            Q(next_at__lte=at) | Q(next_at__gt=at + WAITS[-1] + LEASE), state=DeliveryState.WAITING
        )
        .filter(endpoint__disabled_at=None, endpoint__removed_at=None)
        .annotate(turn=turn)
        .filter(turn__lte=IN_A_ROW)
        .order_by("turn", "next_at", "id")
        .values_list("pk", flat=True)[:BATCH]
    )
    due = list(
        WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(pk__in=list(in_turn), state=DeliveryState.WAITING)
        .filter(Q(next_at__lte=at) | Q(next_at__gt=at + WAITS[-1] + LEASE))  # taken by nobody in between
        .select_related("endpoint")
        .order_by("next_at", "id")
    )
    WebhookDelivery.objects.filter(pk__in=[d.pk for d in due]).update(
        next_at=at + LEASE, attempts=F("attempts") + 1
    )
    secrets: dict[int, list[str]] = {}
    for row in _holding(WebhookSecret.objects.filter(endpoint__in={d.endpoint_id for d in due}), at).order_by(
        "-id"
    ):
        try:
            opened = unseal(row.sealed, purpose=_purpose(row.endpoint_id))
        except ValueError:  # sealed under another key of the application
            continue
        secrets.setdefault(row.endpoint_id, []).append(opened)
    return [
        _Parcel(
            d.pk,
            d.endpoint_id,
            d.attempts + 1,
            d.message,
            d.endpoint.url,
            body_of(d.payload),
            tuple(secrets.get(d.endpoint_id, ())),
        )
        for d in due
    ]


@transaction.atomic
def _note(parcel: _Parcel, outcome: Outcome, at: datetime) -> None:
    """What came of one attempt, and what follows from it."""
    acting(by=None, at=at, reason="Webhook delivery")
    endpoint = WebhookEndpoint.objects.select_for_update().get(pk=parcel.endpoint_id)
    WebhookAttempt.objects.create(
        delivery_id=parcel.delivery_id,
        at=at,
        status=outcome.status,
        error=outcome.error[:300],
        milliseconds=outcome.milliseconds,
    )
    mine = WebhookDelivery.objects.filter(pk=parcel.delivery_id).exclude(state=DeliveryState.DELIVERED)
    if outcome.delivered:
        mine.update(state=DeliveryState.DELIVERED, delivered_at=at, next_at=None)
        if endpoint.failing_since is not None:
            WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=None)
        return
    mine = mine.filter(state=DeliveryState.WAITING)  # disabled or removed meanwhile: it stays given up
    if parcel.attempts > len(WAITS):
        mine.update(state=DeliveryState.GIVEN_UP, next_at=None)
    else:
        mine.update(next_at=at + _wait_after(parcel.attempts, outcome))
    if endpoint.disabled_at is not None or endpoint.removed_at is not None:
        return
    # The demo's clock goes back at midnight: what is ahead of it began today.
    if endpoint.failing_since is None or endpoint.failing_since > at:
        endpoint.failing_since = at
        endpoint.save(update_fields=["failing_since"])
    if outcome.status == 410:
        _disable(endpoint, "It answered 410: it is gone.", at)
        _tell_its_people(endpoint, at)
    elif at - endpoint.failing_since >= DISABLED_AFTER:
        _disable(
            endpoint, f"Nothing arrived since {endpoint.failing_since:%-d %b %Y}: {outcome.error}"[:200], at
        )
        _tell_its_people(endpoint, at)


def _wait_after(attempts: int, outcome: Outcome) -> timedelta:
    planned = WAITS[attempts - 1]
    if outcome.status in (429, 503) and outcome.retry_after is not None:
        return max(planned, min(timedelta(seconds=outcome.retry_after), WAITS[-1]))
    return planned


def _put_back(parcels: Sequence[_Parcel], at: datetime) -> None:
    """Untried: the attempt is not counted."""
    WebhookDelivery.objects.filter(
        pk__in=[p.delivery_id for p in parcels], state=DeliveryState.WAITING
    ).update(next_at=at, attempts=F("attempts") - 1)


def _pause(endpoint_id: int, at: datetime) -> None:
    """What else an endpoint is owed waits as long as it has been failing: 5 seconds at first, half an hour at most."""
    endpoint = WebhookEndpoint.objects.get(pk=endpoint_id)
    failing = at - endpoint.failing_since if endpoint.failing_since is not None else timedelta()
    until = at + min(max(failing, WAITS[0]), LONGEST_PAUSE)
    endpoint.deliveries.filter(state=DeliveryState.WAITING, next_at__lte=at).update(next_at=until)


def _tell_its_people(endpoint: WebhookEndpoint, at: datetime) -> None:
    """Whoever made it, and everybody else who acts for its publisher."""
    people = {endpoint.made_by_id}
    if endpoint.publisher_id is not None:
        members = PublisherMembership.objects.filter(publisher=endpoint.publisher_id)
        people |= set(members.values_list("user_id", flat=True))
    promise(
        topic="accounts.notify",
        key=f"webhook-disabled:{endpoint.pk}:{endpoint.revision}",
        payload={
            "user_ids": sorted(people),
            "key": f"webhook-disabled:{endpoint.pk}:{endpoint.revision}",
            "text": f"Webhook endpoint {endpoint.url[:120]} was disabled. {endpoint.disabled_why}"[:300],
            "url": reverse("marketplace:webhook", args=[endpoint.pk]),
        },
        at=at,
    )

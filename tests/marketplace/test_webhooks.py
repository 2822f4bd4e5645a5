"""Webhooks: owed with the change, signed, sent at least once to where they may go, tried for days, replayed, never another's."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.db import connection, connections, transaction
from django.db.models import Min
from django.test import Client
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from accounts.models import AuditEvent, Notification, Role, User
from config import outbox
from config.models import IdempotencyRecord, OutboxMessage
from config.refusals import Conflict, Invalid, NotFound, Stale
from marketplace import tasks
from marketplace.extension import Change
from marketplace.models import (
    DeliveryState,
    Offering,
    Publication,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)
from marketplace.services import sending, webhooks
from marketplace.services.sending import Outcome, is_public, problem_of_url, send
from marketplace.services.telling import tell
from marketplace.services.webhooks import WAITS, deliver_due
from tests import make
from tests.test_worker import PATIENCE, broker, worker

pytestmark = pytest.mark.django_db

AT, TODAY = make.AT, make.TODAY
FINE, GONE, BROKEN = (
    Outcome(204, "", 3),
    Outcome(410, "It answered 410.", 3),
    Outcome(500, "It answered 500.", 3),
)
_keys = count(1)


# --- a receiver


@dataclass
class Receiver:
    """A real server in a thread that keeps what it was sent and answers as it is told."""

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pause: float = 0.0
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def message(self, place: int = -1) -> dict[str, str]:
        return self.taken[place][1]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.taken.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(kept.pause)
            self.send_response(kept.status)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(kept.body)))
            self.end_headers()
            self.wfile.write(kept.body)

        do_GET = do_POST  # noqa: N815 -- what the server calls

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
    yield kept
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def partner() -> User:
    return make.user(role=Role.PARTNER)


def publisher_of(user: User) -> Any:
    return user.publisher_membership.publisher


def registered(
    by: User, url: str = "https://hooks.example.com/in", kinds: tuple[str, ...] = ()
) -> tuple[WebhookEndpoint, str]:
    return webhooks.register_endpoint(url=url, kinds=kinds, about="", by=by, at=AT)


def happened(offering: Offering | None = None, *, kind: Any = "price", **more: Any) -> None:
    """Told, committed, numbered."""
    key = f"happened-{next(_keys)}"
    ids = (offering.pk,) if offering else None
    with transaction.atomic():
        tell(Change(kind, "It happened.", ids, TODAY, **more), key=key, at=AT)
    outbox.carry_out(message_id=OutboxMessage.objects.get(key=key).pk, at=AT)


def owe(endpoint: WebhookEndpoint, messages: int, *, next_at: datetime) -> None:
    """m-0, m-1 and so on."""
    WebhookDelivery.objects.bulk_create(
        [
            WebhookDelivery(
                endpoint=endpoint, message=f"m-{n}", kind="ping", payload={}, next_at=next_at, made_at=AT
            )
            for n in range(messages)
        ]
    )


@dataclass
class Post:
    """A sender that only notes what it was given."""

    answers: Mapping[str, Outcome] = field(default_factory=dict)
    outcome: Outcome = FINE
    sent: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        self.sent.append((url, headers["webhook-id"]))
        return self.answers.get(url, self.outcome)


# --- what is owed, and to whom


def test_a_publisher_is_owed_its_own_changes_and_the_operator_all_of_them(partner: User) -> None:
    mine, _ = registered(partner)
    theirs, _ = registered(make.user(role=Role.PARTNER))
    ours, _ = registered(make.user(role=Role.CATALOG_MANAGER))
    own = publisher_of(partner)
    happened(make.offering(publisher=own))
    happened(make.offering(publisher=own, publication=Publication.APPROVED))
    happened(kind="eligibility", publisher_id=own.pk)
    happened(kind="eligibility", commercial_path="marketplace")
    happened(kind="eligibility", commercial_path="sold_by_cloud")
    happened(make.offering())
    owed = {
        e.pk: list(e.deliveries.order_by("id").values_list("message", flat=True))
        for e in (mine, theirs, ours)
    }
    assert owed[mine.pk] == ["change-1", "change-2", "change-3", "change-4"]
    assert owed[theirs.pk] == []
    assert owed[ours.pk] == [f"change-{n}" for n in range(1, 7)]


def test_the_payload_is_thin_and_says_where_to_read_the_rest(partner: User) -> None:
    registered(partner)
    offering = make.offering(publisher=publisher_of(partner))
    happened(offering)
    payload = WebhookDelivery.objects.get().payload
    assert payload == {
        "type": "catalog.price.changed",
        "timestamp": AT.astimezone(UTC).isoformat()
        if payload["timestamp"].endswith("+00:00")
        else AT.isoformat(),
        "data": {
            "number": 1,
            "kind": "price",
            "offering": offering.slug,
            "publisher": publisher_of(partner).slug,
            "commercial_path": None,
            "program": None,
            "first_day": "2026-08-14",
            "url": "http://localhost:8000/api/v1/changes/1/",
        },
    }


def test_an_endpoint_is_owed_only_the_kinds_it_asked_for(partner: User) -> None:
    registered(partner, kinds=("catalog.price.changed",))
    offering = make.offering(publisher=publisher_of(partner))
    for kind in ("offering", "price", "eligibility", "lifecycle"):
        happened(offering, kind=kind)
    assert [d.kind for d in WebhookDelivery.objects.all()] == ["catalog.price.changed"]


def test_what_is_owed_is_owed_with_the_number_or_not_at_all(partner: User) -> None:
    registered(partner)

    def undone() -> None:
        with transaction.atomic():
            happened(make.offering(publisher=publisher_of(partner)))
            assert WebhookDelivery.objects.count() == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        undone()
    assert WebhookDelivery.objects.count() == 0


def test_a_disabled_or_removed_endpoint_is_owed_nothing(partner: User) -> None:
    one, _ = registered(partner)
    two, _ = registered(partner, "https://two.example.com/")
    webhooks.disable_endpoint(endpoint_id=one.pk, by=partner, at=AT)
    webhooks.remove_endpoint(endpoint_id=two.pk, by=partner, at=AT)
    happened(make.offering(publisher=publisher_of(partner)))
    assert not WebhookDelivery.objects.exists()


def test_a_decision_on_a_change_set_is_owed_once_to_its_publisher_and_the_operator(partner: User) -> None:
    mine, _ = registered(partner)
    registered(make.user(role=Role.PARTNER))
    ours, _ = registered(make.user(role=Role.CATALOG_MANAGER))
    for _ in range(2):
        with transaction.atomic():
            webhooks.owe_decision(
                change_set_id=7, revision=3, state="applied", publisher_id=publisher_of(partner).pk, at=AT
            )
    owed = WebhookDelivery.objects.order_by("endpoint_id")
    assert [(d.endpoint_id, d.message, d.kind) for d in owed] == [
        (mine.pk, "change-set-7-3", "change_set.decided"),
        (ours.pk, "change-set-7-3", "change_set.decided"),
    ]
    assert owed[0].payload["data"]["state"] == "applied"


def test_owing_costs_the_same_whatever_the_number_of_changes(partner: User) -> None:
    registered(partner)
    offerings = [make.offering(publisher=publisher_of(partner)) for _ in range(6)]

    def queries(some: list[Offering]) -> int:
        with CaptureQueriesContext(connection) as caught, transaction.atomic():
            key = f"bulk-{next(_keys)}"
            tell(Change("price", "All.", tuple(o.pk for o in some), TODAY), key=key, at=AT)
            outbox.carry_out(message_id=OutboxMessage.objects.get(key=key).pk, at=AT)
        return len(caught)

    assert queries(offerings[:1]) == queries(offerings[1:])
    assert WebhookDelivery.objects.count() == 6


# --- sent for real


def test_what_arrives_is_verified_by_another_implementation(partner: User, receiver: Receiver) -> None:
    _endpoint, secret = registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    assert deliver_due(at=AT) == 1
    ((path, headers, body),) = receiver.taken
    assert path == "/hooks"
    assert headers["content-type"] == "application/json"
    assert headers["host"] == receiver.url.split("/")[2]
    assert Webhook(secret).verify(body, headers)["data"]["number"] == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace(b"price", b"prize"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(body, headers)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.delivered_at) == (DeliveryState.DELIVERED, 1, AT)
    tried = WebhookAttempt.objects.get()
    assert (tried.status, tried.error) == (204, "")
    assert deliver_due(at=AT + timedelta(days=9)) == 0


def test_the_timestamp_is_of_the_receivers_time_whatever_the_business_date(
    partner: User, receiver: Receiver
) -> None:
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    deliver_due(at=AT)
    assert abs(int(receiver.message()["webhook-timestamp"]) - time.time()) < 60


def test_while_a_secret_is_rotated_out_both_sign_and_then_only_the_new_one(
    partner: User, receiver: Receiver
) -> None:
    endpoint, first = registered(partner, receiver.url)
    offering = make.offering(publisher=publisher_of(partner))
    endpoint, second = webhooks.rotate_secret(endpoint_id=endpoint.pk, by=partner, at=AT)
    assert first != second
    happened(offering)
    deliver_due(at=AT + timedelta(hours=23))
    _path, headers, body = receiver.taken[-1]
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (first, second):
        Webhook(secret).verify(body, headers)
    happened(offering)
    deliver_due(at=AT + timedelta(hours=24))
    _path, headers, body = receiver.taken[-1]
    Webhook(second).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(body, headers)


def test_at_most_two_secrets_hold_and_a_second_rotation_does_not_lengthen_the_first(
    partner: User, receiver: Receiver
) -> None:
    endpoint, _first = registered(partner, receiver.url)
    webhooks.rotate_secret(endpoint_id=endpoint.pk, by=partner, at=AT)
    webhooks.rotate_secret(endpoint_id=endpoint.pk, by=partner, at=AT + timedelta(hours=1))
    held = WebhookSecret.objects.order_by("id")
    assert [s.expires_at for s in held] == [AT + timedelta(hours=25), None]


def test_secrets_are_sealed_at_rest_and_open_at_their_own_endpoint_only(
    partner: User, receiver: Receiver
) -> None:
    endpoint, secret = registered(partner, receiver.url)
    other, _ = registered(partner, "https://two.example.com/")
    row = WebhookSecret.objects.get(endpoint=endpoint)
    assert secret not in row.sealed
    assert secret.removeprefix("whsec_") not in row.sealed
    WebhookSecret.objects.filter(endpoint=other).update(sealed=row.sealed)
    webhooks.ping(endpoint_id=other.pk, by=partner, at=AT)
    post = Post()
    deliver_due(at=AT, sender=post)
    assert post.sent == []
    assert "no secret" in WebhookAttempt.objects.get().error
    assert not AuditEvent.objects.filter(after__icontains=secret).exists()


def test_a_redirect_is_not_followed(partner: User, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 302, {"Location": receiver.url + "/elsewhere"}
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    deliver_due(at=AT)
    assert [path for path, _h, _b in receiver.taken] == ["/hooks"]
    tried = WebhookAttempt.objects.get()
    assert (tried.status, tried.error) == (302, "It answered 302: redirects are not followed.")
    assert WebhookDelivery.objects.get().state == DeliveryState.WAITING


def test_of_what_comes_back_only_a_little_is_read_and_kept(partner: User, receiver: Receiver) -> None:
    receiver.status, receiver.body = 500, b"\x00oops <b>\n" + b"x" * 5_000_000
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    deliver_due(at=AT)
    error = WebhookAttempt.objects.get().error
    assert error.startswith("It answered 500: oops <b> xxx")
    assert len(error) < 300


def test_who_does_not_answer_in_time_is_not_waited_for(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "READ", 0.2)
    receiver.pause = 1.0
    outcome = send(receiver.url, {}, b"{}", loopback=True)
    assert (outcome.status, outcome.error) == (None, "It did not answer in time.")
    assert outcome.milliseconds < 900


def test_who_answers_a_byte_at_a_time_is_cut_off_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time by itself; a slow enough answer would hold a worker for hours."""
    monkeypatch.setattr(sending, "DEADLINE", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            there, _address = server.accept()
            with there:
                try:
                    for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 500:
                        there.sendall(bytes([letter]))
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        outcome = send(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b"{}", loopback=True)
        thread.join(10)
    assert (outcome.status, outcome.error) == (None, "It did not answer to the end in time.")
    assert outcome.milliseconds < 2000


def test_what_is_no_http_and_who_is_not_there_are_failures_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def babble() -> None:
            there, _address = server.accept()
            with there:
                there.recv(65536)
                there.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        babbled = send(f"http://127.0.0.1:{port}/", {}, b"{}", loopback=True)
        thread.join(10)
    refused = send(f"http://127.0.0.1:{port}/", {}, b"{}", loopback=True)
    assert babbled.status is None
    assert babbled.error.startswith("The connection broke off")
    assert (refused.status, refused.error) == (None, "It refused the connection.")


# --- where it may go


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255"),  # noqa: S104
        *("192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200"),
        *("100.127.255.255", "168.63.129.16", "192.0.0.192", "198.18.0.1", "192.0.2.1", "203.0.113.9"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "100::1", "3fff::1", "5f00::1"),
    ],
)
def test_no_address_that_only_we_can_reach_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "168.63.129.17"),
        *("2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
    ],
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "invalid_url"),
        ("hooks.example.com", "invalid_url"),
        ("ftp://hooks.example.com/", "invalid_url"),
        ("https://", "invalid_url"),
        ("https:///path", "invalid_url"),
        ("https://hooks.example.com:99999/", "invalid_url"),
        ("https://[::1", "invalid_url"),
        ("https://hooks.example.com/a b", "invalid_url"),
        ("https://hooks.example.com\t.evil.example/", "invalid_url"),
        ("https://good.example\\@evil.example/", "invalid_url"),
        ("https://hóoks.example/", "invalid_url"),
        ("https://x.example/" + "a" * 500, "invalid_url"),
        ("http://hooks.example.com/", "not_https"),
        ("https://me:pw@hooks.example.com/", "credentials_in_url"),
        ("https://me@127.0.0.1/", "credentials_in_url"),
        ("https://hooks.example.com/#x", "fragment_in_url"),
        ("https://hooks.example.com:22/", "port_not_allowed"),
        ("https://127.0.0.1/", "address_not_allowed"),
        ("https://[::1]/", "address_not_allowed"),
        ("https://[::ffff:169.254.169.254]/", "address_not_allowed"),
        ("https://169.254.169.254/latest/meta-data/", "address_not_allowed"),
        ("https://localhost/", "address_not_allowed"),
        ("https://db.internal/", "address_not_allowed"),
        ("https://intranet/", "address_not_allowed"),
        ("https://printer.local/", "address_not_allowed"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused_when_it_is_entered(url: str, code: str) -> None:
    wrong = problem_of_url(url, loopback=False)
    assert wrong is not None
    assert (wrong.code, wrong.pointer) == (code, "/url")


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/", "https://hooks.example.com:8443/a?b=c", "https://8.8.8.8/"]
)
def test_an_address_of_the_internet_is_taken(url: str) -> None:
    assert problem_of_url(url, loopback=False) is None


def names(**addresses: list[str]) -> Callable[..., Any]:
    """A resolver that knows only these names, and answers each look-up with the next of its addresses if there are several lists."""

    def getaddrinfo(host: str, port: int, **_more: Any) -> list[Any]:
        known = addresses.get(host.replace(".", "_"))
        if known is None:
            raise socket.gaierror(host)
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, 1, 6, "", (a, port)) for a in known]

    return getaddrinfo


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (["127.0.0.1"], "not on the public internet"),
        (["10.0.0.7"], "not on the public internet"),
        (["169.254.169.254"], "not on the public internet"),
        (["8.8.8.8", "10.0.0.7"], "not on the public internet"),
        (["::ffff:10.0.0.7"], "not on the public internet"),
        (["fd00:ec2::254"], "not on the public internet"),
    ],
)
def test_a_name_that_stands_for_a_forbidden_address_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], said: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", names(hooks_example_com=addresses))
    monkeypatch.setattr(socket.socket, "connect", lambda *_a: pytest.fail("it connected"))
    outcome = send("https://hooks.example.com/", {}, b"{}", loopback=False)
    assert outcome.status is None
    assert said in outcome.error


def test_numbers_in_odd_forms_are_what_the_resolver_makes_of_them() -> None:
    """2130706433, 0x7f.1 and 127.1 are 127.0.0.1 to many a resolver: what they stand for is checked, not how they look."""
    for host in ("2130706433", "0x7f.1", "127.1", "017700000001"):
        outcome = send(f"https://{host}/", {}, b"{}", loopback=False)
        assert outcome.status is None, host
        assert "public internet" in outcome.error or "not known" in outcome.error, host


def test_a_name_is_asked_for_once_and_the_checked_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that answers 8.8.8.8 first and 127.0.0.1 a moment later (DNS rebinding) gains nothing."""
    asked, reached = [], []

    def getaddrinfo(host: str, port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, 1, 6, "", (address, port))]

    def connect(_socket: socket.socket, address: tuple[str, int]) -> None:
        reached.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", connect)
    outcome = send("https://rebind.example.com/", {}, b"{}", loopback=False)
    assert (asked, reached) == (["rebind.example.com"], [("8.8.8.8", 443)])
    assert outcome.error == "It refused the connection."


def test_an_endpoint_of_this_machine_is_refused_where_it_is_not_allowed(
    partner: User, receiver: Receiver, settings: Any
) -> None:
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    settings.WEBHOOKS_TO_LOOPBACK = False
    deliver_due(at=AT)
    assert receiver.taken == []
    assert WebhookAttempt.objects.get().error.startswith("Use https")
    with pytest.raises(Invalid):
        registered(partner, receiver.url + "2")


# --- TLS


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Callable[[str], Path]]:
    """A certificate authority, and what issues a certificate with its key for a name."""
    now = datetime.now(tz=UTC)

    def certificate(name: str, key: Any, issuer: Any, signer: Any, *, authority: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )
        if authority:
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False
            )
            usage |= {"key_agreement": False, "encipher_only": False, "decipher_only": False}
            built = built.add_extension(
                x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
            )
        else:
            built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return built.sign(signer, hashes.SHA256())

    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Root", root_key, None, root_key, authority=True)
    trusted = tmp_path / "root.pem"
    trusted.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def issue(name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        made = certificate(name, key, root.subject, root_key, authority=False)
        path = tmp_path / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        return path

    return trusted, issue


@pytest.mark.parametrize(
    ("issued_for", "delivered"), [("hooks.example.com", True), ("other.example.com", False)]
)
def test_over_tls_name_and_certificate_are_those_of_the_name_and_not_of_the_address(
    authority: Any, monkeypatch: pytest.MonkeyPatch, issued_for: str, delivered: bool
) -> None:
    trusted, issue = authority
    asked_for, requests = [], []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issue(issued_for))
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setattr(socket, "getaddrinfo", names(hooks_example_com=["127.0.0.1"]))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            plain, _address = server.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as there:
                    got = there.recv(65536)
                    while got and not got.endswith(b"{}"):
                        got += there.recv(65536)
                    requests.append(got)
                    there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                plain.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        outcome = send(f"https://hooks.example.com:{port}/in", {}, b"{}", loopback=True)
        thread.join(10)
    assert asked_for == ["hooks.example.com"]
    assert outcome.delivered is delivered
    if delivered:
        assert f"Host: hooks.example.com:{port}".encode() in requests[0]
    else:
        assert requests in ([], [b""])
        assert outcome.error.startswith("Its certificate")


# --- again, and given up


def test_a_failure_is_tried_again_at_growing_distances_and_then_given_up(partner: User) -> None:
    registered(partner)
    happened(make.offering(publisher=publisher_of(partner)))
    post, at, tries = Post(outcome=BROKEN), AT, []
    for wait in (*WAITS, None):
        assert deliver_due(at=at, sender=post) == 1
        tries.append(at)
        delivery = WebhookDelivery.objects.get()
        if wait is None:
            assert (delivery.state, delivery.next_at) == (DeliveryState.GIVEN_UP, None)
            break
        assert (delivery.state, delivery.next_at) == (DeliveryState.WAITING, at + wait)
        assert deliver_due(at=at + wait - timedelta(seconds=1), sender=post) == 0
        at += wait
    assert len({message for _url, message in post.sent}) == 1
    assert [a.at for a in WebhookAttempt.objects.order_by("id")] == tries
    assert len(tries) == 10
    assert tries[-1] - tries[0] > timedelta(days=3)
    assert deliver_due(at=at + timedelta(days=9), sender=post) == 0


def test_who_asks_to_be_left_alone_for_a_while_is(partner: User, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "600"}
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    deliver_due(at=AT)
    assert WebhookDelivery.objects.get().next_at == AT + timedelta(seconds=600)


def test_an_endpoint_that_fails_for_days_is_disabled_and_its_people_are_told(partner: User) -> None:
    colleague = make.user(role=Role.PARTNER, publisher=publisher_of(partner))
    endpoint, _ = registered(partner)
    offering = make.offering(publisher=publisher_of(partner))
    post = Post(outcome=BROKEN)
    for day in range(6):
        happened(offering)
        deliver_due(at=AT + timedelta(days=day), sender=post)
        endpoint.refresh_from_db()
        assert (endpoint.disabled_at is not None) == (day == 5), day
    assert endpoint.disabled_why == "Nothing arrived since 14 Aug 2026: It answered 500."
    assert not WebhookDelivery.objects.filter(state=DeliveryState.WAITING).exists()
    (owed,) = OutboxMessage.objects.filter(topic="accounts.notify")
    outbox.carry_out(message_id=owed.pk, at=AT)
    told = Notification.objects.order_by("user_id")
    assert [n.user_id for n in told] == sorted([partner.pk, colleague.pk])
    assert told[0].url == f"/publisher/webhooks/{endpoint.pk}/"


def test_one_success_in_between_starts_the_count_anew(partner: User) -> None:
    endpoint, _ = registered(partner)
    offering = make.offering(publisher=publisher_of(partner))
    for day, outcome in enumerate((BROKEN, BROKEN, BROKEN, FINE, BROKEN, BROKEN, BROKEN)):
        happened(offering)
        deliver_due(at=AT + timedelta(days=day), sender=Post(outcome=outcome))
    endpoint.refresh_from_db()
    assert (endpoint.disabled_at, endpoint.failing_since) == (None, AT + timedelta(days=4))


def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once(partner: User) -> None:
    endpoint, _ = registered(partner)
    happened(make.offering(publisher=publisher_of(partner)))
    deliver_due(at=AT, sender=Post(outcome=GONE))
    endpoint.refresh_from_db()
    assert (endpoint.disabled_at, endpoint.disabled_why) == (AT, "It answered 410: it is gone.")
    assert WebhookDelivery.objects.get().state == DeliveryState.GIVEN_UP
    assert OutboxMessage.objects.filter(topic="accounts.notify").count() == 1


def test_enabled_again_it_hears_of_what_happens_from_then_on_and_is_not_disabled_by_old_failures(
    partner: User,
) -> None:
    endpoint, _ = registered(partner)
    offering = make.offering(publisher=publisher_of(partner))
    happened(offering)
    deliver_due(at=AT, sender=Post(outcome=GONE))
    webhooks.enable_endpoint(endpoint_id=endpoint.pk, by=partner, at=AT + timedelta(days=30))
    happened(offering)
    post = Post(outcome=BROKEN)
    assert deliver_due(at=AT + timedelta(days=30), sender=post) == 1
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None
    assert [message for _url, message in post.sent] == ["change-2"]


# --- side by side, and killed


def test_an_endpoint_that_hangs_holds_up_nobody_else(receiver: Receiver, partner: User) -> None:
    """A thousand messages for a dead endpoint, owed before; the other one's arrive while the first attempt still hangs."""
    dead, _ = registered(make.user(role=Role.CATALOG_MANAGER), "https://dead.example.com/")
    registered(partner, receiver.url)
    owe(dead, 1000, next_at=AT - timedelta(hours=1))
    for _ in range(3):
        happened(make.offering(publisher=publisher_of(partner)))
    arrived = threading.Event()

    def sender(url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        if url == dead.url:
            assert arrived.wait(20), "it was held up"
            return Outcome(None, "It did not answer in time.", 10_000)
        outcome = send(url, headers, body, loopback=True)
        if len(receiver.taken) == 3:
            arrived.set()
        return outcome

    assert deliver_due(at=AT, sender=sender) == 4
    assert len(receiver.taken) == 3
    assert dead.deliveries.filter(attempts__gt=0).count() == 1
    assert not dead.deliveries.filter(next_at__lte=AT).exists()


def test_a_dead_endpoint_is_asked_less_and_less_often_however_much_it_is_owed(partner: User) -> None:
    endpoint, _ = registered(partner)
    owe(endpoint, 500, next_at=AT)
    post, at = Post(outcome=BROKEN), AT
    while at < AT + timedelta(hours=4):
        deliver_due(at=at, sender=post)
        earliest = WebhookDelivery.objects.aggregate(at=Min("next_at"))["at"]
        at = max(earliest, at + timedelta(minutes=1))
    assert 10 <= len(post.sent) < 40


def test_one_message_after_another_is_sent_to_an_endpoint_that_answers(partner: User) -> None:
    endpoint, _ = registered(partner)
    owe(endpoint, 50, next_at=AT)
    post, passes = Post(), 0
    while deliver_due(at=AT, sender=post):
        passes += 1
    assert [message for _url, message in post.sent] == [f"m-{number}" for number in range(50)]
    assert passes == 3


class Killed(BaseException):
    """What the operating system does to a worker, as far as the code can see."""


def test_killed_between_sending_and_noting_it_sends_again_under_the_same_id(
    partner: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    _endpoint, secret = registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))

    def killed(*_arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(webhooks, "_note", killed)
        with pytest.raises(Killed):
            deliver_due(at=AT)
    assert len(receiver.taken) == 1
    assert not WebhookAttempt.objects.exists()
    assert deliver_due(at=AT + timedelta(seconds=30)) == 0
    assert deliver_due(at=AT + webhooks.LEASE) == 1
    first, second = receiver.taken
    assert first[1]["webhook-id"] == second[1]["webhook-id"] == "change-1"
    assert first[2] == second[2]
    Webhook(secret).verify(second[2], second[1])
    assert WebhookDelivery.objects.get().state == DeliveryState.DELIVERED


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_each_message_once(partner: User, receiver: Receiver) -> None:
    endpoint, _ = registered(partner, receiver.url)
    for number in range(60):
        WebhookDelivery.objects.create(
            endpoint=endpoint, message=f"m-{number}", kind="ping", payload={}, next_at=AT, made_at=AT
        )
    failures: list[str] = []

    def work() -> None:
        try:
            while deliver_due(at=AT):
                pass
        except Exception as failure:
            failures.append(repr(failure))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sorted(h["webhook-id"] for _p, h, _b in receiver.taken) == sorted(f"m-{n}" for n in range(60))


def test_the_task_sends_what_is_due_and_beat_knows_it(
    partner: User, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever the hour is: the demo's clock may stand before the one at which it happened.
    monkeypatch.setattr("config.clock.now", lambda: AT + timedelta(minutes=1))
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    tasks.deliver_webhooks()
    assert len(receiver.taken) == 1
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {"marketplace.deliver_webhooks", "marketplace.forget_deliveries"} <= scheduled


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_numbers_a_change_and_delivers_it(
    partner: User, receiver: Receiver, tmp_path: Path, worker_database: Any, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SECRET_KEY", settings.SECRET_KEY)  # it opens the endpoint's secret
    _endpoint, secret = registered(partner, receiver.url)
    offering = make.offering(publisher=publisher_of(partner))
    with broker("filesystem", tmp_path) as address:
        with transaction.atomic():
            tell(Change("price", "It happened.", (offering.pk,), TODAY), key="by a worker", at=AT)
        with worker(address, worker_database, tmp_path):
            deadline = time.monotonic() + PATIENCE
            while not WebhookDelivery.objects.filter(state=DeliveryState.DELIVERED).exists():
                assert time.monotonic() < deadline
                time.sleep(0.2)
    ((_path, headers, body),) = receiver.taken
    assert Webhook(secret).verify(body, headers)["data"]["offering"] == offering.slug


def test_after_the_demos_midnight_nothing_waits_for_a_day_that_does_not_come(partner: User) -> None:
    """At midnight the demo's clock begins the same day anew; what was put off to the day after would come in a day at most."""
    registered(partner)
    happened(make.offering(publisher=publisher_of(partner)))
    WebhookDelivery.objects.update(next_at=AT + timedelta(days=2))
    assert deliver_due(at=AT, sender=Post()) == 1


# --- replayed


def test_a_replay_is_a_delivery_of_its_own_under_the_same_id(partner: User, receiver: Receiver) -> None:
    registered(partner, receiver.url)
    happened(make.offering(publisher=publisher_of(partner)))
    deliver_due(at=AT)
    first = WebhookDelivery.objects.get()
    later = AT + timedelta(days=1)
    again = webhooks.replay(delivery_id=first.pk, by=partner, at=later)
    with pytest.raises(Conflict) as refused:
        webhooks.replay(delivery_id=again.pk, by=partner, at=later)
    assert refused.value.problems[0].code == "still_waiting"
    deliver_due(at=later)
    third = webhooks.replay(delivery_id=again.pk, by=partner, at=later)
    assert third.replay_of_id == first.pk
    assert receiver.taken[0][1]["webhook-id"] == receiver.taken[1][1]["webhook-id"]
    assert receiver.taken[0][2] == receiver.taken[1][2]


def test_all_that_was_given_up_since_a_moment_is_replayed_once_and_in_order(partner: User) -> None:
    endpoint, _ = registered(partner)

    def given_up(message: str, days: int) -> WebhookDelivery:
        return WebhookDelivery.objects.create(
            endpoint=endpoint,
            message=message,
            kind="ping",
            payload={},
            state=DeliveryState.GIVEN_UP,
            made_at=AT + timedelta(days=days),
        )

    for number, days in enumerate((-3, 0, 1, 2)):
        given_up(f"m-{number}", days)
    by: dict[str, Any] = {
        "endpoint_id": endpoint.pk,
        "since": AT,
        "by": partner,
        "at": AT + timedelta(days=3),
    }
    assert webhooks.replay_failed(**by) == 3
    assert webhooks.replay_failed(**by) == 0
    post = Post(outcome=BROKEN)
    at = AT + timedelta(days=3)
    deliver_due(at=at, sender=Post())
    assert webhooks.replay_failed(**by) == 0
    given_up("m-9", 3)
    assert webhooks.replay_failed(**by) == 1
    WebhookDelivery.objects.filter(message="m-9", state=DeliveryState.WAITING).update(attempts=9)
    deliver_due(at=at, sender=post)
    assert [message for _url, message in post.sent] == ["m-9"]
    assert webhooks.replay_failed(**by) == 1


def test_to_a_disabled_endpoint_nothing_is_sent_by_hand_either(partner: User) -> None:
    endpoint, _ = registered(partner)
    delivery = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
    webhooks.disable_endpoint(endpoint_id=endpoint.pk, by=partner, at=AT)
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.GIVEN_UP
    for act in (
        lambda: webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT),
        lambda: webhooks.replay(delivery_id=delivery.pk, by=partner, at=AT),
        lambda: webhooks.replay_failed(endpoint_id=endpoint.pk, since=AT, by=partner, at=AT),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.problems[0].code == "disabled"
    assert deliver_due(at=AT, sender=Post()) == 0


def test_the_log_is_kept_for_ninety_days(partner: User) -> None:
    endpoint, _ = registered(partner)
    for number, days in enumerate((-91, -91, -89)):
        WebhookDelivery.objects.create(
            endpoint=endpoint,
            message=f"m-{number}",
            kind="ping",
            payload={},
            state=DeliveryState.WAITING if number == 1 else DeliveryState.DELIVERED,
            made_at=AT + timedelta(days=days),
        )
    assert webhooks.forget_old(at=AT) == 1
    assert sorted(WebhookDelivery.objects.values_list("message", flat=True)) == ["m-1", "m-2"]


# --- whose they are


def test_nobody_else_can_do_anything_with_an_endpoint(partner: User) -> None:
    endpoint, _ = registered(partner)
    delivery = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
    colleague = make.user(role=Role.PARTNER, publisher=publisher_of(partner))
    strangers = [
        make.user(role=role) for role in (Role.PARTNER, Role.CATALOG_MANAGER, Role.AUDITOR, Role.REP)
    ]
    acts: list[Callable[[User], object]] = [
        lambda by: webhooks.edit_endpoint(endpoint_id=endpoint.pk, about="mine", by=by, at=AT),
        lambda by: webhooks.ping(endpoint_id=endpoint.pk, by=by, at=AT),
        lambda by: webhooks.rotate_secret(endpoint_id=endpoint.pk, by=by, at=AT),
        lambda by: webhooks.disable_endpoint(endpoint_id=endpoint.pk, by=by, at=AT),
        lambda by: webhooks.enable_endpoint(endpoint_id=endpoint.pk, by=by, at=AT),
        lambda by: webhooks.replay_failed(endpoint_id=endpoint.pk, since=AT, by=by, at=AT),
        lambda by: webhooks.replay(delivery_id=delivery.pk, by=by, at=AT),
        lambda by: webhooks.remove_endpoint(endpoint_id=endpoint.pk, by=by, at=AT),
    ]
    for stranger in strangers:
        for act in acts:
            with pytest.raises(NotFound):
                act(stranger)
    endpoint.refresh_from_db()
    assert (endpoint.revision, endpoint.secrets.count()) == (1, 1)
    acts[0](colleague)
    with pytest.raises(NotFound):
        registered(strangers[-1])


def test_what_is_wrong_is_said_at_once_and_nothing_is_made(partner: User) -> None:
    with pytest.raises(Invalid) as refused:
        webhooks.register_endpoint(
            url="http://example.com", kinds=["x", "ping"], about="a" * 201, by=partner, at=AT
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("not_https", "/url"),
        ("unknown_kind", "/kinds/0"),
        ("unknown_kind", "/kinds/1"),
        ("too_long", "/about"),
    ]
    registered(partner)
    with pytest.raises(Conflict):
        registered(partner)
    assert WebhookEndpoint.objects.count() == 1
    registered(make.user(role=Role.PARTNER))


def test_an_endpoint_that_somebody_else_changed_is_stale(partner: User) -> None:
    endpoint, _ = registered(partner)
    webhooks.edit_endpoint(endpoint_id=endpoint.pk, about="one", by=partner, at=AT, expected_revision=1)
    with pytest.raises(Stale):
        webhooks.edit_endpoint(endpoint_id=endpoint.pk, about="two", by=partner, at=AT, expected_revision=1)
    assert AuditEvent.objects.filter(table="marketplace_webhookendpoint", action="update").count() == 1


# --- REST


@dataclass
class Api:
    client: Client

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = json.dumps(body) if body is not None else b""
        answer = self.client.generic(
            method, f"/api/v1/{path}", content, content_type="application/json", headers=named
        )
        assert answer.status_code == status, answer.content
        return answer


@pytest.fixture
def api(browser_of: Callable[[User], Client]) -> Callable[[User], Api]:
    return lambda user: Api(browser_of(user))


def test_an_endpoint_is_registered_changed_and_removed_over_rest(
    partner: User, api: Callable[[User], Api]
) -> None:
    mine = api(partner)
    made = mine("POST", "webhook-endpoints/", {"url": "https://hooks.example.com/"}, 201)
    body = made.json()
    assert body["secret"].startswith("whsec_")
    assert made["Cache-Control"] == "no-store"
    address = f"webhook-endpoints/{body['id']}/"
    read = mine("GET", address)
    assert "secret" not in read.json()
    assert {**read.json(), "secret": body["secret"]} == body
    assert (body["enabled"], body["kinds"], body["publisher"]) == (True, [], publisher_of(partner).slug)
    mine("PATCH", address, {"about": "x"}, 428)
    mine("PATCH", address, {"about": "x"}, 412, if_match='"old"')
    kinds = ["catalog.price.changed"]
    changed = mine("PATCH", address, {"kinds": kinds}, if_match=read["ETag"])
    assert (changed.json()["kinds"], changed.json()["url"]) == (kinds, body["url"])
    rotated = mine("POST", address + "rotate-secret/", if_match=changed["ETag"]).json()
    assert rotated["secret"] != body["secret"]
    assert [s["expires_at"] is None for s in rotated["secrets"]] == [False, True]
    assert mine("POST", address + "disable/").json()["enabled"] is False
    assert mine("POST", address + "ping/", status=409).json()["errors"][0]["code"] == "disabled"
    assert mine("POST", address + "enable/").json()["enabled"] is True
    sent = mine("POST", address + "ping/", status=202).json()
    assert sent["state"] == "waiting"
    mine("DELETE", address, status=204, if_match=mine("GET", address)["ETag"])
    mine("GET", address, status=404)
    mine("GET", f"webhook-deliveries/{sent['id']}/", status=404)


def test_the_log_is_read_and_replayed_over_rest(
    partner: User, receiver: Receiver, api: Callable[[User], Api]
) -> None:
    mine = api(partner)
    made = mine("POST", "webhook-endpoints/", {"url": receiver.url}, 201).json()
    happened(make.offering(publisher=publisher_of(partner)))
    receiver.status = 500
    deliver_due(at=AT)
    (row,) = mine("GET", f"webhook-deliveries/?endpoint={made['id']}&state=waiting").json()["results"]
    assert (row["message"], row["attempts"], row["tries"][0]["status"]) == ("change-1", 1, 500)
    mine("POST", f"webhook-deliveries/{row['id']}/replay/", status=409)
    receiver.status = 204
    deliver_due(at=AT + timedelta(seconds=5))
    (row,) = mine("GET", "webhook-deliveries/?state=delivered").json()["results"]
    assert [t["status"] for t in row["tries"]] == [500, 204]
    again = mine("POST", f"webhook-deliveries/{row['id']}/replay/", status=202).json()
    assert (again["replay_of"], again["message"]) == (row["id"], "change-1")
    assert mine(
        "POST", f"webhook-endpoints/{made['id']}/replay-failed/", {"since": AT.isoformat()}, 202
    ).json() == {"replayed": 0}
    mine("GET", "webhook-deliveries/?state=lost", status=400)


def test_over_rest_another_publishers_endpoints_do_not_exist(
    partner: User, api: Callable[[User], Api]
) -> None:
    endpoint, _ = registered(partner)
    delivery = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
    for roles in ([Role.PARTNER], [Role.CATALOG_MANAGER, Role.REP, Role.AUDITOR]):
        theirs = api(make.user(roles=roles))
        assert theirs("GET", "webhook-endpoints/").json()["results"] == []
        assert theirs("GET", f"webhook-deliveries/?endpoint={endpoint.pk}").json()["results"] == []
        theirs("GET", f"webhook-endpoints/{endpoint.pk}/", status=404)
        theirs("GET", f"webhook-deliveries/{delivery.pk}/", status=404)
        for verb in ("ping", "rotate-secret", "disable", "enable"):
            theirs("POST", f"webhook-endpoints/{endpoint.pk}/{verb}/", status=404)
        theirs("POST", f"webhook-deliveries/{delivery.pk}/replay/", status=404)
        theirs("DELETE", f"webhook-endpoints/{endpoint.pk}/", status=404, if_match="*")
    rep = api(make.user(role=Role.REP))
    rep("POST", "webhook-endpoints/", {"url": "https://a.example.com/"}, 404)


def test_a_wrong_body_is_answered_with_every_pointer(partner: User, api: Callable[[User], Api]) -> None:
    body = {"url": "https://127.0.0.1.nip.io:22/", "kinds": ["catalog.price.changed", "x"], "color": 1}
    errors = api(partner)("POST", "webhook-endpoints/", body, 422).json()["errors"]
    assert [(e["pointer"], e["code"]) for e in errors] == [("/color", "unknown_field")]
    del body["color"]
    errors = api(partner)("POST", "webhook-endpoints/", body, 422).json()["errors"]
    assert {(e["pointer"], e["code"]) for e in errors} == {
        ("/url", "port_not_allowed"),
        ("/kinds/1", "unknown_kind"),
    }


def test_the_remembered_answer_of_a_registration_keeps_no_secret_in_the_clear(
    partner: User, api: Callable[[User], Api]
) -> None:
    """The same request again is answered again, secret and all; at rest the answer is sealed."""
    mine, body = api(partner), {"url": "https://hooks.example.com/"}
    first = mine("POST", "webhook-endpoints/", body, 201, idempotency_key="once")
    secret = first.json()["secret"]
    kept = IdempotencyRecord.objects.get().body
    assert kept
    assert secret not in kept
    again = mine("POST", "webhook-endpoints/", body, 201, idempotency_key="once")
    assert again.json() == first.json()
    assert WebhookEndpoint.objects.count() == 1


def test_deliveries_cost_the_same_whatever_their_number(partner: User, browser_of: Any) -> None:
    endpoint, _ = registered(partner)

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert browser_of(partner).get("/api/v1/webhook-deliveries/").status_code == 200
            assert browser_of(partner).get("/api/v1/webhook-endpoints/").status_code == 200
        return len(caught)

    def add(number: int) -> None:
        for _ in range(number):
            sent = webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=AT)
            WebhookAttempt.objects.create(delivery=sent, at=AT, status=500, error="x", milliseconds=1)

    add(2)
    before = queries()
    add(3)
    assert queries() == before


def test_whatever_is_typed_in_is_refused_in_words(partner: User, subtests: pytest.Subtests) -> None:
    for url in (
        "https://[v1.x]/",
        "//x",
        "\x00",
        "https://.",
        "https://x.example:0x50/",
        "javascript:alert(1)",
    ):
        with subtests.test(url=url):
            with pytest.raises(Invalid) as refused:
                webhooks.register_endpoint(url=url, kinds=(), about="", by=partner, at=AT)
            assert [p.pointer for p in refused.value.problems] == ["/url"]

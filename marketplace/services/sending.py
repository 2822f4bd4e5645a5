"""Sends one request to an address that somebody else typed in, without being led to a place that only we can reach.

The name is resolved once, every address it stands for is checked, and the connection goes to the checked address, so that
a name which answers differently a moment later (DNS rebinding) changes nothing. Host header, SNI and certificate stay those
of the name. No redirect is followed, no proxy is asked, a deadline ends the whole of it, and of the answer 2 kB are read.
"""

import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from time import monotonic
from typing import Final
from urllib.parse import SplitResult, urlsplit

import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection

from config.refusals import Problem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

CONNECT: Final = 3.0  # seconds
READ: Final = 10.0
DEADLINE: Final = 15.0
LATE: Final = "It did not answer to the end in time."
MOST_READ: Final = 2048  # bytes
LONGEST_URL: Final = 500
# Not for the public, beyond what the registries of special addresses say of themselves through ipaddress: shared address
# space, benchmarking, former site-local, a cloud's own wire server and metadata.
NEVER: Final = tuple(
    ipaddress.ip_network(written)
    for written in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
        *("::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
NAME: Final = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*\.?")
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """The name stands for an address that is not for us to ask."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request.

    status        HTTP; None when nothing came back.
    error         In words, where it did not go well; what the other side said, as far as it was read.
    retry_after   Seconds that it asked us to wait, if it did.
    """

    status: int | None
    error: str
    milliseconds: int
    retry_after: int | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def problem_of_url(url: str, *, loopback: bool) -> Problem | None:
    """What is wrong with *url* as far as it can be seen without asking for its name; None if nothing is.

    loopback   Whether this machine itself may be named, over plain http too: for the demo and for tests.
    """

    def wrong(code: str, message: str) -> Problem:
        return Problem(code, message, "/url")

    if (
        not url
        or len(url) > LONGEST_URL
        or not url.isascii()
        or any(c <= " " or c in '\\"<>^`{|}' for c in url)
    ):
        return wrong("invalid_url", "Write an address such as https://example.com/hooks, in plain letters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return wrong("invalid_url", "Write an address such as https://example.com/hooks.")
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        return wrong("invalid_url", "Write an address such as https://example.com/hooks.")
    if parts.username is not None or parts.password is not None:
        return wrong("credentials_in_url", "Leave name and password out: the signature says that it is us.")
    if parts.fragment:
        return wrong("fragment_in_url", "Leave out what stands behind the #: it is never sent.")
    if port is not None and port != 443 and port < 1024 and not (loopback and port == 80):
        return wrong("port_not_allowed", "Use port 443, or one from 1024 on.")
    literal = _literal(host)
    if literal is None and ("[" in parts.netloc or not NAME.fullmatch(host)):
        return wrong("invalid_url", "Write an address such as https://example.com/hooks.")
    here = host == "localhost" or (literal is not None and literal.is_loopback)
    if here and loopback:
        return None
    if parts.scheme != "https":
        return wrong("not_https", "Use https: what is sent is signed, but not hidden.")
    if here or (literal is not None and not is_public(literal)):
        return wrong("address_not_allowed", "This address is not on the public internet.")
    if literal is None and (
        "." not in host.rstrip(".") or host.rstrip(".").endswith((".local", ".internal"))
    ):
        return wrong("address_not_allowed", "This name is not one of the public internet.")
    return None


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be asked at *address*; an address inside another one is looked at too."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.scope_id is not None:
            return False
    if any(address.version == net.version and address in net for net in NEVER):
        return False
    return address.is_global and not address.is_multicast


def send(url: str, headers: Mapping[str, str], body: bytes, *, loopback: bool) -> Outcome:
    """POST *body*. Never raises: whatever goes wrong is the outcome's error. Takes DEADLINE and a name look-up at most."""
    began = monotonic()

    def spent() -> int:
        return round((monotonic() - began) * 1000)

    if wrong := problem_of_url(url, loopback=loopback):
        return Outcome(None, wrong.message, spent())
    parts = urlsplit(url)
    try:
        address = resolve(parts, loopback=loopback)
    except NotAllowed as refused:
        return Outcome(None, str(refused), spent())
    except (OSError, UnicodeError):
        return Outcome(None, f"The name {parts.hostname} is not known.", spent())
    connection = _connection(parts, address)
    watch = threading.Timer(DEADLINE, connection.give_up)
    watch.daemon = True
    watch.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=body, headers=dict(headers), preload_content=False)
        answer = connection.getresponse()
        said = b"" if 200 <= answer.status < 300 else answer.read(MOST_READ, decode_content=False)
        if connection.given_up:  # what was read so far may look like an answer
            return Outcome(None, LATE, spent())
        return Outcome(answer.status, _complaint(answer.status, said), spent(), _wait(answer.headers))
    except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as failure:
        return Outcome(None, LATE if connection.given_up else _reason(failure), spent())
    finally:
        watch.cancel()
        connection.close()


def resolve(parts: SplitResult, *, loopback: bool) -> str:
    """The address to connect to. Raises NotAllowed if the name stands for any that is not allowed, OSError if it is unknown."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(place[0])) for _f, _t, _p, _c, place in found]
    if not addresses:
        raise OSError(f"{host} has no address")
    for address in addresses:
        here = loopback and address.is_loopback
        if not here and (parts.scheme != "https" or not is_public(address)):
            raise NotAllowed(f"{host} stands for {address}, which is not on the public internet.")
    return str(addresses[0])


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _Pinned:
    """Connects to the address that was checked, and can be ended from another thread."""

    address = ""
    given_up = False
    _wire: int | None = None
    _whose = threading.Lock()

    def _new_conn(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.settimeout(CONNECT)
            made.connect((self.address, self.port))  # type: ignore[attr-defined]
            made.settimeout(READ)
        except BaseException:
            made.close()
            raise
        # A second handle on the same connection: TLS takes the socket itself over while it shakes hands.
        self._wire = os.dup(made.fileno())
        return made

    def _take_wire(self) -> int | None:
        with self._whose:
            wire, self._wire = self._wire, None
            return wire

    def give_up(self) -> None:
        self.given_up = True
        if (wire := self._take_wire()) is not None:
            with socket.socket(fileno=wire) as handle:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return

    def close(self) -> None:
        if (wire := self._take_wire()) is not None:
            os.close(wire)
        super().close()  # type: ignore[misc]


class _Plain(_Pinned, HTTPConnection):
    pass


class _Secure(_Pinned, HTTPSConnection):
    pass


def _connection(parts: SplitResult, address: str) -> _Plain | _Secure:
    host = parts.hostname or ""
    made: _Plain | _Secure
    if parts.scheme == "https":
        made = _Secure(host, parts.port or 443, timeout=READ, cert_reqs="CERT_REQUIRED")
    else:
        made = _Plain(host, parts.port or 80, timeout=READ)
    made.address = address
    return made


def _complaint(status: int, said: bytes) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"It answered {status}: redirects are not followed."
    text = " ".join(said.decode("utf-8", "replace").split())
    shown = "".join(c for c in text if c.isprintable())[:200]
    return f"It answered {status}{': ' + shown if shown else '.'}"


def _wait(headers: Mapping[str, str]) -> int | None:
    asked = headers.get("Retry-After", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else None


def _reason(failure: Exception) -> str:
    match failure:
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            return "It did not answer in time."
        case ConnectionRefusedError():
            return "It refused the connection."
        case ssl.SSLError() | urllib3.exceptions.SSLError():
            return f"Its certificate or its TLS is not right: {failure}"[:280]
    return f"The connection broke off: {failure}"[:280]

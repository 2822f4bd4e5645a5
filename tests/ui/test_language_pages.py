"""Pages, files, the API and records in a language that nobody speaks: all text of a page changes, and nothing else does."""

import ast
import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings as project
from django.db import connection, transaction
from django.test import Client
from django.urls import Resolver404, get_resolver, resolve, reverse
from django.urls.resolvers import URLPattern, URLResolver

from accounts.models import Role, User
from quotas.models import CreditEntry, Deal, DealState, Dispute
from tests import make
from tests.quotas.test_pages import approved, entered, submitted
from tests.ui import pseudo, unmarked
from tests.ui.test_language import messages

pytestmark = pytest.mark.django_db
ROOT = Path(project.BASE_DIR)
# A workbook, which is no page, and pages for those who build.
NOT_LOOKED_AT = {"marketplace:spreadsheet-export", "styleguide", "api-docs"}
# Names of things in these tests that happen to be words of pages.
NAMES = {
    *("unknown", "and"),  # within sentences of the selectors, which are English
    "Say why it is withdrawn",  # what a service refuses, which a page says by itself elsewhere
    "Company",
    "Region",
    "Team",
    "Other team",
    "USD",
    "Parity",
    "Fiscal calendar",
    "Model",
}
# Facts of the house, in English whoever reads them: values as they were recorded.
FACTS = ("/accounts/audit/",)
# What is changed goes through the trail, what is told through the outbox.
RECORDED = """
    SELECT row_to_json(e)::text FROM accounts_auditevent e WHERE e.id > %(event)s AND e::text LIKE %(said)s
    UNION ALL SELECT row_to_json(m)::text FROM platform_outboxmessage m WHERE m.id > %(message)s AND m::text LIKE %(said)s
"""
BEFORE = "SELECT (SELECT max(id) FROM accounts_auditevent), coalesce((SELECT max(id) FROM platform_outboxmessage), 0)"


@pytest.fixture(autouse=True)
def catalog(settings: Any) -> Iterator[pseudo.Catalog]:
    settings.LANGUAGES = [*settings.LANGUAGES, (pseudo.LANGUAGE, "Nobody's")]
    with pseudo.known() as found:
        yield found


def _chooses(user: User | None, language: str) -> None:
    assert user is not None
    User.objects.filter(pk=user.pk).update(language=language)


def _client(user: User | None, language: str = pseudo.LANGUAGE) -> Client:
    _chooses(user, language)
    client = Client(raise_request_exception=False)
    assert user is not None
    client.force_login(user)
    return client


def _addresses() -> list[str]:
    """Every page that needs no argument."""

    def named(patterns: list[URLPattern | URLResolver], space: str) -> Iterator[str]:
        for each in patterns:
            if isinstance(each, URLResolver):
                yield from named(each.url_patterns, each.namespace or space)
            elif each.name and not each.pattern.regex.groups:
                yield f"{space}:{each.name}" if space else each.name

    names = set(named(get_resolver().url_patterns, ""))
    return [
        reverse(name)
        for name in sorted(names)
        if name.partition(":")[0] in {"accounts", "quotas", "marketplace"} and name not in NOT_LOOKED_AT
    ]


@cache
def _view(path: str) -> str:
    """The name of what answers there; empty if nothing of ours does."""
    try:
        return resolve(path).view_name
    except Resolver404:
        return ""


def _known() -> set[str]:
    """Every message that a catalog would have."""
    found = {text for _file, text in messages()}
    for app in ("accounts", "config", "marketplace", "quotas"):
        for path in (ROOT / app).rglob("*.py"):
            source = path.read_text()
            if "config.language" not in source:
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in unmarked.MARKERS:
                    found |= {
                        text.value
                        for text in node.args
                        if isinstance(text, ast.Constant) and isinstance(text.value, str)
                    }
    return {" ".join(text.split()).strip(" ,.;:·()–-/|") for text in found} - NAMES


class _Once:
    """Reads pages, and what stands around all of them only once, word for word."""

    AROUND = re.compile(
        r'<nav class="(?:side|bar)".*?</nav>|<dialog id="(?:palette|shortcuts)".*?</dialog>', re.DOTALL
    )

    def __init__(self) -> None:
        self._read: set[str] = set()

    def __call__(self, said: str) -> pseudo.Page:
        return pseudo.Page(self.AROUND.sub(self._new, said))

    def _new(self, found: re.Match[str]) -> str:
        if found[0] in self._read:
            return ""
        self._read.add(found[0])
        return found[0]


def _wrong(said: str, page: pseudo.Page, known: set[str]) -> Iterator[str]:
    """What of a page is not said that should be, or is that should not."""
    if lost := re.findall(r"%\(\w+\)s", said):
        yield f"lost its value: {lost[:3]}"
    for text in page.texts:
        yield from (f"not said: {left}" for left in pseudo.unsaid(text) if left in known)
    yield from (f"changed: {made}" for made in page.made if pseudo.OPEN in made[2])


class _Sent:
    """Forms of pages as they are sent: as they stand, and with nonsense in every place. Each kind of form once, undone afterwards.

    wrong        What fell over, was not said, or left a trace of the language in what is recorded.
    spoilt_said  Forms that answered nonsense in that language.
    """

    LEFT_ALONE = ("/accounts/logout/", "/theme/")

    def __init__(self, known: set[str], read: _Once) -> None:
        self.known = known
        self.read = read
        self.seen: set[tuple[object, ...]] = set()
        self.wrong: list[str] = []
        self.spoilt_said = 0
        with connection.cursor() as cursor:
            cursor.execute(BEFORE)
            event, message = cursor.fetchone()
        self.recorded = {"event": event, "message": message, "said": f"%{pseudo.OPEN}%"}

    def send_those_of(self, client: Client, page: str, forms: list[pseudo.Form]) -> None:
        for form in forms:
            for name, value, elsewhere in form.buttons or [("", "", "")]:
                address = urljoin(page, elsewhere or form.action)
                view = _view(urlsplit(address).path)
                if not view:
                    self.wrong.append(f"{page}: a form goes to {address}")
                    continue
                kind = (view, name, value if name else "", *sorted({f.name for f in form.fields}))
                if kind in self.seen or address.startswith(self.LEFT_ALONE):
                    continue
                self.seen.add(kind)
                pressed = {name: [value]} if name else {}
                self._send(client, page, address, {**form.sent(), **pressed})
                if any(field.typed for field in form.fields):
                    self.spoilt_said += self._send(
                        client, page, address, {**form.sent(spoilt=True), **pressed}
                    )

    def _send(self, client: Client, page: str, address: str, data: dict[str, list[str]]) -> bool:
        with transaction.atomic():
            answer: Any = client.post(address, data, headers={"referer": f"http://testserver{page}"})
            if answer.status_code >= 500:
                self.wrong.append(f"{page}: {address} {data}: {answer.exc_info[1]!r}")
            else:
                with connection.cursor() as cursor:
                    cursor.execute(RECORDED, self.recorded)
                    self.wrong += [f"{page}: {address}: recorded {row[0][:300]}" for row in cursor.fetchall()]
            transaction.set_rollback(True)
        if answer.status_code not in (200, 409, 412, 422) or "html" not in answer["Content-Type"]:
            return False
        said = answer.content.decode()
        wrong = _wrong(said, self.read(said), self.known)
        self.wrong += [f"{page}: {address} answered: {each}" for each in wrong]
        return pseudo.OPEN in said


def _english(client: Client, address: str) -> Iterator[str]:
    """What of a file or of an answer of the API is not, whoever asks for it."""
    answer = client.get(address)
    kind = answer["Content-Type"]
    if answer.status_code != 200 or not ("csv" in kind or "json" in kind):
        yield f"{address}: {answer.status_code} {kind}"
    elif pseudo.OPEN in answer.getvalue().decode() + answer.get("Content-Disposition", ""):
        yield f"{address} is not in English"


def test_all_text_of_every_page_is_said_every_form_answered_in_it_and_every_file_that_it_leads_to_english(
    catalog: pseudo.Catalog,
) -> None:
    """Nothing else changes with the language, and no form falls over because of it."""
    world = make.world()
    deal, waiting = approved(world), submitted(world, title="Twelve seats")
    entry = CreditEntry.objects.first()
    assert entry is not None
    everybody = make.user(roles=[role for role in Role.values if role != Role.PARTNER], name="All Roles")
    rep, partner = make.login(world.ana), make.user(role=Role.PARTNER, publisher=world.third.publisher)
    plan = world.plan_version
    more = [
        reverse("quotas:deal", args=[deal.pk]),
        reverse("quotas:deal", args=[waiting.pk]),
        reverse("quotas:credit-explanation", args=[entry.pk]),
        reverse("quotas:board", args=[world.team.slug]) + "?period=FY27-Q1",
        reverse("quotas:plan-version", args=[plan.plan.slug, plan.number]),
        reverse("quotas:period", args=["FY27-M01"]),
        reverse("marketplace:offering", args=[world.third.slug]),
        reverse("marketplace:publisher", args=[world.third.publisher.slug]),
    ]
    own = [reverse(f"quotas:{name}") for name in ("deal-new", "gap", "statements", "earnings", "leaderboard")]
    theirs = [reverse(f"marketplace:{name}") for name in ("console", "console-keys", "webhooks")]
    known, wrong, pages = _known(), [], 0
    read = _Once()
    forms = _Sent(known, read)
    came: set[str] = set()
    files: set[str] = set()
    for user, addresses in (
        (everybody, [*_addresses(), *more]),
        (rep, ["/", *own]),
        (partner, ["/", *theirs]),
    ):
        client, waiting_pages = _client(user), deque(addresses)
        asked = {"", *NOT_LOOKED_AT, *(_view(urlsplit(each).path) for each in addresses), *came}
        while waiting_pages:
            address = waiting_pages.popleft()
            answer = client.get(address)
            if answer.status_code == 200 and not answer.streaming and "html" in answer["Content-Type"]:
                said = answer.content.decode()
                page = read(said)
                words = set() if address.startswith(FACTS) else known
                wrong += [f"{address}: {each}" for each in _wrong(said, page, words)]
                pages += f'<html lang="{pseudo.LANGUAGE}"' in said
                came.add(_view(urlsplit(address).path))
                forms.send_those_of(client, address, page.forms)
                for link in dict.fromkeys(page.links):
                    where = urlsplit(urljoin(address, link))
                    name, to = _view(where.path), f"{where.path}?{where.query}"
                    if where.netloc:
                        continue
                    if "format=" not in where.query and name not in asked:
                        asked.add(name)
                        waiting_pages.append(to)
                    elif "format=csv" in where.query and name not in files:
                        files.add(name)
                        wrong += _english(client, to)
    assert (wrong, forms.wrong) == ([], [])
    assert catalog.twice == set()
    assert pages > 110
    assert len(files) > 15
    assert len(forms.seen) > 80
    assert forms.spoilt_said > 35


def test_files_the_api_and_records_are_in_english_whoever_asks(catalog: pseudo.Catalog) -> None:
    world = make.world()
    approved(world)
    client = _client(make.user(roles=[role for role in Role.values if role != Role.PARTNER]))
    files = 0
    for address in [*_addresses(), "/api/v1/leaderboards/", "/api/v1/offerings/"]:
        answer = client.get(address, {"format": "csv"} if "/api/" not in address else {})
        if answer.status_code == 200 and (
            "csv" in answer["Content-Type"] or "json" in answer["Content-Type"]
        ):
            assert pseudo.OPEN not in answer.getvalue().decode(), address
            assert pseudo.OPEN not in answer.get("Content-Disposition", ""), address
            files += 1
    assert files > 25

    # A deal is logged, handed in, approved and disputed by people who read the pages in that language.
    ana, mia = _client(make.login(world.ana)), _client(make.login(world.mia))
    ana.post(reverse("quotas:deal-new"), entered(world, do="submit"))
    deal = Deal.objects.latest("pk")
    assert deal.state == DealState.SUBMITTED
    mia.post(reverse("quotas:approve"), {"deal": f"{deal.pk}:{deal.revision}", "reason": "As agreed."})
    deal.refresh_from_db()
    assert deal.state == DealState.APPROVED
    entry = CreditEntry.objects.latest("pk")
    ana.post(
        f"{reverse('quotas:dispute-new')}?entry={entry.pk}",
        {
            "rep": world.ana.slug,
            "kind": "wrong_amount",
            "claimed": "1,300",
            "text": "It was signed for more.",
        },
    )
    assert Dispute.objects.get().claimed_minor == 1_300_00
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            cursor.execute(f"SELECT count(*) FROM {name} t WHERE t::text LIKE %s", [f"%{pseudo.OPEN}%"])  # noqa: S608
            assert cursor.fetchone() == (0,), table

"""No page shows more than fifty of anything unasked: every page over a database that has sixty of everything."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from operator import attrgetter
from typing import Any, Final

import pytest
from django.apps import apps
from django.test import Client
from django.urls import Resolver404, resolve, reverse

from accounts.models import User
from bench.screenshots import NOWHERE, PAGES
from quotas.services import demo
from tests import make
from tests.conftest import Database
from tests.ui.many import multiply

MOST: Final = 50
COPIES: Final = 60
SEEDS: Final = 2  # rows whose page is looked at, of those that were copied
ABOVE: Final = 4  # rows of a table besides those of its list: one's own, sums, a heading

# What the log-ins work on, so that it is theirs of which there is much.
FIRST: Final = {
    "accounts.User": "email IN ('rep@demo.example', 'partner@demo.example')",
    "marketplace.Publisher": "slug = 'anthropic'",
    "marketplace.Offering": "slug IN ('claude-sonnet-4-5', 'claude-opus-4-1')",
    "marketplace.Product": "slug = 'github-copilot'",
    "marketplace.Feature": "slug IN ('copilot-chat', 'security-scripts')",
    "marketplace.Company": "slug = 'anthropic'",
    "marketplace.TaskSuite": "slug IN ('repository-repairs', 'reasoning-cases')",
    "quotas.Rep": "name = 'Mara Ehrlinger'",
    "quotas.Team": "slug = 'dach-enterprise'",
    "quotas.CompPlan": "slug = 'fy27-field-plan'",
}
VOID: Final = frozenset(
    {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)


class Outline(HTMLParser):
    """How often each element of a page has a child of one kind; a table's rows are counted together."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self._open: list[tuple[str, str, Counter[str]]] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if any(each == "svg" for each, _said, _children in self._open):
            if tag not in VOID:
                self._open.append((tag, "", Counter()))
            return
        if self._open:
            self._open[-1][2][tag] += 1
            if tag == "tr":
                for each, _said, children in reversed(self._open):
                    if each == "table":
                        children["row"] += 1
                        break
        if tag not in VOID:
            named = dict(attrs)
            mark = named.get("id") or named.get("name") or named.get("aria-label") or named.get("class") or ""
            self._open.append((tag, mark, Counter()))

    def handle_endtag(self, tag: str) -> None:
        if tag not in (each for each, _said, _children in self._open):
            return
        while self._open:
            each, mark, children = self._open.pop()
            for child, times in children.items():
                if times > MOST + ABOVE * (child == "row"):
                    around = next((said for _tag, said, _c in reversed(self._open) if said), "")
                    self.found[f"{each}[{mark or around}] {child}"] = times
            if each == tag:
                return


def test_fifty_of_anything_are_enough_and_all_lists_are_counted() -> None:
    few = "<ul id=a>" + "<li>x</li>" * MOST + "</ul><table id=b><tbody>" + "<tr><td>x</td></tr>" * MOST
    assert Outline(few + "</tbody></table>").found == {}
    many = few.replace("<ul id=a>", "<ul id=a><li>x</li>")
    many += "</tbody><tbody>" + "<tr><td>x</td></tr>" * (ABOVE + 1) + "</tbody></table>"
    many += f"<select name=c>{'<option>x</option>' * (MOST + 1)}</select><svg>{'<rect/>' * 99}</svg>"
    assert Outline(many).found == {
        "ul[a] li": MOST + 1,
        "table[b] row": MOST + ABOVE + 1,
        "select[c] option": MOST + 1,
    }


# Pages about one thing: for those which have much of everything, by the model's label and what the address takes.
OF: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "marketplace:change-set": ("marketplace.ChangeSet", ("pk",)),
    "marketplace:company": ("marketplace.Company", ("slug",)),
    "marketplace:console-offering": ("marketplace.Offering", ("slug",)),
    "marketplace:console-set": ("marketplace.ChangeSet", ("pk",)),
    "marketplace:decision": ("marketplace.EligibilityDecision", ("pk",)),
    "marketplace:feature": ("marketplace.Feature", ("slug",)),
    "marketplace:feature-mix": ("marketplace.Feature", ("slug",)),
    "marketplace:import": ("marketplace.CatalogImport", ("pk",)),
    "marketplace:offering": ("marketplace.Offering", ("slug",)),
    "marketplace:prices": ("marketplace.Offering", ("slug",)),
    "marketplace:private-offer": ("marketplace.PrivateOffer", ("pk",)),
    "marketplace:private-offer-edit": ("marketplace.PrivateOffer", ("pk",)),
    "marketplace:product": ("marketplace.Product", ("slug",)),
    "marketplace:relationship": ("marketplace.Relationship", ("pk",)),
    "marketplace:relationship-correct": ("marketplace.Relationship", ("pk",)),
    "marketplace:retire": ("marketplace.Offering", ("slug",)),
    "marketplace:sale": ("marketplace.Offering", ("slug",)),
    "marketplace:scenario": ("marketplace.Scenario", ("pk",)),
    "marketplace:scenario-change": ("marketplace.Scenario", ("pk",)),
    "marketplace:substitution": ("marketplace.Substitution", ("pk",)),
    "marketplace:substitution-feature": ("marketplace.Feature", ("slug",)),
    "marketplace:suite": ("marketplace.TaskSuite", ("slug",)),
    "marketplace:webhook": ("marketplace.WebhookEndpoint", ("pk",)),
    "marketplace:webhook-delivery": ("marketplace.WebhookDelivery", ("pk",)),
    "quotas:account": ("marketplace.Customer", ("slug",)),
    "quotas:adjustment": ("quotas.Adjustment", ("pk",)),
    "quotas:board": ("quotas.Team", ("slug",)),
    "quotas:credit-explanation": ("quotas.CreditEntry", ("pk",)),
    "quotas:deal": ("quotas.Deal", ("pk",)),
    "quotas:deal-amend": ("quotas.Deal", ("pk",)),
    "quotas:deal-edit": ("quotas.Deal", ("pk",)),
    "quotas:dispute": ("quotas.Dispute", ("pk",)),
    "quotas:earning": ("quotas.EarningEntry", ("pk",)),
    "quotas:earnings-of": ("quotas.Rep", ("slug",)),
    "quotas:import": ("quotas.SalesImport", ("pk",)),
    "quotas:import-map": ("quotas.SalesImport", ("pk",)),
    "quotas:plan-assignments": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-components": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-document": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-edit": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-impact": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-rule": ("quotas.RuleVersion", ("plan_version.plan.slug", "plan_version.number", "pk")),
    "quotas:plan-rule-new": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-try": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:plan-version": ("quotas.PlanVersion", ("plan.slug", "number")),
    "quotas:statement": ("quotas.Statement", ("pk",)),
}
LINK: Final = re.compile(r'href="(/[^"#]*)')


def _named(where: str) -> str:
    try:
        return resolve(where.partition("?")[0]).view_name
    except Resolver404:
        return ""


def _addresses(client: Client, where: str, rows: Mapping[str, list[Any]]) -> Iterator[str]:
    """A page of the list of pictures: as it stands there, and, where it is about one thing, for those of which there is much."""
    *followed, path = where.split(" in ")
    name = followed[0] if followed else _named(path)
    if name not in OF and not followed:
        yield path
    elif name in OF:
        label, takes = OF[name]
        for row in apps.get_model(label)._default_manager.filter(pk__in=rows[label]).order_by("pk"):
            args = [attrgetter(each)(row) for each in takes]
            yield reverse(name, args=args)
    else:
        address = path
        for each in reversed(followed):
            links = LINK.findall(client.get(address).content.decode())
            address = next((link for link in links if _named(unescape(link)) == each), "")
            if not address:
                return
        yield unescape(address)


# Longer than fifty, each with why. Where and what: of the page's name, and a part of what is counted.
ALLOWED: Final = {
    "every time zone there is, in a list that the browser searches": (
        "accounts:preferences",
        "datalist[zones]",
    ),
    "the kinds of record that there are, whatever the number of records": (
        "accounts:audit",
        "select[id_table]",
    ),
    "what somebody accepts is one document, and is printed": ("quotas:plan-document", "[terms] li"),
    "each rule of a version is tried, and an explanation says what became of it": (
        "quotas:credit-explanation",
        "ul[tried",
    ),
    "a documentation's models, as many as a file of ours lists": ("marketplace:product", "[dense]"),
    # Choices of filters and forms that still list what there is, for want of a field that is typed into.
    "teams of the ledger's filter": ("quotas:ledger", "select[team]"),
    "maps of the house": ("quotas:imports", "select[id_map]"),
    "publishers of the register's filter": ("marketplace:decisions", "select[publisher]"),
    "what a change replaces, and the versions that it knows": (
        "marketplace:console-change",
        "[box-replacement]",
    ),
    "versions known to the console": ("marketplace:console-change", "[known-versions]"),
    "products of a filter": ("marketplace:sourcing-usage", "select[product]"),
    "features of a filter": ("marketplace:sourcing-usage", "select[feature]"),
    "features of a move": ("marketplace:scenario", "optgroup[feature]"),
    "models that may be scored": ("marketplace:run-new", "select[id_model_version]"),
    "versions of a mix, typed into": ("marketplace:feature-mix", "datalist[versions]"),
    "facts of a mix": ("marketplace:feature-mix", "-fact]"),
    "evidence of a mix": ("marketplace:feature-mix", "-evidence]"),
}
ASKED: Final = {"choose=all"}  # all of them is what was asked for


def _excess(name: str, address: str, found: Mapping[str, int]) -> dict[str, int]:
    if any(asked in address for asked in ASKED):
        return {}
    allowed = [what for where, what in ALLOWED.values() if where == name]
    return {what: times for what, times in found.items() if not any(part in what for part in allowed)}


@pytest.fixture
def rows(worker_database: Database, transactional_db: None) -> Iterator[dict[str, list[Any]]]:
    """The demo, sixty times."""
    demo.load_demo(scale="small", seed=7, today=make.TODAY)
    yield multiply(worker_database.server.address(database=worker_database.name), COPIES, FIRST)
    worker_database.renew()


def walked(rows: Mapping[str, list[Any]]) -> tuple[dict[str, dict[str, int]], set[str]]:
    """What is too long, by who looked where; and the names of the pages that came. Each page once, a person's home by role."""
    clients: dict[str, Client] = {}
    came: set[str] = set()
    wrong: dict[str, dict[str, int]] = {}
    for _picture, who, where in PAGES:
        *followed, path = where.split(" in ")
        name = followed[0] if followed else _named(path)
        if path == NOWHERE or (name in came and name != "home"):
            continue
        if who not in clients:
            clients[who] = Client()
            if who:
                clients[who].force_login(User.objects.get(email=f"{who}@demo.example"))
        times = 0
        for address in _addresses(clients[who], where, rows):
            answer = clients[who].get(address, follow=True)
            if answer.status_code != 200 or answer.streaming or "html" not in answer["Content-Type"]:
                continue
            came.add(name)
            if found := _excess(name, address, Outline(answer.content.decode()).found):
                wrong[f"{who} {address}"] = found
            times += 1
            if times == SEEDS:
                break
    return wrong, came


@pytest.mark.soak  # the demo is loaded, and some two hundred long pages are read: twice what make test has to spare
def test_no_page_shows_more_than_fifty_of_anything_unasked(rows: dict[str, list[Any]]) -> None:
    wrong, came = walked(rows)
    assert wrong == {}
    assert len(came) > 150

"""Companies, commitments and flows as pages and over REST; every seed fact with its source; who sees nothing of it."""

import json
import re
from collections.abc import Callable
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from marketplace.models import (
    CommitmentDraw,
    Company,
    Relationship,
    RiskEvent,
    SupplierAgreement,
    TermAssumption,
)
from marketplace.services.demo.sourcing import companies as demo
from tests import make
from tests.marketplace.conftest import Catalog

Browser = Callable[[User], Client]
pytestmark = pytest.mark.django_db
AT = make.AT


def flat(content: bytes) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


def text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return flat(response.content)


@pytest.fixture
def people(catalog: Catalog, browser_of: Browser) -> dict[str, Client]:
    """With everything that the demo has of companies."""
    lead = make.user(role=Role.SOURCING_LEAD, name="Lee Lead")
    demo.stage(people={"sourcing": lead}, at=AT)
    return {
        "lead": browser_of(lead),
        "auditor": browser_of(make.user(role=Role.AUDITOR)),
    }


def commitment() -> Relationship:
    return Relationship.objects.get(kind="compute_commitment", superseded_at=None)


def paths() -> list[str]:
    pk = commitment().pk
    return [
        "/sourcing/companies/",
        "/sourcing/companies/anthropic/",
        "/sourcing/commitments/",
        "/sourcing/flows/",
        f"/sourcing/relationships/{pk}/",
        "/api/v1/sourcing/relationships/",
        "/api/v1/sourcing/commitments/",
        f"/api/v1/sourcing/commitments/{pk}/",
    ]


WRITES = (
    "/sourcing/companies/new/",
    "/sourcing/companies/anthropic/agreement/",
    "/sourcing/companies/anthropic/risk/",
    "/sourcing/relationships/new/",
)


def test_who_does_not_read_sourcing_finds_nothing_and_an_auditor_reads_and_writes_nothing(
    people: dict[str, Client], browser_of: Browser
) -> None:
    act = f"/sourcing/relationships/{commitment().pk}/assume/"
    term = {"assume-starts_on": "2026-01-01", "assume-ends_on": "2031-01-01", "assume-reason": "Usual"}
    for roles in ([Role.PARTNER], [Role.REP, Role.ENGINEER, Role.CATALOG_MANAGER]):
        client = browser_of(make.user(roles=roles))
        for path in (*paths(), *WRITES) if Role.PARTNER in roles else (paths()[0], paths()[-1], WRITES[0]):
            assert client.get(path).status_code == 404, (roles, path)
        assert client.post(act, term).status_code == 404
        assert "/sourcing/companies/" not in client.get("/sourcing/facts/").content.decode()
    for path in paths():
        page = people["auditor"].get(path)
        assert page.status_code == 200, path
        assert not re.search(r"<form[^>]+method=\"post\"[^>]+sourcing/", page.content.decode())
    for path in WRITES:
        assert people["auditor"].get(path).status_code == 403
    assert people["auditor"].post(act, term).status_code == 403
    assert not TermAssumption.objects.exists()


def test_every_seed_fact_stands_with_its_source_and_qualifier_and_leads_to_what_rests_on_it(
    people: dict[str, Client], shared_dir: Path
) -> None:
    place = shared_dir / "catalog" / "seed_facts.json"
    told = json.loads((place if place.exists() else shared_dir / "data/catalog/seed_facts.json").read_text())
    page = people["lead"].get("/sourcing/facts/").content.decode()
    assert len(told["facts"]) == 26
    for fact in told["facts"]:
        row = page.split(f'<tr id="fact-{fact["id"]}">')[1].split("</tr>")[0]
        said = flat(row.encode())
        refs = ", ".join(str(number) for number in fact["cited"])
        plural = "s" if len(fact["cited"]) > 1 else ""
        source = f"Paragraph {fact['paragraph']}" + (f", reference{plural} {refs}" if refs else "")
        assert re.search(re.escape(source) + r"\s*$", said), fact["id"]
        assert fact.get("note", "").lower() in said.lower()
        assert fact["from"] in said
        assert fact["to"] in said
        assert fact.get("status", "").capitalize() in said
        if fact["kind"] != "feature_binding":  # these lead to features, once products are loaded
            assert re.search(r'<a class="linky" href="/(sourcing|tasks|catalog|equal-footing)/', row), fact[
                "id"
            ]
    ties = Relationship.objects.exclude(fact=None).select_related("fact")
    assert len(ties) == 8
    for tie in ties:
        assert tie.fact is not None
        detail = people["lead"].get(f"/sourcing/relationships/{tie.pk}/").content.decode()
        assert f"/sourcing/facts/#fact-{tie.fact.slug}" in detail
        assert f"“{tie.note}”" in unescape(detail)


def test_facts_are_found_by_kind_and_words_and_handed_out(people: dict[str, Client]) -> None:
    seen = text(people["lead"], "/sourcing/facts/?kind=Equity&search=upwards")
    assert "1 of 26" in seen
    assert "At least $13B" in seen
    assert "At most $5B" not in seen
    assert "Nothing matches" in text(people["lead"], "/sourcing/facts/?search=zebra")
    file = people["lead"].get("/sourcing/facts/?kind=Equity&format=csv")
    assert b"".join(file.streaming_content).count(b"\r\n") == 3  # type: ignore[attr-defined]


def test_a_company_shows_all_its_roles_dependence_both_ways_agreements_and_risks(
    people: dict[str, Client],
) -> None:
    seen = text(people["lead"], "/sourcing/companies/anthropic/?as_of=2026-08-14")
    for part in (
        "Supplier to us Spend, about $500M a year “nearly; on track” Paragraph 1",
        "Customer of us Compute commitment, $30B",
        "Investment of us Equity, at most $5B",
        "Competitor of OpenAI",
        "Part of their revenue Unknown “one of Anthropic's largest customers; importance in numbers unknown”",
        "Notice By 1 Sep 2026 30 days before the renewal",
        "Made up for the demo",
        "Once, USD Received At most $5B Paid $30B Net \N{MINUS SIGN}$30B to \N{MINUS SIGN}$25B",
        "Microsoft → Anthropic (spend about $500M a year, equity at most $5B) → Microsoft (compute commitment $30B)",
        "Capacity was short for four days",
    ):
        assert part in seen, part
    listed = text(people["lead"], "/sourcing/companies/?role=Customer")
    assert "Competitor of OpenAI" in listed
    assert "Supplier to OpenAI" not in listed
    assert people["lead"].get("/sourcing/companies/nobody/").status_code == 404


def test_a_commitment_has_no_pace_until_somebody_assumes_a_term_and_then_says_so(
    people: dict[str, Client],
) -> None:
    lead, tie = people["lead"], commitment()
    before = text(lead, "/sourcing/commitments/")
    assert "Expected shortfall Unknown The term is not stated" in before
    assert "State an assumption" in before
    paper = text(lead, f"/sourcing/relationships/{tie.pk}/?years=5")
    assert "On paper: a term of 5 years from 1 Dec 2025. Nothing is recorded." in paper
    act = f"/sourcing/relationships/{tie.pk}"
    wrong = {"assume-starts_on": "2026-01-01", "assume-ends_on": "2025-01-01", "assume-reason": "Usual"}
    refused = lead.post(f"{act}/assume/", wrong)
    assert refused.status_code == 422
    assert "It ends before it starts" in flat(refused.content)
    assert 'value="2025-01-01"' in refused.content.decode()
    right = {**wrong, "assume-ends_on": "2031-01-01"}
    assert lead.post(f"{act}/assume/", right).status_code == 302
    after = text(lead, "/sourcing/commitments/")
    assert "Assumed term: 1 Jan 2026 to before 1 Jan 2031, by Lee Lead" in after
    assert "“Usual”. Pace and shortfall rest on it." in after
    assert "The term is not stated" not in after
    drawn = {"draw-month": "2026-08", "draw-amount": "1M", "draw-source": "bill"}
    assert "That month is not over" in flat(lead.post(f"{act}/draw/", drawn).content)
    gap = {**drawn, "draw-month": "2026-07", "draw-amount": "360M", "draw-replacing": "on"}
    assert lead.post(f"{act}/draw/", gap).status_code == 302
    assert (
        CommitmentDraw.objects.get(month=date(2026, 7, 1), superseded_at=None).amount_minor == 360_000_000_00
    )
    assert lead.post(f"{act}/withdraw/", {"withdraw-reason": "Too bold"}).status_code == 302
    assert "The term is not stated" in text(lead, "/sourcing/commitments/")
    assert lead.post(f"{act}/no-such-thing/").status_code == 404


def test_a_lead_records_corrects_and_ends_through_the_forms(people: dict[str, Client]) -> None:
    lead = people["lead"]
    assert lead.post("/sourcing/companies/new/", {"name": "Alpha Compute"}).status_code == 302
    form = {
        "kind": "infrastructure",
        "payer": "anthropic",
        "payee": "alpha-compute",
        "amount": "1.5B",
        "bound": "at most",
        "source": "A press notice, 3 August 2026",
    }
    refused = lead.post("/sourcing/relationships/new/", form)
    assert refused.status_code == 422
    assert "An amount needs its currency, such as USD." in flat(refused.content)
    assert 'value="1.5B"' in refused.content.decode()
    assert lead.post("/sourcing/relationships/new/", {**form, "currency": "USD"}).status_code == 302
    made = Relationship.objects.get(payee__slug="alpha-compute")
    assert made.amount_minor == 1_500_000_000_00
    assert "At most $1.50B" in flat(lead.get("/sourcing/flows/").content)
    shown = lead.get(f"/sourcing/relationships/{made.pk}/correct/").content.decode()
    assert 'value="1,500,000,000"' in shown
    corrected = {**form, "currency": "USD", "amount": "2B", "reason": "Misread"}
    assert lead.post(f"/sourcing/relationships/{made.pk}/correct/", corrected).status_code == 302
    new = Relationship.objects.get(payee__slug="alpha-compute", superseded_at=None)
    assert "Another statement has taken its place" in text(lead, f"/sourcing/relationships/{made.pk}/")
    ended = {"end-ends_on": "2026-08-01", "end-reason": "Called off"}
    assert lead.post(f"/sourcing/relationships/{new.pk}/end/", ended).status_code == 302
    assert "Alpha Compute" not in text(lead, "/sourcing/flows/")
    agreed = {"name": "Supply", "starts_on": "2026-01-01", "source": "contract", "discount": "7.5"}
    assert lead.post("/sourcing/companies/alpha-compute/agreement/", agreed).status_code == 302
    assert SupplierAgreement.objects.get(supplier__slug="alpha-compute").discount_ppm == 75_000
    overlap = lead.post("/sourcing/companies/alpha-compute/agreement/", agreed)
    assert "Supply holds from 1 Jan 2026 until further notice" in flat(overlap.content)
    risk = {"title": "It is young", "severity": "low", "source": "our own reading"}
    assert lead.post("/sourcing/companies/alpha-compute/risk/", risk).status_code == 302
    event = RiskEvent.objects.get(company__slug="alpha-compute")
    lead.post(f"/sourcing/risks/{event.pk}/withdraw/", {"reason": "No longer"})
    assert "No risk event" in text(lead, "/sourcing/companies/alpha-compute/")


def test_before_anything_is_recorded_the_pages_say_what_to_do(browser_of: Browser) -> None:
    lead = browser_of(make.user(role=Role.SOURCING_LEAD))
    assert "No company yet" in text(lead, "/sourcing/companies/")
    assert "No commitment is recorded" in text(lead, "/sourcing/commitments/")
    assert "No money flows yet" in text(lead, "/sourcing/flows/")
    Company.objects.create(slug="lone", name="Lone")
    assert "No role yet" in text(lead, "/sourcing/companies/lone/")


def test_pages_and_lists_cost_the_same_however_much_is_recorded(people: dict[str, Client]) -> None:
    addresses = [
        path for path in paths() if path.endswith(("companies/", "commitments/", "flows/", "ships/"))
    ]

    def queries() -> list[int]:
        counts = []
        for path in addresses:
            people["lead"].get(path)
            with CaptureQueriesContext(connection) as captured:
                people["lead"].get(path)
            counts.append(len(captured))
        return counts

    before = queries()
    for _ in range(4):
        lab = make.company()
        tie = make.relationship(payer=lab, payee=make.company(), kind="compute_commitment")
        make.agreement(supplier=lab)
        CommitmentDraw.objects.create(
            relationship=tie, month=date(2026, 1, 1), amount_minor=1, source="bill", recorded_at=AT
        )
    assert queries() == before


# REST.


def test_rest_states_amounts_with_their_bounds_terms_and_sources(people: dict[str, Client]) -> None:
    lead = people["lead"]

    def only(query: str) -> dict[str, Any]:
        found = lead.get(f"/api/v1/sourcing/relationships/?{query}").json()["results"]
        assert len(found) == 1, query
        row: dict[str, Any] = found[0]
        return row

    spend = only("kind=spend")
    assert (spend["payer"]["slug"], spend["payer"]["is_operator"]) == ("microsoft", True)
    assert spend["amount"] == {"amount": "500000000.00", "currency": "USD"}
    assert (spend["bound"], spend["per"], spend["status"]) == ("about", "year", "reported")
    assert (spend["note"], spend["synthetic"]) == ("nearly; on track", False)
    assert spend["source"] == {
        "text": "news article of 2026-01-14, paragraph 1",
        "fact": "spend-anthropic",
        "paragraph": 1,
        "references": [],
    }
    unknown = only("kind=infrastructure&payee=oracle")
    assert (unknown["amount"], unknown["bound"], unknown["note"]) == (None, "unknown", "massive")
    assert unknown["source"]["references"] == [15, 11]
    assert only("bound=at most")["status"] is None
    row = lead.get("/api/v1/sourcing/commitments/").json()["results"][0]
    assert row["term"] == {"basis": "unknown", "starts_on": None, "ends_on": None, "assumption": None}
    assert (row["pace"], len(row["draws"])) == (None, len(demo.DRAWN))
    assert row["draws"][0]["synthetic"] is True
    assert row["remaining"]["low"] == row["remaining"]["high"]
    TermAssumption.objects.create(
        relationship=commitment(),
        starts_on=date(2025, 12, 1),
        ends_on=date(2030, 12, 1),
        reason="Usual",
        stated_by=make.user(name="Lee"),
        stated_at=AT,
    )
    known = lead.get(f"/api/v1/sourcing/commitments/{row['id']}/").json()
    assert known["term"]["basis"] == "assumed"
    assert known["term"]["assumption"]["reason"] == "Usual"
    assert known["pace"]["shortfall"]["low"]["currency"] == "USD"
    assert lead.get("/api/v1/sourcing/relationships/?sort=x").status_code == 400
    assert lead.get("/api/v1/sourcing/relationships/?as_of=soon").status_code == 400

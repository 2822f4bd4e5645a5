"""The pages and the endpoints of spend and usage: what they say, who reads them, and what they take in."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateRange
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from accounts.services import create_api_key
from marketplace.models import Bound, FeatureUsage, Plan, PublicFact, SpendPlan
from tests import make

SignIn = Callable[[User], Client]
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
MILLION = 1_000_000
PAGES = ("/sourcing/spend/", "/sourcing/usage/", "/sourcing/usage/import/")
REST = ("/api/v1/sourcing/spend/", "/api/v1/sourcing/usage/")
pytestmark = pytest.mark.django_db


def text_of(page: Any) -> str:
    """What a person reads, in one line."""
    main = page.content.decode().split("<main", 1)[1].split("</main>", 1)[0]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())


def file_of(client: Client, path: str) -> bytes:
    response: Any = client.get(path)
    assert response.status_code == 200
    content = bytes(response.getvalue())
    for each in response._resource_closers:  # response.close() would close the test's connection too
        each()
    return content


class Spent:
    """$12 and $20 in June and July with Contoso on one feature, less 20%, against a reported plan; one line has no price."""

    def __init__(self) -> None:
        self.lead: User = make.user(role=Role.SOURCING_LEAD, name="Lea Lead")
        publisher = make.publisher(name="Contoso")
        self.offering = make.offering(publisher=publisher)
        self.plan: Plan = make.plan(offering=self.offering)
        make.price(plan=self.plan, rows={"output-tokens": "5"})
        self.company = make.company(publisher=publisher)
        make.agreement(supplier=self.company, discount_ppm=200_000)
        version = self.offering.model_version
        assert version is not None
        self.version = version
        self.feature = make.feature(name="Slides")
        for month, millions in ((JUNE, 3), (JULY, 5)):
            make.usage(
                feature=self.feature,
                version=version,
                plan=self.plan,
                month=month,
                tokens=(0, 0, millions * MILLION),
            )
        self.bare = make.model_version(publisher=publisher, name="Bare model")
        make.usage(feature=self.feature, version=self.bare, month=JULY)
        fact = PublicFact.objects.create(
            slug="spend-x",
            kind="spend",
            subject="We",
            counterpart="Contoso",
            note="nearly",
            paragraph=1,
            source="x",
        )
        SpendPlan.objects.create(
            supplier=self.company,
            effective=DateRange(JULY, date(2027, 7, 1)),
            amount_minor=365_00,
            currency=make.currency(),
            bound=Bound.ABOUT,
            fact=fact,
            source="made for a test",
            recorded_at=AT,
        )


@pytest.fixture
def spent(db: None) -> Spent:
    return Spent()


def test_the_spend_page_keeps_spent_planned_forecast_and_unpriced_apart(
    spent: Spent, browser_of: SignIn
) -> None:
    page = browser_of(spent.lead).get("/sourcing/spend/?from=2026-06&to=2026-07")
    said = text_of(page)
    for part in (
        "July 2026 $20 the last whole month",
        "Run-rate $240 a year: July times 12",
        "about $365 reported: nearly",
        "$20 1 of 12 months",
        "Under −$11 of $31 to date, 1 line apart",
        "A forecast needs 3 whole months with a price; there are 2.",
        "Contoso 1 of 3 lines without a price $32 100.0% −$8 20.0%",
        "Bare model Contoso No plan sells it. Jul 2026 1 1",
        "1 line of 3 in Jun 2026 to Jul 2026: unknown is not zero",
    ):
        assert part in said, part
    html = page.content.decode()
    assert '/sourcing/facts/#fact-spend-x"' in html
    assert 'href="/sourcing/usage/?supplier=' in html
    by_model = text_of(browser_of(spent.lead).get("/sourcing/spend/?from=2026-07&to=2026-07&by=model"))
    assert f"{spent.version.model.name} Contoso $20 100.0%" in by_model
    earlier = text_of(browser_of(spent.lead).get("/sourcing/spend/?as_of=2026-07-14"))
    assert "June 2026 $12 the last whole month" in earlier


def test_the_lines_behind_a_figure_lead_to_its_price(spent: Spent, browser_of: SignIn) -> None:
    client = browser_of(spent.lead)
    page = client.get("/sourcing/usage/?feature=" + spent.feature.slug + "&from=2026-07&to=2026-07")
    said = text_of(page)
    for part in (
        "2 lines They add up to $20.00; 1 without a price is not in it",
        "$25.00 $5.00 20.0% $20.00",
        "5,000,000 output tokens: USD 5.00 per million output tokens, $25.00",
        "agreed discount 20.0%",
        "No price",
        "No plan sells it.",
    ):
        assert part in said, part
    link = f"/catalog/{spent.offering.slug}/prices/?as_of=2026-07-01#{spent.plan.slug}-world-usd"
    assert link in page.content.decode()
    assert f'id="{spent.plan.slug}-world-usd"' in client.get(link).content.decode()
    only = text_of(client.get("/sourcing/usage/?priced=no&from=2026-07&to=2026-07"))
    assert "1 line None has a price" in only
    assert "No line of usage here" in text_of(client.get("/sourcing/usage/?supplier=nobody"))


def test_what_makes_no_sense_in_an_address_is_left_aside(
    spent: Spent, browser_of: SignIn, subtests: pytest.Subtests
) -> None:
    client = browser_of(spent.lead)
    for query in (
        "as_of=0001-01-01",
        "as_of=9999-12-31",
        "from=2100-12&to=2000-01",
        "from=x&to=2026-99&by=colour&priced=perhaps&supplier=%00&page=x",
    ):
        with subtests.test(query=query):
            for path in PAGES[:2]:
                assert client.get(f"{path}?{query}").status_code == 200
            assert client.get(f"{REST[0]}?{query}").status_code == 400
    assert client.get(f"{PAGES[2]}?import=99999999999999999").status_code in (200, 404)


def test_spend_and_lines_leave_as_files(spent: Spent, browser_of: SignIn) -> None:
    client = browser_of(spent.lead)
    spend = file_of(client, "/sourcing/spend/?from=2026-06&to=2026-07&format=csv")
    assert spend.decode("utf-8-sig").splitlines()[1].split(",")[2:] == ["Contoso", "", "12.00", "USD", "0"]
    lines = file_of(client, "/sourcing/usage/?from=2026-07&to=2026-07&format=jsonl")
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [(row["cost"], row["why"]) for row in rows] == [
        ({"amount": "20.00", "currency": "USD"}, ""),
        (None, "No plan sells it."),
    ]
    assert file_of(client, "/sourcing/spend/?format=xlsx").startswith(b"PK")


def test_lines_that_left_as_a_file_can_be_edited_and_sent_back(spent: Spent, browser_of: SignIn) -> None:
    client = browser_of(spent.lead)
    left = file_of(client, "/sourcing/usage/?from=2026-07&to=2026-07&format=csv")
    edited = left.replace(b",5000000,", b",6000000,")
    file = SimpleUploadedFile("edited.csv", edited)
    answer = client.post("/sourcing/usage/import/", {"file": file, "do": "record"}, follow=True)
    assert "Recorded: 1 corrected, 1 unchanged." in answer.content.decode()
    assert (
        FeatureUsage.objects.get(superseded_at=None, plan=spent.plan, month=JULY).output_tokens == 6_000_000
    )


def test_a_file_is_checked_mended_and_recorded_on_its_page(spent: Spent, browser_of: SignIn) -> None:
    client = browser_of(spent.lead)
    head = "month,feature,model,input_tokens,output_tokens\n"
    good = f"2026-05,{spent.feature.slug},{spent.version.model.slug},0,4000000\n"
    bad = f"2026-05,slidez,{spent.version.model.slug},0,1\n"

    def send(text: str, **more: str) -> Any:
        file = SimpleUploadedFile("may.csv", (head + text).encode())
        return client.post("/sourcing/usage/import/", {"file": file, **more}, follow=True)

    checked = send(good, do="check")
    assert "It would be recorded: 1 new. The new and corrected lines cost $16.00." in text_of(checked)
    assert FeatureUsage.objects.count() == 3
    refused = send(good + bad, do="record")
    assert refused.status_code == 422
    assert "Nothing was recorded. 1 row to mend, 1 is fine" in text_of(refused)
    assert "3 feature There is no feature slidez." in text_of(refused)
    partly = send(good + bad, do="record", partly="1")
    assert "Left out of may.csv" in text_of(partly)
    run = FeatureUsage.objects.get(month=date(2026, 5, 1)).brought_by
    assert run is not None
    assert b"slidez" in file_of(client, f"/sourcing/usage/import/?import={run.pk}&format=csv")
    assert "Nothing was recorded. The file is empty." in text_of(
        client.post("/sourcing/usage/import/", {"file": SimpleUploadedFile("x.csv", b" "), "do": "record"})
    )
    assert client.post("/sourcing/usage/import/", {"do": "record"}).status_code == 422


def test_who_may_not_read_sourcing_learns_of_nothing(spent: Spent, browser_of: SignIn) -> None:
    for roles in ([Role.PARTNER], [Role.REP, Role.ENGINEER]):
        client = browser_of(make.user(roles=roles))
        for path in (*PAGES, *REST, f"/api/v1/sourcing/usage/{FeatureUsage.objects.first().pk}/"):  # type: ignore[union-attr]
            assert client.get(path).status_code == 404, (roles, path)
        assert client.post(PAGES[2], {"do": "check"}).status_code == 404
        assert client.post(REST[1], "{}", content_type="application/json").status_code == 404
    auditor = browser_of(make.user(role=Role.AUDITOR))
    for path in PAGES:
        page = auditor.get(path)
        assert page.status_code == 200
        assert "Record it" not in text_of(page)
        assert "Import usage" not in text_of(page).replace("Import usage What", "")
    assert auditor.post(PAGES[2], {"do": "record"}).status_code == 403


def test_pages_take_the_same_queries_for_any_number_of_lines(spent: Spent, browser_of: SignIn) -> None:
    client = browser_of(spent.lead)
    counted = []
    for _more in range(2):
        counts = []
        for path in PAGES[:2]:
            client.get(path)
            with CaptureQueriesContext(connection) as queries:
                assert client.get(path).status_code == 200
            counts.append(len(queries))
        counted.append(counts)
        plan = make.plan(offering=spent.offering)
        make.price(plan=plan)
        for _each in range(3):
            make.usage(version=spent.version, plan=plan, month=JUNE)
    assert counted[0] == counted[1]


# --- REST --------------------------------------------------------------------------------------------------


class Program(Client):
    def __init__(self, user: User, *scopes: str) -> None:
        _row, key = create_api_key(user_id=user.pk, name="meter", scopes=scopes, by=None, at=AT)
        super().__init__(headers={"Authorization": f"Bearer {key}"})

    def send(self, body: Any, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(REST[1], json.dumps(body), content_type="application/json", headers=named)


def test_spend_over_rest_is_what_the_page_says(spent: Spent) -> None:
    body = Program(spent.lead, "sourcing:read").get(f"{REST[0]}?first=2026-06&last=2026-07").json()
    usd = {"currency": "USD"}
    assert body["total"] == {"amount": "32.00", **usd}
    assert [(m["month"], m["amount"]["amount"], m["unpriced_lines"]) for m in body["months"]] == [
        ("2026-06", "12.00", 0),
        ("2026-07", "20.00", 1),
    ]
    [row] = body["rows"]
    assert (row["name"], row["list_price"]["amount"], row["unpriced_lines"]) == ("Contoso", "40.00", 1)
    assert [(each["model"], each["why"]) for each in body["unpriced"]] == [
        (spent.bare.model.slug, "No plan sells it.")
    ]
    [rate] = body["run_rates"]
    assert (rate["annual"]["amount"], rate["plan"]["bound"]) == ("240.00", "about")
    assert (rate["plan"]["spent"]["amount"], rate["plan"]["to_date"]["amount"]) == ("20.00", "31.00")
    assert rate["plan"]["forecast"] is None
    assert rate["plan"]["fact"] == "spend-x"
    reader = Program(make.user(role=Role.AUDITOR))
    for wrong in (
        "by=colour",
        "first=2026-7",
        "first=2026-07&last=2026-06",
        "until=2026-07",
        "first=2026-13",
    ):
        assert reader.get(f"{REST[0]}?{wrong}").status_code == 400, wrong


def test_usage_over_rest_is_read_narrowed_and_recorded(spent: Spent) -> None:
    program = Program(spent.lead, "sourcing:write")
    found = program.get(f"{REST[1]}?first=2026-07&feature={spent.feature.slug}").json()["results"]
    assert [(row["model"], row["cost"], row["why"]) for row in found] == [
        (spent.bare.model.slug, None, "No plan sells it."),
        (spent.version.model.slug, {"amount": "20.00", "currency": "USD"}, ""),
    ]
    one = program.get(f"{REST[1]}{found[1]['id']}/")
    assert one.json() == found[1]
    assert (
        program.get(f"{REST[1]}{found[1]['id']}/", headers={"If-None-Match": one["ETag"]}).status_code == 304
    )
    row = {
        "month": "2026-05",
        "feature": spent.feature.slug,
        "model": spent.version.model.slug,
        "input_tokens": 0,
        "output_tokens": 2_000_000,
    }
    body = {"source": "meter", "rows": [row]}
    dry = program.send({**body, "dry_run": True})
    assert (dry.status_code, dry.json()["new"], dry.json()["recorded"]) == (200, 1, False)
    assert FeatureUsage.objects.count() == 3
    made = program.send(body, Idempotency_Key="k1")
    assert (made.status_code, made.json()["cost"]["amount"]) == (201, "8.00")
    again = program.send(body, Idempotency_Key="k1")
    assert (again.status_code, again["Idempotent-Replayed"], FeatureUsage.objects.count()) == (201, "true", 4)
    assert (program.send(body).status_code, FeatureUsage.objects.count()) == (200, 4)
    wrong = program.send({"source": "meter", "rows": [row | {"output_tokens": 9}, row | {"feature": "none"}]})
    assert wrong.status_code == 422
    assert [(e["pointer"], e["code"]) for e in wrong.json()["errors"]] == [
        ("/rows/1/feature", "unknown_feature")
    ]
    assert FeatureUsage.objects.count() == 4


def test_only_a_key_that_may_write_of_who_leads_sourcing_records(spent: Spent) -> None:
    body = {"source": "meter", "rows": []}
    assert Program(spent.lead, "sourcing:read").send(body).status_code == 403
    row = {"month": "2026-05", "feature": "f", "model": "m", "input_tokens": 1, "output_tokens": 1}
    refused = Program(make.user(role=Role.AUDITOR)).send({"source": "meter", "rows": [row]})
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["code"] == "not_a_sourcing_lead"

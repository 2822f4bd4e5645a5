"""What runs on what, for everybody who works here and nobody else: pages, files, REST, and what has to move by when."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Notification, Role, User
from config import outbox
from marketplace.extension import Change
from marketplace.importers.own import OWN_DATA, BadRow
from marketplace.importers.products import documentation, read
from marketplace.models import Binding, Feature, ModelVersion, Product, PublicFact, Publisher
from marketplace.selectors.sourcing.binding import bindings
from marketplace.selectors.sourcing.products import mixes, must_move
from marketplace.services.sourcing.binding import MixRow, last_stated, set_mix
from marketplace.services.sourcing.portfolio import load_portfolio
from marketplace.services.telling import tell
from tests import make
from tests.marketplace.conftest import TODAY, Catalog

ONE = 1_000_000
JUNE, OCTOBER = date(2026, 6, 1), date(2026, 10, 1)
Browser = Callable[[User], Client]

pytestmark = pytest.mark.django_db


def seen(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return flat(response.content)


def flat(content: bytes) -> str:
    """The words, with a space wherever a tag stood."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode()))


@pytest.fixture
def lead() -> User:
    return make.user(role=Role.SOURCING_LEAD)


@pytest.fixture
def chat(lead: User) -> Feature:
    """Runs on Comet, which retires on 1 November, and on Dawn, which is not for sale; from October on without Comet."""
    feature = make.feature(product=make.product(name="Assistant"), name="Chat")
    comet = make.offering(name="Comet", slug="comet", retires_on=date(2026, 11, 1)).model_version
    dawn = make.model_version(name="Dawn")
    assert comet is not None
    for day, rows in (
        (JUNE, [MixRow(comet.pk, "default", 600_000), MixRow(dawn.pk, "selectable", 400_000, assumed=True)]),
        (OCTOBER, [MixRow(dawn.pk, "default", None)]),
    ):
        set_mix(feature_id=feature.pk, from_day=day, rows=rows, reason=f"As of {day}", by=lead, at=make.AT)
    return feature


def comet_of(feature: Feature) -> ModelVersion:
    return ModelVersion.objects.filter(bindings__feature=feature, model__name="Comet").distinct().get()


# --- what must move ---------------------------------------------------------------------------------------


def test_a_feature_must_move_if_it_still_runs_on_the_version_when_that_retires(
    chat: Feature, lead: User
) -> None:
    assert must_move(list(bindings()), TODAY) == []  # it leaves in October, in time
    mail, comet = make.feature(name="Mail"), comet_of(chat)
    rows = [MixRow(comet.pk, "default", None)]
    set_mix(feature_id=mail.pk, from_day=JUNE, rows=rows, reason="x", by=lead, at=make.AT)
    [move] = must_move(list(bindings()), TODAY)
    assert (move.feature, move.version, move.retires_on, move.share_ppm) == (
        mail,
        comet,
        date(2026, 11, 1),
        None,
    )
    [late] = must_move(list(bindings()), date(2026, 12, 1))
    assert late.days(date(2026, 12, 1)) == -30
    other = make.offering()
    other.model_version = comet
    other.save()
    assert must_move(list(bindings()), TODAY) == []  # something else goes on selling it


def test_sourcing_leads_hear_once_of_a_day_on_which_a_bound_model_retires(chat: Feature, lead: User) -> None:
    make.user(role=Role.ENGINEER)
    comet = comet_of(chat)
    offering = comet.offerings.get()
    offering.retires_on = date(2026, 9, 15)
    offering.save()
    for key in ("one", "two"):
        tell(Change("lifecycle", "x", (offering.pk,), TODAY), key=key, at=make.AT)
    tell(Change("lifecycle", "x", (make.offering(retires_on=OCTOBER).pk,), TODAY), key="other", at=make.AT)
    while due := outbox.lease(at=make.AT):
        for pk in due:
            outbox.carry_out(message_id=pk, at=make.AT)
    said = Notification.objects.filter(key__startswith="must-move")
    assert [(n.user, n.text) for n in said] == [
        (lead, "Comet retires on 15 Sep 2026: Assistant: Chat has to move by then.")
    ]


# --- pages ------------------------------------------------------------------------------------------------


def test_pages_show_what_runs_on_what_with_its_why(chat: Feature, browser_of: Browser) -> None:
    client = browser_of(make.user(role=Role.ENGINEER))
    every = seen(client, "/sourcing/products/")
    for part in ("Assistant", "Chat", "Comet 60%", "Dawn 40%", "Changes on 1 Oct 2026", "Nothing known"):
        assert part in every, part
    assert "Comet 60%" in seen(client, f"/sourcing/products/{chat.product.slug}/")
    page = seen(client, f"/sourcing/features/{chat.slug}/")
    for part in (
        "since 1 Jun 2026, until 1 Oct 2026",
        "As of 2026-06-01",
        "not for sale here",
        "No evidence cited",
        "Changes on 1 Oct 2026: As of 2026-10-01",
        "What was stated before",
        "Every mix, the latest first 2 stated",
    ):
        assert part in page, part
    later = seen(client, f"/sourcing/features/{chat.slug}/?as_of=2026-10-01")
    assert "Dawn" in later
    assert "100% of the traffic" not in later
    assert "How the traffic divides is not stated" in later
    assert "Nothing is stated for that day" in seen(
        client, f"/sourcing/features/{chat.slug}/?as_of=2026-05-31"
    )
    offered = seen(client, "/catalog/comet/")
    assert "Features it powers" in offered
    assert "Chat Assistant Runs on it 60% 1 Jun 2026 to before 1 Oct 2026" in offered
    for day in ("0001-01-01", "9999-12-31", "soon"):
        for path in ("products/", f"products/{chat.product.slug}/", f"features/{chat.slug}/"):
            seen(client, f"/sourcing/{path}?as_of={day}")
    keeper = browser_of(make.user(role=Role.CATALOG_MANAGER))
    retire = seen(keeper, "/catalog/comet/retire/?retires_on=2026-12-20")
    assert "Features of our products" not in retire  # it has moved by then
    set_back = set_mix(
        feature_id=chat.pk,
        from_day=OCTOBER,
        rows=[MixRow(comet_of(chat).pk, "default", ONE)],
        reason="Back",
        by=User.objects.get(role_grants__role=Role.SOURCING_LEAD),
        at=make.AT,
    )
    assert len(set_back) == 1
    retire = seen(keeper, "/catalog/comet/retire/?retires_on=2026-12-20")
    assert "Features of our products that run on it must move by 20 Dec 2026" in retire
    page = seen(client, f"/sourcing/features/{chat.slug}/")
    assert "Part of it has to move by 1 Nov 2026." in page
    assert "1 Nov 2026 Comet" in seen(client, "/sourcing/products/")


def test_partners_find_none_of_it_and_readers_change_nothing(chat: Feature, browser_of: Browser) -> None:
    publisher = comet_of(chat).model.publisher
    partner = browser_of(make.user(role=Role.PARTNER, publisher=publisher))
    paths = (
        "/sourcing/products/",
        f"/sourcing/products/{chat.product.slug}/",
        f"/sourcing/features/{chat.slug}/",
        f"/sourcing/features/{chat.slug}/mix/",
        "/sourcing/products/?format=csv",
        "/api/v1/sourcing/bindings/",
        f"/api/v1/sourcing/bindings/{Binding.objects.latest('pk').pk}/",
    )
    for path in paths:
        assert partner.get(path).status_code == 404, path
    for path in ("/catalog/comet/", "/catalog/comet/retire/"):
        assert "Features" not in seen(partner, path)
    for role in (Role.AUDITOR, Role.ENGINEER):
        client = browser_of(make.user(role=role))
        assert "Change the mix" not in seen(client, f"/sourcing/features/{chat.slug}/")
        form = f"/sourcing/features/{chat.slug}/mix/"
        assert (client.get(form).status_code, client.post(form, {"do": "set"}).status_code) == (403, 403)
    assert bindings().count() == 3


def test_pages_take_a_fixed_number_of_queries(
    lead: User, browser_of: Browser, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser_of(lead)
    counts: list[list[int]] = []
    for _ in range(2):
        feature = make.feature(product=make.product())
        for n in range(4):
            offering = make.offering(retires_on=OCTOBER)
            rows = [MixRow(offering.model_version_id or 0, "default", ONE)]
            day = JUNE + timedelta(n)
            set_mix(feature_id=feature.pk, from_day=day, rows=rows, reason="x", by=lead, at=make.AT)
        counts.append([])
        for path in ("/sourcing/products/", "/api/v1/sourcing/bindings/?history=true"):
            client.get(path)
            with django_assert_max_num_queries(40) as queries:
                assert client.get(path).status_code == 200
            counts[-1].append(len(queries))
    assert counts[0] == counts[1]


# --- changing it ------------------------------------------------------------------------------------------


def sent(feature: Feature, *rows: tuple[str, str, str], **fields: object) -> dict[str, object]:
    """A filled form: model, role and share of each row."""
    data: dict[str, object] = {
        "from_day": "2026-09-01",
        "reason": "Cheaper",
        "source": "",
        "seen": last_stated(feature.pk),
        "rows": len(rows),
        "do": "set",
    }
    for place, (model, role, share) in enumerate(rows):
        data |= {f"row{place}-model": model, f"row{place}-role": role, f"row{place}-share": share}
    return data | fields


def test_a_lead_states_a_mix_and_the_server_adds_up(chat: Feature, lead: User, browser_of: Browser) -> None:
    client, path = browser_of(lead), f"/sourcing/features/{chat.slug}/mix/"
    opened = client.get(path)
    assert [row["model"].value() for row in opened.context["form"].rows] == ["Comet", "Dawn", None, None]
    part = client.post(
        path, sent(chat, ("Comet", "default", "55.5"), do="check"), headers={"HX-Request": "true"}
    )
    assert "55.5% 44.5% missing From 1 Sep 2026 until 1 Oct 2026" in flat(part.content)
    assert b"<html" not in part.content
    wrong = client.post(
        path,
        sent(
            chat,
            ("Comet", "default", "70"),
            ("dawn", "selectable", "40"),
            ("Nobody", "selectable", "x"),
            ("", "selectable", "5"),
            reason="",
        ),
    )
    assert wrong.status_code == 422
    for part_of in (
        "Say why: it stands beside the mix.",
        "There is no such model: choose one from the list.",
        "Enter a number from 0 to 100",
        "Say whose share this is",
    ):
        assert part_of in flat(wrong.content).replace("&#x27;", "'"), part_of
    over = client.post(path, sent(chat, ("Comet", "default", "70"), ("dawn", "selectable", "40")))
    assert "The shares add up to 110%: 10% too much." in flat(over.content)
    assert bindings().count() == 3
    fewer = client.post(
        path, sent(chat, ("Comet", "default", "70"), ("dawn", "selectable", "40"), do="", drop="0")
    )
    assert [(r["model"].value(), r["share"].value()) for r in fewer.context["form"].rows] == [("dawn", "40")]
    done = client.post(path, sent(chat, ("Comet", "default", "70%"), ("dawn", "selectable", "30")))
    assert done.status_code == 302
    assert [(m.start, m.end, [b.share_ppm for b in m.bindings]) for m in mixes(bindings())] == [
        (JUNE, date(2026, 9, 1), [600_000, 400_000]),
        (date(2026, 9, 1), OCTOBER, [700_000, 300_000]),
        (OCTOBER, None, [None]),
    ]


def test_who_was_overtaken_is_told_and_may_decide_again(
    chat: Feature, lead: User, browser_of: Browser
) -> None:
    client, path = browser_of(lead), f"/sourcing/features/{chat.slug}/mix/"
    mine = sent(chat, ("Dawn", "default", "100"))
    rows = [MixRow(comet_of(chat).pk, "default", ONE)]
    set_mix(feature_id=chat.pk, from_day=date(2026, 9, 1), rows=rows, reason="First", by=lead, at=make.AT)
    told = client.post(path, mine)
    assert told.status_code == 422
    assert "Somebody else changed what this feature runs on in the meantime." in flat(told.content)
    assert "Comet 100%" in flat(told.content)
    again = client.post(path, {**mine, "seen": told.context["form"]["seen"].value()})
    assert again.status_code == 302


# --- files and REST ---------------------------------------------------------------------------------------


def test_the_list_leaves_as_a_file(chat: Feature, browser_of: Browser) -> None:
    client = browser_of(make.user(role=Role.AUDITOR))
    response = client.get("/sourcing/products/?format=csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(response).decode("utf-8-sig"))))
    assert [(r["Feature"], r["Model"], r["Role"], r["Share %"], r["From"], r["Assumed"]) for r in rows] == [
        ("Chat", "Comet", "Default", "60.0000", "2026-06-01", "false"),
        ("Chat", "Dawn", "Selectable", "40.0000", "2026-06-01", "true"),
    ]


def test_rest_lists_bindings_on_a_day_and_over_all_time(chat: Feature, browser_of: Browser) -> None:
    client = browser_of(make.user(role=Role.REP))
    maker = comet_of(chat).model.publisher.slug

    def listed(query: str) -> list[tuple[str, str | None, str | None]]:
        response = client.get(f"/api/v1/sourcing/bindings/?{query}")
        assert response.status_code == 200, response.content
        return [(b["model"], b["share"], b["effective_until"]) for b in response.json()["results"]]

    comet, dawn = (comet_of(chat).model.slug, Binding.objects.latest("pk").model_version.model.slug)
    assert listed("") == [(comet, "0.6", "2026-10-01"), (dawn, "0.4", "2026-10-01")]
    assert listed("as_of=2026-10-01") == [(dawn, None, None)]
    assert len(listed("history=true")) == 3
    assert listed(f"publisher={maker}") == listed(f"model={comet}") == [(comet, "0.6", "2026-10-01")]
    assert listed("role=selectable,fallback") == [(dawn, "0.4", "2026-10-01")]
    assert listed(f"feature={chat.slug}&product=nothing") == []
    one = client.get("/api/v1/sourcing/bindings/?role=default")
    body = one.json()["results"][0]
    assert (body["version_retires_on"], body["feature"], body["assumed"]) == ("2026-11-01", chat.slug, False)
    again = client.get("/api/v1/sourcing/bindings/?role=default", headers={"If-None-Match": one["ETag"]})
    assert again.status_code == 304
    assert client.get(f"/api/v1/sourcing/bindings/{body['id']}/").json() == body
    assert client.get("/api/v1/sourcing/bindings/?supplier=x").status_code == 400


# --- the project's own data -------------------------------------------------------------------------------


def test_what_is_documented_is_all_there() -> None:
    path = Path(__file__).resolve().parents[4] / "shared" / "data" / "catalog" / "copilot_models.json"
    if not path.exists():
        pytest.skip("the documents that the data was transcribed from are not here")
    stated, ours = json.loads(path.read_text()), documentation()
    by_name = {each.called.name: each for each in ours.models}
    assert {n: (m.retires_on.isoformat(), m.alternative) for n, m in by_name.items() if m.retires_on} == {
        r["name"]: (r["retirement_date"], r["suggested_alternative"]) for r in stated["retirements"]
    }
    assert {n: float(m.multiplier) for n, m in by_name.items() if m.multiplier is not None} == {
        r["name"]: r["multiplier_paid"] for r in stated["premium_request_multipliers"]
    }
    assert {n: m.automatic for n, m in by_name.items() if m.automatic} == {
        r["name"]: {k: v for k, v in r.items() if k != "name"} for r in stated["auto_selection"]
    }
    uses = {(task, name) for task, names in stated["task_areas"].items() for name in names}
    assert {(use, n) for n, m in by_name.items() for use in m.uses} == uses
    assert ours.licence in stated["licence"]


def test_the_own_products_load_once_without_disturbing_the_catalog(
    catalog: Catalog, lead: User, browser_of: Browser
) -> None:
    done = load_portfolio(by=lead, at=make.AT)
    assert (done.added["products"], done.added["features"]) == (3, 14)
    assert done.added["mixes"] == sum(len(f.mixes) for p in read().products for f in p.features)
    again = load_portfolio(by=lead, at=make.AT)
    assert not any(again.added.values())
    assert Binding.objects.exclude(superseded_at=None).count() == 0
    cited = {f.slug for f in PublicFact.objects.filter(bindings__isnull=False)}
    assert cited == {"feat-github-copilot", "feat-m365-copilot", "feat-security-copilot"}
    for product in Product.objects.select_related("offering"):
        assert product.offering is not None
    wrong = [
        str(b)
        for b in bindings()
        if b.model_version.released_on is not None and b.effective.lower < b.model_version.released_on
    ]
    assert wrong == []
    assert Publisher.objects.filter(slug__in=("google", "alibaba")).count() == 2
    rep = browser_of(make.user(role=Role.REP))
    names = {p["slug"] for p in rep.get("/api/v1/publishers/").json()["results"]}
    assert not names & {"google", "alibaba"}
    assert "Gemini" not in seen(rep, "/catalog/?page_size=100")
    assert rep.get("/catalog/publishers/google/").status_code == 404
    page = seen(browser_of(lead), "/sourcing/products/github-copilot/")
    for part in (
        "Claude Opus 4.6 (fast mode) (preview)",
        "× 7.5",
        "CC-BY-4.0",
        "references 1, 2, 3, 4, 5, 6",
    ):
        assert part in page, part


def test_the_command_names_what_is_wrong(db: None, lead: User, tmp_path: Path) -> None:
    for name in ("copilot.toml", "products.toml"):
        (tmp_path / name).write_bytes((OWN_DATA / name).read_bytes())
    products = tmp_path / "products.toml"
    products.write_text(products.read_text().replace('"default 100"', '"default all"', 1))
    with pytest.raises(BadRow, match="copilot-completion from 2024-08-01: 'all' is not a share"):
        read(tmp_path)
    with pytest.raises(CommandError, match="Nothing was loaded"):
        call_command("load_products", str(tmp_path), by=lead.email)
    with pytest.raises(CommandError, match="Nobody logs in"):
        call_command("load_products", by="nobody@demo.example")
    assert not Product.objects.exists()

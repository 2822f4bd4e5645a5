"""The pages on which models are judged: blind, for staff only, once."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils.html import strip_tags

from accounts.models import Role, User
from config import locales
from marketplace.models import PairVote, SuiteRun, VotingRound
from marketplace.selectors.sourcing import rounds
from marketplace.services.sourcing import judging
from marketplace.views.sourcing.answer_text import Block, blocks
from marketplace.views.sourcing.judging import span_text
from tests import make
from tests.marketplace.evidence_world import result, sold, task
from tests.marketplace.sourcing.test_judging import suite_with_answers, vote_all

AT = datetime(2026, 8, 13, 9, tzinfo=UTC)
SignIn = Callable[[User], Client]


def main_of(page: Any) -> str:
    return str(page.content.decode().split("<main", 1)[1].split(">", 1)[1].split("</main>", 1)[0])


def text_of(page: Any) -> str:
    """What a person reads, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", main_of(page)).split())


def opened(lead: User, names: tuple[str, ...] = ("Contoso Large", "Fabrikam Small")) -> VotingRound:
    versions = [make.model_version(name=name) for name in names]
    suite = suite_with_answers(versions, cases=3)
    return judging.open_round(suite_id=suite.pk, harness="plain", by=lead, at=AT)


@pytest.mark.django_db
def test_the_page_of_a_vote_does_not_know_who_wrote_what(browser_of: SignIn) -> None:
    lead, engineer = make.user(role=Role.SOURCING_LEAD), make.user(role=Role.ENGINEER)
    found = opened(lead)
    page = browser_of(engineer).get(f"/judging/{found.suite.slug}/vote/")
    html = page.content.decode()
    for answer in found.suite.cases.get(number=1).answers.select_related("model_version__model__publisher"):
        model = answer.model_version.model
        for secret in (model.name, model.slug, model.family, model.publisher.name, model.publisher.slug):
            assert secret not in html
    main = main_of(page)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', main))
    assert set(hidden) == {"csrfmiddlewaretoken", "token"}
    assert re.fullmatch("[0-9a-f]{32}", hidden["token"])
    assert not re.search(r"data-(?!key)[a-z]+=|\bid=\"(?!asked|side-[AB])", main)
    assert page["Cache-Control"].startswith("max-age=0")


@pytest.mark.django_db
def test_an_engineer_judges_every_pair_once_and_is_thanked(browser_of: SignIn) -> None:
    lead, engineer = make.user(role=Role.SOURCING_LEAD), make.user(role=Role.ENGINEER)
    found = opened(lead)
    client, address = browser_of(engineer), f"/judging/{found.suite.slug}/vote/"
    first = re.findall(r'name="token" value="(\w+)"', client.get(address).content.decode())[0]
    client.post(address, {"token": first, "choice": "skip"})
    assert not PairVote.objects.exists()
    seen = []
    for _ in range(3):
        page = client.get(address)
        seen += re.findall(r'name="token" value="(\w+)"', page.content.decode())
        sent = client.post(address, {"token": seen[-1], "choice": "left"})
        assert sent.status_code == 302
    assert seen[-1] == first
    assert len(set(seen)) == 3
    again = client.post(address, {"token": first, "choice": "right"}, follow=True)
    assert PairVote.objects.count() == 3
    assert "your first vote stands" in strip_tags(again.content.decode())
    assert "that was every pair" in text_of(again)
    stranger = browser_of(make.user(role=Role.ENGINEER))
    assert "was not shown to you" in strip_tags(
        stranger.post(address, {"token": first, "choice": "left"}, follow=True).content.decode()
    )
    assert PairVote.objects.count() == 3


@pytest.mark.django_db
def test_nobody_reads_how_an_open_round_stands_and_everybody_what_a_closed_one_came_to(
    browser_of: SignIn,
) -> None:
    lead = make.user(role=Role.SOURCING_LEAD)
    found = opened(lead)
    pairs = rounds.pairs_of(found.suite_id, "plain")
    best = pairs[0].first_version
    for voter in (make.user(role=Role.ENGINEER) for _ in range(4)):
        vote_all(found, pairs, voter, best)
    client, address = browser_of(lead), f"/judging/{found.suite.slug}/"
    before = text_of(client.get(address))
    assert "12 votes" in before
    assert "Nobody sees how it stands" in before
    assert "Contoso Large" not in before
    client.post(f"/judging/rounds/{found.pk}/close/")
    after = text_of(client.get(address))
    assert "Contoso Large" in after
    assert "People agree 100%" in after
    twice = client.post(f"/judging/rounds/{found.pk}/close/", follow=True)
    assert "closed already" in strip_tags(twice.content.decode())
    assert SuiteRun.objects.count() == 2


@pytest.mark.django_db
def test_partners_find_nothing_readers_no_buttons_and_engineers_open_no_rounds(browser_of: SignIn) -> None:
    lead = make.user(role=Role.SOURCING_LEAD)
    found = opened(lead)
    own = f"/judging/{found.suite.slug}/"
    pages = ("/judging/", "/judging/matrix/", own, f"{own}vote/", f"{own}runs/new/")
    for nobody in (make.user(role=Role.PARTNER), make.user(), make.user(roles=[Role.PARTNER, Role.ENGINEER])):
        client = browser_of(nobody)
        assert [client.get(page).status_code for page in pages] == [404] * 5
        assert client.post(f"/judging/rounds/{found.pk}/close/").status_code == 404
    auditor = browser_of(make.user(role=Role.AUDITOR))
    assert [auditor.get(page).status_code for page in pages] == [200, 200, 200, 403, 403]
    assert "Vote" not in text_of(auditor.get(own))
    engineer = browser_of(make.user(role=Role.ENGINEER))
    assert engineer.post(f"/judging/rounds/{found.pk}/close/").status_code == 403
    assert engineer.post(f"{own}round/", {"harness": "plain"}).status_code == 403
    assert "Close, and record" not in text_of(engineer.get(own))
    assert VotingRound.objects.get().closed_at is None


@pytest.mark.django_db
def test_a_lead_calls_a_round_off_and_opens_another(browser_of: SignIn) -> None:
    lead = make.user(role=Role.SOURCING_LEAD)
    found = opened(lead)
    client = browser_of(lead)
    client.post(f"/judging/rounds/{found.pk}/call-off/", {"reason": ""})
    assert VotingRound.objects.get().closed_at is None
    client.post(f"/judging/rounds/{found.pk}/call-off/", {"reason": "Wrong answers"})
    client.post(f"/judging/{found.suite.slug}/round/", {"harness": "plain"})
    assert VotingRound.objects.filter(closed_at=None).count() == 1
    assert "Called off" in text_of(client.get(f"/judging/{found.suite.slug}/"))


@pytest.mark.django_db
def test_a_run_is_recorded_in_the_browser_or_refused_beside_its_field(browser_of: SignIn) -> None:
    suite, version = make.suite(), make.model_version()
    client, address = browser_of(make.user(role=Role.ENGINEER)), f"/judging/{suite.slug}/runs/new/"
    sent = {
        "model_version": version.pk,
        "dated": "2026-08-01",
        "metric": "pass rate",
        "harness": "loop 1",
        "sample_size": "50",
        "score": "62",
        "evaluator": "Nightly job",
        "higher_is_better": "on",
    }
    refused = client.post(address, sent)
    assert refused.status_code == 422
    assert "A rate is a fraction" in text_of(refused)
    assert not SuiteRun.objects.exists()
    client.post(address, {**sent, "score": "0.62"})
    run = SuiteRun.objects.get()
    assert (run.score, run.interval_low, run.synthetic) == (Decimal("0.62"), Decimal("0.4815"), False)
    assert "0.62" in text_of(client.get(f"/judging/{suite.slug}/"))


@pytest.mark.django_db
def test_the_matrix_keeps_rankings_apart_and_says_what_is_missing(
    browser_of: SignIn, django_assert_max_num_queries: Any
) -> None:
    area = task("coding")
    one, other = (sold(area, name=name).model_version for name in ("Contoso Large", "Fabrikam Small"))
    assert one is not None
    assert other is not None
    suite = make.suite(task="coding", name="Repairs")
    make.suite_run(suite=suite, version=one)
    make.suite_run(suite=suite, version=other, harness="another harness")
    result(one.offerings.get(), None, area=area, subject=one.model.name, finding="Liked by developers.")
    make.suite_run(suite=make.suite(task="slides"), version=one, dated=date(2026, 12, 1))
    client = browser_of(make.user(role=Role.ENGINEER))
    with django_assert_max_num_queries(14):
        page = client.get("/judging/matrix/", {"as_of": "2026-08-14"})
    told = text_of(page)
    assert "There is no overall winner" in told
    assert "Not comparable In 1 other ranking" in told
    assert "Liked by developers." in told
    assert "Slides" not in told.split("There is no overall winner")[1].split("No evidence yet on any")[0]
    assert "2026-12" not in told
    csv = b"".join(client.get("/judging/matrix/", {"format": "csv"}).streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert csv.count("Repairs") == 1


@pytest.mark.django_db
def test_our_own_runs_stay_out_of_the_public_pages(browser_of: SignIn) -> None:
    area = task("coding")
    version = sold(area, name="Contoso Large").model_version
    assert version is not None
    make.suite_run(suite=make.suite(task="coding", name="Secret repairs"), version=version)
    partner = browser_of(make.user(role=Role.PARTNER))
    for page in ("/tasks/", "/tasks/coding/", f"/catalog/{version.offerings.get().slug}/"):
        answered = partner.get(page)
        assert answered.status_code == 200
        assert "Secret repairs" not in answered.content.decode()


def test_an_answer_becomes_blocks_and_never_markup() -> None:
    found = blocks(
        "# Head\n- one\n- two\n| a | b |\n| c |\nplain <b>\n```python\nif x < 1:\n    pass\n```\nend"
    )
    assert found == [
        Block("heading", "Head"),
        Block("points", lines=["one", "two"]),
        Block("table", rows=[["a", "b"], ["c", ""]]),
        Block("text", "plain <b>"),
        Block("code", "if x < 1:\n    pass"),
        Block("text", "end"),
    ]
    assert blocks("```\nnever closed") == [Block("code", "never closed")]
    assert blocks("") == []


@pytest.mark.django_db
def test_an_answer_cannot_run_anything_in_the_page(browser_of: SignIn) -> None:
    lead = make.user(role=Role.SOURCING_LEAD)
    versions = [make.model_version(), make.model_version()]
    suite = suite_with_answers(versions, cases=1)
    case = suite.cases.get()
    for version in versions:
        case.answers.create(
            model_version=version,
            harness="hostile",
            text="# <script>alert(1)</script>\n- <img src=x onerror=1>\n```\n</code></pre><script>2</script>\n```",
            produced_on=date(2026, 7, 1),
        )
    judging.open_round(suite_id=suite.pk, harness="hostile", by=lead, at=AT)
    main = main_of(browser_of(lead).get(f"/judging/{suite.slug}/vote/"))
    assert "<script" not in main
    assert "<img" not in main
    assert "&lt;script&gt;alert(1)" in main


@pytest.mark.django_db
def test_runs_are_read_over_rest_by_staff_alone(
    browser_of: SignIn, django_assert_max_num_queries: Any
) -> None:
    version = make.model_version()
    suite = make.suite(task="coding")
    for day in (1, 2, 3):
        make.suite_run(suite=suite, version=version, dated=date(2026, 6, day))
    make.suite_run(suite=make.suite(task="slides"), version=version)
    address = "/api/v1/sourcing/evaluations/"
    assert browser_of(make.user(role=Role.PARTNER)).get(address).status_code == 404
    engineer = browser_of(make.user(role=Role.ENGINEER))
    with django_assert_max_num_queries(6):
        answered = engineer.get(address, {"task": "coding", "since": "2026-06-02"})
    runs = answered.json()["results"]
    assert [run["dated"] for run in runs] == ["2026-06-03", "2026-06-02"]
    assert (runs[0]["score"], runs[0]["interval_low"], runs[0]["sample_size"]) == ("0.5000", "0.4000", 100)
    assert engineer.get(f"{address}{runs[0]['id']}/").json() == runs[0]
    assert engineer.get(address, {"winner": "yes"}).status_code == 400


@pytest.mark.parametrize(
    ("tag", "share", "points"),
    [("en", "0.50 to 0.86", "\N{MINUS SIGN}4.0 to 1,503.5"), ("de-DE", "0,50 to 0,86", "\N{MINUS SIGN}4,0 to 1503,5")],
)  # fmt: skip
def test_scores_are_written_as_their_reader_writes_decimals(tag: str, share: str, points: str) -> None:
    with locales.using(locales.style(tag)):
        assert span_text(Decimal("0.5"), Decimal("0.855")) == share
        assert span_text(Decimal(-4), Decimal("1503.45"), 2000) == points

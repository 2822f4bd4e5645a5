"""Explanations on pages and mails speak as their reader reads; what is kept of them never does."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as project
from django.db import connection
from django.db.models import Model
from django.utils import translation

from accounts.models import User
from config import locales, mailing, outbox
from config.language import marked
from config.models import Mail
from quotas.crediting import explain, telling
from quotas.models import CreditEntry, UncreditedLine
from quotas.selectors import audit, evidence
from quotas.selectors.pace import Forecast
from quotas.services import delegating, disputes
from quotas.services.reminding import remind
from quotas.views import Writer, board
from tests import make
from tests.make import AT
from tests.quotas.disputes.test_disputes import opened
from tests.quotas.test_pages import approved, submitted
from tests.ui import pseudo

pytestmark = pytest.mark.django_db
GERMAN = "de-DE"


@pytest.fixture(autouse=True)
def catalog(settings: Any) -> Iterator[pseudo.Catalog]:
    settings.LANGUAGES = [*settings.LANGUAGES, (pseudo.LANGUAGE, "Nobody's")]
    with pseudo.known() as found:
        yield found


def reads(user: User | None) -> User:
    """Somebody who reads German figures in the language that nobody speaks."""
    assert user is not None
    user.language, user.locale = pseudo.LANGUAGE, GERMAN
    user.save()
    return user


def spoken_of(told: Any) -> list[str]:
    """Every text of an explanation or of a reason that is said and is no name."""
    if isinstance(told, str):
        return [told]
    if isinstance(told, list | tuple):
        return [text for each in told for text in spoken_of(each)]
    if isinstance(told, Model) or not hasattr(told, "__dataclass_fields__"):
        return []
    keys = {"name", "condition", "reason", "result"}
    return [text for field, each in vars(told).items() if field not in keys for text in spoken_of(each)]


def test_an_explanation_is_told_as_its_reader_reads_and_kept_in_english(catalog: pseudo.Catalog) -> None:
    world = make.world(rules=[])
    make.plan_version(
        rules=[
            make.Rule(world.bookings, name="1", factor_ppm=1_100_000, cap_minor=1_050_00),
            make.Rule(world.bookings, name="2", exclusive=False, factor_ppm=50_000),
            make.Rule(world.bookings, name="3", regions=["emea"], task_areas=[make.task_area()]),
        ]
    )
    deal = approved(world)
    gaps = [
        UncreditedLine(deal=deal, line_no=1, measure=world.bookings, rep=world.ana, reason=reason)
        for reason in ("not_eligible", "rate_zero", "no_rule", "no_team", "no_fx_rate", "no_period", "held", "too_large", "nothing")
    ]  # fmt: skip
    entries = list(explain.entries_to_explain().filter(deal=deal))
    plain = (
        explain.explain_entries(entries),
        explain.missing(gaps),
    )
    assert len(entries) > 2
    assert plain[0][0].steps[0].value == "$1,000.00"
    with locales.read_by(reads(make.login(world.ana))):
        told = (
            telling.explain_entries(entries),
            telling.missing(gaps),
        )
        kept = (
            explain.explain_entries(entries),
            explain.missing(gaps),
        )
        drawn = audit._credit(explain.explain_entries(entries)[0])
    assert kept == plain
    assert pseudo.OPEN not in str(drawn)
    said = spoken_of(told)
    assert len(said) > 60
    left = {each for text in said for each in pseudo.unsaid(text)}
    names = r"Compensation plan|Made for a test|Person|Account|EMEA|[€$]|D-|Team|Task|Americas|\d|House model|AI bookings|Ana"
    assert {each for each in left if not re.match(names, each)} == set()
    assert told[0][0].steps[0].value == f"1.000,00{locales.GAP}$"
    assert any("14. August 2026" in text for text in said)
    assert catalog.twice == set()


def test_what_a_dispute_freezes_does_not_depend_on_who_opens_it() -> None:
    world = make.world()
    deal = approved(world)
    entry = CreditEntry.objects.filter(deal=deal).first()
    asks: dict[str, Any] = {
        "rep": world.ana,
        "deal": deal,
        "entry": entry,
        "period": None,
        "measure": None,
        "at": AT,
        "on": date(2026, 8, 14),
    }
    plain = evidence.gather(**asks)
    with locales.read_by(reads(make.login(world.ana))):
        assert evidence.canonical(evidence.gather(**asks)) == evidence.canonical(plain)


def test_only_pages_tell_in_the_language_of_their_reader() -> None:
    root = Path(project.BASE_DIR)
    found = {
        str(path.relative_to(root))
        for path in (root / "quotas").rglob("*.py")
        if re.search(r"crediting\.telling|crediting import .*\btelling\b", path.read_text())
    }
    assert found
    assert {path for path in found if not path.startswith("quotas/views/")} == {"quotas/crediting/explain.py"}


# --- mails ------------------------------------------------------------------------------------------------


def mails(at: Any) -> dict[int, Mail]:
    known = set(Mail.objects.values_list("pk", flat=True))
    for message in outbox.lease(at=at):
        outbox.carry_out(message_id=message, at=at)
    return {mail.user_id: mail for mail in Mail.objects.exclude(pk__in=known)}


def left_unsaid(mail: Mail, *names: str) -> list[str]:
    text = re.sub(r"https?://\S+|D-\d+|DSP-\d+", "", f"{mail.subject}\n{mail.text}")
    return [left for left in pseudo.unsaid(text) if not any(name in left for name in names)]


def test_every_mail_is_written_in_the_language_locale_and_zone_of_who_gets_it() -> None:
    world = make.world()
    mia = reads(make.login(world.mia))
    here = make.user(role="comp_admin", name="Second admin")
    submitted(world)
    remind(at=AT + timedelta(days=7), after=2, escalate_after=5)
    reminded = mails(AT + timedelta(days=7))[mia.pk]
    assert left_unsaid(reminded, "Kontoso", str(world.customer.name), world.ana.name, "USD") == []
    assert f"1.000,00{locales.GAP}$" in reminded.text

    dispute = opened(world)
    disputes.remind(at=dispute.due_at)
    due = mails(dispute.due_at)
    assert left_unsaid(due[mia.pk], world.ana.name, "Aug") == []
    assert due[here.pk].subject == f"{dispute.reference}: an answer is late"
    assert pseudo.OPEN not in due[here.pk].text

    rex = make.login(world.rex)
    days: dict[str, Any] = {"starts": date(2026, 8, 17), "ends": date(2026, 8, 20), "at": AT}
    delegating.delegate(of_id=mia.pk, to_id=rex.pk, reason="Away", by=here, **days)
    told = mails(AT)
    assert left_unsaid(told[mia.pk], "Mia", "Rex", "Away", "Aug") == []
    assert "17.08.2026" in told[mia.pk].subject
    assert told[rex.pk].subject == "Rex decides for Mia from 17 Aug 2026 to 19 Aug 2026"


def test_a_message_within_a_message_is_said_for_each_reader_and_a_name_with_marks_breaks_nothing() -> None:
    here, there = make.user(), reads(make.user())
    text = mailing.say(
        marked("%(deals)s, %(age)s."),
        deals=mailing.say_many(
            "%(number)s deal waits for your approval", "%(number)s deals wait for your approval", 1234
        ),
        age=f"50% of {mailing.BEGINS}Kairos{mailing.ENDS} {mailing.day(date(2026, 8, 14))}",
    )
    assert mailing.in_english(text) == "1,234 deals wait for your approval, 50% of Kairos 14 Aug 2026."
    with connection.cursor():
        mailing.promise_mail(key="test:1", to=[here.pk, there.pk], subject=text, text=text, at=AT)
    found = mails(AT)
    assert found[here.pk].subject == mailing.in_english(text)
    assert left_unsaid(found[there.pk], "Kairos", "Microsoft", "14. Aug") == []
    assert "1.234" in found[there.pk].subject


def test_the_landing_of_a_board_is_written_as_its_reader_writes_per_cent() -> None:
    shown: Any = SimpleNamespace(
        quota_minor=100_00,
        forecast=Forecast(middle_minor=80_00, low_minor=75_00, high_minor=90_00, method=""),
        money=False,
        progress=SimpleNamespace(left=5, elapsed=87, days=92),
    )
    per_cent = f"{locales.GAP}%"
    with locales.using(locales.style(GERMAN)):
        landing = board._landing(shown, Writer(code="USD", exponent=2))
        assert (landing["value"], landing["sub"]) == (
            f"80{per_cent}",
            f"80% range 75{per_cent} to 90{per_cent}",
        )
    with translation.override(pseudo.LANGUAGE):
        shown.progress.left = 0
        assert board._landing(shown, Writer(code="USD", exponent=2))["sub"] == pseudo.say("final")
        shown.pending_minor, shown.pending_deals, shown.oldest_pending = 0, 0, None
        told = board._pending(shown, Writer(code="USD", exponent=2), 2)
        assert told["delta"] == pseudo.say("%(count)s deals") % {"count": 2}

"""Voting blind in a real browser: by keyboard, one pair after the other, on a page that everybody can use."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Role
from marketplace.models import PairVote
from tests import make
from tests.accessibility import violations
from tests.marketplace.sourcing.test_judging_pages import opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]


def test_an_engineer_votes_with_three_keys_and_is_thanked(page: "Page", sign_in: SignIn) -> None:
    found = opened(make.user(role=Role.SOURCING_LEAD))
    engineer = make.user(role=Role.ENGINEER)
    sign_in(engineer)
    page.goto(f"/judging/{found.suite.slug}/vote/")
    assert violations(page) == []
    for done, key in enumerate("134", start=1):
        page.keyboard.press(key)
        page.wait_for_selector(f"text={'Pair ' + str(done + 1) if done < 3 else 'that was every pair'}")
    kept = PairVote.objects.filter(voter=engineer).order_by("id").values_list("choice", flat=True)
    assert [choice in ("first", "second") for choice in kept] == [True, False, False]
    assert list(kept)[1:] == ["tie", "neither"]

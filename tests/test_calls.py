"""What a page says about the API is true: the call that it shows answers."""

import html
import re

import pytest
from django.test import Client

from tests import make

pytestmark = pytest.mark.django_db


def called(client: Client, page: str) -> str:
    """The address in the page's cURL call, as a path of ours."""
    answer = client.get(page, follow=True)
    assert answer.status_code == 200
    [address] = re.findall(r"curl &#x27;http://testserver(.*?)&#x27;", answer.content.decode())
    return html.unescape(address)


CALLS = (
    (
        "/quotas/board/{team}/?period=FY27-Q1&measure={measure}",
        "/api/v1/attainments/?period=FY27-Q1&measure=",
    ),
    ("/quotas/board/{team}/?view=restated", "/api/v1/attainments/?"),
    ("/quotas/leaderboard/?by=credit&team={team}", "/api/v1/leaderboards/{measure}/?"),
    ("/quotas/leaderboard/?group=publisher", "/api/v1/leaderboards/{measure}/?"),
    ("/quotas/deals/?state=approved&period=FY27-Q1", "/api/v1/deals/?state=approved&period=FY27-Q1"),
    ("/quotas/deals/?state=amended", "/api/v1/deals/?amended=true"),
    (
        "/catalog/?task=coding&task=agents&ordering=-name&as_of=2026-08-01",
        "/api/v1/offerings/?task=coding,agents&",
    ),
)


def test_the_call_that_a_page_shows_answers(client: Client, subtests: pytest.Subtests) -> None:
    world = make.world()
    client.force_login(world.admin)
    names = {"team": world.team.slug, "measure": world.bookings.slug}
    for page, starts in CALLS:
        with subtests.test(page=page):
            address = called(client, page.format(**names))
            assert address.startswith(starts.format(**names)), address
            assert client.get(address).status_code == 200

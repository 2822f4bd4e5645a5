"""What somebody new does first."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import Role
from config.first_steps import STEPS, steps_for
from config.pages import STARTS
from tests import make

pytestmark = pytest.mark.django_db
HEAD = 'id="first-steps"'


def test_every_role_has_first_steps_and_each_leads_to_a_page_that_the_role_may_see(client: Client) -> None:
    make.world()
    assert set(STEPS) == set(Role.values) == {role for role, _start in STARTS}
    for role in Role.values:
        user = make.rep(name="New", login=True).user if role == "rep" else make.user(role=role)
        assert user is not None
        client.force_login(user)
        assert len(steps_for(role)) == len(STEPS[role])
        assert len({step.slug for step in STEPS[role]}) == len(STEPS[role])
        for step in steps_for(role):
            assert client.get(step.url, follow=True).status_code == 200, (role, step.slug)


def test_a_step_is_ticked_off_on_the_way_to_its_page_and_all_of_them_make_the_list_go(client: Client) -> None:
    user = make.user(role="auditor")
    client.force_login(user)
    home = reverse(dict(STARTS)["auditor"])
    assert "0 of 4 done" in client.get(home).content.decode()
    first, *others = steps_for("auditor")
    assert client.post("/accounts/first-steps/", {"step": first.slug})["Location"] == first.url
    client.post("/accounts/first-steps/", {"step": first.slug})
    page = client.get(home).content.decode()
    assert "1 of 4 done" in page
    assert HEAD not in client.get("/catalog/").content.decode(), "only at home"
    for step in others:
        client.post("/accounts/first-steps/", {"step": step.slug})
    assert HEAD not in client.get(home).content.decode()


def test_it_can_be_hidden_and_is_not_there_outside_the_demo(client: Client, settings: Settings) -> None:
    user = make.user(role="catalog_manager")
    client.force_login(user)
    settings.DEMO_MODE = False
    assert HEAD not in client.get("/").content.decode()
    settings.DEMO_MODE = True
    assert HEAD in client.get("/").content.decode()
    assert client.post("/accounts/first-steps/", {"step": "of-another-role"})["Location"] == "/"
    client.post("/accounts/first-steps/", {"hide": "1"})
    assert HEAD not in client.get("/").content.decode()

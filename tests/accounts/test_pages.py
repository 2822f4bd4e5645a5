"""Notifications, the audit trail, and where each role starts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts import trail
from accounts.models import AuditEvent, Notification, Role, User
from accounts.services import create_user, grant_role, withdraw_role
from tests import make

AT = datetime(2026, 8, 14, 18, tzinfo=UTC)
pytestmark = pytest.mark.django_db
AUDIT = "/accounts/audit/"


@pytest.fixture
def admin(client: Client) -> User:
    user = make.user(role="comp_admin", name="Ada Min", email="ada@demo.example")
    client.force_login(user)
    return user


def note(user: User, key: str, **more: Any) -> Notification:
    return Notification.objects.create(user=user, key=key, text=f"About {key}", created_at=AT, **more)


def test_everybody_sees_their_own_notifications_and_marks_only_those(client: Client) -> None:
    me, other = make.user(), make.user()
    mine, second, theirs = note(me, "mine"), note(me, "second"), note(other, "theirs")
    client.force_login(me)
    page = client.get("/accounts/notifications/").content.decode()
    assert "About mine" in page
    assert "About theirs" not in page
    assert "2 unread" in page
    client.post("/accounts/notifications/read/", {"id": mine.pk})
    client.post("/accounts/notifications/read/", {"id": theirs.pk})
    client.post("/accounts/notifications/read/", {"id": "9" * 30})
    assert list(Notification.objects.filter(read_at=None).order_by("id")) == [second, theirs]
    client.post("/accounts/notifications/read/")
    assert list(Notification.objects.filter(read_at=None)) == [theirs]
    assert client.get("/accounts/notifications/read/").status_code == 405


def test_a_notification_is_text_whatever_is_in_it(client: Client) -> None:
    me = make.user()
    Notification.objects.create(user=me, key="x", text="<script>alert(1)</script>", created_at=AT)
    client.force_login(me)
    page = client.get("/accounts/notifications/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_many_notifications_come_in_pages(client: Client) -> None:
    me = make.user()
    Notification.objects.bulk_create(
        Notification(user=me, key=str(n), text=f"No. {n}.", created_at=AT) for n in range(51)
    )
    client.force_login(me)
    first = client.get("/accounts/notifications/")
    assert len(first.context["rows"]) == 50
    second = client.get("/accounts/notifications/" + first.context["next"])
    assert [row.text for row in second.context["rows"]] == ["No. 0."]
    assert client.get("/accounts/notifications/?cursor=made-up").status_code == 404


def test_the_trail_does_not_exist_for_those_who_do_not_review(
    client: Client, subtests: pytest.Subtests
) -> None:
    for role in set(Role.values) - {Role.AUDITOR, Role.COMP_ADMIN}:
        with subtests.test(role=role):
            client.force_login(make.user(role=role))
            assert client.get(AUDIT).status_code == 404


def test_the_trail_asks_a_stranger_to_log_in(client: Client) -> None:
    assert client.get(AUDIT)["Location"] == f"/accounts/login/?next={AUDIT}"


def test_the_trail_says_who_changed_what_from_what_to_what_and_why(client: Client, admin: User) -> None:
    person = create_user(
        email="new@demo.example", name="New Person", by=admin, at=AT, reason="hired for the west"
    )
    grant_role(user_id=person.pk, role="rep", by=admin, at=AT)
    withdraw_role(user_id=person.pk, role="rep", by=admin, at=AT + timedelta(hours=1), reason="left the team")
    page = client.get(AUDIT).content.decode()
    for said in ("hired for the west", "left the team", "Ada Min", "Role grant", "withdrawn_at"):
        assert said in page, said
    (event, _called, changes, _page) = client.get(f"{AUDIT}?table=accounts_rolegrant&action=update").context[
        "rows"
    ][0]
    assert event.actor == admin
    assert [(c.column, c.before, c.after[:16]) for c in changes] == [("withdrawn_at", "", "2026-08-14T19:00")]


def test_each_filter_narrows_and_all_together_do(client: Client, admin: User) -> None:
    person = create_user(email="a@demo.example", name="A", by=admin, at=AT)
    create_user(email="b@demo.example", name="B", by=None, at=AT + timedelta(days=2))

    def found(query: str) -> set[int]:
        return {event.row for event, *_ in client.get(f"{AUDIT}?table=accounts_user&{query}").context["rows"]}

    everybody = set(User.objects.values_list("pk", flat=True))
    other = User.objects.get(name="B").pk
    assert found("") == everybody
    assert found("who=ADA") == {person.pk}
    assert found("who=nobody") == set()
    assert found(f"row={other}") == {other}
    assert found("action=delete") == set()
    assert found("since=2026-08-14&until=2026-08-14") == {person.pk}
    assert found("since=2026-08-16&until=2026-08-16") == {other}
    assert found(f"who=ada&row={person.pk}&action=insert&since=2026-08-14") == {person.pk}


def test_a_day_of_the_trail_is_a_day_of_the_operator(admin: User) -> None:
    create_user(email="late@demo.example", name="Late", by=None, at=datetime(2026, 8, 15, 6, 59, tzinfo=UTC))
    day = datetime(2026, 8, 14, tzinfo=UTC).date()
    assert trail.events(since=day, until=day).count() == 1
    assert trail.events(since=day + timedelta(days=1)).filter(at__year=2026, at__month=8).count() == 0


def test_a_filter_that_cannot_be_meant_says_so_beside_it(
    client: Client, admin: User, subtests: pytest.Subtests
) -> None:
    for query, field in (
        ("row=x", "row"),
        ("row=" + "9" * 30, "row"),
        ("since=soon", "since"),
        ("table=secrets", "table"),
        ("since=2026-08-15&until=2026-08-14", "until"),
    ):
        with subtests.test(query=query):
            answer = client.get(f"{AUDIT}?{query}")
            assert answer.status_code == 422
            assert answer.context["form"].has_error(field)
            assert answer.context["rows"] == []


def test_the_trail_comes_in_pages_that_keep_the_filters_and_cost_the_same(
    client: Client, admin: User, django_assert_max_num_queries: Any
) -> None:
    for n in range(55):
        make.user(name=f"Person {n}")
    first = client.get(f"{AUDIT}?table=accounts_user")
    assert len(first.context["rows"]) == 50
    assert "table=accounts_user" in first.context["next"]
    second = client.get(AUDIT + first.context["next"])
    assert len(second.context["rows"]) == 6
    with django_assert_max_num_queries(18):
        client.get(f"{AUDIT}?table=accounts_user")


def test_the_trail_escapes_what_people_wrote(client: Client, admin: User) -> None:
    create_user(email="x@demo.example", name="<img src=x>", by=admin, at=AT, reason="<b>why</b>")
    page = client.get(AUDIT).content.decode()
    assert "<img src=x>" not in page
    assert "<b>why</b>" not in page


def test_every_audited_table_can_be_chosen_by_its_name(admin: User) -> None:
    names = dict(trail.tables())
    assert names["accounts_rolegrant"] == "Role grant"
    assert names["marketplace_eligibilitydecision"] == "Eligibility decision"
    assert "accounts_auditevent" not in names


def test_nobody_rewrites_the_trail(admin: User) -> None:
    from django.db import DatabaseError, transaction

    event = AuditEvent.objects.latest("id")
    for change in (lambda: AuditEvent.objects.update(reason="x"), AuditEvent.objects.all().delete):
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            change()
    assert AuditEvent.objects.latest("id").reason == event.reason


def test_a_stranger_is_asked_to_log_in_before_anything_else(client: Client) -> None:
    assert client.get("/")["Location"] == "/accounts/login/?next=/"

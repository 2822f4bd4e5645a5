"""Reps, teams and territories by the ways in which a file names them."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import models
from django.db.models.functions import Lower

from accounts.models import User
from config.names import fold
from quotas.models import Rep
from quotas.services.importing.refused import Refused


@dataclass(slots=True)
class Person:
    """A rep as it is known, or as it is to be made: then its id is below zero. Changed in memory; before: what it was."""

    id: int
    slug: str
    name: str
    employee_no: str = ""
    email: str = ""
    user_id: int | None = None
    hired_on: date | None = None
    left_on: date | None = None
    before: tuple[Any, ...] = ()

    @property
    def facts(self) -> tuple[Any, ...]:
        return self.name, self.employee_no, self.user_id, self.hired_on, self.left_on

    @property
    def is_new(self) -> bool:
        return self.id < 0

    @property
    def edited(self) -> bool:
        return not self.is_new and self.facts != self.before


class People:
    """Every rep, by employee number, by the e-mail of their user, by slug and by name."""

    @staticmethod
    def stored() -> list[tuple[Any, ...]]:
        """What the constructor takes. 1 query."""
        return list(
            Rep.objects.order_by("pk").values_list(
                "pk", "slug", "name", "employee_no", "user__email", "user_id", "hired_on", "left_on"
            )
        )

    def __init__(self, stored: Iterable[tuple[Any, ...]]) -> None:
        self.by_no: dict[str, Person] = {}
        self.by_email: dict[str, Person] = {}
        self.by_slug: dict[str, Person] = {}
        self.by_name: dict[str, list[Person]] = defaultdict(list)
        for row in stored:
            pk, slug, name, employee_no, email, user_id, hired_on, left_on = row
            person = Person(pk, slug, name, employee_no, (email or "").lower(), user_id, hired_on, left_on)
            person.before = person.facts
            self.add(person)

    def add(self, person: Person) -> None:
        if person.employee_no:
            self.by_no[fold(person.employee_no)] = person
        if person.email:
            self.by_email[person.email] = person
        if person.slug:
            self.by_slug[person.slug] = person
        self.by_name[fold(person.name)].append(person)

    def rename(self, person: Person, name: str) -> None:
        self.by_name[fold(person.name)].remove(person)
        person.name = name
        self.by_name[fold(name)].append(person)

    def named(self, text: str) -> Person | None:
        """By employee number, e-mail, slug or name, the first that fits; None for nobody. Raises Refused for more than one."""
        said = fold(text)
        found = self.by_no.get(said) or self.by_email.get(said) or self.by_slug.get(text.strip())
        return found or only(self.by_name.get(said, []), text)


def only(found: Collection[Person], name: str) -> Person | None:
    """The one of that name, None without any. Raises Refused."""
    if len(found) > 1:
        raise Refused(
            "ambiguous_rep", f"{len(found)} reps are called {name}: give the employee number or the e-mail."
        )
    return next(iter(found), None)


@dataclass(slots=True)
class Named:
    """A team or a territory; not yet made where its id is below zero."""

    id: int
    slug: str
    name: str
    house_rep_id: int | None = None


@dataclass
class Register:
    """Every team, or every territory, by slug and by name."""

    word: str
    by_slug: dict[str, Named] = field(default_factory=dict)
    by_name: dict[str, list[Named]] = field(default_factory=lambda: defaultdict(list))
    by_id: dict[int, Named] = field(default_factory=dict)

    @staticmethod
    def stored(model: type[models.Model], *more: str) -> list[tuple[Any, ...]]:
        """What of() takes. 1 query."""
        return list(model._default_manager.order_by("pk").values_list("pk", "slug", "name", *more))

    @classmethod
    def of(cls, word: str, stored: Iterable[tuple[Any, ...]]) -> "Register":
        made = cls(word)
        for row in stored:
            made.add(Named(*row))
        return made

    def add(self, named: Named) -> Named:
        if named.slug:
            self.by_slug[named.slug] = named
        self.by_name[fold(named.name)].append(named)
        self.by_id[named.id] = named
        return named

    def named(self, text: str) -> Named | None:
        """By name or slug; None for none. Raises Refused for more than one."""
        found = self.by_name.get(fold(text), [])
        if len(found) > 1:
            raise Refused(
                f"ambiguous_{self.word}",
                f"{len(found)} are called {text}: give its short name in addresses, such as {found[0].slug}.",
            )
        return found[0] if found else self.by_slug.get(text.strip().lower())


def users_by_email(emails: Collection[str]) -> dict[str, int]:
    """Lower-case e-mail to the id of its user, for people who may log in. 1 query."""
    if not emails:
        return {}
    found = User.objects.filter(is_active=True, is_service=False).annotate(written=Lower("email"))
    return dict(found.filter(written__in=list(emails)).values_list("written", "pk"))

"""manage.py create_api_key: a program's way in, printed once."""

import re
from datetime import date, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import audit
from accounts.models import Role, User
from accounts.scopes import Scope
from accounts.services import create_api_key, create_user
from config import clock
from config.refusals import Refusal
from marketplace.models import Publisher, PublisherMembership


class Command(BaseCommand):
    help = (
        "Makes an API key for a program and prints it once: it is kept as a hash only. "
        "The program is a service account of that NAME; asked again, it gets a second key, so that keys can be rotated.\n\n"
        "Example: manage.py create_api_key nightly-export --role comp_admin --expires 2027-06-30\n"
        "Example: manage.py create_api_key acme-catalog --role partner --publisher acme --scope catalog:write"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the program, in letters, digits, dots and dashes")
        parser.add_argument("--role", required=True, choices=Role.values, help="what it may do")
        parser.add_argument(
            "--publisher", metavar="SLUG", help="whose catalog it is bound to; a partner needs one"
        )
        parser.add_argument(
            "--expires",
            metavar="DATE",
            type=date.fromisoformat,
            help="last day, such as 2027-06-30; never without it",
        )
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=Scope.values,
            help="narrows the key; may be given several times; without it the key does whatever its account may",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, role, slug = options["name"], options["role"], options["publisher"]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,59}", name):
            raise CommandError("NAME has letters, digits, dots and dashes, 60 at most.")
        if (role == Role.PARTNER) != bool(slug):
            raise CommandError("--publisher belongs to --role partner, and only to it.")
        try:
            with transaction.atomic():
                user = self._service(name, role, slug)
                day: date | None = options["expires"]
                expires_at = clock.first_moment(day + timedelta(days=1)) if day else None
                _row, key = create_api_key(
                    user_id=user.pk,
                    name=name,
                    by=None,
                    at=clock.now(),
                    expires_at=expires_at,
                    scopes=options["scope"],
                )
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stderr.write(f"Key of {user.email}, role {role}. It is shown this once:")
        self.stdout.write(key)

    def _service(self, name: str, role: str, slug: str | None) -> User:
        at, reason = clock.now(), "manage.py create_api_key"
        email = f"{name.lower()}@service.invalid"
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            user = create_user(
                email=email, name=name, roles=[role], is_service=True, by=None, at=at, reason=reason
            )
        elif user.role_names != {role}:
            raise CommandError(
                f"{name} exists with another role ({', '.join(sorted(user.role_names)) or 'none'})."
            )
        if slug:
            self._bind(user, slug, at)
        return user

    def _bind(self, user: User, slug: str, at: datetime) -> None:
        publisher = Publisher.objects.filter(slug=slug).first()
        if publisher is None:
            known = ", ".join(Publisher.objects.order_by("slug").values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no publisher {slug}. Known are: {known}.")
        bound = PublisherMembership.objects.filter(user=user).select_related("publisher").first()
        if bound is None:
            audit.acting(by=None, at=at, reason="manage.py create_api_key")
            PublisherMembership.objects.create(user=user, publisher=publisher)
        elif bound.publisher_id != publisher.pk:
            raise CommandError(
                f"{user.name} is bound to {bound.publisher.slug}: a key never reaches two publishers."
            )

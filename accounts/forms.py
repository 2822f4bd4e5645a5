"""What the pages of accounts ask for."""

from datetime import date, datetime
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import guessing
from accounts.models import AuditEvent, User
from config import formats, locales
from config.language import _, later
from config.proxies import address_of

WRONG: Final = later("That e-mail and password do not match an account.")
TOO_OFTEN: Final = later("Too many wrong tries. Wait a quarter of an hour, then try again.")


class LogInForm(AuthenticationForm):
    """E-mail and password. One sentence for everything that is wrong: it does not tell which accounts exist."""

    error_messages = {"invalid_login": WRONG, "inactive": WRONG}

    username = forms.EmailField(
        label=later("E-mail"),
        max_length=254,
        widget=forms.EmailInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    password = forms.CharField(
        label=later("Password"),
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.address = address_of(request) if request else ""

    def clean(self) -> dict[str, Any]:
        email = str(self.cleaned_data.get("username") or "")
        if guessing.blocked(email, self.address):
            raise ValidationError(TOO_OFTEN, code="too_many_tries")
        try:
            cleaned = super().clean()
        except ValidationError:
            guessing.failed(email, self.address)
            raise
        if self.get_user() is not None:
            guessing.succeeded(email, self.address)
        return cleaned


class TrailFilters(forms.Form):
    """What part of the audit trail to show; empty means all."""

    who = forms.CharField(label=later("Who"), required=False, max_length=150)
    table = forms.ChoiceField(label=later("What"), required=False)
    row = forms.IntegerField(label=later("Number"), required=False, min_value=1, max_value=2**63 - 1)
    action = forms.ChoiceField(label=later("Change"), required=False)
    reason = forms.CharField(label=later("Reason"), required=False, max_length=200)
    request = forms.CharField(label=later("Request"), required=False, max_length=40)
    since = forms.DateField(
        label=later("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label=later("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, tables: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choose("table", [("", _("Everything")), *tables])
        self._choose("action", [("", _("Any")), *AuditEvent._meta.get_field("action").flatchoices])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if isinstance(since, date) and isinstance(until, date) and until < since:
            self.add_error(
                "until",
                ValidationError(_("The last day lies before the first."), code="ends_before_it_begins"),
            )
        return cleaned


class PreferencesForm(forms.Form):
    """How a person reads. What is left empty follows the operator, today and when the operator changes it."""

    locale = forms.ChoiceField(
        label=later("Numbers and dates"),
        required=False,
        help_text=later("Separators, currency signs, the order of a date, 12 or 24 hours."),
    )
    time_zone = forms.CharField(
        label=later("Time zone"),
        required=False,
        max_length=64,
        help_text=later("Of the times of day that you read and type. Type a city, or clear it."),
        widget=forms.TextInput(
            attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "words"}
        ),
    )
    language = forms.ChoiceField(
        label=later("Language"), required=False, help_text=later("Of the pages. Records stay in English.")
    )

    def __init__(self, *args: Any, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = at
        operators = locales.offered("")
        shown = [locales.HOUSE] if operators is not locales.HOUSE else []
        others = sorted((locales.style(tag) for tag in locales.OFFERED), key=lambda one: one.name)
        self._choose(
            "locale",
            [
                ("", _("As here: %(name)s") % {"name": self._shown(operators)}),
                *((one.tag, self._shown(one)) for one in (*shown, *others) if one is not operators),
            ],
        )
        self.fields["time_zone"].widget.attrs["placeholder"] = settings.TIME_ZONE
        if len(settings.LANGUAGES) > 1:
            self._choose("language", [("", _("As here")), *settings.LANGUAGES])
        else:
            del self.fields["language"]

    def _shown(self, style: locales.Style) -> str:
        return f"{style.name}: {formats.sample(style, self.at)}"

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def clean_time_zone(self) -> str:
        """The zone that was meant: europe/berlin, or Berlin alone where only one zone has it."""
        given = "_".join(str(self.cleaned_data["time_zone"]).split()).casefold()
        if not given:
            return ""
        known = [zone for zone in locales.zones() if zone.casefold() == given] or [
            zone for zone in locales.zones() if zone.casefold().rpartition("/")[2] == given
        ]
        if len(known) != 1:
            raise ValidationError(
                _("There is no such time zone. Choose one of the list, such as Europe/Berlin."),
                code="unknown_time_zone",
            )
        return known[0]

    def as_read_by(self, user: User) -> User:
        """The same person with what the form says so far; what is wrong in it leaves things as they are."""
        self.is_valid()
        chosen = self.cleaned_data
        return User(
            locale=chosen.get("locale", user.locale),
            time_zone=chosen.get("time_zone", user.time_zone),
            language=chosen.get("language", user.language),
        )

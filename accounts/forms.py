"""What the pages of accounts ask for."""

from datetime import date
from typing import Any, Final

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import guessing
from accounts.models import AuditEvent

WRONG: Final = "That e-mail and password do not match an account."
TOO_OFTEN: Final = "Too many wrong tries. Wait a quarter of an hour, then try again."


class LogInForm(AuthenticationForm):
    """E-mail and password. One sentence for everything that is wrong: it does not tell which accounts exist."""

    error_messages = {"invalid_login": WRONG, "inactive": WRONG}

    username = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.address = str(request.META.get("REMOTE_ADDR", "")) if request else ""

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

    who = forms.CharField(label="Who", required=False, max_length=150)
    table = forms.ChoiceField(label="What", required=False)
    row = forms.IntegerField(label="Number", required=False, min_value=1, max_value=2**63 - 1)
    action = forms.ChoiceField(label="Change", required=False)
    reason = forms.CharField(label="Reason", required=False, max_length=200)
    request = forms.CharField(label="Request", required=False, max_length=40)
    since = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, tables: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choose("table", [("", "Everything"), *tables])
        self._choose("action", [("", "Any"), *AuditEvent._meta.get_field("action").flatchoices])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if isinstance(since, date) and isinstance(until, date) and until < since:
            self.add_error(
                "until", ValidationError("The last day lies before the first.", code="ends_before_it_begins")
            )
        return cleaned

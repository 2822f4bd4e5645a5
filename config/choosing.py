"""One row out of a few is chosen from a list; out of many it is found by typing a part of its name."""

import re
from typing import Any, Final, cast

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.given import tidy
from config.language import _, later

MOST: Final = 50  # that a list to choose from has
_SLUG_BEHIND: Final = re.compile(r"^.*\(([-\w.]+)\)$")


class Typed(forms.TextInput):
    """A field whose suggestions come as a part of a name is typed; without scripts the whole name is entered."""

    def __init__(self, address: Any) -> None:
        super().__init__(attrs={"autocomplete": "off", "placeholder": later("Type a part of the name")})
        self.address = address

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        options = f"{(attrs or {}).get('id') or name}-options"
        asking = {
            "list": options,
            "hx-get": str(self.address),
            "hx-trigger": "input delay:200ms",
            "hx-target": f"#{options}",
            "hx-sync": "this:queue last",
        }
        field = super().render(name, value, {**(attrs or {}), **asking}, renderer)
        return format_html('{}<datalist id="{}"></datalist>', field, options)


class OneOf(forms.ModelChoiceField):  # type: ignore[type-arg]  # its own generic is not one at run time
    """A row that has a slug: a select while there are few, else typed. Reads a number, a slug, "Name (slug)" or a whole name.

    find  Address that answers a part of a name with options.
    """

    def __init__(self, rows: "QuerySet[Any]", *, find: Any, **named: Any) -> None:
        self.find = find
        super().__init__(rows, to_field_name=named.pop("to_field_name", "slug"), **named)

    @property
    def rows(self) -> "QuerySet[Any]":
        return cast("QuerySet[Any]", self.queryset)

    def __deepcopy__(self, memo: dict[int, Any]) -> "OneOf":
        """Each form has a field of its own; what it looks like depends on how many there are now. 1 query."""
        own = super().__deepcopy__(memo)
        if own.rows.order_by()[: MOST + 1].count() > MOST:
            own.widget = Typed(own.find)
            own.widget.is_required = own.required
            own.widget.attrs.update(own.widget_attrs(own.widget))
        return own

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values or not isinstance(value, str):
            return super().to_python(value)
        text = tidy(value)[:300]
        found = self.rows.filter(slug=_SLUG_BEHIND.sub(r"\1", text)).first()
        if found is None and text.isascii() and text.isdigit() and len(text) < 18:
            found = self.rows.filter(pk=int(text)).first()
        if found is None and self._named:
            several = list(self.rows.filter(name__iexact=text)[:2])
            if len(several) == 2:
                raise ValidationError(_("Several have this name: choose one of the list."), code="several")
            found = several[0] if several else None
        if found is None:
            raise ValidationError(
                self.error_messages["invalid_choice"], code="invalid_choice", params={"value": text}
            )
        return found

    def prepare_value(self, value: Any) -> Any:
        """What stands in the field: of a row its name and slug where it is typed."""
        if isinstance(self.widget, Typed) and hasattr(value, "slug"):
            return f"{self.label_from_instance(value)} ({value.slug})"
        return super().prepare_value(value)

    @property
    def _named(self) -> bool:
        return any(each.name == "name" for each in self.rows.model._meta.fields)


def suggested(field: OneOf, rows: Any) -> list[str]:
    """How rows are entered into such a field."""
    return [f"{field.label_from_instance(row)} ({row.slug})" for row in rows]

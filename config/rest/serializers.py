"""Serializers that read strictly: a member that nobody reads is an error, not a quiet loss."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail


class StrictMixin:
    """Refuses unknown and read-only members (unknown_field, read_only_field), together with whatever else is wrong."""

    def to_internal_value(self, data: Any) -> Any:
        wrong = self._not_read(data) if isinstance(data, Mapping) else {}
        try:
            read = super().to_internal_value(data)  # type: ignore[misc]
        except serializers.ValidationError as failure:
            if wrong and isinstance(failure.detail, dict):
                raise serializers.ValidationError({**failure.detail, **wrong}) from failure
            raise
        if wrong:
            raise serializers.ValidationError(wrong)
        return read

    def _not_read(self, data: Mapping[Any, Any]) -> dict[str, list[ErrorDetail]]:
        fields: Mapping[str, Any] = self.fields  # type: ignore[attr-defined]
        wrong = {}
        for name in data:
            if name not in fields:
                wrong[str(name)] = [ErrorDetail("This member is not known here.", "unknown_field")]
            elif fields[name].read_only:
                wrong[str(name)] = [ErrorDetail("This member cannot be set.", "read_only_field")]
        return wrong


class Strict(StrictMixin, serializers.Serializer[Any]):
    """For a body, or for the query of a computed endpoint."""


class StrictModel(StrictMixin, serializers.ModelSerializer[Any]):
    """For a resource that is a row."""

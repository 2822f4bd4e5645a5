"""JSON in and out: numbers keep their digits, nothing that cannot be meant is read, and the same answer is the same bytes."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any, Final, NoReturn

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from config.rest.problems import TooLarge

LONGEST_NUMBER: Final = 40


class ExactJson(BaseParser):
    """application/json in UTF-8. Fractions become Decimal; NaN, doubled members, endless numbers and endless nesting are refused."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        content = stream.read() if limit is None else stream.read(limit + 1)
        if limit is not None and len(content) > limit:
            raise TooLarge
        try:
            return json.loads(
                content.decode(),
                parse_float=_decimal,
                parse_int=_integer,
                parse_constant=_constant,
                object_pairs_hook=_members,
            )
        except UnicodeDecodeError as failure:
            raise ParseError("The body is not UTF-8.", code="malformed_json") from failure
        except RecursionError as failure:
            raise ParseError("The body is nested too deeply.", code="malformed_json") from failure
        except ValueError as failure:
            raise ParseError(f"The body is not JSON: {failure}.", code="malformed_json") from failure


def _decimal(digits: str) -> Decimal:
    return Decimal(_short(digits))


def _integer(digits: str) -> int:
    return int(_short(digits))


def _short(digits: str) -> str:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has more than {LONGEST_NUMBER} characters")
    return digits


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has two members of one name")
    return members


class PlainJson(JSONRenderer):
    """One form only: an ETag is made of the bytes, so nobody may ask for other ones by indent=."""

    def get_indent(self, accepted_media_type: str, renderer_context: Mapping[str, Any]) -> None:
        return None

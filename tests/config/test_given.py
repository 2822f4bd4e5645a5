"""What addresses and forms hold, as it may be looked for and kept."""

import pytest
from django.http import QueryDict

from config.given import given, tidy, written


@pytest.mark.parametrize(
    ("text", "kept"),
    [("  Acme  ", "Acme"), ("Ac\x00me", "Acme"), ("\x00 \x00", ""), ("", ""), (None, ""), (12, "12")],
)
def test_a_text_comes_without_zero_bytes_and_spaces_round_it(text: object, kept: str) -> None:
    assert tidy(text) == kept


def test_what_is_looked_for_is_of_bearable_length_and_what_is_kept_is_whole() -> None:
    asked = QueryDict("q=" + "x" * 150 + "&q=last%00" + "y" * 150)
    assert given(asked, "q") == "last" + "y" * 96
    assert given(asked, "q", 5) == "lasty"
    assert written(asked, "q") == "last" + "y" * 150
    assert given(asked, "missing") == written(asked, "missing") == ""

"""An index over the months and how each month divides: gaps stay gaps, labels are escaped, columns fill their height."""

import re

import pytest

from config.month_charts import Limit, Mark, Part, columns, trend

NAMES = ("Jan", "Feb", "Mar", "Apr")


def test_a_month_that_is_not_known_breaks_the_line_and_has_no_dot() -> None:
    drawn = trend(
        [1.0, 2.0, None, 3.0], label="x", names=NAMES, write=str, unsure=[False, True, False, False]
    )
    assert drawn.count('class="ln"') == 1  # a single month after the gap is a dot alone
    assert re.findall(r'class="(dot[^"]*)" cx="([\d.]+)%"', drawn) == [
        ("dot", "12.5"),
        ("dot open", "37.5"),
        ("dot", "87.5"),
    ]
    assert 'class="ln"' not in trend([None] * 4, label="x", names=NAMES, write=str)


def test_levels_and_what_happened_are_drawn_with_their_words_escaped() -> None:
    drawn = trend(
        [10.0] * 4,
        label="<b>",
        names=NAMES,
        limits=[Limit(5, "High <5>", "bad"), Limit(999, "beyond", "warn")],
        marks=[Mark(1, "a <i>"), Mark(1, "b"), Mark(1, "c", round=False)],
        top=10,
        write=lambda value: f"{value:.0f}",
    )
    assert "<b>" not in drawn
    assert "High &lt;5&gt;" in drawn
    assert "beyond" not in drawn  # above the axis
    assert "<title>a &lt;i&gt;; b</title>" in drawn
    assert (drawn.count('<circle class="ev"'), drawn.count('<rect class="ev"')) == (1, 1)


def test_a_column_is_cut_by_value_and_fills_its_height() -> None:
    drawn = columns(
        [[Part("A", 3, "c1"), Part("B", 1, "c2")], []],
        label="x",
        names=("Jan", "Feb"),
        write=lambda value, total: f"{value}/{total}",
    )
    assert re.findall(r'y="([\d.]+)%" width="[\d.]+%" height="([\d.]+)%"', drawn) == [
        ("25", "75"),
        ("0", "25"),
    ]
    assert "Jan, A: 3/4" in drawn
    assert drawn.count("?<title>") == 1  # nothing is known of February


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="every value has its month"):
        trend([1.0], label="x", names=NAMES, write=str)
    with pytest.raises(ValueError, match="every mark lies in one"):
        trend([1.0] * 4, label="x", names=NAMES, marks=[Mark(4, "late")], write=str)
    with pytest.raises(ValueError, match="no part is negative"):
        columns([[Part("A", -1, "c1")]], label="x", names=("Jan",), write=lambda _v, _t: "")

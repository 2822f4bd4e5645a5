"""The curve of a scale: straight between its bends, upright where it jumps, level at the cap."""

import re

import pytest

from config.charts import curve_chart
from quotas.crediting.earning import Scale, Tier
from quotas.views.pay_curves import _curve

HALF = (Tier(0, 500_000), Tier(1_000_000, 1_000_000))


def drawn(scale: Scale, end: int = 2_000_000) -> list[tuple[float, float]]:
    """Places of the path: per cent of the width, and of the height from the top."""
    chart = _curve(scale, end, label="Pay", ticks=[(0, "0%"), (1_000_000, "100%")], write=str)
    (path,) = re.findall(r'class="ln" d="([^"]+)"', chart)
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_marginal_scale_bends_where_a_tier_begins() -> None:
    assert [x for x, _ in drawn(Scale(HALF, 1_000_000))] == [0, 50, 100]


def test_a_threshold_and_a_whole_amount_are_upright() -> None:
    assert [x for x, _ in drawn(Scale(HALF, 1_000_000, threshold=500_000))] == [0, 25, 25, 50, 100]
    assert [x for x, _ in drawn(Scale(HALF, 1_000_000, whole_amount=True))] == [0, 50, 50, 100]


def test_the_cap_is_level_from_where_it_is_reached() -> None:
    found = drawn(Scale(HALF, 1_000_000, cap_minor=1_000_000))
    assert [x for x, _ in found] == [0, 50, 75, 100]
    assert found[-1][1] == found[-2][1]


def test_nothing_and_one_point_are_drawn_and_labels_are_escaped() -> None:
    chart = curve_chart([(0.0, 0.0)], length=1.0, label="<b>", ticks=[(0.0, "<i>")])
    assert "&lt;b&gt;" in chart
    assert "&lt;i&gt;" in chart
    assert "<path" not in chart
    assert "<path" in curve_chart([(0.0, 0.0), (1.0, -5.0)], length=1.0, label="Below nothing")
    with pytest.raises(ValueError, match="axis"):
        curve_chart([], length=0.0, label="")

"""Charts: what they draw, what they say, and what they refuse."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import charts
from config.charts import Arrow, Bin, Landing, Link, Node, Share

NASTY = "<script>\"&'"
ESCAPED = "&lt;script&gt;&quot;&amp;&#x27;"


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)  # noqa: S314 -- our own markup


def by_class(markup: str, name: str) -> list[ElementTree.Element]:
    return [element for element in parsed(markup).iter() if name in element.get("class", "").split()]


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]


# Attainment


def test_the_bar_lies_on_a_scale_that_ends_at_140_percent() -> None:
    markup = charts.attainment_bar(700, 1000, pending=140, pace_ppm=500_000)
    assert [each.get("width") for each in by_class(markup, "fill")] == ["50%"]
    assert [each.get("width") for each in by_class(markup, "pend")] == ["60%"]
    assert [each.get("x1") for each in by_class(markup, "goal")] == ["71.43%"]
    assert [each.get("x1") for each in by_class(markup, "pace")] == ["35.71%"]
    assert (
        parsed(markup).get("aria-label")
        == "70.0% of quota credited, 14.0% pending, 20.0 points ahead of pace"
    )


def test_a_bar_beyond_the_scale_ends_with_an_arrow() -> None:
    markup = charts.attainment_bar(1500, 1000)
    assert by_class(markup, "fill")[0].get("width") == "100%"
    assert by_class(markup, "over")
    assert not by_class(charts.attainment_bar(1400, 1000), "over")


def test_a_negative_credit_fills_nothing_and_is_said() -> None:
    markup = charts.attainment_bar(-50, 1000, pace_ppm=100_000)
    assert not by_class(markup, "fill")
    assert parsed(markup).get("aria-label") == "\N{MINUS SIGN}5.0% of quota credited, 15.0 points behind pace"


def test_without_a_quota_there_is_a_track_and_nothing_else() -> None:
    markup = charts.attainment_bar(500, 0, pending=10, pace_ppm=500_000)
    assert [element.get("class") for element in parsed(markup)] == ["track"]
    assert charts.standing(500, 0, 500_000).word == "No quota"


@pytest.mark.parametrize(
    ("credited", "word"),
    [(600, "Ahead"), (599, "On pace"), (470, "On pace"), (469, "Behind"), (360, "Behind"), (359, "At risk")],
)
def test_standing_changes_exactly_at_its_limits(credited: int, word: str) -> None:
    assert charts.standing(credited, 1000, 500_000).word == word


# Lines


def test_a_trend_of_one_value_is_level_and_of_none_is_nothing() -> None:
    line = by_class(charts.sparkline([7], label="One"), "ln")[0]
    assert numbers(line.get("d", "")) == [0, 50, 100, 50]
    assert charts.sparkline([], label="None") == ""


def test_a_flat_and_a_negative_trend_stay_inside() -> None:
    for values in ([0, 0, 0], [-5, -5], [-10, 5, -3, 0]):
        found = numbers(by_class(charts.sparkline(values, label="Trend"), "ln")[0].get("d", ""))
        assert all(0 <= number <= 100 for number in found)


@given(st.lists(st.integers(-(10**12), 10**12), min_size=3, max_size=30))
def test_the_curve_goes_through_its_points_and_never_overshoots(values: list[int]) -> None:
    points = [(float(at), float(value)) for at, value in enumerate(values)]
    curve = numbers(charts.smooth(points))
    ends = [curve[:2], *(curve[at + 4 : at + 6] for at in range(2, len(curve), 6))]
    assert ends == [list(point) for point in points]
    heights = curve[1::2]
    assert min(heights) >= min(values) - 0.01
    assert max(heights) <= max(values) + 0.01


@given(st.lists(st.integers(-(10**15), 10**15), max_size=20))
def test_an_axis_holds_zero_and_every_value_in_few_steps(values: list[int]) -> None:
    low, high, step = charts.axis(values)
    assert low <= min([0, *values])
    assert high >= max([0, *values])
    assert step > 0
    assert 1 <= round((high - low) / step) <= 6


def test_a_line_chart_takes_none_one_negative_and_zero_values() -> None:
    for actual in ([], [0], [5], [-3, -8, -1], [0, 0, 0]):
        markup = charts.line_chart(actual, length=10, label="Credit")
        assert len(by_class(markup, "dot")) == bool(actual)
        assert len(by_class(markup, "ln")) == (len(actual) > 1)
        assert "nan" not in markup


def test_the_landing_range_opens_from_today_to_the_end() -> None:
    markup = charts.line_chart([0, 50], length=2, label="Credit", plan=[0, 100], landing=Landing(90, 80, 100))
    cone = numbers(by_class(markup, "cone")[0].get("d", ""))
    assert cone == [50, 50, 100, 0, 100, 20]
    over = charts.line_chart([0, 50, 90], length=2, label="Credit", landing=Landing(90, 80, 100))
    assert not by_class(over, "cone"), "the period is over: nothing left to forecast"


def test_more_values_than_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="4 values do not fit into 2 steps"):
        charts.line_chart([1, 2, 3, 4], length=2, label="Credit")


def test_gradients_of_the_same_chart_twice_have_ids_of_their_own() -> None:
    both = [charts.line_chart([1, 2, 3], length=5, label="Credit") for _ in range(2)]
    ids = [re.findall(r'id="([^"]+)"', markup) for markup in both]
    assert len(ids[0]) == len(ids[1]) == 1
    assert ids[0] != ids[1]
    assert all(f"url(#{own[0]})" in markup for own, markup in zip(ids, both, strict=True))


# Counts, shares, flows


def test_a_histogram_scales_to_its_highest_bar_and_takes_only_zeros() -> None:
    bars = by_class(charts.histogram([Bin("low", 1), Bin("high", 4)], label="Spread"), "bin")
    assert [bar.get("height") for bar in bars] == ["21.5%", "86%"]
    assert by_class(charts.histogram([Bin("none", 0)], label="Spread"), "bin")[0].get("height") == "0%"
    assert charts.histogram([], label="Spread") == ""
    with pytest.raises(ValueError, match="cannot be negative"):
        charts.histogram([Bin("less", -1)], label="Spread")


def test_shares_fill_the_whole_bar_in_order() -> None:
    markup = charts.share_bar([Share("A", 1), Share("B", 0), Share("C", 3)], label="Spend")
    assert [(part.get("x"), part.get("width")) for part in by_class(markup, "part")] == [
        ("0%", "25%"),
        ("25%", "75%"),
    ]
    assert parsed(markup).get("aria-label") == "Spend: A 25.0%, B 0.0%, C 75.0%"
    assert not by_class(charts.share_bar([Share("A", 0)], label="Spend"), "part")
    with pytest.raises(ValueError, match="cannot be negative"):
        charts.share_bar([Share("A", -1)], label="Spend")


COLUMNS = [[Node("a", "A"), Node("b", "B")], [Node("m", "M")], [Node("x", "X"), Node("y", "Y")]]


def test_a_flow_keeps_its_amounts() -> None:
    markup = charts.sankey(
        COLUMNS,
        [Link("a", "m", 30), Link("b", "m", 10), Link("m", "x", 25), Link("m", "y", 15)],
        label="Flow",
    )
    heights = [float(node.get("height", "").rstrip("%")) for node in by_class(markup, "node")]
    a, b, m, x, y = heights
    assert a + b == pytest.approx(m, abs=0.02)
    assert x + y == pytest.approx(m, abs=0.02)
    assert a == pytest.approx(3 * b, abs=0.04)
    assert sorted(title.text or "" for title in parsed(markup).iter("title")) == [
        "A to M: 30",
        "B to M: 10",
        "M to X: 25",
        "M to Y: 15",
    ]


def test_the_amounts_of_small_neighbours_stand_beside_their_names() -> None:
    columns = [[Node("all", "All")], [Node("big", "Big"), Node("small", "Small"), Node("tiny", "Tiny")]]
    parts = {"big": 900, "small": 4, "tiny": 1}
    markup = charts.sankey(columns, [Link("all", key, parts[key]) for key in parts], label="Flow")
    said = ["".join(text.itertext()) for text in parsed(markup).iter("text")]
    assert said == ["All", "905", "Big", "900", "Small 4", "Tiny 1"]


@pytest.mark.parametrize(
    ("links", "complaint"),
    [
        ([Link("a", "m", 30), Link("m", "x", 29)], "m gets 30 and passes on 29"),
        ([Link("a", "x", 1)], "skips a column"),
        ([Link("a", "m", -1)], "is negative"),
        ([Link("a", "nobody", 1)], "skips a column"),
    ],
)
def test_a_flow_that_does_not_add_up_is_refused(links: list[Link], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        charts.sankey(COLUMNS, links, label="Flow")


def test_an_empty_flow_says_so() -> None:
    assert "No flow yet" in charts.sankey(COLUMNS, [], label="Flow")
    assert "No flow yet" in charts.sankey([], [], label="Flow")


# Who pays whom

NET = [Node("us", "Us", "accent"), Node("lab", "Lab"), Node("shop", "Shop")]


def test_arrows_are_thick_by_weight_and_dashed_where_it_is_unknown() -> None:
    markup = charts.network(
        NET,
        [
            Arrow("us", "lab", ("Spend", "$10"), 10, "c1"),
            Arrow("us", "lab", ("Equity", "$1,000"), 1_000, "c2"),
            Arrow("lab", "us", ("Commitment", "$100"), 100, "c3"),
            Arrow("lab", "shop", ("Infrastructure", "unknown amount"), None, "c4"),
        ],
        label="Who pays whom",
    )
    shafts = by_class(markup, "tie")
    thick = [float(shaft.get("stroke-width", "")) for shaft in shafts]
    unsure = ["unsure" in (shaft.get("class") or "").split() for shaft in shafts]
    assert thick[0] < thick[2] < thick[1]
    assert thick[2] == pytest.approx((thick[0] + thick[1]) / 2, abs=0.01)
    assert unsure == [False, False, False, True]
    assert thick[3] < thick[0]
    assert len({shaft.get("d") for shaft in shafts}) == 4
    assert [title.text for title in parsed(markup).iter("title")] == [
        "Us to Lab: Spend, $10",
        "Us to Lab: Equity, $1,000",
        "Lab to Us: Commitment, $100",
        "Lab to Shop: Infrastructure, unknown amount",
    ]
    assert len(by_class(markup, "station")) == 3


@pytest.mark.parametrize(
    "arrow", [Arrow("us", "us", ()), Arrow("us", "nobody", ()), Arrow("us", "lab", (), -1)]
)
def test_an_arrow_that_ties_no_two_nodes_is_refused(arrow: Arrow) -> None:
    with pytest.raises(ValueError, match="the arrow from us"):
        charts.network(NET, [arrow], label="Who pays whom")


def test_few_and_many_nodes_stay_within_the_drawing() -> None:
    assert "Nothing to draw yet" in charts.network([], [], label="Who pays whom")
    for number in (1, 2, 12):
        nodes = [Node(str(n), f"Company {n}") for n in range(number)]
        arrows = [Arrow(str(n), str((n + 1) % number), ("Spend",), n) for n in range(number) if number > 1]
        markup = charts.network(nodes, arrows, label="Who pays whom")
        for station in by_class(markup, "station"):
            x, wide = float(station.get("x", "")), float(station.get("width", ""))
            y, high = float(station.get("y", "")), float(station.get("height", ""))
            assert x >= 0
            assert x + wide <= 900
            assert y >= 0
            assert y + high <= 500


# All


def test_every_text_is_escaped_and_every_chart_is_one_image_with_a_name() -> None:
    drawn = [
        charts.sparkline([1, 2], label=NASTY),
        charts.line_chart([1], length=2, label=NASTY, ticks=[(0, NASTY)], write=lambda _value: NASTY),
        charts.histogram([Bin(NASTY, 1)], label=NASTY),
        charts.share_bar([Share(NASTY, 1)], label=NASTY),
        charts.sankey(
            [[Node("a", NASTY)], [Node("b", NASTY)]],
            [Link("a", "b", 1)],
            label=NASTY,
            write=lambda _value: NASTY,
        ),
        charts.network([Node("a", NASTY), Node("b", NASTY)], [Arrow("a", "b", (NASTY, NASTY))], label=NASTY),
        charts.scatter(
            [charts.Dot(NASTY, 1, 1, edge=True)],
            label=NASTY,
            write_cost=lambda _value: NASTY,
            write_worth=lambda _value: NASTY,
        ),
        charts.range_bar(0.1, 0.2, 0.3, label=NASTY),
    ]
    for markup in drawn:
        assert "<script" not in markup
        assert parsed(markup).get("role") == "img"
        assert NASTY in parsed(markup).get("aria-label", "")
    assert charts.table_twin(NASTY, [NASTY], [[NASTY]]).count(ESCAPED) == 4
    assert ESCAPED in charts.legend([(NASTY, NASTY, "c1")])


def test_the_twin_of_a_chart_is_a_real_table() -> None:
    twin = parsed(charts.table_twin("Credit", ("Day", "Credited"), [(1, "$5"), (2, "$9")]))
    assert twin.tag == "details"
    assert [cell.text for cell in twin.iter("td")] == ["$5", "$9"]
    assert [(cell.get("scope"), cell.text) for cell in twin.iter("th")] == [
        ("col", "Day"),
        ("col", "Credited"),
        ("row", "1"),
        ("row", "2"),
    ]


# --- steps


def steps(*spans: charts.Held, length: float = 10, now: float | None = None) -> str:
    return charts.step_chart([("accent", spans)], length=length, now=now, label="Price", write=str)


def test_a_step_chart_draws_levels_with_upright_steps_and_leaves_gaps_open() -> None:
    drawn = steps(
        charts.Held(0, 4, 2.0), charts.Held(4, 6, 1.0), charts.Held(6, 8, None), charts.Held(8, 10, 2.0)
    )
    (path,) = re.findall(r'class="ln t-accent" d="([^"]+)"', drawn)
    assert path == "M0 33.33H40M40 33.33V66.67H60M80 33.33H100"


def test_what_is_to_come_is_drawn_apart_from_what_was() -> None:
    drawn = steps(charts.Held(0, 6, 2.0), charts.Held(6, 10, 1.0), now=4)
    assert re.findall(r'class="(ln[^"]*)" d="([^"]+)"', drawn) == [
        ("ln t-accent", "M0 33.33H40"),
        ("ln ahead t-accent", "M40 33.33H60M60 33.33V66.67H100"),
    ]
    assert 'class="now" x1="40%"' in drawn


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ((), 0),
        ((charts.Held(0, 11, 1.0),), 10),
        ((charts.Held(4, 6, 1.0), charts.Held(5, 7, 1.0)), 10),
        ((charts.Held(-1, 2, 1.0),), 10),
    ],
)
def test_spans_that_do_not_follow_one_another_are_refused(
    spans: tuple[charts.Held, ...], length: float
) -> None:
    with pytest.raises(ValueError, match="steps"):
        steps(*spans, length=length)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([None, 0.0]) | st.floats(1e-10, 1e6)), max_size=12),
    st.integers(0, 60),
)
def test_any_step_chart_is_well_formed(parts: list[tuple[int, float | None]], now: int) -> None:
    spans, at = [], 0
    for width, value in parts:
        spans.append(charts.Held(at, at + width, value))
        at += width
    parsed(steps(*spans, length=max(at, 1), now=min(now, max(at, 1))))

"""Readers of foreign sources: every row comes back once, understood or with its reason; numbers are exact; nothing is made up."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices.types as their
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marketplace.importers import benchmarks, genai_prices, litellm, models_dev
from marketplace.importers.files import DEEPEST, LARGEST, json_of, text_of
from marketplace.importers.providers import maker_of, place_of, seller_of
from marketplace.importers.rows import (
    EvaluationFacts,
    ListingFacts,
    ModelFacts,
    PlanFacts,
    PriceLine,
    Row,
    Unreadable,
    family_of,
)
from tests.depth import examples

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalog"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data files are not here")
Reader = Callable[[bytes], Iterator[Row]]


def listing(row: Row) -> ListingFacts:
    assert isinstance(row.facts, ListingFacts), row
    return row.facts


def plan(row: Row, slug: str = "standard") -> PlanFacts:
    return next(p for p in listing(row).plans if p.slug == slug)


def amounts(row: Row, slug: str = "standard", span: int = 0) -> dict[tuple[str, int], Decimal | None]:
    return {(line.meter, line.above_context): line.amount for line in plan(row, slug).prices[span].lines}


def one(entry: dict[str, Any] | str, key: str = "some-model", reader: Reader = litellm.rows) -> Row:
    """The row of a LiteLLM file with this entry alone; a text is taken as JSON."""
    text = entry if isinstance(entry, str) else json.dumps(entry)
    return next(reader(f'{{"{key}": {text}}}'.encode()))


def chat(**more: Any) -> dict[str, Any]:
    return {"litellm_provider": "anyone", "mode": "chat"} | more


class TestNumbers:
    @pytest.mark.parametrize(
        ("written", "per_million"),
        [
            ("1.5e-05", "15"),
            ("1.5e-07", "0.15"),
            ("3.1e-6", "3.1"),
            ("0.000001", "1"),
            ("2.5E-06", "2.5"),
            ("2.0000000000000002e-07", "0.2"),
            ("0.1", "100000"),
        ],
    )
    def test_a_price_per_token_is_exact_per_million(self, written: str, per_million: str) -> None:
        row = one(f'{{"litellm_provider": "x", "mode": "chat", "input_cost_per_token": {written}}}')
        assert amounts(row)["input-tokens", 0] == Decimal(per_million)

    @pytest.mark.parametrize(
        ("written", "code"),
        [
            ("null", "price_unknown"),
            ("NaN", "not_finite"),
            ("Infinity", "not_finite"),
            ("-Infinity", "not_finite"),
            ("-1e-06", "negative"),
            ("true", "not_a_number"),
            ('"free"', "not_a_number"),
            ("[1]", "not_a_number"),
            ("5", "absurd"),
            ("1e400", "absurd"),
            ("1e-17", "too_fine"),
            ("9" * 5000, "not_finite"),
        ],
    )
    def test_what_cannot_be_a_price_refuses_the_row_and_is_never_zero(self, written: str, code: str) -> None:
        row = one(
            f'{{"litellm_provider": "x", "mode": "chat", "input_cost_per_token": {written}, "output_cost_per_token": 1e-06}}'
        )
        assert (row.outcome, row.code, row.facts) == ("refused", code, None)

    @given(st.decimals(min_value=0, max_value=Decimal("0.09"), places=15, allow_nan=False))
    def test_no_price_is_rounded_by_more_than_a_hundred_millionth(self, price: Decimal) -> None:
        row = one(
            f'{{"litellm_provider": "x", "mode": "chat", "input_cost_per_token": {price:.15f}, "output_cost_per_token": 1e-06}}'
        )
        found = amounts(row)["input-tokens", 0]
        assert (found is None and price == 0) or abs((found or 0) - price * 10**6) <= price * 10**6 / 10**8


class TestZero:
    def test_zero_is_free_where_the_name_says_so(self) -> None:
        row = one(chat(input_cost_per_token=0, output_cost_per_token=0.0), key="x/model:free")
        assert plan(row).pricing_form == "free"
        assert amounts(row) == {("input-tokens", 0): 0, ("output-tokens", 0): 0}

    def test_a_row_of_zeros_is_left_out(self) -> None:
        row = one(chat(input_cost_per_token=0, output_cost_per_token=0))
        assert (row.outcome, row.code) == ("left_out", "zero_not_said_free")

    def test_zero_beside_a_price_is_unknown(self) -> None:
        row = one(chat(input_cost_per_token=1e-06, output_cost_per_token=0))
        assert amounts(row) == {("input-tokens", 0): 1, ("output-tokens", 0): None}
        assert "taken as unknown" in row.notes[0]

    def test_an_embedding_has_no_output_to_pay_for(self) -> None:
        row = one(
            {
                "litellm_provider": "x",
                "mode": "embedding",
                "input_cost_per_token": 1e-07,
                "output_cost_per_token": 0,
            }
        )
        assert amounts(row) == {("input-tokens", 0): Decimal("0.1")}

    def test_a_model_without_price_is_left_out(self) -> None:
        assert one(chat(max_input_tokens=5)).code == "no_price"


class TestLiteLLM:
    def test_tiers_of_context_and_of_processing(self) -> None:
        row = one(
            chat(
                input_cost_per_token=1e-06,
                output_cost_per_token=2e-06,
                input_cost_per_token_above_200k_tokens=3e-06,
                input_cost_per_token_batches=5e-07,
                input_cost_per_token_above_272k_tokens_priority=7e-06,
                cache_read_input_token_cost=1e-07,
                cache_creation_input_token_cost_above_1hr=4e-06,
                cache_creation_input_token_cost_above_1hr_above_100k_tokens=5e-06,
            )
        )
        assert amounts(row) == {
            ("input-tokens", 0): 1,
            ("input-tokens", 200_000): 3,
            ("output-tokens", 0): 2,
            ("cached-input-tokens", 0): Decimal("0.1"),
            ("cache-write-1h-tokens", 0): 4,
            ("cache-write-1h-tokens", 100_000): 5,
        }
        assert amounts(row, "batch") == {("input-tokens", 0): Decimal("0.5")}
        assert amounts(row, "priority") == {("input-tokens", 272_000): 7}
        assert plan(row, "batch").processing_tier == "batch"

    def test_facts_and_what_is_not_used(self) -> None:
        row = one(
            chat(
                input_cost_per_token=1e-06,
                max_input_tokens=200_000,
                max_output_tokens=0,
                supports_vision=True,
                supports_reasoning=False,
                supports_function_calling="maybe",
                deprecation_date="2026-11-15",
                tpm=5,
                metadata={"a": {"b": 1}},
            )
        )
        facts = listing(row)
        assert facts.facts == {
            "context_window": 200_000,
            "capabilities": {"reasoning": False},
            "modalities_in": ["text", "image"],
        }
        assert facts.retires_on == date(2026, 11, 15)
        assert row.ignored == ("tpm", "metadata")

    def test_a_day_that_does_not_exist_refuses_the_row(self) -> None:
        row = one(chat(input_cost_per_token=1e-06, deprecation_date="2025-02-31"))
        assert (row.outcome, row.code) == ("refused", "no_such_day")
        assert "2025-02-31" in row.message

    def test_the_sample_entry_and_ones_own_machine_are_left_out(self) -> None:
        content = json.dumps({"sample_spec": chat(), "ollama/x": chat() | {"litellm_provider": "ollama"}})
        assert [(r.outcome, r.code) for r in litellm.rows(content.encode())] == [
            ("left_out", "sample"),
            ("left_out", "own_machine"),
        ]

    def test_two_fields_that_price_the_same_differently_refuse_the_row(self) -> None:
        row = one(chat(cache_read_input_token_cost=1e-06, input_cost_per_token_cache_hit=2e-06))
        assert row.code == "two_prices"

    def test_a_key_twice_is_reported_for_every_time(self) -> None:
        entry = json.dumps(chat(input_cost_per_token=1e-06))
        other = json.dumps(chat(input_cost_per_token=2e-06))
        same = list(litellm.rows(f'{{"a": {entry}, "a": {entry}, "b": {entry}}}'.encode()))
        assert [(r.number, r.outcome, r.code) for r in same] == [
            (1, "", ""),
            (2, "left_out", "duplicate_key"),
            (3, "", ""),
        ]
        differing = list(litellm.rows(f'{{"a": {entry}, "a": {other}}}'.encode()))
        assert [(r.outcome, r.code) for r in differing] == [("refused", "duplicate_key")] * 2

    def test_a_field_twice_refuses_the_row(self) -> None:
        row = one('{"litellm_provider": "x", "input_cost_per_token": 1e-06, "input_cost_per_token": 2e-06}')
        assert row.code == "duplicate_field"

    @needs_shared
    def test_the_sample_comes_back_whole(self) -> None:
        content = (SHARED / "litellm_sample.json").read_bytes()
        rows = list(litellm.rows(content))
        assert [r.number for r in rows] == list(range(1, 277))
        assert [r.key for r in rows] == list(json.loads(content))
        assert Counter(r.outcome for r in rows) == {"": 263, "left_out": 13}


class TestModelsDev:
    def test_tiers_and_facts(self) -> None:
        model = {
            "name": "Big",
            "family": "big",
            "knowledge": "2025-02-31",
            "release_date": "2026-01-14",
            "open_weights": True,
            "tool_call": True,
            "limit": {"context": 1000, "output": 100},
            "modalities": {"input": ["text", "telepathy"], "output": ["text"]},
            "cost": {"input": 2.5, "output": 15, "tiers": [{"tier": {"size": 272000}, "input": 5}]},
        }
        content = json.dumps({"somebody": {"name": "Somebody", "models": {"big-1": model}}}).encode()
        [row] = models_dev.rows(content)
        assert (row.provider, row.key) == ("somebody", "big-1")
        assert amounts(row) == {
            ("input-tokens", 0): Decimal("2.5"),
            ("input-tokens", 272_000): 5,
            ("output-tokens", 0): 15,
        }
        assert listing(row).facts == {
            "context_window": 1000,
            "max_output": 100,
            "modalities_in": ["text"],
            "modalities_out": ["text"],
            "capabilities": {"tool_call": True},
            "knowledge_cutoff": "2025-02",
            "released_on": date(2026, 1, 14),
        }
        assert "its month was taken" in row.notes[0]

    @needs_shared
    def test_both_shapes_come_back_whole(self) -> None:
        providers = json.loads((SHARED / "models_dev_providers.json").read_bytes())
        rows = list(models_dev.rows((SHARED / "models_dev_providers.json").read_bytes()))
        assert [(r.provider, r.key) for r in rows] == [
            (p, m) for p, v in providers.items() for m in v["models"]
        ]
        models = list(models_dev.rows((SHARED / "models_dev_models.json").read_bytes()))
        assert len(models) == 231
        results = [r.facts.evaluations for r in models if isinstance(r.facts, ModelFacts)]
        assert sum(map(len, results)) == 288


class TestGenaiPrices:
    def test_every_model_of_every_provider_is_a_row(self) -> None:
        from genai_prices.data import providers

        rows = list(genai_prices.rows())
        assert [(r.provider, r.key) for r in rows] == [(p.id, m.id) for p in providers for m in p.models]
        assert {r.code for r in rows} == {"", "no_price"}

    def made(self, **more: Any) -> Row:
        model = their.ModelInfo(id="m-1", match=their.ClauseEquals("m-1"), **more)
        return next(genai_prices.rows([their.Provider("p", "P", "", models=[model])]))

    def test_dated_prices_become_spans_and_tiers_lines(self) -> None:
        row = self.made(
            prices=[
                their.ConditionalPrice(
                    prices=their.ModelPrice(
                        input_mtok=their.TieredPrices(Decimal(3), [their.Tier(200_000, Decimal(6))])
                    )
                ),
                their.ConditionalPrice(
                    their.StartDateConstraint(date(2026, 3, 13)),
                    prices=their.ModelPrice(input_mtok=Decimal(2)),
                ),
            ]
        )
        assert [(s.start, s.end) for s in plan(row).prices] == [
            (None, date(2026, 3, 13)),
            (date(2026, 3, 13), None),
        ]
        assert amounts(row) == {("input-tokens", 0): 3, ("input-tokens", 200_000): 6}
        assert amounts(row, span=1) == {("input-tokens", 0): 2}

    def test_hours_of_the_day_and_variants_become_plans(self) -> None:
        row = self.made(
            prices=[
                their.ConditionalPrice(
                    prices=their.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(4))
                ),
                their.ConditionalPrice(
                    their.TimeOfDateConstraint(time(1), time(4)),
                    prices=their.ModelPrice(input_mtok=Decimal(2)),
                ),
            ],
            price_variants=[
                their.PriceVariant({"service_tier": "default"}, their.ModelPrice()),
                their.PriceVariant(
                    {"processing": "batch"},
                    their.ModelPrice(input_mtok=Decimal("0.5")),
                    their.StartDateConstraint(date(2026, 10, 14)),
                ),
            ],
        )
        assert [p.slug for p in listing(row).plans] == ["standard", "hours-0100-0400", "batch"]
        assert plan(row, "hours-0100-0400").deployment == "01:00–04:00 UTC"
        [span] = plan(row, "batch").prices
        assert (span.start, span.end) == (date(2026, 10, 14), None)
        assert amounts(row, "batch") == {("input-tokens", 0): Decimal("0.5"), ("output-tokens", 0): 4}


class TestBenchmarks:
    def test_a_result_and_what_was_not_measured(self) -> None:
        content = b"model,benchmark,metric,score,source,n,cost_usd,date\nM 1,B,rate,35.6,http://x,225,0.0,2025-02-25\n"
        [row] = benchmarks.evaluations(content)
        assert isinstance(row.facts, EvaluationFacts)
        assert row.facts.facts["score"] == Decimal("35.6")
        assert row.facts.facts["cost_usd"] is None
        assert row.facts.facts["dated"] == date(2025, 2, 25)

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("M,B,rate,,s,", "score_missing"),
            (",B,rate,5,s,", "model_missing"),
            ("M,B,rate,nan,s,", "not_finite"),
            ("M,B,rate,5,s,2025-02-31", "no_such_day"),
            ("M,B,rate,5", "columns"),
            ("M,B,rate,5,,", "source_missing"),
        ],
    )
    def test_a_bad_line_is_refused_with_its_reason(self, line: str, code: str) -> None:
        rows = list(
            benchmarks.evaluations(f"model,benchmark,metric,score,source,date\n{line}\nM,B,r,1,s,\n".encode())
        )
        assert [(r.outcome, r.code) for r in rows] == [("refused", code), ("", "")]

    def test_a_leaderboard_with_a_day_that_does_not_exist(self) -> None:
        content = b"- model: M\n  pass_rate_2: 51.6\n  date: 2025-02-31\n- model: N\n  pass_rate_2: 50\n"
        rows = list(benchmarks.aider(content))
        assert [(r.outcome, r.code) for r in rows] == [("refused", "no_such_day"), ("", "")]

    @needs_shared
    def test_the_published_tables_come_back_whole(self) -> None:
        assert len(list(benchmarks.evaluations((SHARED / "evaluations.csv").read_bytes()))) == 453
        assert len(list(benchmarks.aider((SHARED / "aider_polyglot.yml").read_bytes()))) == 69


class TestFiles:
    ENTRY = json.dumps({"é": chat(input_cost_per_token=1e-06)}, ensure_ascii=False)

    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
    )
    def test_an_encoding_is_seen_from_the_bytes(self, encoding: str) -> None:
        [row] = litellm.rows(self.ENTRY.encode(encoding))
        assert row.key == "é"

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"", "empty"),
            (b" \n ", "empty"),
            (b'{"a": {"litellm_provider": "x", "mode"', "truncated"),
            (b'{"a": {"litellm_provider": "x"}', "truncated"),
            (b'{"a": {"litellm_provider": "x"}} trailing {', "not_json"),
            (b"a,b\n1,2\n", "not_json"),
            (b"PK\x03\x04" + b"\x00" * 40, "not_text"),
            (b"\x1f\x8b\x08" + b"\x00" * 40, "not_text"),
            (bytes(range(256)) * 8, "not_text"),
            (b"[1, 2]", "not_this_file"),
            (b'{"a": {"price": 1}}', "not_this_file"),
            (b"[" * 100_000, "too_deep"),
            (b'{"a":' * (DEEPEST + 1), "too_deep"),
            (b'"' + b'\\"' * 2_000_000, "not_json"),
            (b"{" + b" " * LARGEST + b"}", "too_large"),
        ],
        ids=lambda given: given if isinstance(given, str) else f"{len(given)} bytes",
    )
    def test_a_file_that_is_not_what_it_claims_is_one_message(self, content: bytes, code: str) -> None:
        with pytest.raises(Unreadable) as why:
            list(litellm.rows(content))
        assert why.value.code == code

    def test_a_bracket_in_a_text_nests_nothing(self) -> None:
        assert json_of(json.dumps({"a": "[" * 1000 + '"' + "{" * 1000}).encode())["a"].startswith("[[")

    def test_yaml_that_refers_to_itself_is_refused(self) -> None:
        bomb = "- &a [x, x]\n" + "".join(f"- &b{i} [*a, *a]\n" for i in range(5))
        with pytest.raises(Unreadable, match="refers to parts of itself"):
            list(benchmarks.aider(bomb.encode()))

    @pytest.mark.parametrize("content", [b"a: [", b"\t- x", b"just words", b"- a: 1\n"])
    def test_what_is_no_leaderboard_is_said_so(self, content: bytes) -> None:
        with pytest.raises(Unreadable):
            list(benchmarks.aider(content))

    @given(st.binary(max_size=300))
    @example(b"\xfe\xff")
    @settings(max_examples=examples(60), deadline=None)
    def test_no_bytes_do_more_than_be_refused(self, content: bytes) -> None:
        for reader in (litellm.rows, models_dev.rows, benchmarks.evaluations, benchmarks.aider):
            with suppress(Unreadable):
                list(reader(content))

    @given(st.text(max_size=60))
    def test_a_text_comes_back_from_its_bytes(self, text: str) -> None:
        if text.strip() and all(c.isprintable() for c in text) and not text.startswith("PK"):
            assert text_of(text.encode()) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        *(
            "litellm_provider",
            "mode",
            "input_cost_per_token",
            "output_cost_per_token_batches",
            "max_input_tokens",
        ),
        *(
            "deprecation_date",
            "supports_vision",
            "supported_modalities",
            "models",
            "cost",
            "limit",
            "name",
            "knowledge",
        ),
        *("release_date", "benchmarks", "modalities", "input_cost_per_image_above_128k_tokens", "anything"),
    ]
)
ENTRIES = st.dictionaries(FIELDS, JSON, max_size=6) | JSON
DEVS = st.fixed_dictionaries({"models": st.dictionaries(st.text(max_size=6), ENTRIES, max_size=3)}) | ENTRIES


@given(st.dictionaries(st.text(max_size=12), ENTRIES, max_size=5))
@settings(max_examples=examples(50), deadline=None)
def test_any_object_file_gives_each_entry_back_once_and_never_raises(content: dict[str, Any]) -> None:
    for entry in content.values():  # so that the file passes for one of LiteLLM's
        if isinstance(entry, dict):
            entry.setdefault("litellm_provider", "x")
    _whole(litellm.rows, content, len(content))
    _whole(models_dev.rows, content, None)


@given(st.dictionaries(st.text(max_size=12), DEVS, max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_any_file_of_providers_gives_each_model_back_once(content: dict[str, Any]) -> None:
    _whole(models_dev.rows, content, None)


def _whole(reader: Reader, content: dict[str, Any], expected: int | None) -> None:
    try:
        rows = list(reader(json.dumps(content).encode()))
    except Unreadable:
        return
    assert [r.number for r in rows] == list(range(1, len(rows) + 1))
    assert expected is None or len(rows) == expected
    for row in rows:
        assert (row.facts is None) == bool(row.outcome)
        assert bool(row.outcome) == bool(row.code and row.message)
        json.dumps(row.original, allow_nan=False)
        for line in _lines(row):
            assert line.amount is None or (line.amount >= 0 and line.amount.is_finite())


def _lines(row: Row) -> Iterator[PriceLine]:
    if isinstance(row.facts, ListingFacts):
        for each in row.facts.plans:
            for span in each.prices:
                yield from span.lines


@pytest.mark.parametrize(
    ("provider", "key", "expected"),
    [
        ("azure", "azure/eu/gpt-5-nano-2025-08-07", ("gpt-5-nano-2025-08-07", "eu", "")),
        ("azure", "azure/high/1536-x-1024/gpt-image-1-mini", ("gpt-image-1-mini", "", "high-1536-x-1024")),
        ("bedrock_converse", "us.anthropic.claude-opus-5", ("anthropic.claude-opus-5", "us", "")),
        ("openrouter", "openrouter/meta/llama", ("meta/llama", "", "")),
        ("openai", "gpt-4o", ("gpt-4o", "", "")),
    ],
)
def test_a_name_is_taken_apart(provider: str, key: str, expected: tuple[str, str, str]) -> None:
    place = place_of(provider, key)
    assert (place.key, place.zone, place.variant) == expected


def test_sellers_makers_and_families_are_recognised() -> None:
    assert seller_of("x-ai", "X AI", "microsoft").slug == seller_of("xai", "xAI", "microsoft").slug == "xai"
    assert seller_of("azure_ai", "Azure", "microsoft").own_cloud
    assert not seller_of("azure_ai", "Azure", "amazon").own_cloud
    assert (maker_of("gpt-5"), maker_of("claude-x"), maker_of("zzz")) == ("openai", "anthropic", "")
    assert (family_of("claude-haiku-4-5-20251001"), family_of("o1-mini")) == ("claude-haiku", "o1")

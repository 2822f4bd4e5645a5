"""Benchmark tables: one long CSV of results, and Aider's leaderboard (YAML, Apache-2.0)."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from marketplace.importers.files import csv_rows, few_enough, kept, mapping_of, storable_text, yaml_of
from marketplace.importers.rows import EvaluationFacts, Row, Unreadable, WrongRow, day, exact, shown

CSV_LABEL: Final = "benchmark table"
AIDER_LABEL: Final = "Aider's leaderboard"
AIDER_PAGE: Final = "https://aider.chat/docs/leaderboards/"
NEEDED: Final = frozenset({"benchmark", "metric", "score", "source"})
YES_NO: Final = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
LARGEST_SCORE: Final = Decimal(10) ** 9


def evaluations(content: bytes) -> Iterator[Row]:
    """One row for each line of the table. Columns: model (or subject), benchmark, metric, score, source; the rest as it is there."""
    empty = True
    for number, (original, row) in enumerate(csv_rows(content, NEEDED), start=1):
        empty = False
        subject = storable_text((row or {}).get("subject") or (row or {}).get("model") or "").strip()
        benchmark = storable_text((row or {}).get("benchmark", "")).strip()
        key = f"{subject} / {benchmark}"[:200]
        try:
            if row is None:
                raise WrongRow("columns", "The line has more or fewer columns than the first one.")
            facts = _result(row, subject, benchmark)
        except WrongRow as why:
            yield Row.wrong(number, key, benchmark[:80], kept(original), why)
            continue
        ignored = tuple(name[:60] for name in row if name not in _COLUMNS)
        yield Row(number, key, benchmark[:80], kept(original), facts, ignored=ignored)
    if empty:
        raise Unreadable("empty", "The table has a head and no rows.")


_COLUMNS: Final = frozenset(
    {
        *("model", "subject", "version", "benchmark", "metric", "score", "higher_is_better", "harness"),
        *("variant", "n", "sample_size", "cost_usd", "latency_s", "date", "dated", "source", "licence"),
        *("task_area", "finding"),
    }
)


def _result(row: Mapping[str, str], subject: str, benchmark: str) -> EvaluationFacts:
    """Raises WrongRow."""
    if not subject:
        raise WrongRow("model_missing", "It does not say which model.")
    if not benchmark:
        raise WrongRow("benchmark_missing", "It does not say which benchmark.")
    if not row.get("source", "").strip():
        raise WrongRow("source_missing", "It does not say where the result is from.")
    better = row.get("higher_is_better", "1").strip().lower() or "1"
    if better not in YES_NO:
        raise WrongRow("direction", f"higher_is_better: {shown(better)} says neither yes nor no.")
    finding = row.get("finding", "").strip()
    score = _score(row.get("score", ""), "score")
    if score is None and not finding:
        raise WrongRow("score_missing", "It has neither a score nor a finding; missing is not zero.")
    return EvaluationFacts(
        subject=subject[:120],
        task_area=row.get("task_area", "").strip(),
        facts={
            "benchmark": benchmark[:80],
            "metric": row["metric"].strip()[:60],
            "higher_is_better": YES_NO[better],
            "harness": row.get("harness", "").strip()[:80],
            "variant": row.get("variant", "").strip()[:80],
            "sample_size": _count(row.get("n") or row.get("sample_size") or "", "n"),
            "score": score,
            "finding": finding[:300],
            "cost_usd": _measured(row.get("cost_usd", ""), "cost_usd"),
            "latency_s": _measured(row.get("latency_s", ""), "latency_s"),
            "dated": day((row.get("date") or row.get("dated") or "").strip(), "date"),
            "source": row["source"].strip()[:200],
            "licence": row.get("licence", "").strip()[:60],
        },
    )


def aider(content: bytes) -> Iterator[Row]:
    """One row for each run of the leaderboard: pass_rate_2 (share solved in two tries), its cost, seconds per case and size."""
    found = yaml_of(content)
    if not isinstance(found, list) or not any(isinstance(x, Mapping) and "pass_rate_2" in x for x in found):
        raise Unreadable("not_this_file", "No entry has a pass_rate_2: this is not Aider's leaderboard.")
    few_enough(len(found))
    for number, raw in enumerate(found, start=1):
        model = raw.get("model") if isinstance(raw, Mapping) else None
        subject = storable_text(model).strip() if isinstance(model, str) else ""
        key = storable_text(str(raw.get("dirname") or subject) if isinstance(raw, Mapping) else "")[:200]
        try:
            facts = _run(mapping_of(raw), subject)
        except WrongRow as why:
            yield Row.wrong(number, key, "Aider", kept(raw), why)
            continue
        ignored = tuple(storable_text(name)[:60] for name in raw if name not in _AIDER_READ)
        yield Row(number, key, "Aider", kept(raw), facts, ignored=ignored)


_AIDER_READ: Final = frozenset(
    {
        *("dirname", "model", "edit_format", "pass_rate_2", "total_cost", "seconds_per_case", "test_cases"),
        *("total_tests", "date", "reasoning_effort", "thinking_tokens"),
    }
)


def _run(entry: Mapping[str, Any], subject: str) -> EvaluationFacts:
    """Raises WrongRow."""
    if not subject:
        raise WrongRow("model_missing", "It does not say which model.")
    score = _score(_written(entry, "pass_rate_2"), "pass_rate_2")
    if score is None:
        raise WrongRow("score_missing", "It has no pass_rate_2; missing is not zero.")
    if score > 100:
        raise WrongRow("absurd", f"pass_rate_2: {shown(score)} is more than 100 per cent.")
    effort = _written(entry, "reasoning_effort") or _written(entry, "thinking_tokens")
    edit_format = _written(entry, "edit_format")
    return EvaluationFacts(
        subject=subject[:120],
        task_area="coding",
        facts={
            "benchmark": "aider-polyglot",
            "metric": "pass_rate_2",
            "higher_is_better": True,
            "harness": f"aider/{edit_format}"[:80] if edit_format else "aider",
            "variant": effort[:80],
            "sample_size": _count(
                _written(entry, "test_cases") or _written(entry, "total_tests"), "test_cases"
            ),
            "score": score,
            "finding": "",
            "cost_usd": _measured(_written(entry, "total_cost"), "total_cost"),
            "latency_s": _measured(_written(entry, "seconds_per_case"), "seconds_per_case"),
            "dated": day(_written(entry, "date"), "date"),
            "source": AIDER_PAGE,
            "licence": "Apache-2.0",
        },
    )


def _written(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return storable_text(value).strip() if isinstance(value, str) and value not in ("null", "~") else ""


def _score(written: str, where: str) -> Decimal | None:
    if not written.strip():
        return None
    number = exact(written, where)
    if number > LARGEST_SCORE or (number.adjusted() < -12 and number):
        raise WrongRow("absurd", f"{where}: {shown(written)} cannot be a score.")
    return round(number, 4)


def _measured(written: str, where: str) -> Decimal | None:
    """Zero in these tables means that it was not measured."""
    number = _score(written, where)
    return number or None


def _count(written: str, where: str) -> int | None:
    if not written.strip():
        return None
    number = exact(written, where)
    if number.adjusted() > 9 or number != int(number) or number > 2_000_000_000:
        raise WrongRow("absurd", f"{where}: {shown(written)} is not a number of cases.")
    return int(number) or None

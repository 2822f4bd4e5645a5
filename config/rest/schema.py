"""What the mechanisms add to every operation of the schema, written once: headers, and how a problem looks."""

from collections.abc import Iterator
from typing import Any, Final

from config.rest import idempotency
from config.rest.problems import KINDS, MEDIA_TYPE

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. Says everything that is wrong at once.",
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:parity:problem:invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "What X-Request-ID says too."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "additionalProperties": True,
                "properties": {
                    "code": {"type": "string", "description": "Stable; for programs."},
                    "detail": {"type": "string", "description": "A sentence; for people."},
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "parameter": {"type": "string", "description": "Name in the query."},
                },
            },
        },
    },
}
RULES: Final = """
These hold for every operation.

* **Coming in**: `Authorization: Bearer KEY`. What is not yours is 404, as if it did not exist.
* **Lists**: up to `page_size` rows (50; 200 at most) with `next` and `previous`, whole addresses to follow as they are.
  Rows that come or go meanwhile move nobody else's. `count=true` adds `total`. Sets in filters are separated by commas.
  A parameter or a value that is not known is 400 and named, never ignored.
* **Values**: days as `2026-08-14`, moments with their offset, money as `{"amount": "3.00", "currency": "USD"}`. What is
  unknown is `null`, not 0.
* **Reading again**: send the `ETag` back as `If-None-Match`; 304 says that it still holds.
* **Changing**: PATCH and DELETE need `If-Match` (428 without it), actions honour it; 412 says that it has changed since.
* **Sending again**: any POST takes an `Idempotency-Key` of your choice. The same request under it gets the first answer again,
  with `Idempotent-Replayed: true`; another one 422; one that is still at work 409.
* **Refusals**: `application/problem+json` names everything that is wrong at once, each with a stable `code`, a sentence and a
  `pointer` into the body or the `parameter`. 400 is the query or unreadable JSON, 422 the body, 409 the present state.
* **Limits**: `RateLimit` says what is left; 429 and 503 say in `Retry-After` when to come again.
* **News of the catalog**: read `/api/v1/changes/` to its end, keep `next` and ask it again; or register a webhook.
"""
ALWAYS: Final = (400, 401, 403, 429)
READS: Final = ("get", "head")
NEED_MATCH: Final = ("put", "patch", "delete")


def describe_mechanisms(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A hook of drf-spectacular: the finished schema in, the same with what config.rest does to every operation out."""
    _drop_empty_defaults(result)
    result["info"]["description"] = f"{result['info']['description']}\n{RULES}"
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components["responses"] = {
        f"Problem{status}": {
            "description": KINDS[status][1],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in (*ALWAYS, 404, 409, 412, 413, 422, 428)
    }
    for path, method, operation in _operations(result):
        _add_headers(method, operation)
        _add_answers(path, method, operation)
    return result


def _drop_empty_defaults(part: Any) -> None:
    """A text that may be left out has no default worth telling, and the empty one does not fit the pattern beside it."""
    if isinstance(part, dict):
        if part.get("default") == "" and part.get("type") == "string":
            del part["default"]
        for inner in part.values():
            _drop_empty_defaults(inner)
    elif isinstance(part, list):
        for inner in part:
            _drop_empty_defaults(inner)


def _operations(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in result.get("paths", {}).items():
        for method, operation in methods.items():
            if isinstance(operation, dict):
                yield path, method, operation


def _add_headers(method: str, operation: dict[str, Any]) -> None:
    headers = operation.setdefault("parameters", [])
    if method in READS:
        headers.append(_header("If-None-Match", "An ETag read before: 304 if it still holds."))
    elif method in NEED_MATCH:
        headers.append(
            _header(
                "If-Match", "The ETag of what is to be changed: 412 if it has changed since.", required=True
            )
        )
    else:
        headers.append(
            _header(
                idempotency.HEADER,
                "Sent again with the same key, the request is answered again, not done again.",
            )
        )
        headers.append(_header("If-Match", "For an action on a resource: 412 if it has changed since."))


def _header(name: str, said: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "in": "header",
        "name": name,
        "required": required,
        "schema": {"type": "string"},
        "description": said,
    }


def _add_answers(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation.setdefault("responses", {})
    further = {404} if "{" in path else set()
    if method in READS:
        answers.setdefault("304", {"description": "What If-None-Match names still holds."})
    else:
        further |= {409, 412, 413, 422} | ({428} if method in NEED_MATCH else set())
    for status in sorted({*ALWAYS, *further}):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    for status, answer in answers.items():
        if status.startswith("2"):
            answer.setdefault("headers", {}).setdefault(
                "ETag",
                {"schema": {"type": "string"}, "description": "Strong; for If-None-Match and If-Match."},
            )

"""What stands on a page, as a call of the API that can be copied: cURL and Python."""

import json
import pprint
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request. body   Sent as JSON; None for a request without one."""

    method: str
    url: str
    body: Any = None
    key: str = ""

    @property
    def curl(self) -> str:
        lines = [f"curl{'' if self.method == 'GET' else f' -X {self.method}'} '{self.url}'"]
        lines.append('  -H "Authorization: Bearer $PARITY_KEY"')
        if self.key:
            lines.append(f'  -H "Idempotency-Key: {self.key}"')
        if self.body is not None:
            written = json.dumps(self.body, indent=1, ensure_ascii=False).replace("'", "'\\''")
            lines += ['  -H "Content-Type: application/json"', f"  --data '{written}'"]
        return " \\\n".join(lines)

    @property
    def python(self) -> str:
        headers = ['"Authorization": f"Bearer {os.environ[\'PARITY_KEY\']}"']
        if self.key:
            headers.append(f'"Idempotency-Key": "{self.key}"')
        sent = ""
        if self.body is not None:
            headers.append('"Content-Type": "application/json"')
            sent = f"\n    data=json.dumps({_literal(self.body)}).encode(),"
        return (
            f'import json, os, urllib.request\n\nrequest = urllib.request.Request(\n    "{self.url}",\n    method="{self.method}",{sent}\n'
            f"    headers={{{', '.join(headers)}}},\n)\nwith urllib.request.urlopen(request) as answer:\n    print(json.load(answer))"
        )


def reading(request: HttpRequest, path: str, query: Mapping[str, Any]) -> ApiCall:
    """What answers with what a page shows. query: parameters of the endpoint; empty ones are left out."""
    asked = urlencode([(name, value) for name, value in query.items() if value not in ("", None)], safe=",:")
    return call(request, "GET", f"{path}?{asked}" if asked else path)


def call(request: HttpRequest, method: str, path: str, body: Any = None, *, key: str = "") -> ApiCall:
    return ApiCall(method, request.build_absolute_uri(path), body, key)


def _literal(value: Any) -> str:
    """JSON as Python writes it."""
    return pprint.pformat(value, width=90, sort_dicts=False).replace("\n", "\n        ")

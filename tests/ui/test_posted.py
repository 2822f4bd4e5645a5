"""Addresses that take a form also lead whoever only looks there to the page of the form."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

VALUES = {"int": "7", "slug": "some-one", "str": "FY27-Q1"}


def _takers(resolver: URLResolver, space: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _takers(pattern, f"{pattern.namespace}:" if pattern.namespace else space)
        elif _leads(pattern.callback):
            yield f"{space}{pattern.name}", pattern


def _leads(view: Callable[..., Any] | None) -> bool:
    """Whether posted_from stands somewhere around the view."""
    while view is not None:
        code = getattr(view, "__code__", None)
        if code is not None and code.co_filename.endswith("config/posted.py"):
            return True
        view = getattr(view, "__wrapped__", None)
    return False


TAKERS = list(_takers(get_resolver()))


def test_there_are_such_addresses() -> None:
    assert {"quotas:deal-act", "quotas:planning-set", "marketplace:change-set-act"} <= {n for n, _ in TAKERS}


@pytest.mark.parametrize(("name", "pattern"), TAKERS, ids=[name for name, _ in TAKERS])
def test_whoever_only_looks_is_led_to_the_page(name: str, pattern: URLPattern) -> None:
    kinds = {key: type(each).__name__ for key, each in pattern.pattern.converters.items()}
    values = {
        key: VALUES[re.sub("Converter", "", kind).lower().replace("string", "str")]
        for key, kind in kinds.items()
    }
    address = reverse(name, kwargs=values)
    asked = RequestFactory().get(address, {"page": "2"})
    led = pattern.callback(asked, **values)
    assert led.status_code == 302, name
    where, _sign, query = led["Location"].partition("?")
    assert query == "page=2"
    assert where != address
    page = resolve(where)
    assert all(str(values[key]) == str(value) for key, value in page.kwargs.items()), page.kwargs
    assert pattern.callback(RequestFactory().put(address), **values).status_code == 405

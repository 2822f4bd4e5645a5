"""How hard a law is tried: a few examples in make test, many in make soak, which sets TEST_DEPTH."""

import os

DEPTH = int(os.environ.get("TEST_DEPTH", "1"))


def examples(few: int) -> int:
    return few * DEPTH

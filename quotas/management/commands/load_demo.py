"""manage.py load_demo: the synthetic organisation, its customers, deals and credit, once."""

from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from config import clock
from quotas.services.demo import load_demo

SCALES = ("full", "small")
SEED = 7


class Command(BaseCommand):
    help = "Load the demo as it is on the demo's business date. Does nothing when it is loaded already."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--scale",
            choices=SCALES,
            default="full",
            help="full is what is shown, small is for browser tests",
        )
        parser.add_argument("--seed", type=int, default=SEED, help="another number, another world")

    def handle(self, *_args: Any, scale: str, seed: int, verbosity: int, **_options: Any) -> None:
        if not settings.DEMO_MODE:
            raise CommandError("The demo is loaded in demo mode only.")
        began = monotonic()
        loaded = load_demo(scale=scale, seed=seed, today=clock.today())
        if not loaded.counts:
            self._say(verbosity, "The demo is loaded already.")
            return
        # Statistics at once, not when autovacuum comes round: the first pages would wait for bad plans. Only the owner may.
        with connections["owner"].cursor() as cursor:
            cursor.execute("ANALYZE")
        counts = ", ".join(f"{count:,} {name}" for name, count in loaded.counts.items())
        self._say(verbosity, f"Demo loaded in {monotonic() - began:.1f} s: {counts}.")

    def _say(self, verbosity: int, line: str) -> None:
        if verbosity:
            self.stdout.write(line)

"""manage.py import_suites: task suites with the answers of models, out of a TOML file."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Role, User
from config import clock
from config.refusals import Refusal
from marketplace.importers.files import LARGEST
from marketplace.importers.own import BadRow
from marketplace.importers.suites import read
from marketplace.services.sourcing.suites import load_suites


class Command(BaseCommand):
    help = """Add task suites on which models are judged: cases, and what models answered to them.

The file is TOML. A suite has slug, name, task_area, about, criteria, and, if it has several, a version;
harness and produced_on stand in it or above all suites. A case has a prompt and answers:

  harness = "plain prompt, one try"
  [[suite]]
  slug = "contract-summaries"
  name = "Contract summaries"
  task_area = "documents"
  about = "Summaries of supply contracts."
  criteria = "Nothing left out that costs money; nothing made up."
  [[suite.case]]
  prompt = "Summarise this contract in five lines: ..."
  [suite.case.answers]
  claude-sonnet-4-5 = "..."
  "gpt-5@2025-08-07" = "..."

A model is named by its slug (its newest version), or slug@version. A suite that is there stays as it is:
give a changed one a new version. Votes and runs are recorded in the browser.

Example: manage.py import_suites contracts.toml --by sourcing@demo.example"""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the TOML file")
        parser.add_argument("--by", required=True, metavar="EMAIL", help="the sourcing lead who adds them")
        parser.add_argument(
            "--leave-out-unknown",
            action="store_true",
            help="leave out answers of models that the catalog lacks",
        )

    def handle(self, *_args: Any, file: Path, by: str, leave_out_unknown: bool, **_options: Any) -> None:
        user = User.objects.filter(email__iexact=by, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no user {by}; a {Role.SOURCING_LEAD.label.lower()} adds suites.")
        try:
            if file.stat().st_size > LARGEST:
                raise CommandError(f"{file} is larger than {LARGEST // 1024**2} MB: send it in parts.")
            done = load_suites(
                staged=read(file.read_bytes()), by=user, at=clock.now(), leave_out_unknown=leave_out_unknown
            )
        except (Refusal, BadRow, OSError) as refused:
            raise CommandError(f"Nothing was added: {refused}") from refused
        self.stdout.write(f"{len(done.suites)} suites, {done.cases} cases, {done.answers} answers added")
        if done.left:
            self.stdout.write(f"left as they are: {', '.join(done.left)}")
        if done.unknown:
            self.stdout.write(f"without the answers of: {', '.join(done.unknown)}")

"""manage.py parity_proof: prove a period or a plan version, keep the proof, and say what it found."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import clock
from config.refusals import Refusal
from quotas.models import ParityProof, ParityVerdict, PlanVersion
from quotas.selectors.periods import period_named
from quotas.services.parity import prove_period, prove_plan

FIRST = 10


class Command(BaseCommand):
    help = (
        "Prove that lines and rules treat both sides alike, and keep the proof. The exit code is 0 only when both verdicts are clean or"
        " excepted. Examples: manage.py parity_proof --period FY27-Q1; manage.py parity_proof --period FY27 --between path;"
        " manage.py parity_proof --plan fy27-field-plan --version 2 --between publisher:microsoft,anthropic"
    )

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        """Every command has a --version that tells Django's own; here it is the plan's."""
        return super().create_parser(*args, conflict_handler="resolve", **options)

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--period", help="FY27, FY27-H1, FY27-Q1 or FY27-M02")
        what.add_argument(
            "--plan", metavar="SLUG", help="A compensation plan; --version says which of its versions"
        )
        parser.add_argument(
            "--version", type=int, metavar="N", dest="number", help="Of the plan; the latest if left out"
        )
        parser.add_argument(
            "--between", default="origin", help="origin (default), path, or publisher:a,b with two slugs"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            proof, subject = self._prove(options)
        except Refusal as refused:
            raise CommandError("; ".join(problem.message for problem in refused.problems)) from refused
        found = proof.findings
        sides = " against ".join(found["sides"])
        self.stdout.write(f"{subject}, {sides}, {proof.starts} to before {proof.ends}")
        self.stdout.write(f"lines checked         {proof.lines_checked:,}")
        self.stdout.write(f"combinations checked  {proof.combinations_checked:,}")
        self._say_verdict("rules", proof.rules_verdict, found["rules"]["findings"])
        for finding in found["rules"]["findings"][:FIRST]:
            self._say_finding(finding["says"], finding)
        for proxy in found["rules"]["proxies"][:FIRST]:
            self.stdout.write(f"  proxy: {proxy['says']}")
        if history := found["history"]:
            self.stdout.write(
                f"  had it been in force from {history['starts']} to before {history['ends']}: {history['lines']:,} lines checked"
            )
            for finding in history["findings"][:FIRST]:
                self.stdout.write(
                    f"    {finding['says']} {finding['lines']:,} lines of {finding['deals']:,} deals"
                )
        self._say_verdict("eligibility", proof.eligibility_verdict, found["eligibility"]["findings"])
        for group in found["eligibility"]["findings"][:FIRST]:
            self._say_finding(
                f"{group['offerings_in_all']} {group['kind']} offerings of {', '.join(group['publishers'])} count {group['rate']},"
                f" the best {group['other_kind']} one {group['other']}, since {group['since'] or 'ever'}",
                group,
            )
        self.stdout.write(f"kept as proof {proof.pk}, rules {proof.rules_digest[:16]}")
        if ParityVerdict.REFUSED in (proof.rules_verdict, proof.eligibility_verdict):
            raise CommandError("Not equal.")

    def _prove(self, options: dict[str, Any]) -> tuple[ParityProof, str]:
        between, at = options["between"], clock.now()
        if options["period"]:
            period = period_named(options["period"])
            if period is None:
                raise CommandError(f"There is no period {options['period']}.")
            return prove_period(period_id=period.pk, between=between, by=None, at=at), period.name
        versions = (
            PlanVersion.objects.filter(plan__slug=options["plan"]).select_related("plan").order_by("-number")
        )
        if options["number"] is not None:
            versions = versions.filter(number=options["number"])
        version = versions.first()
        if version is None:
            raise CommandError("There is no such plan version.")
        return prove_plan(plan_version_id=version.pk, between=between, by=None, at=at), str(version)

    def _say_verdict(self, name: str, verdict: str, findings: list[Any]) -> None:
        self.stdout.write(
            f"{name:<22}{verdict} ({len(findings)} {'finding' if len(findings) == 1 else 'findings'})"
        )

    def _say_finding(self, says: str, finding: dict[str, Any]) -> None:
        covered = finding["exception"]
        self.stdout.write(f"  {'excepted' if covered else 'unequal'}: {says}")
        self.stdout.write(f"    {finding['lines']:,} lines of {finding['deals']:,} deals")
        if covered:
            self.stdout.write(
                f"    excepted until before {covered['ends']} by {covered['approved_by']}: {covered['reason']}"
            )

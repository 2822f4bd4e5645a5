"""Published statements, found where they matter: beside the publisher, the task and the policy that they are about."""

from collections.abc import Collection, Iterable
from typing import Final

from marketplace.models import Evaluation, Offering, PublicFact, Publisher

# Kinds that say something of the catalog; the others are about money between companies and stand with sourcing.
CATALOG_KINDS: Final = ("incentive_policy", "catalog_policy", "task_evaluation", "feature_binding")
FOOTING: Final = ("quota-parity", "quota-default", "marketplace-parity")
TASKS: Final = ("multi-model", "lock-in")


def facts_named(slugs: Collection[str]) -> list[PublicFact]:
    """In the order of *slugs*; what is not loaded is left out. 1 query."""
    found = {fact.slug: fact for fact in PublicFact.objects.filter(slug__in=slugs)}
    return [found[slug] for slug in slugs if slug in found]


def facts_about(publisher: Publisher) -> list[PublicFact]:
    """Statements of CATALOG_KINDS that name the publisher or one of its models. 2 queries."""
    models = Offering.objects.filter(publisher=publisher, model_version__isnull=False)
    words = {publisher.name.lower()} | {
        name.split()[0].lower() for name in models.values_list("model_version__model__name", flat=True)
    }
    return [
        fact
        for fact in PublicFact.objects.filter(kind__in=CATALOG_KINDS).order_by("paragraph", "id")
        if mentions(fact, words)
    ]


def task_findings(evaluations: Iterable[Evaluation]) -> dict[int, PublicFact]:
    """Evaluation id to the statement behind it, for those that have one. 1 query."""
    facts = list(PublicFact.objects.filter(kind="task_evaluation").order_by("id"))
    found = ((evaluation.pk, fact_behind(evaluation, facts)) for evaluation in evaluations)
    return {pk: fact for pk, fact in found if fact is not None}


def fact_behind(evaluation: Evaluation, facts: Iterable[PublicFact]) -> PublicFact | None:
    """The statement that a finding repeats: the same subject at the same place of the source, about the same task."""
    tasks = ("", evaluation.benchmark.lower(), evaluation.task_area.name.lower())
    for fact in facts:
        if (
            fact.subject == evaluation.subject
            and citation(fact) == evaluation.source
            and fact.task.lower() in tasks
        ):
            return fact
    return None


def citation(fact: PublicFact) -> str:
    """Source, paragraph and reference numbers, as evidence cites it."""
    said = f"{fact.source}, paragraph {fact.paragraph}"
    if not fact.cited:
        return said
    plural = "s" if len(fact.cited) > 1 else ""
    return f"{said}, reference{plural} {', '.join(str(number) for number in fact.cited)}"


def mentions(fact: PublicFact, words: Collection[str]) -> bool:
    """Whether a statement names one of *words*, each in lower case."""
    told = f"{fact.subject} {fact.counterpart}".lower().replace("'s", "").replace(":", "")
    padded = f" {told} "
    return any(f" {word} " in padded for word in words)

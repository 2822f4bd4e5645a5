"""What the pages of quotas write."""

from typing import Any

from django import template

from config import formats
from quotas.models import Measure
from quotas.selectors.quota_planning import PlanLine
from quotas.views import Writer

register = template.Library()


@register.simple_tag
def absolute(measure: Measure, minor: int) -> str:
    """An amount without its sign: the sentence around it says which way it goes."""
    write = Writer.of(measure)
    return formats.measured(abs(minor), write.code, write.exponent)


@register.simple_tag
def fixed_text(asked: Any, line: PlanLine) -> str:
    """What was entered to fix a part of a proposal."""
    return str(asked.fixed.get(line.key, ""))

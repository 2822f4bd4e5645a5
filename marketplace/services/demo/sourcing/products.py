"""Our products, their features and two years of what powered them. What is not public is labelled assumed."""

from collections.abc import Mapping
from datetime import datetime

from accounts.models import User
from marketplace.services.sourcing.portfolio import load_portfolio


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    return load_portfolio(by=people["sourcing"], at=at).added

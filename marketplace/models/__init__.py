"""The catalog's facts."""

from marketplace.models.eligibility import EligibilityDecision, Program, ScopeLevel
from marketplace.models.evaluations import Evaluation
from marketplace.models.models_on_offer import (
    AiModel,
    CommercialPath,
    Lifecycle,
    ModelVersion,
    Offering,
    OfferingKind,
    OfferingRevision,
    Plan,
    PricingForm,
    Publication,
    TaskArea,
)
from marketplace.models.prices import Currency, PriceRow, PriceVersion
from marketplace.models.publishers import Customer, Origin, Publisher, PublisherMembership
from marketplace.models.sourcing import PublicFact

__all__ = [
    "AiModel",
    "CommercialPath",
    "Currency",
    "Customer",
    "EligibilityDecision",
    "Evaluation",
    "Lifecycle",
    "ModelVersion",
    "Offering",
    "OfferingKind",
    "OfferingRevision",
    "Origin",
    "Plan",
    "PriceRow",
    "PriceVersion",
    "PricingForm",
    "Program",
    "PublicFact",
    "Publication",
    "Publisher",
    "PublisherMembership",
    "ScopeLevel",
    "TaskArea",
]

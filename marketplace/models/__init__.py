"""The catalog's facts."""

from marketplace.models.aliases import Alias
from marketplace.models.change_sets import (
    ChangeItem,
    ChangeSet,
    ChangeSetState,
    Channel,
    Finding,
    Hold,
    Operation,
    Severity,
)
from marketplace.models.commitments import CustomerCommitment
from marketplace.models.eligibility import EligibilityDecision, Program, ScopeLevel
from marketplace.models.evaluations import Evaluation
from marketplace.models.imports import (
    CatalogImport,
    Discrepancy,
    DiscrepancyState,
    ImportSource,
    ImportState,
    RowOutcome,
    StagedRow,
)
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
from marketplace.models.private_offers import PrivateOffer, PrivateOfferState
from marketplace.models.publishers import Customer, Origin, Publisher, PublisherMembership
from marketplace.models.search import FacetTerm, OfferingIndex, SearchWord
from marketplace.models.sourcing import PublicFact
from marketplace.models.telling import (
    CatalogChange,
    DeliveryState,
    FeedAddress,
    LifecycleMove,
    OfferingRequest,
    RequestState,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)

__all__ = [
    "AiModel",
    "Alias",
    "CatalogChange",
    "CatalogImport",
    "ChangeItem",
    "ChangeSet",
    "ChangeSetState",
    "Channel",
    "CommercialPath",
    "Currency",
    "Customer",
    "CustomerCommitment",
    "DeliveryState",
    "Discrepancy",
    "DiscrepancyState",
    "EligibilityDecision",
    "Evaluation",
    "FacetTerm",
    "FeedAddress",
    "Finding",
    "Hold",
    "ImportSource",
    "ImportState",
    "Lifecycle",
    "LifecycleMove",
    "ModelVersion",
    "Offering",
    "OfferingIndex",
    "OfferingKind",
    "OfferingRequest",
    "OfferingRevision",
    "Operation",
    "Origin",
    "Plan",
    "PriceRow",
    "PriceVersion",
    "PricingForm",
    "PrivateOffer",
    "PrivateOfferState",
    "Program",
    "PublicFact",
    "Publication",
    "Publisher",
    "PublisherMembership",
    "RequestState",
    "RowOutcome",
    "ScopeLevel",
    "SearchWord",
    "Severity",
    "StagedRow",
    "TaskArea",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSecret",
]

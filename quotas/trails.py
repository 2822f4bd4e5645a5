"""Where the rows that the audit trail names have their pages, in the catalog and in crediting."""

from typing import Any, Final

from django.urls import NoReverseMatch, reverse

from accounts.models import AuditEvent
from accounts.trail import Page, leads


def _row(event: AuditEvent) -> dict[str, Any]:
    return event.after or event.before or {}


def _by(name: str, column: str = "id") -> Page:
    """The page of that URL name, whose one argument stands in a column of the row."""

    def to(event: AuditEvent) -> str:
        value = event.row if column == "id" else _row(event).get(column)
        if not value:
            return ""
        try:
            return reverse(name, args=[value])
        except NoReverseMatch:  # a value that no page has
            return ""

    return to


def _list(name: str) -> Page:
    return lambda _event: reverse(name)


PAGES: Final[dict[str, Page]] = {
    "quotas_deal": _by("quotas:deal"),
    "quotas_dealversion": _by("quotas:deal", "deal_id"),
    "quotas_dealevent": _by("quotas:deal", "deal_id"),
    "quotas_dealapproval": _by("quotas:deal", "deal_id"),
    "quotas_adjustment": _by("quotas:adjustment"),
    "quotas_dispute": _by("quotas:dispute"),
    "quotas_disputemessage": _by("quotas:dispute", "dispute_id"),
    "quotas_period": _by("quotas:period", "name"),
    "quotas_team": _by("quotas:board", "slug"),
    "quotas_salesimport": _by("quotas:import"),
    "quotas_statement": _by("quotas:statement"),
    "quotas_earningentry": _by("quotas:earning"),
    "quotas_periodclose": _list("quotas:periods"),
    "quotas_fiscalcalendar": _list("quotas:periods"),
    "quotas_quota": _list("quotas:planning"),
    "quotas_quotarelief": _list("quotas:reliefs"),
    "quotas_delegation": _list("quotas:delegations"),
    "quotas_approvallimit": _list("quotas:delegations"),
    "quotas_straightthroughpolicy": _list("quotas:policies"),
    "quotas_draw": _list("quotas:draws"),
    "quotas_compplan": _list("quotas:plans"),
    "quotas_planversion": _list("quotas:plans"),
    "quotas_planassignment": _list("quotas:plans"),
    "quotas_ruleversion": _list("quotas:plans"),
    "marketplace_customercommitment": _list("quotas:accounts"),
    "marketplace_offering": _by("marketplace:offering", "slug"),
    "marketplace_publisher": _by("marketplace:publisher", "slug"),
    "marketplace_changeset": _by("marketplace:change-set"),
    "marketplace_eligibilitydecision": _list("marketplace:decisions"),
}

for _table, _page in PAGES.items():
    leads(_table, _page)

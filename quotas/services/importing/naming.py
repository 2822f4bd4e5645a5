"""Names that a file uses to ids: reps, accounts, offerings and their plans, looked up once each; and making those that are missing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Q

from config import bulk
from config.names import fold
from marketplace.models import Alias, Customer, Offering, Plan
from quotas.importers.maps import Wrong
from quotas.selectors.visibility import deals_for
from quotas.services.importing.context import Context
from quotas.services.importing.creating import AccountFacts, OfferingFacts, RepFacts
from quotas.services.importing.directory import People
from quotas.services.importing.refused import Refused
from quotas.services.importing.sales import Sale


@dataclass
class Names:
    """What names mean. Each answer is an id, or what is wrong with the name; the same name is asked about once."""

    context: Context
    owners: dict[str, int | Wrong] = field(default_factory=dict)
    accounts: dict[str, int | Wrong] = field(default_factory=dict)
    offerings: dict[str, int | Wrong] = field(default_factory=dict)
    plans: dict[tuple[int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._people = People(People.stored())

    def learn(self, sales: Sequence[Sale]) -> None:
        """Look up, or make, what these sales name. At most 6 queries for the names that are new, beside the making."""
        self._find_accounts(sales)
        self._find_offerings(sales)
        if self.context.options.create_missing:
            self._create(sales)

    def owner(self, name: str) -> int | Wrong:
        if name not in self.owners:
            self.owners[name] = self._rep_named(name)
        return self.owners[name]

    def plan(self, offering_id: int, name: str) -> int | None:
        return self.plans.get((offering_id, fold(name)))

    def originals(self, sales: Iterable[Sale]) -> dict[str, int]:
        """The deals that refunds among these name, by their external id."""
        ids = {sale.first["refunds"] for sale in sales if sale.first.get("refunds")}
        if not ids:
            return {}
        known = deals_for(self.context.by, self.context.today).filter(
            bulk.any_of("external_id", ids, kind="text"), source=self.context.mapping.source
        )
        return dict(known.values_list("external_id", "pk"))

    def _rep_named(self, name: str) -> int | Wrong:
        try:
            person = self._people.named(name)
        except Refused as why:
            return Wrong("", "", *why.problem)
        if person is None:
            return Wrong(
                "",
                "",
                "unknown_rep",
                f"No rep is called {name}. Import the reps first, or have them created.",
            )
        return person.id

    def _find_accounts(self, sales: Iterable[Sale]) -> None:
        """1 query for the names that are new."""
        names = {sale.first["account"] for sale in sales} - self.accounts.keys()
        if not names:
            return
        found: dict[str, list[int]] = {}
        for pk, slug, name in Customer.objects.filter(
            Q(bulk.any_of("name", names, kind="text")) | Q(bulk.any_of("slug", names, kind="text"))
        ).values_list("pk", "slug", "name"):
            for known in {slug, name} & names:
                found.setdefault(known, []).append(pk)
        for name in names:
            self.accounts[name] = _one_of(found.get(name, ()), "account", name)

    def _find_offerings(self, sales: Iterable[Sale]) -> None:
        """By name, slug or alias. 3 queries for the names that are new, and 1 for the plans of what was found."""
        names = {row.values["offering"] for sale in sales for row in sale.rows} - self.offerings.keys()
        if not names:
            return
        found: dict[str, set[int]] = {}
        for pk, slug, name in Offering.objects.filter(Q(name__in=names) | Q(slug__in=names)).values_list(
            "pk", "slug", "name"
        ):
            for known in {slug, name} & names:
                found.setdefault(known, set()).add(pk)
        unknown = names - found.keys()
        for name, pk in Alias.objects.filter(
            name__in=unknown, offering__isnull=False, effective__contains=self.context.today
        ).values_list("name", "offering_id"):
            found.setdefault(name, set()).add(pk)
        for name in names:
            self.offerings[name] = _one_of(found.get(name, ()), "offering", name)
        self._find_plans({pk for pks in found.values() for pk in pks})

    def _find_plans(self, offering_ids: Iterable[int]) -> None:
        for pk, offering, slug, name in Plan.objects.filter(offering__in=list(offering_ids)).values_list(
            "pk", "offering_id", "slug", "name"
        ):
            self.plans[offering, fold(name)] = self.plans[offering, slug] = pk

    def _create(self, sales: Sequence[Sale]) -> None:
        """Make what the rows name and Parity does not know; what cannot be made is refused with its rows."""
        creator = self.context.creator
        reps: dict[str, RepFacts] = {}
        for sale in sales:
            names = [name for name, _ in sale.first.get("splits") or () if name]
            for name in dict.fromkeys([sale.first["owner"], *names]):
                if name not in reps and _is_unknown(self.owner(name)):
                    reps[name] = _rep_facts(name, sale.first if name == sale.first["owner"] else {})
        accounts = {
            sale.first["account"]: AccountFacts(
                country=sale.first.get("account_country") or "",
                segment=sale.first.get("segment") or "",
                region=sale.first.get("region") or "",
                territory=sale.first.get("territory") or "",
            )
            for sale in sales
            if _is_unknown(self.accounts[sale.first["account"]])
        }
        offerings = {
            row.values["offering"]: OfferingFacts(
                publisher=row.values.get("publisher") or "", family=row.values.get("family") or ""
            )
            for sale in sales
            for row in sale.rows
            if _is_unknown(self.offerings[row.values["offering"]])
        }
        if reps:
            self.owners |= creator.reps(reps)
            self._refused(self.owners, reps)
        if accounts:
            self.accounts |= creator.accounts(accounts)
            self._refused(self.accounts, accounts)
        if offerings:
            self.offerings |= creator.offerings(offerings)
            self._refused(self.offerings, offerings)

    def _refused(self, known: dict[str, int | Wrong], wanted: Iterable[str]) -> None:
        """Keep what could not be made with its name."""
        for name in wanted:
            if name in self.context.creator.refused:
                known[name] = Wrong("", "", *self.context.creator.refused[name])


def _one_of(found: Iterable[int], what: str, name: str) -> int | Wrong:
    ids = set(found)
    if len(ids) == 1:
        return ids.pop()
    if ids:
        return Wrong(
            "",
            "",
            f"ambiguous_{what}",
            f"{len(ids)} {what}s are called {name}: give the short name that its address ends with.",
        )
    return Wrong(
        "",
        "",
        f"unknown_{what}",
        f"No {what} is called {name}. Have it created, or translate the name in the map.",
    )


def _is_unknown(found: int | Wrong) -> bool:
    return isinstance(found, Wrong) and found.code.startswith("unknown_")


_NUMBER: Final = re.compile(r"[0-9]{1,30}")


def _rep_facts(name: str, values: Mapping[str, Any]) -> RepFacts:
    """What the row says of a rep that is made; an owner that is a number or an address is that, and no name."""
    is_number, is_address = bool(_NUMBER.fullmatch(name)), "@" in name
    return RepFacts(
        name=values.get("owner_name") or name,
        employee_no=name if is_number else "",
        email=name if is_address else "",
        team=values.get("team") or "",
        manager=values.get("manager") or "",
    )

"""A CRM's export for the demo: opportunities as Salesforce writes them, most of them won, a few that Parity cannot take."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO

FILE_NAME = "report-opportunities-august.csv"
HEAD = (
    "Opportunity ID", "Opportunity Name", "Account Name", "Opportunity Owner", "Stage", "Amount",
    "Amount Currency", "Close Date", "Product Name", "Last Modified Date",
)  # fmt: skip
# By the number of the row, so that it is the same file every time: still open, lost, somebody who is no rep, an account nobody knows.
OPEN, LOST, NO_REP, NO_ACCOUNT = {2, 17, 29}, {9, 23}, {3}, {5, 31}
MAP = """
kind = "deals"
source = "salesforce"

[formats]
date = "MM/DD/YYYY"

[columns]
external_id = "Opportunity ID"
title = "Opportunity Name"
account = "Account Name"
owner = "Opportunity Owner"
stage = "Stage"
amount = "Amount"
currency = "Amount Currency"
close_date = "Close Date"
offering = "Product Name"
changed_on = "Last Modified Date"

[values.stage]
"Closed Won" = "approved"
"Closed Lost" = "cancelled"
"*" = "skip"
"""


@dataclass(frozen=True)
class Sold:
    """What an opportunity of the file is made of: the same as some deal that is there. amount_minor: US cents."""

    account: str
    owner: str
    offering: str
    amount_minor: int
    closed: date


def opportunities(sold: Sequence[Sold]) -> bytes:
    """The file, UTF-8. Each deal comes a second time in life, somewhat larger."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEAD)
    for number, each in enumerate(sold, start=1):
        stage = "Negotiation/Review" if number in OPEN else "Closed Lost" if number in LOST else "Closed Won"
        cents = each.amount_minor * (100 + number) // 100
        day = f"{each.closed:%m/%d/%Y}"
        writer.writerow(
            [
                f"0065g00000{number:05d}AAB",
                f"{each.account}: {each.offering}",
                "Fabrikam Nowhere" if number in NO_ACCOUNT else each.account,
                "Jo Bloggs" if number in NO_REP else each.owner,
                stage,
                f"{cents // 100}.{cents % 100:02d}",
                "USD",
                day,
                each.offering,
                day,
            ]
        )
    return out.getvalue().encode()

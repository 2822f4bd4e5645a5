"""What must hold of the ledger, whatever happened. Each statement yields the rows that break it; none is good."""

from typing import Any

from django.db import connection

INVARIANTS: dict[str, str] = {
    "a reversal negates exactly one entry": """
        select r.entry_id, r.reversed_by_id from quotas_reversal r
        left join quotas_creditentry e on e.id = r.entry_id
        left join quotas_creditentry x on x.id = r.reversed_by_id
        where e.id is null or x.id is null or x.reverses_id is distinct from e.id or x.amount_minor <> -e.amount_minor
          or (x.deal_id, x.line_no, x.rep_id, x.team_id, x.measure_id, x.component, x.rule_id, x.origin_period_id)
             is distinct from (e.deal_id, e.line_no, e.rep_id, e.team_id, e.measure_id, e.component, e.rule_id, e.origin_period_id)""",
    "every reversing entry is registered once": """
        select e.id from quotas_creditentry e left join quotas_reversal r on r.reversed_by_id = e.id
        where (e.reverses_id is null) <> (r.entry_id is null) or r.entry_id is distinct from e.reverses_id""",
    "an entry's id is unique in the whole ledger": """
        select id from quotas_creditentry group by id having count(*) > 1""",
    "at most one live entry of a kind": """
        select e.deal_id, e.line_no, e.rep_id, e.measure_id, e.component, e.rule_id from quotas_creditentry e
        where e.reverses_id is null and not exists (select from quotas_reversal r where r.entry_id = e.id)
        group by e.deal_id, e.line_no, e.rep_id, e.measure_id, e.component, e.rule_id having count(*) > 1""",
    "a deal that is not approved nets to zero in every measure": """
        select e.deal_id, e.measure_id, sum(e.amount_minor) from quotas_creditentry e join quotas_deal d on d.id = e.deal_id
        where d.state <> 'approved' or d.held group by e.deal_id, e.measure_id having sum(e.amount_minor) <> 0""",
    "the origin period contains the credit date": """
        select e.id, e.credit_date, p.name from quotas_creditentry e left join quotas_period p on p.id = e.origin_period_id
        where p.id is null or p.grain <> 'M' or e.credit_date < p.starts or e.credit_date >= p.ends""",
    "an entry is posted in its origin period or later": """
        select e.id from quotas_creditentry e
        join quotas_period o on o.id = e.origin_period_id join quotas_period p on p.id = e.posting_period_id
        where p.starts < o.starts or p.grain <> 'M'""",
    "totals as reported equal the ledger": """
        with told as (
          select g.period_id, e.measure_id, e.team_id::bigint team_id, e.rep_id::bigint rep_id,
            coalesce(sum(e.amount_minor) filter (where e.receiver_class = 1), 0) direct, coalesce(sum(e.amount_minor) filter (where e.receiver_class = 2), 0) overlay
          from quotas_creditentry e join quotas_period p on p.id = e.posting_period_id
          cross join lateral (values (p.id), (p.quarter_id), (p.half_id), (p.year_id)) g(period_id)
          group by g.period_id, e.measure_id, e.team_id, e.rep_id)
        select coalesce(t.period_id, k.period_id), coalesce(t.measure_id, k.measure_id), coalesce(t.team_id, k.team_id), coalesce(t.rep_id, k.rep_id),
          t.direct, k.direct_minor, t.overlay, k.overlay_minor
        from told t full join (select * from quotas_credittotal where basis = 1) k
          on k.period_id = t.period_id and k.measure_id = t.measure_id and k.team_id = t.team_id and k.rep_id = t.rep_id
        where coalesce(t.direct, 0) <> coalesce(k.direct_minor, 0) or coalesce(t.overlay, 0) <> coalesce(k.overlay_minor, 0)""",
    "totals restated equal the ledger": """
        with told as (
          select e.origin_period_id::bigint period_id, e.measure_id, e.team_id::bigint team_id, e.rep_id::bigint rep_id,
            coalesce(sum(e.amount_minor) filter (where e.receiver_class = 1), 0) direct, coalesce(sum(e.amount_minor) filter (where e.receiver_class = 2), 0) overlay
          from quotas_creditentry e group by e.origin_period_id, e.measure_id, e.team_id, e.rep_id)
        select coalesce(t.period_id, k.period_id), coalesce(t.measure_id, k.measure_id), coalesce(t.team_id, k.team_id), coalesce(t.rep_id, k.rep_id),
          t.direct, k.direct_minor, t.overlay, k.overlay_minor
        from told t full join (select * from quotas_credittotal where basis = 2) k
          on k.period_id = t.period_id and k.measure_id = t.measure_id and k.team_id = t.team_id and k.rep_id = t.rep_id
        where coalesce(t.direct, 0) <> coalesce(k.direct_minor, 0) or coalesce(t.overlay, 0) <> coalesce(k.overlay_minor, 0)""",
    "every line of an approved deal has credits or a reason": """
        select d.id, l.line_no from quotas_deal d join quotas_dealline l on l.version_id = d.credited_version_id
        where d.state = 'approved'
          and not exists (
            select from quotas_creditentry e where e.deal_id = d.id and e.line_no = l.line_no and e.reverses_id is null
              and not exists (select from quotas_reversal r where r.entry_id = e.id))
          and not exists (select from quotas_uncreditedline u where u.deal_id = d.id and u.line_no = l.line_no)""",
    "shares add up to one million": """
        select version_id, sum(ppm) from quotas_dealshare group by version_id having sum(ppm) <> 1000000""",
    "nobody approves a deal in which they have a share": """
        select d.id, d.decided_by_id from quotas_deal d
        join quotas_dealshare s on s.version_id = d.credited_version_id join quotas_rep r on r.id = s.rep_id
        where d.state = 'approved' and r.user_id = d.decided_by_id""",
    "every posting that wrote has its key": """
        select distinct e.posting_id from quotas_creditentry e left join quotas_posting p on p.id = e.posting_id where p.id is null""",
}


def broken(*, first: int = 1) -> dict[str, list[tuple[Any, ...]]]:
    """The invariants that do not hold, by name, each with the first rows that break it. Empty is a clean ledger."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with connection.cursor() as cursor:
        for name, statement in INVARIANTS.items():
            cursor.execute(f"select * from ({statement}) x limit %s", [first])  # noqa: S608 -- our own statements
            rows = cursor.fetchall()
            if rows:
                found[name] = rows
    return found

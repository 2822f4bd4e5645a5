"""What the figures are measured on: facts in the proportions of a large vendor, made in SQL from row numbers alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from django.db import connection, connections

from accounts.models import Role
from marketplace.models import CommercialPath, Offering, Origin
from quotas.models import PlanVersion, RuleVersion, SalesRole
from tests import make

REPS = 100_000
TEAMS = 1_000
OFFERINGS = 2_000
RULES = 50
LIVE = 400  # submitted deals of three lines and four shares, for what is measured one deal at a time
MIDDLE = date(2027, 1, 1)


def server_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("show server_version")
        row = cursor.fetchone()
        return str(row[0]) if row else ""


def owner(statement: str, *parameters: int | str) -> None:
    """Run as the owner, outside the application's limits: building the stage is not what is measured."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(statement, parameters or None)


def build(*, lines: int) -> None:
    """A year of deals of three lines each, 1.3 shares on average, in two measures, 50 rules by date, 100,000 reps; nothing posted yet."""
    make.fiscal_year(year=2027, states=dict.fromkeys(range(1, 13), "open"))
    for code in ("USD", "EUR", "GBP", "JPY", "KWD"):
        make.currency(code=code)
    for code, rate in (("EUR", "1.0837"), ("GBP", "1.27"), ("JPY", "0.0067"), ("KWD", "3.25")):
        make.fx(code=code, rate=rate)
    bookings, annual = make.measure(slug="ai-bookings"), make.measure(slug="annual", basis="annualised_value")
    publishers = [make.publisher(origin=Origin.FIRST if n == 0 else Origin.THIRD) for n in range(10)]
    make.decision(path=CommercialPath.SOLD_BY_CLOUD)
    make.decision(path=CommercialPath.MARKETPLACE)
    sample = [make.offering(publisher=publisher) for publisher in publishers]
    make.plan_version(
        rules=[
            make.Rule(
                measure,
                slug=f"rule-{measure.slug}-{n}",
                exclusive=n % 12 != 11,
                factor_ppm=50_000 if n % 12 == 11 else 1_000_000 + 10_000 * (n % 3),
                priority=0 if n == 0 else n % 7,
                effective=_half_of_the_year(n),
                cap_minor=2_000_000_00 if n % 8 == 3 and n % 12 != 11 else None,
                publishers=None if n == 0 else publishers[n % 10 : n % 10 + 1] if n % 3 == 0 else None,
                segments=None if n == 0 or n % 3 else [("enterprise", "corporate", "public-sector")[n % 3]],
                regions=None if n == 0 else [("americas", "emea", "asia")[n % 3]] if n % 2 else None,
                roles=None
                if n == 0
                else [(SalesRole.ACCOUNT_EXECUTIVE, SalesRole.SPECIALIST)[n % 2]]
                if n % 4 == 0
                else None,
            )
            for measure in (bookings, annual)
            for n in range(RULES // 2)
        ]
    )
    admin = make.user(role=Role.COMP_ADMIN)
    top = make.team(name="Company", slug="company")
    _reps(top.pk)
    _offerings(sample)
    owner(
        "insert into marketplace_customer (slug, name, segment, region, country, industry)"
        " select 'c-' || n, 'Customer ' || n, (array['enterprise','corporate','public-sector'])[1 + n % 3],"
        " (array['americas','emea','asia'])[1 + n % 3], 'US', '' from generate_series(1, 20000) n"
    )
    with _unchecked("quotas_deal", "quotas_dealversion", "quotas_dealline", "quotas_dealshare"):
        _deals(lines // 3, admin.pk)
    with _unchecked():
        _live_deals(admin.pk)
    owner("analyze")


@contextmanager
def _unchecked(*filled: str) -> Iterator[None]:
    """Rows go in without triggers and foreign keys, and the indexes of the tables that are *filled* are built at the end."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index i where indrelid = any (%s::regclass[])"
            " and not exists (select from pg_constraint c where c.conindid = i.indexrelid)",
            [list(filled)],
        )
        indexes = cursor.fetchall()
    for name, _definition in indexes:
        owner(f"drop index {name}")
    owner("set session_replication_role = replica")
    yield
    owner("reset session_replication_role")
    owner("set maintenance_work_mem = '512MB'")
    for _name, definition in indexes:
        owner(definition)
    owner("reset maintenance_work_mem")


def draft_of(published: PlanVersion, *, every: int) -> PlanVersion:
    """A draft with the same rules, of which every so manieth pays five points more."""
    draft = PlanVersion.objects.create(
        plan=published.plan,
        number=1 + PlanVersion.objects.filter(plan=published.plan).count(),
        effective=published.effective,
        drafted_by=published.drafted_by,
        drafted_at=published.drafted_at,
    )
    rules = list(published.rules.order_by("pk"))
    for n, rule in enumerate(rules):
        rule.pk, rule.plan_version = None, draft
        rule.factor_ppm += 50_000 if n % every == 0 else 0
    RuleVersion.objects.bulk_create(rules)
    return draft


def _half_of_the_year(n: int) -> make.Span | None:
    """Half of the rules hold for the whole year, the others for one half of it; of two SPIFFs of a measure each has one."""
    half = n // 12 % 2 if n % 12 == 11 else {1: 0, 3: 1}.get(n % 4)
    return None if half is None else (None, MIDDLE) if half == 0 else (MIDDLE, None)


def _reps(top: int) -> None:
    owner(
        f"insert into quotas_team (slug, name, cost_centre) select 't-' || n, 'Team ' || n, '' from generate_series(1, {TEAMS}) n"
    )
    owner(
        "insert into quotas_teamplacement (team_id, parent_id, effective, recorded_at)"
        f" select id, {top}, daterange(null, null), now() from quotas_team where slug like 't-%'"
    )
    owner(
        f"insert into quotas_rep (slug, name, employee_no) select 'r-' || n, 'Rep ' || n, '' from generate_series(1, {REPS}) n"
    )
    owner(
        "insert into quotas_teammembership (rep_id, team_id, role, effective, recorded_at)"
        " select r.id, t.id, (array['account_executive','specialist','customer_success'])[1 + r.id % 3], daterange(null, null), now()"
        f" from quotas_rep r join quotas_team t on t.slug = 't-' || (1 + r.id % {TEAMS}) where r.slug like 'r-%'"
    )


def _offerings(sample: list[Offering]) -> None:
    columns = "kind, publisher_id, model_version_id, family, summary, commercial_path, path_basis, path_assumed, publication, available_on, revision"
    owner(
        f"insert into marketplace_offering (slug, name, {columns})"
        f" select 'o-' || n, 'Offering ' || n, {', '.join('o.' + c.strip() for c in columns.split(','))}"
        f" from generate_series(1, {OFFERINGS}) n join marketplace_offering o on o.id = {sample[0].pk} + n % {len(sample)}"
    )
    owner(
        "insert into marketplace_offeringrevision (offering_id, number, body, recorded_at)"
        " select id, 1, '{}', now() from marketplace_offering where slug like 'o-%'"
    )


def _live_deals(by: int) -> None:
    """Deals that are approved one at a time: three lines, four shares, in August."""
    owner(
        "insert into quotas_deal (source, external_id, owner_id, customer_id, calendar_id, state, held, revision, created_by_id, created_at)"
        " select 'live', n::text, r.id, c.id, (select min(id) from quotas_fiscalcalendar), 'draft', false, 1, %s, now()"
        f" from generate_series(1, {LIVE}) n"
        f" join (select id, row_number() over (order by id) k from quotas_rep where slug like 'r-%%') r on r.k = 1 + n * 7919::bigint %% {REPS}"
        " join (select id, row_number() over (order by id) k from marketplace_customer where slug like 'c-%%') c on c.k = 1 + n %% 20000",
        by,
    )
    owner(
        "insert into quotas_dealversion (deal_id, number, kind, title, close_date, currency_id, segment, region, new_customer, recorded_by_id, recorded_at, reason)"
        " select d.id, 1, 'new_business', '', date '2026-08-01' + (d.id % 28)::int, (array['USD','EUR'])[1 + d.id % 2], c.segment, c.region, false, d.created_by_id, now(), ''"
        " from quotas_deal d join marketplace_customer c on c.id = d.customer_id where d.source = 'live'"
    )
    owner(
        "insert into quotas_dealline (version_id, line_no, offering_id, offering_revision_id, amount_minor, quantity, term_months)"
        " select v.id, l, o.id, o.revision, 100 + (v.id * 7919 + l * 104729) % 50000000, null, 12"
        " from quotas_dealversion v join quotas_deal d on d.id = v.deal_id and d.source = 'live' cross join generate_series(1, 3) l"
        " join (select x.id, r.id revision, row_number() over (order by x.id) k from marketplace_offering x"
        "   join marketplace_offeringrevision r on r.offering_id = x.id where x.slug like 'o-%')"
        f" o on o.k = 1 + (v.id * 3 + l) % {OFFERINGS}"
    )
    owner(
        "insert into quotas_dealshare (version_id, ordinal, rep_id, ppm)"
        " select v.id, s, r.id, (array[400001, 300000, 199999, 100000])[s]"
        " from quotas_dealversion v join quotas_deal d on d.id = v.deal_id and d.source = 'live' cross join generate_series(1, 4) s"
        f" join (select id, row_number() over (order by id) k from quotas_rep where slug like 'r-%') r on r.k = 1 + (v.id * 7919 + s * 13) % {REPS}"
    )
    owner(
        "update quotas_deal d set latest_version_id = v.id from quotas_dealversion v where v.deal_id = d.id and d.source = 'live'"
    )


def _deals(deals: int, by: int) -> None:
    """The first deals of all: each has the number of its only version, so none is written twice."""
    owner(
        "insert into quotas_deal (id, source, external_id, owner_id, customer_id, calendar_id, state, held, revision, created_by_id, created_at, latest_version_id, credited_version_id)"
        " overriding system value"
        " select n, 'bench', n::text, r.id, c.id, (select min(id) from quotas_fiscalcalendar), 'approved', false, 1, %s, now(), n, n"
        f" from generate_series(1, {deals}) n"
        f" join (select id, row_number() over (order by id) k from quotas_rep where slug like 'r-%%') r on r.k = 1 + n * 7919::bigint %% {REPS}"
        " join (select id, row_number() over (order by id) k from marketplace_customer where slug like 'c-%%') c on c.k = 1 + n %% 20000",
        by,
    )
    owner(
        "insert into quotas_dealversion (id, deal_id, number, kind, title, close_date, currency_id, segment, region, new_customer, recorded_by_id, recorded_at, reason)"
        " overriding system value"
        " select d.id, d.id, 1, (array['new_business','expansion','renewal'])[1 + d.id % 3], '', date '2026-07-01' + (d.id * 31 % 365)::int,"
        " (array['USD','USD','USD','EUR','GBP','JPY','KWD'])[1 + d.id % 7], c.segment, c.region, d.id % 5 = 0, d.created_by_id, now(), ''"
        " from quotas_deal d join marketplace_customer c on c.id = d.customer_id where d.source = 'bench'"
    )
    for table in ("quotas_deal", "quotas_dealversion"):
        owner(f"select setval(pg_get_serial_sequence('{table}', 'id'), {deals})")
    owner(
        "insert into quotas_dealline (version_id, line_no, offering_id, offering_revision_id, amount_minor, quantity, term_months)"
        " select v.id, l, o.id, o.revision, 100 + (v.id * 7919 + l * 104729) % 50000000, null, (array[12, 24, 36])[1 + v.id % 3]"
        " from quotas_dealversion v join quotas_deal d on d.id = v.deal_id and d.source = 'bench' cross join generate_series(1, 3) l"
        " join (select x.id, r.id revision, row_number() over (order by x.id) k from marketplace_offering x"
        "   join marketplace_offeringrevision r on r.offering_id = x.id where x.slug like 'o-%')"
        f" o on o.k = 1 + (v.id * 3 + l) % {OFFERINGS}"
    )
    owner(
        "insert into quotas_dealshare (version_id, ordinal, rep_id, ppm)"
        " select v.id, s, r.id, case when n.shares = 1 then 1000000 when n.shares = 2 then (array[666667, 333333])[s] else (array[500001, 300000, 199999])[s] end"
        " from quotas_dealversion v join quotas_deal d on d.id = v.deal_id and d.source = 'bench'"
        " cross join lateral (select case when v.id % 10 < 8 then 1 when v.id % 10 = 8 then 2 else 3 end shares) n"
        " cross join lateral generate_series(1, n.shares) s"
        f" join (select id, row_number() over (order by id) k from quotas_rep where slug like 'r-%') r on r.k = 1 + (v.id * 7919 + s * 13) % {REPS}"
    )

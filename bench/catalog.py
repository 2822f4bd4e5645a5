"""The catalog at 10,000 offerings with 60,000 price rows: what a page, its counts and a search take.

Page and counts are whole answers through Django's test client, middleware, template and all; the floor is a bare view
that reads one row by its key. A search is the time of its statements in the database, each run again by itself with the
same values; the floor is the same read of one row.
"""

import statistics
from collections.abc import Callable
from functools import partial

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts.models import Role
from bench import data
from bench.figures import Figure, database_ms, seconds
from marketplace.models import CommercialPath, EligibilityDecision, Offering, Program
from marketplace.services.indexing import reindex
from tests import make

OFFERINGS = 10_000
RUNS = 15

# As people set filters; each is measured as often, and a figure is the median of them all.
PAGES = (
    "",
    "?task=coding&ordering=evidence",
    "?eligible=quota&region=eu&ordering=input_price",
    "?origin=third&capability=reasoning,tool_call&min_context=100000&max_input_price=5",
    "?lifecycle=generally_available,legacy&as_of=2025-10-01",
    "?search=nova+pro&ordering=relevance",
)
FACETS = (
    "",
    "?task=coding",
    "?eligible=quota&region=eu",
    "?search=nova",
    "?max_input_price=5&as_of=2025-10-01",
)
SEARCHES = ("nova pro", "a", "zenith 4 mini", "orion", "publisher 7", "nvoa pro", "qqqq zzzz", "atlas45")

FIRST_WORDS = "array['Nova','Atlas','Orion','Lyra','Zenith','Quartz','Cobalt','Sable','Ember','Willow','Falcon','Heron','Marlin','Basalt','Juniper','Aurora','Titan','Pixel','Echo','Delta']"
LAST_WORDS = "array['mini','pro','large','small','turbo','flash','ultra','nano','instruct','chat']"

# 60 publishers, 1,100 models of 3 versions, 10,000 offerings of 2 plans; half of the plans have three price lists of two
# rows by date, the other half one: with the 95 % that have prices at all that makes 60,000 rows and more.
STATEMENTS = (
    (
        "insert into marketplace_taskarea (slug, name, position)"
        " select case n when 1 then 'coding' else 'task-' || n end, 'Task ' || n, n from generate_series(1, 20) n"
    ),
    (
        "insert into marketplace_publisher (slug, name, origin, about, website)"
        " select 'pub-' || n, 'Publisher ' || n, case n when 1 then 'first' else 'third' end, '', '' from generate_series(1, 60) n"
    ),
    (
        "insert into marketplace_aimodel (slug, name, publisher_id, family)"
        f" select 'bm-' || n, ({FIRST_WORDS})[1 + n % 20] || ' ' || (1 + n / 20 % 9) || '.' || n % 7 || ' ' || ({LAST_WORDS})[1 + n / 7 % 10],"
        f" p.id, lower(({FIRST_WORDS})[1 + n % 20]) from generate_series(1, 1100) n"
        " join marketplace_publisher p on p.slug = 'pub-' || (1 + n * 31 % 60)"
    ),
    (
        "insert into marketplace_modelversion (model_id, label, context_window, max_output, modalities_in, modalities_out,"
        " capabilities, languages, knowledge_cutoff, released_on)"
        " select m.id, v::text, (array[8192, 32768, 128000, 200000, 1000000, null])[1 + (m.id + v) % 6], 8192,"
        " string_to_array((array['text', 'text image', 'text image pdf', 'text audio'])[1 + m.id % 4], ' '), array['text'],"
        " jsonb_build_object('reasoning', m.id % 3 = 0, 'tool_call', m.id % 2 = 0, 'structured_output', m.id % 5 > 1,"
        " 'attachment', (m.id + v) % 4 = 0, 'temperature', null), null, '', date '2023-01-01' + ((m.id * 37 + v) % 1300)::int"
        " from marketplace_aimodel m cross join generate_series(1, 3) v where m.slug like 'bm-%'"
    ),
    (
        "insert into marketplace_offering (slug, name, kind, publisher_id, model_version_id, family, summary, commercial_path,"
        " path_basis, path_assumed, publication, available_on, legacy_on, deprecated_on, retires_on, revision)"
        " select 'bo-' || n, m.name || ' v' || v.label || ' ' || left(md5(n::text), 5), 'model', m.publisher_id, v.id, m.family,"
        " 'For long documents, agents and everyday work.', (array['sold_by_cloud', 'marketplace', 'marketplace', 'internal_only'])[1 + n % 4],"
        " '', false, case when n % 50 = 0 then 'draft' else 'live' end, date '2023-06-01' + n % 1100,"
        " case when n % 7 = 0 then date '2025-06-01' + n % 700 end, case when n % 7 = 0 then date '2025-07-01' + n % 700 end,"
        " case when n % 7 = 0 then date '2025-09-29' + n % 700 end, 1"
        f" from generate_series(1, {OFFERINGS}) n"
        " join (select x.*, row_number() over (order by id) k from marketplace_modelversion x"
        "   where model_id in (select id from marketplace_aimodel where slug like 'bm-%')) v on v.k = 1 + n % 3300"
        " join marketplace_aimodel m on m.id = v.model_id"
    ),
    (
        "insert into marketplace_offering_task_areas (offering_id, taskarea_id) select distinct o.id, t.id from marketplace_offering o"
        " cross join generate_series(0, 2) k join marketplace_taskarea t on t.position = 1 + (o.id * 7 + k * 5) % 20 where o.slug like 'bo-%'"
    ),
    (
        "insert into marketplace_plan (offering_id, slug, name, deployment, processing_tier, zone, pricing_form, is_public, position)"
        " select o.id, 'plan-' || p, case p when 1 then 'Pay as you go' else 'Batch' end, '', case p when 1 then 'standard' else 'batch' end,"
        " (array['global', 'eu', 'us'])[1 + (o.id + p) % 3], 'tokens', true, p"
        " from marketplace_offering o cross join generate_series(1, 2) p where o.slug like 'bo-%'"
    ),
    (
        "insert into marketplace_priceversion (plan_id, market, currency_id, effective, source, recorded_at)"
        " select p.id, 'world', 'USD', case when p.position = 2 then daterange('2023-01-01', null) else"
        "   daterange(date '2023-01-01' + 400 * (k - 1), case when k < 3 then date '2023-01-01' + 400 * k end) end, 'bench', now()"
        " from marketplace_plan p join marketplace_offering o on o.id = p.offering_id and o.slug like 'bo-%'"
        " cross join generate_series(1, 3) k where p.position = 1 and o.id % 20 > 0 or p.position = 2 and k = 1 and o.id % 20 > 2"
    ),
    (
        "insert into marketplace_pricerow (version_id, meter, per, unit, tier_from, above_context, amount)"
        " select v.id, m, 1000000, 'token', 0, 0, case when v.id % 40 > 0 then round(((v.plan_id * 7919 + v.id) % 3000) / 100.0, 2) end"
        " from marketplace_priceversion v cross join unnest(array['input-tokens', 'output-tokens']) m where v.source = 'bench'"
    ),
    (
        "insert into marketplace_alias (used_by, name, offering_id, effective)"
        " select 'bench', 'vendor/' || replace(lower(name), ' ', '-'), id, daterange('2023-01-01', null)"
        " from marketplace_offering where slug like 'bo-%' and id % 2 = 0"
    ),
    (
        "insert into marketplace_evaluation (task_area_id, model_version_id, subject, benchmark, benchmark_version, metric,"
        " higher_is_better, harness, variant, score, finding, evaluator, source, licence, synthetic)"
        " select t.id, v.id, v.id::text, 'Bench ' || t.position, '', 'pass_rate', true, 'h' || v.id % 2, '', (v.id * 7919 % 1000) / 10.0, '', '', 'bench', '', true"
        " from marketplace_modelversion v join marketplace_taskarea t on t.position = 1 + v.id % 5 where v.id % 20 = 0"
    ),
)


def build() -> None:
    """In SQL from row numbers alone; the index by the service that keeps it."""
    make.currency()
    for statement in STATEMENTS:
        data.owner(statement)
    for program in (Program.QUOTA, Program.COMMITMENT, Program.RESALE):
        for path in CommercialPath.values:
            if not _decided(program, path):
                make.decision(
                    path=path, program=program, rate_ppm=1_000_000 if path == "sold_by_cloud" else 0
                )
    for offering in Offering.objects.filter(slug__startswith="bo-").select_related("publisher")[:40]:
        make.decision(offering=offering)
        if not offering.publisher.decisions.exists():
            make.decision(publisher=offering.publisher)
    reindex()
    data.owner("vacuum analyze")


def _decided(program: str, path: str) -> bool:
    return EligibilityDecision.objects.filter(program=program, commercial_path=path).exists()


def measure(_lines: int) -> dict[str, Figure]:
    build()
    client = Client()
    client.force_login(make.user(role=Role.REP))
    some = Offering.objects.order_by("id").values_list("id", flat=True)[0]
    floor = partial(_bare_view, RequestFactory().get("/"), some)
    return {
        "catalog_list_ms": _figure([partial(_ask, client, f"/catalog/{q}") for q in PAGES], floor),
        "catalog_facets_ms": _figure(
            [partial(_ask, client, f"/api/v1/offerings/facets/{q}") for q in FACETS], floor
        ),
        "catalog_search_db_ms": _searches(client, some),
    }


def _ask(client: Client, address: str) -> None:
    response = client.get(address)
    if response.status_code != 200:
        raise RuntimeError(f"{address} answered {response.status_code}")


def _bare_view(_request: HttpRequest, pk: int) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("select id, slug, name from marketplace_offering where id = %s", [pk])
        return HttpResponse(str(cursor.fetchone()))


def _figure(asked: list[Callable[[], None]], floor: Callable[[], object]) -> Figure:
    for each in asked:
        each()
    ours, floors = [], []
    for _ in range(RUNS):
        for each in asked:
            ours.append(1000 * seconds(each))
            floors.append(1000 * seconds(floor))
    return _told(ours, floors)


def _searches(client: Client, pk: int) -> Figure:
    """Every statement of the list that a search leads to, its count included, by the clock of who asks the database."""
    ours, floors = [], []
    for _ in range(RUNS):
        for search in SEARCHES:
            address = f"/api/v1/offerings/?search={search}&ordering=relevance&count=true"
            ours.append(database_ms(partial(_ask, client, address)))
            floors.append(database_ms(partial(_bare_view, RequestFactory().get("/"), pk)))
    return _told(ours[len(SEARCHES) :], floors[len(SEARCHES) :])


def _told(ours: list[float], floors: list[float]) -> Figure:
    mine, floor = statistics.median(ours), statistics.median(floors)
    return Figure(mine, "ms", floor, floor / mine, len(ours), p95=statistics.quantiles(ours, n=20)[-1])


GROUPS: dict[Callable[[int], dict[str, Figure]], tuple[str, ...]] = {
    measure: ("catalog_list_ms", "catalog_facets_ms", "catalog_search_db_ms")
}

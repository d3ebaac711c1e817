"""Who gets at what: the functions' service role at three functions, and nobody else at anything."""

import httpx
import pytest
from tests.supabase.gateway import jwt
from tests.supabase.rest import resting
from tests.supabase.stack import Stack

FUNCTIONS = {"bulk_insert_events", "get_hourly_aggregates", "get_source_key"}
TABLES = {"events", "hourly", "source_keys", "retention"}
EVENT = '{"id": "%s", "source": "laptop", "timestamp": "2026-11-01T10:00:00Z", "eventType": "tool", "payload": {}}'

CATALOGUE = r"""
with roles (role) as (values ('anon'), ('authenticated'), ('authenticator'), ('service_role')),
schemas as (select oid, nspname as name from pg_namespace where nspname !~ '^(pg_|information_schema$)'),
things as (select c.oid, relname as name, relkind = 'S' as counts from pg_class c join schemas s on s.oid = relnamespace
    where relkind in ('r', 'p', 'v', 'm', 'f', 'S'))
select role, 'table ' || name, privilege from roles, things,
    unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain']) privilege
    where not counts and has_table_privilege(role, oid, privilege)
union all
select role, 'column of ' || name, privilege from roles, things,
    unnest(array['select', 'insert', 'update', 'references']) privilege
    where not counts and has_any_column_privilege(role, oid, privilege)
union all
select role, 'sequence ' || name, privilege from roles, things, unnest(array['select', 'update', 'usage']) privilege
    where counts and has_sequence_privilege(role, oid, privilege)
union all
select role, proname, 'execute' from roles, pg_proc p join schemas s on s.oid = pronamespace
    where has_function_privilege(role, p.oid, 'execute')
union all
select role, 'schema ' || name, privilege from roles, schemas, unnest(array['usage', 'create']) privilege
    where has_schema_privilege(role, oid, privilege)
"""
"""Whatever the roles of the API may do with anything that PostgreSQL does not bring with it."""

ROLES = ("anon", "authenticated", "authenticator", "service_role")
ALLOWED = {(role, "schema public", "usage") for role in ROLES} | {
    ("service_role", function, "execute") for function in FUNCTIONS
}


def test_the_whole_catalogue_holds_three_functions_for_the_service_role_and_nothing_else(
    stack: Stack, database: str
) -> None:
    with stack.postgres.connect(database) as connection:
        assert set(connection.execute(CATALOGUE).fetchall()) == ALLOWED


def test_what_a_later_migration_makes_is_closed_as_well(stack: Stack, database: str) -> None:
    with stack.postgres.connect(database, "postgres") as owner, owner.transaction(force_rollback=True):
        owner.execute("create table public.later (id serial); create view public.seen as select * from public.later")
        owner.execute("create function public.loud() returns integer language sql as 'select 1'")
        owner.execute("create function vibetea.quiet() returns integer language sql as 'select 1'")
        assert set(owner.execute(CATALOGUE).fetchall()) == ALLOWED


def test_every_table_hides_its_rows_from_its_owner_as_well(stack: Stack, database: str) -> None:
    with stack.postgres.connect(database) as connection:
        found = connection.execute("""
            select relname, relrowsecurity and relforcerowsecurity from pg_class
            where relkind = 'r' and relnamespace in ('public'::regnamespace, 'vibetea'::regnamespace)
        """).fetchall()
    assert set(found) == {(table, True) for table in TABLES}


def test_no_row_shows_even_to_a_role_that_was_granted_the_tables(stack: Stack, database: str) -> None:
    with stack.postgres.connect(database) as admin, admin.transaction(force_rollback=True):
        admin.execute("select public.bulk_insert_events(%s)", [f"[{EVENT % 'a'}]"])
        admin.execute("insert into vibetea.source_keys values ('laptop', %s)", ["A" * 43 + "="])
        admin.execute("grant usage on schema vibetea to anon")
        admin.execute("grant all on all tables in schema public, vibetea to anon")
        admin.execute("set local role anon")
        for table in ("public.events", "vibetea.hourly", "vibetea.source_keys", "vibetea.retention"):
            assert admin.execute(f"select * from {table}").fetchall() == []


@pytest.mark.parametrize("caller", ["anon", "publishable", "authenticated"])
def test_the_rest_interface_opens_nothing(stack: Stack, database: str, caller: str) -> None:
    key = stack.publishable_key if caller == "publishable" else stack.anon_key
    headers = {"apikey": key, "Authorization": f"Bearer {jwt('authenticated') if caller == 'authenticated' else key}"}
    calls = {
        "bulk_insert_events": f'{{"events_json": [{EVENT % "forged"}]}}',
        "get_hourly_aggregates": '{"days_back": 30}',
        "get_source_key": '{"source_id": "laptop"}',
    }
    assert set(calls) == FUNCTIONS
    state = "select (select count(*) from public.events), (select sum(event_count) from vibetea.hourly)"
    log = stack.root / f"postgrest-{database}-{caller}.log"
    with (
        stack.postgres.connect(database) as admin,
        resting(stack.postgres.url(database, "authenticator"), log) as rest,
        httpx.Client(headers=headers) as http,
    ):
        admin.execute("select public.bulk_insert_events(%s)", [f"[{EVENT % 'kept'}]"])
        before = admin.execute(state).fetchone()
        stack.gateway.route(f"/{database}/rest/v1", rest.url, needs_key=True)
        base = f"{stack.gateway.url}/{database}/rest/v1"
        refused = 401 if caller != "authenticated" else 403
        for function, arguments in calls.items():
            answer = http.post(
                f"{base}/rpc/{function}", content=arguments, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, answer.json()["code"]) == (refused, "42501"), function
        row = EVENT.replace("eventType", "event_type") % "forged"
        for method, path, body in (
            ("GET", "events", None),
            ("HEAD", "events", None),
            ("POST", "events", row),
            ("PATCH", "events?id=eq.kept", '{"source": "other"}'),
            ("DELETE", "events?id=eq.kept", None),
        ):
            answer = http.request(method, f"{base}/{path}", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == refused, method
        for table in TABLES - {"events"}:
            assert http.get(f"{base}/{table}").status_code == 404
            assert http.get(f"{base}/{table}", headers={"Accept-Profile": "vibetea"}).status_code == 406
        assert set(http.get(f"{base}/").json()["paths"]) == {"/"}  # nor does it describe any of it
        assert admin.execute(state).fetchone() == before


def test_the_secret_key_calls_the_functions_and_reads_no_table(stack: Stack) -> None:
    for key in (stack.secret_key, stack.service_role_key):
        with httpx.Client(base_url=stack.rest, headers={"apikey": key}) as http:
            assert http.post("/rpc/get_source_key", json={"source_id": "laptop"}).json() is None
            assert http.get("/events").json()["code"] == "42501"

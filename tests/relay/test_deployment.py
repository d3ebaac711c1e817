"""What operators are given, tried: the image's own steps without a Docker engine, the unit, Caddy before a relay."""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from fcntl import LOCK_EX, flock
from io import BytesIO
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pip
import pytest
from tests.daemon.world import wait_until
from tests.relay.world import TOKEN, Machine, Relay, Sender, relaying
from tests.tools.ports import free_ports

from vibetea_protocol.freshness import HEADER, fresh_header, origin

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PREFIX = "/opt/vibetea"


def tool(name: str) -> str:
    """A tool's path; missing ones are `make tools`' to install."""
    places = [str(Path(sys.executable).parent), str(ROOT / ".tools/bin"), os.environ["PATH"]]
    found = shutil.which(name, path=os.pathsep.join(places))
    assert found, f"the tests need {name}: make tools"
    return found


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions and their arguments, by stage."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    found: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            found += [[]] if word == "FROM" else []
            found[-1].append((word, rest))
    return found


def of_image(word: str) -> str:
    """The last argument of an instruction in the image's own stage."""
    return [rest for found, rest in stages()[-1] if found == word][-1]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage leaves. Processes that test side by side share it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not (shared / "made").exists():
            build(shared)
            (shared / "made").touch()
    return shared / "vibetea"


def build(folder: Path) -> None:
    """The first stage's COPY and RUN steps, done in a folder and with an interpreter of their own."""
    work, clean = folder / "build", folder / "python"
    work.mkdir()
    venv.create(clean)
    ours = Path(pip.__file__).parent  # copied, as installing it takes many times as long
    (site,) = clean.glob("lib/python*/site-packages")
    shutil.copytree(ours, site / "pip")
    script = clean / "bin/pip"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(clean / "bin/python"))} -m pip "$@"\n')
    script.chmod(0o755)
    settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "XDG_CACHE"))}
    settings["PIP_NO_COMPILE"] = "1"  # what nothing imports here need not be compiled
    env = settings | {"PATH": f"{clean / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": os.environ["HOME"]}
    for word, rest in stages()[0]:
        if word == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                copy(ROOT / source, work / target / ("" if source.endswith("/") else Path(source).name))
        elif word == "RUN":
            step = rest.replace(PREFIX, str(folder / "vibetea"))
            done = subprocess.run(step, shell=True, cwd=work, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{rest}\n{done.stdout}{done.stderr}"


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


class Installed(Machine):
    """A machine that has nothing but the image's environment."""

    prefix: Path

    def command(self, *arguments: str) -> list[str]:
        program, *first = json.loads(of_image("ENTRYPOINT"))
        return [str(self.prefix / "bin" / program), *first, *arguments]


@pytest.fixture
def installed(image: Path, tmp_path: Path) -> Iterator[Installed]:
    machine = Installed(tmp_path)
    machine.prefix = image
    try:
        yield machine
    finally:
        machine.end()


def test_the_dockerfile_passes_a_linter() -> None:
    done = subprocess.run([tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_copies_is_not_ignored() -> None:
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for word, rest in stages()[0]:
        for source in shlex.split(rest)[:-1] if word == "COPY" else []:
            assert any(Path(source).match(pattern) for pattern in kept), source


def test_the_image_holds_what_is_locked_and_nothing_else(image: Path) -> None:
    script = "from importlib.metadata import distributions as d; print(*(x.metadata['Name'] for x in d()))"
    found = subprocess.run([image / "bin/python", "-c", script], capture_output=True, text=True, check=True).stdout
    lock = (DEPLOY / "requirements-relay.txt").read_text()
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in found.split()} == locked | {"vibetea"}


def test_the_image_has_the_versions_that_are_tested() -> None:
    def pins(lock: Path) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[^ ]+", lock.read_text(), re.MULTILINE))

    for lock in DEPLOY.glob("requirements-*.txt"):
        assert pins(lock) <= pins(ROOT / "requirements.txt")


def test_the_locks_name_no_place() -> None:
    for lock in DEPLOY.glob("requirements-*.txt"):
        assert "://" not in lock.read_text()


async def test_the_image_takes_events_and_its_health_check_tells_so(installed: Installed, laptop: Sender) -> None:
    process, url = await asyncio.to_thread(
        installed.start,
        VIBETEA_PUBLIC_KEYS=f"laptop:{laptop.public}",
        VIBETEA_SUBSCRIBER_TOKEN=TOKEN,
    )
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        async with http.ws_connect(f"{url}/ws") as socket:
            body = laptop.body(1)
            async with http.post(f"{url}/events", data=body, headers=laptop.headers(body)) as answer:
                assert answer.status == 202
            assert (await socket.receive_json(timeout=10))["id"] == laptop.event(1)["id"]
        async with http.get(f"{url}/metrics") as answer:
            assert answer.status == 200
    port = url.rpartition(":")[2]
    assert health_check(installed.prefix, port) == 0
    process.stop()
    assert health_check(installed.prefix, port) != 0


def health_check(prefix: Path, port: str) -> int:
    command: Sequence[str] = json.loads(of_image("HEALTHCHECK").partition("CMD ")[2])
    env = {"PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}", "PORT": port}
    return subprocess.run(command, env=env, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


def test_the_image_started_bare_says_what_it_needs(installed: Installed) -> None:
    done = installed.run(*json.loads(of_image("CMD")), VIBETEA_NATS_URL="nats://127.0.0.1:4")
    assert done.returncode == 78
    assert "VIBETEA_PUBLIC_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_image_can_share_a_stream(image: Path) -> None:
    subprocess.run([image / "bin/python", "-W", "error", "-c", "import vibetea_relay.nats_stream"], check=True)


def test_nobody_in_the_image_is_root() -> None:
    assert int(of_image("USER")) > 0


def test_fly_agrees_with_the_image() -> None:
    fly = tomllib.loads((DEPLOY / "fly.toml").read_text())
    assert (DEPLOY / fly["build"]["dockerfile"]).exists()
    assert str(fly["http_service"]["internal_port"]) == of_image("EXPOSE")
    assert [mount["destination"] for mount in fly["mounts"]] == [of_image("VOLUME")]
    assert fly["processes"]["app"].startswith(" ".join(json.loads(of_image("CMD"))))


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_unit_is_one_systemd_takes_and_leaves_little_exposed(tmp_path: Path) -> None:
    program, unit = tmp_path / "bin/vibetea", tmp_path / "vibetea-relay.service"
    program.parent.mkdir()
    program.touch(mode=0o755)
    unit.write_text((DEPLOY / unit.name).read_text().replace(PREFIX, str(tmp_path)))
    analyse = tool("systemd-analyze")
    done = subprocess.run([analyse, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    told = subprocess.run(
        [analyse, "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, check=True
    ).stdout
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert exposure
    assert float(exposure[1]) < 2


# Caddy


def shakes_hands(port: int, root: Path) -> bool:
    """Whether it has its certificate in use: it listens before that, and then breaks off every handshake."""
    try:
        context = ssl.create_default_context(cafile=str(root))
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except OSError:
        return False


@contextmanager
def caddy(folder: Path, relay: Relay) -> Iterator[tuple[str, Path, Path]]:
    """The example as it is, on a free port of this machine; yields its address, its root certificate and its log."""
    (port,) = free_ports(1)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "VIBETEA_SITE": f"localhost:{port}",
        "VIBETEA_RELAY": f"127.0.0.1:{relay.port}",
    }
    command = [tool("caddy"), "adapt", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile"]
    adapted = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "WARN" not in adapted.stderr
    config = json.loads(adapted.stdout)
    config["admin"] = {"disabled": True}
    config["apps"]["pki"] = {"certificate_authorities": {"local": {"install_trust": False}}}
    (server,) = config["apps"]["http"]["servers"].values()
    server |= {
        "listen": [f"127.0.0.1:{port}"],
        "automatic_https": {"disable_redirects": True},
        "protocols": ["h1", "h2"],
    }
    file, log = folder / "caddy.json", folder / "caddy.log"
    file.write_text(json.dumps(config))
    root = folder / ".local/share/caddy/pki/authorities/local/root.crt"
    with log.open("wb") as stderr:
        process = subprocess.Popen([command[0], "run", "--config", file], env=env, stdout=stderr, stderr=stderr)
    try:
        wait_until(lambda: shakes_hands(port, root), log.read_text)
        yield f"https://localhost:{port}", root, log
    finally:
        process.terminate()
        process.wait(20)


async def test_a_relay_behind_the_example_of_caddy(tmp_path: Path, laptop: Sender) -> None:
    """Send, watch and be refused through TLS; nothing of a token in the log, not even when the relay is gone."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relaying(laptop, trusted_proxies=(ip_network("127.0.0.1"),)))
        with caddy(tmp_path, relay) as (url, root, log):
            context = ssl.create_default_context(cafile=str(root))
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
                body = laptop.body(1)
                fresh = fresh_header(laptop.seed, laptop.key, origin(url), int(time.time()), body)
                headers = laptop.headers(body, **{HEADER: fresh})
                async with http.ws_connect(f"{url}/ws", params={"token": TOKEN}) as socket:
                    async with http.post(f"{url}/events", data=body, headers=headers) as answer:
                        assert answer.status == 202, await answer.text()
                    assert (await socket.receive_json(timeout=10))["id"] == laptop.event(1)["id"]
                for path, status in {"/health": 200, "/metrics": 404, "/": 404, "/ws?token=wrong": 401}.items():
                    async with http.get(f"{url}{path}") as answer:
                        assert answer.status == status, path
                async with http.post(f"{url}/events", data=BytesIO(bytes(1_048_577))) as answer:
                    assert answer.status == 413
                await stack.aclose()
                async with http.get(f"{url}/ws", params={"token": TOKEN}) as answer:
                    assert answer.status == 502
            wait_until(lambda: "REDACTED" in log.read_text(), log.read_text)
            assert TOKEN not in log.read_text()

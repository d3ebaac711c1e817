"""How the real `vibetea relay` starts, when it refuses to, and how it ends."""

import asyncio
import json
import os
import signal
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from click.testing import CliRunner
from tests.relay.world import TOKEN, Machine, MemoryStream, Sender, config_of

from vibetea_daemon.cli import main
from vibetea_daemon.config import Setting, server_address
from vibetea_protocol.freshness import origin
from vibetea_protocol.wire import parse
from vibetea_relay import config as relay_config
from vibetea_relay.app import create_app
from vibetea_relay.config import Limits, RelayConfigError, load
from vibetea_relay.journal import Journal
from vibetea_relay.server import running
from vibetea_relay.stream import Entry
from vibetea_relay.tokens import digest, holder

LAPTOP = Sender("laptop")
KEYS = {"VIBETEA_PUBLIC_KEYS": f"laptop:{LAPTOP.public}"}
TOKENS = {"VIBETEA_SUBSCRIBER_TOKEN": TOKEN}
OPEN = {"VIBETEA_UNSAFE_NO_AUTH": "TRUE"}
ANYWHERE = ("--host", "0.0.0.0")
ONE, TWO = "token-of-ann-0123", "token-of-bob-0123"
NO_ADDRESSES = (
    "relay.example.org",
    "http://relay:port",
    "https://ann@relay.example.org",
    "https://ann:secret@relay.example.org",
    "https://relay.example.org\\relay",
    "https://relay.example.org/a b",
    "https://relay\t.example.org",
)

# refusals


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (ANYWHERE, {}, "VIBETEA_PUBLIC_KEYS"),
        (ANYWHERE, TOKENS, "VIBETEA_PUBLIC_KEYS"),
        (ANYWHERE, KEYS, "VIBETEA_SUBSCRIBER_TOKEN"),
        ((), KEYS, "VIBETEA_SUBSCRIBER_TOKEN"),
        ((), TOKENS, "VIBETEA_PUBLIC_KEYS"),
        ((), KEYS | {"VIBETEA_SUBSCRIBER_TOKEN": "  "}, "VIBETEA_SUBSCRIBER_TOKEN is empty"),
        ((), OPEN | {"VIBETEA_SUBSCRIBER_TOKEN": ""}, "VIBETEA_SUBSCRIBER_TOKEN is empty"),
        ((), KEYS | {"VIBETEA_SUBSCRIBER_TOKENS": "ann:one,bob"}, "part 2 is not name:token"),
        ((), KEYS | {"VIBETEA_SUBSCRIBER_TOKENS": "ann:one,ann:two"}, "names ann twice"),
        ((), KEYS | {"VIBETEA_SUBSCRIBER_TOKEN": "x" * 15}, "VIBETEA_SUBSCRIBER_TOKEN is shorter than 16"),
        ((), KEYS | {"VIBETEA_SUBSCRIBER_TOKENS": f"ann:{ONE},bob:abc"}, "bob's is shorter than 16"),
        ((), KEYS | {"VIBETEA_SUBSCRIBER_TOKENS": f"ann:{ONE},bob:{TWO},eve: {ONE}"}, "ann's is somebody else's too"),
        ((), KEYS | TOKENS | {"VIBETEA_SUBSCRIBER_TOKENS": f"ann:{TOKEN}"}, "is somebody else's too"),
        ((), KEYS | TOKENS | {"VIBETEA_UNSAFE_NO_AUTH": "yes"}, "VIBETEA_UNSAFE_NO_AUTH must be true or false"),
        ((), KEYS | TOKENS | {"VIBETEA_KEYS_FILE": "keys"}, "are both set"),
        (("--keys-file", "keys"), KEYS | TOKENS, "are both set"),
        ((), TOKENS | {"VIBETEA_PUBLIC_KEYS": "desk:AAAA"}, "the key of desk"),
        ((), TOKENS | {"VIBETEA_KEYS_FILE": "/nonexistent"}, "/nonexistent: No such file or directory; --keys-file or"),
        ((), KEYS | TOKENS | {"PORT": "eighty"}, "PORT"),
        ((), KEYS | TOKENS | {"PORT": "65536"}, "PORT"),
        ((), KEYS | TOKENS | {"PORT": "1" * 5000}, "PORT must be a whole number below 65536"),
        (("--keys-file", "/dev/null"), TOKENS, "the keys file names nobody"),
        (("--tls-key", "key.pem"), KEYS | TOKENS, "go together"),
        (("--require-fresh",), KEYS | TOKENS, "--public-url"),
        (("--require-fresh", "--public-url", "http://relay.example.org"), KEYS | TOKENS, "with https://"),
        *((("--public-url", address), KEYS | TOKENS, "VIBETEA_PUBLIC_URL must be") for address in NO_ADDRESSES),
        (("--trusted-proxy", "caddy"), KEYS | TOKENS, "--trusted-proxy"),
        (("--allow-origin", "*"), KEYS | TOKENS, "--allow-origin must be an address like https://page.example.org"),
        (("--state", "/proc/relay"), KEYS | TOKENS, "name another with --state or VIBETEA_RELAY_STATE"),
    ],
)
def test_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    """In this process: if one of them were not refused, it would serve and never end."""
    for name in [name for name in os.environ if name.startswith("VIBETEA_") or name == "PORT"]:
        monkeypatch.delenv(name)
    env = {"HOME": str(tmp_path)} | variables
    done = CliRunner().invoke(main, ["relay", *arguments], env=env)
    assert (done.exit_code, told in done.output) == (78, True), done.output
    assert TOKEN not in done.output
    assert LAPTOP.public not in done.output


def test_real_process_refuses_with_78(machine: Machine) -> None:
    done = machine.run(*ANYWHERE)
    assert done.returncode == 78
    assert "VIBETEA_PUBLIC_KEYS" in done.stderr


def test_port_that_is_taken(machine: Machine) -> None:
    _, url = machine.start(**KEYS, **TOKENS)
    done = machine.run("--port", url.rpartition(":")[2], **KEYS, **TOKENS, VIBETEA_RELAY_STATE=str(machine.root / "b"))
    assert done.returncode == 1
    assert "is used by another program; name another with --port or PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["203.0.113.9", "relay.invalid"])
def test_host_that_is_not_this_machine(machine: Machine, host: str) -> None:
    done = machine.run("--host", host, **KEYS, **TOKENS)
    assert done.returncode == 1
    assert f"Error: --host: {host} is no address of this machine" in done.stderr


def test_what_time_mends_is_no_refusal(machine: Machine) -> None:
    """A service manager tries again after 1, not after 78: the relay before may only be about to end."""
    machine.start(**KEYS, **TOKENS)
    done = machine.run("--port", "0", **KEYS, **TOKENS)
    assert done.returncode == 1
    assert "in use by another relay" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts a small disk")
@pytest.mark.parametrize("bound", ["size=16k", "nr_inodes=2"], ids=["no room", "no file more"])
def test_full_disk_is_no_refusal(machine: Machine, tmp_path: Path, bound: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{bound},mode=700", "vibetea", str(disk)], check=True)
    try:
        (disk / "filler").write_bytes(b"x" * 8192)
        done = machine.run("--port", "0", "--state", str(disk), **KEYS, **TOKENS)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert (done.returncode, "cannot be" in done.stderr) == (1, True), done.stderr


def test_shared_state_is_not_served_alone(machine: Machine, tmp_path: Path) -> None:
    """The other way round is refused as soon as a server is there; nothing listens here."""
    shared = KEYS | TOKENS | {"VIBETEA_RELAY_STATE": str(tmp_path / "relay")}

    async def keep() -> None:
        journal = Journal(tmp_path / "relay" / "relay.db", Limits())
        await journal.start(lambda _: None, shared=True)
        await journal.append([Entry(16_384, parse(LAPTOP.body(1))[0])], [0])
        await journal.close()

    (tmp_path / "relay").mkdir()
    asyncio.run(keep())
    done = machine.run("--port", "0", **shared)
    assert (done.returncode, "VIBETEA_RELAY_STATE" in done.stderr) == (78, True), done.stderr


def test_nats_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vibetea_relay.nats_stream", None)
    with pytest.raises(RelayConfigError, match=r"pip install 'vibetea\[nats\]'"):
        create_app(config_of(LAPTOP, state=tmp_path, nats_url="nats://127.0.0.1:1"))


def test_certificate_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("not PEM")

    async def start() -> None:
        async with running(config_of(LAPTOP, tls_certificate=file, tls_key=file), MemoryStream()):
            pytest.fail("it started")

    with pytest.raises(RelayConfigError, match="certificate"):
        asyncio.run(start())


# settings


def test_what_is_read_from_where(tmp_path: Path) -> None:
    environ = KEYS | {
        "HOME": str(tmp_path),
        "PORT": "9000",
        "VIBETEA_SUBSCRIBER_TOKEN": f" {TOKEN}\n",
        "VIBETEA_SUBSCRIBER_TOKENS": f"ann: {ONE} ,bob:t:{TWO},",
        "VIBETEA_PUBLIC_URL": "https://Relay.Example.org:443/",
        "VIBETEA_NATS_URL": "nats://n",
    }
    config = load(environ, allowed_origins=("HTTPS://Pages.example.org",), trusted_proxies=("10.0.0.0/8", "::1"))
    assert (config.host, config.port, config.state) == ("127.0.0.1", 9000, tmp_path / ".vibetea")
    assert config.keys == {"laptop": (LAPTOP.key,)}
    assert config.tokens == {"default": digest(TOKEN), "ann": digest(ONE), "bob": digest(f"t:{TWO}")}
    assert (config.public_url, config.nats_url) == ("https://relay.example.org", "nats://n")
    assert config.allowed_origins == {"https://pages.example.org"}
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert not config.unsafe_no_auth
    assert load(environ | {"VIBETEA_PUBLIC_URL": "https://Büro.example"}).public_url == "https://xn--bro-hoa.example"
    given = load(environ, port=0, public_url="http://other", keys_file=None, require_fresh=False, trusted_proxies=())
    assert (given.port, given.public_url) == (0, "http://other")
    assert load(environ | {"VIBETEA_HOME": "/h", "VIBETEA_RELAY_STATE": "/r"}).state == Path("/r")
    assert load(environ | {"VIBETEA_HOME": "/h"}).state == Path("/h")


@pytest.mark.parametrize(("text", "unsafe"), [("true", True), (" True ", True), ("FALSE", False), ("", False)])
def test_unsafe_variable(text: str, unsafe: bool) -> None:
    assert load({"HOME": "/", "VIBETEA_UNSAFE_NO_AUTH": text}).unsafe_no_auth is unsafe


def test_unsafe_relay_takes_any_token() -> None:
    """Nobody is asked for it."""
    assert load(OPEN | {"HOME": "/", "VIBETEA_SUBSCRIBER_TOKENS": "ann:a,bob:a"}).tokens.keys() == {"ann", "bob"}


@pytest.mark.parametrize(
    "address", ["https://relay.example.org", "http://127.0.0.1:8080", "http://localhost", "http://[::1]"]
)
def test_public_address_that_daemons_may_use(address: str) -> None:
    assert load({"HOME": "/"}, public_url=address, require_fresh=True).public_url == address


def test_public_address_is_the_one_senders_sign() -> None:
    written = "HTTPS://Büro.Example:443/relay/"
    sent = server_address(Setting("VIBETEA_SERVER_URL", written.replace("HTTPS", "https")))
    assert sent
    assert load({"HOME": "/"}, public_url=written).public_url == origin(sent)


def test_config_shows_no_secret() -> None:
    shown = repr(load(KEYS | TOKENS | {"HOME": "/"}))
    assert repr(digest(TOKEN)) not in shown
    assert repr(LAPTOP.key) not in shown


def test_token_of_each_holder() -> None:
    tokens = {"ann": digest("one"), "bob": digest("two")}
    assert [holder(tokens, token) for token in ("one", "two", "on", "", "ONE")] == ["ann", "bob", None, None, None]
    assert holder({}, "") is None


def test_help_teaches() -> None:
    shown = CliRunner().invoke(main, ["relay", "--help"]).output
    options = ["host", "port", "keys-file", "state", "public-url", "require-fresh", "tls-certificate", "tls-key"]
    options += ["trusted-proxy", "allow-origin", "unsafe-no-auth"]
    documented = relay_config.load.__doc__ or ""
    variables = [word.strip("`:.,") for word in documented.split() if word.startswith("`VIBETEA_")]
    assert len(variables) >= 9
    assert [name for name in [*(f"--{option}" for option in options), *variables] if name not in shown] == []


# the running relay


async def exchange(url: str, **options: Any) -> None:
    """A sender and a watcher meet."""
    body = LAPTOP.body(1)
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws?token={TOKEN}", **options) as socket:
        async with http.post(f"{url}/events", data=body, headers=LAPTOP.headers(body), **options) as answer:
            assert answer.status == 202
        event = json.loads(await socket.receive_str(timeout=60))
        assert event["id"] == LAPTOP.event(1)["id"]


async def test_relay_serves_and_tells_nothing(machine: Machine) -> None:
    process, url = machine.start(**KEYS, **TOKENS)
    await exchange(url)
    process.stop()
    for secret in (TOKEN, LAPTOP.public, "Read", "laptop", "/ws", "/events", str(machine.root)):
        assert secret not in process.text
    assert " WARNING " not in process.text
    assert stat.S_IMODE((machine.root / "state").stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (machine.root / "state").iterdir()}
    assert "relay.db" in files
    assert set(files.values()) == {0o600}


async def test_unsafe_relay_says_so_loudly(machine: Machine) -> None:
    process, url = machine.start("--unsafe-no-auth", "--host", "0.0.0.0")
    assert "WARNING" in process.text
    assert "UNSAFE" in process.text
    assert "plain HTTP" in process.text
    async with aiohttp.ClientSession() as http, http.get(url.replace("0.0.0.0", "127.0.0.1") + "/health") as answer:
        assert (await answer.json())["unsafe"] is True


async def test_tls(machine: Machine) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = machine.root / "chain.pem", machine.root / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    _, url = machine.start("--tls-certificate", str(chain), "--tls-key", str(key), **KEYS, **TOKENS)
    assert url.startswith("https://")
    await exchange(url, ssl=trusting)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(f"{url}/health")
        with pytest.raises(aiohttp.ClientError):
            await http.get(url.replace("https", "http") + "/health")
        old = ssl.create_default_context()
        authority.configure_trust(old)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with http.get(f"{url}/health", ssl=old) as answer:
            assert answer.status == 200


# the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_watchers_are_let_go_with_1001(machine: Machine, number: int) -> None:
    process, url = machine.start(**KEYS, **TOKENS)
    async with aiohttp.ClientSession() as http:
        sockets = [await http.ws_connect(f"{url}/ws?token={TOKEN}") for _ in range(5)]
        process.popen.send_signal(number)
        for socket in sockets:
            message = await socket.receive(timeout=60)
            assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
    assert await asyncio.to_thread(process.popen.wait, 15) == 0
    assert "Traceback" not in process.text


async def test_what_is_under_way_is_finished() -> None:
    """1. A publish hangs. 2. The relay is told to stop. 3. The publish ends: its sender gets the 202."""
    stream = SlowStream()
    context = running(config_of(LAPTOP), stream)
    url = await context.__aenter__()
    async with aiohttp.ClientSession() as http:
        body = LAPTOP.body(1)
        post = asyncio.create_task(_status(http, url, body))
        await stream.asked.wait()
        end = asyncio.create_task(context.__aexit__(None, None, None))
        while await _is_open(url):
            await asyncio.sleep(0.01)
        assert not stream.closed
        stream.go.set()
        assert await post == 202
        await end
    assert stream.closed


class SlowStream(MemoryStream):
    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def publish(self, events: Any) -> Any:
        self.asked.set()
        await self.go.wait()
        return await super().publish(events)


async def _status(http: aiohttp.ClientSession, url: str, body: bytes) -> int:
    async with http.post(f"{url}/events", data=body, headers=LAPTOP.headers(body)) as answer:
        return answer.status


async def _is_open(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    except ConnectionError:
        return False
    writer.close()
    return True


async def test_a_relay_that_comes_back_remembers(machine: Machine) -> None:
    """What one took before its end is a duplicate to the next over the same state."""
    body = LAPTOP.body(1, 2)
    post: Any = {"data": body, "headers": LAPTOP.headers(body)}
    for wanted in ({"accepted": 2, "duplicates": 0}, {"accepted": 0, "duplicates": 2}):
        process, url = machine.start(**KEYS, **TOKENS)
        async with aiohttp.ClientSession() as http, http.post(f"{url}/events", **post) as answer:
            assert await answer.json() == wanted
        process.stop()

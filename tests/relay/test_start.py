"""How the real `vibetea relay` starts, when it refuses to, and how it ends."""

import asyncio
import json
import os
import signal
import ssl
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from click.testing import CliRunner
from tests.relay.world import TOKEN, Machine, MemoryStream, Sender, config_of

from vibetea_daemon.cli import main
from vibetea_relay import config as relay_config
from vibetea_relay.app import create_app
from vibetea_relay.config import RelayConfigError, load
from vibetea_relay.server import running
from vibetea_relay.tokens import digest, holder

LAPTOP = Sender("laptop")
KEYS = {"VIBETEA_PUBLIC_KEYS": f"laptop:{LAPTOP.public}"}
TOKENS = {"VIBETEA_SUBSCRIBER_TOKEN": TOKEN}
OPEN = {"VIBETEA_UNSAFE_NO_AUTH": "TRUE"}
ANYWHERE = ("--host", "0.0.0.0")

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
        ((), TOKENS | {"VIBETEA_PUBLIC_KEYS": "desk:AAAA"}, "the key of desk"),
        ((), TOKENS | {"VIBETEA_KEYS_FILE": "/nonexistent"}, "the keys file cannot be read"),
        ((), KEYS | TOKENS | {"PORT": "eighty"}, "PORT"),
        ((), KEYS | TOKENS | {"PORT": "65536"}, "PORT"),
        (("--tls-key", "key.pem"), KEYS | TOKENS, "go together"),
        (("--require-fresh",), KEYS | TOKENS, "--public-url"),
        (("--public-url", "relay.example.org"), KEYS | TOKENS, "VIBETEA_PUBLIC_URL"),
        (("--public-url", "http://relay:port"), KEYS | TOKENS, "VIBETEA_PUBLIC_URL"),
        (("--trusted-proxy", "caddy"), KEYS | TOKENS, "--trusted-proxy"),
        (("--allow-origin", "*"), KEYS | TOKENS, "--allow-origin"),
        (("--state", "/proc/relay"), KEYS | TOKENS, "VIBETEA_RELAY_STATE"),
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
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


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
        "VIBETEA_SUBSCRIBER_TOKENS": "ann: one ,bob:t:wo,",
        "VIBETEA_PUBLIC_URL": "https://Relay.Example.org:443/",
        "VIBETEA_NATS_URL": "nats://n",
    }
    config = load(environ, allowed_origins=("HTTPS://Pages.example.org",), trusted_proxies=("10.0.0.0/8", "::1"))
    assert (config.host, config.port, config.state) == ("127.0.0.1", 9000, tmp_path / ".vibetea")
    assert config.keys == {"laptop": (LAPTOP.key,)}
    assert config.tokens == {"default": digest(TOKEN), "ann": digest("one"), "bob": digest("t:wo")}
    assert (config.public_url, config.nats_url) == ("https://relay.example.org", "nats://n")
    assert config.allowed_origins == {"https://pages.example.org"}
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert not config.unsafe_no_auth
    given = load(environ, port=0, public_url="http://other", keys_file=None, require_fresh=False, trusted_proxies=())
    assert (given.port, given.public_url) == (0, "http://other")
    assert load(environ | {"VIBETEA_HOME": "/h", "VIBETEA_RELAY_STATE": "/r"}).state == Path("/r")
    assert load(environ | {"VIBETEA_HOME": "/h"}).state == Path("/h")


@pytest.mark.parametrize(("text", "unsafe"), [("true", True), (" True ", True), ("1", False), ("", False)])
def test_unsafe_variable(text: str, unsafe: bool) -> None:
    assert load({"HOME": "/", "VIBETEA_UNSAFE_NO_AUTH": text}).unsafe_no_auth is unsafe


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
        event = json.loads(await socket.receive_str(timeout=20))
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
            message = await socket.receive(timeout=20)
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

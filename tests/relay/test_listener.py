"""Where connections come in: counted before TLS, no more of them than open files, and quiet when there are no files."""

import asyncio
import json
import logging
import resource
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from tests.daemon.world import wait_until
from tests.relay.watching import watching
from tests.relay.world import NO_LIMITS, TOKEN, Machine, Relay, Sender, relaying

from vibetea_relay import listener, server

AUTHORITY = trustme.CA()
READ = "import sys, urllib.request as u; u.urlopen(sys.argv[1] + '/health', timeout=20).read()"


@pytest.fixture(scope="module")
def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@asynccontextmanager
async def tls_relay(folder: Path, laptop: Sender, each: int) -> AsyncIterator[Relay]:
    """A relay with a certificate that takes so many connections of one address."""
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    limits = replace(NO_LIMITS, connections_per_address=each)
    async with relaying(laptop, limits=limits, tls_certificate=chain, tls_key=key) as relay:
        yield relay


async def answer(relay: Relay, context: ssl.SSLContext, address: str = "127.0.0.1") -> bytes:
    """What is answered to a whole request; nothing if the connection is not taken."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", relay.port, ssl=context, local_addr=(address, 0), server_hostname="127.0.0.1"
        )
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
            return await reader.read()
        finally:
            writer.close()
    except OSError:
        return b""


async def test_silent_connections_are_counted_before_tls(
    tmp_path: Path, laptop: Sender, trusting: ssl.SSLContext
) -> None:
    """One address may have so many on which nothing is said; another one is served; and room comes back."""
    async with tls_relay(tmp_path, laptop, 3) as relay, AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            stack.callback(writer.close)
        async with asyncio.timeout(20):
            while await answer(relay, trusting):
                await asyncio.sleep(0.01)
        assert await answer(relay, trusting, "127.0.0.2")
        await stack.aclose()
        async with asyncio.timeout(20):
            while not await answer(relay, trusting):
                await asyncio.sleep(0.01)


async def test_failed_handshakes_are_counted_out(tmp_path: Path, laptop: Sender, trusting: ssl.SSLContext) -> None:
    async with tls_relay(tmp_path, laptop, 3) as relay:
        for _ in range(9):
            assert b"HTTP/" not in await relay.raw(b"GET /health HTTP/1.1\r\n\r\n")
        assert await answer(relay, trusting)


async def test_handshake_that_never_ends_is_cut_off(
    tmp_path: Path, laptop: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_SECONDS", 0.2)
    async with tls_relay(tmp_path, laptop, 3) as relay:
        assert await relay.raw() == b""


async def test_end_does_not_wait_for_a_handshake(tmp_path: Path, laptop: Sender) -> None:
    async with tls_relay(tmp_path, laptop, 3) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        await relay.raw(b"no TLS")  # whoever came before has been taken
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_watcher_that_goes_at_once_is_counted_out(laptop: Sender) -> None:
    async with relaying(laptop, limits=replace(NO_LIMITS, connections_per_address=5)) as relay:
        for _ in range(20):
            async with watching(relay):
                pass


@pytest.mark.parametrize(("soft", "hard", "told"), [(200, 400, [400, 336]), (200, 20_000, [10_064, 10_000])])
def test_limit_of_open_files_is_raised_and_kept(soft: int, hard: int, told: list[int]) -> None:
    if hard > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        pytest.skip("this machine allows fewer open files")
    program = f"""
import json, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from vibetea_relay.listener import room
found = room(10_000)
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE)[0], found]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == told
    assert ("open files are allowed" in done.stderr) == (told[1] < 10_000)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_shortage_of_open_files_is_logged_once_and_passes(machine: Machine, laptop: Sender) -> None:
    """1. No file can be opened any more. 2. Connections come. 3. Files can be opened again: they are served."""
    keys = {"VIBETEA_PUBLIC_KEYS": f"laptop:{laptop.public}", "VIBETEA_SUBSCRIBER_TOKEN": TOKEN}
    process, url = machine.start(**keys)
    pid = process.popen.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), before[1]))
    try:
        served = [subprocess.Popen([sys.executable, "-c", READ, url]) for _ in range(3)]
        wait_until(lambda: " ERROR " in process.text, lambda: process.text)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert [popen.wait(30) for popen in served] == [0, 0, 0]
    assert process.text.count(" ERROR ") == 1


async def test_event_loops_complaints_are_logged_by_their_type_once(caplog: pytest.LogCaptureFixture) -> None:
    log, loop = server._ErrorLog(), asyncio.get_running_loop()
    for error in (OSError("secret"), OSError("secret"), ValueError("secret"), OSError("secret")):
        log(loop, {"message": "secret", "exception": error})
    log(loop, {"message": "secret"})
    assert [record.message.rpartition(" ")[2] for record in caplog.records] == ["OSError", "ValueError", "NoneType"]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}

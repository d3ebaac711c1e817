"""What stands before a hosted project: one address for its functions and its REST interface, and the keys' meaning."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from io import BytesIO
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

PUBLISHABLE_KEY: Final = f"sb_publishable_{secrets.token_hex(16)}"
SECRET_KEY: Final = f"sb_secret_{secrets.token_hex(16)}"
JWT_SECRET: Final = secrets.token_hex(32)

_LARGEST: Final = 16 * 1024**2
"""A body's bytes; far more than a function may accept."""
_OF_ONE_CONNECTION: Final = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te"}


def jwt(role: str) -> str:
    """A key of the old kind: a token that says which database role its holder has."""
    head, claims = ({"alg": "HS256", "typ": "JWT"}, {"iss": "supabase", "role": role})
    text = ".".join(_url64(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{_url64(hmac.digest(JWT_SECRET.encode(), text.encode(), hashlib.sha256))}"


class Gateway:
    """Passes requests on, on a thread of its own.

    Args:
        upstreams: prefix of a path → (base URL in its place, whether an API key is needed). The REST interface needs
            one; a function with `verify_jwt = false` looks for itself.
    """

    def __init__(self) -> None:
        self.upstreams: dict[str, tuple[str, bool]] = {}
        self._roles = {PUBLISHABLE_KEY: jwt("anon"), SECRET_KEY: jwt("service_role")}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def route(self, prefix: str, base: str, *, needs_key: bool = False) -> None:
        self.upstreams[prefix] = (base, needs_key)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> str:
        self._http = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(150),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        found = [prefix for prefix in self.upstreams if path == prefix or path.startswith(f"{prefix}/")]
        if not found:
            return web.json_response({"message": "Not found"}, status=404)
        base, needs_key = self.upstreams[found[0]]
        headers = _passed_on(request.headers)
        if needs_key and not self._identify(headers):
            return web.json_response({"message": "Invalid API key"}, status=401)
        url = URL(f"{base}{str(request.rel_url).removeprefix(found[0])}", encoded=True)
        try:
            body = await request.read()
            data = BytesIO(body) if body else None  # as bytes a large one is warned of
            async with self._http.request(
                request.method, url, data=data, headers=headers, allow_redirects=False
            ) as got:
                return web.Response(status=got.status, headers=_passed_on(got.headers), body=await got.read())
        except aiohttp.ClientError:
            return web.json_response({"message": "An invalid response was received from the upstream"}, status=502)

    def _identify(self, headers: CIMultiDict[str]) -> bool:
        """Put the role's token in the place of an opaque key; whether there is a key at all."""
        key = headers.get("apikey", "")
        token = self._roles.get(key, key if key in self._roles.values() else "")
        if headers.get("Authorization", f"Bearer {key}") == f"Bearer {key}":
            headers["Authorization"] = f"Bearer {token}"
        return bool(token)


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _OF_ONE_CONNECTION)


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""The relay's settings: an option of the command line first, then the environment, then the default."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from yarl import URL

from vibetea_protocol.freshness import origin
from vibetea_relay.errors import RelayConfigError
from vibetea_relay.keys import Keys, parse_variable
from vibetea_relay.peers import Network, is_loopback
from vibetea_relay.tokens import digest

__all__ = ["Limits", "RelayConfig", "RelayConfigError", "load"]

DAY: Final = 86_400
HOST: Final = "127.0.0.1"
PORT: Final = 8080
MIN_TOKEN: Final = 16
"""Characters of a token: whoever guesses it watches everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every number of the relay. Rates are requests a second, bursts requests, sizes bytes."""

    source_rate: float = 100
    """Per source, once its signature is verified: the contract's."""
    source_burst: float = 100
    event_rate: float = 5_000
    """Likewise, but events: one source alone cannot push the history out within seconds."""
    event_burst: float = 20_000
    """More than the largest body holds."""
    address_rate: float = 2_000
    """Per address, before anything else: a whole office may be behind one."""
    address_burst: float = 4_000
    claim_rate: float = 200
    """Per address and claimed source, before the signature is verified."""
    claim_burst: float = 400
    failure_rate: float = 10
    """Refused keys, signatures and tokens per address; a signature costs the relay more than its sender."""
    failure_burst: float = 100
    buckets: int = 10_000
    bucket_idle_seconds: float = 60

    body: int = 1_048_576
    body_seconds: float = 60
    silence_seconds: float = 10
    """Within a body, nothing may come for so long."""
    bodies: int = 67_108_864
    """Bytes of bodies that are not verified yet, in all."""
    bodies_per_address: int = 16_777_216
    requests_per_address: int = 64
    """Under way; behind a trusted proxy the clients' addresses count, which connections do not show."""
    ahead_seconds: float = DAY
    """How far an event may lie in the future."""

    connections: int = 10_000
    connections_per_address: int = 128
    keepalive_seconds: float = 15
    """An idle connection's life, and the time a request's head may take."""
    drain_seconds: float = 10
    """What is under way when the relay stops has so long."""

    watchers: int = 5_000
    watchers_per_address: int = 64
    message: int = 4_096
    """A watcher has little to say."""
    messages_per_second: float = 10
    ping_seconds: float = 20
    stuck_seconds: float = 10
    """A watcher that takes nothing for so long is closed."""
    farewell_seconds: float = 2
    """How long a watcher has to take a farewell, or the answer to its own."""
    queue: int = 256
    """Entries a live watcher that takes nothing may lag before it is moved forward."""
    socket: int = 262_144
    """Bytes the system may hold for one watcher."""
    resume_seconds: float = 5
    """How long a watcher that resumes after a seq still to come waits for it: another relay may be ahead."""

    last: int = 10_000
    """Entries a watcher may ask for before the live ones."""
    ring: int = 10_000
    """Entries held in memory."""
    ring_bytes: int = 33_554_432
    history_entries: int = 500_000
    history_seconds: float = 7 * DAY
    seen_seconds: float = 7 * DAY
    """How long an event's id is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """One relay's settings; `load` documents each.

    Args:
        keys: source to its raw public keys.
        client_header: in which a trusted proxy tells the client's address.
        tokens: subscriber to the SHA-256 digest of its token.
        public_url: an origin as a browser writes it, or "".
        allowed_origins: likewise.
    """

    host: str = HOST
    port: int = PORT
    keys: Keys = field(default_factory=dict, repr=False)
    keys_file: Path | None = None
    tokens: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    unsafe_no_auth: bool = False
    state: Path
    public_url: str = ""
    require_fresh: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    client_header: str = "X-Forwarded-For"
    allowed_origins: frozenset[str] = frozenset()
    nats_url: str | None = None
    limits: Limits = Limits()

    def refuse_if_open(self) -> None:
        """Raise RelayConfigError if anyone could send or watch, unless that was asked for."""
        if self.unsafe_no_auth:
            return
        if not self.keys and self.keys_file is None:
            raise RelayConfigError(
                "nobody could send: set VIBETEA_PUBLIC_KEYS to source:key (`vibetea init` prints it), "
                "or give --keys-file"
            )
        if not self.tokens:
            raise RelayConfigError(
                "nobody could watch: set VIBETEA_SUBSCRIBER_TOKEN to a long random text (`openssl rand -hex 32`)"
            )


def load(environ: Mapping[str, str] = os.environ, **overrides: Any) -> RelayConfig:
    """Read the settings. Raises RelayConfigError.

    `VIBETEA_PUBLIC_KEYS`: who may send, `source:key,source:key`. `VIBETEA_KEYS_FILE`: the same, one a line, read again
    when it changes. `VIBETEA_SUBSCRIBER_TOKEN`: what a watcher must know. `VIBETEA_SUBSCRIBER_TOKENS`:
    `name:token,name:token`, to give and take each by itself. `PORT`: 8080. `VIBETEA_RELAY_STATE`: the folder of
    `relay.db`, else `VIBETEA_HOME`, else `~/.vibetea`. `VIBETEA_PUBLIC_URL`: the address senders use.
    `VIBETEA_NATS_URL`: the NATS servers that several relays share. `VIBETEA_UNSAFE_NO_AUTH`: `true` lets anyone send
    and watch. `FLY_APP_NAME` is set on Fly, whose proxy tells the client's address in a header of its own.

    Args:
        environ: where the variables are.
        overrides: fields of RelayConfig as the command line gives them; None and empty ones were not given.
    """
    given = {name: value for name, value in overrides.items() if value not in (None, ()) and value is not False}

    def setting(field_name: str, variable: str) -> str | None:
        found = given.get(field_name, environ.get(variable))
        return None if found in (None, "") else str(found)

    keys_file = setting("keys_file", "VIBETEA_KEYS_FILE")
    keys = parse_variable(environ.get("VIBETEA_PUBLIC_KEYS", ""))
    if keys and keys_file:
        raise RelayConfigError(
            "VIBETEA_PUBLIC_KEYS and a keys file are both set: a key taken out of one would hold by the other; keep one"
        )
    public_url = setting("public_url", "VIBETEA_PUBLIC_URL") or ""
    if public_url:
        public_url = _origin("VIBETEA_PUBLIC_URL", public_url, "https://relay.example.org")
    unsafe = _unsafe(environ) or bool(given.get("unsafe_no_auth"))
    certificate, key = given.get("tls_certificate"), given.get("tls_key")
    if (certificate is None) != (key is None):
        raise RelayConfigError("--tls-certificate and --tls-key go together")
    require_fresh = bool(given.get("require_fresh"))
    if require_fresh and not public_url:
        raise RelayConfigError("--require-fresh needs --public-url, the address that senders sign")
    if require_fresh and not _is_for_senders(public_url):
        raise RelayConfigError(
            "--require-fresh needs a VIBETEA_PUBLIC_URL with https://, or no daemon could send: "
            "they speak in clear to their own machine only"
        )
    state = setting("state", "VIBETEA_RELAY_STATE") or environ.get("VIBETEA_HOME")
    return RelayConfig(
        host=given.get("host", HOST),
        port=_port(setting("port", "PORT")),
        keys=keys,
        keys_file=Path(keys_file) if keys_file else None,
        tokens=_tokens(environ, any_will_do=unsafe),
        unsafe_no_auth=unsafe,
        state=Path(state).expanduser() if state else Path(environ.get("HOME") or Path.home(), ".vibetea"),
        public_url=public_url,
        require_fresh=require_fresh,
        tls_certificate=Path(certificate) if certificate else None,
        tls_key=Path(key) if key else None,
        trusted_proxies=tuple(_network(text) for text in given.get("trusted_proxies", ())),
        # there X-Forwarded-For ends with the app's own address, which may change
        client_header="Fly-Client-IP" if environ.get("FLY_APP_NAME") else "X-Forwarded-For",
        allowed_origins=frozenset(
            _origin("--allow-origin", text, "https://page.example.org") for text in given.get("allowed_origins", ())
        ),
        nats_url=environ.get("VIBETEA_NATS_URL") or None,  # it may hold a password: no option shows it to everybody
    )


def _port(text: str | None) -> int:
    if text is None:
        return PORT
    if not (text.isascii() and text.isdecimal() and len(text) <= len("65535") and int(text) < 65_536):
        raise RelayConfigError("PORT must be a whole number below 65536")
    return int(text)


def _unsafe(environ: Mapping[str, str]) -> bool:
    text = environ.get("VIBETEA_UNSAFE_NO_AUTH", "").strip().lower()
    if text not in {"", "true", "false"}:
        raise RelayConfigError("VIBETEA_UNSAFE_NO_AUTH must be true or false")
    return text == "true"


def _tokens(environ: Mapping[str, str], *, any_will_do: bool) -> Mapping[str, bytes]:
    tokens: dict[str, str] = {}
    if "VIBETEA_SUBSCRIBER_TOKEN" in environ:
        tokens["default"] = environ["VIBETEA_SUBSCRIBER_TOKEN"].strip()
        if not tokens["default"]:
            raise RelayConfigError("VIBETEA_SUBSCRIBER_TOKEN is empty; set a long random text, or unset it")
    for name, token in _named(environ.get("VIBETEA_SUBSCRIBER_TOKENS", "").split(",")):
        if name in tokens:
            raise RelayConfigError(f"VIBETEA_SUBSCRIBER_TOKENS names {name} twice")
        tokens[name] = token
    for name, token in () if any_will_do else tokens.items():
        variable = "VIBETEA_SUBSCRIBER_TOKEN" if name == "default" else f"VIBETEA_SUBSCRIBER_TOKENS: {name}'s"
        if len(token) < MIN_TOKEN:
            raise RelayConfigError(
                f"{variable} is shorter than {MIN_TOKEN} characters; `openssl rand -hex 32` makes one"
            )
        if list(tokens.values()).count(token) > 1:
            raise RelayConfigError(
                f"{variable} is somebody else's too; give each their own, or it cannot be taken back"
            )
    return {name: digest(token) for name, token in tokens.items()}


def _named(parts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for number, part in enumerate(parts, 1):
        name, _, token = (piece.strip() for piece in part.partition(":"))
        if part.strip() and not (name and token):
            raise RelayConfigError(f"VIBETEA_SUBSCRIBER_TOKENS: part {number} is not name:token")
        if name:
            yield name, token


def _origin(name: str, url: str, example: str) -> str:
    """The origin as a sender makes it of the same address, a name in other letters in its ASCII form."""
    try:
        text = url if url.isascii() else str(URL(url))
        parts = urlsplit(text)
        usable = parts.scheme.lower() in {"http", "https"} and parts.hostname and parts.username is None
        found = origin(text)
    except ValueError:
        usable = None
    if not usable or not url.isprintable() or " " in url or "\\" in url:
        raise RelayConfigError(f"{name} must be an address like {example}")
    return found


def _is_for_senders(public_url: str) -> bool:
    """Whether a daemon of ours may speak to it: in clear only on its own machine."""
    parts = urlsplit(public_url)
    return parts.scheme == "https" or parts.hostname == "localhost" or is_loopback(parts.hostname or "")


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise RelayConfigError("--trusted-proxy must be an address or a network like 10.0.0.0/8") from None

"""Who is at the other end: the address that limits are counted by."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

from vibetea_relay.state import CONFIG

Network = IPv4Network | IPv6Network


def peer(request: web.Request) -> str:
    """The client's address as limits count it.

    The socket's own, unless that is a trusted proxy: then the rightmost hop of `client_header` that is none. An IPv6
    address stands for its /64, which is what one customer gets.
    """
    config = request.app[CONFIG]
    trusted = config.trusted_proxies
    address = request.remote or ""
    if trusted and is_trusted(address, trusted):
        hops = ",".join(request.headers.getall(config.client_header, ())).split(",")
        for hop in reversed([hop.strip() for hop in hops]):
            if _parsed(hop) is None:  # nothing left of it can be believed
                break
            address = hop
            if not is_trusted(hop, trusted):
                break
    return counted_as(address)


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is one of the configured proxies'."""
    found = _parsed(address)
    return found is not None and any(found in network for network in trusted)


def counted_as(address: str) -> str:
    """An IPv4 address as it is, of an IPv6 address its /64."""
    if ":" not in address:
        return address
    found = _parsed(address)
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found)


def is_loopback(address: str) -> bool:
    """Whether it is this machine."""
    found = _parsed(address)
    return found is not None and found.is_loopback


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one that was written as IPv6 as what it is; None if it is none."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found

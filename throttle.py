"""How often something may be tried: logins, registrations, posts. sql/attempts/ counts, for all processes together."""

import hashlib
import json
import time
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from bottle import request

from config import Config


class Limit(NamedTuple):
    """So many attempts are free, and one more after each `recovery_s` seconds.

    Beyond them everybody waits, a second at first, then twice as long each time, at most 1,024 seconds: nobody is
    ever locked out."""

    burst: int
    recovery_s: float


_LOGINS_OF_ACCOUNT = Limit(10, 600)
_LOGINS_FROM_ADDRESS = Limit(100, 60)
_REGISTRATIONS_OF_ACCOUNT = Limit(100, 60)
_REGISTRATIONS_FROM_ADDRESS = Limit(300, 3)

# A count that is so old has recovered, whatever its limit.
FORGET_AFTER_MS = 24 * 3600 * 1000


def now_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def client_address(config: Config) -> str | None:
    """Who sends the current request: an IPv4 address, or a network of IPv6 (/64), which one household shares.

    None where nobody can tell: all requests come from this machine, and no proxy is trusted to say for whom."""
    try:
        address = ip_address(request.environ.get("REMOTE_ADDR", ""))
    except ValueError:  # a socket that has no addresses
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback and not config.trusted_proxy:
        return None
    return str(ip_network((address, 64), strict=False) if address.version == 6 else address)


def login(email_key: str, address: str | None, has_logged_in_from_there: bool) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when somebody logs in.

    From an address where the account's owner has logged in before, only what is tried there counts: the guesses of
    others do not keep the owner out."""
    account = f"login to {_unreadable(email_key)}"
    limits = {account: _LOGINS_OF_ACCOUNT}
    from_address = address and f"login from {address}"
    if has_logged_in_from_there:
        account, from_address = f"{account} from {address}", None
        limits = {account: _LOGINS_OF_ACCOUNT}
    elif from_address:
        limits[from_address] = _LOGINS_FROM_ADDRESS
    return _counted("login", limits) | {"account_subject": account, "address_subject": from_address}


def registration(email_key: str, address: str | None) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when somebody registers."""
    limits = {f"registration of {_unreadable(email_key)}": _REGISTRATIONS_OF_ACCOUNT}
    if address:
        limits[f"registration from {address}"] = _REGISTRATIONS_FROM_ADDRESS
    return _counted("registration", limits)


def posts(what: str, me: int, config: Config) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when a user publishes; `what` is articles or comments."""
    return _counted(what, {f"{what} of user {me}": Limit(config.posts_per_hour, 3600 / config.posts_per_hour)})


def _counted(what: str, limits: dict[str, Limit]) -> dict[str, Any]:
    named = [
        {"subject": subject, "burst": limit.burst, "recovery_ms": 1000.0 * limit.recovery_s}
        for subject, limit in limits.items()
    ]
    return {"what": what, "limits": json.dumps(named), "now_ms": now_ms()}


def _unreadable(email_key: str) -> str:
    """What stands for an email: people type passwords into that field, too."""
    return hashlib.sha256(email_key.encode()).hexdigest()

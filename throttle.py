"""How often something may be tried: logins, registrations, posts. sql/attempts/ counts, for all processes together.

Each function here returns what the files of sql/attempts/ ask for, besides the time (:now_ms)."""

import json
import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from bottle import request

from config import Config, networks
from passwords import digest


class Limit(NamedTuple):
    """So many attempts are free, and one more after each `recovery_s` seconds.

    Beyond them everybody waits, a second at first, then twice as long each time, at most 1,024 seconds: nobody is
    ever locked out."""

    burst: int
    recovery_s: float


_LOGINS_OF_ACCOUNT = Limit(10, 600)
_LOGINS_FROM_ADDRESS = Limit(100, 60)
_CHANGES_OF_USER = Limit(60, 60)
_RESETS_OF_ACCOUNT = Limit(3, 600)
_RESETS_FROM_ADDRESS = Limit(30, 60)
_REGISTRATIONS_OF_ACCOUNT = Limit(100, 60)
_REGISTRATIONS_FROM_ADDRESS = Limit(300, 3)

# A count that is so old has recovered, whatever its limit.
FORGET_AFTER_MS = 24 * 3600 * 1000

# How many counts of a user sql/attempts/forget.sql deletes at most; others expire.
MOST_FORGOTTEN = 200


def client_address(config: Config) -> str | None:
    """Who sends the current request: an IPv4 address, or a network of IPv6 (/64), which one household shares.

    None where nobody can tell: all requests come from this machine, and no proxy is trusted to say for whom."""
    proxies = networks(config.trusted_proxy)
    peer = _parse(request.environ.get("REMOTE_ADDR", ""))
    if peer and any(peer in proxy for proxy in proxies):
        # Each proxy adds whom it was asked by; what stands before an address that is no proxy's, anybody can have sent.
        for sent in reversed(request.environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            peer = _parse(sent.strip())
            if peer is None or not any(peer in proxy for proxy in proxies):
                break
    elif peer and peer.is_loopback:
        peer = None
    return str(ip_network((peer, 64), strict=False) if isinstance(peer, IPv6Address) else peer) if peer else None


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """An address, also in brackets and with a port; None for what is none, such as the name of a socket."""
    with_port = re.fullmatch(r"\[(.+)\](?::\d+)?|([0-9.]+):\d+", address)
    try:
        parsed = ip_address(next(filter(None, with_port.groups())) if with_port else address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def login(email_key: str, address: str | None, has_logged_in_from_there: bool) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when somebody logs in.

    From an address where the account's owner has logged in before, only what is tried there counts: the guesses of
    others do not keep the owner out."""
    account = _login_to(email_key)
    if has_logged_in_from_there:
        account, address = f"{account} from {address}", None
    limits = {account: _LOGINS_OF_ACCOUNT} | _from_address("login", address, _LOGINS_FROM_ADDRESS)
    return _counted("login", limits) | {"account_subject": account}


def registration(email_key: str, address: str | None) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when somebody registers."""
    limits = {_registration_of(email_key): _REGISTRATIONS_OF_ACCOUNT}
    return _counted("registration", limits | _from_address("registration", address, _REGISTRATIONS_FROM_ADDRESS))


def reset_request(email_key: str, address: str | None) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when somebody wants a password reset mailed."""
    limits = {_reset_of(email_key): _RESETS_OF_ACCOUNT}
    return _counted("reset", limits | _from_address("reset", address, _RESETS_FROM_ADDRESS))


def reset(address: str | None) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when somebody sets a password with a token."""
    return _counted("reset", _from_address("reset", address, _RESETS_FROM_ADDRESS))


def own_password(me: int) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when a user proves to know the password."""
    account = _of_user("password", me)
    return _counted("login", {account: _LOGINS_OF_ACCOUNT}) | {"account_subject": account}


def account_changes(me: int) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when a user takes another name, email or password.

    Each tells whether a name is taken, or hashes."""
    return _counted("user", {_of_user("changes", me): _CHANGES_OF_USER})


def posts(what: str, me: int, config: Config) -> dict[str, Any]:
    """What the files of sql/attempts/ ask for when a user publishes; `what` is articles or comments."""
    return _counted(what, {_of_user(what, me): Limit(config.posts_per_hour, 3600 / config.posts_per_hour)})


def guesses_of(me: int, email_key: str) -> list[str]:
    """Under which subjects guesses at a user's password are counted, for sql/attempts/forget.sql."""
    return [_of_user("password", me), _login_to(email_key)]  # last, for there may be one for each client address


def subjects_of(me: int, email_key: str) -> list[str]:
    """Under which subjects anything is counted of a user, for sql/attempts/forget.sql."""
    others = [_of_user(what, me) for what in ("changes", "articles", "comments")]
    return [*others, _registration_of(email_key), _reset_of(email_key), *guesses_of(me, email_key)]


def _from_address(what: str, address: str | None, limit: Limit) -> dict[str, Limit]:
    """The limits of a client address: that of a network of IPv6, and ten times as much for the /48 around it.

    Providers give one customer up to a /48 (RFC 6177), which holds 65,536 such networks."""
    if address is None:
        return {}
    limits = {f"{what} from {address}": limit}
    network = ip_network(address)
    if isinstance(network, IPv6Network):
        around = network.supernet(new_prefix=48)
        limits[f"{what} from {around}"] = Limit(10 * limit.burst, limit.recovery_s / 10)
    return limits


def _counted(what: str, limits: dict[str, Limit]) -> dict[str, Any]:
    named = [
        {"subject": subject, "burst": limit.burst, "recovery_ms": 1000.0 * limit.recovery_s}
        for subject, limit in limits.items()
    ]
    return {"what": what, "limits": json.dumps(named)}


# Emails are counted by their hash: people type passwords into that field, too.


def _login_to(email_key: str) -> str:
    return f"login to {digest(email_key)}"


def _registration_of(email_key: str) -> str:
    return f"registration of {digest(email_key)}"


def _reset_of(email_key: str) -> str:
    return f"reset of {digest(email_key)}"


def _of_user(what: str, me: int) -> str:
    return f"{what} of user {me}"

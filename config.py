"""Every setting, once: its name, its unit, its default, and why one would change it."""

import dataclasses
import errno
import functools
import ipaddress
import os
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "ROWBOAT_"
_FILE = PREFIX + "SETTINGS"


def usable_cores() -> list[int]:
    """The cores that this process may run on, by number."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


class ConfigError(Exception):
    """A setting has a value that cannot be used; the message names it and what it may be."""


def _path(value: str) -> Path:
    if not value:
        raise ValueError("the path of a file")
    return Path(value)


def _host(value: str) -> str:
    if not value:
        raise ValueError("an address, such as 127.0.0.1 or 0.0.0.0")
    return value


@functools.cache
def networks(value: str) -> tuple[Network, ...]:
    """The networks in a list of addresses and networks. Raises ValueError."""
    return tuple(map(_network, value.replace(",", " ").split()))


def _proxies(value: str) -> str:
    try:
        networks(value)
    except ValueError:
        raise ValueError("IP addresses and networks, such as 127.0.0.1 10.0.0.0/8 fd00::/8, or empty") from None
    return value


def _network(value: str) -> Network:
    network = ipaddress.ip_network(value)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None:
        return network
    return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")


def _prefix(value: str) -> str:
    usable = re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", value) and not {".", ".."} & set(value.split("/"))
    if not usable:
        raise ValueError("a path such as /club, without a slash at its end, or empty")
    return value


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return parse


def _period(value: str) -> int | None:
    found = re.fullmatch("([1-9][0-9]{0,3})([mhd])", value)
    if value and not found:
        raise ValueError("a number and m, h or d, such as 6h or 1d, or empty")
    return int(found[1]) * {"m": 60, "h": 3600, "d": 86400}[found[2]] if found else None


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return parse


def _switch(value: str) -> bool:
    return _one_of("on", "off")(value) == "on"


def _origins(value: str) -> tuple[str, ...]:
    try:
        return tuple(origin if origin == "*" else _origin(origin) for origin in value.split())
    except ValueError:
        raise ValueError("* or origins such as https://example.org, without a path, separated by blanks") from None


_DEFAULT_PORTS = {"http": 80, "https": 443}


def _origin(text: str) -> str:
    """An origin as browsers send it. Raises ValueError for what none sends (https://url.spec.whatwg.org/#origin)."""
    found = re.fullmatch(
        r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", text.lower(), re.ASCII
    )
    if not (found and text.isascii()):
        raise ValueError
    scheme, host, port = found.groups()
    if host.startswith("["):
        host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
    elif re.search(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$", host):  # browsers take it for an IPv4 address
        host = str(ipaddress.IPv4Address(host))
    elif "" in host.removesuffix(".").split("."):
        raise ValueError
    if port and int(port) > 65535:
        raise ValueError
    is_default = port is None or int(port) == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" + ("" if is_default else f":{int(port)}")


# URLs, as far as nothing in them can be read in two ways: no path, query or fragment where none belongs, and whatever
# could begin or end another part is written as %XX. urlsplit alone would drop, repair or guess.
_ESCAPE = "%(?:[2-6][0-9a-f]|7[0-9a-e])"  # printable ASCII, which is what a login can hold
_PART = rf"(?:[^\x00-\x20\x7f-\U0010ffff:/?#@\\\[\]%]|{_ESCAPE})+"
_HOST = r"(?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]+)?"
_MAIL_SERVER = re.compile(f"smtps?://(?:{_PART}(?::{_PART})+@)?{_HOST}", re.ASCII | re.IGNORECASE)
_DSN = re.compile(rf"https?://{_PART}(?::{_PART})?@{_HOST}(?:/[\w.-]+)*/[0-9]+", re.ASCII | re.IGNORECASE)


def _is_url(form: re.Pattern[str], value: str) -> bool:
    try:
        return bool(form.fullmatch(value)) and urlsplit(value).port != 0
    except ValueError:  # the host or the port; its text quotes what was given
        return False


def _mail_server(value: str) -> str:
    if value and not _is_url(_MAIL_SERVER, value):
        raise ValueError(
            "smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST:PORT, or empty; special characters in USER and "
            "PASSWORD are written as in any URL, such as %40 for @"
        )
    return value


def _sender(value: str) -> str:
    if value and not (value.isprintable() and re.fullmatch(r'[^\s@<>()\[\]\\,;:"]+@[^\s@<>()\[\]\\,;:"]+', value)):
        raise ValueError("an address, such as club@example.org, or empty")
    return value


def _link(value: str) -> str:
    form = r"[a-z][a-z0-9+.-]*://\S+"
    if value and not (value.isprintable() and re.fullmatch(form, value, re.IGNORECASE) and "{token}" in value):
        raise ValueError("a link with {token} in it, such as https://example.org/reset?token={token}, or empty")
    return value


def _token(value: str) -> str:
    if value and not (len(value) >= 16 and value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("at least 16 letters, digits and signs without a blank, or empty")
    return value


def _dsn(value: str) -> str:
    if value and not _is_url(_DSN, value):
        raise ValueError("https://KEY@HOST/PROJECT with the number of a project, or empty")
    return value


def with_file(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with what stands in the file that it names, and without its name. Raises ConfigError."""
    file = environment.get(_FILE)
    names = {variable(each) for each in dataclasses.fields(Config)}
    found = {name: value for _, name, value in _lines(file, names)} if file else {}
    return found | {name: value for name, value in environment.items() if name != _FILE}


def _lines(file: str, names: Container[str]) -> Iterator[tuple[str, str, str]]:
    """Each setting of a file: where it stands, its name and its value. Raises ConfigError, which shows no value."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; {_FILE} names it") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{number}: this is not UTF-8") from None
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        place = f"{file}:{number}: "
        name, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip() or name.startswith("#"):
            continue
        if not (equals and (name in names or (name.startswith(PREFIX) and name.isidentifier())) and "\0" not in value):
            raise ConfigError(f"{place}a line is {PREFIX}NAME=value, or begins with #")
        if name == _FILE:
            raise ConfigError(f"{place}{name} is for the environment alone")
        if name in found:
            raise ConfigError(f"{place}{name} stands in line {found[name]} already")
        found[name] = number
        yield place, name, value


def _setting(default: Any, parse: Callable[[str], Any], why: str, *, variable: str = "", secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "why": why, "variable": variable, "secret": secret})


def variable(setting: "dataclasses.Field[Any]") -> str:
    """The environment variable of a setting."""
    return setting.metadata["variable"] or PREFIX + setting.name.upper()


@dataclass(frozen=True)
class Config:
    """The settings of one process. Each is read from its `variable`; none needs to be set."""

    settings: str = _setting(
        "",
        str,
        "A file with more settings, one NAME=value on each line, read again at SIGHUP; the environment wins over it.",
    )
    database: Path = _setting(
        Path("data/rowboat.db"), _path, "The SQLite file. It and its folder are made where they are missing."
    )
    host: str = _setting(
        "127.0.0.1",
        _host,
        "The address to listen on. Behind a proxy on the same machine, leave it; 0.0.0.0 is everywhere.",
    )
    port: int = _setting(8080, _whole(0, 65535), "The TCP port to listen on; 0 takes a free one.")
    workers: int = _setting(
        0,
        _whole(0, 64),
        "Processes that answer requests, 43 MB each when idle; 0 is one for each core, at most 4.",
    )
    pin: bool = _setting(
        True,
        _switch,
        "Whether each worker keeps to a core of its own, where the system can do that (Linux): on or off.",
    )
    threads: int = _setting(
        5, _whole(1, 64), "Threads of each worker. As many writes can share a commit; reading is fastest with few."
    )
    drain_s: int = _setting(
        30,
        _whole(0, 3600),
        "Seconds that a worker may take to answer what it has when it is told to stop, or is replaced.",
    )
    synchronous: str = _setting(
        "FULL",
        _one_of("FULL", "NORMAL"),
        "FULL: what was acknowledged survives a power cut. NORMAL: it survives a crash of the program, and is faster.",
    )
    checkpoint: bool = _setting(
        True,
        _switch,
        "off: Litestream moves what is in the WAL into the database file, and Rowboat never does (docs/backup.md).",
    )
    read_limit_ms: int = _setting(
        2000,
        _whole(1, 3_600_000),
        "A request that reads for longer than so many milliseconds is interrupted and gets a 503.",
    )
    migrate: str = _setting(
        "apply",
        _one_of("apply", "check"),
        "What serve does about pending schema scripts: apply them, or refuse to start until `migrate` has.",
    )
    migration_backup: bool = _setting(
        True, _switch, "Whether a copy of the database is written before its schema changes: on or off."
    )
    backup_every: int | None = _setting(
        None,
        _period,
        "How often `serve` writes a copy into backups/ beside the database: 30m, 6h or 1d, for example; empty: never.",
    )
    backup_keep: int = _setting(
        7,
        _whole(1, 1_000_000),
        "So many copies does `serve` keep in backups/; it deletes older ones, also those that you wrote with `backup`.",
    )
    cors_origins: tuple[str, ...] = _setting(
        ("*",),
        _origins,
        "The origins whose pages may call the API, such as https://example.org, separated by blanks; * is any.",
    )
    prefix: str = _setting(
        "",
        _prefix,
        "The path under which a proxy serves all of this, such as /club, if it strips that: pages, examples and "
        "documents link to it.",
    )
    trusted_proxy: str = _setting(
        "",
        _proxies,
        "The addresses and networks of the proxies in front, separated by blanks. In X-Forwarded-For the client is the "
        "last address that is none of them.",
    )
    registration: str = _setting(
        "open", _one_of("open", "closed"), "Whether anybody may open an account; closed: only `user create` does."
    )
    realworld_compat: bool = _setting(
        True,
        _switch,
        "on: what public clients expect. off: no common passwords; a new email or password needs the present password.",
    )
    posts_per_hour: int = _setting(
        600,
        _whole(4, 1_000_000_000),
        "Articles, and as many comments, that a user may write in an hour before having to wait.",
    )
    min_free_mb: int = _setting(
        100, _whole(0, 1_000_000_000), "Megabytes that the disk must have free for /readyz to say that all is well."
    )
    smtp_url: str = _setting(
        "",
        _mail_server,
        "The server that takes mails: smtps:// (TLS) or smtp:// (STARTTLS; none on this machine without a login); "
        "empty: none is sent.",
        secret=True,
    )
    mail_from: str = _setting(
        "", _sender, "The sender of mails; empty: the user of ROWBOAT_SMTP_URL, or rowboat at its host."
    )
    reset_link: str = _setting(
        "", _link, "What a mail links to, with {token} where the token goes: the page that sets a new password."
    )
    log_format: str = _setting(
        "auto",
        _one_of("auto", "human", "json"),
        "How the log is written: json, human (for people to read), or auto: human on a terminal, json elsewhere.",
    )
    slow_ms: int = _setting(
        200, _whole(1, 3_600_000), "A SQL file that runs for longer than so many milliseconds is logged with its plan."
    )
    metrics_token: str = _setting(
        "",
        _token,
        "Prometheus sends it to /metrics as `Authorization: Bearer …`, 16 characters or more; empty: no /metrics.",
        secret=True,
    )
    sentry_dsn: str = _setting(
        "",
        _dsn,
        "Where unexpected errors are sent, besides the log, when sentry-sdk is installed; empty: nowhere.",
        variable="SENTRY_DSN",
        secret=True,
    )
    study: str = _setting(
        "off",
        _one_of("on", "off"),
        "on: everybody who reaches the server sees /study, nearly all of the database, and which SQL ran.",
    )

    def __post_init__(self) -> None:
        """Resolve the database's path, once: locks, the WAL and backups/ go by its real name."""
        try:
            self.database.stat()
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ConfigError(f"{PREFIX}DATABASE: {self.database} cannot be resolved: {error}") from None
        object.__setattr__(self, "database", self.database.resolve())

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **flags: Any) -> "Config":
        """The settings of `environment` over those of the file that it names, with those `flags` that are not None.

        Raises ConfigError for a value that cannot be used, for a name that is no setting, and for a file that cannot
        be read."""
        settings = {variable(each): each for each in dataclasses.fields(cls)}
        file = environment.get(_FILE)
        own = sorted(name for name in environment if name.startswith(PREFIX) or name in settings)
        given = [("", name, environment[name]) for name in own]
        values = {}
        for place, name, value in [*(_lines(file, settings) if file else ()), *given]:
            if name not in settings:
                import difflib  # for this alone

                # Without the prefix, which would make everything look alike.
                words = [each.removeprefix(PREFIX) for each in settings]
                close = difflib.get_close_matches(name.removeprefix(PREFIX).upper(), words, n=1)
                hint = f"; did you mean {PREFIX}{close[0]}?" if close else ""
                raise ConfigError(f"{place}{name} is not a setting{hint}")
            try:
                values[settings[name].name] = settings[name].metadata["parse"](value)
            except ValueError as error:
                shown = "" if settings[name].metadata["secret"] else f" is {value!r}; it"
                raise ConfigError(f"{place}{name}{shown} must be {error}") from None
        return cls(**values | {name: value for name, value in flags.items() if value is not None})

"""The log, on standard error: a line for each request and for each event, as JSON or for people to read."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable

from config import Config

_LOG = logging.getLogger("rowboat")

_STANDARD_ERROR = 2

# What could end a line, or drive the terminal that shows it.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}

# Both name the same things, in the same order.
_REQUEST_AS_JSON = (
    '{"time": "%s", "level": "info", "request_id": "%s", "method": "%s", "route": "%s", "status": %s, "ms": %.2f, '
    '"sql_ms": %.2f, "bytes": %d, "user_id": %s}\n'
)
_REQUEST_FOR_PEOPLE = "%s  %s  %s %s %s in %.1f ms (SQL %.1f), %d bytes, user %s\n"

# The line of a request: its id, method, route, status, milliseconds, those of SQL among them, bytes, the user's id.
RequestLog = Callable[[str, str, str, str, float, float, int, int | None], None]


def set_up(config: Config) -> None:
    """Send what is logged to standard error, in the format of the settings: warnings and worse, and all of our own."""
    handler = logging.StreamHandler()
    handler.setFormatter(_ForPeople() if _is_for_people(config) else _AsJSON())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("rowboat").setLevel(logging.INFO)


def send_errors(dsn: str) -> None:
    """Send what is logged as an error to Sentry, too, where sentry-sdk is installed: never the values of variables, the
    bodies of requests or their headers."""
    try:
        import sentry_sdk
    except ImportError:
        _LOG.warning("SENTRY_DSN is set, but errors stay in this log: install sentry-sdk beside Rowboat to send them")
        return
    sentry_sdk.init(
        dsn, auto_enabling_integrations=False, include_local_variables=False, max_breadcrumbs=0, server_name=""
    )


def request_log(config: Config) -> RequestLog:
    """A function that writes the line of a request.

    It is written by hand: the standard library's way takes three times as long (bench/observing.py)."""
    template, nobody = (_REQUEST_FOR_PEOPLE, "-") if _is_for_people(config) else (_REQUEST_AS_JSON, "null")

    def write(
        request_id: str, method: str, route: str, status: str, ms: float, sql_ms: float, size: int, user_id: int | None
    ) -> None:
        if not method.isalpha():  # the one text here that a client can put anything into
            method = json.dumps(_escaped(method))[1:-1]
        user = nobody if user_id is None else user_id
        line = template % (_now(), request_id, method, route, status, ms, sql_ms, size, user)
        try:  # noqa: SIM105 (suppress would take as long as the line)
            os.write(_STANDARD_ERROR, line.encode())
        except OSError:
            pass  # a log that is full or gone keeps nobody from being answered

    return write


_second = (0, "")


def _now() -> str:
    """The time; what takes long of it is done once a second."""
    global _second
    moment = time.time()
    second, text = _second
    if second != int(moment):
        second = int(moment)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = second, text
    return f"{text}.{int(1000 * (moment - second)):03d}Z"


def _escaped(text: str) -> str:
    return text.translate(_CONTROLS)


def _is_for_people(config: Config) -> bool:
    return config.log_format == "human" or (config.log_format == "auto" and sys.stderr.isatty())


class _Format(logging.Formatter):
    """Times as everywhere else."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _AsJSON(_Format):
    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": self.formatTime(record), "level": record.levelname.lower(), "message": record.getMessage()}
        if hasattr(record, "request_id"):
            fields["request_id"] = record.request_id
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields).replace("\x7f", "\\u007f")


class _ForPeople(_Format):
    def format(self, record: logging.LogRecord) -> str:
        request_id = f"  {record.request_id}" if hasattr(record, "request_id") else ""
        lines = [f"{self.formatTime(record)}  {record.levelname.lower()}: {_escaped(record.getMessage())}{request_id}"]
        if record.exc_info:
            lines += [f"    {_escaped(line)}" for line in self.formatException(record.exc_info).split("\n")]
        return "\n".join(lines)

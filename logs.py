"""The log, on standard error: a line for each request and for each event, as JSON or for people to read."""

import atexit
import collections
import functools
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from clock import SYSTEM_CLOCK, Clock
from config import Config

_LOG = logging.getLogger("rowboat")

_STANDARD_ERROR = 2

# What is no longer than this never mixes in a pipe with what other processes write (POSIX, PIPE_BUF).
_PIECE_BYTES = 4096

# Lines of requests are written so much later, together: each write gives Python's lock away, which slows all requests.
_LATER_S = 0.01

# So many wait at most, where nobody reads the log; then the oldest go.
_MOST_WAITING = 10_000

# Who makes up a method needs no more of it.
_LONGEST_METHOD = 32

# Both name the same things, in the same order.
_REQUEST_AS_JSON = (
    '{"time": "%s", "level": "info", "request_id": "%s", "method": "%s", "route": "%s", "status": %s, "ms": %.3f, '
    '"sql_ms": %.3f, "bytes": %d, "user_id": %s}\n'
)
_REQUEST_FOR_PEOPLE = "%s  %s  %s %s %s in %.1f ms (SQL %.1f), %d bytes, user %s\n"

# The line of a request: its id, method, route, status, milliseconds, those of SQL among them, bytes, the user's id.
RequestLog = Callable[[str, str, str, str, float, float, int, int | None], None]


def set_up(config: Config) -> None:
    """Send what is logged to standard error, in the format of the settings: warnings and worse, and all of our own.

    What Python itself would print there, such as what ends a thread, is logged as well."""
    try:
        os.fstat(_STANDARD_ERROR)
    except OSError:  # it is closed: the next file or connection would get its number, and the log with it
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STANDARD_ERROR)
        os.set_inheritable(_STANDARD_ERROR, True)
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(_ForPeople() if _is_for_people(config) else _AsJSON())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _LOG.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = lambda *raised: _LOG.critical("unexpected error", exc_info=raised)
    threading.excepthook = lambda raised: _LOG.error("unexpected error", exc_info=raised.exc_value)


def send_errors(dsn: str) -> None:
    """Send what is logged as an error to Sentry, too, where sentry-sdk is installed: never the values of variables, the
    bodies of requests or their headers."""
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.integrations.logging import LoggingIntegration
    except ImportError:
        _LOG.warning("SENTRY_DSN is set, but errors stay in this log: install sentry-sdk beside Rowboat to send them")
        return
    sentry_sdk.init(
        dsn,
        default_integrations=False,  # which would add the command line, the packages that are installed …
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
            AtexitIntegration(lambda waiting, seconds: None),  # at the end, two seconds for what was not sent yet
        ],
        include_local_variables=False,
        server_name="",
    )


def request_log(config: Config, clock: Clock = SYSTEM_CLOCK) -> RequestLog:
    """A function that writes the line of a request.

    It is written by hand: the standard library's way takes three times as long (bench/observing.py)."""
    template, nobody = (_REQUEST_FOR_PEOPLE, "-") if _is_for_people(config) else (_REQUEST_AS_JSON, "null")
    threading.Thread(target=_write_from_time_to_time, daemon=True).start()
    atexit.register(_write_waiting)

    def write(
        request_id: str, method: str, route: str, status: str, ms: float, sql_ms: float, size: int, user_id: int | None
    ) -> None:
        if len(method) > _LONGEST_METHOD or not method.isalpha():  # a client can make one up
            method = _within_quotes(method[:_LONGEST_METHOD])
        user = nobody if user_id is None else user_id
        now = _time(clock.seconds())
        _waiting.append(template % (now, request_id, method, _of_route(route), status, ms, sql_ms, size, user))
        if not _some_wait.is_set():
            _some_wait.set()

    return write


_waiting: collections.deque[str] = collections.deque(maxlen=_MOST_WAITING)
_some_wait = threading.Event()
_writing = threading.Lock()


def _write_from_time_to_time() -> None:
    while _some_wait.wait():
        time.sleep(_LATER_S)
        _some_wait.clear()  # before they are written: whoever adds one from here on sets it again
        _write_waiting()


def _write_waiting() -> None:
    """Write the lines that wait, in order, in pieces that end with a line."""
    with _writing:
        piece = b""
        while _waiting:
            line = _waiting.popleft().encode()
            if len(piece) + len(line) > _PIECE_BYTES:
                _write(piece)
                piece = b""
            piece += line
        if piece:
            _write(piece)


def _write(piece: bytes) -> None:
    with suppress(OSError):  # a log that is full or gone keeps nobody from being answered
        os.write(_STANDARD_ERROR, piece)


class _StandardError:
    """A stream for the standard library's handler, which writes an event at once, after the requests before it."""

    @staticmethod
    def write(text: str) -> None:
        _write_waiting()
        _write(text.encode())


_second = (0, "")


def _time(moment: float) -> str:
    """A time as in the database; what takes long of it is done once a second."""
    global _second
    second, text = _second
    if second != int(moment):
        second = int(moment)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = second, text
    return f"{text}.{int(1000 * (moment - second)):03d}Z"


def _within_quotes(text: str) -> str:
    return json.dumps(text)[1:-1]


_of_route = functools.cache(_within_quotes)  # there are few, and one may be a regular expression


def _escaped(text: str) -> str:
    """For people: without what could end a line, or drive the terminal that shows it."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _is_for_people(config: Config) -> bool:
    return config.log_format == "human" or (config.log_format == "auto" and os.isatty(_STANDARD_ERROR))


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
        return json.dumps(fields)  # which escapes all that is not printable ASCII


class _ForPeople(_Format):
    def format(self, record: logging.LogRecord) -> str:
        request_id = f"  {record.request_id}" if hasattr(record, "request_id") else ""
        lines = [f"{self.formatTime(record)}  {record.levelname.lower()}: {_escaped(record.getMessage())}{request_id}"]
        if record.exc_info:
            lines += [f"    {_escaped(line)}" for line in self.formatException(record.exc_info).split("\n")]
        return "\n".join(lines)

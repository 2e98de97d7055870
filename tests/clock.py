"""The clock of the tests, and a guard that keeps tests in this process away from time, sockets and processes."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from clock import Clock

# What no test of `make test` does, by the names of Python's audit events.
_FORBIDDEN = {"socket.__new__", "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}

_guarded = False


class ManualClock(Clock):
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def seconds(self) -> float:
        """Seconds since 1970."""
        return self.moment.timestamp()

    def monotonic(self) -> float:
        """The same seconds."""
        return self.seconds()

    def advance(self, **duration: float) -> None:
        """Go on by a duration, such as minutes=10; back with a negative one."""
        self.moment += timedelta(**duration)


@contextmanager
def guarded() -> Iterator[None]:
    """Meanwhile sleeping, sockets, processes and the system's clock (as Rowboat reads it) raise an error."""
    global _guarded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clock, "seconds", _refuse_clock)
        patch.setattr(time, "sleep", _refuse_sleep)  # Python has no audit event for it before 3.13
        _guarded = True
        try:
            yield
        finally:
            _guarded = False


def _refuse_clock(clock: Clock) -> float:
    raise AssertionError("a test reads the system's clock; pass the fixture `clock` to whatever needs the time")


def _refuse_sleep(seconds: float) -> None:
    raise AssertionError("a test sleeps; advance the fixture `clock`, or wait for an event")


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _guarded and event in _FORBIDDEN:
        raise AssertionError(f"{event}{arguments}: this test belongs into tests/system/")


sys.addaudithook(_refuse)

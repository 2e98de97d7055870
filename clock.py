"""The one clock: whatever needs the time is given it. No other module reads the system's clock, and SQL never does.

(Python's logging stamps the events of the log by itself.)"""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The system's clock. Tests pass one that they advance."""

    def seconds(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment, for waiting: setting the system's time does not change them."""
        return time.monotonic()

    def milliseconds(self) -> int:
        """Whole milliseconds since 1970."""
        return int(1000 * self.seconds())

    def now(self) -> str:
        """The current time as the database stores it: UTC text to the millisecond, 2026-01-31T12:00:00.000Z."""
        return self.ago(timedelta(0))

    def ago(self, duration: timedelta) -> str:
        """The time `duration` ago, in the form of `now`. Later times compare as greater."""
        return format_time(datetime.fromtimestamp(self.seconds(), UTC) - duration)


SYSTEM_CLOCK = Clock()


def format_time(moment: datetime) -> str:
    """A moment in UTC, in the form of `Clock.now`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

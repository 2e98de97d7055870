"""The one clock. SQL never asks for the time; it is told."""

from datetime import UTC, datetime, timedelta


def now() -> str:
    """The current time as the database stores it: UTC text to the millisecond, 2026-01-31T12:00:00.000Z."""
    return ago(timedelta(0))


def ago(duration: timedelta) -> str:
    """The time that lies `duration` back, in the form of `now`. Later times compare as greater."""
    return stamp(datetime.now(UTC) - duration)


def stamp(moment: datetime) -> str:
    """A moment in UTC, in the form of `now`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

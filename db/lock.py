"""The lock that every writer of a database takes: one at a time, in this process and in all others."""

import fcntl
import os
from pathlib import Path
from types import TracebackType


class WriteLock:
    """An exclusive `flock` on `<database>.lock`; entering waits for it. The kernel frees it when a process dies.

    SQLite has a lock of its own, but those who wait for it poll, and may wait long. Waiting here costs
    nothing, and no two processes ever checkpoint at the same time (SQLite below 3.51.3 can corrupt a
    WAL database there, https://sqlite.org/wal.html)."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def __enter__(self) -> "WriteLock":
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._descriptor is not None
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back. The lock can be entered again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

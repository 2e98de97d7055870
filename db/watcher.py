"""Notices commits: what was remembered before one is forgotten after it."""

import sqlite3
import threading
from collections.abc import Callable
from typing import Any


class Watcher:
    """Keeps a dict for exactly as long as nothing is committed, by any process.

    It compares `PRAGMA data_version` on a connection of its own, which never writes: the number means
    nothing on another one (https://sqlite.org/pragma.html#pragma_data_version)."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connect()
        self._lock = threading.Lock()
        # One tuple: nobody can see the dict of one version beside the number of another.
        self._current: tuple[int, dict[Any, Any]] = (self._version(), {})

    def remembered(self) -> dict[Any, Any]:
        """The dict that belongs to the database as it is now.

        Take it before reading what is to be remembered, and store into the one that was taken: a commit in
        between then makes a dict that nobody asks again, and never a stale answer. While the database is out
        of reach, nothing is remembered."""
        with self._lock:
            try:
                version = self._version()
            except sqlite3.Error:
                return {}
            if version != self._current[0]:
                self._current = (version, {})
            return self._current[1]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _version(self) -> int:
        ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
        return int(version)

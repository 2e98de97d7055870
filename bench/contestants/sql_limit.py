"""The SQL limit: a loop that calls Rowboat's SQL files through one connection, without HTTP.

python -m bench.contestants.sql_limit DATABASE SECONDS REQUESTS...; each file of requests is written by
bench/workload.py. Prints one line of JSON for each: {"requests", "seconds", "p50_ms", ...}.
A read is one snapshot; each write is committed by itself."""

import json
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

from config import Config
from db.connection import connect
from db.statements import SQLFile, load

SQL = Path(__file__).resolve().parent.parent.parent / "sql"


class _Request:
    """The statements of one request, and their parameters."""

    def __init__(self, files: list[SQLFile], method: str, parameters: dict[str, Any]) -> None:
        self.statements = [statement for file in files for statement in file.statements]
        self.begin = "BEGIN IMMEDIATE" if method == "POST" else "BEGIN"
        self.opens_session = any(file.name == "sessions/create" for file in files)
        self.parameters = dict.fromkeys(name for file in files for name in file.parameters) | parameters

    def run(self, connection: sqlite3.Connection) -> None:
        """Answer it: what one statement finds are parameters of the next ones."""
        if self.opens_session:
            self.parameters["token_hash"] = secrets.token_hex(32)
        found = self.parameters
        connection.execute(self.begin)
        for statement in self.statements:
            cursor = connection.execute(statement, found)
            rows = cursor.fetchall()
            if cursor.description and rows:
                found = found | dict(zip((column[0] for column in cursor.description), rows[0], strict=True))
        connection.execute("COMMIT")


def _requests(path: Path, files: dict[str, SQLFile]) -> Iterator[_Request]:
    for request in json.loads(path.read_text()):
        yield _Request([files[name] for name in request["files"]], request["method"], request["parameters"])


def _measure(connection: sqlite3.Connection, requests: list[_Request], seconds: float) -> dict[str, float]:
    taken: list[float] = []
    end = time.perf_counter() + seconds
    for request in cycle(requests):
        began = time.perf_counter()
        request.run(connection)
        done = time.perf_counter()
        taken.append(done - began)
        if done > end:
            break
    ordered = [1000 * each for each in sorted(taken)]
    return {
        "requests": len(taken),
        "seconds": sum(taken),
        "p50_ms": ordered[len(ordered) // 2],
        "p99_ms": ordered[len(ordered) * 99 // 100],
        "max_ms": ordered[-1],
        "refused": 0,
        "broken": 0,
    }


def main() -> None:
    """Measure each file of requests in turn."""
    database, seconds, *paths = sys.argv[1:]
    with closing(connect(Path(database), synchronous=Config().synchronous)) as connection:
        files = load(SQL, connection)
        for path in map(Path, paths):
            print(json.dumps(_measure(connection, list(_requests(path, files)), float(seconds))), flush=True)


if __name__ == "__main__":
    main()

"""What Server-Timing costs: one article, never seen, in the application without HTTP, with the header and without.

python -m bench.server_timing [ROUNDS]"""

import io
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import app
from bench.generate import generate
from bench.servers import HOME
from config import Config
from db import Database

_REQUESTS = 200


def _environ(path: str, number: int) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": f"_={number}",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8080",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }


def main() -> None:
    """Print both medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rowboat.db"
        generate(1000, path)
        with closing(Database(path, HOME / "sql")) as database:
            applications = {study: app.make_app(Config(study=study), database) for study in ("off", "local")}
            slug = json.loads(database.read("articles/list", page="[1]", total=1, me=None))["articles"][0]["slug"]
            numbers = count()
            taken: dict[str, list[float]] = {study: [] for study in applications}
            for _ in range(rounds):
                for study, application in applications.items():
                    requests = [_environ(f"/api/articles/{slug}", next(numbers)) for _ in range(_REQUESTS)]
                    began = time.perf_counter()
                    for environ in requests:
                        list(application(environ, lambda *_: None))
                    taken[study].append(1e6 * (time.perf_counter() - began) / _REQUESTS)
    off, on = (statistics.median(each) for each in taken.values())
    print(f"{off:.1f} µs without, {on:.1f} µs with Server-Timing: {on - off:.1f} µs more")


if __name__ == "__main__":
    main()

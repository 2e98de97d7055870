"""What it costs to look on: one article, never seen, in the application without HTTP; with Server-Timing, with metrics,
with the log, and without.

python -m bench.observing [ROUNDS] 2>/dev/null"""

import io
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import Any

import app
from bench.generate import generate
from bench.servers import HOME
from config import Config
from db import Database
from metrics import Metrics
from middleware import WSGIApplication

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


class _Uncounted(Metrics):
    """Metrics that count nothing."""

    def answered(self, *_: Any, **__: Any) -> None:
        """Let a request pass."""


def _applications(stack: ExitStack, path: Path) -> dict[str, WSGIApplication]:
    """Each on a connection of its own, for what runs tells the metrics of one."""

    def application(
        study: str = "off", metrics: Metrics | None = None, level: int = logging.WARNING
    ) -> WSGIApplication:
        logging.getLogger("rowboat").setLevel(level)
        database = stack.enter_context(closing(Database(path, HOME / "sql")))
        return app.make_app(Config(study=study, log_format="json"), database, metrics=metrics or _Uncounted())

    return {
        "nothing": application(),
        "Server-Timing": application(study="on"),
        "metrics": application(metrics=Metrics()),
        "the log": application(level=logging.INFO),
    }


def main() -> None:
    """Print the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "rowboat.db"
        generate(1000, path)
        with closing(Database(path, HOME / "sql")) as database:
            listing = json.loads(database.read("articles/list", page="[1]", total=1, me=None, most_bytes=0))
        slug = listing["articles"][0]["slug"]
        applications = _applications(stack, path)
        numbers, chance = count(), random.Random(1)
        taken: dict[str, list[float]] = {what: [] for what in applications}
        for _ in range(rounds):
            for what, application in chance.sample(sorted(applications.items()), len(applications)):
                requests = [_environ(f"/api/articles/{slug}", next(numbers)) for _ in range(_REQUESTS)]
                began = time.perf_counter()
                for environ in requests:
                    list(application(environ, lambda *_: None))
                taken[what].append(1e6 * (time.perf_counter() - began) / _REQUESTS)
    medians = {what: statistics.median(each) for what, each in taken.items()}
    without = medians.pop("nothing")
    print(f"{without:.1f} µs; " + ", ".join(f"{what} adds {each - without:.1f} µs" for what, each in medians.items()))


if __name__ == "__main__":
    main()

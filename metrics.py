"""What is counted while requests are served, by all workers together, for Prometheus at /metrics.

The counting is prometheus-client's; for several workers its multiprocess mode, with files in a folder that they share
(https://prometheus.github.io/client_python/multiprocess/)."""

import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from copies import newest_copy
from db import Database
from db.database import Ran
from files import is_private
from plugins.authentication import SESSION_LIFETIME

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LOG = logging.getLogger("rowboat")

# A file is mapped into memory: on a file system that is full, writing to it would kill the worker.
_LEAST_FREE_BYTES = 4 * 1024 * 1024

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metric(NamedTuple):
    """A row of /metrics. A histogram has the upper `bounds` of its buckets, in its unit."""

    name: str
    kind: str  # of Prometheus: counter, gauge, histogram, summary
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()


_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

REQUESTS = Metric(
    "rowboat_request_duration_seconds",
    "histogram",
    ("method", "route", "status"),
    "Requests answered, by route template, and how long that took; its _count is the number of requests.",
    _SECONDS,
)
SQL = Metric("rowboat_sql_duration_seconds", "summary", ("file",), "Runs of each file in sql/, and how long they took.")
LOCK = Metric(
    "rowboat_write_lock_wait_seconds",
    "histogram",
    (),
    "How long each commit waited for the lock that all writers share.",
    _SECONDS,
)
CACHE_HITS = Metric("rowboat_cache_hits", "counter", (), "Answers that were remembered since the last commit.")
QUEUE = Metric("rowboat_queue_depth", "gauge", (), "Requests that wait for a thread, of all workers.")
DATABASE = Metric("rowboat_database_bytes", "gauge", (), "The size of the database file.")
WAL = Metric("rowboat_wal_bytes", "gauge", (), "The size of the write-ahead log beside it.")
BACKUP = Metric("rowboat_backup_age_seconds", "gauge", (), "The age of the newest copy in backups/; +Inf without one.")
FREE = Metric("rowboat_disk_free_bytes", "gauge", (), "What is free on the disk of the database.")
SESSIONS = Metric("rowboat_sessions", "gauge", (), "Sessions that are open.")

METRICS = [REQUESTS, SQL, LOCK, CACHE_HITS, QUEUE, DATABASE, WAL, FREE, BACKUP, SESSIONS]


class Metrics:
    """What one worker counts. Safe to share between threads.

    With a `folder`, which must be private, workers share what they count there, each under a `number` that no other
    living worker has. `waiting` says how many requests wait for a thread."""

    def __init__(self, folder: Path | None = None, number: int = 0) -> None:
        self.waiting: Callable[[], int] = lambda: 0
        self._number = number
        self._folder = folder if folder and _can_share(folder) else None
        self._warned: set[Path] = set()
        if self._folder:
            self.close()  # what a worker of this number left that was killed
            for path in self._folder.glob(f"*_{number}.db"):
                if not self._is_sound(path):
                    path.unlink()
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder)
            values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._requests = Histogram(REQUESTS.name, REQUESTS.help, REQUESTS.labels, buckets=_SECONDS, registry=registry)
        self._sql = Summary(SQL.name, SQL.help, SQL.labels, registry=registry)
        self._lock = Histogram(LOCK.name, LOCK.help, buckets=_SECONDS, registry=registry)
        self._hits = Counter(CACHE_HITS.name, CACHE_HITS.help, registry=registry)
        self._queue = Gauge(QUEUE.name, QUEUE.help, registry=registry, multiprocess_mode="livesum")

    def answered(
        self, method: str, route: str, status: str, seconds: float, ran: Ran, *, remembered: bool = False
    ) -> None:
        """Count a request, the SQL files that ran for it, and whether its answer was remembered."""
        with suppress(OSError):  # nobody goes without an answer because it cannot be counted
            self._requests.labels(method, route, status).observe(seconds)
            for file, took in ran:
                self._sql.labels(file).observe(took)
            if remembered:
                self._hits.inc()
            self._queue.set(self.waiting())

    def waited(self, seconds: float) -> None:
        """Count a wait for the writers' lock."""
        with suppress(OSError):
            self._lock.observe(seconds)

    def close(self) -> None:
        """No more requests of this worker wait; what it has counted stays."""
        if self._folder:
            mark_process_dead(self._number, str(self._folder))  # type: ignore[no-untyped-call]

    def exposition(self, database: Database) -> str:
        """The body of /metrics, in Prometheus' text format."""
        self._queue.set(self.waiting())
        counted = {family.name: family for family in self._of_all_workers()}
        families = [counted[metric.name] for metric in METRICS if metric.name in counted]
        return generate_latest(_Families([*families, *_gauges(database)])).decode()

    def _of_all_workers(self) -> list[Family]:
        if not self._folder:
            return list(self._registry.collect())
        if not is_private(self._folder):
            _LOG.warning("%s is gone, or not ours: metrics are left out until a restart", self._folder)
            return []
        files = [str(path) for path in sorted(self._folder.glob("*.db")) if self._is_sound(path)]
        return list(_merged(files))

    def _is_sound(self, path: Path) -> bool:
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise ValueError("no regular file")
            _merged([str(path)])
        except FileNotFoundError:  # a worker has ended
            return False
        except Exception as error:  # prometheus-client raises all kinds for what it cannot read
            if path not in self._warned:
                _LOG.warning("%s is left out of the metrics: %s: %s", path, type(error).__name__, error)
            self._warned.add(path)
            return False
        return True


_merged: Callable[[list[str]], Iterable[Family]] = MultiProcessCollector.merge


class _Families(NamedTuple):
    """Hands families to prometheus-client."""

    families: list[Family]

    def collect(self) -> list[Family]:
        return self.families


def _can_share(folder: Path) -> bool:
    if not is_private(folder):
        _LOG.warning("%s is gone, or not ours: this worker's metrics are its own", folder)
    elif shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
        _LOG.warning("%s has no room: this worker's metrics are its own", folder)
    else:
        return True
    return False


def _gauges(database: Database) -> Iterator[Family]:
    wal = database.path.with_name(database.path.name + "-wal")
    now = database.clock.seconds()
    newest = newest_copy(database.path, now)
    sessions = database.row("sessions/count", expired=database.clock.ago(SESSION_LIFETIME)) or {}
    for metric, value in (
        (DATABASE, _size(database.path)),
        (WAL, _size(wal)),
        (FREE, shutil.disk_usage(database.path.parent).free),
        (BACKUP, float("inf") if newest is None else now - newest),
        (SESSIONS, sessions["sessions"]),
    ):
        yield GaugeMetricFamily(metric.name, metric.help, value)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

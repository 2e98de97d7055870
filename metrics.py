"""What is counted while requests are answered: by each worker in memory, and added up for Prometheus at /metrics.

prometheus-client writes the format, and is loaded once somebody asks. It can count for several processes, too, but
its locks and its shared file take 5 µs of each request; counting here takes less than one (bench/observing.py)."""

import json
import logging
import shutil
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from copies import newest_copy
from db import Database
from db.database import Ran
from plugins.authentication import SESSION_LIFETIME

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# A worker that is killed takes with it what it has counted for so long; and so old may the numbers of others be.
_SECONDS_BETWEEN_WRITES = 1


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

# A metric's name and the values of its labels; how many fell into each bucket and above, and their sum.
_Counted = dict[tuple[str, ...], list[float]]


class Metrics:
    """What one worker counts. Safe to share between threads.

    With a `folder`, it is kept in the file `number`.json there: each worker has a number of its own, and carries on
    where the last one with this number stopped. `waiting` says how many requests wait for a thread."""

    def __init__(self, folder: Path | None = None, number: int = 0) -> None:
        self.waiting: Callable[[], int] = lambda: 0
        self._folder = folder
        self._number = number
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._kept = True
        self._counted: _Counted = {}
        self._news = threading.Event()
        if folder:
            self._counted = _read(folder / f"{number}.json")[0]
            threading.Thread(target=self._keep, name="metrics", daemon=True).start()

    def answered(
        self, method: str, route: str, status: str, seconds: float, ran: Ran, *, remembered: bool = False
    ) -> None:
        """Count a request, the SQL files that ran for it, and whether its answer was remembered."""
        with self._lock:
            self._observe(REQUESTS, (REQUESTS.name, method, route, status), seconds)
            for file, took in ran:
                self._observe(SQL, (SQL.name, file), took)
            if remembered:
                self._observe(CACHE_HITS, (CACHE_HITS.name,), 0)
        if not self._news.is_set():
            self._news.set()

    def waited(self, seconds: float) -> None:
        """Count a wait for the writers' lock."""
        with self._lock:
            self._observe(LOCK, (LOCK.name,), seconds)

    def write(self) -> None:
        """Let the other workers know what is counted; nothing without a folder."""
        with self._writing:
            if not self._folder:
                return
            new = self._folder / f"{self._number}.new"
            with self._lock:
                text = json.dumps([list(self._counted.items()), self.waiting()])
            try:
                self._folder.mkdir(0o700, exist_ok=True)  # whoever tidies up /tmp may have taken it away
                new.write_text(text)
                new.replace(self._folder / f"{self._number}.json")
                self._kept = True
            except OSError as error:  # a full disk is no reason to answer nobody
                if self._kept:
                    logging.getLogger("rowboat").warning("metrics of this worker are not kept: %s", error)
                self._kept = False

    def remove(self) -> None:
        """Remove the folder of all workers, and write no more."""
        with self._writing:
            folder, self._folder = self._folder, None
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def exposition(self, database: Database) -> str:
        """The body of /metrics, in Prometheus' text format."""
        from prometheus_client import generate_latest  # not before somebody asks: it takes a megabyte

        counted, waiting = self._of_all_workers()
        return generate_latest(_Collector(counted, _gauges(database) | {QUEUE.name: waiting})).decode()

    def _observe(self, metric: Metric, key: tuple[str, ...], amount: float) -> None:
        numbers = self._counted.get(key)
        if numbers is None:
            numbers = self._counted[key] = [0] * (len(metric.bounds) + 2)
        numbers[bisect_left(metric.bounds, amount)] += 1
        numbers[-1] += amount

    def _keep(self) -> None:
        while self._news.wait():
            time.sleep(_SECONDS_BETWEEN_WRITES)
            self._news.clear()
            self.write()

    def _of_all_workers(self) -> tuple[_Counted, int]:
        with self._lock:
            sums = {key: numbers.copy() for key, numbers in self._counted.items()}
        waiting = self.waiting()
        files = self._folder.glob("*.json") if self._folder else ()
        for counted, queued in (_read(path) for path in files if path.stem != str(self._number)):
            waiting += queued
            for key, numbers in counted.items():
                sums[key] = [a + b for a, b in zip(sums.get(key, [0] * len(numbers)), numbers, strict=True)]
        return sums, waiting


def _read(path: Path) -> tuple[_Counted, int]:
    if not path.exists():
        return {}, 0
    counted, waiting = json.loads(path.read_text())
    lengths = {metric.name: len(metric.bounds) + 2 for metric in METRICS}
    # Other code may have counted otherwise, before a reload.
    return {tuple(key): numbers for key, numbers in counted if len(numbers) == lengths.get(key[0])}, waiting


def _gauges(database: Database) -> dict[str, float]:
    wal = database.path.with_name(database.path.name + "-wal")
    now = database.clock.seconds()
    newest = newest_copy(database.path, now)
    sessions = database.row("sessions/count", expired=database.clock.ago(SESSION_LIFETIME)) or {}
    return {
        DATABASE.name: _size(database.path),
        WAL.name: _size(wal),
        FREE.name: shutil.disk_usage(database.path.parent).free,
        BACKUP.name: float("inf") if newest is None else now - newest,
        SESSIONS.name: sessions["sessions"],
    }


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Collector:
    """Hands numbers to prometheus-client."""

    def __init__(self, counted: _Counted, gauges: Mapping[str, float]) -> None:
        self._counted = counted
        self._gauges = gauges

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core

        for metric in METRICS:
            if metric.kind == "gauge":
                yield core.GaugeMetricFamily(metric.name, metric.help, self._gauges[metric.name])
                continue
            families = {
                "counter": core.CounterMetricFamily,
                "histogram": core.HistogramMetricFamily,
                "summary": core.SummaryMetricFamily,
            }
            family = families[metric.kind](metric.name, metric.help, labels=metric.labels)
            for (name, *labels), (*buckets, total) in self._counted.items():
                if name == metric.name:
                    family.add_metric(labels, *_numbers(metric, buckets, total))
            yield family


def _numbers(metric: Metric, buckets: list[float], total: float) -> tuple[Any, ...]:
    """What a family wants to know."""
    if metric.kind == "histogram":
        return list(zip([*map(str, metric.bounds), "+Inf"], accumulate(buckets), strict=True)), total
    return (sum(buckets),) if metric.kind == "counter" else (sum(buckets), total)

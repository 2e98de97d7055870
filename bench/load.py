"""Load from wrk, and what comes of it."""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.servers import HOME, BenchError, Server

CONNECTIONS = 16

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Sample:
    """One measurement. `max_ms` is the longest wait of any request."""

    rps: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Wrong(Exception):
    """A measurement that does not count: some answers were errors, or none came."""


@dataclass(frozen=True)
class Key:
    """What was measured: in which part of the benchmark, at how many articles, who, and what they were asked."""

    part: str
    size: int
    who: str
    route: str
    mode: str


@dataclass
class Results:
    """All samples by what was measured, and what was not measured, with the reason."""

    samples: dict[Key, list[Sample]] = field(default_factory=dict)
    missing: dict[Key, str] = field(default_factory=dict)
    # Single figures such as memory, by name.
    figures: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, key: Key, sample: Sample) -> None:
        """Note a repetition."""
        self.samples.setdefault(key, []).append(sample)

    def median(self, part: str, size: int, who: str, route: str, mode: str, what: str = "rps") -> float | None:
        """The median over the repetitions; None for what was not measured, or not answered rightly."""
        key = Key(part, size, who, route, mode)
        if key in self.missing or key not in self.samples:
            return None
        return statistics.median(getattr(sample, what) for sample in self.samples[key])

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        measured = [asdict(key) | {"samples": list(map(asdict, all_))} for key, all_ in self.samples.items()]
        missing = [asdict(key) | {"reason": reason} for key, reason in self.missing.items()]
        return {"measured": measured, "missing": missing, "figures": self.figures, "notes": self.notes}


def require_wrk() -> None:
    """Raise BenchError, which says how to get it, where there is no wrk."""
    if not shutil.which("wrk"):
        raise BenchError("wrk is missing; on Debian and Ubuntu: apt-get install wrk")


def headers_of(server: Server, path: str) -> list[tuple[str, str]]:
    """The headers of an answer, but for those that every answer of waitress's has."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)) as connection:
        connection.request("GET", path)
        headers = connection.getresponse().getheaders()
    return [each for each in headers if each[0] not in ("Content-Type", "Content-Length", "Date", "Server")]


def start_wrk(
    server: Server,
    requests: Path,
    seconds: int,
    connections: int = CONNECTIONS,
    skip: int = 0,
    unseen: bool = True,
) -> subprocess.Popen[str]:
    """Begin to send a file of requests, from the `skip`th on, round and round; `finish` waits for the end.

    With `unseen`, no two GETs are the same."""
    script = HOME / "bench" / "requests.lua"
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += [
        "--timeout",
        f"{_TIMEOUT_SECONDS}s",
        "--script",
        str(script),
        server.url,
        "--",
        str(requests),
        str(skip),
        *([str(time.monotonic_ns())] * unseen),
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: machine.pin(machine.cores_of_load(server.processes)),
    )


def finish(wrk: subprocess.Popen[str], seconds: int) -> Sample:
    """What came of a load. Raises Wrong unless every answer was a good one."""
    try:
        output, _ = wrk.communicate(timeout=seconds + 2 * _TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        wrk.kill()
        wrk.communicate()
        raise Wrong("wrk did not end in time") from None
    try:
        return sample(json.loads(output.splitlines()[-1]))
    except (ValueError, IndexError):
        raise Wrong(f"wrk said: {output.strip()[-200:]}") from None


def sample(told: dict[str, float]) -> Sample:
    """A sample from what requests.lua or the SQL limit printed. Raises Wrong unless every answer was a good one."""
    if told["refused"] or told["broken"] or not told["requests"]:
        counts = f"{told['refused']:.0f} with an error status, {told['broken']:.0f} broken off"
        raise Wrong(f"of {told['requests']:.0f} answers {counts}")
    return Sample(told["requests"] / told["seconds"], told["p50_ms"], told["p99_ms"], told["max_ms"])


def wrk(server: Server, requests: Path, seconds: int, **options: Any) -> Sample:
    """Send a file of requests for some seconds, with the options of `start_wrk`. Raises Wrong."""
    return finish(start_wrk(server, requests, seconds, **options), seconds)


def sql_limit(
    database: Path, requests: list[Path], seconds: float, extra: dict[str, str] | None = None
) -> Iterator[Sample]:
    """The SQL limit of each file of requests."""
    command = [sys.executable, "-m", "bench.contestants.sql_limit", str(database), str(seconds), *map(str, requests)]
    done = subprocess.run(
        command,
        cwd=HOME,
        env=os.environ | (extra or {}),
        capture_output=True,
        text=True,
        timeout=60 + 2 * seconds * len(requests),
        preexec_fn=lambda: machine.pin(machine.SERVER_CORE),
    )
    if done.returncode:
        raise BenchError(f"the SQL limit failed: {done.stderr.strip().splitlines()[-1]}")
    for line in done.stdout.splitlines():
        yield sample(json.loads(line))

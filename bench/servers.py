"""Starting and stopping the contestants' servers: each on a free port of 127.0.0.1, pinned, its output in a file."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine

HOME = Path(__file__).resolve().parent.parent
PEERS = ["flask", "fastapi", "django"]
LABELS = {
    "rowboat": "Rowboat",
    "flask": "Flask + SQLAlchemy",
    "fastapi": "FastAPI + SQLAlchemy",
    "django": "Django + DRF",
    "ceiling": "the ceiling",
    "sql": "the SQL limit",
}

_START_SECONDS = 30

# As behind a proxy, where nobody is told of the SQL. Users may write more than in practice; it is counted all the same.
_ROWBOAT_SETTINGS = {"ROWBOAT_STUDY": "off", "ROWBOAT_POSTS_PER_HOUR": "1000000000"}


class BenchError(Exception):
    """What ends the benchmark: the message says what to do."""


def command(name: str, port: int, data: Path, processes: int = 1) -> list[str]:
    """What starts a contestant. `data` is its database, or the ceiling's answers."""
    bind = f"127.0.0.1:{port}"
    gunicorn = ["-m", "gunicorn", "--bind", bind, "--workers", str(processes), "--worker-class", "gthread"]
    gunicorn += ["--threads", "4", "--keep-alive", "30", "--no-control-socket"]
    workers = ["--workers", str(processes)]
    uvicorn = ["-m", "uvicorn", "--port", str(port), "--no-access-log", "--log-level", "warning", *workers]
    arguments = {
        "rowboat": ["app.py", "serve", "--database", str(data), "--port", str(port), *workers],
        "ceiling": ["-m", "bench.contestants.ceiling", str(data), str(port)],
        "flask": [*gunicorn, "bench.contestants.flask_sqlalchemy:app"],
        "django": [*gunicorn, "bench.contestants.django_drf.wsgi:application"],
        "fastapi": [*uvicorn, "bench.contestants.fastapi_sqlalchemy:app"],
    }
    return [sys.executable, *arguments[name]]


@dataclass
class Server:
    """A running contestant."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    data: Path
    processes: int = 1
    started: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until_it_answers(self) -> float:
        """Seconds from its start to its first good answer. Raises BenchError when there is none."""
        while time.monotonic() < self.started + _START_SECONDS:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/api/tags")
                if connection.getresponse().status == 200:
                    return time.monotonic() - self.started
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise BenchError(f"{LABELS[self.name]} does not answer; see bench/results/logs/{self.name}.log")

    def wait_until_idle(self) -> None:
        """Return once it answers at once again: logins that nobody waits for may still be in its queue."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            began = time.monotonic()
            self.started = began
            self.wait_until_it_answers()
            if time.monotonic() - began < 0.05:
                return

    def stop(self) -> None:
        """End it, by its process id; after ten seconds by force, with its children."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def serving(
    name: str,
    data: Path,
    processes: int = 1,
    extra: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A contestant's server that answers; stopped at the end. `extra` is added to its environment."""
    server = start(name, data, processes, extra)
    try:
        server.wait_until_it_answers()
        yield server
    finally:
        server.stop()


def start(
    name: str,
    data: Path,
    processes: int = 1,
    extra: dict[str, str] | None = None,
) -> Server:
    """Start a contestant's server; it may not answer yet."""
    port = _free_port()
    log = HOME / "bench" / "results" / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(name, port, data, processes),
            cwd=HOME,
            env=_environment(data) | (extra or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: machine.pin(machine.cores_of_server(processes)),
        )
    return Server(name, port, process, data, processes)


def _environment(data: Path) -> dict[str, str]:
    """The environment without anybody's settings, and with the benchmark's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ROWBOAT_")}
    return clean | _ROWBOAT_SETTINGS | {"BENCH_DATABASE": str(data), "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

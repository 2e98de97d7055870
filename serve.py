"""The parent process: it holds the sockets, starts the workers and keeps them running. Knows no application code.

It needs the standard library alone, so that it stays small and is seldom changed: a reload brings new workers, and
leaves the parent as it is."""

import signal

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
if __name__ == "__main__":
    # For process 1 Linux drops signals without a handler: they wait until there are handlers (Parent.run).
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

# ruff: noqa: E402 (the imports take a tenth of a second)
import dataclasses
import ipaddress
import itertools
import logging
import math
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import files
import logs
from config import Config, ConfigError, usable_cores, with_file
from schedule import Backups

_LOG = logging.getLogger("rowboat")

_APP = Path(__file__).with_name("app.py")

_BLIND = (
    "guesses at passwords that come from this machine are counted by account alone, not by client address; "
    "behind a proxy, set ROWBOAT_TRUSTED_PROXY to its address"
)

# A worker that ends is replaced, but not more often than so: one that cannot live must not take all of a core.
_SECONDS_BETWEEN_STARTS = 1

# Beyond the time for draining: so long may a worker take to end before it is killed.
_SECONDS_TO_DIE = 10


def bind(host: str, port: int, count: int = 1) -> list[socket.socket]:
    """So many sockets on the address, each for a worker to listen on; port 0 takes a free one. Raises OSError.

    The first one listens from now on: another server cannot take the address, and early clients wait.

    Linux spreads new connections evenly over those that listen. With one socket for all, whoever is awake first
    may take every connection of a proxy, and keep them (16 of 16 were seen). Elsewhere it is one for all."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sockets: list[socket.socket] = []
    for _ in range(count if sys.platform == "linux" else 1):
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sockets:  # else an address that is in use would not be refused
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind(sockets[0].getsockname() if sockets else address)
        except OSError:
            bound.close()
            raise
        if not sockets:
            bound.listen(1024)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sockets.append(bound)
    return sockets if len(sockets) == count else sockets * count


def url(bound: socket.socket) -> str:
    """The address that a browser on this machine would open."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Worker(NamedTuple):
    """A process that answers requests: its place among the sockets, from 0, and when it was started.

    `number` is its own as long as it lives: what it counts stands in the file of that number (see metrics.py).

    `process` is only held on to: once nobody does, the next one to be started would ask how this one ended, and
    nobody else could learn it."""

    place: int
    number: int
    started: float
    process: "subprocess.Popen[bytes]"


class Parent:
    """Starts a worker on each socket and replaces those that end.

    SIGTERM and SIGINT end it: no more connections are taken, and the workers answer what they have. SIGHUP replaces
    the workers by new ones, with the code and the settings of now, while nobody is refused.
    A `notice` is logged once they answer. `counts` is the folder in which they keep what they count. It also starts
    backups, where the settings ask for them."""

    def __init__(self, sockets: list[socket.socket], config: Config, counts: str, notice: str = "") -> None:
        self._sockets = sockets
        self._config = config
        self._environment = _for_workers(config)
        self._counts = counts
        self._notice = notice
        self._cores = usable_cores() if config.pin and hasattr(os, "sched_setaffinity") else []
        self._workers: dict[int, Worker] = {}  # by process id
        self._empty: list[int] = []  # places where no worker could be started
        self._backups = Backups()
        # Those that were told to end: until when they may take, and what is held on to.
        self._leaving: dict[int, tuple[float, object]] = {}
        self._stopping = False
        self._reloading = False
        # Workers hold its reading end, and end when nobody holds this one: also when the parent was killed.
        self._alive, self._our_life = os.pipe()
        # A signal writes a byte here, which ends the waiting below.
        self._noticed, self._notices = os.pipe()
        os.set_blocking(self._noticed, False)
        os.set_blocking(self._notices, False)

    def run(self) -> int:
        """Serve until told to stop. Returns the exit status: 0, or that of a worker that could not start at all."""
        signal.set_wakeup_fd(self._notices)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._stopping:
            return 0
        is_new = not self._config.database.exists()
        # The first one migrates the database; should it not be able to start, neither would the others.
        ready = self._start(0)[1]
        if not self._answers(ready) and not self._stopping:
            return os.waitstatus_to_exitcode(os.wait()[1])
        if not self._stopping:
            for place in range(1, len(self._sockets)):
                if not self._start_and_go_on(place):
                    self._empty.append(place)
            database = _described(self._config.database, is_new)
            _say(f"Rowboat on {url(self._sockets[0])}/api (workers: {len(self._sockets)}), database {database}")
            if self._notice:
                _LOG.info(self._notice)
            _tell_system("READY=1")
        while not self._stopping:
            self._note_who_ended()
            if self._reloading:
                self._begin_anew()
            else:
                due = self._backups.start_when_due(self._config, self._environment)
                self._wait(until=min(due, time.monotonic() + _SECONDS_BETWEEN_STARTS) if self._empty else due)
                while self._empty and not self._stopping and self._start_and_go_on(self._empty[-1]):
                    self._empty.pop()
        self._end_all()
        return 0

    def _wait(self, *pipes: int, until: float = math.inf) -> list[int]:
        """Return after a signal, when one of the pipes can be read, then, or when somebody takes too long to leave."""
        deadline = min([until, *(deadline for deadline, _ in self._leaving.values())])
        seconds = None if deadline == math.inf else max(0, deadline - time.monotonic())
        readable, _, _ = select.select([self._noticed, *pipes], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._noticed, 4096)
        for pid, (deadline, held) in list(self._leaving.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._leaving[pid]
            elif time.monotonic() > deadline:
                _LOG.warning("process %d took too long to end, and was killed", pid)
                _send(pid, signal.SIGKILL)
                self._leaving[pid] = time.monotonic() + _SECONDS_TO_DIE, held
        return readable

    def _answers(self, ready: int) -> bool:
        """Whether a worker that was started comes to listen: waits until it does, ends, or all are to stop."""
        while ready not in self._wait(ready) and not self._stopping:
            pass
        heard = not self._stopping and os.read(ready, 1) != b""
        os.close(ready)
        return heard

    def _note_who_ended(self) -> None:
        while self._workers or self._leaving or self._backups.process:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._leaving.pop(pid, None):
                continue
            status = os.waitstatus_to_exitcode(ended)
            if self._backups.process and self._backups.process.pid == pid:
                self._backups.ended(f"it ended with {status}" if status else "", self._config)
                continue
            if pid not in self._workers:
                continue  # an orphan: process 1 of a container inherits those
            worker = self._workers.pop(pid)
            _LOG.warning("worker %d ended with %d; another takes its place", pid, status)
            # At once, for the clients on its socket wait; but not over and over.
            time.sleep(max(0, worker.started + _SECONDS_BETWEEN_STARTS - time.monotonic()))
            if not self._start_and_go_on(worker.place):
                self._empty.append(worker.place)

    def _begin_anew(self) -> None:
        """Go on with the code and the settings of now; where they cannot be used, with those of before."""
        self._reloading = False
        _tell_system(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        before = self._environment
        try:
            self._environment = _for_workers(self._config)
            self._read_anew()
            replaced = self._replace_all()
        except (ConfigError, OSError) as error:
            replaced = False
            _LOG.error("%s; the old workers stay", error)
        if not replaced:
            self._environment = before
        _tell_system("READY=1")

    def _read_anew(self) -> None:
        """Take over the settings of the parent itself that it can still change."""
        try:
            config = Config.from_environment(os.environ)
        except ConfigError as error:  # a new worker, whose code may know more, decides whether it stays
            _LOG.warning("%s", error)
            return
        for name in ("database", "host", "port", "workers", "pin"):
            if getattr(config, name) != getattr(self._config, name):
                _LOG.warning("ROWBOAT_%s has changed, which needs a restart", name.upper())
        self._config = dataclasses.replace(config, database=self._config.database)
        logs.set_up(config)
        self._backups.look_anew()

    def _replace_all(self) -> bool:
        """One place after the other: a new worker answers on its socket before the old one is told to leave."""
        for pid, worker in list(self._workers.items()):
            new, ready = self._start(worker.place)
            if not self._answers(ready):
                self._let_go(new, self._workers.pop(new))
                if not self._stopping:
                    _LOG.error("a new worker did not start; the old ones stay")
                return False
            self._let_go(pid, self._workers.pop(pid))
        _say(f"Rowboat reloaded (workers: {len(self._sockets)})")
        return True

    def _end_all(self) -> None:
        """Take no more connections, and return when every worker has answered what it had."""
        _tell_system("STOPPING=1")
        for bound in self._sockets:
            bound.close()
        for pid in list(self._workers):
            self._let_go(pid, self._workers.pop(pid))
        if self._backups.process:
            self._let_go(self._backups.process.pid, self._backups.process)
            self._backups.process = None
        while self._leaving:
            self._note_who_ended()
            if self._leaving:
                self._wait()

    def _let_go(self, pid: int, held: object) -> None:
        self._leaving[pid] = time.monotonic() + self._config.drain_s + _SECONDS_TO_DIE, held
        _send(pid, signal.SIGTERM)

    def _start_and_go_on(self, place: int) -> bool:
        try:
            os.close(self._start(place)[1])
        except OSError as error:
            _LOG.error("a worker cannot be started: %s; it is tried again", error)
            return False
        return True

    def _start(self, place: int) -> tuple[int, int]:
        """Start a worker: its process id, and a pipe that hears a byte when it listens, and closes when it ends.

        Raises OSError where the system has no room for it, or no Python any more."""
        ready, tell_ready = os.pipe()
        living = [*self._workers.values(), *(held for _, held in self._leaving.values())]
        taken = {each.number for each in living if isinstance(each, Worker)}
        number = next(each for each in itertools.count() if each not in taken)
        descriptors = (self._sockets[place].fileno(), tell_ready, self._alive)
        command = [sys.executable, str(_APP), "worker", *map(str, descriptors), self._counts, str(number)]
        # Ctrl-C and a hangup reach the whole group. Workers keep them blocked: they are told by us.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            process = subprocess.Popen(command, pass_fds=descriptors, env=self._environment)
        except OSError:
            os.close(ready)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(tell_ready)
        with suppress(OSError):  # a container may have been given other cores meanwhile
            if self._cores:
                # One core each: handing the interpreter's lock between cores costs more than half of the speed.
                os.sched_setaffinity(process.pid, {self._cores[place % len(self._cores)]})
        self._workers[process.pid] = Worker(place, number, time.monotonic(), process)
        return process.pid, ready

    def _stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        self._stopping = True

    def _reload(self, signum: int = 0, frame: FrameType | None = None) -> None:
        self._reloading = True


def _for_workers(config: Config) -> dict[str, str]:
    """What workers and backups are told: the settings of now until the next reload, whatever the file says meanwhile,
    and always the one database. Raises ConfigError."""
    return with_file(os.environ) | {"ROWBOAT_DATABASE": str(config.database)}


def _say(text: str) -> None:
    with suppress(OSError):  # whoever listened is gone
        print(text, flush=True)


def _described(database: Path, is_new: bool) -> str:
    """The file in full, for `serve` may have been started elsewhere than usual, and its size with the WAL beside it."""
    size = 0
    for path in (database, database.with_name(database.name + "-wal")):
        with suppress(OSError):
            size += path.stat().st_size
    return f"{database.resolve()} ({size / 1e6:.1f} MB{', created now' if is_new else ''})"


def _send(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def _tell_system(state: str) -> None:
    """Tell systemd how the service is, where it asks for that (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice, suppress(OSError):
            notice.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def main() -> int:
    """Serve with the settings of the environment; returns the exit status."""
    config = Config.from_environment(os.environ)
    logs.set_up(config)
    try:
        sockets = bind(config.host, config.port, config.workers or min(len(usable_cores()), 4))
    except OSError as error:
        return _cannot(f"listen on {config.host}:{config.port}", error, "choose another with --port or ROWBOAT_PORT")
    try:
        counts, held = runtime_folder(os.environ)
    except OSError as error:
        return _cannot(f"make {error.filename}", error, "name a folder that can be written in TMPDIR")
    address = ipaddress.ip_address(sockets[0].getsockname()[0])
    is_blind = not config.trusted_proxy and (address.is_loopback or address.is_unspecified)
    try:
        return Parent(sockets, config, str(counts), _BLIND if is_blind else "").run()
    finally:
        os.close(held)
        files.remove_abandoned(counts.parent, counts.name)


def runtime_folder(environment: Mapping[str, str]) -> tuple[Path, int]:
    """A new folder that no other user can enter, for what workers count; and a descriptor that locks it.

    In memory where there is such a place: the files are mapped, and a full disk would kill workers. What servers that
    were killed have left there is removed. Raises OSError if it can be made nowhere."""
    given = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]  # systemd's RuntimeDirectory=
    places = [*filter(None, [given]), "/dev/shm", environment.get("TMPDIR") or "/tmp"]
    for place in places:
        folder = Path(place, f"rowboat-{os.urandom(8).hex()}")  # (tempfile would take a megabyte)
        try:
            files.remove_abandoned(folder.parent, "rowboat-" + 16 * "[0-9a-f]")
            folder.mkdir(0o700)
            return folder, files.hold(folder)
        except OSError:
            if place == places[-1]:
                raise
    raise AssertionError


def _cannot(what: str, error: OSError, advice: str) -> int:
    print(f"rowboat: cannot {what}: {error.strerror}; {advice}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

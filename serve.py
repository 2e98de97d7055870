"""The parent process: it holds the sockets, starts the workers and keeps them running. Knows no application code.

It needs the standard library alone, so that it stays small and need never be restarted for new code."""

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from config import Config, usable_cores

_APP = Path(__file__).with_name("app.py")

_BLIND = (
    "guesses at passwords that come from this machine are counted by account alone, not by client address; "
    "behind a proxy, set ROWBOAT_TRUSTED_PROXY to its address"
)

# A worker that ends is replaced, but not more often than so: one that cannot live must not take all of a core.
_SECONDS_BETWEEN_STARTS = 1


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


class Parent:
    """Starts a worker on each socket, replaces those that end, and ends with them on SIGTERM or SIGINT.

    A `notice` is printed once they answer."""

    def __init__(self, sockets: list[socket.socket], pin: bool, notice: str = "") -> None:
        self._sockets = sockets
        self._workers: dict[int, tuple[int, float]] = {}  # by process id: the place of each, from 0, and its start
        self._cores = usable_cores() if pin and hasattr(os, "sched_setaffinity") else []
        self._notice = notice
        self._stopping = False
        # Workers hold its reading end, and end when nobody holds this one: also when the parent was killed.
        self._alive, self._our_life = os.pipe()

    def run(self) -> int:
        """Serve until told to stop. Returns the exit status: 0, or that of a worker that could not start at all."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        # The first one migrates the database; should it not be able to start, neither would the others.
        if not _wait_for(self._start(0)) and not self._stopping:
            return os.waitstatus_to_exitcode(os.wait()[1])
        if not self._stopping:
            print(f"Rowboat on {url(self._sockets[0])}/api (workers: {len(self._sockets)})", flush=True)
            if self._notice:
                print(f"rowboat: {self._notice}", file=sys.stderr, flush=True)
        for place in range(1, len(self._sockets)):
            if not self._stopping:
                os.close(self._start(place))
        while self._workers:
            pid, ended = os.wait()
            place, started = self._workers.pop(pid)
            if not self._stopping:
                code = os.waitstatus_to_exitcode(ended)
                print(f"rowboat: worker {pid} ended with {code}; another takes its place", file=sys.stderr, flush=True)
                # At once, for the clients on its socket wait; but not over and over.
                time.sleep(max(0, started + _SECONDS_BETWEEN_STARTS - time.monotonic()))
            if not self._stopping:
                os.close(self._start(place))
        return 0

    def _start(self, place: int) -> int:
        """Start a worker; returns a pipe that hears a byte when it listens, and closes when it ends before."""
        ready, tell_ready = os.pipe()
        descriptors = (self._sockets[place].fileno(), tell_ready, self._alive)
        command = [sys.executable, str(_APP), "worker", *map(str, descriptors)]
        process = subprocess.Popen(command, pass_fds=descriptors)
        os.close(tell_ready)
        if self._cores:
            # One core each: handing the interpreter's lock between cores costs more than half of the speed.
            os.sched_setaffinity(process.pid, {self._cores[place % len(self._cores)]})
        self._workers[process.pid] = place, time.monotonic()
        if self._stopping:  # it began between the signal and the line above
            process.terminate()
        return ready

    def _stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        self._stopping = True
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _wait_for(pipe: int) -> bool:
    heard = os.read(pipe, 1)
    os.close(pipe)
    return heard != b""


def main() -> int:
    """Serve with the settings of the environment; returns the exit status."""
    config = Config.from_environment(os.environ)
    try:
        sockets = bind(config.host, config.port, config.workers or min(len(usable_cores()), 4))
    except OSError as error:
        problem = f"cannot listen on {config.host}:{config.port}: {error.strerror}"
        print(f"rowboat: {problem}; choose another with --host or --port", file=sys.stderr)
        return 2
    address = ipaddress.ip_address(sockets[0].getsockname()[0])
    is_blind = not config.trusted_proxy and (address.is_loopback or address.is_unspecified)
    return Parent(sockets, config.pin, _BLIND if is_blind else "").run()


if __name__ == "__main__":
    sys.exit(main())

"""One worker: waitress on the socket that the parent listens on (see serve.py)."""

import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import threading
import time
from contextlib import suppress
from types import FrameType, SimpleNamespace
from typing import Any

import waitress.channel
import waitress.server
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask

import framing
import passwords
from config import Config

# Bodies above the application's limit of 1 MiB reach it, so that the answer is JSON; far longer ones do not.
_MAX_BODY_BYTES = 2 * 1024 * 1024
_MAX_HEADER_BYTES = 32 * 1024

# Slow and idle clients hold a connection, not a thread; there are plenty of connections, and they time out.
_MAX_CONNECTIONS = 1000
_IDLE_SECONDS = 30

# Each connection may need a second descriptor, for the file that holds a long body.
_DESCRIPTORS = 4096

# What a worker opens beside connections: standard streams, pipes, locks, and two files for each thread that reads.
_OTHER_FILES = 40

# Who asks for more on a connection while so much of what was answered was not read yet gets one more answer on it.
# Else waitress would keep a thread waiting until the client reads.
_MOST_UNREAD_BYTES = 1024 * 1024

# While it drains: so long may an idle connection still bring a request, before it is closed.
_SECONDS_FOR_ONE_MORE = 1

# Headers and body leave in one piece: less than this waits until an answer is whole. A fifth more requests a second.
_SEND_BYTES = 65536

# What is at least so large goes back to the system as soon as it is not needed, above all the 19 MiB in which a
# password is hashed. Left alone, glibc would come to keep such a block for every thread (mallopt(3)).
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK_BYTES = 4 * 1024 * 1024

# Threads share their memory (an arena): each with one of its own, they would keep more and more that is free, and that
# the others cannot use.
_M_ARENA_MAX = -8

# Idle connections are timed by a clock that nobody sets: waitress's would close all of them, or none for a day.
waitress.channel.time = waitress.server.time = SimpleNamespace(time=time.monotonic)


def run(server: "_Server", drain_s: float, tell_ready: int, alive: int, draining: threading.Event) -> None:
    """Answer requests until SIGTERM, or until the parent is gone; then what came before, for at most `drain_s` seconds.

    `tell_ready` and `alive` are the parent's pipes: one hears a byte now, the other closes when the parent ends.
    `draining` is set once it is told to stop."""
    server.draining = draining

    def stop(signum: int, frame: FrameType | None) -> None:
        draining.set()
        server.pull_trigger()  # it may wait for the next request

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which tells us
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    gc.freeze()  # what was loaded stays: collections need not look at it again, and the slowest answers come sooner
    with suppress(BrokenPipeError):  # the parent waits for its first worker alone
        os.write(tell_ready, b".")
    os.close(tell_ready)
    while not draining.is_set():
        wasyncore.poll2(1, server._map)
    _drain(server, drain_s)


def _drain(server: "_Server", seconds: float) -> None:
    """Answer what was sent, take no new connection, and close each after its answer; return after so many seconds."""
    deadline = time.monotonic() + seconds
    connections = -1
    while connections < len(server._map):  # those that wait to be accepted were promised an answer
        connections = len(server._map)
        server.handle_accept()
    server.del_channel()
    server.socket.close()
    while server.active_channels and time.monotonic() < deadline:
        wasyncore.poll2(0.1, server._map)
        for channel in list(server.active_channels.values()):
            is_idle = not (channel.requests or channel.request or channel.total_outbufs_len)
            if is_idle and channel.last_activity < time.monotonic() - _SECONDS_FOR_ONE_MORE:
                channel.will_close = True
    if server.active_channels:
        logging.getLogger("rowboat").warning("%d connections were cut", len(server.active_channels))
    for dispatcher in server.task_dispatcher, server.slow_dispatcher:
        dispatcher.shutdown(timeout=1)


class _Task(WSGITask):  # type: ignore[misc]
    """Answers a request; the last one of its connection while the worker drains, or when the client does not read."""

    def __init__(self, channel: Any, request: Any) -> None:
        if channel.server.draining.is_set() or channel.total_outbufs_len > _MOST_UNREAD_BYTES:
            request.headers["CONNECTION"] = "close"
        super().__init__(channel, request)

    def set_close_on_finish(self) -> None:
        """Close after this answer; not because it is a 204 or 304, as waitress would: those end with their headers."""
        if self.has_body or self.version == "1.0" or self.request.headers.get("CONNECTION") == "close":
            super().set_close_on_finish()


class _Channel(HTTPChannel):  # type: ignore[misc]
    task_class = _Task
    parser_class = framing.Parser

    def send_continue(self) -> None:
        """Ask for the body, where one is to come: else waitress takes the next request for more headers of this one."""
        if not self.request.completed:
            super().send_continue()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """waitress's server, which can be told to drain, and refuses nobody while others have long been silent."""

    channel_class = _Channel
    draining = threading.Event()

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.slow_dispatcher = ThreadedTaskDispatcher()
        self.slow_dispatcher.set_thread_count(passwords.AT_ONCE)

    def add_task(self, channel: Any) -> None:
        """Let a thread answer the connection's next request.

        Those that may hash a password have threads of their own: a flood of logins keeps nobody else waiting."""
        request = channel.requests[0]
        may_hash = not request.error and request.command not in ("GET", "HEAD") and "/user" in request.path
        (self.slow_dispatcher if may_hash else self.task_dispatcher).add_task(channel)

    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self.task_dispatcher.queue) + len(self.slow_dispatcher.queue)

    def handle_accept(self) -> None:
        """Take a connection. When there are too many, the one that has been silent for longest is closed for it."""
        super().handle_accept()
        if len(self._map) > _MAX_CONNECTIONS:
            silent = [each for each in self.active_channels.values() if not (each.requests or each.will_close)]
            if silent:
                min(silent, key=lambda channel: channel.last_activity).will_close = True


def make_server(application: Any, config: Config, listening: socket.socket) -> _Server:
    """A waitress server on the socket, with our settings."""
    files = _allow_descriptors()
    # More requests than idle threads are nothing that a log must tell, thousands of times a second.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return _Server(
        application,
        _sock=listening,
        sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        sockets=[listening],
        bind_socket=False,
        threads=config.threads,
        ident="rowboat",
        send_bytes=_SEND_BYTES,
        asyncore_use_poll=True,
        # More of them than may be silent; and where few files may be open, accept() would fail over and over.
        connection_limit=min(2 * _MAX_CONNECTIONS, max(10, files - 2 * config.threads - _OTHER_FILES)),
        channel_timeout=_IDLE_SECONDS,
        cleanup_interval=10,
        max_request_body_size=_MAX_BODY_BYTES,
        max_request_header_size=_MAX_HEADER_BYTES,
        # throttle.py reads X-Forwarded-For, and believes one proxy: waitress takes ::ffff:192.0.2.1 for "::ffff".
        clear_untrusted_proxy_headers=False,
    )


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _allow_descriptors() -> int:
    """How many files may be open from now on: what is enough, or what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def spare_memory() -> None:
    """Have the C library keep little of what is free. To be called before there are threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and need none
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        mallopt(_M_ARENA_MAX, 1)

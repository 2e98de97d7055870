"""One worker: waitress on the socket that the parent listens on (see serve.py)."""

import gc
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType, SimpleNamespace
from typing import Any

import waitress.channel
import waitress.server
from waitress import wasyncore
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

import buffers
import framing
import passwords
from config import Config
from limits import allow_descriptors
from middleware import Environ, Headers, StartResponse, with_cors, with_security_headers

# Bodies above the application's limit of 1 MiB reach it, so that the answer is JSON; far longer ones do not.
_MAX_BODY_BYTES = 2 * 1024 * 1024
_MAX_HEADER_BYTES = 32 * 1024

# Slow and idle clients hold a connection, not a thread; there are plenty of connections, and they time out.
_MAX_CONNECTIONS = 1000
_IDLE_SECONDS = 30

# Where there are more, a client has so long to send a request before it may be closed for others.
_SECONDS_FOR_A_REQUEST = 1
_SECONDS_BETWEEN_LOOKS = 0.05

# A password takes hundredths of a second: whoever came later would wait for longer than clients do.
_MAX_WAITING_FOR_SLOW = 100

# What a worker opens beside connections: standard streams, pipes, locks, and two files for each thread that reads.
_OTHER_FILES = 40

# Who asks for more on a connection while so much of what was answered was not read yet gets one more answer on it.
# Else waitress would keep a thread waiting until the client reads.
_MOST_UNREAD_BYTES = 1024 * 1024

# While it drains: so long may an idle connection still bring a request, before it is closed.
_SECONDS_FOR_ONE_MORE = 1

# Headers and body leave in one piece: less than this waits until an answer is whole. A fifth more requests a second.
_SEND_BYTES = 65536

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
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    gc.freeze()  # what was loaded stays: collections need not look at it again, and the slowest answers come sooner
    with suppress(BrokenPipeError):  # the parent waits for its first worker alone
        os.write(tell_ready, b".")
    os.close(tell_ready)
    while not draining.is_set():
        server.turn(1)
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
        server.turn(0.1)
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
        deaf = channel.total_outbufs_len > _MOST_UNREAD_BYTES
        if deaf or request.is_refused or channel.server.draining.is_set():
            request.headers["CONNECTION"] = "close"
        super().__init__(channel, request)

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment; it says where the application is to answer that the server is busy."""
        environ: dict[str, Any] = super().get_environment()
        if self.request.is_refused:
            environ["rowboat.is_refused"] = True
        return environ

    def set_close_on_finish(self) -> None:
        """Close after this answer; not because it is a 204 or 304, as waitress would: those end with their headers."""
        if self.has_body or self.version == "1.0" or self.request.headers.get("CONNECTION") == "close":
            super().set_close_on_finish()


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers what is no request that the application could answer: in plain text, but with the same headers."""

    def execute(self) -> None:
        """Send the error."""
        origin = self.channel.requests[0].headers.get("ORIGIN", "null")
        self.response_headers += self.channel.server.error_headers(origin)
        super().execute()


class _Channel(buffers.BoundedChannel):
    task_class = _Task
    error_task_class = _ErrorTask
    request: Any = None
    _is_ahead = False

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.requests_lock = threading.RLock()  # waitress's is none that service() could take again
        self.since = time.monotonic()  # when it was opened, or its last response was written

    def parser_class(self, adjustments: Any) -> framing.Parser:
        """What reads the next request: not before the one before it is answered."""
        if not self.requests:
            return framing.Parser(adjustments)
        self._is_ahead = True
        return framing.Ahead(adjustments)

    def readable(self) -> bool:
        """Whether to read more: not before what came already is read, for the client may have ended its sending."""
        return not self._is_ahead and bool(super().readable())

    def service(self) -> None:
        """Answer a request."""
        super().service()
        self.since = time.monotonic()
        with self.requests_lock:
            ahead = self.request
            if isinstance(ahead, framing.Ahead) and not self.requests:
                self.request = None
                self.received(bytes(ahead.held))
                self._is_ahead = isinstance(self.request, framing.Ahead)
                self.server.pull_trigger()

    def send_continue(self) -> None:
        """Ask for the body, where one is to come: else waitress takes the next request for more headers of this one."""
        if not self.request.completed:
            super().send_continue()

    @property
    def is_leaving(self) -> bool:
        """Whether it is about to be closed."""
        is_done = self.close_when_flushed and not self.total_outbufs_len
        return bool(
            self.will_close or self.is_discarded or is_done or any(request.is_refused for request in self.requests[:1])
        )


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """waitress's server, which can be told to drain, and makes room for new connections."""

    channel_class = _Channel
    draining = threading.Event()
    holds_more = False  # whether a connection may hold more than before
    _is_due = False

    def __init__(self, *arguments: Any, slow: re.Pattern[str], origins: tuple[str, ...], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._slow = slow
        self._origins = origins
        self._next_look = 0.0
        self.slow_dispatcher = ThreadedTaskDispatcher()
        self.slow_dispatcher.set_thread_count(passwords.AT_ONCE)

    def add_task(self, channel: _Channel) -> None:
        """Let a thread answer the connection's next request.

        Those that hash a password have threads of their own: a flood of logins keeps nobody else waiting. Of those that
        wait for them, the newest are refused when they are too many."""
        request = channel.requests[0]
        if request.error or not self._is_slow(request):
            self.task_dispatcher.add_task(channel)
            return
        self.slow_dispatcher.add_task(channel)
        self._refuse_slow(len(self.slow_dispatcher.queue) - _MAX_WAITING_FOR_SLOW)

    def _is_slow(self, request: framing.Parser) -> bool:
        # A large body takes as long, for the words of an article are indexed: a flood of them keeps nobody waiting.
        if len(request.body_rcv or ()) >= buffers.BODY_IN_MEMORY_BYTES:
            return True
        # The path as the application gets it: decoded, without further slashes.
        return bool(self._slow.fullmatch(f"{request.command} /{request.path.strip('/')}"))

    def _refuse_slow(self, count: int) -> int:
        """Answer 503 to the newest of those that wait for a slow thread. Returns how many there were of so many."""
        refused: list[_Channel] = []
        with self.slow_dispatcher.lock:
            queue = self.slow_dispatcher.queue
            while queue and len(refused) < count:
                refused.append(queue.pop())
        for channel in refused:
            channel.requests[0].is_refused = True
            self.task_dispatcher.add_task(channel)
        return len(refused)

    def turn(self, seconds: float) -> None:
        """Wait at most so long for something to do, and do it."""
        wasyncore.poll2(seconds, self._map)
        # Between two turns: while the loop knows a descriptor by its number, it must not be closed and opened anew.
        if self._is_due:
            self._is_due = False
            buffers.close_idle(list(self.active_channels.values()), time.monotonic() - _IDLE_SECONDS)
        if self.holds_more:
            self.holds_more = False
            buffers.close_unfinished(list(self.active_channels.values()))

    def maintenance(self, now: float) -> None:
        """Have the next turn close idle connections; waitress calls this from time to time."""
        self._is_due = True

    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self.task_dispatcher.queue) + len(self.slow_dispatcher.queue)

    def error_headers(self, origin: str) -> Headers:
        """The headers of a response that the application does not see, for a page of this origin."""
        headers: Headers = []
        whole = with_security_headers(with_cors(_error, self._origins))
        environ = {"REQUEST_METHOD": "GET", "HTTP_ORIGIN": origin}
        whole(environ, lambda status, complete, exc_info=None: headers.extend(complete))
        return headers

    def readable(self) -> bool:
        """Whether to accept connections; waitress asks in each turn of its loop. Makes room for them where it must."""
        if len(self.active_channels) > _MAX_CONNECTIONS and time.monotonic() > self._next_look:
            self._make_room()
            self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        return bool(super().readable())

    def _make_room(self) -> None:
        """Close those beyond the limit: that wait for a slow thread (with a 503), then that wait longest for a client.

        Never one with a fast request, nor one that was opened just now: its request may be on its way."""
        staying = [each for each in self.active_channels.values() if not each.is_leaving]
        excess = len(staying) - _MAX_CONNECTIONS
        excess -= self._refuse_slow(excess)
        opened_before = time.monotonic() - _SECONDS_FOR_A_REQUEST
        idle = sorted((each for each in staying if not each.requests), key=lambda channel: channel.since)
        for channel in idle[: max(0, excess)]:
            if channel.since < opened_before:
                channel.discard()  # will_close would wait until the client reads
                self.pull_trigger()


def _error(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("400 Bad Request", [("Cache-Control", "no-store")])
    return []


def make_server(application: Any, config: Config, listening: socket.socket, slow: re.Pattern[str]) -> _Server:
    """A waitress server on the socket, with our settings. `slow` matches the requests that hash passwords."""
    files = allow_descriptors()
    # More requests than idle threads are nothing that a log must tell, thousands of times a second.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return _Server(
        application,
        slow=slow,
        origins=config.cors_origins,
        _sock=listening,
        sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        sockets=[listening],
        bind_socket=False,
        threads=config.threads,
        ident="rowboat",
        send_bytes=_SEND_BYTES,
        outbuf_high_watermark=sys.maxsize,  # a thread never waits for a client to read
        asyncore_use_poll=True,
        # More of them than may be silent; and where few files may be open, accept() would fail over and over.
        connection_limit=min(2 * _MAX_CONNECTIONS, max(10, files - 2 * config.threads - _OTHER_FILES)),
        channel_timeout=_IDLE_SECONDS,
        cleanup_interval=10,
        inbuf_overflow=buffers.BODY_IN_MEMORY_BYTES,
        max_request_body_size=_MAX_BODY_BYTES,
        max_request_header_size=_MAX_HEADER_BYTES,
        # throttle.py reads X-Forwarded-For, and believes one proxy: waitress takes ::ffff:192.0.2.1 for "::ffff".
        clear_untrusted_proxy_headers=False,
    )


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)

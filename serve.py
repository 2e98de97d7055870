"""The listening socket, and the server that answers on it. Knows no application code."""

import ctypes
import signal
import socket
from types import FrameType
from typing import Any

import waitress

from db import StartupError

# Bodies above the application's limit of 1 MiB reach it, so that the answer is JSON; far longer ones do not.
_MAX_BODY_BYTES = 2 * 1024 * 1024
_MAX_HEADER_BYTES = 32 * 1024

# Slow and idle clients hold a connection, not a thread; there are plenty of connections, and they time out.
_MAX_CONNECTIONS = 1000
_IDLE_SECONDS = 30

# What is at least so large goes back to the system as soon as it is not needed, above all the 19 MiB in which a
# password is hashed. Left alone, glibc would come to keep such a block for every thread (mallopt(3)).
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK_BYTES = 4 * 1024 * 1024


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the address; port 0 takes a free one. Raises StartupError where it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --host or --port"
        ) from error
    return listening


def url(listening: socket.socket) -> str:
    """The address that a browser on this machine would open."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(application: Any, listening: socket.socket, threads: int) -> None:
    """Answer requests until SIGTERM or SIGINT; those that run are finished, for five seconds at most."""
    signal.signal(signal.SIGTERM, _stop)
    _return_large_blocks()
    server = waitress.create_server(
        application,
        sockets=[listening],
        threads=threads,
        ident="rowboat",
        asyncore_use_poll=True,
        connection_limit=_MAX_CONNECTIONS,
        channel_timeout=_IDLE_SECONDS,
        cleanup_interval=10,
        max_request_body_size=_MAX_BODY_BYTES,
        max_request_header_size=_MAX_HEADER_BYTES,
    )
    server.run()


def _return_large_blocks() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and need none
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)

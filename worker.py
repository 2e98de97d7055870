"""One worker: waitress on the socket that the parent listens on (see serve.py)."""

import ctypes
import gc
import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

import waitress

from config import Config

# Bodies above the application's limit of 1 MiB reach it, so that the answer is JSON; far longer ones do not.
_MAX_BODY_BYTES = 2 * 1024 * 1024
_MAX_HEADER_BYTES = 32 * 1024

# Slow and idle clients hold a connection, not a thread; there are plenty of connections, and they time out.
_MAX_CONNECTIONS = 1000
_IDLE_SECONDS = 30

# Headers and body leave in one piece: less than this waits until an answer is whole. A fifth more requests a second.
_SEND_BYTES = 65536

# What is at least so large goes back to the system as soon as it is not needed, above all the 19 MiB in which a
# password is hashed. Left alone, glibc would come to keep such a block for every thread (mallopt(3)).
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK_BYTES = 4 * 1024 * 1024


def run(application: Any, config: Config, listening: socket.socket, tell_ready: int, alive: int) -> None:
    """Answer requests until SIGTERM, or until the parent is gone; those that run have five seconds to end.

    `tell_ready` and `alive` are the parent's pipes: one hears a byte now, the other closes when the parent ends."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which tells us
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    server = make_server(application, config, listening)
    gc.freeze()  # what was loaded stays: collections need not look at it again, and the slowest answers come sooner
    with suppress(BrokenPipeError):  # the parent waits for its first worker alone
        os.write(tell_ready, b".")
    os.close(tell_ready)
    server.run()


def make_server(application: Any, config: Config, listening: socket.socket) -> Any:
    """A waitress server on the socket, with our settings; its `run` answers until SystemExit."""
    _return_large_blocks()
    # More requests than idle threads are nothing that a log must tell, thousands of times a second.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return waitress.create_server(
        application,
        sockets=[listening],
        threads=config.threads,
        ident="rowboat",
        send_bytes=_SEND_BYTES,
        asyncore_use_poll=True,
        connection_limit=_MAX_CONNECTIONS,
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


def _return_large_blocks() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and need none
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)

"""What the connections of a worker hold in memory and in temporary files, and closing those that hold too much."""

import threading
import time
from collections.abc import Iterable
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel

import framing

# A body goes to a file from here on.
BODY_IN_MEMORY_BYTES = 64 * 1024

# All connections of a worker together hold so much of requests that are incomplete or wait for their turn, and so much
# of responses that their clients have not read.
MOST_HELD_BYTES = 24 * 1024 * 1024

# Less unread output than this is not looked at each time.
_SMALL_BYTES = 64 * 1024

# What a request takes besides its headers and its body.
_REQUEST_BYTES = 4096

_freeing = threading.Lock()


class BoundedChannel(HTTPChannel):  # type: ignore[misc]
    """A connection that tells the server when it holds more, and keeps nothing of a response that was read."""

    outbufs: list[OverflowableBuffer]
    is_discarded = False
    request_began = 0.0  # when the first bytes of the request came that is not complete yet

    def received(self, data: bytes) -> bool:
        """Take what was sent."""
        before = self.request
        taken = bool(super().received(data))
        if self.request is not before:
            self.request_began = time.monotonic()
        if self.request:
            self.server.holds_more = True
        return taken

    def write_soon(self, data: Any) -> int:
        """Send a part of a response, or keep it until the client reads: for how long it does not, counts from here."""
        if not self.total_outbufs_len:
            self.last_activity = time.monotonic()
        written = int(super().write_soon(data))
        if self.total_outbufs_len > _SMALL_BYTES:
            free_unread(list(self.server.active_channels.values()))
        return written

    def _flush_some(self, do_close: bool = True) -> bool:
        with self.outbuf_lock:
            sent = bool(super()._flush_some(do_close=do_close))
            if len(self.outbufs) == 1 and not self.outbufs[0] and self.outbufs[0].buf is not None:
                self._empty()  # waitress would keep the response, though it was sent, until the next one
        return sent

    def _empty(self) -> None:
        for each in self.outbufs:
            each.close()
        self.outbufs = [OverflowableBuffer(self.adj.outbuf_overflow)]
        self.total_outbufs_len = 0

    def discard(self) -> None:
        """Throw away what the client has not read. Its connection is of no use any longer, and the next turn closes it.

        Any thread may call this; a task that writes to the connection ends."""
        with self.outbuf_lock:
            self._empty()
            self.is_discarded = True
            self.connected = False
            self.outbuf_lock.notify_all()
        self.server.holds_more = True

    def held_requests(self) -> int:
        """How many bytes of requests it holds: of those that wait, and of the one that is not complete."""
        return sum(_size(each) for each in (*self.requests, self.request) if each)

    def held_responses(self) -> int:
        """How many bytes of responses it holds. What was read of one is kept until all of it was."""
        with self.outbuf_lock:  # else a thread could close one of the buffers meanwhile
            return sum(map(_written, self.outbufs)) if self.total_outbufs_len else 0


def _size(request: framing.Parser) -> int:
    return _REQUEST_BYTES + len(request.header_plus) + len(request.held) + len(request.body_rcv or ())


def _written(buffer: OverflowableBuffer) -> int:
    inner = buffer.buf
    return len(buffer) + (inner.file.tell() if inner is not None else 0)


def close_idle(channels: Iterable[BoundedChannel], since: float) -> None:
    """Close the connections whose clients have neither sent nor read anything since then, unless they wait for us.

    waitress would wait until the client reads before it closes."""
    for channel in channels:
        if channel.last_activity < since and (channel.total_outbufs_len or not channel.requests):
            channel.handle_close()


def close_unfinished(channels: list[BoundedChannel], most_bytes: int = MOST_HELD_BYTES) -> None:
    """Close connections that were discarded and, while requests take too much, those whose request began first.

    What is complete is answered."""
    for channel in channels:
        if channel.is_discarded:
            channel.handle_close()
    unfinished = [each for each in channels if each.request and not each.requests]
    excess = sum(each.held_requests() for each in channels) - most_bytes
    for channel in sorted(unfinished, key=lambda each: each.request_began):
        if excess <= 0:
            break
        excess -= channel.held_requests()
        channel.handle_close()


def free_unread(channels: list[BoundedChannel], most_bytes: int = MOST_HELD_BYTES) -> None:
    """While unread responses take too much, discard that of the client that has read nothing for longest."""
    with _freeing:
        unread = [each for each in channels if each.total_outbufs_len]
        excess = sum(each.held_responses() for each in unread) - most_bytes
        for channel in sorted(unread, key=lambda each: each.last_activity):
            if excess <= 0:
                break
            excess -= channel.held_responses()
            channel.discard()

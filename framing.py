"""How requests are read: as RFC 9112 says, where waitress 3.0.2 reads more than that.

What two servers read differently lets a stranger hide a request from the one in front, so that the one behind answers
it to somebody else (request smuggling). Such requests are refused with 400, and their connection is closed."""

import re
from typing import Any

from waitress import parser
from waitress.utilities import BadRequest, Error, RequestHeaderFieldsTooLarge

# In place of waitress's own patterns, which take other versions and targets, and need a minute for some lines of
# 32 KiB, in the thread that reads for everybody.
parser.first_line_re = re.compile(rb"(?P<method>[A-Z]+) (?P<uri>(?:/|https?://)[!\"$-~]*) HTTP/(?P<version>1\.[01])")
parser.HEADER_FIELD_RE = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>[\t -~\x80-\xff]*)\Z")

_HOST = re.compile(r"[\w.:%\[\]-]+", re.ASCII)

# Only empty lines may precede a request (RFC 9112, section 2.2); waitress strips all kinds of white space, and makes
# a request of each pair of empty lines.
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_BLANK = re.compile(rb"[ \t\n\v\f]|\r[^\n]")

_MAX_HEADERS = 128

# For the CORS headers of an error response, where the headers cannot be parsed.
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]+)[ \t]*\r\n", re.IGNORECASE)

# A line that continues the one before it, or one that says how the body is sent.
_RISKY = re.compile(rb"\r\n(?:([ \t])|transfer-encoding:[ \t]*([^\r]*))", re.IGNORECASE)

_CHUNK = re.compile(rb"\r\n([0-9a-fA-F]{1,8})(?:;[\t -~]*)?\r\n")
_TRAILERS = re.compile(rb"\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n")
_LONGEST_LINES = 8192
_MAX_CHUNKS = 4096


class Parser(parser.HTTPRequestParser):  # type: ignore[misc]
    """Reads a request. What another server could take for another request is refused.

    The thread that calls it reads for all connections, so no byte may cost much, however few come at a time."""

    # Too many requests wait for a thread that hashes passwords: this one is answered 503 (see worker.py).
    is_refused = False

    def __init__(self, adjustments: Any) -> None:
        super().__init__(adjustments)
        self.held = bytearray()  # part of a line, which is not looked at before its end comes; at most 32 KiB

    def received(self, data: bytes) -> int:
        """Take what came; returns how much of it was of this request."""
        if self.body_rcv is not None:
            return int(super().received(data))
        held = len(self.held)
        self.held += data
        if b"\n" not in data and len(self.header_plus) + len(self.held) < self.adj.max_request_header_size:
            return len(data)
        data = bytes(self.held)
        self.held.clear()
        return self._received_lines(data) - held

    def _received_lines(self, data: bytes) -> int:
        if not self.header_plus:
            empty = _EMPTY_LINES.match(data)
            if empty:
                self.empty = self.completed = True
                return empty.end()
            if _BLANK.match(data):
                self.error, self.completed = BadRequest("Only empty lines may precede a request"), True
                return len(data)
        head, end, _ = (self.header_plus + data).partition(b"\r\n\r\n")
        # Without what follows the headers, which waitress would copy for each of many requests.
        taken = int(super().received(data[: len(head) + len(end) - len(self.header_plus)]))
        if head.count(b"\n") > _MAX_HEADERS:
            self.error, self.completed = RequestHeaderFieldsTooLarge(f"more than {_MAX_HEADERS} headers"), True
        origin = _ORIGIN.search(head + b"\r\n") if self.error else None
        if origin:
            self.headers.setdefault("ORIGIN", origin[1].decode())
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        """Read the first line and the headers. Raises ParsingError, which is answered 400 and closes."""
        try:
            super().parse_header(header_plus)
        except ValueError:  # a length of thousands of digits, a host with one bracket
            raise parser.ParsingError("A number or an address cannot be read") from None
        options = self.headers.get("CONNECTION", "").lower().split(",")
        if "close" in (option.strip(" \t") for option in options):  # waitress looks for it alone (RFC 9112, 9.6)
            self.headers["CONNECTION"] = "close"
        host = self.headers.get("HOST")
        if not _HOST.fullmatch(host) if host is not None else self.version != "1.0":
            raise parser.ParsingError("There must be one Host")
        if _RISKY.search(header_plus):
            self._require_one_meaning(header_plus)

    def _require_one_meaning(self, header_plus: bytes) -> None:
        risky = [(fold, value.lower().rstrip(b" \t")) for fold, value in _RISKY.findall(header_plus)]
        if risky != [(b"", b"chunked")] or self.version == "1.0" or "CONTENT_LENGTH" in self.headers:
            raise parser.ParsingError("The body must be sent in one way, and no header may be folded")
        self.body_rcv = _Chunks(self.adj.inbuf_overflow)


class Ahead(Parser):
    """What comes behind a request that is not answered yet. It is kept as it is, and read afterwards.

    Else hundreds of requests in one piece would be parsed at once, and kept, whether they are answered or not."""

    def received(self, data: bytes) -> int:
        """Keep all of it."""
        self.held += data
        return len(data)


class _Chunks:
    """Receives a chunked body (RFC 9112, 7.1), as waitress's ChunkedReceiver does, but takes no other line ends than
    CRLF, no empty lines and no endless ones."""

    completed = False
    error: Error | None = None

    def __init__(self, most_in_memory: int) -> None:
        self._body = parser.OverflowableBuffer(most_in_memory)
        self._rest = bytearray(b"\r\n")  # not parsed yet; the end of each chunk is parsed with the size of the next
        self._missing = 0  # bytes of this chunk
        self._chunks = 0
        self._is_last = False

    def received(self, data: bytes) -> int:
        """Take what came, until the body is complete. Returns how much of it that was."""
        before = len(self._rest)
        self._rest += data
        at = 0
        while not (self.completed or self.error):
            part = bytes(self._rest[at : at + self._missing])
            if part:
                self._body.append(part)
                at += len(part)
                self._missing -= len(part)
            if self._missing:
                break
            # The end of the lines cannot be in what was looked at before.
            end = (b"\r\n\r\n", max(at, before - 3)) if self._is_last else (b"\n", max(at + 2, before))
            if self._rest.find(*end) < 0 and len(self._rest) - at <= _LONGEST_LINES:
                break
            found = (_TRAILERS if self._is_last else _CHUNK).match(self._rest, at)
            if found:
                at = self._begin(found)
            else:
                self.error = BadRequest("The chunks of the body cannot be read")
        del self._rest[:at]
        return len(data) - len(self._rest) if self.completed else len(data)

    def _begin(self, lines: "re.Match[bytes]") -> int:
        """Begin a chunk, or end the body. Returns where what comes next begins."""
        if self._is_last:
            self.completed = True
            return lines.end()
        self._missing = int(lines[1], 16)
        if not self._missing:
            self._is_last = True
            return lines.end() - 2  # the end of this line is also that before the trailers
        self._chunks += 1
        if self._chunks > _MAX_CHUNKS:
            self.error = BadRequest(f"The body has more than {_MAX_CHUNKS} chunks")
        return lines.end()

    def __len__(self) -> int:
        return len(self._body)

    def getfile(self) -> object:
        """The body, to be read."""
        return self._body.getfile()

    def getbuf(self) -> parser.OverflowableBuffer:
        """What holds it."""
        return self._body

"""How requests are read: as RFC 9112 says, where waitress 3.0.2 reads more than that.

What two servers read differently lets a stranger hide a request from the one in front, so that the one behind answers
it to somebody else (request smuggling). Such requests are refused with 400, and their connection is closed."""

import re

from waitress import parser
from waitress.utilities import BadRequest, Error

# In place of waitress's own patterns, which take other versions and targets, and need a minute for some lines of
# 32 KiB, in the thread that reads for everybody.
parser.first_line_re = re.compile(rb"(?P<method>[A-Z]+) (?P<uri>(?:/|https?://)[!\"$-~]*) HTTP/(?P<version>1\.[01])")
parser.HEADER_FIELD_RE = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>[\t -~\x80-\xff]*)\Z")

_HOST = re.compile(r"[\w.:%\[\]-]+", re.ASCII)

# What may stand before a request is empty lines (RFC 9112, 2.2); waitress strips all kinds of blanks.
_BLANK = re.compile(rb"(?:\r\n)*(?:[ \t\n\v\f]|\r[^\n])")

# A line that continues the one before it, or one that says how the body is sent.
_RISKY = re.compile(rb"\r\n(?:([ \t])|transfer-encoding:[ \t]*([^\r]*))", re.IGNORECASE)

_CHUNK = re.compile(rb"\r\n([0-9a-fA-F]{1,8})(?:;[\t -~]*)?\r\n")
_TRAILER = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n")
_LONGEST_LINES = 8192


class Parser(parser.HTTPRequestParser):  # type: ignore[misc]
    """Reads a request. What another server could take for another request is refused."""

    def received(self, data: bytes) -> int:
        """Take what came; returns how much of it was of this request."""
        if self.body_rcv is None and _BLANK.match(self.header_plus + data):
            self.error, self.completed = BadRequest("There may be nothing but empty lines before a request"), True
            return len(data)
        return int(super().received(data))

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


class _Chunks:
    """Receives a chunked body (RFC 9112, 7.1), as waitress's ChunkedReceiver does, but takes no other line ends than
    CRLF, no empty lines and no endless ones."""

    completed = False
    error: Error | None = None

    def __init__(self, most_in_memory: int) -> None:
        self._body = parser.OverflowableBuffer(most_in_memory)
        self._rest = b"\r\n"  # what was not read yet; the end of the chunk before stands before the size of the next
        self._missing = 0  # bytes of this chunk
        self._is_last = False

    def received(self, data: bytes) -> int:
        """Take what came, until the body is complete. Returns how much of it that was."""
        self._rest += data
        while not (self.completed or self.error):
            part, self._rest = self._rest[: self._missing], self._rest[self._missing :]
            self._body.append(part)
            self._missing -= len(part)
            if self._missing:
                break
            found = (_TRAILER if self._is_last else _CHUNK).match(self._rest)
            if found:
                self._rest = self._rest[found.end() :]
                self.completed = self._is_last
                self._missing = 0 if self._is_last else int(found[1], 16)
                self._is_last = not self._missing
            elif len(self._rest) > _LONGEST_LINES or (b"\r\n\r\n" if self._is_last else b"\n") in self._rest[2:]:
                self.error = BadRequest("The chunks of the body cannot be read")
            else:
                break
        return len(data) - len(self._rest) if self.completed else len(data)

    def __len__(self) -> int:
        return len(self._body)

    def getfile(self) -> object:
        """The body, to be read."""
        return self._body.getfile()

    def getbuf(self) -> parser.OverflowableBuffer:
        """What holds it."""
        return self._body

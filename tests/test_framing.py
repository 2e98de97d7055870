"""What it costs to read a request: as much as it is long, whatever it holds and however it is cut into pieces."""

import re

import pytest
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, OverflowableBuffer

import framing

GET = b"GET /api/tags HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /api/users HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ADJUSTMENTS = Adjustments(max_request_header_size=32 * 1024, max_request_body_size=2 * 1024 * 1024)
RECEIVED_AT_ONCE = 8192


class Work:
    """Counts calls of the parser, bytes that it looked at, and parts of a body."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = self.looked_at = self.parts = 0
        for name in "_CHUNK", "_TRAILERS":
            patch.setattr(framing, name, self._watched(getattr(framing, name)))
        received, append = HTTPRequestParser.received, OverflowableBuffer.append

        def counted(request: HTTPRequestParser, data: bytes) -> int:
            self.calls += 1
            self.looked_at += len(data) if request.body_rcv is not None else len(request.header_plus) + len(data)
            return received(request, data)

        def appended(buffer: OverflowableBuffer, part: bytes) -> None:
            self.parts += 1
            append(buffer, part)

        patch.setattr(HTTPRequestParser, "received", counted)
        patch.setattr(OverflowableBuffer, "append", appended)

    def _watched(self, pattern: "re.Pattern[bytes]") -> object:
        work = self

        class Watched:
            def match(self, text: bytes, at: int = 0) -> "re.Match[bytes] | None":
                found = pattern.match(text, at)
                work.looked_at += (found.end() if found else len(text)) - at
                return found

        return Watched()

    @property
    def total(self) -> int:
        return self.calls + self.looked_at + self.parts


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def read(sent: bytes, size: int = RECEIVED_AT_ONCE) -> list[framing.Parser]:
    """The requests in what was sent, which comes in pieces of this size; as waitress's channel reads them."""
    request, found = None, []
    for piece in (sent[at : at + size] for at in range(0, len(sent), size)):
        while piece:
            request = request or framing.Parser(ADJUSTMENTS)
            taken = request.received(piece)
            piece = piece[taken:]
            if request.completed:
                if not request.empty:
                    found.append(request)
                if request.error:
                    return found
                request = None
    return found


def of(parts: list[bytes]) -> bytes:
    """A request whose body comes in these chunks."""
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


# Each makes a request of n things, or what goes before one.
LONG = {
    "chunks": lambda n: of([b"a"] * n),
    "chunks of two": lambda n: of([b"aa"] * n),
    "chunk extension": lambda n: CHUNKED + b"1;" + b"a" * n + b"\r\na\r\n0\r\n\r\n",
    "extensions": lambda n: CHUNKED + b"1;a=b;c\r\na\r\n" * n + b"0\r\n\r\n",
    "trailer": lambda n: CHUNKED + b"0\r\nX: " + b"a" * n + b"\r\n\r\n",
    "trailers": lambda n: CHUNKED + b"0\r\n" + b"X:\r\n" * (n // 4) + b"\r\n",
    "header": lambda n: GET + b"X: " + b"a" * n + b"\r\n\r\n",
    "headers": lambda n: GET + b"X:\r\n" * (n // 4) + b"\r\n",
    "address": lambda n: b"GET /" + b"a" * n + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "empty lines": lambda n: b"\r\n" * n + GET + b"\r\n",
    "requests": lambda n: (GET + b"\r\n") * (n // 32),
}


@pytest.mark.parametrize("size", [RECEIVED_AT_ONCE, 2, 1])
@pytest.mark.parametrize("kind", LONG)
def test_twice_as_much_takes_at_most_twice_the_work(monkeypatch, kind, size):
    costs = []
    for n in 1000, 2000:
        with monkeypatch.context() as patch:
            work = Work(patch)
            read(LONG[kind](n), size)
            costs.append(work.total)

    assert costs[1] <= 2.2 * costs[0]


@pytest.mark.parametrize("kind", LONG)
def test_a_byte_costs_a_few_steps_however_it_comes(monkeypatch, kind):
    for size in RECEIVED_AT_ONCE, 1:
        with monkeypatch.context() as patch:
            work = Work(patch)
            sent = LONG[kind](2000)
            read(sent, size)

            assert work.total <= 20 * len(sent)


def test_4096_chunks_are_taken_and_no_more(work):
    (taken,) = read(of([b"a"] * 4096))
    (refused,) = read(of([b"a"] * 4097))
    (again,) = read(of([b"a"] * 300_000))

    assert taken.error is None
    assert taken.get_body_stream().read() == b"a" * 4096
    assert (refused.error.code, refused.error.body) == (400, "The body has more than 4096 chunks")
    assert again.error.code == 400
    assert work.parts == 3 * 4096


@pytest.mark.parametrize("size", [RECEIVED_AT_ONCE, 7, 1])
def test_a_chunked_body_is_the_same_however_it_is_cut(size):
    parts = [b"a" * 5, b"\r\n\r\n", b"0\r\n\r\n", b"x" * 9000, b"\n"]
    body = of(parts)

    first, second = read(body + GET + b"\r\n", size=size)

    assert first.error is None
    assert first.get_body_stream().read() == b"".join(parts)
    assert first.headers["CONTENT_LENGTH"] == str(sum(map(len, parts)))
    assert second.path == "/api/tags"


def test_128_headers_are_taken_and_no_more():
    (taken,) = read(GET + b"X: a\r\n" * 127 + b"\r\n")
    (refused,) = read(GET + b"X: a\r\n" * 128 + b"\r\n")

    assert taken.error is None
    assert taken.headers["X"].count("a") == 127
    assert refused.error.code == 431


@pytest.mark.parametrize("size", [RECEIVED_AT_ONCE, 3, 1])
def test_headers_without_an_end_are_refused_when_there_are_too_many(work, size):
    sent = GET + b"X:\r\n" * 7000

    (refused,) = read(sent, size)

    assert refused.error.code == 431
    assert work.calls <= RECEIVED_AT_ONCE


ORIGIN = b"Origin: https://pages.example.org\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        GET + ORIGIN + b"X: ".ljust(33_000, b"x"),
        GET + ORIGIN + b"X: a\r\n" * 200 + b"\r\n",
        GET + b"no header\r\n" + ORIGIN + b"\r\n",
        GET + ORIGIN + b"no header\r\n\r\n",
        GET.replace(b"HTTP/1.1", b"HTTP/9.9") + ORIGIN + b"\r\n",
        GET + ORIGIN.lower() + b"Content-Length: 3000000\r\n\r\n",
        GET + ORIGIN + b"Transfer-Encoding: gzip\r\n\r\n",
        CHUNKED[:-2] + ORIGIN + b"\r\n" + b"no chunk\n",
    ],
)
@pytest.mark.parametrize("size", [RECEIVED_AT_ONCE, 1])
def test_of_a_request_that_is_refused_the_origin_is_known(sent, size):
    (refused,) = read(sent, size=size)

    assert refused.error
    assert refused.headers["ORIGIN"] == "https://pages.example.org"


def test_what_is_no_header_is_no_origin():
    (refused,) = read(GET + b"no header\r\n\r\nOrigin: https://pages.example.org\r\n\r\n")

    assert "ORIGIN" not in refused.headers

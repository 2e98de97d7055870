"""Malformed and unusual requests on raw sockets: refused and the connection closed, or answered.

If two servers read a request differently, an attacker can hide one request in another (request smuggling): SMUGGLED
registers an account, and no request that is refused may do so."""

import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.conftest import PASSWORD
from tests.system.test_server import Server, needs_proc, serving, workers_of
from tests.test_access import SPOOFS

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /api/tags HTTP/1.1\r\n" + HOST
TYPE = b"Content-Type: application/json\r\n"
POST = b"POST /api/users HTTP/1.1\r\n" + HOST + TYPE
END = b"\r\n"

names = (f"smuggled{number}" for number in itertools.count())


def registration(name: str) -> bytes:
    body = json.dumps({"user": {"username": name, "email": f"{name}@example.org", "password": PASSWORD}}).encode()
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


SMUGGLED = registration("smuggled")
EMPTY = b'{"user": {}}'  # 422, once it is read
UNREAD = b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"


def target(address: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + address + b" HTTP/1.1\r\n" + HOST + CLOSE + END


def first_line(line: bytes) -> bytes:
    return line + END + HOST + CLOSE + END


def host(value: bytes) -> bytes:
    return b"GET /api/tags HTTP/1.1\r\nHost: " + value + END + CLOSE + END


def header(line: bytes) -> bytes:
    return GET + line + END + CLOSE + END


def length(value: bytes) -> bytes:
    return POST + b"Content-Length: " + value + END + END + SMUGGLED


def coding(value: bytes) -> bytes:
    return POST + b"Transfer-Encoding:" + value + END + END + UNREAD


def chunks(body: bytes) -> bytes:
    return POST + CHUNKED + END + body


def chunk_size(value: bytes) -> bytes:
    return chunks(value + b"\r\n\r\n" + SMUGGLED)


# Status, how to build a request, and the parts that make it ambiguous.
RULES = [
    (400, length, [b"+0", b"", b"0,0", b"1_0", b"\xb2", b"9" * 5000, b"0\r\ncontent-length: 3"]),
    (413, length, [b"99999999999999999999"]),
    (400, coding, [b"", b" ,chunked", b" \x0bchunked", b"\r\n chunked", b" chunked\r\nTransfer-Encoding: chunked"]),
    (400, coding, [b" chunked\r\nContent-Length: %d" % size for size in (3, len(UNREAD))]),
    (501, coding, [b" xchunked", b" gzip, chunked"]),
    (400, chunk_size, [b"0x0", b"+0", b" 0", b"", b"g", b"000000000", b"0;a\n"]),
    (
        400,
        first_line,
        [b"GET /api/tags" + each for each in (b"", b" HTTP/1.2", b" HTTP/2.0", b" http/1.1", b" HTTP/1.1\x00")],
    ),
    (
        400,
        first_line,
        [b"GET  /api/tags HTTP/1.1", b"GET /api/tags HTTP/1.1\nX: a", b"GET /api/tags HTTP/1.1\r\n X: a"],
    ),
    (400, target, [b"*", b"api/tags", b"ftp://localhost/api/tags", b"http://[/api/tags", b"/api/tags#x"]),
    (400, target, [b"/api/ta" + each + b"gs" for each in (b" ", b"\t", b"\x00", b"\x7f", b"\xff")]),
    (400, lambda method: target(b"/api/tags", method), [b"get", b"G\x00T", b"GET\t", b'{"forged":1}']),
    (400, host, [b"", b"a, b", b"ann@a", b"\xffa", b"a\r\nHost: a"]),
    (400, header, [b"X: a\x00b", b"X: a\rb", b"X: a\n" + CHUNKED, b"X: \x7f", b"X: a\r\n b"]),
    (400, header, [b"X : a", b"X\t: a", b": a", b"X\x00: a", b"X(): a", b"X", b"Content-Length : 0"]),
    (400, lambda before: before + GET + CLOSE + END, [b" ", b"\n", b"\r", b"\x0b", b"\r\r\n", b"\r\n "]),
]

REFUSED = [(status, build(part)) for status, build, parts in RULES for part in parts]
REFUSED += [
    (400, POST.replace(b"1.1", b"1.0") + CHUNKED + b"Connection: keep-alive\r\n\r\n" + UNREAD),
    (400, chunks(b"c\r\n" + EMPTY + b"0\r\n\r\n" + SMUGGLED)),  # no line end behind the chunk
    (400, chunks(b"c\n" + EMPTY + b"\r\n0\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"3\r\n" + EMPTY + b"\r\n0\r\n\r\n" + SMUGGLED)),  # longer than it says
    (400, chunks(b"0\r\nno trailer\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"0\r\nX: a\n\n" + SMUGGLED)),
    (400, chunks(b"0;" + b"a" * 9000)),
    (400, chunks(b"0\r\nX: " + b"a" * 9000)),
    (413, chunks(b"ffffffff\r\n" + b" " * 2 * 1024 * 1024)),
    (413, POST + b"Expect: 100-continue\r\nContent-Length: 3000000\r\n\r\n"),
    (400, target(b"example.org:443", b"CONNECT")),
    (400, b"GET /api/tags HTTP/1.1\r\n\r\n"),
    (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (400, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET + END),
    (431, GET + b"X: ".ljust(33_000, b"x")),
    (431, b"GET /".ljust(33_000, b"x")),
]

TAKEN = [
    (200, target(b"https://elsewhere:8080/api/tags?x=1")),
    (404, target(b"//api/tags")),
    (404, target(b"/api/../api/tags")),
    (405, target(b"/api/tags", b"BREW")),
    (200, b"\r\n" * 3 + GET + CLOSE + END),
    (200, b"GET /api/tags HTTP/1.0\r\n\r\n"),
    (200, header(b"X:\r\nX: \t a \t\r\nX: \xe9")),
    (200, header(b"Transfer_Encoding: chunked\r\nContent_Length: 9\r\nHo_st: a")),
    (200, header(b"Upgrade: h2c\r\nExpect: magic")),
    (422, POST + CLOSE + b"Content-Length: 012\r\n\r\n" + EMPTY),
    (422, POST + CLOSE + b"transfer-encoding:\t CHUNKED \t\r\n\r\nc\r\n" + EMPTY + b"\r\n0\r\n\r\n"),
    (422, POST + CLOSE + CHUNKED + END + b'0000000C;a="b";c\r\n' + EMPTY + b"\r\n0;d\r\nX: a\r\nY:\r\n\r\n"),
    (422, POST + CLOSE + CHUNKED + END + b"".join(b"1\r\n%c\r\n" % each for each in EMPTY) + b"0\r\n\r\n"),
    (413, POST + CLOSE + b"Content-Length: 1100000\r\n\r\n" + b" " * 1_100_000),  # by the application
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), "--workers", "1") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


def send(server: Server, *parts: bytes, then_silent: bool = False) -> bytes:
    """Send these parts one by one; everything that comes back until the server closes."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        response = b""
        with suppress(ConnectionError):  # the server closes as soon as it has seen enough
            for part in parts:
                connection.sendall(part)
            if then_silent:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while more := connection.recv(65536):
                response += more
        return response


def statuses(responses: bytes) -> list[int]:
    found = []
    while responses:
        head, _, rest = responses.partition(b"\r\n\r\n")
        found.append(int(head.split()[1]))
        lengths = [int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")]
        responses = rest[sum(lengths) :]
    return found


def accounts(server: Server) -> set[str]:
    return {name for (name,) in server.rows("SELECT username FROM users")}


def shown(case: object) -> str:
    """The id of a test case."""
    return repr(case[:300])[2:-1].replace("\\r\\n", "|")[:150] if isinstance(case, bytes) else str(case)


CASES = [(*case, b"text/plain") for case in REFUSED] + [(*case, b"application/json") for case in TAKEN]


@pytest.mark.parametrize(("status", "sent", "type_"), CASES, ids=shown)
def test_an_ambiguous_request_is_refused_and_a_clear_one_answered(server, status, sent, type_):
    before = accounts(server)
    size = 1000 if len(sent) > 1000 else 1
    for parts in [sent], [sent[at : at + size] for at in range(0, len(sent), size)]:
        response = send(server, *parts, then_silent=status == 413)

        assert statuses(response) == [status]
        assert b"Content-Type: " + type_ in response
    assert accounts(server) == before


@needs_proc
def test_no_line_takes_much_cpu_time_to_parse(server):
    (pid,) = workers_of(server)

    def cpu_ticks(status: int, *requests: bytes) -> int:
        def ticks() -> int:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])  # in user mode and in the kernel

        before = ticks()
        for sent in requests:
            assert statuses(send(server, sent)) == [status]
        return ticks() - before

    # With waitress's own patterns each takes 5 seconds and more, on the thread that reads for all clients.
    odd = header(b"X:" + b" " * 32_000 + b"\x00"), b"GET a://" + b"1" * 32_000 + b" x\r\n\r\n"
    assert cpu_ticks(400, *odd) <= cpu_ticks(200, *[header(b"X: " + b"x" * 32_000)] * 300)


def test_an_incomplete_request_gets_no_response_when_the_client_stops_sending(server):
    hello = bytes.fromhex("16030100c8010000c40303") + b"\x00" * 32  # TLS
    bare_newlines = b"GET /api/tags HTTP/1.1\nHost: localhost\n\n"
    for sent in hello, b"GET /api/tags", bare_newlines, b"\r\n" * 9, chunks(b"c\r\n{"):
        assert send(server, sent, then_silent=True) == b""


def test_pipelined_requests_are_answered_in_order_up_to_the_one_that_closes(server):
    first, second, third = next(names), next(names), next(names)
    pipelined = [registration(first), END, GET + END, END * 3, target(b"/api/nothing").replace(CLOSE, b"")]
    pipelined += [registration(second).replace(HOST, HOST + CLOSE), registration(third)]

    assert statuses(send(server, b"".join(pipelined))) == [201, 200, 404, 201]
    assert accounts(server) & {first, second, third} == {first, second}


LAST = [b"close", b"CLOSE", b"keep-alive, close", b"x ,\tClose\t, y", b"keep-alive\r\nX: a\r\nConnection: close"]
NOT_LAST = [b"", b"keep-alive", b"closed", b"not-close", b"close;x", b'x="close"', b"close x", b"close\xa0"]


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_connection_close_anywhere_among_the_options_ends_the_connection(server, version):
    name, request = next(names), GET.replace(b"1.1", version)
    assert statuses(send(server, request + b"If-None-Match: *\r\n" + CLOSE + END)) == [304]
    for options in LAST:
        responses = send(server, request + b"Connection: " + options + END + END + registration(name))

        assert statuses(responses) == [200]
        assert b"\r\nConnection: close\r\n" in responses
    assert name not in accounts(server)


def test_other_connection_options_leave_the_connection_open(server):
    for options in NOT_LAST:
        assert statuses(send(server, GET + b"Connection: " + options + END + END + GET + CLOSE + END)) == [200, 200]


def test_a_client_that_stops_sending_gets_its_responses(server):
    name = next(names)

    assert statuses(send(server, registration(name), GET + END, then_silent=True)) == [201, 200]
    assert name in accounts(server)


def test_100_continue_is_sent_only_if_a_body_follows(server):
    waits = b"Expect: 100-continue\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    head, _, body = registration(next(names)).partition(b"\r\n\r\n")

    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
        connection.sendall(head + END + CLOSE + waits + END)
        assert connection.recv(len(go_on)) == go_on
        connection.sendall(body)
        assert statuses(connection.recv(65536)) == [201]

    # These have no body: the next bytes are another request, not more headers of this one.
    asked = b"GET /api/user HTTP/1.1\r\n" + HOST + waits + END
    responses = send(server, asked, b"GET /api/user HTTP/1.1\r\n" + HOST + CLOSE + b"Authorization: Token x\r\n\r\n")
    assert statuses(responses) == [401, 401]
    assert [b"is missing" in each for each in responses.split(b"HTTP/1.1 ")[1:]] == [True, False]


def test_headers_that_claim_something_are_ignored(server):
    token = server.token("ann")
    claims = "".join(f"{name}: {value}\r\n{name.replace('-', '_')}: {value}\r\n" for name, value in SPOOFS.items())
    for status, first, header in [
        (404, "GET /metrics", ""),  # a request through a proxy is not local
        (401, "GET /api/admin/users", ""),
        (401, "GET /api/user", f"Authorization_: Token {token}\r\n"),
        (401, "GET /api/user", f"Proxy-Authorization: Token {token}\r\n"),
        (405, "DELETE /api/tags", ""),
        (200, "GET /api/tags", ""),
    ]:
        head = f"{first} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n"
        assert statuses(send(server, f"{head}{claims}\r\n".encode())) == [status], first

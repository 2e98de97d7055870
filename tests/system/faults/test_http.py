"""Malformed and unusual requests on raw sockets: refused and the connection closed, or answered.

If two servers read a request differently, an attacker can hide one request in another (request smuggling): SMUGGLED
registers an account, and no request that is refused may do so."""

import itertools
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.conftest import PASSWORD
from tests.system.test_server import Server, needs_proc, serving, workers_of

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /api/tags HTTP/1.1\r\n" + HOST
TYPE = b"Content-Type: application/json\r\n"
POST = b"POST /api/users HTTP/1.1\r\n" + HOST + TYPE
POST_1_0 = POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n"
END = b"\r\n"

names = (f"smuggled{number}" for number in itertools.count())


def registration(name: str) -> bytes:
    body = json.dumps({"user": {"username": name, "email": f"{name}@example.org", "password": PASSWORD}}).encode()
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


SMUGGLED = registration("smuggled")
EMPTY = b'{"user": {}}'  # 422, once it is read
IN_CHUNKS = b"c\r\n" + EMPTY + b"\r\n0\r\n\r\n"
UNREAD = b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"


def target(address: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + address + b" HTTP/1.1\r\n" + HOST + CLOSE + END


def first_line(line: bytes) -> bytes:
    return line + END + HOST + CLOSE + END


def chunks(body: bytes) -> bytes:
    return POST + CHUNKED + END + body


BAD_LENGTHS = [b"+0", b"-0", b"0x0", b"0 0", b"0,0", b"0;", b"", b"one", b"1e1", b"0.0", b"\xb2", b"9" * 5000, b"1_0"]
BAD_CODINGS = [b"", b",chunked", b"chunked,", b"chunked, chunked", b"\x0bchunked", b"chunked\x00"]
UNKNOWN_CODINGS = [b"xchunked", b"identity", b"gzip, chunked", b"chunked, identity", b"chunked;q=1", b'"chunked"']
BAD_SIZES = [b"0x0", b"+0", b"-0", b" 0", b"0 ", b"0_0", b"", b"g", b"000000000", b"0;a\n", b"0\n", b"0;\x00", b"0\t;a"]
BAD_VERSIONS = [b"HTTP/9.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1", b"HTTP/1.1.1", b"HTTP/01.1", b"http/1.1"]
BAD_VERSIONS += [b"HTTPS/1.1", b"HTTP/1.1\x00", b"HTTP/1.\xb9", b""]
BAD_HOSTS = [b"", b"a, b", b"a b", b"a/b", b"ann@a", b"a?b", b"a#b", b"a\\b", b"\xffa"]
BAD_TARGETS = [b"*", b"localhost:80", b"api/tags", b"", b"ftp://localhost/api/tags", b"x:api/tags"]
BAD_TARGETS += [b"http://[/api/tags", b"/api/tags#x", b"/api/ta\tgs", b"/api/ta\x00gs", b"\x01/api/tags"]
BAD_TARGETS += [b"/api/tags\x7f", b"/api/tags x"]
BAD_HEADERS = [b"X: a\x00b", b"X: a\rb", b"X: a\nb", b"X: \x7f", b"X: \x1b[0m", b"X : a", b"X\t: a", b": a", b"X"]
BAD_HEADERS += [b"X\x00: a", b"X: a\r\n b", b"X: a\r\n\tb", b"X\xff: a", b"X(): a"]
BAD_HEADERS += [b"X: a\n" + CHUNKED[:-2], b"X: a\r" + CHUNKED[:-2]]
BAD_BEGINNINGS = [b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c", b"\n\r\n", b"\r\r\n", b"\r\n ", b" \r\n", b" \r\n\r\n"]
BAD_METHODS = [b"get", b"Get", b"G\x00T", b"G ET", b"GET\t", b"\xff", b'"GET"']

REFUSED = [
    *((400, POST + b"Content-Length: " + each + END + END) for each in BAD_LENGTHS),
    (400, POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + SMUGGLED),
    (400, POST + b"Content-Length: 0\r\ncontent-length: 3\r\n\r\n" + SMUGGLED),
    (400, POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED),
    (413, POST + b"Content-Length: 99999999999999999999\r\n\r\n" + SMUGGLED),
    (400, POST + CHUNKED + b"Content-Length: 3\r\n\r\n" + UNREAD),
    (400, POST + b"Content-Length: 3\r\n" + CHUNKED + END + UNREAD),
    (400, POST + b"Content-Length: %d\r\n" % len(UNREAD) + CHUNKED + END + UNREAD),
    (400, POST + CHUNKED * 2 + END + UNREAD),
    (501, POST + CHUNKED + b"transfer-encoding: identity\r\n\r\n" + UNREAD),
    (501, POST + CHUNKED[:-2] + b"\r\n , identity\r\n\r\n" + UNREAD),
    (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + UNREAD),
    (400, POST + b"Transfer-Encoding : chunked\r\n\r\n" + UNREAD),
    (400, POST_1_0 + CHUNKED + END + UNREAD),
    (400, POST_1_0 + CHUNKED + b"Content-Length: 0\r\n\r\n" + SMUGGLED),
    (400, POST_1_0 + b"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n" + SMUGGLED),
    *((400, POST + b"Transfer-Encoding: " + each + END + END + UNREAD) for each in BAD_CODINGS),
    *((501, POST + b"Transfer-Encoding: " + each + END + END + UNREAD) for each in UNKNOWN_CODINGS),
    *((400, chunks(each + b"\r\n\r\n" + SMUGGLED)) for each in BAD_SIZES),
    (400, chunks(b"\r\n0\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"c\r\n" + EMPTY + b"0\r\n\r\n" + SMUGGLED)),  # no line end behind the chunk
    (400, chunks(b"c\r\n" + EMPTY + b"\n0\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"c\n" + EMPTY + b"\r\n0\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"3\r\n" + EMPTY + b"\r\n0\r\n\r\n" + SMUGGLED)),  # longer than it says
    (400, chunks(b"0\r\nno trailer\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"0\r\nX: a\n\n" + SMUGGLED)),
    (400, chunks(b"0\r\nX: a\r\n b\r\n\r\n" + SMUGGLED)),
    (400, chunks(b"0;" + b"a" * 9000)),
    (400, chunks(b"0\r\nX: " + b"a" * 9000)),
    (413, chunks(b"ffffffff\r\n" + b" " * 2 * 1024 * 1024)),
    *((400, first_line(b"GET /api/tags " + each)) for each in BAD_VERSIONS),
    (400, b"GET /api/tags\r\n\r\n" + SMUGGLED),
    (400, b"GET  /api/tags HTTP/1.1\r\n" + HOST + END),
    (400, b"GET\t/api/tags\tHTTP/1.1\r\n" + HOST + END),
    (400, b"GET /api/tags HTTP/1.1\r" + HOST + END),
    (400, b"GET /api/tags HTTP/1.1\n" + HOST + END),
    (400, b"GET /api/tags HTTP/1.1\r\n " + HOST + END),
    (400, b"GET /api/tags HTTP/1.1\r\n\r\n"),
    *((400, b"GET /api/tags HTTP/1.1\r\nHost: " + each + END + CLOSE + END) for each in BAD_HOSTS),
    (400, GET + HOST + END),
    (400, GET + b"host: elsewhere\r\n\r\n"),
    (400, b"GET http://elsewhere/api/tags HTTP/1.1\r\n\r\n"),
    (400, b"GET /api/tags HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    *((400, target(each)) for each in BAD_TARGETS),
    (400, target(b"*", b"OPTIONS")),
    (400, target(b"example.org:443", b"CONNECT")),
    *((400, target(b"/api/tags", each)) for each in BAD_METHODS),
    *((400, GET + each + END + CLOSE + END) for each in BAD_HEADERS),
    *((400, each + GET + CLOSE + END) for each in BAD_BEGINNINGS),
    (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (400, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET + END),
    (400, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + GET + END),  # the same, in its binary form
    (400, b"EHLO example.org\r\n\r\n"),
    (400, b"\x00" * 64 + b"\r\n\r\n"),
    (431, GET + b"X: ".ljust(33_000, b"x")),
    (431, b"GET /".ljust(33_000, b"x")),
    (431, GET + b"X: a\r\n" * 6000),
    (400, GET + b"Expect: 100-continue\r\n" + CHUNKED * 2 + END),
    (413, POST + b"Expect: 100-continue\r\nContent-Length: 3000000\r\n\r\n"),
]

TAKEN = [
    (200, target(b"http://elsewhere/api/tags")),
    (200, target(b"https://elsewhere:8080/api/tags?x=1")),
    (200, target(b"http://[::1]:8080/api/tags")),
    (200, target(b"//api/tags")),
    (404, target(b"/api/../api/tags")),
    (405, target(b"/api/tags", b"TRACE")),
    (405, target(b"/api/tags", b"BREW")),
    (405, target(b"/api/tags", b"CONNECT")),
    *((200, empty + GET + CLOSE + END) for empty in (b"\r\n", b"\r\n" * 2, b"\r\n" * 3, b"\r\n" * 1000)),
    (200, b"GET /api/tags HTTP/1.0\r\n\r\n"),
    (200, first_line(b"GET /api/tags HTTP/1.1 ")),
    (200, GET + CLOSE + b"X:\r\nX: \t a \t\r\nX: \xe9\r\n\r\n"),
    (200, GET + CLOSE + b"Transfer_Encoding: chunked\r\nContent_Length: 9\r\nHo_st: a\r\n\r\n"),
    (200, GET + CLOSE + b"Content-Length: 000\r\n\r\n"),
    (200, GET + CLOSE + b"Upgrade: h2c\r\nExpect: magic\r\n\r\n"),
    (422, POST + CLOSE + b"Content-Length: 012\r\n\r\n" + EMPTY),
    (422, POST + CLOSE + CHUNKED + END + IN_CHUNKS),
    (422, POST + CLOSE + b"transfer-encoding:\t CHUNKED \t\r\n\r\n" + IN_CHUNKS),
    (422, POST + CLOSE + CHUNKED + END + b'0000000C;a="b";c\r\n' + EMPTY + b"\r\n0;d\r\nX: a\r\nY:\r\n\r\n"),
    (422, POST + CLOSE + CHUNKED + END + b"".join(b"1\r\n%c\r\n" % each for each in EMPTY) + b"0\r\n\r\n"),
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


@pytest.mark.parametrize(("status", "sent"), REFUSED, ids=shown)
def test_an_ambiguous_request_is_refused_and_its_connection_closed(server, status, sent):
    before = accounts(server)
    size = 1000 if len(sent) > 1000 else 1
    for parts in [sent], [sent[at : at + size] for at in range(0, len(sent), size)]:
        response = send(server, *parts, then_silent=status == 413)

        assert statuses(response) == [status]
        assert b"Content-Type: text/plain" in response
        assert b"Traceback" not in response
    assert accounts(server) == before


@pytest.mark.parametrize(("status", "sent"), TAKEN, ids=shown)
def test_an_unusual_but_clear_request_is_answered(server, status, sent):
    before = accounts(server)
    for parts in [sent], [sent[at : at + 1] for at in range(len(sent))]:
        response = send(server, *parts)

        assert statuses(response) == [status]
        assert b"Content-Type: application/json" in response
    assert accounts(server) == before


LONG_LINES = [
    GET + b"X:" + b" " * 32_000 + b"\x00" + END + CLOSE + END,
    b"GET a://" + b"1" * 32_000 + b" x\r\n\r\n",
]


def cpu_seconds(server: Server) -> float:
    """The CPU time that the worker has used."""
    (pid,) = workers_of(server)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user mode and in the kernel


@needs_proc
@pytest.mark.parametrize("sent", LONG_LINES, ids=["header", "address"])
def test_no_line_takes_much_cpu_time_to_parse(server, sent):
    # With patterns of waitress it takes 5 seconds and more, on the thread that reads for all clients.
    before = cpu_seconds(server)
    assert statuses(send(server, sent)) == [400]
    assert cpu_seconds(server) - before < 1


def test_an_incomplete_request_gets_no_response_when_the_client_stops_sending(server):
    hello = bytes.fromhex("16030100c8010000c40303") + b"\x00" * 32  # TLS
    bare_newlines = b"GET /api/tags HTTP/1.1\nHost: localhost\n\n"
    for sent in hello, b"GET /api/tags", bare_newlines, b"\r\n" * 9, chunks(b"c\r\n{"):
        assert send(server, sent, then_silent=True) == b""


def test_pipelined_requests_are_answered_in_order_up_to_the_one_that_closes(server):
    first, second, third = next(names), next(names), next(names)
    rows = [registration(first), GET + END, target(b"/api/nothing").replace(CLOSE, b""), chunks(IN_CHUNKS)]
    last = registration(second).replace(HOST, HOST + CLOSE)

    responses = send(server, b"".join([*rows, last, registration(third)]))

    assert statuses(responses) == [201, 200, 404, 422, 201]
    assert accounts(server) & {first, second, third} == {first, second}


def test_empty_lines_between_requests_are_ignored(server):
    name = next(names)

    assert statuses(send(server, registration(name) + END + GET + END + END * 3 + GET + CLOSE + END)) == [201, 200, 200]


LAST = [b"close", b"CLOSE", b"keep-alive, close", b"close, keep-alive", b"x,close", b"x ,\tClose\t, y", b",close,"]
NOT_LAST = [b"", b"keep-alive", b"closed", b"not-close", b"close;x", b'x="close"', b"close x", b"close\xa0", b"clo, se"]


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("options", [*LAST, b"keep-alive\r\nX: a\r\nConnection: close"], ids=shown)
def test_connection_close_anywhere_among_the_options_ends_the_connection(server, version, options):
    name = next(names)
    request = GET.replace(b"1.1", version) + b"Connection: " + options + END + END

    responses = send(server, request + registration(name))

    assert statuses(responses) == [200]
    assert b"\r\nConnection: close\r\n" in responses
    assert name not in accounts(server)


@pytest.mark.parametrize("options", NOT_LAST, ids=shown)
def test_other_connection_options_leave_the_connection_open(server, options):
    assert statuses(send(server, GET + b"Connection: " + options + END + END + GET + CLOSE + END)) == [200, 200]


def test_requests_after_a_refused_one_are_ignored(server):
    first, second = next(names), next(names)

    responses = send(server, registration(first) + POST + CHUNKED * 2 + END + registration(second))

    assert statuses(responses) == [201, 400]
    assert accounts(server) & {first, second} == {first}


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

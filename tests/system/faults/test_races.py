"""Fifty requests at once on two workers: the responses are those of some order, and counters are exact afterwards.

All but the last byte of each request is sent before the first last byte."""

import http.client
import itertools
import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest

from clock import SYSTEM_CLOCK
from tests.commands import Commands
from tests.conftest import HOME, PASSWORD
from tests.system.faults.clients import SETTINGS, rounds
from tests.system.test_server import Server, needs_proc, serving, until_all_listen

pytestmark = needs_proc

MANY = 50
SHARE = 0.04  # of MINUTES, for each test
numbers = itertools.count()


def request(method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> bytes:
    """A request, as it is sent."""
    sent = json.dumps(body).encode() if body else b""
    headers = f"Authorization: Token {token}\r\n" if token else ""
    headers += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n" if body else ""
    return f"{method} /api{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + sent


def registration(name: str, email: str) -> bytes:
    return request("POST", "/users", {"user": {"username": name, "email": email, "password": PASSWORD}})


def at_once(server: Server, requests: Sequence[bytes]) -> list[tuple[int, Any]]:
    """Status and body of the responses to requests that end at the same moment. Both workers answer some of many."""
    responses, workers = [], set()
    with ExitStack() as stack:
        address = "127.0.0.1", server.port
        connections = [stack.enter_context(closing(socket.create_connection(address, timeout=60))) for _ in requests]
        for connection, each in zip(connections, requests, strict=True):
            connection.sendall(each[:-1])
        for connection, each in zip(connections, requests, strict=True):
            connection.sendall(each[-1:])
        for connection in connections:
            with closing(http.client.HTTPResponse(connection)) as response:
                response.begin()
                text = response.read()
                workers.add(response.headers["X-Request-Id"][:24])  # ids of one process begin alike
                responses.append((response.status, json.loads(text) if text else None))
    assert len(requests) < MANY or len(workers) == 2
    return responses


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers. At the end `check` must find nothing, and the log must hold no exception."""
    with serving(tmp_path_factory.mktemp("server"), "--workers", "2", **SETTINGS) as running:
        until_all_listen(running)
        yield running
        checked = Commands(tmp_path_factory.mktemp("check") / "commands", SYSTEM_CLOCK)
        assert checked.says("check", "--database", str(running.database))[-1].endswith("is as it should be")
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def tokens(server: Server) -> list[str]:
    """The tokens of fifty users."""
    names = [f"user{next(numbers)}" for _ in range(MANY)]
    responses = at_once(server, [registration(name, f"{name}@example.org") for name in names])
    return [body["user"]["token"] for _, body in responses]


def test_only_one_of_fifty_registrations_gets_a_name(server):
    for chance in rounds(1, SHARE):
        name = f"one{next(numbers)}"
        # Spellings that count as the same name.
        forms = [name, name.upper(), name.title(), "".join(chr(ord(each) + 0xFEE0) for each in name), f" {name}\t"]
        requests = [registration(forms[number % 5], f"{name}x{number}@example.org") for number in range(MANY)]
        ((before,),) = server.rows("SELECT ifnull(max(id), 0) FROM users")

        responses = at_once(server, chance.sample(requests, MANY))

        assert Counter(status for status, _ in responses) == {201: 1, 409: MANY - 1}
        assert all(list(body["errors"]) == ["username"] for status, body in responses if status == 409)
        for table, column in ("users", "id"), ("sessions", "user_id"), ("audit", "user_id"):
            assert server.rows(f"SELECT count(*) FROM {table} WHERE {column} > {before}") == [(1,)], table


def test_each_of_fifty_favorites_counts_once(server, tokens):
    article = {"title": "Rowing at dawn", "description": "About it", "body": "The text"}
    ((_, written),) = at_once(server, [request("POST", "/articles", {"article": article}, tokens[0])])
    path = f"/articles/{written['article']['slug']}/favorite"
    for chance in rounds(1, SHARE):
        for method, counts in [("POST", range(1, MANY + 1)), ("DELETE", range(MANY))]:
            requests = [request(method, path, token=token) for token in tokens]

            responses = at_once(server, chance.sample(requests, MANY))

            assert {status for status, _ in responses} == {200}
            assert sorted(body["article"]["favoritesCount"] for _, body in responses) == list(counts)
            assert {body["article"]["favorited"] for _, body in responses} == {method == "POST"}
        assert server.rows((HOME / "sql/counters/wrong.sql").read_text()) == []

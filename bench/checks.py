"""Whether an answer is right: the same JSON as Rowboat's, order, counts and fields."""

import http.client
import json
import random
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.load import Wrong
from bench.servers import Server
from bench.workload import Request

# What a new comment gets from its server: these differ rightly.
_OWN = ("id", "createdAt", "updatedAt")


def fetch(server: Server, requests: Iterable[Request]) -> list[tuple[int, bytes]]:
    """The status and the body that each request is answered with."""
    answers = []
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for request in requests:
            headers = {"Authorization": f"Token {request.token}"} if request.token else {}
            if request.body:
                headers["Content-Type"] = "application/json"
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
    return answers


def save_answers(rowboat: Server, requests: Iterable[Request], path: Path) -> None:
    """Write what Rowboat answers to each request, for the ceiling. Raises Wrong unless all are good."""
    answers = {}
    requests = list(requests)
    for request, (status, body) in zip(requests, fetch(rowboat, requests), strict=True):
        if status != 200:
            raise Wrong(f"{request.path}: {status} {body.decode()[:200]}")
        address, _, query = request.path.partition("?")
        header = f"Token {request.token}" if request.token else ""
        answers[f"{address}?{query} {header}"] = body.decode()
    path.write_text(json.dumps(answers))


def check_reads(rowboat: Server, other: Server, requests: list[Request], most: int) -> None:
    """Compare `most` answers of the other's, from all over the list, with Rowboat's. Raises Wrong."""
    some = random.Random("checks").sample(requests, min(most, len(requests)))
    for request, expected, found in zip(some, fetch(rowboat, some), fetch(other, some), strict=True):
        if expected[0] != 200:
            raise Wrong(f"Rowboat answers {request.path} with {expected[0]}")
        _require_equal(request, expected, found)


def check_comment(rowboat: Server, other: Server, request: Request) -> None:
    """Compare what writing a comment answers, and that it is read as the newest one. Raises Wrong."""
    written = [fetch(server, [request])[0] for server in (rowboat, other)]
    listing = Request(request.path, ())
    for server, answer in zip((rowboat, other), written, strict=True):
        newest = json.loads(fetch(server, [listing])[0][1])["comments"][0]
        answered = json.loads(answer[1]).get("comment")
        # Whether the reader follows the author is another matter for another reader.
        if answered is None or newest["id"] != answered["id"] or newest["body"] != answered["body"]:
            raise Wrong(f"{server.name}: {request.path}: the comment is not the newest one")
    _require_equal(request, *((status, _without_own(body)) for status, body in written))


def _without_own(body: bytes) -> bytes:
    answer = json.loads(body)
    kinds = {name: type(answer["comment"][name]).__name__ for name in _OWN}
    return json.dumps({"comment": answer["comment"] | kinds}).encode()


def _require_equal(request: Request, expected: tuple[int, bytes], found: tuple[int, bytes]) -> None:
    if expected[0] != found[0]:
        raise Wrong(f"{request.path}: status {found[0]}, not {expected[0]}")
    difference = _difference(json.loads(expected[1]), json.loads(found[1]), "")
    if difference:
        raise Wrong(f"{request.path}: {difference}")


def _difference(expected: Any, found: Any, where: str) -> str:
    """Where two JSON values differ first; empty when they are equal."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return next(filter(None, (_difference(expected[key], found[key], f"{where}.{key}") for key in expected)), "")
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return next(filter(None, (_difference(*pair, f"{where}[{place}]") for place, pair in pairs)), "")
    if type(expected) is type(found) and expected == found:
        return ""
    return f"{where or 'the answer'} is {json.dumps(found)[:80]}, not {json.dumps(expected)[:80]}"

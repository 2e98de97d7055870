"""The ceiling: a bare WSGI function that returns Rowboat's bytes from a dict, on Rowboat's own server.

python -m bench.contestants.ceiling ANSWERS PORT; ANSWERS is a JSON file, see bench/checks.py. BENCH_HEADERS may be a
JSON array of headers, [name, value], that each answer has besides its type and its length."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import serve
import worker
from config import Config
from handlers import slow_requests


def make_app(answers: dict[str, bytes], more: list[tuple[str, str]]) -> Callable[..., Iterable[bytes]]:
    """An application that knows these answers, by path, query and Authorization header; each has `more` headers."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"].partition("_=")[0].rstrip("&")  # without the number of requests.lua
        body = answers[environ["PATH_INFO"] + "?" + query + " " + environ.get("HTTP_AUTHORIZATION", "")]
        headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers + more)
        return [body]

    return answer


def main() -> None:
    """Serve with the settings of serve.py."""
    path, port = sys.argv[1:]
    answers = {key: body.encode() for key, body in json.loads(Path(path).read_text()).items()}
    more = [(name, value) for name, value in json.loads(os.environ.get("BENCH_HEADERS", "[]"))]
    with closing(serve.bind("127.0.0.1", int(port))[0]) as listening:
        worker.make_server(make_app(answers, more), Config(), listening, slow_requests([])).run()


if __name__ == "__main__":
    main()

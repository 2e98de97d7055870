"""The ceiling: a bare WSGI function that returns Rowboat's bytes from a dict, on Rowboat's own server.

python -m bench.contestants.ceiling ANSWERS PORT; ANSWERS is a JSON file, see bench/checks.py."""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import serve
import worker
from config import Config


def make_app(answers: dict[str, bytes]) -> Callable[..., Iterable[bytes]]:
    """An application that knows these answers, by path, query and Authorization header."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"].partition("_=")[0].rstrip("&")  # without the number of requests.lua
        body = answers[environ["PATH_INFO"] + "?" + query + " " + environ.get("HTTP_AUTHORIZATION", "")]
        headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    return answer


def main() -> None:
    """Serve with the settings of serve.py."""
    path, port = sys.argv[1:]
    answers = {key: body.encode() for key, body in json.loads(Path(path).read_text()).items()}
    with closing(serve.bind("127.0.0.1", int(port))[0]) as listening:
        worker.make_server(make_app(answers), Config(), listening).run()


if __name__ == "__main__":
    main()

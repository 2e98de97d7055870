"""How one request travels: it is really sent through the application, and each function of the project is noted."""

import io
import sys
import time
from dataclasses import dataclass, field
from types import FrameType, SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

from bottle import request, response

from middleware import Environ, WSGIApplication
from study.sources import readable


@dataclass
class Call:
    """A call of a function of the project: where it stands, what it is for, and what it took."""

    file: str
    line: int
    name: str
    said: str
    began: float  # seconds of time.perf_counter
    ms: float = 0.0
    sql: str = ""  # the file that it runs, and the fields of its form
    calls: list["Call"] = field(default_factory=list)


def send(app: WSGIApplication, path: str, query: str) -> SimpleNamespace:
    """Send a GET without a token through the whole application, as it would come from this client.

    Returns status, headers, body, milliseconds, what ran in SQL with its seconds, and whether it was remembered."""
    outer = request.environ
    kept = {name: outer[name] for name in outer if name.startswith(("SERVER_", "wsgi.", "REMOTE_", "HTTP_HOST"))}
    there = unquote_to_bytes(path).decode("latin-1")  # as WSGI has it
    behind = query.encode().decode("latin-1")
    asked = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": there, "QUERY_STRING": behind}
    environ: Environ = kept | asked | {"wsgi.input": io.BytesIO()}
    started: list[Any] = []
    try:
        began = time.perf_counter()
        body = b"".join(app(environ, lambda *arguments: started.extend(arguments)))
        ms = 1000 * (time.perf_counter() - began)
    finally:  # Bottle's are those of the thread
        request.bind(outer)
        response.bind()
    known = {"ran": environ["rowboat.ran"], "remembered": "rowboat.remembered" in environ}
    return SimpleNamespace(status=started[0], headers=started[1], body=body, ms=ms, **known)


def trace(app: WSGIApplication, path: str, query: str) -> list[Call]:
    """Every call of a function of the project that takes part in the same. Noting them makes it slower."""
    known = {str(path): name for name, path in readable().items()}
    top: list[Call] = []
    stack: list[tuple[FrameType, Call]] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename in known and not code.co_name.startswith("<"):
            name = code.co_qualname.replace(".<locals>", "")
            call = Call(
                known[code.co_filename], code.co_firstlineno, name, _said(frame.f_globals, name), time.perf_counter()
            )
            if name == "_run_file":
                file, values = frame.f_locals["file"], frame.f_locals["parameters"]
                asked = {each: values[each] for each in file.parameters if values.get(each) is not None}
                call.sql = f"{file.name}?{urlencode({'~run': 1} | asked)}"
            (stack[-1][1].calls if stack else top).append(call)
            stack.append((frame, call))
        elif event == "return" and stack and stack[-1][0] is frame:
            call = stack.pop()[1]
            call.ms = 1000 * (time.perf_counter() - call.began)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        send(app, path, query)
    finally:
        sys.setprofile(before)
    return top


def _said(known: dict[str, Any], name: str) -> str:
    """The first sentences of a function's docstring, or of what it is defined in."""
    said, thing = "", None
    for part in name.split("."):
        thing = getattr(thing, part, None) if thing else known.get(part)
        said = (thing.__doc__ if thing and part != "apply" else "") or said  # what a plugin does, its class says
    return " ".join(said.split("\n\n")[0].split())

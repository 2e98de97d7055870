"""For browsers: the page at /, and the API reference at /docs, where each operation stands beside its SQL files."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bottle import HTTPResponse, request, template

from db.statements import find
from plugins.errors import not_found
from study.routes import EXAMPLES, Route, files_of, request_of

_FOLDER = Path(__file__).parent / "viewer"

_TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
_FILES = {path.name.removesuffix(".gz"): path for path in _FOLDER.iterdir()}

# Scripts and styles are files of ours, and whoever tries a request reaches this server alone.
# Swagger UI's style sheet has its icons in data: URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Where `make run` serves. The page puts in the origin that it was loaded from.
_SERVER = "http://127.0.0.1:8080"
_CURL = (_FOLDER.parent / "templates/curl.tpl").read_text(encoding="utf-8-sig")


def page(name: str, prefix: str, **shown: Any) -> HTTPResponse:
    """A page of study/viewer, filled in."""
    html = template((_FOLDER / name).read_text(encoding="utf-8-sig"), prefix=prefix, **shown)
    return _answer(name, below(prefix, html).encode(), Vary="Accept")


def below(prefix: str, html: str) -> str:
    """The page with the prefix before each address of this server in it."""
    return re.sub(r'\b(href|src|action)="/', rf'\1="{prefix}/', html)


def file(name: str) -> HTTPResponse:
    """A file of study/viewer for browsers. Raises Problem where there is none of this name."""
    if name not in _FILES or Path(name).suffix not in _TYPES:
        raise not_found("route")
    content = _FILES[name].read_bytes()
    if _FILES[name].suffix != ".gz":
        return _answer(name, content)
    if "gzip" in request.get_header("Accept-Encoding", ""):
        return _answer(name, content, Content_Encoding="gzip", Vary="Accept-Encoding")
    return _answer(name, gzip.decompress(content), Vary="Accept-Encoding")


def _answer(name: str, content: bytes, **headers: str) -> HTTPResponse:
    kind = f"{_TYPES.get(Path(name).suffix, 'text/html')}; charset=utf-8"
    return HTTPResponse(content, 200, Content_Type=kind, Content_Security_Policy=_POLICY, **headers)


def with_samples(document: str, routes: Iterable[Route], prefix: str) -> str:
    """The OpenAPI document with examples and `x-codeSamples`: a call with curl, and each SQL file that answers it."""
    described = json.loads(document)
    files = find(Path(__file__).parent.parent / "sql")
    for route in routes:
        operation = described["paths"][re.sub(r"<(\w+)>", r"{\1}", route[1])][route[0].lower()]
        operation["operationId"] = operation["operationId"].replace("_", "-")  # Swagger UI's links take _ for a blank
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                parameter["example"] = EXAMPLES["path"].get(parameter["name"], "1")
        if body := EXAMPLES["body"].get(operation["operationId"]):
            operation["requestBody"]["content"]["application/json"]["example"] = body
        curl = template(_CURL, host=_SERVER + prefix, **request_of(route, EXAMPLES["path"] | EXAMPLES["query"])).strip()
        behind = {name: files[name].read_text(encoding="utf-8-sig") for name in files_of(route, files)}
        operation["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": curl}] + [
            {"lang": "SQL", "label": f"sql/{name}.sql", "source": text} for name, text in behind.items()
        ]
    return json.dumps(described, ensure_ascii=False)

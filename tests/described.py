"""Whether an answer is one that the OpenAPI document describes: its status, its type, its body."""

import functools
import re
from typing import Any

from jsonschema_rs import Draft202012Validator
from webtest import TestResponse

import app
import openapi

# What a request gets for which there is no route.
_UNKNOWN = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Errors"}}}}


@functools.cache
def document() -> dict[str, Any]:
    """The document as the application serves it."""
    return openapi.build(app.routes(), app.VERSION)


@functools.cache
def _validator(model: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{model}", "components": document()["components"]}
    return Draft202012Validator(schema, validate_formats=True)


def require_described(method: str, path: str, answer: TestResponse) -> None:
    """Fail unless the document lists this answer for this request. Routes that it does not know answer only 4xx."""
    operation = operation_for("GET" if method == "HEAD" else method, path)
    if operation is None:
        assert answer.status_int in (400, 404, 405), f"{method} {path} is not in the document, yet it answers"
        described = _UNKNOWN
    else:
        described = operation["responses"].get(str(answer.status_int))
        assert described, f"{method} {path} answers {answer.status_int}, which the document does not list"
    if method == "HEAD" or "content" not in described:
        assert answer.body == b"", f"{method} {path} answers a body, which the document does not list"
        return
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    reference = described["content"]["application/json"]["schema"]["$ref"]
    _validator(reference.rpartition("/")[2]).validate(answer.json)


def operation_for(method: str, path: str) -> dict[str, Any] | None:
    """What the document says of a request; None where it knows no such route."""
    path = path.partition("?")[0].removesuffix("/")
    for template, operations in sorted(document()["paths"].items(), key=lambda item: "{" in item[0]):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
            found: dict[str, Any] = operations[method.lower()]
            return found
    return None

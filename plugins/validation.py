"""What clients send, checked against the models that a route names: bodies and queries."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import pydantic_core
from bottle import Route, request
from pydantic import BaseModel, ValidationError

from config import Config
from plugins import errors
from plugins.messages import message_of

MAX_BODY_BYTES = 1024 * 1024
_MAX_DEPTH = 100

# A large body may take forty times its length in memory while it is parsed: one at a time.
_LARGE_BODY_BYTES = 64 * 1024
_parsing = threading.Lock()

_MOST_ERRORS = 100

# The labels of UTF-8 (https://encoding.spec.whatwg.org/#names-and-labels).
_UTF_8 = {"utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"}

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def refuse_unreadable_address() -> None:
    """Answer 400 when the path or the query is not UTF-8, or holds NUL. Runs before the route is looked for.

    Bottle would leave out what it cannot decode: /articles/foo%FF would find foo. And its patterns end in `$`,
    which overlooks a newline at the end: that is a 404."""
    path = request.environ["bottle.raw_path"]
    _require_text("path", path.encode("latin-1"))
    if query := request.environ.get("QUERY_STRING"):
        _require_text("query", query.encode("latin-1"))
        _require_text("query", unquote_to_bytes(query))
    if path.endswith("\n"):
        raise errors.not_found("route")


def _require_text(part: str, sent: bytes) -> None:
    try:
        text = sent.decode()
    except UnicodeDecodeError:
        raise errors.undecodable(part) from None
    if "\0" in text:
        raise errors.undecodable(part)


def sent_query() -> dict[str, str]:
    """What stands behind the `?` of the current request, by name; of a name that appears twice, the last.

    Blank values are left out: forms send a field that is empty, too."""
    text = request.environ.get("QUERY_STRING", "").encode("latin-1").decode()
    return {name: value for name, value in parse_qsl(text) if value.strip()}


class QueryPlugin:
    """Passes what stands behind the `?` as `query` to routes with the option query=Model.

    A parameter that the model does not know is ignored."""

    name = "query"
    api = 2

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround the routes that name the option."""
        model = route.config.get("query")
        if model is None:
            return callback

        def with_query(**arguments: Any) -> Any:
            return callback(query=validated(model, sent_query()), **arguments)

        return with_query


class BodyPlugin:
    """Passes a part of the JSON body to routes with the option body=(key, Model), as the argument `key`.

    Validators of the model find the settings in `info.context`."""

    name = "body"
    api = 2

    def __init__(self, config: Config) -> None:
        self._config = config

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround the routes that name the option."""
        if "body" not in route.config:
            return callback
        key, model = route.config["body"]

        def parsed(body: bytes) -> BaseModel:
            sent = _json_object(body).get(key)
            if not isinstance(sent, dict):
                raise errors.invalid({key: "can't be blank"})
            value = validated(model, sent, self._config, whole=key)
            if not value.model_fields_set:
                raise errors.invalid({key: "can't be blank"})
            return value

        def with_body(**arguments: Any) -> Any:
            body = _body()
            with _parsing if len(body) > _LARGE_BODY_BYTES else nullcontext():
                try:
                    value = parsed(body)
                except errors.Problem as problem:
                    problem.__context__ = None  # it and the traceback refer to all that was parsed
                    return problem.with_traceback(None)
            return callback(**{key: value}, **arguments)

        return with_body


def _body() -> bytes:
    """The request's body. Raises the 413 or 415 for one that is too large or says that it is not JSON."""
    environ = request.environ
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY_BYTES:
        raise errors.body_too_large(MAX_BODY_BYTES)
    media_type, *parameters = (part.strip().lower() for part in environ.get("CONTENT_TYPE", "").split(";"))
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    if media_type != "application/json" or not _UTF_8.issuperset(charsets):
        raise errors.body_type_unsupported("must be sent as Content-Type: application/json, in UTF-8")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise errors.body_type_unsupported("must be sent without a Content-Encoding")
    body: bytes = environ["wsgi.input"].read(length)
    return body


def _json_object(body: bytes) -> dict[str, Any]:
    """The body as a dict. Of a key that appears twice, the last value counts (RFC 8259 leaves it open)."""
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise errors.body_unreadable(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise errors.body_unreadable("must be a JSON object")
    if _deeper_than(_MAX_DEPTH, value):
        raise errors.body_unreadable(f"is nested deeper than {_MAX_DEPTH}")
    return value


def _deeper_than(depth: int, value: Any) -> bool:
    level = [value]
    while level and depth:
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        depth -= 1
    return bool(level)


def validated(
    model: type[AnyModel], sent: dict[str, Any], config: Config | None = None, whole: str = "query"
) -> AnyModel:
    """What was sent, as the model.

    Raises the 422 that names every wrong field by its path, such as items/1/quantity, at most 100 of them. `whole` is
    the name of all of it, for a rule about several fields."""
    try:
        # As JSON: in strict mode, only there a text can be a date and an array a tuple.
        return model.model_validate_json(pydantic_core.to_json(sent), context=config)
    except pydantic_core.PydanticSerializationError:  # a lone surrogate, from the command line
        raise errors.invalid({whole: "must be UTF-8"}) from None
    except ValidationError as invalid:
        messages: dict[str, str] = {}
        for error in invalid.errors(include_url=False)[:_MOST_ERRORS]:
            messages.setdefault(_path(error, sent) or whole, message_of(error))
        raise errors.invalid(messages) from None


def _path(error: Any, sent: Any) -> str:
    """Where in what was sent an error lies. pydantic's location also names the choices of unions, which nobody sent."""
    path = []
    for number, part in enumerate(error["loc"], 1):
        if (part in sent) if isinstance(sent, dict) else isinstance(sent, list) and part in range(len(sent)):
            sent = sent[part]
        elif not (error["type"].startswith("missing") and number == len(error["loc"])):
            continue
        path.append(str(part))
    return "/".join(path)

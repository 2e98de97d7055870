"""Every error that a client can get, once: its status, its key, its message."""

import functools
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from bottle import HTTPError, Route, request, response

from db import Refused, StartupError, TookTooLong, Unavailable
from db.script import blank_comments
from db.statements import SQLFile

JSON = "application/json; charset=utf-8"


class Problem(HTTPError):  # type: ignore[misc]
    """An answer with an error status. `errors` maps a field or a thing to what is wrong with it."""

    def __init__(self, status: int, errors: dict[str, str], **headers: str) -> None:
        super().__init__(status, **headers)
        self.errors = errors

    def __str__(self) -> str:
        return "; ".join(f"{key}: {message}" for key, message in self.errors.items())


def body_unreadable(why: str) -> Problem:
    """The body is no JSON object that can be used."""
    return Problem(400, {"body": why})


def undecodable(part: str) -> Problem:
    """The path or the query of the address is not text in UTF-8."""
    return Problem(400, {part: "must be UTF-8 without NUL"})


def token_missing() -> Problem:
    """The route needs a token, and none was sent."""
    return Problem(401, {"token": "is missing"})


def token_invalid() -> Problem:
    """A token was sent that is nobody's, or no longer."""
    return Problem(401, {"token": "is invalid"})


def registration_closed() -> Problem:
    """Accounts are opened by those who run the server alone."""
    return Problem(403, {"registration": "closed"})


def account_suspended() -> Problem:
    """Moderators have suspended the account, and its owner has proved to be that."""
    return Problem(403, {"account": "suspended"})


def reset_token_invalid() -> Problem:
    """The token sets nobody's password, or no longer."""
    return Problem(422, {"token": "is wrong or too old"})


def credentials_invalid() -> Problem:
    """Nobody has this email with this password; which of the two is wrong is not said."""
    return Problem(401, {"credentials": "invalid"})


def not_found(thing: str) -> Problem:
    """There is no such article, profile, comment or route."""
    return Problem(404, {thing: "not found"})


def body_too_large(most_bytes: int) -> Problem:
    """The body is longer than any that is taken."""
    return Problem(413, {"body": f"is too large (maximum is {most_bytes} bytes)"})


def body_type_unsupported(why: str) -> Problem:
    """The body may be good, but it does not say that it is JSON in UTF-8."""
    return Problem(415, {"body": why})


def invalid(errors: dict[str, str]) -> Problem:
    """Fields or parameters that cannot be used."""
    return Problem(422, errors)


def database_unavailable() -> Problem:
    """The database is locked, full or out of reach; the same request may succeed a little later."""
    return Problem(503, {"database": "is not available; try again"}, **{"Retry-After": "1"})


def server_busy() -> Problem:
    """Too many requests wait for the threads that hash passwords."""
    return Problem(503, {"server": "is busy; try again in 5 seconds"}, **{"Retry-After": "5"})


def took_too_long(field: str) -> Problem:
    """The request would have read for too long; asking for less may help. `field` is what makes it long."""
    return Problem(503, {field: "took too long"}, **{"Retry-After": "10"})


# What a verdict of a SQL file, such as "comment: forbidden", is answered with.
_VERDICTS = {
    "is invalid": 401,
    "forbidden": 403,
    "not found": 404,
    "has already been taken": 409,
    "has changed; try again": 409,
    "is the last admin": 409,
    "does not match": 412,
    "is wrong or too old": 422,
}
_TOO_MANY = re.compile(r"too many attempts; try again in (\d+) seconds?")

# What a constraint of the schema means to the client who ran into it. SQLite names a CHECK by its name and
# a UNIQUE by its columns. The models refuse such values before the database does; this is what answers
# should one ever let a value through.
CONSTRAINTS = {
    "users.username_key": (409, "username", "has already been taken"),
    "users.email_key": (409, "email", "has already been taken"),
    "slugs.slug": (409, "title", "has already been taken"),
    "users_username_length": (422, "username", "must have 1 to 64 characters"),
    "users_email_length": (422, "email", "must have 3 to 254 characters"),
    "users_bio_length": (422, "bio", "must have at most 5000 characters"),
    "users_image_length": (422, "image", "must have at most 8192 characters"),
    "users_image_characters": (422, "image", "must not contain control characters"),
    "articles_title_length": (422, "title", "must have 1 to 255 characters"),
    "articles_description_length": (422, "description", "must have 1 to 1000 characters"),
    "articles_body_length": (422, "body", "must have 1 to 1000000 characters"),
    "slugs_slug_reserved": (422, "title", "cannot be used"),
    "tags_name_length": (422, "tagList", "must hold texts of 1 to 64 characters"),
    "article_tags_position_range": (422, "tagList", "must hold at most 50 tags"),
    "article_tags.tag_id, article_tags.article_id": (422, "tagList", "must not hold a tag twice"),
    "comments_body_length": (422, "body", "must have 1 to 65536 characters"),
}


# A text in a verdict's statement that is not compared with anything: a verdict, or a part of one.
_TEXT = re.compile(r"'((?:[^']|'')*)'")
_COMPARED = re.compile(
    r"\bIN\s*\([^()]*\)|(?:=|<>|!=|<|>|->>?|\bIS(?:\s+NOT)?|\bLIKE|\bGLOB)\s*'(?:[^']|'')*'", re.IGNORECASE
)
_PARTS_OF_TOO_MANY = {": too many attempts; try again in ", " second", " seconds"}


def require_declared(files: Iterable[SQLFile]) -> None:
    """Raise StartupError for a verdict of a SQL file for which there is no response here."""
    for file in files:
        for statement in file.statements:
            if mistake := _mistake(statement):
                raise StartupError(f"{file.path}: {mistake}")


@functools.cache  # one program makes one application; its tests make thousands
def _mistake(statement: str) -> str | None:
    """What is wrong with the verdicts that a statement may return; None where nothing is, or where it has none."""
    code = blank_comments(statement)
    if not re.search(r"\bverdict\b", code, re.IGNORECASE):
        return None
    texts = _TEXT.findall(_COMPARED.sub("", code))
    for text in texts:
        thing, colon, message = text.partition(": ")
        if not (thing and colon and message in _VERDICTS) and text not in _PARTS_OF_TOO_MANY:
            return (
                f"the verdict {text!r} is not declared; write 'thing: message', with one of the messages of "
                f"plugins/errors.py: {', '.join(_VERDICTS)}"
            )
    if not (texts and re.search(r"(?i:\bAS)\s+verdict\b", code)):
        return "a verdict is written as 'thing: message' AS verdict, in lower case"
    return None


def refused(refusal: Refused) -> Problem:
    """The contract's answer to the verdicts of a guarded write."""
    errors = dict(verdict.split(": ", 1) for verdict in refusal.verdicts)
    message = next(iter(errors.values()))
    if wait := _TOO_MANY.fullmatch(message):
        return Problem(429, errors, **{"Retry-After": wait[1]})
    return Problem(_VERDICTS[message], errors)


def violated(error: sqlite3.IntegrityError) -> Problem | None:
    """The answer to a broken constraint; None where it is our own mistake."""
    status, field, message = CONSTRAINTS.get(str(error).partition(" constraint failed: ")[2], (500, "", ""))
    return Problem(status, {field: message}) if field else None


class ErrorsPlugin:
    """Turns what the database refuses into the answer that the contract has for it."""

    name = "errors"
    api = 2

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround every route."""

        def answer(**arguments: Any) -> Any:
            if "rowboat.is_refused" in request.environ:
                return server_busy()
            try:
                return callback(**arguments)
            except Refused as refusal:
                return refused(refusal)
            except Unavailable as error:
                request_id = request.environ["rowboat.request_id"]
                logging.getLogger("rowboat").warning("503: %s", error, extra={"request_id": request_id})
                if isinstance(error, TookTooLong):
                    return took_too_long("q" if request.query.q else "database")
                return database_unavailable()
            except sqlite3.IntegrityError as error:
                problem = violated(error)
                if problem is None:
                    raise
                return problem

        return answer


def render(error: HTTPError) -> str:
    """The body of any error answer, Bottle's own included: {"errors": {"<key>": ["<message>"]}}."""
    response.content_type = JSON
    if error.status_code == 401:
        response.set_header("WWW-Authenticate", "Token")
    if isinstance(error, Problem):
        errors = error.errors
    elif error.status_code == 404:
        errors = {"route": "not found"}
    elif error.status_code == 405:
        errors = {"method": "not allowed"}
        # Bottle answers HEAD wherever it answers GET, and does not say so.
        response.set_header("Allow", ", ".join(error.get_header("Allow").replace("GET", "GET,HEAD").split(",")))
    else:
        response.status = 500
        errors = {"server": "internal error"}
    return json.dumps({"errors": {key: [message] for key, message in errors.items()}}, ensure_ascii=False)

"""What the models of several resources share: texts with their limits, folded names, pages."""

import base64
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from bottle import response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from plugins.validation import sent_query


class Model(BaseModel):
    """A model of what clients send: no type is converted into another, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", regex_engine="rust-regex")


def wrong(message: str) -> PydanticCustomError:
    """What a validator raises; the message goes to the client as it is."""
    # The template's braces would be filled in; the texts here have none of their own.
    return PydanticCustomError("wrong", message)


def optional(**described: Any) -> Any:
    """A field that may be left out; null is another matter. `model_fields_set` says whether it was sent."""
    return Field(default=None, **described)


def nfc(text: str, most: int) -> str:
    """The text in Unicode's normalization form C.

    What is longer than `most` characters in that form may stay as it is: no character has more than four in form D, and
    normalizing takes the square of the length."""
    return unicodedata.normalize("NFC", text) if len(text) <= 4 * most else text


@dataclass(frozen=True)
class Text:
    """Annotates a str with its limits in characters. NUL is refused everywhere: SQLite would end the text there.

    A `trimmed` text loses the blanks around it, an `nfc` one is normalized; others are kept as they were sent. Unless
    `blank` is allowed, a text must hold more than blanks."""

    most: int | None
    least: int = 1
    trimmed: bool = False
    blank: bool = False
    nfc: bool = False

    def check(self, value: str) -> str:
        """The text, trimmed where it is to be. Raises what is wrong with it."""
        if self.trimmed:
            value = value.strip()
        if self.nfc and self.most is not None:
            value = nfc(value, self.most)
        if not self.blank and not value.strip():
            raise wrong("can't be blank")
        if "\0" in value:
            raise wrong("must not contain NUL")
        if len(value) < self.least and not self.blank:
            raise wrong(f"is too short (minimum is {self.least} characters)")
        if self.most is not None and len(value) > self.most:
            raise wrong(f"is too long (maximum is {self.most} characters)")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """How pydantic checks it."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """How the OpenAPI document describes it."""
        described = handler(schema)
        if not self.blank:
            described |= {"minLength": self.least, "pattern": r"\S"}
        if self.most is not None:
            described["maxLength"] = self.most
        return described


# An email has at most 254 characters; other forms of it may be a little longer.
_LONGEST_FOLDED = 1024


def fold(name: str) -> str:
    """The key under which a username or an email is unique and found, whatever its case and Unicode form.

    Two names have one key when they are a compatibility caseless match (Unicode 16.0, section 3.13, D146). What is
    longer than any name stays as it is: it is nobody's, and folding takes the square of its length."""
    if len(name) > _LONGEST_FOLDED:
        return name
    decomposed = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", decomposed).casefold())


def digits(least: int, most: int | None) -> Callable[[Any], int]:
    """A validator of plain ASCII digits: a whole number in this range."""
    expected = f"must be a whole number, {least} or more" + (f", at most {most}" if most else "")

    def parse(value: str) -> int:
        # int() would also take blanks, underscores and other scripts' digits, but not thousands of them.
        number = int(value.lstrip("0")[:18] or 0) if value.isascii() and value.isdigit() else -1
        if number < least or (most and number > most):
            raise wrong(expected)
        return number

    return parse


def parse_id(text: str) -> int:
    """The id that stands in a path. What is not written like an id of ours is nobody's: there is no id 0."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,17}", text) else 0


# SQLite's greatest integer: every id is below it.
EVERYTHING = 2**63 - 1


def encode_cursor(before: int) -> str:
    """An opaque name for "what comes before this id". Clients take it from a Link header."""
    return base64.urlsafe_b64encode(f"before:{before}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        before = int(text.removeprefix("before:"))
    except ValueError:
        before = 0
    if not 0 < before < EVERYTHING or encode_cursor(before) != cursor:
        raise wrong("must come from the Link header of an earlier page")
    return before


Cursor = Annotated[int, BeforeValidator(_decode_cursor), Field(json_schema_extra={"type": "string"})]
Limit = Annotated[
    int,
    BeforeValidator(digits(1, None)),
    AfterValidator(lambda limit: min(limit, 100)),
    Field(json_schema_extra={"minimum": 1}),
]
Offset = Annotated[
    int, BeforeValidator(digits(0, 100_000)), Field(json_schema_extra={"minimum": 0, "maximum": 100_000})
]


class FromCursor(BaseModel):
    """Where a page of a listing begins."""

    cursor: Cursor = optional(description="Where the page begins, from the Link header of the page before it.")

    @property
    def before(self) -> int:
        """The id below which the page begins."""
        return self.cursor or EVERYTHING


class CursorPage(FromCursor):
    """One page of a listing."""

    limit: Limit = Field(20, description="How many to return; above 100 counts as 100.")


class Page(CursorPage):
    """Which part of a listing is asked for."""

    offset: Offset = Field(0, description="How many of the newest to skip.")


# A page of a listing, or an export, has at most so many bytes: 1 MiB with what surrounds its entries.
MOST_BYTES = 1024 * 1024 - 1024


def link_to_next(next_id: int | None) -> None:
    """Set the Link header (RFC 8288) to the page that begins below this id, if there is one."""
    if next_id is not None:
        set_link(cursor=encode_cursor(next_id))


def set_link(**changes: str) -> None:
    """Set the Link header (RFC 8288) to a next page: the current query with another `cursor` or `offset`.

    It is relative: behind a proxy, only the client knows the whole address."""
    query = {name: value for name, value in sent_query().items() if name not in ("cursor", "offset")}
    response.set_header("Link", f'<?{urlencode(query | changes)}>; rel="next"')


def page_answer(found: dict[str, Any] | None) -> str:
    """The body of a page, from the files that found and rendered it; sets its Link header."""
    assert found  # a listing always has a row, be it an empty page
    link_to_next(found["next"])
    return found["response"]

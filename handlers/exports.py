"""An export of everything that is held about the caller, in pages."""

import base64
import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

import throttle
from db import Database
from handlers.admin import Role
from handlers.fields import MOST_BYTES, optional, set_link, wrong
from handlers.users import own_credentials
from plugins import errors


class OwnAccount(BaseModel):
    """The caller's account with what others do not see."""

    id: int
    username: str
    email: str
    role: Role
    suspendedAt: datetime | None
    bio: str | None
    image: str | None
    articlesCount: int
    favoritesCount: int
    createdAt: datetime
    updatedAt: datetime


Entries = list[dict[str, Any]]


class Export(BaseModel):
    """A page of what is held about the caller: some of the sections. The fields of entries depend on the section."""

    user: OwnAccount = optional()
    articles: Entries = optional()
    slugs: Entries = optional()
    comments: Entries = optional()
    favorites: Entries = optional()
    following: Entries = optional()
    followers: Entries = optional()
    sessions: Entries = optional()
    loginAddresses: Entries = optional()
    attempts: Entries = optional()
    passwordResets: Entries = optional()
    outbox: Entries = optional()
    audit: Entries = optional()


def _sections() -> dict[str, str]:
    """The SQL file of each section, in the order in which they are exported."""
    return {
        "user": "export/account",
        "articles": "export/articles",
        "slugs": "export/slugs",
        "comments": "export/comments",
        "favorites": "export/favorites",
        "following": "export/following",
        "followers": "export/followers",
        "sessions": "export/sessions",
        "loginAddresses": "export/login_addresses",
        "attempts": "export/attempts",
        "passwordResets": "export/password_resets",
        "outbox": "export/outbox",
        "audit": "export/audit",
    }


def _encode(section: int, after: object) -> str:
    return base64.urlsafe_b64encode(f"export:{section}:{after}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[int, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        _, number, after = text.split(":", 2)
        section = int(number)
    except ValueError:
        section, after = -1, ""
    if section not in range(len(_sections())) or _encode(section, after) != cursor:
        raise wrong("must come from the Link header of an earlier page")
    return section, after


class FromSection(BaseModel):
    """Where a page of an export begins."""

    cursor: Annotated[tuple[int, str], BeforeValidator(_decode), Field(json_schema_extra={"type": "string"})] = (
        optional(description="Where the page begins, from the Link header of the page before it.")
    )


def export(db: Database, me: int, query: FromSection) -> str:
    """Everything that is held about the caller: the account, then the other sections. No hash of a password or token.

    A page has at most 1 MiB, unless a single entry has more; a Link header leads to the next. What is there from the
    first page to the last one is exported once, whatever is written or deleted meanwhile."""
    subjects = json.dumps(throttle.subjects_of(me, own_credentials(db, me)["email_key"]))
    first, after = query.cursor or (0, "")
    page: list[str] = []
    size = 0
    for number, (name, file) in list(enumerate(_sections().items()))[first:]:
        found = db.row(file, me=me, after=after, subjects=subjects, most_bytes=MOST_BYTES)
        if found is None:
            raise errors.token_invalid()
        section = f'"{name}":{found["entries"]}'
        size += len(section.encode()) + 1
        if page and size > MOST_BYTES:
            set_link(cursor=_encode(number, after))
            break
        page.append(section)
        if found["next"] is not None:
            set_link(cursor=_encode(number, found["next"]))
            break
        after = ""
    return "{" + ",".join(page) + "}"


ROUTES = [
    (
        "GET",
        "/user/export",
        export,
        {"auth": "required", "query": FromSection, "answers": Export, "secret": True},
    ),
]

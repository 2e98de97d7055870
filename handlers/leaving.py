"""Leaving: taking everything along, and closing the account."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

import audit
import throttle
from db import Database
from handlers.admin import Role
from handlers.fields import Model, Text
from handlers.users import own_credentials, require_password
from passwords import digest
from plugins.authentication import sent_token_hash


class Leaving(Model):
    """What closes an account."""

    password: Annotated[str, Text(None), Field(json_schema_extra={"format": "password"})]
    content: Literal["delete", "keep"] = Field(description="Whether articles and comments go, too.")


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


class Export(BaseModel):
    """Everything that is held about the caller, by what it is. Each entry holds names and times of its own."""

    user: OwnAccount
    articles: list[dict[str, Any]]
    comments: list[dict[str, Any]]
    favorites: list[dict[str, Any]]
    following: list[dict[str, Any]]
    followers: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    loginAddresses: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    passwordResets: list[dict[str, Any]]
    outbox: list[dict[str, Any]]
    audit: list[dict[str, Any]]


def export(db: Database, me: int) -> str:
    """Everything that is held about the caller, as one document. Never a hash of a password or a token."""
    subjects = throttle.subjects_of(me, own_credentials(db, me)["email_key"])
    return db.read("users/export", me=me, subjects=json.dumps(subjects))


def leave(db: Database, me: int, user: Leaving) -> None:
    """Close the caller's account. What is kept of articles and comments is shown as by "deleted user"."""
    account = own_credentials(db, me)
    require_password(db, me, account, {"password": user.password})
    close(
        db,
        account,
        user.content,
        "sessions/must_be_open",
        me=me,
        token_hash=sent_token_hash(),
        **audit.of_request("user.delete", user_id=me),
    )


def close(db: Database, account: dict[str, Any], content: str, *guards: str, user_id: int, **parameters: Any) -> None:
    """Close an account, its content deleted or kept. `account` is what `own_credentials` returns."""
    db.write(
        *guards,
        "users/must_be_unchanged",
        "accounts/must_leave_an_admin",
        "audit/note",
        *(["users/keep_content"] if content == "keep" else []),
        "users/delete",
        "attempts/forget",
        user_id=user_id,
        username_key=account["username_key"],
        username_key_hash=digest(account["username_key"]),
        email_key=account["email_key"],
        password_hash=account["password_hash"],
        role="deleted",
        suspended=None,
        subjects=json.dumps(throttle.subjects_of(user_id, account["email_key"])),
        now=db.clock.now(),
        **parameters,
    )


ROUTES = [
    ("GET", "/user/export", export, {"auth": "required", "answers": Export, "secret": True}),
    (
        "DELETE",
        "/user",
        leave,
        {"auth": "required", "body": ("user", Leaving), "status": 204, "slow": True, "errors": (409, 429)},
    ),
]

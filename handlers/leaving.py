"""Leaving: closing the account."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

import audit
import throttle
from db import Database
from handlers.fields import Model, Text
from handlers.users import own_credentials, require_password
from passwords import digest
from plugins.authentication import sent_token_hash


class Leaving(Model):
    """What closes an account."""

    password: Annotated[str, Text(None), Field(json_schema_extra={"format": "password"})]
    content: Literal["delete", "keep"] = Field(description="Whether articles and comments go, too.")


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
    (
        "DELETE",
        "/user",
        leave,
        {"auth": "required", "body": ("user", Leaving), "status": 204, "slow": True, "errors": (409, 429)},
    ),
]

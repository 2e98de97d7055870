"""Account deletion."""

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
    """Delete the caller's account. Articles and comments that are kept are shown as by "deleted user"."""
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


def request_deletion(db: Database, me: int, user: Leaving) -> None:
    """The same as DELETE /user, for clients behind a proxy that drops the bodies of DELETE requests."""
    leave(db, me, user)


def close(db: Database, account: dict[str, Any], content: str, *guards: str, user_id: int, **parameters: Any) -> None:
    """Close an account, in one short transaction; `cleanup.remove_some` removes what it leaves.

    `account` is what `own_credentials` returns."""
    db.write(
        *guards,
        "users/must_be_unchanged",
        "accounts/must_leave_an_admin",
        "audit/note",
        "users/close",
        "attempts/forget",
        user_id=user_id,
        content=content,
        username_key=account["username_key"],
        username_key_hash=digest(account["username_key"]),
        email_key=account["email_key"],
        password_hash=account["password_hash"],
        role="deleted",
        suspended=None,
        subjects=json.dumps(throttle.subjects_of(user_id, account["email_key"])),
        most=throttle.MOST_FORGOTTEN,
        now=db.clock.now(),
        **parameters,
    )


_OPTIONS = {
    "auth": "required",
    "body": ("user", Leaving),
    "status": 204,
    "slow": True,
    "secret": True,
    "errors": (409, 429),
}

ROUTES = [
    ("DELETE", "/user", leave, _OPTIONS),
    ("POST", "/user/deletion", request_deletion, _OPTIONS),
]

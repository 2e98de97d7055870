"""Where a user is logged in, and logging out."""

from datetime import datetime

from pydantic import BaseModel

from db import Database
from handlers.fields import parse_id
from plugins.authentication import SESSION_LIFETIME, sent_token_hash


class Session(BaseModel):
    """One login. Its token is known to the client alone."""

    id: int
    createdAt: datetime
    lastUsedAt: datetime
    userAgent: str | None
    current: bool


class SessionsAnswer(BaseModel):
    """The caller's sessions, newest first."""

    sessions: list[Session]


def list_sessions(db: Database, me: int) -> str:
    """Where the caller is logged in; the newest 1,000. The time of the last use is at most an hour old."""
    return db.read("sessions/list", me=me, token_hash=sent_token_hash(), expired=db.clock.ago(SESSION_LIFETIME))


def delete(db: Database, me: int, id: str) -> None:
    """End a session of the caller's."""
    db.write(
        "sessions/must_be_open",
        "sessions/must_be_mine",
        "sessions/delete",
        me=me,
        id=parse_id(id),
        token_hash=sent_token_hash(),
    )


def delete_current(db: Database, me: int) -> None:
    """Log out: end the session whose token was sent."""
    db.write("sessions/delete_current", token_hash=sent_token_hash())


def delete_others(db: Database, me: int) -> None:
    """End every session of the caller's but the one whose token was sent."""
    db.write("sessions/must_be_open", "sessions/delete_others", me=me, token_hash=sent_token_hash())


ROUTES = [
    ("GET", "/user/sessions", list_sessions, {"auth": "required", "answers": SessionsAnswer}),
    ("DELETE", "/user/sessions", delete_others, {"auth": "required", "status": 204}),
    ("DELETE", "/user/sessions/current", delete_current, {"auth": "required", "status": 204}),
    ("DELETE", "/user/sessions/<id>", delete, {"auth": "required", "status": 204}),
]

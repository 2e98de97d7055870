"""What readers say under an article."""

from datetime import datetime
from typing import Annotated

from bottle import HTTPError
from pydantic import BaseModel

import audit
import throttle
from config import Config
from db import Database
from handlers.fields import MOST_BYTES, FromCursor, Model, Text, page_answer, parse_id
from handlers.profiles import Profile
from plugins import errors

MOST_IN_A_PAGE = 1000


class NewComment(Model):
    """What makes a comment."""

    body: Annotated[str, Text(65536)]


class Comment(BaseModel):
    """A comment. It is never edited: both times are the same."""

    id: int
    createdAt: datetime
    updatedAt: datetime
    body: str
    author: Profile


class CommentAnswer(BaseModel):
    """One comment."""

    comment: Comment


class CommentsAnswer(BaseModel):
    """A page of an article's comments, newest first."""

    comments: list[Comment]


def list_comments(db: Database, me: int | None, slug: str, query: FromCursor) -> str | HTTPError:
    """The newest 1,000 comments of an article, less where they are long; a Link header leads to the older ones."""
    found = db.row(
        "comments/find",
        "comments/render",
        slug=slug,
        me=me,
        before=query.before,
        limit=MOST_IN_A_PAGE,
        most_bytes=MOST_BYTES,
    )
    return page_answer(found) if found else errors.not_found("article")


def create(db: Database, config: Config, me: int, slug: str, comment: NewComment) -> str:
    """Comment on an article."""
    return db.write(
        "users/must_be_active",
        "attempts/must_be_allowed",
        "articles/must_exist",
        "comments/create",
        "attempts/count",
        "comments/render",
        slug=slug,
        me=me,
        body=comment.body,
        page=None,
        now=db.clock.now(),
        now_ms=db.clock.milliseconds(),
        **throttle.posts("comments", me, config),
    )


def delete(db: Database, me: int, slug: str, id: str) -> None:
    """Delete a comment of the caller's, or as a moderator anybody's."""
    db.write(
        "users/must_be_active",
        "comments/must_be_deletable",
        "comments/identify",
        "audit/note",
        "comments/delete",
        slug=slug,
        me=me,
        id=parse_id(id),
        now=db.clock.now(),
        **audit.of_request("comment.delete"),
    )


ROUTES = [
    (
        "GET",
        "/articles/<slug>/comments",
        list_comments,
        {"auth": "optional", "query": FromCursor, "answers": CommentsAnswer, "cache": True},
    ),
    (
        "POST",
        "/articles/<slug>/comments",
        create,
        {
            "auth": "required",
            "body": ("comment", NewComment),
            "config": True,
            "status": 201,
            "answers": CommentAnswer,
            "errors": (429,),
        },
    ),
    ("DELETE", "/articles/<slug>/comments/<id>", delete, {"auth": "required", "status": 204, "errors": (403,)}),
]

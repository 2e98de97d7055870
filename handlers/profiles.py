"""Users as others see them, and following them."""

from bottle import HTTPError
from pydantic import BaseModel

from db import Database
from handlers.names import name_key
from plugins import errors


class Profile(BaseModel):
    """A user as others see them."""

    username: str
    bio: str | None
    image: str | None
    following: bool


class ProfileAnswer(BaseModel):
    """One profile."""

    profile: Profile


def read(db: Database, me: int | None, username: str) -> str | HTTPError:
    """The profile of a user, and whether the caller follows them."""
    return db.read("profiles/render", username_key=name_key(username), me=me) or errors.not_found("profile")


def follow(db: Database, me: int, username: str) -> str | HTTPError:
    """Follow a user; twice changes nothing."""
    key = name_key(username)
    files = "users/must_be_active", "profiles/follow", "profiles/render"
    profile = db.write(*files, username_key=key, me=me, now=db.clock.now())
    return profile or errors.not_found("profile")


def unfollow(db: Database, me: int, username: str) -> str | HTTPError:
    """Follow a user no longer; twice changes nothing."""
    key = name_key(username)
    profile = db.write("users/must_be_active", "profiles/unfollow", "profiles/render", username_key=key, me=me)
    return profile or errors.not_found("profile")


ROUTES = [
    ("GET", "/profiles/<username>", read, {"auth": "optional", "answers": ProfileAnswer, "cache": True}),
    ("POST", "/profiles/<username>/follow", follow, {"auth": "required", "answers": ProfileAnswer}),
    ("DELETE", "/profiles/<username>/follow", unfollow, {"auth": "required", "answers": ProfileAnswer}),
]

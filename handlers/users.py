"""Accounts: registration, login, and the caller's own."""

import json
from typing import Annotated

from bottle import HTTPError
from pydantic import AfterValidator, BaseModel, Field, field_validator

from db import Database
from db.clock import now
from handlers.fields import Model, Text, fold, optional, wrong
from passwords import hash_password, needs_rehash, verify_password
from plugins import errors
from plugins.authentication import hash_token, new_token, sent_token


def _username(value: str) -> str:
    # It stands in paths, where these characters would need quoting or end it.
    # "." and ".." mean folders there.
    if not value.isprintable() or set(value) & set("/\\?#%") or value in (".", ".."):
        raise wrong("must be printable, without / \\ ? # %, and not . or ..")
    return value


def _email(value: str) -> str:
    local, _, domain = value.partition("@")
    if not local or not domain or "@" in domain or not value.isprintable() or " " in value:
        raise wrong("must be an address with one @")
    return value


Username = Annotated[
    str, Text(64, trimmed=True), AfterValidator(_username), Field(json_schema_extra={"pattern": r"^[^/\\?#%]+$"})
]
Email = Annotated[
    str, Text(254, trimmed=True), AfterValidator(_email), Field(json_schema_extra={"pattern": r"^[^@\s]+@[^@\s]+$"})
]
Password = Annotated[str, Text(1024, least=8), Field(json_schema_extra={"format": "password"})]


class NewUser(Model):
    """What opens an account."""

    username: Username
    email: Email
    password: Password


class Credentials(Model):
    """What opens a session."""

    email: Annotated[str, Text(None, trimmed=True)]
    password: Annotated[str, Text(None), Field(json_schema_extra={"format": "password"})]


class UserChanges(Model):
    """What is to change of an account; what is left out stays."""

    username: Username = optional()
    email: Email = optional()
    password: Password = optional()
    bio: Annotated[str, Text(5000, blank=True)] | None = optional()
    image: Annotated[str, Text(65536, blank=True)] | None = optional()

    @field_validator("bio", "image")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None


class User(BaseModel):
    """An account as its owner sees it. The token works for the next request."""

    email: str
    token: str
    username: str
    bio: str | None
    image: str | None


class UserAnswer(BaseModel):
    """The caller's account."""

    user: User


def register(db: Database, user: NewUser) -> str:
    """Open an account, and a session in it."""
    token = new_token()
    password_hash = hash_password(user.password)
    return db.write(
        "users/must_be_free",
        "users/create",
        "sessions/create",
        "users/render",
        me=None,
        username=user.username,
        username_key=fold(user.username),
        email=user.email,
        email_key=fold(user.email),
        password_hash=password_hash,
        token=token,
        token_hash=hash_token(token),
        now=now(),
    )


def login(db: Database, user: Credentials) -> str | HTTPError:
    """Open a session for who knows an account's email and password."""
    email_key = fold(user.email)
    account = db.row("users/find_credentials", email_key=email_key) or {"id": None, "password_hash": None}
    password_hash = account["password_hash"]
    if not verify_password(password_hash, user.password):
        return errors.credentials_invalid()
    token = new_token()
    answer = db.write(
        "sessions/create",
        "users/render",
        email_key=email_key,
        password_hash=password_hash,
        token=token,
        token_hash=hash_token(token),
        now=now(),
    )
    if answer is None:
        # The hash was replaced since the password was verified: what counts is the new one.
        return login(db, user)
    if needs_rehash(password_hash):
        new_hash = hash_password(user.password)
        db.write("users/rehash", user_id=account["id"], old_hash=password_hash, new_hash=new_hash)
    return answer


def read(db: Database, me: int) -> str | HTTPError:
    """The caller's account."""
    token = sent_token()
    return db.read("users/render", token=token, token_hash=hash_token(token)) or errors.token_invalid()


def update(db: Database, me: int, user: UserChanges) -> str:
    """Change what was sent of the caller's account; a new password ends the caller's other sessions."""
    token = sent_token()
    changes = user.model_dump(exclude_unset=True)
    files = ["sessions/must_be_open", "users/must_be_free", "users/update"]
    if "password" in changes:
        changes["password_hash"] = hash_password(changes.pop("password"))
        files.append("sessions/delete_others")
    for name in {"username", "email"} & changes.keys():
        changes[f"{name}_key"] = fold(changes[name])
    return db.write(
        *files,
        "users/render",
        me=me,
        changes=json.dumps(changes),
        username_key=changes.get("username_key"),
        email_key=changes.get("email_key"),
        token=token,
        token_hash=hash_token(token),
        now=now(),
    )


ROUTES = [
    (
        "POST",
        "/users",
        register,
        {"body": ("user", NewUser), "status": 201, "answers": UserAnswer, "secret": True, "errors": (409,)},
    ),
    (
        "POST",
        "/users/login",
        login,
        {"body": ("user", Credentials), "answers": UserAnswer, "secret": True, "errors": (401,)},
    ),
    ("GET", "/user", read, {"auth": "required", "answers": UserAnswer, "secret": True}),
    (
        "PUT",
        "/user",
        update,
        {"auth": "required", "body": ("user", UserChanges), "answers": UserAnswer, "secret": True, "errors": (409,)},
    ),
]

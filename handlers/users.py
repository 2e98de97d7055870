"""Accounts: registration, login, and the caller's own."""

import json
import unicodedata
from datetime import timedelta
from typing import Annotated, Any

from bottle import HTTPError, request
from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

import audit
import throttle
from config import Config
from db import Database, Refused
from handlers.fields import Model, Text, fold, optional, wrong
from handlers.names import check_username, is_printable, name_key, shown
from passwords import digest, hash_password, is_common, needs_rehash, new_token, verify_password
from plugins import errors
from plugins.authentication import SESSION_LIFETIME, sent_token


def _email(value: str) -> str:
    local, _, domain = value.partition("@")
    # What is not shown could tell two addresses apart that look the same.
    if not local or not domain or "@" in domain or not is_printable(value) or shown(value) != value:
        raise wrong("must be an address with one @")
    return value


def _image(value: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise wrong("must not contain control characters")
    return value


def _password(value: str, info: ValidationInfo) -> str:
    if info.context and not info.context.realworld_compat and is_common(value):
        raise wrong("is one of the most common ones")
    return value


Username = Annotated[
    str, Text(64, trimmed=True), AfterValidator(check_username), Field(json_schema_extra={"pattern": r"^[^/\\?#%]+$"})
]
Email = Annotated[
    str, Text(254, trimmed=True), AfterValidator(_email), Field(json_schema_extra={"pattern": r"^[^@\s]+@[^@\s]+$"})
]
Password = Annotated[
    str, Text(1024, least=8), AfterValidator(_password), Field(json_schema_extra={"format": "password"})
]


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
    image: Annotated[str, Text(8192, blank=True), AfterValidator(_image)] | None = optional()

    currentPassword: Annotated[str, Text(None, blank=True), Field(json_schema_extra={"format": "password"})] | None = (
        optional()
    )

    @field_validator("bio", "image")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None


# What a login is checked against when nobody has the email.
_NOBODY: dict[str, Any] = {
    "id": None,
    "password_hash": None,
    "is_suspended": False,
    "has_logged_in_from_there": False,
}

# An address from which nobody has logged in for so long is a stranger's again.
_ADDRESS_LIFETIME = timedelta(days=180)

# A token that sets a new password is good for so long.
RESET_LIFETIME = timedelta(hours=1)


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


def register(db: Database, config: Config, user: NewUser) -> str | HTTPError:
    """Open an account, and a session in it."""
    if config.registration == "closed":
        return errors.registration_closed()
    email_key = fold(user.email)
    address = throttle.client_address(config)
    attempt = throttle.registration(email_key, address)
    db.write("attempts/must_be_allowed", "attempts/count", now_ms=db.clock.milliseconds(), **attempt)
    return db.write(
        "users/must_be_free",
        "users/create",
        "users/identify",
        "audit/note",
        "sessions/create",
        "addresses/note",
        "users/render",
        **_new_account(user),
        **_new_session(db, new_token(), address),
        **audit.of_request("user.register"),
    )


def create(db: Database, user: NewUser) -> None:
    """Open an account without a session, as the command line does, also where registration is closed."""
    db.write(
        "users/must_be_free",
        "users/create",
        "users/identify",
        "audit/note",
        **_new_account(user),
        **audit.of_command("user.register"),
        now=db.clock.now(),
    )


def _new_account(user: NewUser) -> dict[str, Any]:
    """What users/must_be_free.sql and users/create.sql ask for. Hashes the password."""
    username_key = name_key(user.username)
    return {
        "me": None,
        "username": user.username,
        "username_key": username_key,
        "username_key_hash": digest(username_key),
        "email": user.email,
        "email_key": fold(user.email),
        "password_hash": hash_password(user.password),
    }


def login(db: Database, config: Config, user: Credentials) -> str | HTTPError:
    """Open a session for who knows an account's email and password."""
    email_key = fold(user.email)
    address = throttle.client_address(config)
    account = db.row("users/find_credentials", email_key=email_key, address=address) or _NOBODY
    attempt = throttle.login(email_key, address, account["has_logged_in_from_there"])
    attempt["now_ms"] = db.clock.milliseconds()
    db.write(
        "attempts/must_be_allowed",
        "attempts/count",
        "attempts/delete_old",
        "sessions/delete_expired",
        "addresses/delete_old",
        "resets/delete_old",
        **attempt,
        **_what_is_over(db),
    )
    password_hash = account["password_hash"]
    is_right = verify_password(password_hash, user.password)
    if not is_right or account["is_suspended"]:
        noted = audit.of_request("user.login_failed", user_id=account["id"])
        db.write("audit/note", me=None, now=db.clock.now(), **noted)
        return errors.account_suspended() if is_right else errors.credentials_invalid()
    try:
        answer: str = db.write(
            "sessions/create",
            "sessions/must_be_open",
            "audit/note",
            "attempts/forgive",
            "addresses/note",
            "users/render",
            me=account["id"],
            email_key=email_key,
            password_hash=password_hash,
            **attempt,
            **_new_session(db, new_token(), address),
            **audit.of_request("user.login", user_id=account["id"]),
        )
    except Refused:  # since the password was verified it was changed, or its owner suspended: what counts is now
        return login(db, config, user)
    if needs_rehash(password_hash):
        new_hash = hash_password(user.password)
        db.write("users/rehash", user_id=account["id"], old_hash=password_hash, new_hash=new_hash)
    return answer


def _new_session(db: Database, token: str, address: str | None) -> dict[str, Any]:
    named = "".join(filter(str.isprintable, request.environ.get("HTTP_USER_AGENT", "")))[:255]
    return {
        "token": token,
        "token_hash": digest(token),
        "user_agent": named or None,
        "address": address,
        "now": db.clock.now(),
    }


def _what_is_over(db: Database) -> dict[str, Any]:
    """What the files that tidy up ask for. Each login tidies up a little, so that no request does much of it."""
    return {
        "expired": db.clock.ago(SESSION_LIFETIME),
        "old_ms": db.clock.milliseconds() - throttle.FORGET_AFTER_MS,
        "unused_since": db.clock.ago(_ADDRESS_LIFETIME),
        "reset_expired": db.clock.ago(RESET_LIFETIME),
        "reset_ahead": db.clock.ago(-RESET_LIFETIME),
        "most": 100,
    }


def read(db: Database, me: int) -> str | HTTPError:
    """The caller's account."""
    token = sent_token()
    return db.read("users/render", token=token, token_hash=digest(token)) or errors.token_invalid()


def update(db: Database, config: Config, me: int, user: UserChanges) -> str:
    """Change what was sent of the caller's account; a new password ends the caller's other sessions.

    Where the server is set up so, a new password or email needs the present password as `currentPassword`."""
    token = sent_token()
    changes = user.model_dump(exclude_unset=True)
    current_password = changes.pop("currentPassword", None)
    if not changes:
        raise errors.invalid({"user": "can't be blank"})
    if changes.keys() & {"username", "email", "password"}:
        _count(db, me, throttle.account_changes(me))
    if not config.realworld_compat and changes.keys() & {"email", "password"}:
        _require_present_password(db, me, changes, current_password)
    files = ["sessions/must_be_open", "users/must_be_free", "users/changes", "audit/note", "users/update"]
    if "password" in changes:
        changes["password_hash"] = hash_password(changes.pop("password"))
        files.append("sessions/delete_others")
    if changes.keys() & {"email", "password_hash"}:
        files.append("resets/delete")  # whoever reads the old address shall not set the password
    for name, key_of in ("username", name_key), ("email", fold):
        if name in changes:
            changes[f"{name}_key"] = key_of(changes[name])
    username_key = changes.get("username_key")
    return db.write(
        *files,
        "users/render",
        me=me,
        changes=json.dumps(changes),
        username_key=username_key,
        username_key_hash=username_key and digest(username_key),
        email_key=changes.get("email_key"),
        token=token,
        token_hash=digest(token),
        now=db.clock.now(),
        **audit.of_request(user_id=me),
    )


def _require_present_password(db: Database, me: int, changes: dict[str, Any], password: str | None) -> None:
    account = own_credentials(db, me)
    if "password" not in changes and fold(changes["email"]) == account["email_key"]:
        return  # clients send all of a form, also what did not change
    if not password:
        raise errors.invalid({"currentPassword": "can't be blank"})
    require_password(db, me, account, {"currentPassword": password})


def own_credentials(db: Database, me: int) -> dict[str, Any]:
    """The caller's folded username and email, and the password's hash. Raises the 401 when the account is gone."""
    account = db.row("users/find_own_credentials", me=me)
    if account is None:
        raise errors.token_invalid()
    return account


def require_password(db: Database, me: int, account: dict[str, Any], sent: dict[str, str]) -> None:
    """Raise the 422 for a field that does not hold the caller's password.

    Counted like a login: whoever got hold of a token shall not guess the password with it."""
    attempt = throttle.own_password(me)
    _count(db, me, attempt)
    ((field, password),) = sent.items()
    if not verify_password(account["password_hash"], password):
        db.write("audit/note", me=me, now=db.clock.now(), **audit.of_request("user.login_failed", user_id=me))
        raise errors.invalid({field: "is wrong"})
    db.write("attempts/forgive", now_ms=db.clock.milliseconds(), **attempt)


def _count(db: Database, me: int, attempt: dict[str, Any]) -> None:
    """Count an attempt of the caller, unless the account was closed meanwhile."""
    files = "users/must_be_active", "attempts/must_be_allowed", "attempts/count"
    db.write(*files, me=me, now_ms=db.clock.milliseconds(), **attempt)


ROUTES = [
    (
        "POST",
        "/users",
        register,
        {
            "body": ("user", NewUser),
            "config": True,
            "status": 201,
            "answers": UserAnswer,
            "secret": True,
            "slow": True,
            "errors": (403, 409, 429),
        },
    ),
    (
        "POST",
        "/users/login",
        login,
        {
            "body": ("user", Credentials),
            "config": True,
            "answers": UserAnswer,
            "secret": True,
            "slow": True,
            "errors": (401, 403, 429),
        },
    ),
    ("GET", "/user", read, {"auth": "required", "answers": UserAnswer, "secret": True}),
    (
        "PUT",
        "/user",
        update,
        {
            "auth": "required",
            "body": ("user", UserChanges),
            "config": True,
            "answers": UserAnswer,
            "secret": True,
            "slow": True,
            "errors": (409, 429),
        },
    ),
]

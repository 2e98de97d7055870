"""What moderators and admins ask: accounts, the audit log, figures of each day."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

import audit
from db import Database
from handlers.fields import CursorPage, Model, Text, digits, optional, page_answer
from handlers.names import name_key

Role = Literal["member", "moderator", "admin"]


class AccountChanges(Model):
    """What is to change of somebody's account; what is left out stays."""

    role: Role = optional()
    suspended: bool = optional()


class Account(BaseModel):
    """An account as moderators see it."""

    username: str
    email: str
    role: Role
    suspended: bool
    createdAt: datetime


class AccountAnswer(BaseModel):
    """One account."""

    user: Account


class AccountsAnswer(BaseModel):
    """A page of the accounts, newest first."""

    users: list[Account]


class AccountFilters(CursorPage):
    """Which accounts are asked for."""

    q: Annotated[str, Text(254, blank=True)] = optional(
        description="Only those whose username or email begins with this."
    )
    role: Role = optional(description="Only those with this role.")


class Named(BaseModel):
    """A user by id, and by name as long as there is one."""

    id: int
    username: str | None


class Entry(BaseModel):
    """Who did what to whom."""

    id: int
    createdAt: datetime
    action: str
    actor: Named | None
    user: Named | None
    objectId: int | None
    requestId: str | None


class AuditAnswer(BaseModel):
    """A page of the audit log, newest first."""

    audit: list[Entry]


class AuditFilters(CursorPage):
    """Which entries are asked for."""

    actor: str = optional(description="Only what the user of this name did.")


class Growth(BaseModel):
    """Seven days over the seven before them: 0.25 is a quarter more; null where there was nothing before."""

    registrations: float | None
    articles: float | None
    comments: float | None


class Day(BaseModel):
    """What happened on a day, in UTC."""

    day: str
    registrations: int
    articles: int
    comments: int
    activeAuthors: int
    growth: Growth


class StatsAnswer(BaseModel):
    """Figures of each day, today first."""

    stats: list[Day]


class StatsQuery(BaseModel):
    """Of how many days."""

    days: Annotated[int, BeforeValidator(digits(1, 366)), Field(json_schema_extra={"minimum": 1, "maximum": 366})] = (
        Field(30, description="How many days, up to today.")
    )


def list_accounts(db: Database, me: int, query: AccountFilters) -> str:
    """Accounts, newest first. For moderators and admins."""
    found = db.row(
        "users/must_be_moderator",
        "accounts/find",
        "accounts/render",
        me=me,
        q=name_key(query.q or "") or None,
        role=query.role,
        before=query.before,
        limit=query.limit,
        user_id=None,
    )
    return page_answer(found)


def change_account(db: Database, me: int, username: str, user: AccountChanges) -> str:
    """Suspend or restore an account, or change its role.

    Moderators suspend members; admins change everybody, as long as one admin stays who is not suspended."""
    return db.write(
        "users/must_be_active",
        "users/must_be_moderator",
        "accounts/must_be_changeable",
        "users/identify",
        "accounts/must_leave_an_admin",
        "accounts/changes",
        "audit/note",
        "accounts/update",
        "accounts/render",
        me=me,
        username_key=name_key(username),
        role=user.role,
        suspended=user.suspended,
        page=None,
        now=db.clock.now(),
        **audit.of_request(),
    )


def list_audit(db: Database, me: int, query: AuditFilters) -> str:
    """Who did what to whom, newest first. For admins."""
    found = db.row(
        "users/must_be_admin",
        "audit/find",
        "audit/render",
        me=me,
        actor=query.actor and name_key(query.actor),
        before=query.before,
        limit=query.limit,
    )
    return page_answer(found)


def stats(db: Database, me: int, query: StatsQuery) -> str:
    """What happened on each of the last days, and how it grows from week to week. For admins."""
    today = date.fromisoformat(db.clock.now()[:10])  # asked for once: midnight may come at any moment
    first = today - timedelta(query.days - 1)
    return db.read(
        "users/must_be_admin",
        "stats/daily",
        me=me,
        today=str(today),
        first=str(first),
        since=str(first - timedelta(13)),
    )


ROUTES = [
    (
        "GET",
        "/admin/users",
        list_accounts,
        {"auth": "required", "query": AccountFilters, "answers": AccountsAnswer, "secret": True, "errors": (403,)},
    ),
    (
        "PATCH",
        "/admin/users/<username>",
        change_account,
        {
            "auth": "required",
            "body": ("user", AccountChanges),
            "answers": AccountAnswer,
            "secret": True,
            "errors": (403, 409),
        },
    ),
    (
        "GET",
        "/admin/audit",
        list_audit,
        {"auth": "required", "query": AuditFilters, "answers": AuditAnswer, "secret": True, "errors": (403,)},
    ),
    (
        "GET",
        "/admin/stats",
        stats,
        {"auth": "required", "query": StatsQuery, "answers": StatsAnswer, "errors": (403,)},
    ),
]

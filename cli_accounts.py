"""The commands `user …` and `audit …`: for those who run a community. Whoever goes without accounts deletes them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import click

import audit
import terminal
from cleanup import remove_some
from cli import commands, database_option, open_database, settings
from db import Database, StartupError
from handlers import leaving, users
from handlers.admin import Role
from handlers.fields import EVERYTHING
from handlers.names import name_key
from passwords import digest, new_token
from plugins.validation import validated

_ROLES = list(get_args(Role))

_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@commands.group("user")
def user_group() -> None:
    """Manage accounts."""


@user_group.command("list")
@click.option("--q", metavar="TEXT", help="Only those whose username or email begins with this.")
@click.option("--role", type=click.Choice(_ROLES), help="Only those with this role.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@database_option
def user_list(q: str | None, role: str | None, as_json: bool, **flags: Any) -> None:
    """Show accounts, newest first."""
    with open_database(**flags) as database:
        accounts = list(_accounts(database, name_key(q or "") or None, role))
    if as_json:
        click.echo(json.dumps(accounts, ensure_ascii=False, indent=2))
        return
    states = {True: "suspended", False: "active"}
    rows = [
        (each["username"], each["email"], each["role"], states[each["suspended"]], each["createdAt"])
        for each in accounts
    ]
    for line in terminal.table(["username", "email", "role", "state", "created"], rows):
        click.echo(line)


def _accounts(database: Database, q: str | None, role: str | None) -> Iterator[dict[str, Any]]:
    before: int | None = EVERYTHING
    while before:
        page = database.row("accounts/find", "accounts/render", q=q, role=role, before=before, limit=1000, user_id=None)
        assert page
        yield from json.loads(page["response"])["users"]
        before = page["next"]


@user_group.command("create")
@click.argument("username")
@click.argument("email")
@database_option
def user_create(username: str, email: str, **flags: Any) -> None:
    """Open an account, also where registration is closed. Asks for the password, or reads it from standard input."""
    config = settings(**flags)
    with open_database(**flags) as database:
        sent = {"username": username, "email": email, "password": terminal.ask_password()}
        users.create(database, validated(users.NewUser, sent, config, whole="user"))
    click.echo(f"{username} has an account in {config.database}")


@user_group.command("promote")
@click.argument("username")
@click.option("--to", "role", type=click.Choice(_ROLES[1:]), default="moderator", show_default=True)
@database_option
def user_promote(username: str, role: str, **flags: Any) -> None:
    """Make somebody a moderator, or an admin: the first one comes from here."""
    with open_database(**flags) as database:
        account = _account(database, username)
        if _ROLES.index(account["role"]) >= _ROLES.index(role):
            raise StartupError(
                f"{account['username']} is {_a(account['role'])} already; `user demote` takes rights away"
            )
        _change(database, username, role=role)


@user_group.command("demote")
@click.argument("username")
@click.option("--to", "role", type=click.Choice(_ROLES[:-1]), default="member", show_default=True)
@_yes
@database_option
def user_demote(username: str, role: str, yes: bool, **flags: Any) -> None:
    """Make an admin a moderator, or anybody a member. The last admin stays one."""
    with open_database(**flags) as database:
        account = _account(database, username)
        if _ROLES.index(account["role"]) <= _ROLES.index(role):
            raise StartupError(
                f"{account['username']} is {_a(account['role'])} already; `user promote` gives more rights"
            )
        _confirm(yes, f"{account['username']} loses what {_a(account['role'])} may do. Go on?")
        _change(database, username, role=role)


@user_group.command("suspend")
@click.argument("username")
@_yes
@database_option
def user_suspend(username: str, yes: bool, **flags: Any) -> None:
    """Log somebody out everywhere, and keep them from logging in. What they have written stays."""
    with open_database(**flags) as database:
        account = _account(database, username)
        _confirm(yes, f"{account['username']} is logged out everywhere and cannot log in again. Go on?")
        _change(database, username, suspended=True)


@user_group.command("restore")
@click.argument("username")
@database_option
def user_restore(username: str, **flags: Any) -> None:
    """Let somebody who was suspended log in again."""
    with open_database(**flags) as database:
        _change(database, username, suspended=False)


@user_group.command("reset")
@click.argument("username")
@database_option
def user_reset(username: str, **flags: Any) -> None:
    """Print a token with which somebody sets a new password, once and within an hour."""
    token = new_token()
    with open_database(**flags) as database:
        account = _account(database, username)
        database.write(
            "users/identify",
            "audit/note",
            "resets/create",
            me=None,
            username_key=name_key(username),
            token_hash=digest(token),
            now=database.clock.now(),
            **audit.of_command("user.issue_reset"),
        )
    link = settings(**flags).reset_link
    how = "follow the link" if link else "PUT /api/users/password-reset with the token"
    click.echo(f"For {account['username']}, once and within an hour: {how}")
    if account["suspended"]:
        click.echo("The account is suspended: nobody can log in until `user restore`", err=True)
    click.echo(link.replace("{token}", token) if link else token)


@user_group.command("delete")
@click.argument("username")
@click.option("--content", type=click.Choice(["delete", "keep"]), required=True, help="What becomes of their texts.")
@_yes
@database_option
def user_delete(username: str, content: str, yes: bool, **flags: Any) -> None:
    """Close an account for good, as its owner can."""
    with open_database(**flags) as database:
        account = _account(database, username)
        _confirm(yes, f"{account['username']} is deleted for good, and nobody can take the name again. Go on?")
        found = database.row("users/identify", username_key=name_key(username)) or {"user_id": 0}
        credentials = users.own_credentials(database, found["user_id"])
        noted = audit.of_command("user.delete", user_id=found["user_id"])
        leaving.close(database, credentials, content, me=None, **noted)
        while remove_some(database):
            pass
    click.echo(f"{account['username']} is deleted")


def _account(database: Database, username: str) -> dict[str, Any]:
    return _parsed(
        database.read("users/identify", "accounts/render", username_key=name_key(username), page=None), username
    )


def _parsed(answer: str | None, username: str) -> dict[str, Any]:
    if answer is None:
        raise StartupError(f"nobody is called {username}; `user list` shows who there is")
    account: dict[str, Any] = json.loads(answer)["user"]
    return account


def _change(database: Database, username: str, role: str | None = None, suspended: bool | None = None) -> None:
    """What PATCH /admin/users/… does, without a caller: whoever runs the server may change anybody."""
    answer = database.write(
        "users/identify",
        "accounts/must_leave_an_admin",
        "accounts/changes",
        "audit/note",
        "accounts/update",
        "accounts/render",
        me=None,
        username_key=name_key(username),
        role=role,
        suspended=suspended,
        page=None,
        now=database.clock.now(),
        **audit.of_command(),
    )
    account = _parsed(answer, username)
    click.echo(f"{account['username']} is {_a(account['role'])}{', suspended' if account['suspended'] else ''}")


def _a(role: str) -> str:
    return f"an {role}" if role == "admin" else f"a {role}"


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


@commands.group("audit")
def audit_group() -> None:
    """Keep the audit log: who did what to whom."""


@audit_group.command("prune")
@click.option("--days", type=click.IntRange(1, 36500), default=365, show_default=True, help="Keep so many.")
@database_option
def audit_prune(days: int, **flags: Any) -> None:
    """Delete what the audit log holds of longer ago. Nothing else can, and nothing is asked: it is for timers."""
    pruned = 0
    with open_database(**flags) as database:
        horizon = database.clock.ago(timedelta(days=days))
        database.write(
            "audit/move_horizon",
            "audit/note",
            horizon=horizon,
            me=None,
            now=database.clock.now(),
            **audit.of_command("audit.prune"),
        )
        # Some at a time: others write in between.
        while deleted := database.write("audit/delete_old", horizon=horizon, most=10_000):
            pruned += deleted
    click.echo(f"{pruned} entries of more than {days} days ago are gone")

"""Statements of docs/security.md about the whole program, which no other test covers."""

import ast

import app
from handlers import sql_behind
from tests.conftest import HOME, sqlite
from tests.test_suite import modules

# Modules that connect to other servers.
CLIENTS = {"ftplib", "http.client", "imaplib", "requests", "sentry_sdk", "smtplib"}
CLIENTS |= {"urllib.request", "urllib3", "xmlrpc.client"}


def test_a_new_database_has_no_users(db):
    assert sqlite(db, "SELECT count(*) FROM users") == [(0,)]


def test_an_account_has_one_password_without_expiry_or_hint(db):
    columns = [name for _, name, *_ in sqlite(db, "PRAGMA table_info (users)")]

    assert columns == [
        *("id", "username", "username_key", "email", "email_key", "password_hash", "role", "suspended_at"),
        *("bio", "image", "articles_count", "favorites_count", "created_at", "updated_at"),
    ]


def test_only_registration_and_login_create_sessions(db):
    creating = [path for _, path, handler, _ in app.routes() if "sessions/create" in sql_behind(handler, db.files)]

    assert creating == ["/users", "/users/login"]


def test_only_mail_and_error_reports_connect_to_other_servers():
    imported = {
        name
        for module in modules(HOME, {"tests", "bench"})
        if module.name not in ("mail.py", "logs.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert {"bottle", "sqlite3"} <= imported
    assert not imported & CLIENTS

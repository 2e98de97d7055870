"""What docs/security.md says of the whole, and no story shows."""

import ast

import app
from handlers import sql_behind
from tests.conftest import HOME, sqlite

# Modules that open connections to elsewhere.
CALLS_OTHERS = {
    *(
        "ftplib",
        "http.client",
        "imaplib",
        "requests",
        "sentry_sdk",
        "smtplib",
        "urllib.request",
        "urllib3",
        "xmlrpc.client",
    )
}


def test_a_new_database_has_nobody_in_it(db):
    assert sqlite(db, "SELECT count(*) FROM users") == [(0,)]


def test_an_account_has_one_password_that_no_calendar_ends_and_no_hint_helps_with(db):
    columns = [name for _, name, *_ in sqlite(db, "PRAGMA table_info (users)")]

    assert columns == [
        *("id", "username", "username_key", "email", "email_key", "password_hash", "role", "suspended_at"),
        *("bio", "image", "articles_count", "favorites_count", "created_at", "updated_at"),
    ]


def test_registration_and_login_alone_open_a_session(db):
    opening = [path for _, path, handler, _ in app.routes() if "sessions/create" in sql_behind(handler, db.files)]

    assert opening == ["/users", "/users/login"]


def test_no_module_but_those_that_send_mails_and_errors_calls_other_servers():
    apart = {".venv", ".venv-bench", ".mutants", "tests", "bench"}
    modules = [path for path in HOME.rglob("*.py") if not apart & {*path.relative_to(HOME).parts}]
    imported = {
        name
        for module in modules
        if module.name not in ("mail.py", "logs.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert {"bottle", "sqlite3"} <= imported
    assert not imported & CALLS_OTHERS

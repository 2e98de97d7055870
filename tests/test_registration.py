"""The settings about registration and passwords, and the command `user create`."""

import pytest

from tests.conftest import PASSWORD, sqlite

USER = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}
STRICT = {"realworld_compat": False}


def test_closed_registration_refuses_new_accounts(asks, db):
    assert asks(registration="closed").refusal(403, "POST", "/users", {"user": USER}) == {"registration": "closed"}
    assert sqlite(db, "SELECT count(*) FROM users") == [(0,)]


def test_closed_registration_is_reported_after_errors_in_the_body(asks):
    assert "user" in asks(registration="closed").refusal(422, "POST", "/users", {})


# Passwords


def test_realworld_compat_allows_common_passwords(asks):
    assert asks().someone("ann", password="password123").me()["username"] == "ann"


@pytest.mark.parametrize("password", ["password1", "12345678", "PASSWORD1", "Qwertyuiop", "123456789"])
def test_without_realworld_compat_common_passwords_are_refused(asks, password):
    api = asks(**STRICT)

    refusal = api.refusal(422, "POST", "/users", {"user": USER | {"password": password}})

    assert refusal == {"password": "is one of the most common ones"}


def test_a_common_password_is_reported_with_all_other_errors(asks):
    wrong = {"username": "", "email": "nowhere", "password": "password1"}

    assert set(asks(**STRICT).refusal(422, "POST", "/users", {"user": wrong})) == {"username", "email", "password"}


def test_a_password_that_begins_with_a_common_one_is_allowed(asks):
    assert asks(**STRICT).someone("ann", password="password1 and then some").me()["username"] == "ann"


def test_a_new_password_must_not_be_common_either(asks):
    ann = asks(**STRICT).someone("ann")

    changes = {"user": {"password": "password1", "currentPassword": PASSWORD}}
    assert ann.refusal(422, "PUT", "/user", changes) == {"password": "is one of the most common ones"}


@pytest.mark.parametrize("changes", [{"password": "battery staple"}, {"email": "bob@example.org"}])
def test_without_realworld_compat_a_new_password_or_email_needs_the_current_password(asks, changes):
    ann = asks(**STRICT).someone("ann")

    assert ann.refusal(422, "PUT", "/user", {"user": changes}) == {"currentPassword": "can't be blank"}
    wrong = changes | {"currentPassword": "wrong horse"}
    assert ann.refusal(422, "PUT", "/user", {"user": wrong}) == {"currentPassword": "is wrong"}
    assert ann.me()["email"] == "ann@example.org"
    ann.put("/user", {"user": changes | {"currentPassword": PASSWORD}})
    email, password = changes.get("email", "ann@example.org"), changes.get("password", PASSWORD)
    assert asks().logs_in(email, password).me()["username"] == "ann"


def test_other_fields_and_an_unchanged_email_need_no_password(asks):
    ann = asks(**STRICT).someone("ann")

    changed = ann.changes(username="eve", email="ANN@example.org", bio="Rows at dawn")

    assert (changed["username"], changed["bio"]) == ("eve", "Rows at dawn")


@pytest.mark.parametrize("settings", [{}, STRICT])
def test_a_current_password_without_a_change_is_refused(asks, settings):
    ann = asks(**settings).someone("ann")

    assert ann.refusal(422, "PUT", "/user", {"user": {"currentPassword": PASSWORD}}) == {"user": "can't be blank"}


def test_realworld_compat_ignores_the_current_password(asks):
    ann = asks().someone("ann")

    for number, ignored in enumerate(("wrong horse", "", None)):
        assert ann.changes(email=f"{number}@example.org", currentPassword=ignored)["email"] == f"{number}@example.org"


def test_guesses_at_the_current_password_are_rate_limited(asks):
    ann = asks(**STRICT).someone("ann")
    guess = {"user": {"password": "battery staple", "currentPassword": "wrong horse"}}
    for _ in range(10):
        ann.refusal(422, "PUT", "/user", guess)

    right = {"user": {"password": "battery staple", "currentPassword": PASSWORD}}
    assert ann.refusal(429, "PUT", "/user", right) == {"login": "too many attempts; try again in 1 second"}


def test_failed_logins_do_not_count_as_guesses_at_the_current_password(asks):
    ann = asks(**STRICT).someone("ann")
    for _ in range(12):
        asks().client.post_json("/api/users/login", {"user": {"email": "user 1", "password": "x"}}, status="*")

    ann.put("/user", {"user": {"password": "battery staple", "currentPassword": PASSWORD}})


# user create


def test_user_create_creates_an_account_also_while_registration_is_closed(commands, db, asks):
    commands.database = db.path

    printed = commands.says(
        "user", "create", "ann", "ann@example.org", typed=f"{PASSWORD}\r\n", ROWBOAT_REGISTRATION="closed"
    )

    assert printed == [f"ann has an account in {db.path}"]
    assert asks(registration="closed").logs_in("ann@example.org").me()["username"] == "ann"


@pytest.mark.parametrize(
    ("username", "email", "typed", "message"),
    [
        ("ann", "eve@example.org", PASSWORD, "username: has already been taken"),
        ("eve", "nowhere", PASSWORD, "email: must be an address with one @"),
        ("eve", "eve@example.org", "short", "password: is too short (minimum is 8 characters)"),
        ("eve", "eve@example.org", "", "password: can't be blank"),
        ("eve", "eve@example.org", b"\xff\n", "the password on standard input is not UTF-8"),
        ("a\udcff", "a@b.c", PASSWORD, "user: must be UTF-8"),
    ],
)
def test_user_create_prints_one_line_for_an_error(commands, db, api, username, email, typed, message):
    commands.database = db.path
    api.someone("ann")

    assert commands.error("user", "create", username, email, typed=typed) == message

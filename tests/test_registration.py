"""Who may open an account, and with which password: what those who run the server decide."""

from contextlib import closing

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database
from tests.conftest import HOME, PASSWORD, Api, sqlite

USER = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}
STRICT = {"realworld_compat": False}


def test_where_registration_is_closed_nobody_can_register(asks, db):
    assert asks(registration="closed").refusal(403, "POST", "/users", {"user": USER}) == {"registration": "closed"}
    assert sqlite(db, "SELECT count(*) FROM users") == [(0,)]


def test_where_registration_is_closed_people_log_in_as_before(asks):
    asks().someone("ann")

    assert asks(registration="closed").logs_in("ann@example.org").me()["username"] == "ann"


def test_what_is_wrong_with_a_body_is_said_before_registration_is_closed(asks):
    assert "user" in asks(registration="closed").refusal(422, "POST", "/users", {})


# Passwords


def test_public_clients_may_use_the_passwords_that_they_use(asks):
    assert asks().someone("ann", password="password123").me()["username"] == "ann"


@pytest.mark.parametrize("password", ["password1", "12345678", "PASSWORD1", "Qwertyuiop", "123456789"])
def test_where_it_matters_the_most_common_passwords_are_refused(asks, password):
    api = asks(**STRICT)

    refusal = api.refusal(422, "POST", "/users", {"user": USER | {"password": password}})

    assert refusal == {"password": "is one of the most common ones"}


def test_a_common_password_is_named_with_all_else_that_is_wrong(asks):
    wrong = {"username": "", "email": "nowhere", "password": "password1"}

    assert set(asks(**STRICT).refusal(422, "POST", "/users", {"user": wrong})) == {"username", "email", "password"}


def test_a_password_that_only_begins_like_a_common_one_is_taken(asks):
    assert asks(**STRICT).someone("ann", password="password1 and then some").me()["username"] == "ann"


def test_a_new_password_is_not_a_common_one_either(asks):
    ann = asks(**STRICT).someone("ann")

    changes = {"user": {"password": "password1", "currentPassword": PASSWORD}}
    assert ann.refusal(422, "PUT", "/user", changes) == {"password": "is one of the most common ones"}


@pytest.mark.parametrize("changes", [{"password": "battery staple"}, {"email": "bob@example.org"}])
def test_where_it_matters_a_new_password_or_email_needs_the_present_password(asks, changes):
    ann = asks(**STRICT).someone("ann")

    assert ann.refusal(422, "PUT", "/user", {"user": changes}) == {"currentPassword": "can't be blank"}
    wrong = changes | {"currentPassword": "wrong horse"}
    assert ann.refusal(422, "PUT", "/user", {"user": wrong}) == {"currentPassword": "is wrong"}
    assert ann.me()["email"] == "ann@example.org"
    ann.put("/user", {"user": changes | {"currentPassword": PASSWORD}})
    email, password = changes.get("email", "ann@example.org"), changes.get("password", PASSWORD)
    assert asks().logs_in(email, password).me()["username"] == "ann"


def test_an_email_that_stays_what_it_was_needs_no_password(asks):
    ann = asks(**STRICT).someone("ann")

    assert ann.changes(email="ANN@example.org", bio="Rows at dawn")["bio"] == "Rows at dawn"


@pytest.mark.parametrize("settings", [{}, STRICT])
def test_a_present_password_alone_changes_nothing(asks, settings):
    ann = asks(**settings).someone("ann")

    assert ann.refusal(422, "PUT", "/user", {"user": {"currentPassword": PASSWORD}}) == {"user": "can't be blank"}


def test_everything_else_of_an_account_changes_without_it(asks):
    ann = asks(**STRICT).someone("ann")

    assert ann.changes(username="eve", bio="Rows at dawn")["username"] == "eve"


def test_public_clients_need_no_present_password_and_one_is_ignored(asks):
    ann = asks().someone("ann")

    for number, ignored in enumerate(("wrong horse", "", None)):
        assert ann.changes(email=f"{number}@example.org", currentPassword=ignored)["email"] == f"{number}@example.org"


def test_whoever_has_a_token_cannot_guess_the_password_with_it(asks):
    ann = asks(**STRICT).someone("ann")
    guess = {"user": {"password": "battery staple", "currentPassword": "wrong horse"}}
    for _ in range(10):
        ann.refusal(422, "PUT", "/user", guess)

    right = {"user": {"password": "battery staple", "currentPassword": PASSWORD}}
    assert ann.refusal(429, "PUT", "/user", right) == {"login": "too many; try again in 1 s"}


def test_logins_of_others_do_not_count_as_guesses_at_the_own_password(asks):
    ann = asks(**STRICT).someone("ann")
    for _ in range(12):
        asks().client.post_json("/api/users/login", {"user": {"email": "user 1", "password": "x"}}, status="*")

    ann.put("/user", {"user": {"password": "battery staple", "currentPassword": PASSWORD}})


# From the command line


def test_those_who_run_the_server_open_accounts_also_where_registration_is_closed(fork):
    create = ("user", "create", "ann", "ann@example.org")

    fork.says("migrate")

    said = fork.says(*create, typed=f"{PASSWORD}\r\n", ROWBOAT_REGISTRATION="closed")

    assert said == [f"ann has an account in {fork.database}"]
    with closing(Database(fork.database, HOME / "sql")) as database:
        ann = Api(TestApp(app.make_app(Config(registration="closed"), database))).logs_in("ann@example.org")
        assert ann.me()["username"] == "ann"


def test_an_account_that_cannot_be_opened_is_one_line(fork):
    fork.says("migrate")
    fork.says("user", "create", "ann", "ann@example.org", typed=f"{PASSWORD}\n")

    for arguments, typed, expected in (
        (("ann", "eve@example.org"), PASSWORD, "username: has already been taken"),
        (("eve", "nowhere"), PASSWORD, "email: must be an address with one @"),
        (("eve", "eve@example.org"), "short", "password: is too short (minimum is 8 characters)"),
        (("eve", "eve@example.org"), "", "password: can't be blank"),
    ):
        assert fork.error("user", "create", *arguments, typed=typed) == expected


def test_a_password_that_is_no_text_is_one_line(fork):
    fork.says("migrate")

    told = fork.error("user", "create", "ann", "ann@example.org", typed="\udcff\n")

    assert told == "the password on standard input is not UTF-8"


def test_no_account_is_opened_in_a_database_that_no_server_made(fork):
    told = fork.error("user", "create", "ann", "ann@example.org", typed=f"{PASSWORD}\n")

    assert told.endswith("there is no such database; the commands migrate and serve make one")
    assert not fork.database.exists()

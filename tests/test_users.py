"""Accounts: registration, login, passwords, and the caller's own account."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from argon2 import PasswordHasher
from webtest import TestApp

import app
import passwords
from config import Config
from db import Database
from db.lock import WriteLock
from tests.conftest import HOME, PASSWORD, Api, sqlite

TODAYS_PARAMETERS = "$argon2id$v=19$m=19456,t=2,p=1$"
TAKEN = "has already been taken"
OLDER = PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1)


def credentials(email="ann@example.org", password=PASSWORD):
    return {"user": {"email": email, "password": password}}


# Registration


def test_registration_returns_the_account_and_a_valid_token(api):
    user = {"username": "Ann", "email": "Ann@example.org", "password": PASSWORD}

    registered = api.post("/users", {"user": user}, status=201).json["user"]

    expected = {"username": "Ann", "email": "Ann@example.org", "bio": None, "image": None}
    assert registered == expected | {"token": registered["token"]}
    headers = {"Authorization": f"Token {registered['token']}"}
    assert api.get("/user", headers=headers).json == {"user": registered}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"username": "ann", "email": "bob@example.org"}, {"username": TAKEN, "email": TAKEN}),
        ({"username": "ann"}, {"username": TAKEN}),
        ({"email": "ann@example.org"}, {"email": TAKEN}),
        ({"username": "ann", "email": "no address"}, {"email": "must be an address with one @"}),
    ],
)
def test_a_taken_name_or_email_is_refused_and_nothing_is_stored(api, db, fields, errors):
    api.someone("ann")
    api.someone("bob")
    user = {"username": "carla", "email": "carla@example.org", "password": PASSWORD} | fields

    assert api.refusal(422 if "address" in str(errors) else 409, "POST", "/users", {"user": user}) == errors

    assert sqlite(db, "SELECT count(*), (SELECT count(*) FROM sessions) FROM users") == [(2, 2)]


def test_a_name_that_is_taken_while_the_password_is_hashed_is_refused(api, argon2):
    argon2.meanwhile(lambda: api.someone("ann", email="first@example.org"), during="hash")

    refusal = api.refusal(409, "POST", "/users", {"user": {"username": "ann"} | credentials()["user"]})

    assert refusal == {"username": TAKEN}
    assert api.logs_in("first@example.org").me()["username"] == "ann"


# Login


def test_login_returns_the_account_and_another_token_for_a_second_session(api):
    ann = api.someone("ann")
    account = ann.changes(bio="Rows", image="ann.png")

    response = api.post("/users/login", credentials(), status=200).json["user"]

    assert response == account | {"token": response["token"]}
    assert response["token"] != ann.token
    assert api.get("/user", headers={"Authorization": f"Token {response['token']}"}).json["user"] == response
    assert ann.me() == account


@pytest.mark.parametrize("form", ["ZOË@Example.ORG", "  zoë@example.org ", "ｚoë@example.org", "zoe\u0308@example.org"])
def test_an_email_is_found_and_taken_in_any_form_and_shown_as_it_was_given(api, form):
    api.someone("ann", email="Zoë@example.org")
    bob = api.someone("bob")
    user = {"username": "other", "email": form, "password": PASSWORD}

    assert api.logs_in(form).email == "Zoë@example.org"
    assert api.refusal(409, "POST", "/users", {"user": user}) == {"email": TAKEN}
    assert bob.refusal(409, "PUT", "/user", {"user": {"email": form}}) == {"email": TAKEN}


def test_a_failed_login_does_not_reveal_whether_the_email_exists(api):
    api.someone("ann")

    wrong_password = api.post("/users/login", credentials(password="wrong horse"), status=401)
    unknown_email = api.post("/users/login", credentials(email="bob@example.org"), status=401)

    assert wrong_password.json == {"errors": {"credentials": ["invalid"]}}
    assert unknown_email.body == wrong_password.body
    assert set(unknown_email.headers) == set(wrong_password.headers)


def test_an_unknown_email_costs_the_work_of_a_wrong_password(api, argon2, real_hashes):
    api.someone("ann")

    api.refusal(401, "POST", "/users/login", credentials(password="wrong horse"))
    api.refusal(401, "POST", "/users/login", credentials(email="bob@example.org"))

    wrong_password, unknown_email = argon2.checked
    assert unknown_email == wrong_password


def test_a_login_that_has_to_wait_costs_no_hash(api, argon2):
    for _ in range(10):
        api.call("POST", "/users/login", credentials(), status=401)
    argon2.calls.clear()

    api.call("POST", "/users/login", credentials(), status=429)

    assert argon2.calls == []


def test_a_login_that_cannot_be_counted_costs_no_hash(db, argon2):
    with closing(Database(db.path, HOME / "sql", wait_s=0.05, clock=db.clock)) as locked, WriteLock(db.path):
        api = Api(TestApp(app.make_app(Config(), locked)))

        assert api.refusal(503, "POST", "/users/login", credentials()) == {"database": "is not available; try again"}

    assert argon2.calls == []


def test_a_login_fails_if_the_password_changes_meanwhile(asks, db, argon2):
    ann = asks("192.0.2.1").someone("ann")
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="verify")

    assert asks("198.51.100.7").refusal(401, "POST", "/users/login", credentials()) == {"credentials": "invalid"}

    assert sqlite(db, "SELECT count(*) FROM sessions") == [(1,)]
    assert sqlite(db, "SELECT address FROM login_addresses") == [("192.0.2.1",)]
    assert sqlite(db, "SELECT level FROM attempts WHERE subject LIKE 'login from%'") == [(2.0,)]


# How passwords are stored


def test_passwords_are_stored_only_as_argon2id_hashes_with_a_salt_each(api, db, real_hashes):
    api.someone("ann")
    api.someone("bob").changes(password="second secret")
    api.someone("cid")

    hashes = [password_hash for (password_hash,) in sqlite(db, "SELECT password_hash FROM users")]
    stored = b"".join(path.read_bytes() for path in db.path.parent.glob("rowboat.db*"))
    assert all(each.startswith(TODAYS_PARAMETERS) for each in hashes)
    assert len(set(hashes)) == 3
    assert b"ann@example.org" in stored
    assert PASSWORD.encode() not in stored
    assert b"second secret" not in stored


def test_only_a_login_rehashes_a_password_and_only_with_older_parameters(api, db, real_hashes):
    def stored():
        return sqlite(db, "SELECT password_hash FROM users ORDER BY id")

    api.someone("ann")
    api.someone("bob")
    older = OLDER.hash(PASSWORD)
    sqlite(db, "UPDATE users SET password_hash = ?", older)

    api.refusal(401, "POST", "/users/login", credentials(password="wrong horse"))
    assert stored() == [(older,), (older,)]
    api.logs_in("ann@example.org")
    (renewed,), of_bob = stored()
    assert renewed.startswith(TODAYS_PARAMETERS)
    assert of_bob == (older,)
    api.logs_in("ann@example.org")
    assert stored() == [(renewed,), of_bob]


def test_two_concurrent_logins_that_rehash_both_succeed(api, db, argon2):
    api.someone("ann")
    sqlite(db, "UPDATE users SET password_hash = ?", OLDER.hash(PASSWORD))
    argon2.meanwhile(lambda: api.logs_in("ann@example.org"), during="verify")

    ann = api.logs_in("ann@example.org")

    assert ann.me()["username"] == "ann"


def test_rehashing_does_not_restore_a_former_password(api, db, argon2):
    ann = api.someone("ann")
    sqlite(db, "UPDATE users SET password_hash = ?", OLDER.hash(PASSWORD))
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="hash")

    api.logs_in("ann@example.org")

    assert api.refusal(401, "POST", "/users/login", credentials()) == {"credentials": "invalid"}
    assert api.logs_in("ann@example.org", "battery staple").me()["username"] == "ann"


@pytest.mark.parametrize(
    ("method", "path", "user"),
    [
        ("POST", "/users", {"username": "bob", "email": "bob@example.org", "password": PASSWORD}),
        ("POST", "/users/login", credentials()["user"]),
        ("PUT", "/user", {"password": "battery staple"}),
    ],
)
def test_no_transaction_is_open_while_a_password_is_hashed(api, db, argon2, method, path, user):
    ann = api.someone("ann")
    checkpoints = []
    # The first column is 1 while another connection reads or writes.
    argon2.before = lambda name: checkpoints.extend(sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)"))

    ann.call(method, path, {"user": user})

    assert [busy for busy, *_ in checkpoints] == [0]


def test_as_many_passwords_are_hashed_concurrently_as_there_are_turns(api, argon2):
    api.someone("ann")
    in_turn, go_on = threading.Semaphore(0), threading.Event()

    def hold(name):
        in_turn.release()
        assert go_on.wait(60)

    argon2.before = hold

    with ThreadPoolExecutor(passwords.AT_ONCE) as crowd:
        logins = [crowd.submit(api.logs_in, "ann@example.org") for _ in range(passwords.AT_ONCE)]
        assert all(in_turn.acquire(timeout=60) for _ in logins)
        is_another_turn_free = passwords._TURN.acquire(blocking=False)
        go_on.set()

    assert passwords.AT_ONCE <= 2
    assert not is_another_turn_free
    assert all(login.result() for login in logins)


# The caller's account


def test_all_fields_of_an_account_can_change_at_once(api):
    ann = api.someone("ann")
    wanted = {"username": "Anna", "email": "Anna@example.org", "bio": "Rows", "image": "anna.png"}

    user = ann.changes(password="battery staple", **wanted)

    assert user == wanted | {"token": ann.token}
    assert ann.me() == user
    assert api.logs_in("Anna@example.org", "battery staple").name == "Anna"


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "Ann", "email": "ANN@example.org"},
        {"username": "Anna"},
        {"email": "anna@example.org"},
        {"bio": "Sails"},
        {"image": "boat.png"},
        {"bio": None},
    ],
)
def test_only_the_fields_that_are_sent_change(api, changes):
    ann, bob = api.someone("ann"), api.someone("bob")
    elsewhere = api.logs_in("ann@example.org")
    before = ann.changes(bio="Rows", image="ann.png")
    other = bob.changes(bio="Swims")

    after = ann.changes(**changes)

    assert after == ann.me() == before | changes
    assert elsewhere.me() == after | {"token": elsewhere.token}
    assert api.logs_in(after["email"]).me()["username"] == after["username"]
    assert bob.me() == other


@pytest.mark.parametrize("field", ["bio", "image"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_bio_and_image_are_removed_with_null_or_an_empty_string(api, field, nothing):
    ann = api.someone("ann")
    ann.changes(bio="Rows", image="ann.png")

    user = ann.changes(**{field: nothing})

    assert user[field] is None
    assert [user["bio"], user["image"]].count(None) == 1


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_name_email_and_password_cannot_be_removed(api, field):
    ann = api.someone("ann")
    before = ann.me()

    for nothing in (None, "", "  "):
        assert ann.refusal(422, "PUT", "/user", {"user": {field: nothing}}) == {field: "can't be blank"}

    assert ann.me() == before


@pytest.mark.parametrize("user", [{}, {"unknown": "field"}])
def test_a_change_without_fields_is_refused(api, user):
    ann = api.someone("ann")

    assert ann.refusal(422, "PUT", "/user", {"user": user}) == {"user": "can't be blank"}


def test_names_and_emails_of_others_are_refused_and_nothing_changes(api):
    ann, _, _ = api.someone("ann"), api.someone("bob"), api.someone("cem")
    elsewhere = api.logs_in("ann@example.org")
    before = ann.me()
    taken = {"username": "BOB", "email": "Cem@example.org", "bio": "Rows", "password": "battery staple"}

    assert ann.refusal(409, "PUT", "/user", {"user": taken}) == {"username": TAKEN, "email": TAKEN}
    malformed = ann.refusal(422, "PUT", "/user", {"user": taken | {"email": "no address"}})
    assert malformed == {"email": "must be an address with one @"}

    assert ann.me() == before
    assert elsewhere.me()["username"] == "ann"
    assert api.logs_in("ann@example.org").me()["username"] == "ann"


def test_a_former_name_and_email_are_free(api):
    ann = api.someone("ann")
    ann.changes(username="anna", email="anna@example.org")

    other = api.someone("ann")

    assert other.me()["email"] == "ann@example.org"
    assert ann.me()["email"] == "anna@example.org"


# A new password


def test_a_new_password_replaces_the_old_one_and_ends_the_users_other_sessions(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    elsewhere = api.logs_in("ann@example.org")

    ann.changes(password="battery staple")

    assert api.logs_in("ann@example.org", "battery staple").me()["username"] == "ann"
    assert api.refusal(401, "POST", "/users/login", credentials()) == {"credentials": "invalid"}
    assert elsewhere.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert ann.me()["token"] == ann.token
    assert bob.me()["username"] == "bob"


def test_a_session_that_ends_while_it_changes_the_password_changes_nothing(api, argon2):
    ann = api.someone("ann")
    thief = api.logs_in("ann@example.org")
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="hash")

    refusal = thief.refusal(401, "PUT", "/user", {"user": {"password": "mine from now on"}})

    assert refusal == {"token": "is invalid"}
    assert ann.me()["username"] == "ann"
    assert api.logs_in("ann@example.org", "battery staple").me()["username"] == "ann"

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from argon2 import PasswordHasher
from webtest import TestApp

import app
from config import Config
from db import Database
from db.clock import now
from db.lock import WriteLock
from passwords import digest
from tests.conftest import HOME, PASSWORD, Api, sqlite

TODAYS_PARAMETERS = "$argon2id$v=19$m=19456,t=2,p=1$"
OLDER = PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1)


def credentials(email="ann@example.org", password=PASSWORD):
    return {"user": {"email": email, "password": password}}


# Registration


def test_who_registers_gets_an_account_and_a_token_that_works(api):
    user = {"username": "Ann", "email": "Ann@example.org", "password": PASSWORD}

    answer = api.post("/users", {"user": user}, status=201).json

    token = answer["user"].pop("token")
    assert answer == {"user": {"username": "Ann", "email": "Ann@example.org", "bio": None, "image": None}}
    assert api.get("/user", headers={"Authorization": f"Token {token}"}).json["user"]["username"] == "Ann"


def test_a_name_and_an_address_that_are_taken_are_both_named(api):
    api.someone("ann")
    api.someone("bob")
    user = {"username": "ann", "email": "bob@example.org", "password": PASSWORD}

    refusal = api.refusal(409, "POST", "/users", {"user": user})

    assert refusal == {"username": "has already been taken", "email": "has already been taken"}


@pytest.mark.parametrize(
    ("taken", "fields"),
    [("username", {"username": "ann"}), ("email", {"email": "ann@example.org"})],
)
def test_only_what_is_taken_is_named(api, taken, fields):
    api.someone("ann")
    user = {"username": "carla", "email": "carla@example.org", "password": PASSWORD} | fields

    assert api.refusal(409, "POST", "/users", {"user": user}) == {taken: "has already been taken"}


def test_a_refused_registration_leaves_nothing_behind(api, db):
    api.someone("ann")

    api.refusal(409, "POST", "/users", {"user": {"username": "ann", "email": "new@example.org", "password": PASSWORD}})

    assert sqlite(db, "SELECT count(*) FROM users") == [(1,)]
    assert sqlite(db, "SELECT count(*) FROM sessions") == [(1,)]
    assert api.refusal(401, "POST", "/users/login", credentials("new@example.org")) == {"credentials": "invalid"}


def test_what_is_malformed_is_named_before_what_is_taken(api):
    api.someone("ann")
    user = {"username": "ann", "email": "no address", "password": PASSWORD}

    assert api.refusal(422, "POST", "/users", {"user": user}).keys() == {"email"}


def test_of_fifty_who_register_one_name_at_once_one_gets_it(api, db):
    def register(number):
        user = {"username": "ann", "email": f"ann{number}@example.org", "password": PASSWORD}
        answer = api.client.post_json("/api/users", {"user": user}, status="*")
        return answer.status_int, answer.json.get("errors")

    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(register, range(50)))

    assert sorted(status for status, _ in answers) == [201] + [409] * 49
    assert [errors for status, errors in answers if status == 409] == [{"username": ["has already been taken"]}] * 49
    assert sqlite(db, "SELECT count(*) FROM users") == [(1,)]


def test_of_two_who_register_one_name_at_the_same_time_one_gets_it(api, argon2):
    argon2.meanwhile(lambda: api.someone("ann", email="first@example.org"), during="hash")

    refusal = api.refusal(409, "POST", "/users", {"user": {"username": "ann"} | credentials()["user"]})

    assert refusal == {"username": "has already been taken"}
    assert api.logs_in("first@example.org").me()["username"] == "ann"


# Login


def test_who_logs_in_gets_the_account_and_a_new_token(api):
    ann = api.someone("ann")
    ann.changes(bio="Rows", image="ann.png")

    answer = api.post("/users/login", credentials(), status=200).json

    token = answer["user"].pop("token")
    assert answer == {"user": {"username": "ann", "email": "ann@example.org", "bio": "Rows", "image": "ann.png"}}
    assert token != ann.token


def test_a_login_leaves_earlier_sessions_open(api):
    first = api.someone("ann")

    second = api.logs_in("ann@example.org")

    assert first.me()["username"] == "ann"
    assert second.me()["username"] == "ann"


def test_an_address_is_found_in_any_form_and_shown_as_it_was_given(api):
    api.someone("ann", email="Zoë@example.org")

    for form in ("ZOË@Example.ORG", "  zoë@example.org ", "ｚoë@example.org", "zoe\u0308@example.org"):
        assert api.logs_in(form).email == "Zoë@example.org"


def test_an_address_is_taken_in_any_form(api):
    api.someone("ann", email="Zoë@example.org")
    bob = api.someone("bob")

    for form in ("ZOË@Example.ORG", "  zoë@example.org ", "ｚoë@example.org", "zoe\u0308@example.org"):
        user = {"username": "other", "email": form, "password": PASSWORD}
        assert api.refusal(409, "POST", "/users", {"user": user}) == {"email": "has already been taken"}
        assert bob.refusal(409, "PUT", "/user", {"user": {"email": form}}) == {"email": "has already been taken"}


def test_a_login_does_not_tell_whether_it_was_the_address_or_the_password(api):
    api.someone("ann")

    wrong_password = api.post("/users/login", credentials(password="wrong horse"), status=401)
    unknown_address = api.post("/users/login", credentials(email="bob@example.org"), status=401)

    assert wrong_password.json == {"errors": {"credentials": ["invalid"]}}
    assert unknown_address.body == wrong_password.body
    assert set(unknown_address.headers) == set(wrong_password.headers)


def test_an_unknown_address_costs_the_work_of_a_wrong_password(api, argon2, real_hashes):
    api.someone("ann")

    api.refusal(401, "POST", "/users/login", credentials(password="wrong horse"))
    api.refusal(401, "POST", "/users/login", credentials(email="bob@example.org"))

    wrong_password, unknown_address = argon2.checked
    assert unknown_address == wrong_password


def test_who_has_to_wait_costs_no_hash(api, argon2):
    for _ in range(10):
        api.call("POST", "/users/login", credentials(), status=401)
    argon2.calls.clear()

    api.call("POST", "/users/login", credentials(), status=429)

    assert argon2.calls == []


def test_an_attempt_that_cannot_be_counted_costs_no_hash_either(db, argon2):
    with closing(Database(db.path, HOME / "sql", wait_s=0.05)) as locked, WriteLock(db.path):
        api = Api(TestApp(app.make_app(Config(), locked)))

        assert api.refusal(503, "POST", "/users/login", credentials()) == {"database": "is not available; try again"}

    assert argon2.calls == []


def test_a_login_that_a_change_of_password_overtakes_opens_no_session(api, db, argon2):
    ann = api.someone("ann")
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="verify")

    refusal = api.refusal(401, "POST", "/users/login", credentials())

    assert refusal == {"credentials": "invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions") == [(1,)]


def test_a_login_that_is_overtaken_leaves_nothing_behind(asks, db, argon2):
    ann = asks("192.0.2.1").someone("ann")
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="verify")

    assert asks("198.51.100.7").refusal(401, "POST", "/users/login", credentials()) == {"credentials": "invalid"}

    assert sqlite(db, "SELECT address FROM login_addresses") == [("192.0.2.1",)]
    assert sqlite(db, "SELECT level FROM attempts WHERE subject LIKE 'login from%'")[0][0] > 1.9


def test_a_session_opens_only_for_the_hash_that_was_verified(api, db):
    api.someone("ann")
    session = {
        "email_key": "ann@example.org",
        "token": "t",
        "token_hash": "0" * 64,
        "user_agent": None,
        "now": "2026-01-31T12:00:00.000Z",
    }

    answer = db.write("sessions/create", "users/render", password_hash="an older one", **session)

    assert answer is None
    assert sqlite(db, "SELECT count(*) FROM sessions") == [(1,)]


# How passwords are kept


def test_passwords_are_stored_as_argon2id_hashes_each_with_its_own_salt(api, db, real_hashes):
    api.someone("ann")
    api.someone("bob")

    hashes = [password_hash for (password_hash,) in sqlite(db, "SELECT password_hash FROM users")]

    assert all(each.startswith(TODAYS_PARAMETERS) for each in hashes)
    assert hashes[0] != hashes[1]


def test_a_password_is_nowhere_in_the_database(api, db):
    api.someone("ann", password="first secret").changes(password="second secret")

    stored = b"".join(path.read_bytes() for path in db.path.parent.glob("rowboat.db*"))

    assert b"ann@example.org" in stored
    assert b"first secret" not in stored
    assert b"second secret" not in stored


def test_a_login_renews_a_hash_that_was_made_with_older_parameters(api, db, real_hashes):
    api.someone("ann")
    sqlite(db, "UPDATE users SET password_hash = ?", OLDER.hash(PASSWORD))

    api.logs_in("ann@example.org")

    [(password_hash,)] = sqlite(db, "SELECT password_hash FROM users")
    assert password_hash.startswith(TODAYS_PARAMETERS)
    assert api.logs_in("ann@example.org").me()["username"] == "ann"


def test_a_wrong_password_renews_no_hash(api, db):
    api.someone("ann")
    older = OLDER.hash(PASSWORD)
    sqlite(db, "UPDATE users SET password_hash = ?", older)

    api.refusal(401, "POST", "/users/login", credentials(password="wrong horse"))

    assert sqlite(db, "SELECT password_hash FROM users") == [(older,)]


def test_a_login_leaves_a_hash_with_todays_parameters_as_it_is(api, db):
    api.someone("ann")
    before = sqlite(db, "SELECT password_hash FROM users")

    api.logs_in("ann@example.org")

    assert sqlite(db, "SELECT password_hash FROM users") == before


def test_two_logins_that_renew_one_hash_at_the_same_time_both_succeed(api, db, argon2):
    api.someone("ann")
    sqlite(db, "UPDATE users SET password_hash = ?", OLDER.hash(PASSWORD))
    argon2.meanwhile(lambda: api.logs_in("ann@example.org"), during="verify")

    ann = api.logs_in("ann@example.org")

    assert ann.me()["username"] == "ann"


def test_renewing_a_hash_does_not_bring_a_former_password_back(api, db, argon2):
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
def test_nobody_waits_for_the_database_while_a_password_is_hashed(api, db, argon2, method, path, user):
    ann = api.someone("ann")
    checkpoints = []
    # It is busy, which is its first column, as long as anybody reads or writes.
    argon2.before = lambda name: checkpoints.extend(sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)"))

    ann.call(method, path, {"user": user})

    assert [busy for busy, *_ in checkpoints] == [0]


def test_at_most_two_passwords_are_hashed_at_the_same_time(api, argon2):
    ann = api.someone("ann")
    three_at_once = threading.Barrier(3)

    def wait_for_two_others(name):
        with suppress(threading.BrokenBarrierError):
            three_at_once.wait(timeout=0.2)

    argon2.before = wait_for_two_others

    with ThreadPoolExecutor(3) as crowd:
        bob = crowd.submit(api.someone, "bob")
        login = crowd.submit(api.refusal, 401, "POST", "/users/login", credentials(password="wrong horse"))
        change = crowd.submit(ann.changes, password="battery staple")

    assert all(each.result() for each in (bob, login, change))
    assert three_at_once.broken


# The caller's own account


def test_the_account_is_shown_with_the_token_that_asked(api):
    ann = api.someone("ann")
    again = api.logs_in("ann@example.org")

    assert ann.me() == {
        "username": "ann",
        "email": "ann@example.org",
        "bio": None,
        "image": None,
        "token": ann.token,
    }
    assert again.me() == ann.me() | {"token": again.token}


def test_everything_of_an_account_can_be_changed_at_once(api):
    ann = api.someone("ann")
    wanted = {"username": "Anna", "email": "Anna@example.org", "bio": "Rows", "image": "anna.png"}

    user = ann.changes(password="battery staple", **wanted)

    assert user == wanted | {"token": ann.token}
    assert ann.me() == user
    assert api.logs_in("Anna@example.org", "battery staple").name == "Anna"


@pytest.mark.parametrize(
    "changes",
    [{"username": "Anna"}, {"email": "anna@example.org"}, {"bio": "Sails"}, {"image": "boat.png"}, {"bio": None}],
)
def test_a_change_leaves_alone_what_was_not_sent(api, changes):
    ann, bob = api.someone("ann"), api.someone("bob")
    before = ann.changes(bio="Rows", image="ann.png")
    other = bob.changes(bio="Swims")

    after = ann.changes(**changes)

    assert after == before | changes
    assert ann.me() == after
    assert bob.me() == other


def test_a_change_of_anything_else_leaves_the_password_and_the_sessions_alone(api):
    ann = api.someone("ann")
    elsewhere = api.logs_in("ann@example.org")

    ann.changes(username="anna", bio="Rows")

    assert elsewhere.me()["username"] == "anna"
    assert api.logs_in("ann@example.org").me()["bio"] == "Rows"


@pytest.mark.parametrize("field", ["bio", "image"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_a_bio_or_an_image_is_removed_with_null_or_an_empty_text(api, field, nothing):
    ann = api.someone("ann")
    ann.changes(bio="Rows", image="ann.png")

    user = ann.changes(**{field: nothing})

    assert user[field] is None
    assert [user["bio"], user["image"]].count(None) == 1


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_a_name_an_address_and_a_password_cannot_be_removed(api, field):
    ann = api.someone("ann")
    before = ann.me()

    for nothing in (None, "", "  "):
        assert ann.refusal(422, "PUT", "/user", {"user": {field: nothing}}) == {field: "can't be blank"}

    assert ann.me() == before


@pytest.mark.parametrize("user", [{}, {"unknown": "field"}])
def test_a_change_of_nothing_is_refused(api, user):
    ann = api.someone("ann")

    assert ann.refusal(422, "PUT", "/user", {"user": user}) == {"user": "can't be blank"}


def test_a_name_and_an_address_of_others_are_refused_and_nothing_changes(api):
    ann, _, _ = api.someone("ann"), api.someone("bob"), api.someone("cem")
    before = ann.me()
    wanted = {"username": "BOB", "email": "Cem@example.org", "bio": "Rows"}

    refusal = ann.refusal(409, "PUT", "/user", {"user": wanted})

    assert refusal == {"username": "has already been taken", "email": "has already been taken"}
    assert ann.me() == before


def test_a_change_names_what_is_malformed_before_what_is_taken(api):
    ann, _ = api.someone("ann"), api.someone("bob")

    refusal = ann.refusal(422, "PUT", "/user", {"user": {"username": "bob", "email": "no address"}})

    assert refusal.keys() == {"email"}


def test_ones_own_name_and_address_are_not_taken(api):
    ann = api.someone("ann")

    user = ann.changes(username="Ann", email="ANN@example.org")

    assert user["username"] == "Ann"
    assert user["email"] == "ANN@example.org"


def test_a_name_and_an_address_that_were_given_up_are_free(api):
    ann = api.someone("ann")
    ann.changes(username="anna", email="anna@example.org")

    other = api.someone("ann")

    assert other.me()["email"] == "ann@example.org"
    assert ann.me()["email"] == "anna@example.org"


# A new password


def test_a_new_password_replaces_the_old_one(api):
    ann = api.someone("ann")

    ann.changes(password="battery staple")

    assert api.logs_in("ann@example.org", "battery staple").me()["username"] == "ann"
    assert api.refusal(401, "POST", "/users/login", credentials()) == {"credentials": "invalid"}


def test_a_new_password_ends_all_other_sessions_of_the_user_and_no_others(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    elsewhere = api.logs_in("ann@example.org")

    ann.changes(password="battery staple")

    assert elsewhere.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert ann.me()["token"] == ann.token
    assert bob.me()["username"] == "bob"


def test_a_new_password_that_is_refused_ends_no_session(api):
    ann, _ = api.someone("ann"), api.someone("bob")
    elsewhere = api.logs_in("ann@example.org")

    ann.refusal(409, "PUT", "/user", {"user": {"username": "bob", "password": "battery staple"}})

    assert elsewhere.me()["username"] == "ann"
    assert api.logs_in("ann@example.org").me()["username"] == "ann"


@pytest.mark.parametrize("change", [{"email": "ann@example.net"}, {"password": "battery staple"}])
def test_a_new_email_or_password_revokes_the_tokens_that_were_mailed(api, db, change):
    ann = api.someone("ann")
    db.write("resets/create", user_id=1, token_hash=digest("mailed"), now=now())

    ann.changes(bio="Rows at dawn")
    assert sqlite(db, "SELECT count(*) FROM password_resets") == [(1,)]

    ann.changes(**change)
    assert sqlite(db, "SELECT count(*) FROM password_resets") == [(0,)]


def test_a_session_that_ends_while_it_sets_a_password_sets_none(api, argon2):
    ann = api.someone("ann")
    thief = api.logs_in("ann@example.org")
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="hash")

    refusal = thief.refusal(401, "PUT", "/user", {"user": {"password": "mine from now on"}})

    assert refusal == {"token": "is invalid"}
    assert ann.me()["username"] == "ann"
    assert api.logs_in("ann@example.org", "battery staple").me()["username"] == "ann"

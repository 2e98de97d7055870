"""Setting a new password without the old one: who may, how often, and what nobody learns by asking."""

import json
from datetime import timedelta

import pytest

from db.clock import ago
from passwords import digest
from tests.conftest import PASSWORD, sqlite
from tests.described import require_described

NEW = "battery staple"
WITH_MAIL = {"smtp_url": "smtp://127.0.0.1"}

# Addresses that stand for no machine (RFC 5737).
HOUSE, ANOTHER = "192.0.2.1", "203.0.113.9"


@pytest.fixture
def token_for(db):
    """Give somebody a token, as a mail and as `user reset` do; the token."""

    def give(someone, token="a token", age=timedelta(0)):
        [(user_id,)] = sqlite(db, "SELECT id FROM users WHERE username = ?", someone.name)
        db.write("resets/create", user_id=user_id, token_hash=digest(token), now=ago(age))
        return token

    return give


def requests(client, email="ann@example.org", **options):
    return client.post("/users/password-reset", {"user": {"email": email}}, **options)


def resets(client, token, password=NEW, **options):
    return client.put("/users/password-reset", {"user": {"token": token, "password": password}}, **options)


def refusal(client, token, password=NEW):
    return client.refusal(422, "PUT", "/users/password-reset", {"user": {"token": token, "password": password}})


def waiting(db):
    """Who waits for a mail."""
    return [name for (name,) in sqlite(db, "SELECT username FROM outbox JOIN users ON users.id = user_id ORDER BY 1")]


def audited(db, action):
    """Who did something to whom, by their ids, and whether the request is known."""
    return sqlite(db, "SELECT actor_id, user_id, request_id IS NOT NULL FROM audit WHERE action = ?", action)


def later(db, seconds):
    """Let time pass for everything that is counted."""
    elapsed = 1000 * seconds
    sqlite(
        db,
        "UPDATE attempts SET counted_at_ms = counted_at_ms - ?, waits_until_ms = waits_until_ms - ?",
        elapsed,
        elapsed,
    )


def tries(client, method, user):
    """The status of an answer, which may be a refusal, and the seconds that it asks to wait, or 0."""
    path, headers = "/users/password-reset", client.headers | {"Content-Type": "application/json"}
    answer = client.client.request(
        client.prefix + path, method=method, body=json.dumps({"user": user}).encode(), headers=headers, status="*"
    )
    require_described(method, path, answer)
    return answer.status_int, int(answer.headers.get("Retry-After", 0))


def asks_for(client, email):
    return tries(client, "POST", {"email": email})


def guesses(client, token):
    return tries(client, "PUT", {"token": token, "password": NEW})


# Asking for a token


@pytest.mark.parametrize("settings", [WITH_MAIL, {}], ids=["with a mail server", "without"])
def test_nobody_learns_whether_an_email_has_an_account(asks, db, argon2, settings):
    api = asks(**settings)
    api.someone("ann")
    gone = api.someone("eve")
    gone.leaves()
    argon2.calls.clear()

    told = []
    for email in ("ann@example.org", "bob@example.org", "eve@example.org", "no address"):
        answer = requests(api, email, status=202)
        headers = [header for header in answer.headers.items() if header[0] != "X-Request-Id"]
        told.append((answer.body, headers, [name for name, _ in db._ran()]))  # the files that ran for it

    assert told == [told[0]] * 4
    assert told[0][0] == b""
    assert ("outbox/add" in told[0][2]) == bool(settings)
    assert argon2.calls == []


def test_however_often_somebody_asks_one_mail_waits(asks, db):
    api = asks(**WITH_MAIL)
    api.someone("ann")
    api.someone("bob")

    for _ in range(3):
        requests(api, "ann@example.org")
    requests(api, "bob@example.org")

    assert waiting(db) == ["ann", "bob"]


def test_an_email_is_found_in_any_form(asks, db):
    api = asks(**WITH_MAIL)
    api.someone("ann")

    requests(api, " ＡＮＮ@Example.ORG ")

    assert waiting(db) == ["ann"]


def test_without_a_mail_server_nothing_waits(asks, db):
    api = asks()
    api.someone("ann")

    requests(api)

    assert waiting(db) == []
    assert audited(db, "user.request_reset") == [(None, 1, 1)]


def test_who_is_suspended_gets_no_mail(asks, db, promote):
    api = asks(**WITH_MAIL)
    root = promote(api.someone("root"), "admin")
    api.someone("ann")
    root.suspends("ann")

    requests(api)

    assert waiting(db) == []


def test_a_request_is_audited_in_either_case(asks, db):
    api = asks(**WITH_MAIL)
    api.someone("ann")

    requests(api, "ann@example.org")
    requests(api, "bob@example.org")

    assert audited(db, "user.request_reset") == [(None, 1, 1), (None, None, 1)]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, {"email": "can't be blank"}),
        ({"email": " "}, {"email": "can't be blank"}),
        ({"email": "a\0b@example.org"}, {"email": "must not contain NUL"}),
    ],
)
def test_a_request_names_an_email(asks, db, user, expected):
    assert asks(**WITH_MAIL).refusal(422, "POST", "/users/password-reset", {"user": user}) == expected
    assert sqlite(db, "SELECT count(*) FROM audit") == [(0,)]


# Using it


def test_a_token_sets_a_new_password_and_ends_all_sessions(api, db, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    elsewhere = api.logs_in("ann@example.org")
    token = token_for(ann)

    answer = resets(ann, token, status=204)

    assert answer.body == b""
    for session in (ann, elsewhere):
        assert session.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions WHERE user_id = 1") == [(0,)]
    old = {"user": {"email": "ann@example.org", "password": PASSWORD}}
    assert api.refusal(401, "POST", "/users/login", old) == {"credentials": "invalid"}
    assert api.logs_in("ann@example.org", NEW).me()["username"] == "ann"
    assert bob.me()["username"] == "bob"
    assert api.logs_in("bob@example.org").me()["username"] == "bob"


def test_a_token_is_for_the_account_that_asked_for_it(api, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")

    resets(api, token_for(bob))

    assert api.logs_in("bob@example.org", NEW).me()["username"] == "bob"
    assert ann.me()["username"] == "ann"
    assert api.logs_in("ann@example.org").me()["username"] == "ann"


def test_a_token_works_once(api, token_for):
    token = token_for(api.someone("ann"))
    resets(api, token)

    assert refusal(api, token, "another horse") == {"token": "is wrong or too old"}
    assert api.logs_in("ann@example.org", NEW).me()["username"] == "ann"


def test_a_token_is_good_for_an_hour(api, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    in_time = token_for(ann, "in time", timedelta(minutes=59, seconds=50))
    too_late = token_for(bob, "too late", timedelta(minutes=60))

    resets(api, in_time)
    assert refusal(api, too_late) == {"token": "is wrong or too old"}
    assert bob.me()["username"] == "bob"


def test_a_token_that_was_made_while_the_clock_was_ahead_is_no_good_and_goes_with_the_next_login(api, db, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    ahead = token_for(ann, "ahead", timedelta(days=-300))
    in_time = token_for(bob, "in time")

    assert refusal(api, ahead) == {"token": "is wrong or too old"}
    assert sqlite(db, "SELECT count(*) FROM password_resets") == [(2,)]
    api.logs_in(ann.email)
    assert sqlite(db, "SELECT user_id FROM password_resets") == [(2,)]
    resets(api, in_time)


def test_a_token_takes_the_others_of_its_user_with_it(api, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    first, second = token_for(ann, "first"), token_for(ann, "second")
    of_bob = token_for(bob, "of bob")

    resets(api, second)

    assert refusal(api, first) == {"token": "is wrong or too old"}
    resets(api, of_bob)


def test_a_token_is_stored_as_its_sha_256(fork):
    fork.says("migrate")
    fork.says("user", "create", "ann", "ann@example.org", typed=f"{PASSWORD}\n")

    *_, token = fork.says("user", "reset", "ann")

    files = list(fork.database.parent.glob("rowboat.db*"))
    assert any(digest(token).encode() in file.read_bytes() for file in files)
    assert not any(token.encode() in file.read_bytes() for file in files)


@pytest.mark.parametrize("token", ["nobody's", "x" * 5000, "ü🚣", digest("a token")])
def test_any_other_token_sets_nothing(api, token_for, token):
    ann = api.someone("ann")
    token_for(ann)

    assert refusal(api, token) == {"token": "is wrong or too old"}
    assert ann.me()["username"] == "ann"
    assert api.logs_in("ann@example.org").me()["username"] == "ann"


def test_the_token_of_a_session_is_none_that_sets_a_password(api):
    ann = api.someone("ann")

    assert refusal(api, ann.token) == {"token": "is wrong or too old"}


@pytest.mark.parametrize("changes", [{"password": "another horse"}, {"email": "ann@example.net"}])
def test_a_new_password_or_email_takes_the_tokens_with_it(api, token_for, changes):
    ann, bob = api.someone("ann"), api.someone("bob")
    token, of_bob = token_for(ann), token_for(bob, "of bob")

    ann.changes(**changes)

    assert refusal(api, token) == {"token": "is wrong or too old"}
    resets(api, of_bob)


def test_a_token_of_who_has_left_sets_nothing(api, token_for):
    ann = api.someone("ann")
    token = token_for(ann)
    ann.leaves()

    assert refusal(api, token) == {"token": "is wrong or too old"}


def test_who_is_suspended_may_set_a_password_and_stays_suspended(api, promote, token_for):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    root.suspends("ann")

    resets(api, token_for(ann))

    new = {"user": {"email": "ann@example.org", "password": NEW}}
    assert api.refusal(403, "POST", "/users/login", new) == {"account": "suspended"}


@pytest.mark.parametrize(
    ("settings", "password", "wrong"),
    [
        ({}, "short", "is too short (minimum is 8 characters)"),
        ({}, "", "can't be blank"),
        ({}, "x" * 1025, "is too long (maximum is 1024 characters)"),
        ({"realworld_compat": False}, "password1", "is one of the most common ones"),
    ],
)
def test_a_password_that_cannot_be_taken_leaves_the_token_good(asks, token_for, settings, password, wrong):
    api = asks(**settings)
    token = token_for(api.someone("ann"))

    assert refusal(api, token, password) == {"password": wrong}
    resets(api, token)


def test_a_new_password_is_audited_as_what_its_owner_did(api, db, token_for):
    api.someone("bob")
    resets(api, token_for(api.someone("ann")))

    assert audited(db, "user.reset_password") == [(2, 2, 1)]


def test_a_wrong_token_costs_no_hash(api, argon2):
    refusal(api, "nobody's")

    assert argon2.calls == []


def test_tokens_that_are_too_old_are_deleted_by_and_by(api, db, token_for):
    ann = api.someone("ann")
    token_for(ann, "old", timedelta(hours=2))
    token_for(ann, "new")

    api.logs_in("ann@example.org")

    assert sqlite(db, "SELECT token_hash FROM password_resets") == [(digest("new"),)]


# How often


def test_who_asks_too_often_has_to_wait(asks, db):
    api = asks(**WITH_MAIL)
    api.someone("ann")

    for email in ("ann@example.org", "nobody@example.org"):
        assert [asks_for(api, email) for _ in range(4)] == [(202, 0)] * 3 + [(429, 1)]
    body = {"user": {"email": "ANN@example.org"}}
    assert api.refusal(429, "POST", "/users/password-reset", body) == {"reset": "too many; try again in 1 s"}
    assert sqlite(db, "SELECT count(*) FROM audit WHERE action = 'user.request_reset'") == [(6,)]
    later(db, 600)
    assert [asks_for(api, "ann@example.org") for _ in range(2)] == [(202, 0), (429, 1)]


def test_one_address_that_asks_for_many_has_to_wait(asks, db):
    stranger = asks(HOUSE)

    assert [asks_for(stranger, f"user{number}@example.org")[0] for number in range(31)] == [202] * 30 + [429]
    assert asks_for(asks(ANOTHER), "user31@example.org") == (202, 0)
    later(db, 60)
    assert asks_for(stranger, "user32@example.org") == (202, 0)


def test_who_tries_too_many_tokens_has_to_wait(asks, db, token_for):
    stranger, at_home = asks(HOUSE), asks(ANOTHER)
    token = token_for(at_home.someone("ann"))

    assert [guesses(stranger, f"token {number}") for number in range(31)] == [(422, 0)] * 30 + [(429, 1)]
    assert guesses(stranger, token) == (429, 1)
    assert asks_for(stranger, "ann@example.org") == (429, 1)
    assert guesses(at_home, token) == (204, 0)
    later(db, 60)
    assert guesses(stranger, "another token") == (422, 0)


def test_a_new_password_ends_the_waiting_for_wrong_ones(asks, db, token_for):
    api, at_home = asks(), asks(HOUSE)
    ann = at_home.someone("ann")
    wrong = {"user": {"email": "ann@example.org", "password": "wrong horse"}}
    for client in (api, at_home):
        for _ in range(10):
            client.call("POST", "/users/login", wrong, status=401)
        client.call("POST", "/users/login", wrong, status=429)
    for _ in range(3):
        requests(api)
    ann.writes("Dawn")

    resets(api, token_for(ann))

    for client in (api, at_home):
        assert client.logs_in("ann@example.org", NEW).me()["username"] == "ann"
    # What else was counted stays: a mailbox is no way around other limits.
    assert sorted(subject for (subject,) in sqlite(db, "SELECT subject FROM attempts") if "from" not in subject) == [
        "articles of user 1",
        f"registration of {digest('ann@example.org')}",
        f"reset of {digest('ann@example.org')}",
    ]
    assert asks_for(api, "ann@example.org")[0] == 429


def test_the_waiting_of_others_goes_on(api, token_for):
    ann = api.someone("ann")
    api.someone("bob")
    wrong = {"user": {"email": "bob@example.org", "password": "wrong horse"}}
    for _ in range(10):
        api.call("POST", "/users/login", wrong, status=401)

    resets(api, token_for(ann))

    api.call("POST", "/users/login", wrong, status=429)


def test_an_email_that_was_typed_is_not_kept(asks, db):
    requests(asks(HOUSE), "my secret password, in the wrong field")

    subjects = [subject for (subject,) in sqlite(db, "SELECT subject FROM attempts")]
    assert len(subjects) == 2
    assert not any("secret" in subject for subject in subjects)

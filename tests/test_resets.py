"""Password resets: requesting a token, and setting a new password with it."""

import pytest

from passwords import digest
from tests.conftest import PASSWORD, remove_the_rest, sqlite
from tests.test_throttling import attempt

NEW = "battery staple"
WITH_MAIL = {"smtp_url": "smtp://127.0.0.1"}
INVALID = {"token": "is wrong or too old"}

# Addresses reserved for documentation (RFC 5737).
HOUSE, ANOTHER = "192.0.2.1", "203.0.113.9"


@pytest.fixture
def token_for(db):
    """Create a reset token for a user, as a mail and as `user reset` do."""

    def create(someone, token="a token"):
        [(user_id,)] = sqlite(db, "SELECT id FROM users WHERE username = ?", someone.name)
        db.write("resets/create", user_id=user_id, token_hash=digest(token), now=db.clock.now())
        return token

    return create


def requests(client, email="ann@example.org", **options):
    return client.post("/users/password-reset", {"user": {"email": email}}, **options)


def resets(client, token, password=NEW, **options):
    return client.put("/users/password-reset", {"user": {"token": token, "password": password}}, **options)


def refusal(client, token, password=NEW):
    return client.refusal(422, "PUT", "/users/password-reset", {"user": {"token": token, "password": password}})


def waiting(db):
    """The users to whom a mail is to be sent."""
    return [name for (name,) in sqlite(db, "SELECT username FROM outbox JOIN users ON users.id = user_id ORDER BY 1")]


def audited(db, action):
    """The ids of actor and user of each audit entry, and whether it has a request id."""
    return sqlite(db, "SELECT actor_id, user_id, request_id IS NOT NULL FROM audit WHERE action = ?", action)


def asks_for(client, email):
    return attempt(client, "POST", "/users/password-reset", {"user": {"email": email}})


def guesses(client, token):
    return attempt(client, "PUT", "/users/password-reset", {"user": {"token": token, "password": NEW}})


# Requesting a token


@pytest.mark.parametrize("settings", [WITH_MAIL, {}], ids=["with a mail server", "without"])
def test_a_request_does_not_reveal_whether_an_email_has_an_account(asks, db, argon2, settings):
    api = asks(**settings)
    api.someone("ann")
    api.someone("eve").leaves()
    argon2.calls.clear()

    seen = []
    for email in ("ann@example.org", "bob@example.org", "eve@example.org", "no address"):
        response = requests(api, email, status=202)
        headers = [header for header in response.headers.items() if header[0] != "X-Request-Id"]
        seen.append((response.body, headers, [name for name, _ in db._ran()]))  # the SQL files that ran

    assert seen == [seen[0]] * 4
    assert seen[0][0] == b""
    assert ("outbox/add" in seen[0][2]) == bool(settings)
    assert argon2.calls == []


def test_repeated_requests_queue_one_mail_per_user(asks, db):
    api = asks(**WITH_MAIL)
    api.someone("ann")
    api.someone("bob")

    for email in ("ann@example.org", " ＡＮＮ@Example.ORG ", "ann@example.org", "bob@example.org"):
        requests(api, email)

    assert waiting(db) == ["ann", "bob"]


@pytest.mark.parametrize(("settings", "queued"), [(WITH_MAIL, ["ann"]), ({}, [])])
def test_each_request_is_audited_but_mailed_only_to_active_users_by_a_mail_server(asks, db, promote, settings, queued):
    api = asks(**settings)
    api.someone("ann")
    api.someone("cid")
    promote(api.someone("root"), "admin").suspends("cid")

    for name in ("ann", "bob", "cid"):
        requests(api, f"{name}@example.org")

    assert waiting(db) == queued
    assert audited(db, "user.request_reset") == [(None, 1, 1), (None, None, 1), (None, 2, 1)]


@pytest.mark.parametrize(
    ("user", "errors"),
    [
        ({}, {"email": "can't be blank"}),
        ({"email": " "}, {"email": "can't be blank"}),
        ({"email": "a\0b@example.org"}, {"email": "must not contain NUL"}),
    ],
)
def test_a_request_needs_an_email(asks, db, user, errors):
    assert asks(**WITH_MAIL).refusal(422, "POST", "/users/password-reset", {"user": user}) == errors
    assert sqlite(db, "SELECT count(*) FROM audit") == [(0,)]


# Using a token


def test_a_token_sets_a_new_password_once_and_ends_all_sessions(api, db, token_for):
    bob, ann = api.someone("bob"), api.someone("ann")
    elsewhere = api.logs_in("ann@example.org")
    token = token_for(ann)

    assert resets(ann, token, status=204).body == b""

    for session in (ann, elsewhere):
        assert session.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions WHERE user_id = 2") == [(0,)]
    old = {"user": {"email": "ann@example.org", "password": PASSWORD}}
    assert api.refusal(401, "POST", "/users/login", old) == {"credentials": "invalid"}
    assert refusal(api, token, "another horse") == INVALID
    assert api.logs_in("ann@example.org", NEW).me()["username"] == "ann"
    assert bob.me()["username"] == "bob"
    assert api.logs_in("bob@example.org").me()["username"] == "bob"
    assert audited(db, "user.reset_password") == [(2, 2, 1)]


def test_a_token_expires_after_an_hour_and_the_next_login_deletes_it(api, db, clock, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    too_late = token_for(bob, "too late")
    clock.advance(seconds=1)
    in_time = token_for(ann, "in time")
    clock.advance(minutes=59, seconds=59)

    assert refusal(api, too_late) == INVALID
    assert bob.me()["username"] == "bob"
    api.logs_in("ann@example.org")
    assert sqlite(db, "SELECT token_hash FROM password_resets") == [(digest("in time"),)]
    resets(api, in_time)


def test_a_token_created_while_the_clock_was_ahead_is_invalid_and_the_next_login_deletes_it(api, db, clock, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    clock.advance(days=300)
    ahead = token_for(ann, "ahead")
    clock.advance(days=-300)
    in_time = token_for(bob, "in time")

    assert refusal(api, ahead) == INVALID
    assert sqlite(db, "SELECT count(*) FROM password_resets") == [(2,)]
    api.logs_in(ann.email)
    assert sqlite(db, "SELECT user_id FROM password_resets") == [(2,)]
    resets(api, in_time)


def test_using_a_token_revokes_the_users_other_tokens(api, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    first, second, of_bob = token_for(ann, "first"), token_for(ann, "second"), token_for(bob, "of bob")

    resets(api, second)

    assert refusal(api, first) == INVALID
    resets(api, of_bob)
    assert api.logs_in("bob@example.org", NEW).me()["username"] == "bob"


def test_a_token_that_is_used_while_another_request_hashes_is_refused(api, argon2, token_for):
    ann, bob = api.someone("ann"), api.someone("bob")
    token, _ = token_for(ann), token_for(bob, "of bob")
    argon2.meanwhile(lambda: resets(api, token), during="hash")

    assert refusal(api, token, "another horse") == INVALID

    assert api.logs_in("ann@example.org", NEW).me()["username"] == "ann"


def test_a_token_is_stored_only_as_its_sha_256(commands):
    commands.says("migrate")
    commands.says("user", "create", "ann", "ann@example.org", typed=f"{PASSWORD}\n")

    *_, token = commands.says("user", "reset", "ann")

    stored = b"".join(file.read_bytes() for file in commands.database.parent.glob(f"{commands.database.name}*"))
    assert digest(token).encode() in stored
    assert token.encode() not in stored


@pytest.mark.parametrize("token", ["unknown", "x" * 5000, "ü🚣", digest("a token"), "session"])
def test_any_other_token_is_refused_and_costs_no_hash(api, argon2, token_for, token):
    ann = api.someone("ann")
    token_for(ann)
    argon2.calls.clear()

    assert refusal(api, ann.token if token == "session" else token) == INVALID
    assert argon2.calls == []
    assert ann.me()["username"] == "ann"
    assert api.logs_in("ann@example.org").me()["username"] == "ann"


@pytest.mark.parametrize(
    "change",
    [
        lambda ann: ann.changes(password="another horse"),
        lambda ann: ann.changes(email="ann@example.net"),
        lambda ann: ann.leaves(),
    ],
    ids=["new password", "new email", "account deletion"],
)
def test_reset_tokens_are_revoked_by(api, db, token_for, change):
    ann, bob = api.someone("ann"), api.someone("bob")
    token, of_bob = token_for(ann), token_for(bob, "of bob")

    ann.changes(bio="Rows at dawn")
    assert sqlite(db, "SELECT count(*) FROM password_resets") == [(2,)]
    change(ann)

    assert refusal(api, token) == INVALID
    remove_the_rest(db)
    assert sqlite(db, "SELECT user_id FROM password_resets") == [(2,)]
    resets(api, of_bob)


def test_a_suspended_user_may_set_a_password_and_stays_suspended(api, promote, token_for):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    root.suspends("ann")

    resets(api, token_for(ann))

    new = {"user": {"email": "ann@example.org", "password": NEW}}
    assert api.refusal(403, "POST", "/users/login", new) == {"account": "suspended"}


@pytest.mark.parametrize(
    ("settings", "password", "error"),
    [
        ({}, "short", "is too short (minimum is 8 characters)"),
        ({}, "", "can't be blank"),
        ({}, "x" * 1025, "is too long (maximum is 1024 characters)"),
        ({"realworld_compat": False}, "password1", "is one of the most common ones"),
    ],
)
def test_an_invalid_password_does_not_use_up_the_token(asks, token_for, settings, password, error):
    api = asks(**settings)
    token = token_for(api.someone("ann"))

    assert refusal(api, token, password) == {"password": error}
    resets(api, token)


# Rate limits


def test_the_fourth_request_for_an_email_has_to_wait(asks, db, clock):
    api = asks(**WITH_MAIL)
    api.someone("ann")

    for email in ("ann@example.org", "unknown@example.org"):
        assert [asks_for(api, email) for _ in range(4)] == [(202, 0)] * 3 + [(429, 1)]
    body = {"user": {"email": "ANN@example.org"}}
    assert api.refusal(429, "POST", "/users/password-reset", body) == {
        "reset": "too many attempts; try again in 1 second"
    }
    assert sqlite(db, "SELECT count(*) FROM audit WHERE action = 'user.request_reset'") == [(6,)]
    clock.advance(minutes=10)
    assert [asks_for(api, "ann@example.org") for _ in range(2)] == [(202, 0), (429, 1)]


def test_requests_for_many_emails_from_one_address_have_to_wait(asks, clock):
    stranger = asks(HOUSE)

    assert [asks_for(stranger, f"user{number}@example.org")[0] for number in range(31)] == [202] * 30 + [429]
    assert asks_for(asks(ANOTHER), "user31@example.org") == (202, 0)
    clock.advance(minutes=1)
    assert asks_for(stranger, "user32@example.org") == (202, 0)


def test_guesses_at_tokens_from_one_address_have_to_wait(asks, clock, token_for):
    stranger, at_home = asks(HOUSE), asks(ANOTHER)
    token = token_for(at_home.someone("ann"))

    assert [guesses(stranger, f"token {number}") for number in range(31)] == [(422, 0)] * 30 + [(429, 1)]
    assert guesses(stranger, token) == (429, 1)
    assert asks_for(stranger, "ann@example.org") == (429, 1)
    assert guesses(at_home, token) == (204, 0)
    clock.advance(minutes=1)
    assert guesses(stranger, "another token") == (422, 0)


def test_a_reset_clears_the_users_failed_logins_and_nothing_else(asks, db, token_for):
    api, at_home = asks(), asks(HOUSE)
    ann = at_home.someone("ann")
    api.someone("bob")
    wrong, wrong_bob = ({"user": {"email": f"{name}@example.org", "password": "x"}} for name in ("ann", "bob"))
    for client, credentials in ((api, wrong), (at_home, wrong), (api, wrong_bob)):
        for _ in range(10):
            client.call("POST", "/users/login", credentials, status=401)
        client.call("POST", "/users/login", credentials, status=429)
    for _ in range(3):
        requests(api)
    ann.writes("Dawn")

    resets(api, token_for(ann))

    for client in (api, at_home):
        assert client.logs_in("ann@example.org", NEW).me()["username"] == "ann"
    assert sorted(subject for (subject,) in sqlite(db, "SELECT subject FROM attempts") if "from" not in subject) == [
        "articles of user 1",
        f"login to {digest('bob@example.org')}",
        *sorted(f"registration of {digest(f'{name}@example.org')}" for name in ("ann", "bob")),
        f"reset of {digest('ann@example.org')}",
    ]
    assert asks_for(api, "ann@example.org")[0] == 429
    api.call("POST", "/users/login", wrong_bob, status=429)

"""Rate limits: too many attempts have to wait, longer each time. Nobody is locked out for good."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database
from tests.conftest import HOME, JSON, PASSWORD, Api, sqlite
from tests.described import require_described

WRONG = "wrong horse"

# Addresses reserved for documentation (RFC 5737).
HOUSE, STRANGER, ANOTHER = "192.0.2.1", "198.51.100.7", "203.0.113.9"

NEW_ARTICLE = {"article": {"title": "Dawn", "description": "About it", "body": "The text"}}


def attempt(client, method, path, body):
    """The status of a response and the seconds in its Retry-After header, or 0."""
    url, headers = client.prefix + path, client.headers | JSON
    response = client.client.request(url, method=method, body=json.dumps(body).encode(), headers=headers, status="*")
    require_described(method, path, response)
    return response.status_int, int(response.headers.get("Retry-After", 0))


def logs_in(client, password=WRONG, name="ann"):
    return attempt(client, "POST", "/users/login", {"user": {"email": f"{name}@example.org", "password": password}})


def set_level(db, subject, level):
    """Make as many attempts count as `level`."""
    sqlite(db, "UPDATE attempts SET level = ? WHERE subject LIKE ?", level, subject)


def registers(client, number):
    user = {"username": f"user{number}", "email": f"user{number}@example.org", "password": PASSWORD}
    return attempt(client, "POST", "/users", {"user": user})


# Logging in


def test_after_ten_wrong_passwords_each_wait_is_twice_as_long_as_the_one_before(api, clock):
    api.someone("ann")

    assert [logs_in(api) for _ in range(10)] == [(401, 0)] * 10
    for seconds in (1, 2, 4, 8, 16, 32, 64, 128):
        assert logs_in(api) == (429, seconds)
        clock.advance(seconds=seconds)
        assert logs_in(api) == (401, 0)


def test_no_wait_is_longer_than_1024_seconds(api, db):
    logs_in(api)
    set_level(db, "login to %", 1_000_000)
    logs_in(api)

    assert logs_in(api) == (429, 1024)


@pytest.mark.parametrize(("skew", "status"), [(20, 429), (60, 429), (61, 401), (7 * 24 * 3600, 401)])
def test_a_clock_that_is_a_minute_behind_cannot_skip_the_longest_wait(api, db, clock, skew, status):
    logs_in(api)
    set_level(db, "login to %", 1_000_000)
    clock.advance(seconds=skew)
    logs_in(api)

    clock.advance(seconds=-skew)

    assert logs_in(api)[0] == status


def test_the_right_password_has_to_wait_too_and_then_resets_the_count(api, clock):
    api.someone("ann")
    for _ in range(10):
        logs_in(api)

    assert [logs_in(api, PASSWORD) for _ in range(20)] == [(429, 1)] * 20
    credentials = {"user": {"email": "ann@example.org", "password": PASSWORD}}
    assert api.refusal(429, "POST", "/users/login", credentials) == {
        "login": "too many attempts; try again in 1 second"
    }
    clock.advance(seconds=0.999)
    assert logs_in(api, PASSWORD) == (429, 1)
    clock.advance(seconds=0.001)
    assert logs_in(api, PASSWORD) == (200, 0)
    assert [logs_in(api) for _ in range(10)] == [(401, 0)] * 10


def test_an_unknown_email_waits_like_a_known_one(api):
    api.someone("ann")

    assert [logs_in(api, name="ann") for _ in range(12)] == [logs_in(api, name="unknown") for _ in range(12)]


def test_all_forms_of_an_email_count_as_one_account(api):
    for name in ("ann", "ANN", "ａｎｎ", "Ann", " ann") * 2:
        logs_in(api, name=name)

    assert logs_in(api, name="aNN") == (429, 1)


def test_wrong_passwords_are_forgotten_over_time(api, clock):
    for _ in range(10):
        logs_in(api)
    clock.advance(minutes=10)  # one more attempt

    assert [logs_in(api), logs_in(api)] == [(401, 0), (429, 1)]
    clock.advance(hours=2)
    assert [logs_in(api) for _ in range(10)] == [(401, 0)] * 10


def test_concurrent_guesses_are_all_counted(api):
    api.someone("ann")

    with ThreadPoolExecutor(16) as crowd:
        statuses = list(crowd.map(lambda _: logs_in(api)[0], range(40)))

    assert sorted(statuses) == [401] * 10 + [429] * 30


def test_guesses_from_an_address_of_the_owner_are_limited_too(asks):
    at_home = asks(HOUSE)
    at_home.someone("ann")

    assert [logs_in(at_home)[0] for _ in range(11)] == [401] * 10 + [429]
    assert logs_in(asks(STRANGER)) == (401, 0)


def test_logging_in_from_an_address_makes_it_known_for_that_account_only(asks):
    asks(HOUSE).someone("ann")
    asks(HOUSE).someone("bob")
    on_the_road = asks(ANOTHER)
    assert logs_in(on_the_road, PASSWORD) == (200, 0)
    for _ in range(10):
        logs_in(asks(STRANGER), name="ann")
        logs_in(asks(STRANGER), name="bob")

    assert logs_in(on_the_road, PASSWORD, "ann") == (200, 0)
    assert logs_in(on_the_road, PASSWORD, "bob") == (429, 1)


def test_an_address_that_is_used_again_within_180_days_stays_known(asks, clock):
    at_home, stranger = asks(HOUSE), asks(STRANGER)
    at_home.someone("ann")
    clock.advance(days=179)
    logs_in(at_home, PASSWORD)
    clock.advance(days=179)

    for _ in range(10):
        logs_in(stranger)

    assert logs_in(stranger, PASSWORD) == (429, 1)
    assert logs_in(at_home, PASSWORD) == (200, 0)


def test_after_100_guesses_at_many_accounts_an_address_has_to_wait(asks, db):
    stranger = asks(STRANGER)
    logs_in(stranger, name="user1")
    set_level(db, "login from %", 98)

    assert [logs_in(stranger, name=f"user{number}") for number in (2, 3, 4)] == [(401, 0), (401, 0), (429, 1)]
    assert logs_in(asks(ANOTHER), name="user4") == (401, 0)


def test_of_two_waits_the_longer_one_counts(asks, db):
    another, stranger = asks(ANOTHER), asks(STRANGER)
    logs_in(another)
    set_level(db, "login to %", 15)
    logs_in(another)
    logs_in(stranger, name="user1")
    set_level(db, f"login from {STRANGER}", 99)
    logs_in(stranger, name="user2")

    assert logs_in(stranger) == (429, 64)
    assert logs_in(stranger, name="user1") == (429, 1)


def test_a_login_is_not_counted_for_its_address_and_cancels_no_failed_one(asks, db):
    office = asks(HOUSE)
    asks(STRANGER).someone("ann")
    logs_in(office, name="user1")
    set_level(db, "login from %", 98)

    assert logs_in(office, PASSWORD) == (200, 0)

    assert [logs_in(office, name=f"user{number}") for number in (2, 3, 4)] == [(401, 0), (401, 0), (429, 1)]


def test_a_login_resets_no_count_of_another_account(asks, clock):
    stranger = asks(STRANGER)
    asks(ANOTHER).someone("ann")
    for _ in range(10):
        logs_in(stranger, name="bob")

    logs_in(asks(HOUSE), PASSWORD, "ann")

    clock.advance(seconds=1)
    assert [logs_in(stranger, name="bob") for _ in range(2)] == [(401, 0), (429, 2)]


def test_an_ipv6_network_of_64_bits_counts_as_one_address(asks, db):
    asks("2001:db8:1:2::1").someone("ann")
    for _ in range(10):
        logs_in(asks(STRANGER))

    assert logs_in(asks("2001:db8:1:2:ffff::2"), PASSWORD) == (200, 0)
    assert logs_in(asks("2001:db8:1:3::1"), PASSWORD) == (429, 1)
    assert ("2001:db8:1:2::/64",) in sqlite(db, "SELECT address FROM login_addresses")


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""])
def test_without_a_trusted_proxy_requests_from_this_machine_count_for_the_account_only(asks, db, peer):
    logs_in(asks(peer))

    [(subject,)] = sqlite(db, "SELECT subject FROM attempts")
    assert subject.startswith("login to ")
    assert " from " not in subject


@pytest.mark.parametrize(
    ("sent", "networks"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        ("203.0.113.9, 192.0.2.1", ["192.0.2.1"]),  # the first one is what the client claims
        ("::ffff:192.0.2.1", ["192.0.2.1"]),
        ("192.0.2.1:50000", ["192.0.2.1"]),
        ("[2001:db8:1:2::1]:50000", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("2001:db8:1:2::1", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("192.0.2.1, unknown", []),
        ("", []),
    ],
)
def test_the_last_address_that_a_trusted_proxy_sends_is_the_client(asks, db, sent, networks):
    behind = asks("127.0.0.1", trusted_proxy="127.0.0.1")
    behind.headers |= {"X-Forwarded-For": sent}

    behind.someone("ann")

    assert [address for (address,) in sqlite(db, "SELECT address FROM login_addresses")] == networks[:1]
    counted = sqlite(db, "SELECT substr(subject, 19) FROM attempts WHERE subject LIKE 'registration from %' ORDER BY 1")
    assert [network for (network,) in counted] == networks


@pytest.mark.parametrize("trusted", ["", "198.51.100.7"])
def test_nobody_else_can_send_another_address(asks, db, trusted):
    client = asks(f"::ffff:{ANOTHER}", trusted_proxy=trusted)
    client.headers |= {"X-Forwarded-For": HOUSE}

    client.someone("ann")

    assert sqlite(db, "SELECT address FROM login_addresses") == [(ANOTHER,)]


def test_processes_share_their_counts(api, db, clock):
    for _ in range(10):
        logs_in(api)

    with closing(Database(db.path, HOME / "sql", clock=clock)) as other:
        assert logs_in(Api(TestApp(app.make_app(Config(), other)))) == (429, 1)


@pytest.mark.parametrize("path", ["/users/login", "/users/password-reset"])
def test_the_email_field_is_stored_as_a_hash(asks, db, path):
    user = {"email": "my secret password, in the wrong field", "password": WRONG}
    attempt(asks(HOUSE), "POST", path, {"user": user})

    subjects = [subject for (subject,) in sqlite(db, "SELECT subject FROM attempts")]
    assert len(subjects) == 2
    assert not any("secret" in subject for subject in subjects)


# Registering


def test_after_300_registrations_an_address_has_to_wait_longer_each_time(asks, db, clock):
    school = asks(HOUSE)
    registers(school, 1)
    set_level(db, "registration from %", 299)

    assert [registers(school, number) for number in (2, 3)] == [(201, 0), (429, 1)]
    assert registers(asks(ANOTHER), 4) == (201, 0)
    clock.advance(seconds=1)
    assert [registers(school, number) for number in (5, 6)] == [(201, 0), (429, 2)]
    clock.advance(minutes=10)
    assert registers(school, 7) == (201, 0)


def test_after_100_registrations_an_email_has_to_wait_and_no_account_is_created(api, db):
    registers(api, 1)
    set_level(db, "registration of %", 98)
    assert [registers(api, 1) for _ in range(2)] == [(409, 0)] * 2
    user = {"username": "user2", "email": "user1@example.org", "password": PASSWORD}

    refusal = api.refusal(429, "POST", "/users", {"user": user})

    assert refusal == {"registration": "too many attempts; try again in 1 second"}
    assert sqlite(db, "SELECT count(*) FROM users") == [(1,)]


# Changing an account


def test_trying_many_emails_has_to_wait(api, db, clock):
    ann, bob = api.someone("ann"), api.someone("bob")
    sqlite(db, "INSERT INTO attempts VALUES ('changes of user 1', 59, ?, 0)", clock.milliseconds())
    probe = {"user": {"email": "bob@example.org"}}

    assert ann.refusal(409, "PUT", "/user", probe) == {"email": "has already been taken"}
    assert ann.refusal(429, "PUT", "/user", probe) == {"user": "too many attempts; try again in 1 second"}
    assert ann.changes(bio="Rows at dawn")["bio"] == "Rows at dawn"
    assert bob.changes(email="bob@example.com")["email"] == "bob@example.com"


# Writing


def test_twenty_articles_at_once_pass(api):
    ann = api.someone("ann")

    assert {attempt(ann, "POST", "/articles", NEW_ARTICLE) for _ in range(20)} == {(201, 0)}


@pytest.mark.parametrize("what", ["articles", "comments"])
def test_after_so_many_posts_in_an_hour_a_writer_has_to_wait(asks, clock, what):
    api = asks(posts_per_hour=3)
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = bob.writes("Dusk")
    path, body = {
        "articles": ("/articles", NEW_ARTICLE),
        "comments": (f"/articles/{slug}/comments", {"comment": {"body": "Well said"}}),
    }[what]

    assert {attempt(ann, "POST", path, body) for _ in range(3)} == {(201, 0)}
    assert ann.refusal(429, "POST", path, body) == {what: "too many attempts; try again in 1 second"}
    assert attempt(bob, "POST", path, body) == (201, 0)
    clock.advance(hours=1)
    assert {attempt(ann, "POST", path, body) for _ in range(3)} == {(201, 0)}


def test_refused_posts_are_not_counted(asks):
    ann = asks(posts_per_hour=2).someone("ann")
    for _ in range(5):
        ann.refusal(404, "POST", "/articles/nothing/comments", {"comment": {"body": "Well said"}})
        ann.refusal(422, "POST", "/articles", {"article": {}})

    slug = ann.writes("Dawn")
    assert attempt(ann, "POST", f"/articles/{slug}/comments", {"comment": {"body": "Well said"}}) == (201, 0)

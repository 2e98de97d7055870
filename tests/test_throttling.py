"""Who tries too often has to wait, longer each time; nobody is locked out, and honest bursts pass."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database
from db.clock import ago
from tests.conftest import HOME, PASSWORD, Api, sqlite
from tests.described import require_described

WRONG = "wrong horse"

# Addresses that stand for no machine (RFC 5737).
HOUSE, STRANGER, ANOTHER = "192.0.2.1", "198.51.100.7", "203.0.113.9"

NEW_ARTICLE = {"article": {"title": "Dawn", "description": "About it", "body": "The text"}}


def later(db, seconds):
    """Let time pass for everything that is counted."""
    elapsed = 1000 * seconds
    sqlite(
        db,
        "UPDATE attempts SET counted_at_ms = counted_at_ms - ?, waits_until_ms = waits_until_ms - ?",
        elapsed,
        elapsed,
    )


def tries(client, method, path, body):
    """The status of an answer, which may be a refusal, and the seconds that it asks to wait, or 0."""
    answer = client.client.request(
        client.prefix + path,
        method=method,
        body=json.dumps(body).encode(),
        headers=client.headers | {"Content-Type": "application/json"},
        status="*",
    )
    require_described(method, path, answer)
    return answer.status_int, int(answer.headers.get("Retry-After", 0))


def logs_in(client, password=WRONG, name="ann"):
    return tries(client, "POST", "/users/login", {"user": {"email": f"{name}@example.org", "password": password}})


def registers(client, number):
    user = {"username": f"user{number}", "email": f"user{number}@example.org", "password": PASSWORD}
    return tries(client, "POST", "/users", {"user": user})


# Logging in


def test_after_ten_wrong_passwords_each_waits_twice_as_long_as_the_one_before(api, db):
    api.someone("ann")

    assert [logs_in(api) for _ in range(10)] == [(401, 0)] * 10
    for seconds in (1, 2, 4, 8, 16, 32, 64, 128):
        assert logs_in(api) == (429, seconds)
        later(db, seconds)
        assert logs_in(api) == (401, 0)


def test_no_wait_is_longer_than_17_minutes(api, db):
    logs_in(api)
    sqlite(db, "UPDATE attempts SET level = 1000000")
    logs_in(api)

    assert logs_in(api) == (429, 1024)


def test_who_looked_at_the_clock_before_the_longest_wait_began_has_to_wait_as_well(api, db):
    logs_in(api)
    sqlite(db, "UPDATE attempts SET waits_until_ms = counted_at_ms + 1024000 + 20000")  # counted 20 seconds later

    assert logs_in(api)[0] == 429


def test_the_refusal_names_what_was_tried(api):
    for _ in range(10):
        logs_in(api)

    credentials = {"user": {"email": "ann@example.org", "password": WRONG}}
    assert api.refusal(429, "POST", "/users/login", credentials) == {"login": "too many; try again in 1 s"}


def test_who_is_refused_waits_no_longer_for_having_asked(api, db):
    for _ in range(10):
        logs_in(api)

    assert [logs_in(api) for _ in range(20)] == [(429, 1)] * 20
    later(db, 1)
    assert logs_in(api) == (401, 0)


def test_the_right_password_has_to_wait_as_well_then_clears_the_account(api, db):
    api.someone("ann")
    for _ in range(10):
        logs_in(api)

    assert logs_in(api, PASSWORD) == (429, 1)
    later(db, 1)
    assert logs_in(api, PASSWORD) == (200, 0)
    assert [logs_in(api) for _ in range(10)] == [(401, 0)] * 10


def test_an_unknown_email_waits_like_a_known_one(api):
    api.someone("ann")

    assert [logs_in(api, name="ann") for _ in range(12)] == [logs_in(api, name="nobody") for _ in range(12)]


def test_all_forms_of_an_email_are_one_account(api):
    for name in ("ann", "ANN", "ａｎｎ", "Ann", " ann") * 2:
        logs_in(api, name=name)

    assert logs_in(api, name="aNN") == (429, 1)


def test_time_makes_up_for_wrong_passwords(api, db):
    for _ in range(10):
        logs_in(api)
    later(db, 600)  # one more

    assert [logs_in(api), logs_in(api)] == [(401, 0), (429, 1)]
    later(db, 7200)
    assert [logs_in(api) for _ in range(10)] == [(401, 0)] * 10


def test_guesses_that_come_all_at_once_are_counted_all_the_same(api):
    api.someone("ann")

    with ThreadPoolExecutor(16) as crowd:
        answers = list(crowd.map(lambda _: logs_in(api)[0], range(40)))

    assert sorted(answers) == [401] * 10 + [429] * 30


def test_the_guesses_of_a_stranger_do_not_keep_out_whoever_has_logged_in_from_there_before(asks):
    at_home, stranger = asks(HOUSE), asks(STRANGER)
    at_home.someone("ann")
    for _ in range(10):
        logs_in(stranger)

    assert logs_in(stranger, PASSWORD) == (429, 1)
    assert logs_in(asks(ANOTHER), PASSWORD) == (429, 1)
    assert logs_in(at_home, PASSWORD) == (200, 0)


def test_an_address_that_the_owner_knows_is_not_free_to_guess_either(asks):
    at_home = asks(HOUSE)
    at_home.someone("ann")

    assert [logs_in(at_home)[0] for _ in range(11)] == [401] * 10 + [429]
    assert logs_in(asks(STRANGER)) == (401, 0)


def test_an_address_becomes_known_by_logging_in_from_it_and_for_that_account_alone(asks):
    asks(HOUSE).someone("ann")
    asks(HOUSE).someone("bob")
    on_the_road = asks(ANOTHER)
    assert logs_in(on_the_road, PASSWORD) == (200, 0)
    for _ in range(10):
        logs_in(asks(STRANGER), name="ann")
        logs_in(asks(STRANGER), name="bob")

    assert logs_in(on_the_road, PASSWORD, "ann") == (200, 0)
    assert logs_in(on_the_road, PASSWORD, "bob") == (429, 1)


def test_an_address_from_which_somebody_logs_in_again_stays_known(asks, db):
    asks(HOUSE).someone("ann")
    sqlite(db, "UPDATE login_addresses SET used_at = ?", ago(timedelta(days=20)))

    logs_in(asks(HOUSE), PASSWORD)

    [(used_at,)] = sqlite(db, "SELECT used_at FROM login_addresses")
    assert used_at > ago(timedelta(days=1))


def test_one_address_that_guesses_at_many_accounts_has_to_wait(asks):
    stranger = asks(STRANGER)

    answers = [logs_in(stranger, name=f"user{number}")[0] for number in range(101)]

    assert answers == [401] * 100 + [429]
    assert logs_in(asks(ANOTHER), name="user1") == (401, 0)


def test_who_has_to_wait_for_two_reasons_waits_for_the_longer_one(asks, db):
    at_home, stranger = asks(HOUSE), asks(STRANGER)
    for name in ("ann", *(f"user{number}" for number in range(20))):
        at_home.someone(name)
    for seconds in [0] * 10 + [1, 2, 4, 8, 16, 32]:
        later(db, seconds)
        logs_in(asks(ANOTHER))
    for number in range(100):
        logs_in(stranger, name=f"user{number % 20}")

    assert logs_in(stranger)[1] > 1


def test_good_logins_do_not_count_for_an_address(asks):
    office, elsewhere = asks(HOUSE), asks(STRANGER)
    names = [f"user{number}" for number in range(101)]
    for name in names:
        elsewhere.someone(name)

    assert {logs_in(office, PASSWORD, name) for name in names * 2} == {(200, 0)}


def test_a_good_login_makes_up_for_none_of_the_wrong_ones_from_its_address(asks):
    office = asks(HOUSE)
    asks(STRANGER).someone("ann")
    for number in range(98):
        logs_in(office, name=f"user{number}")

    assert logs_in(office, PASSWORD) == (200, 0)

    assert [logs_in(office, name=f"user{number}") for number in range(3)] == [(401, 0), (401, 0), (429, 1)]


def test_a_good_login_makes_up_for_no_guesses_at_somebody_else(asks, db):
    stranger = asks(STRANGER)
    asks(ANOTHER).someone("ann")
    for _ in range(10):
        logs_in(stranger, name="bob")

    logs_in(asks(HOUSE), PASSWORD, "ann")

    later(db, 1)
    assert [logs_in(stranger, name="bob") for _ in range(2)] == [(401, 0), (429, 2)]


def test_a_household_with_ipv6_is_one_address(asks, db):
    asks("2001:db8:1:2::1").someone("ann")
    for _ in range(10):
        logs_in(asks(STRANGER))

    assert logs_in(asks("2001:db8:1:2:ffff::2"), PASSWORD) == (200, 0)
    assert logs_in(asks("2001:db8:1:3::1"), PASSWORD) == (429, 1)
    assert ("2001:db8:1:2::/64",) in sqlite(db, "SELECT address FROM login_addresses")


def test_an_ipv4_address_is_the_same_in_the_form_of_ipv6(asks):
    asks(f"::ffff:{HOUSE}").someone("ann")
    for _ in range(10):
        logs_in(asks(STRANGER))

    assert logs_in(asks(HOUSE), PASSWORD) == (200, 0)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""])
def test_where_all_requests_come_from_this_machine_the_account_alone_counts(asks, db, peer):
    local = asks(peer)

    assert {logs_in(local, name=f"user{number}") for number in range(150)} == {(401, 0)}
    assert sqlite(db, "SELECT count(*) FROM attempts WHERE subject LIKE '%from%'") == [(0,)]


def test_behind_a_trusted_proxy_each_client_address_counts(asks):
    stranger, other = asks("127.0.0.1", trusted_proxy="127.0.0.1"), asks("127.0.0.1", trusted_proxy="127.0.0.1")
    stranger.headers |= {"X-Forwarded-For": STRANGER}
    other.headers |= {"X-Forwarded-For": ANOTHER}

    assert [logs_in(stranger, name=f"user{number}")[0] for number in range(101)] == [401] * 100 + [429]
    assert logs_in(other, name="user1") == (401, 0)


@pytest.mark.parametrize(
    ("sent", "noted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("203.0.113.9, 192.0.2.1", "192.0.2.1"),  # the first one is what the client claims
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:50000", "192.0.2.1"),
        ("[2001:db8:1:2::1]:50000", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("192.0.2.1, unknown", None),
        ("", None),
    ],
)
def test_a_trusted_proxy_names_the_client_last(asks, db, sent, noted):
    behind = asks("127.0.0.1", trusted_proxy="127.0.0.1")
    behind.headers |= {"X-Forwarded-For": sent}

    behind.someone("ann")

    assert [address for (address,) in sqlite(db, "SELECT address FROM login_addresses")] == [noted] * bool(noted)


@pytest.mark.parametrize("trusted", ["", "198.51.100.7"])
def test_nobody_else_may_name_another_address(asks, db, trusted):
    liar = asks(ANOTHER, trusted_proxy=trusted)
    liar.headers |= {"X-Forwarded-For": HOUSE}

    liar.someone("ann")

    assert sqlite(db, "SELECT address FROM login_addresses") == [(ANOTHER,)]


def test_other_processes_count_too(api, db):
    for _ in range(10):
        logs_in(api)

    with closing(Database(db.path, HOME / "sql")) as other:
        assert logs_in(Api(TestApp(app.make_app(Config(), other)))) == (429, 1)


def test_a_clock_that_jumps_back_shuts_nobody_out(api, db):
    for _ in range(11):
        logs_in(api)
    later(db, -7 * 24 * 3600)

    assert logs_in(api) == (401, 0)


def test_what_was_typed_into_the_field_of_the_email_is_not_kept(api, db):
    logs_in(api, name="my secret password, in the wrong field")

    [(subject,)] = sqlite(db, "SELECT subject FROM attempts")
    assert "secret" not in subject


# Registering


def test_two_hundred_may_register_from_one_address_in_ten_minutes(asks):
    school = asks(HOUSE)

    assert {registers(school, number) for number in range(200)} == {(201, 0)}


def test_beyond_that_an_address_has_to_wait_longer_each_time(asks, db):
    school = asks(HOUSE)
    registers(school, 1)
    sqlite(db, "UPDATE attempts SET level = 299 WHERE subject LIKE 'registration from %'")

    assert [registers(school, number) for number in (2, 3)] == [(201, 0), (429, 1)]
    assert registers(asks(ANOTHER), 4) == (201, 0)
    later(db, 1)
    assert [registers(school, number) for number in (5, 6)] == [(201, 0), (429, 2)]
    later(db, 600)
    assert registers(school, 7) == (201, 0)


def test_a_registration_that_has_to_wait_names_it_and_leaves_nothing_behind(asks, db):
    for _ in range(100):
        registers(asks(), 1)
    user = {"username": "user2", "email": "user1@example.org", "password": PASSWORD}

    refusal = asks().refusal(429, "POST", "/users", {"user": user})

    assert refusal == {"registration": "too many; try again in 1 s"}
    assert sqlite(db, "SELECT count(*) FROM users") == [(1,)]


# Changing an account


def test_who_tries_names_without_end_has_to_wait(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    sqlite(db, "INSERT INTO attempts SELECT 'changes of user ' || id, 59, 0, 0 FROM users WHERE username = 'ann'")
    sqlite(db, "UPDATE attempts SET counted_at_ms = unixepoch() * 1000 WHERE counted_at_ms = 0")
    probe = {"user": {"email": "bob@example.org"}}

    assert ann.refusal(409, "PUT", "/user", probe) == {"email": "has already been taken"}
    assert ann.refusal(429, "PUT", "/user", probe) == {"user": "too many; try again in 1 s"}
    assert ann.changes(bio="Rows at dawn")["bio"] == "Rows at dawn"
    assert bob.changes(email="bob@example.com")["email"] == "bob@example.com"


# Writing


def test_twenty_articles_in_a_moment_pass(api):
    ann = api.someone("ann")

    assert {tries(ann, "POST", "/articles", NEW_ARTICLE) for _ in range(20)} == {(201, 0)}


@pytest.mark.parametrize("what", ["articles", "comments"])
def test_beyond_a_generous_number_in_an_hour_a_writer_has_to_wait(asks, db, what):
    api = asks(posts_per_hour=30)
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = bob.writes("Dusk")
    path, body = {
        "articles": ("/articles", NEW_ARTICLE),
        "comments": (f"/articles/{slug}/comments", {"comment": {"body": "Well said"}}),
    }[what]

    assert {tries(ann, "POST", path, body) for _ in range(30)} == {(201, 0)}
    assert ann.refusal(429, "POST", path, body) == {what: "too many; try again in 1 s"}
    assert tries(bob, "POST", path, body) == (201, 0)
    later(db, 3600)
    assert {tries(ann, "POST", path, body) for _ in range(30)} == {(201, 0)}


def test_what_is_refused_is_not_counted(asks):
    ann = asks(posts_per_hour=2).someone("ann")
    for _ in range(5):
        ann.refusal(404, "POST", "/articles/nothing/comments", {"comment": {"body": "Well said"}})
        ann.refusal(422, "POST", "/articles", {"article": {}})

    slug = ann.writes("Dawn")
    assert tries(ann, "POST", f"/articles/{slug}/comments", {"comment": {"body": "Well said"}}) == (201, 0)

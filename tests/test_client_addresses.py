"""Which client a request is counted for: behind several proxies, and by networks of IPv6."""

import json
from types import SimpleNamespace

import pytest

import throttle
from config import Config, ConfigError
from tests.conftest import sqlite


def client(monkeypatch, peer, sent, trusted):
    environ = {"REMOTE_ADDR": peer} | ({} if sent is None else {"HTTP_X_FORWARDED_FOR": sent})
    monkeypatch.setattr(throttle, "request", SimpleNamespace(environ=environ))
    return throttle.client_address(Config.from_environment({"ROWBOAT_TRUSTED_PROXY": trusted}))


@pytest.mark.parametrize(
    ("peer", "sent", "trusted", "found"),
    [
        ("127.0.0.1", "192.0.2.1", "127.0.0.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1, 10.1.2.3", "127.0.0.1 10.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", "6.6.6.6, 192.0.2.1, 10.1.2.3, 10.9.9.9", "127.0.0.1, 10.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1, 10.1.2.3", "127.0.0.1", "10.1.2.3"),  # the CDN is not trusted: it is the client
        ("10.1.2.3", "10.9.9.9", "127.0.0.1 10.0.0.0/8", "10.9.9.9"),  # a client among the proxies
        ("::1", "192.0.2.1, fd00::5", "::1 fd00::/8", "192.0.2.1"),
        ("127.0.0.1", "2001:db8:1:2::9, [fd00::5]:443", "127.0.0.1 fd00::/8", "2001:db8:1:2::/64"),
        ("::ffff:127.0.0.1", "192.0.2.1", "127.0.0.1", "192.0.2.1"),
        ("10.1.2.3", "192.0.2.1", "::ffff:10.0.0.0/104", "192.0.2.1"),
        ("192.0.2.7", "203.0.113.1", "127.0.0.1 10.0.0.0/8", "192.0.2.7"),  # nobody's proxy
        ("192.0.2.7", "127.0.0.1", "127.0.0.1", "192.0.2.7"),
        ("127.0.0.1", "192.0.2.1, unknown, 10.1.2.3", "127.0.0.1 10.0.0.0/8", None),
        ("127.0.0.1", "192.0.2.1,", "127.0.0.1", None),
        ("127.0.0.1", "", "127.0.0.1", None),
        ("127.0.0.1", None, "127.0.0.1", None),
        ("127.0.0.1", "192.0.2.1", "", None),
        ("", "192.0.2.1", "127.0.0.1", None),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(monkeypatch, peer, sent, trusted, found):
    assert client(monkeypatch, peer, sent, trusted) == found


@pytest.mark.parametrize(
    "value", ["proxy", "10.0.0.1/8", "10.0.0.0/33", "127.1", "10.0.0.0/8;127.0.0.1", "::ffff:0:0/90", "1"]
)
def test_what_is_no_address_or_network_is_refused(value):
    with pytest.raises(ConfigError, match="must be IP addresses and networks, such as"):
        Config.from_environment({"ROWBOAT_TRUSTED_PROXY": value})


def limits_of(counted):
    return {each["subject"]: (each["burst"], each["recovery_ms"]) for each in json.loads(counted["limits"])}


@pytest.mark.parametrize(
    ("what", "counted"),
    [
        ("login", lambda address: throttle.login("e", address, False)),
        ("registration", lambda address: throttle.registration("e", address)),
        ("reset", lambda address: throttle.reset_request("e", address)),
        ("reset", throttle.reset),
    ],
)
def test_a_network_of_ipv6_is_counted_alone_and_ten_times_as_generously_with_its_neighbours(what, counted):
    limits = limits_of(counted("2001:db8:1:2::/64"))

    burst, recovery_ms = limits[f"{what} from 2001:db8:1:2::/64"]
    assert limits[f"{what} from 2001:db8:1::/48"] == (10 * burst, recovery_ms / 10)
    assert not any("/48" in subject for subject in limits_of(counted("192.0.2.1")))
    assert not any("from" in subject for subject in limits_of(counted(None)))


def test_guesses_from_many_networks_of_one_household_are_limited(asks, db):
    sqlite(
        db,
        "INSERT INTO attempts (subject, level, counted_at_ms, waits_until_ms) VALUES (?, 999, ?, 0)",
        "login from 2001:db8:1::/48",
        db.clock.milliseconds(),
    )
    body = {"user": {"email": "one@example.org", "password": "a wrong one"}}

    assert asks("2001:db8:1:1::1").refusal(401, "POST", "/users/login", body) == {"credentials": "invalid"}
    assert asks("2001:db8:1:2::1").refusal(429, "POST", "/users/login", body)
    assert asks("2001:db8:2:2::1").refusal(401, "POST", "/users/login", body) == {"credentials": "invalid"}


def test_good_logins_count_for_neither(asks, db):
    api = asks("2001:db8:1:2::1")
    api.someone("ann")
    sqlite(db, "DELETE FROM login_addresses")  # from there nobody has logged in before

    api.logs_in("ann@example.org")

    assert sqlite(db, "SELECT subject, level FROM attempts WHERE subject LIKE 'login from%' ORDER BY subject") == [
        ("login from 2001:db8:1:2::/64", 0),
        ("login from 2001:db8:1::/48", 0),
    ]

"""Where a user is logged in, and logging out."""

from datetime import timedelta

from db.clock import ago
from tests.conftest import sqlite

DAY = timedelta(days=1)


def sessions(someone):
    return someone.get("/user/sessions").json["sessions"]


def ends(someone, which):
    """End a session, which is answered with nothing."""
    assert someone.call("DELETE", f"/user/sessions{which}", status=204).body == b""


def test_a_user_sees_each_login_newest_first_and_which_one_asks(api):
    ann = api.someone("ann")
    api.someone("bob")
    phone = api.logs_in(ann.email)

    newest, oldest = sessions(ann)
    assert list(newest) == ["id", "createdAt", "lastUsedAt", "userAgent", "current"]
    assert [oldest["current"], newest["current"]] == [True, False]
    assert oldest["id"] < newest["id"]
    assert oldest["createdAt"] <= newest["createdAt"] == newest["lastUsedAt"]
    assert [each["current"] for each in sessions(phone)] == [True, False]


def test_a_session_is_known_by_what_the_client_calls_itself(api):
    user = {"username": "ann", "email": "ann@example.org", "password": "correct horse"}
    agent = "Mozilla/5.0 (X11; Linux x86_64)"
    token = api.post("/users", {"user": user}, headers={"User-Agent": agent}).json["user"]["token"]
    api.post("/users/login", {"user": user}, headers={"User-Agent": "x\x7f" + "y" * 300})

    listed = api.get("/user/sessions", headers={"Authorization": f"Token {token}"}).json["sessions"]

    assert [each["userAgent"] for each in listed] == ["x" + "y" * 254, agent]


def test_a_client_without_a_name_has_none(api):
    assert sessions(api.someone("ann"))[0]["userAgent"] is None


def test_no_list_of_sessions_holds_a_token_or_its_hash(api, db):
    ann = api.someone("ann")
    [(token_hash,)] = sqlite(db, "SELECT token_hash FROM sessions")

    listed = ann.get("/user/sessions").text

    assert ann.token not in listed
    assert token_hash not in listed


def test_a_session_that_is_over_is_not_listed(api, db):
    ann = api.someone("ann")
    api.logs_in(ann.email)
    sqlite(db, "UPDATE sessions SET last_used_at = ? WHERE id = 2", ago(31 * DAY))

    assert [each["id"] for each in sessions(ann)] == [1]


def test_the_newest_thousand_sessions_are_listed(api, db):
    ann = api.someone("ann")
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)"
        " INSERT INTO sessions (user_id, token_hash, created_at, last_used_at)"
        " SELECT user_id, printf('%064d', n), created_at, last_used_at FROM sessions, numbers",
    )

    assert [each["id"] for each in sessions(ann)] == list(range(1001, 1, -1))


def test_a_user_ends_one_session(api):
    ann = api.someone("ann")
    phone = api.logs_in(ann.email)

    ends(ann, f"/{sessions(ann)[0]['id']}")

    assert phone.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert len(sessions(ann)) == 1


def test_the_sessions_of_others_do_not_exist(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    for id in (sessions(bob)[0]["id"], 99, 0, -1, "x", "1.0", "%D9%A3", "9" * 19, "01"):
        assert ann.refusal(404, "DELETE", f"/user/sessions/{id}") == {"session": "not found"}
    assert bob.me()["username"] == "bob"


def test_to_log_out_is_to_end_the_session_that_asks(api):
    ann = api.someone("ann")
    phone = api.logs_in(ann.email)

    ends(ann, "/current")

    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert phone.me()["username"] == "ann"


def test_a_user_ends_all_other_sessions(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    phone, tablet = api.logs_in(ann.email), api.logs_in(ann.email)

    ends(phone, "")

    assert [ann.refusal(401, "GET", "/user"), tablet.refusal(401, "GET", "/user")] == [{"token": "is invalid"}] * 2
    assert phone.me()["username"] == "ann"
    assert bob.me()["username"] == "bob"


def test_each_login_clears_away_a_hundred_of_what_is_over(api, db):
    ann = api.someone("ann")
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 150)"
        " INSERT INTO sessions (user_id, token_hash, created_at, last_used_at)"
        " SELECT user_id, printf('%064d', n), ?, ? FROM sessions, numbers",
        ago(31 * DAY),
        ago(31 * DAY),
    )
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 150)"
        " INSERT INTO attempts SELECT 'articles of user ' || n, 1, 0, 0 FROM numbers",
    )
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 150)"
        " INSERT INTO login_addresses SELECT 1, '192.0.2.' || n, ? FROM numbers",
        ago(181 * DAY),
    )
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 150)"
        " INSERT INTO password_resets SELECT printf('%064d', n), 1, ? FROM numbers",
        ago(2 * DAY),
    )

    def left():
        return [
            sqlite(db, f"SELECT count(*) FROM {table} WHERE {is_old}")[0][0]
            for table, is_old in (
                ("sessions", "token_hash LIKE '0000000000%'"),
                ("attempts", "counted_at_ms = 0"),
                ("login_addresses", "address LIKE '192.0.2.%'"),
                ("password_resets", "true"),
            )
        ]

    assert left() == [150] * 4
    api.logs_in(ann.email)
    assert left() == [50] * 4
    api.logs_in(ann.email)
    assert left() == [0] * 4
    assert len(sessions(ann)) == 3

"""Listing a user's sessions, ending them, and logging out."""

from tests.conftest import sqlite

NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})"


def sessions(someone):
    return someone.get("/user/sessions").json["sessions"]


def ends(someone, which):
    assert someone.call("DELETE", f"/user/sessions{which}", status=204).body == b""


def test_sessions_are_listed_newest_first_and_the_current_one_is_marked(api, db, clock):
    ann = api.someone("ann")
    api.someone("bob")
    clock.advance(minutes=1)
    phone = api.logs_in(ann.email)
    token_hashes = sqlite(db, "SELECT token_hash FROM sessions")

    response = ann.get("/user/sessions")

    assert response.json["sessions"] == [
        {
            "id": 3,
            "createdAt": "2026-01-31T12:01:00.000Z",
            "lastUsedAt": "2026-01-31T12:01:00.000Z",
            "userAgent": None,
            "current": False,
        },
        {
            "id": 1,
            "createdAt": "2026-01-31T12:00:00.000Z",
            "lastUsedAt": "2026-01-31T12:00:00.000Z",
            "userAgent": None,
            "current": True,
        },
    ]
    assert not any(secret in response.text for secret in (ann.token, phone.token, *(row[0] for row in token_hashes)))
    assert [each["current"] for each in sessions(phone)] == [True, False]


def test_a_session_shows_the_printable_part_of_its_user_agent(api):
    user = {"username": "ann", "email": "ann@example.org", "password": "correct horse"}
    agent = "Mozilla/5.0 (X11; Linux x86_64)"
    token = api.post("/users", {"user": user}, headers={"User-Agent": agent}).json["user"]["token"]
    api.post("/users/login", {"user": user}, headers={"User-Agent": "x\x7f" + "y" * 300})

    listed = api.get("/user/sessions", headers={"Authorization": f"Token {token}"}).json["sessions"]

    assert [each["userAgent"] for each in listed] == ["x" + "y" * 254, agent]


def test_an_expired_session_is_not_listed(api, clock):
    ann = api.someone("ann")
    phone = api.logs_in(ann.email)
    clock.advance(days=15)
    phone.me()

    clock.advance(days=15)

    assert [each["id"] for each in sessions(phone)] == [2]


def test_the_newest_thousand_sessions_are_listed(api, db):
    ann = api.someone("ann")
    sqlite(
        db,
        NUMBERS.format(1000) + " INSERT INTO sessions (user_id, token_hash, created_at, last_used_at)"
        " SELECT user_id, printf('%064d', n), created_at, last_used_at FROM sessions, numbers",
    )

    assert [each["id"] for each in sessions(ann)] == list(range(1001, 1, -1))


def test_a_user_ends_one_session(api):
    ann = api.someone("ann")
    phone = api.logs_in(ann.email)

    ends(ann, f"/{sessions(ann)[0]['id']}")

    assert phone.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert len(sessions(ann)) == 1


def test_404_for_sessions_of_other_users_and_malformed_ids(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    for id in (sessions(bob)[0]["id"], 99, 0, -1, "x", "1.0", "%D9%A3", "9" * 19, "01"):
        assert ann.refusal(404, "DELETE", f"/user/sessions/{id}") == {"session": "not found"}
    assert bob.me()["username"] == "bob"


def test_logging_out_ends_the_current_session_only(api):
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


def test_each_login_deletes_a_hundred_expired_rows_of_each_table(api, db, clock):
    ann = api.someone("ann")
    sqlite(db, "DELETE FROM sessions")
    sqlite(db, "DELETE FROM attempts")
    for into, row, days in (
        ("login_addresses", "1, '192.0.2.' || n, :now", 150),
        ("sessions (user_id, token_hash, created_at, last_used_at)", "1, printf('%064d', n), :now, :now", 29),
        ("password_resets", "printf('%064d', n), 1, :now", 0),
        ("attempts", "'articles of user ' || n, 1, :ms, 0", 2),
    ):
        values = row.replace(":now", f"'{clock.now()}'").replace(":ms", str(clock.milliseconds()))
        sqlite(db, NUMBERS.format(150) + f" INSERT INTO {into} SELECT {values} FROM numbers")
        clock.advance(days=days)

    def left():
        tables = ("sessions", "attempts", "login_addresses", "password_resets")
        return [sqlite(db, f"SELECT count(*) FROM {table}")[0][0] for table in tables]

    api.logs_in(ann.email)
    assert left() == [51, 50, 50, 50]
    api.logs_in(ann.email)
    assert left() == [2, 0, 0, 0]

"""The system's clock is wrong for a while and then set right."""

from tests.conftest import PASSWORD


def test_a_clock_that_is_set_back_ends_no_session_and_locks_nobody_out(api, clock):
    clock.advance(days=1)
    ann = api.someone("ann")
    guess = {"user": {"email": ann.email, "password": "wrong as wrong can be"}}
    statuses = [api.client.post_json("/api/users/login", guess, status="*").status_int for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2

    for _ in range(2):
        clock.advance(days=-1)

        assert ann.me()["username"] == "ann"
    assert api.logs_in(ann.email, PASSWORD).me()["username"] == "ann"


def test_a_clock_that_is_set_back_leaves_the_order_of_articles_and_their_updates(api, clock):
    ann = api.someone("ann")
    clock.advance(days=1)
    slug = ann.writes("Tomorrow")
    tomorrow = api.reads(slug)
    clock.advance(days=-1)
    ann.writes("Today")
    clock.advance(days=-1)
    ann.writes("Yesterday")

    times = [ann.edits(slug, body=f"Text {number}")["updatedAt"] for number in range(5)]

    assert api.titles() == ["Yesterday", "Today", "Tomorrow"]
    assert api.titles(limit=1) == ["Yesterday"]
    assert api.lists(limit=1)["articles"][0]["createdAt"] < tomorrow["createdAt"]
    assert times == sorted({tomorrow["updatedAt"], *times})[1:]
    assert api.reads(slug)["body"] == "Text 4"


def test_a_session_that_began_while_the_clock_was_ahead_expires_like_any_other(api, clock):
    clock.advance(days=310)
    ann = api.someone("ann")
    clock.advance(days=-310)
    assert ann.me()["username"] == "ann"

    clock.advance(days=31)

    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}

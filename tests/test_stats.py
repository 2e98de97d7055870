"""What happened on each day, and how it grows from week to week."""

import random
from collections import Counter
from datetime import date, timedelta
from urllib.parse import urlencode

import pytest

from db.clock import now
from tests.conftest import sqlite

# Days are asked for by their name, so that no test minds midnight.
TODAY = date.fromisoformat(now()[:10])


def day(days_ago):
    return str(TODAY - timedelta(days_ago))


def stats(root, **query):
    """Figures by day."""
    return {figures.pop("day"): figures for figures in root.get(f"/admin/stats?{urlencode(query)}").json["stats"]}


def counts(figures):
    return [figures[each] for each in ("registrations", "articles", "comments", "activeAuthors")]


def growth(root, days_ago):
    """How much more was written in the week that ended so many days ago than in the one before."""
    return stats(root)[day(days_ago)]["growth"]["articles"]


class Past:
    """People who did something days ago: they do it now, then its clock is turned back."""

    def __init__(self, api, db):
        self.api, self.db = api, db

    def someone(self, name, days_ago, time="00:00:00.000"):
        someone = self.api.someone(name)
        self._turn_back("users", days_ago, time)
        return someone

    def writes(self, someone, days_ago, time="00:00:00.000"):
        slug = someone.writes("Dawn")
        self._turn_back("articles", days_ago, time)
        return slug

    def says(self, someone, slug, days_ago, time="00:00:00.000"):
        comment = someone.says(slug, "It was")
        self._turn_back("comments", days_ago, time)
        return comment["id"]

    def _turn_back(self, table, days_ago, time):
        newest = f"id = (SELECT max(id) FROM {table})"
        sqlite(self.db, f"UPDATE {table} SET created_at = ? WHERE {newest}", f"{day(days_ago)}T{time}Z")


@pytest.fixture
def past(api, db):
    return Past(api, db)


@pytest.fixture
def root(past, promote):
    """An admin, who has been there for ten years."""
    return promote(past.someone("root", 3653), "admin")


def test_each_day_shows_what_happened_on_it(past, root):
    ann, bob = past.someone("ann", 3), past.someone("bob", 2)
    dawn = past.writes(ann, 3)
    past.writes(ann, 3)
    past.says(ann, dawn, 3)
    past.writes(bob, 2)
    past.says(ann, dawn, 2)
    past.says(root, dawn, 2)
    past.says(root, dawn, 1)

    figures = stats(root)
    assert list(figures[day(0)]) == ["registrations", "articles", "comments", "activeAuthors", "growth"]
    assert counts(figures[day(0)]) == [0, 0, 0, 0]
    assert counts(figures[day(1)]) == [0, 0, 1, 1]
    assert counts(figures[day(2)]) == [1, 1, 2, 3]
    assert counts(figures[day(3)]) == [1, 2, 1, 1]
    assert counts(figures[day(4)]) == [0, 0, 0, 0]


def test_what_happens_now_is_of_today(api, root):
    ann = api.someone("ann")
    ann.says(ann.writes("Dawn"), "It was")

    today, yesterday = stats(root, days=2).values()
    for what in ("registrations", "articles", "comments"):
        assert today[what] + yesterday[what] == 1  # midnight may have come meanwhile


def test_a_day_begins_and_ends_at_midnight_in_utc(past, root):
    past.writes(root, 4, "23:59:59.999")
    past.writes(root, 3, "00:00:00.000")
    past.writes(root, 3, "23:59:59.999")
    past.writes(root, 2, "00:00:00.000")

    figures = stats(root)

    assert [figures[day(each)]["articles"] for each in (5, 4, 3, 2, 1)] == [0, 1, 2, 1, 0]


def test_a_day_on_which_nothing_happened_is_there_too(root):
    figures = stats(root)

    assert len(figures) == 30
    for each in figures.values():
        nothing = {"registrations": None, "articles": None, "comments": None}
        assert each == {"registrations": 0, "articles": 0, "comments": 0, "activeAuthors": 0, "growth": nothing}


@pytest.mark.parametrize(("query", "days"), [({}, 30), ({"days": 1}, 1), ({"days": 366}, 366), ({"days": "007"}, 7)])
def test_each_of_the_last_days_is_shown_once_today_first(root, query, days):
    before = now()[:10]

    shown = [date.fromisoformat(each) for each in stats(root, **query)]

    assert before <= str(shown[0]) <= now()[:10]
    assert shown == [shown[0] - timedelta(each) for each in range(days)]


@pytest.mark.parametrize("days", ["0", "367", "-1", "1.5", "1e1", "", " 7", "week", "٣", "9" * 30])
def test_what_is_no_number_of_days_is_refused(root, days):
    errors = root.refusal(422, "GET", f"/admin/stats?{urlencode({'days': days})}")

    assert errors == {"days": "must be a whole number, 1 or more, at most 366"}


def test_what_was_deleted_since_is_not_counted(past, root):
    ann = past.someone("ann", 2)
    dawn, dusk = past.writes(ann, 2), past.writes(ann, 2)
    comments = [past.says(ann, dawn, 2), past.says(ann, dawn, 2), past.says(ann, dusk, 2)]

    ann.deletes(dusk)
    ann.delete(f"/articles/{dawn}/comments/{comments[0]}", status=204)
    some_left = stats(root)[day(2)]
    ann.leaves()
    none_left = stats(root)[day(2)]

    assert counts(some_left) == [1, 1, 1, 1]
    assert counts(none_left) == [0, 0, 0, 0]


def test_who_left_is_counted_no_longer_and_what_they_left_is(past, root):
    ann, bob, cid = (past.someone(name, 2) for name in ("ann", "bob", "cid"))
    slug = past.writes(ann, 2)
    past.says(bob, slug, 2)
    past.says(cid, slug, 2)

    ann.leaves("keep")
    bob.leaves("keep")

    figures = stats(root)
    assert counts(figures[day(2)]) == [1, 1, 2, 2]
    assert sum(each["registrations"] for each in figures.values()) == 1


def test_growth_compares_a_week_with_the_week_before(past, root):
    for days_ago in (13, 10, 10, 7, 6, 4, 3, 3, 0):
        past.writes(root, days_ago)

    assert growth(root, 0) == 0.25  # five after four
    assert growth(root, 1) == 0.667  # five after three
    assert growth(root, 6) == 3  # four after one
    assert growth(root, 7) is None  # four after none


def test_a_week_with_nothing_after_one_with_something_is_a_loss_of_all(past, root):
    past.writes(root, 20)

    assert [growth(root, days_ago) for days_ago in (20, 14, 13, 7, 6)] == [None, None, -1, -1, None]


def test_each_thing_grows_by_itself(past, root):
    slug = past.writes(root, 8)
    past.says(root, slug, 8)
    past.says(root, slug, 2)
    past.says(root, slug, 1)
    past.someone("ann", 1)

    assert stats(root)[day(0)]["growth"] == {"registrations": None, "articles": -1, "comments": 1}


def test_growth_looks_back_beyond_the_days_that_are_shown(past, root):
    for days_ago in (0, 3, 9, 9, 16, 17, 18, 22, 23):
        past.writes(root, days_ago)

    some = [stats(root, days=days) for days in (1, 4, 7, 10, 17, 30)]

    all_days = stats(root, days=366)
    for days in some:
        assert days.items() <= all_days.items()


@pytest.mark.parametrize("seed", range(3))
def test_any_history_is_told_as_one_would_reckon_it_by_hand(past, root, seed):
    chance = random.Random(seed)
    slug = past.writes(root, 200)
    happened = {"registrations": Counter(), "articles": Counter(), "comments": Counter()}
    for number in range(60):
        what, days_ago = chance.choice(list(happened)), chance.randrange(40)
        happened[what][day(days_ago)] += 1
        if what == "registrations":
            past.someone(f"ann{number}", days_ago)
        elif what == "articles":
            past.writes(root, days_ago)
        else:
            past.says(root, slug, days_ago)

    figures = stats(root, days=60)

    for days_ago in range(59):
        for what, times in happened.items():
            this_week, week_before = (
                sum(times[day(days_ago + each)] for each in days) for days in (range(7), range(7, 14))
            )
            grown = round(this_week / week_before - 1, 3) if week_before else None
            assert figures[day(days_ago)][what] == times[day(days_ago)]
            assert figures[day(days_ago)]["growth"][what] == pytest.approx(grown)

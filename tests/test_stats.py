"""GET /admin/stats: what happened on each day, and growth from week to week."""

import random
from collections import Counter
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

import pytest

from tests.conftest import remove_the_rest

TODAY = date(2026, 1, 31)
NO_GROWTH = {"registrations": None, "articles": None, "comments": None}


def day(days_ago):
    return str(TODAY - timedelta(days_ago))


def counts(figures):
    return [figures[each] for each in ("registrations", "articles", "comments", "activeAuthors")]


@pytest.fixture
def on(clock):
    """Set the clock to a day some days ago."""

    def set_clock(days_ago, time="12:00:00.000"):
        clock.moment = datetime.fromisoformat(f"{day(days_ago)}T{time}+00:00")

    return set_clock


@pytest.fixture
def root(api, promote, on):
    """An admin who registered ten years ago."""
    on(3653)
    promote(api.someone("root"), "admin")
    on(0)
    return api.logs_in("root@example.org")


@pytest.fixture
def stats(root, on):
    """The figures by day, as of today."""

    def read(**query):
        on(0)
        figures = root.get(f"/admin/stats?{urlencode(query)}").json["stats"]
        return {each.pop("day"): each for each in figures}

    return read


@pytest.fixture
def publish(root, on):
    """Publish an article on each of these days; the last slug."""

    def articles(*days_ago):
        for each in days_ago:
            on(each)
            slug = root.writes("Dawn")
        return slug

    return articles


def test_each_day_shows_what_happened_on_it(api, root, on, stats):
    on(3)
    ann = api.someone("ann")
    dawn = ann.writes("Dawn")
    ann.writes("Dawn")
    ann.says(dawn, "It was")
    on(2)
    api.someone("bob").writes("Dawn")
    ann.says(dawn, "It was")
    root.says(dawn, "It was")
    on(1)
    root.says(dawn, "It was")
    on(0)
    root.says(root.writes("Dusk"), "It is")
    api.someone("cem")

    figures = stats()

    assert list(figures[day(0)]) == ["registrations", "articles", "comments", "activeAuthors", "growth"]
    assert [counts(figures[day(each)]) for each in range(5)] == [
        [1, 1, 1, 1],
        [0, 0, 1, 1],
        [1, 1, 2, 3],
        [1, 2, 1, 1],
        [0, 0, 0, 0],
    ]


def test_a_day_begins_and_ends_at_midnight_utc(root, on, stats):
    for moment in [(4, "23:59:59.999"), (3, "00:00:00.000"), (3, "23:59:59.999"), (2, "00:00:00.000")]:
        on(*moment)
        root.writes("Dawn")

    figures = stats()

    assert [figures[day(each)]["articles"] for each in (5, 4, 3, 2, 1)] == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(("query", "days"), [({}, 30), ({"days": 1}, 1), ({"days": 366}, 366), ({"days": "007"}, 7)])
def test_every_day_is_shown_today_first_even_if_nothing_happened(stats, query, days):
    figures = stats(**query)

    assert list(figures) == [day(each) for each in range(days)]
    for each in figures.values():
        assert counts(each) == [0, 0, 0, 0]
        assert each["growth"] == NO_GROWTH


def test_an_invalid_number_of_days_is_refused(root):
    for days in ("0", "367", "-1", "1.5", "1e1", " 7", "week", "٣", "9" * 30):
        wrong = root.refusal(422, "GET", f"/admin/stats?{urlencode({'days': days})}")
        assert wrong == {"days": "must be a whole number, 1 or more, at most 366"}


def test_deleted_content_is_not_counted(api, root, on, stats):
    on(2)
    ann = api.someone("ann")
    dawn, dusk = ann.writes("Dawn"), ann.writes("Dusk")
    comments = [ann.says(dawn, "It was"), ann.says(dawn, "It was"), ann.says(dusk, "It was")]

    ann.deletes(dusk)
    ann.delete(f"/articles/{dawn}/comments/{comments[0]['id']}", status=204)
    some_left = stats()[day(2)]
    ann.leaves()
    none_left = stats()[day(2)]

    assert counts(some_left) == [1, 1, 1, 1]
    assert counts(none_left) == [0, 0, 0, 0]


def test_deleted_accounts_are_not_counted_but_content_they_keep_is(api, db, root, on, stats):
    on(2)
    ann, bob, cid = (api.someone(name) for name in ("ann", "bob", "cid"))
    slug = ann.writes("Dawn")
    bob.says(slug, "It was")
    cid.says(slug, "It was")

    ann.leaves("keep")
    bob.leaves("keep")
    remove_the_rest(db)

    figures = stats()
    assert counts(figures[day(2)]) == [1, 1, 2, 2]
    assert sum(each["registrations"] for each in figures.values()) == 1


@pytest.mark.parametrize(
    ("published", "growth"),
    [
        # Five articles after four, five after three, four after one, four after none.
        ((13, 10, 10, 7, 6, 4, 3, 3, 0), {0: 0.25, 1: 0.667, 6: 3, 7: None}),
        ((20,), {20: None, 14: None, 13: -1, 7: -1, 6: None}),
    ],
)
def test_growth_compares_seven_days_with_the_seven_before(publish, stats, published, growth):
    publish(*published)

    figures = stats()

    assert {days_ago: figures[day(days_ago)]["growth"]["articles"] for days_ago in growth} == growth


def test_growth_counts_days_before_those_that_are_shown(publish, stats):
    publish(0, 3, 9, 9, 16, 17, 18, 22, 23)

    some = [stats(days=days) for days in (1, 4, 7, 10, 17, 30)]

    all_days = stats(days=366)
    for days in some:
        assert days.items() <= all_days.items()


@pytest.mark.parametrize("seed", range(2))
def test_a_random_history_gives_the_same_figures_as_python(api, root, on, stats, seed):
    chance = random.Random(seed)
    events = [("articles", 40), *((chance.choice(list(NO_GROWTH)), chance.randrange(40)) for _ in range(60))]
    slug = ""
    for number, (what, days_ago) in enumerate(sorted(events, key=lambda event: -event[1])):
        on(days_ago)
        if what == "registrations":
            api.someone(f"ann{number}")
        elif what == "articles":
            slug = root.writes("Dawn")
        else:
            root.says(slug, "It was")
    happened = {each: Counter(day(days_ago) for what, days_ago in events if what == each) for each in NO_GROWTH}

    figures = stats(days=60)

    for days_ago in range(59):
        for what, times in happened.items():
            this_week, week_before = (
                sum(times[day(days_ago + each)] for each in days) for days in (range(7), range(7, 14))
            )
            grown = round(this_week / week_before - 1, 3) if week_before else None
            assert figures[day(days_ago)][what] == times[day(days_ago)]
            assert figures[day(days_ago)]["growth"][what] == pytest.approx(grown)

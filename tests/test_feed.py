from urllib.parse import urlencode


def titles_of(pages):
    return [article["title"] for page in pages for article in page["articles"]]


def test_the_feed_shows_articles_of_those_whom_one_follows_newest_first(api):
    ann, bob, cem, zoe = (api.someone(name) for name in ("ann", "bob", "cem", "zoe"))
    bob.writes("Rowing at dawn")
    zoe.writes("Sleeping in")
    cem.writes("Rowing at noon")
    ann.writes("Reading at home")
    bob.writes("Rowing at dusk")

    ann.follows("bob")
    ann.follows("cem")
    feed = ann.feed()

    assert titles_of([feed]) == ["Rowing at dusk", "Rowing at noon", "Rowing at dawn"]
    assert feed["articlesCount"] == 3


def test_everyone_has_a_feed_of_their_own(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.writes("Rowing at dawn")
    bob.writes("Rowing at dusk")

    ann.follows("bob")
    bob.follows("ann")

    assert titles_of([ann.feed()]) == ["Rowing at dusk"]
    assert titles_of([bob.feed()]) == ["Rowing at dawn"]


def test_who_follows_nobody_has_an_empty_feed(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.writes("Rowing at dawn")
    bob.follows("ann")

    answer = ann.get("/articles/feed")

    assert answer.json == {"articles": [], "articlesCount": 0}
    assert "Link" not in answer.headers


def test_who_follows_themselves_reads_themselves(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn")

    ann.follows("ann")

    assert titles_of([ann.feed()]) == ["Rowing at dawn"]


def test_whom_one_follows_no_longer_leaves_the_feed(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    bob.writes("Rowing at dawn")
    cem.writes("Rowing at dusk")
    ann.follows("bob")
    ann.follows("cem")

    ann.unfollows("bob")

    assert titles_of([ann.feed()]) == ["Rowing at dusk"]
    assert ann.feed()["articlesCount"] == 1


def test_a_deleted_article_leaves_the_feed(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.follows("bob")
    slug = bob.writes("Rowing at dawn")
    bob.writes("Rowing at dusk")

    bob.deletes(slug)

    assert titles_of([ann.feed()]) == ["Rowing at dusk"]
    assert ann.feed()["articlesCount"] == 1


def test_the_feed_shows_what_its_reader_likes(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.follows("bob")
    slug, other = bob.writes("Rowing at dawn"), bob.writes("Rowing at dusk")

    ann.likes(slug)
    bob.likes(other)
    newer, older = ann.feed()["articles"]

    assert (newer["favorited"], newer["favoritesCount"], newer["author"]["following"]) == (False, 1, True)
    assert (older["favorited"], older["favoritesCount"], older["author"]["following"]) == (True, 1, True)


def test_the_feed_leaves_out_the_bodies(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.follows("bob")
    slug = bob.writes("Rowing at dawn", "river", "mist")

    article = ann.reads(slug)
    del article["body"]

    assert ann.feed()["articles"] == [article]


def test_the_feed_is_for_those_with_a_token(api):
    wrong = {"Authorization": "Token wrong"}

    assert api.refusal(401, "GET", "/articles/feed") == {"token": "is missing"}
    assert api.refusal(401, "GET", "/articles/feed?limit=0") == {"token": "is missing"}
    assert api.refusal(401, "GET", "/articles/feed", headers=wrong) == {"token": "is invalid"}


def test_the_feed_knows_no_filters(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.follows("bob")
    bob.writes("Rowing at dawn", "river")

    assert titles_of([ann.feed(tag="lake", author="ann", favorited="ann")]) == ["Rowing at dawn"]


def test_limit_and_offset_choose_a_part_of_the_feed(api):
    ann = a_reader_of(api, articles=25)
    parts = [
        ({}, range(24, 4, -1)),
        ({"limit": 3}, [24, 23, 22]),
        ({"limit": 1000}, range(24, -1, -1)),
        ({"offset": 22}, [2, 1, 0]),
        ({"limit": 2, "offset": 5}, [19, 18]),
        ({"offset": 25}, []),
        ({"offset": 100000}, []),
    ]

    for query, shown in parts:
        feed = ann.feed(**query)
        assert titles_of([feed]) == [f"Rowing {number}" for number in shown], query
        assert feed["articlesCount"] == 25, query


def test_following_the_links_visits_every_article_of_the_feed_once(api):
    ann = a_reader_of(api, articles=25)

    pages = list(ann.pages("/articles/feed"))

    assert [len(page["articles"]) for page in pages] == [20, 5]
    assert titles_of(pages) == [f"Rowing {number}" for number in range(24, -1, -1)]


def test_the_links_of_the_feed_end_without_an_empty_page(api):
    ann = a_reader_of(api, articles=6)

    for limit, sizes in [(1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (5, [5, 1]), (6, [6]), (7, [6])]:
        pages = ann.pages(f"/articles/feed?{urlencode({'limit': limit})}")
        assert [len(page["articles"]) for page in pages] == sizes, limit


def test_the_links_of_the_feed_go_on_behind_the_offset(api):
    ann = a_reader_of(api, articles=6)

    pages = list(ann.pages("/articles/feed?limit=2&offset=1"))

    assert titles_of(pages) == [f"Rowing {number}" for number in (4, 3, 2, 1, 0)]
    assert [len(page["articles"]) for page in pages] == [2, 2, 1]


def test_new_articles_do_not_shift_the_feed_behind(api):
    ann = a_reader_of(api, articles=6)
    dan = api.someone("dan")
    ann.follows("dan")

    pages = []
    for page in ann.pages("/articles/feed?limit=2"):
        pages.append(page)
        dan.writes("Just in")

    assert titles_of(pages) == [f"Rowing {number}" for number in range(5, -1, -1)]
    assert [page["articlesCount"] for page in pages] == [6, 7, 8]


def a_reader_of(api, articles):
    """Someone who follows two writers; a third one writes as much."""
    ann, bob, cem, zoe = (api.someone(name) for name in ("ann", "bob", "cem", "zoe"))
    ann.follows("bob")
    ann.follows("cem")
    for number in range(articles):
        (bob, cem)[number % 2].writes(f"Rowing {number}")
        zoe.writes(f"Sleeping {number}")
    return ann

from tests.test_listings import publish, sizes_of, titles, titles_of


def test_the_feed_shows_articles_of_followed_users_newest_first(api):
    ann, bob, cem, zoe = (api.someone(name) for name in ("ann", "bob", "cem", "zoe"))
    bob.writes("Rowing at dawn")
    zoe.writes("Sleeping in")
    cem.writes("Rowing at noon")
    ann.writes("Reading at home")
    bob.writes("Rowing at dusk")
    bob.follows("ann")

    ann.follows("bob")
    ann.follows("cem")
    feed = ann.feed()

    assert titles_of([feed]) == ["Rowing at dusk", "Rowing at noon", "Rowing at dawn"]
    assert feed["articlesCount"] == 3
    assert ann.feed(tag="lake", author="ann", favorited="ann") == feed
    assert titles_of([bob.feed()]) == ["Reading at home"]
    assert zoe.feed() == {"articles": [], "articlesCount": 0}
    assert "Link" not in zoe.get("/articles/feed").headers


def test_deleted_articles_and_those_of_users_no_longer_followed_leave_the_feed(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    ann.follows("bob")
    ann.follows("cem")
    bob.writes("Rowing at dawn")
    slug = cem.writes("Rowing at noon")
    cem.writes("Rowing at dusk")

    ann.unfollows("bob")
    cem.deletes(slug)

    assert titles_of([ann.feed()]) == ["Rowing at dusk"]
    assert ann.feed()["articlesCount"] == 1


def a_reader(api, db):
    """A user who follows the authors of Articles 1 to 25; a third user writes articles as well."""
    ann, *others = (api.someone(name) for name in ("ann", "bob", "cem", "zoe"))
    ann.follows("bob")
    ann.follows("cem")
    for number in range(1, 26):
        publish(db, [number], me=2 + number % 2)
        publish(db, [100 + number], me=4)
    return ann, *others


def test_limit_and_offset_select_a_part_of_the_feed(api, db):
    ann, *_ = a_reader(api, db)
    parts = [
        ({}, range(25, 5, -1)),
        ({"limit": 3}, [25, 24, 23]),
        ({"limit": 1000}, range(25, 0, -1)),
        ({"offset": 22}, [3, 2, 1]),
        ({"limit": 2, "offset": 5}, [20, 19]),
        ({"offset": 25}, []),
        ({"offset": 100000}, []),
    ]

    for query, shown in parts:
        feed = ann.feed(**query)
        assert titles_of([feed]) == titles(shown), query
        assert feed["articlesCount"] == 25, query


def test_the_links_of_the_feed_visit_every_article_once_and_end_without_an_empty_page(api, db):
    ann, *_ = a_reader(api, db)

    for limit, sizes in [(5, [5] * 5), (20, [20, 5]), (24, [24, 1]), (25, [25]), (26, [25])]:
        pages = list(ann.pages(f"/articles/feed?limit={limit}"))
        assert titles_of(pages) == titles(range(25, 0, -1))
        assert sizes_of(pages) == sizes
    assert titles_of(ann.pages("/articles/feed?limit=10&offset=1")) == titles(range(24, 0, -1))


def test_new_articles_do_not_shift_the_next_page_of_the_feed(api, db):
    ann, _, cem, _ = a_reader(api, db)

    pages = []
    for page in ann.pages("/articles/feed?limit=10"):
        pages.append(page)
        cem.writes("Just in")

    assert titles_of(pages) == titles(range(25, 0, -1))
    assert [page["articlesCount"] for page in pages] == [25, 26, 27]

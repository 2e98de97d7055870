import base64
import itertools
import json
import random
from urllib.parse import urlencode

import pytest

from tests.conftest import Api, sqlite, statements_of


def publish(db, numbers, *tags, me=1):
    """Many articles at once, "Article 1" and so on, by the user `me`."""
    calls = [
        db.submit(
            "articles/create",
            "articles/set_tags",
            me=me,
            slug=f"article-{number:08}",
            title=f"Article {number}",
            description="About it",
            body="The text",
            tags=json.dumps(tags),
            now="2026-01-31T12:00:00.000Z",
        )
        for number in numbers
    ]
    for call in calls:
        call.result()


def titles(numbers):
    return [f"Article {number}" for number in numbers]


def titles_of(pages):
    return [article["title"] for page in pages for article in page["articles"]]


# What a listing shows


def test_a_listed_article_is_the_article_without_its_body(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    slugs = [cem.writes("Rowing at dusk"), ann.writes("Rowing at dawn", "river", "mist")]
    ann.edits(slugs[1], description="Mist, mostly")
    ann.changes(bio="I row", image="https://example.org/ann.png")
    bob.likes(slugs[1])
    bob.follows("ann")

    for reader in (api, ann, bob):
        articles = [reader.reads(slug) for slug in reversed(slugs)]
        assert all(article.pop("body") == "The text" for article in articles)
        assert reader.lists() == {"articles": articles, "articlesCount": 2}
    assert bob.feed() == {"articles": bob.lists()["articles"][:1], "articlesCount": 1}


def test_the_newest_article_comes_first(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    bob.writes("Rowing at noon")
    ann.writes("Rowing at dusk")

    ann.edits(slug, body="An update makes it no newer")
    bob.likes(slug)

    assert api.titles() == ["Rowing at dusk", "Rowing at noon", "Rowing at dawn"]


def test_there_may_be_no_articles_at_all(api):
    answer = api.get("/articles")

    assert answer.json == {"articles": [], "articlesCount": 0}
    assert "Link" not in answer.headers


# Which part of it


PARTS_OF_120 = [
    ("", range(120, 100, -1)),
    ("limit=1", [120]),
    ("limit=007", range(120, 113, -1)),
    ("limit=99", range(120, 21, -1)),
    ("limit=100", range(120, 20, -1)),
    ("limit=101", range(120, 20, -1)),
    (f"limit={10**40}", range(120, 20, -1)),
    (f"limit={'0' * 40}3", [120, 119, 118]),
    ("offset=0&limit=2", [120, 119]),
    ("offset=3&limit=2", [117, 116]),
    (f"offset={'0' * 40}3&limit=2", [117, 116]),
    ("offset=118", [2, 1]),
    ("offset=119&limit=1", [1]),
    ("offset=120", []),
    ("offset=100000&limit=100", []),
]


def test_limit_and_offset_choose_a_part_of_the_listing(api, db):
    api.someone("ann")
    publish(db, range(1, 121), "river")

    for (query, shown), filters in itertools.product(PARTS_OF_120, ["", "&tag=river", "&author=ann&tag=river"]):
        page = api.get(f"/articles?{query}{filters}").json
        assert titles_of([page]) == titles(shown), query + filters
        assert page["articlesCount"] == 120, query + filters


NO_NUMBERS = ["", " ", "x", "-1", "+1", "1.0", "1e1", "1_0", "0x10", " 1", "1 ", "1,0", "null", "１", "٣", "¹"]
UNUSABLE = [("limit", value) for value in [*NO_NUMBERS, "0", "-0", "00"]]
UNUSABLE += [("offset", value) for value in [*NO_NUMBERS, "-0", "100001", "1" + "0" * 40, "0" * 40 + "100001"]]


def test_what_is_no_limit_or_offset_is_refused(api):
    ann = api.someone("ann")
    said = {
        "limit": "must be a whole number, 1 or more",
        "offset": "must be a whole number, 0 or more, at most 100000",
    }

    for path, (name, value) in itertools.product(["/articles", "/articles/feed"], UNUSABLE):
        wrong = ann.refusal(422, "GET", f"{path}?{urlencode({name: value})}")
        assert wrong == {name: said[name]}, (path, name, value)


def test_all_that_is_wrong_with_a_query_is_said_at_once(api):
    wrong = api.refusal(422, "GET", "/articles?limit=0&offset=x&cursor=y&tag=river")

    assert set(wrong) == {"limit", "offset", "cursor"}


def test_of_a_parameter_given_twice_the_last_counts(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn", "dawn")
    ann.writes("Rowing at dusk", "dusk")

    assert titles_of([api.get("/articles?tag=dawn&tag=dusk").json]) == ["Rowing at dusk"]
    assert titles_of([api.get("/articles?tag=dusk&limit=x&tag=dawn&limit=1").json]) == ["Rowing at dawn"]
    assert set(api.refusal(422, "GET", "/articles?limit=1&limit=x")) == {"limit"}


def test_a_parameter_that_nobody_knows_is_ignored(api):
    api.someone("ann").writes("Rowing at dawn")

    assert api.titles(sort="oldest", Tag="river", **{"limit[]": "x"}) == ["Rowing at dawn"]


# From page to page


def test_following_the_links_visits_every_article_once(api, db):
    api.someone("ann")
    publish(db, range(1, 46))

    pages = list(api.pages("/articles"))

    assert [len(page["articles"]) for page in pages] == [20, 20, 5]
    assert titles_of(pages) == titles(range(45, 0, -1))
    assert {page["articlesCount"] for page in pages} == {45}


@pytest.mark.parametrize(("limit", "sizes"), [(10, [10, 10, 10]), (29, [29, 1]), (30, [30]), (31, [30])])
def test_the_links_end_without_an_empty_page(api, db, limit, sizes):
    api.someone("ann")
    publish(db, range(1, 31))

    assert [len(page["articles"]) for page in api.pages(f"/articles?limit={limit}")] == sizes


def test_new_articles_do_not_shift_the_pages_behind(api, db):
    api.someone("ann")
    publish(db, range(1, 31))

    pages = []
    for number, page in enumerate(api.pages("/articles?limit=10")):
        pages.append(page)
        publish(db, range(101 + 7 * number, 108 + 7 * number))

    assert titles_of(pages) == titles(range(30, 0, -1))
    assert [page["articlesCount"] for page in pages] == [30, 37, 44]


def test_deleted_articles_do_not_shift_the_pages_behind(api, db):
    ann = api.someone("ann")
    publish(db, range(1, 31))

    pages = []
    for page in api.pages("/articles?limit=10"):
        pages.append(page)
        ann.deletes(page["articles"][0]["slug"])
        ann.deletes(page["articles"][-1]["slug"])

    assert titles_of(pages) == titles(range(30, 0, -1))


def test_a_link_goes_on_behind_the_offset(api, db):
    api.someone("ann")
    publish(db, range(1, 31))

    pages = api.pages("/articles?limit=10&offset=5")

    assert titles_of(pages) == titles(range(25, 0, -1))


def test_links_go_on_where_offsets_end(api, db):
    api.someone("ann")
    sqlite(
        db,
        """
        WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT 100012)
        INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)
        SELECT 1, 'article-' || number, 'Article ' || number, 'About it', 'The text', :now, :now
          FROM numbers
        """,
        "2026-01-31T12:00:00.000Z",
    )

    pages = list(api.pages("/articles?offset=100000&limit=5"))

    assert titles_of(pages) == titles(range(12, 0, -1))
    assert len(pages) == 3


def test_links_keep_what_was_asked_for(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    for number in range(6):
        slug = ann.writes(f"Rowing {number}", "été & 100 %")
        bob.likes(slug)
        ann.likes(bob.writes(f"Resting {number}", "été & 100 %"))
        ann.writes(f"Racing {number}")

    pages = list(bob.pages("/articles?author=ANN&tag=%C3%A9t%C3%A9+%26%20100+%25&favorited=bob&limit=2&x=%26"))

    assert titles_of(pages) == [f"Rowing {number}" for number in range(5, -1, -1)]
    assert [len(page["articles"]) for page in pages] == [2, 2, 2]
    assert {page["articlesCount"] for page in pages} == {6}


def test_a_link_stays_on_the_address_that_was_asked(api, db):
    api.someone("ann")
    publish(db, range(1, 31))
    alias = Api(api.client)
    alias.prefix = "/api"

    assert alias.get("/articles").headers["Link"].startswith("</api/articles?cursor=")
    assert api.get("/articles").headers["Link"].startswith("</api/v1/articles?cursor=")
    assert titles_of(alias.pages("/articles")) == titles(range(30, 0, -1))


def cursor(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NO_CURSORS = [
    "",
    "x",
    "1",
    "20",
    "before:20",
    cursor("20"),
    cursor("after:20"),
    cursor("before:"),
    cursor("before:x"),
    cursor("before:0"),
    cursor("before:-1"),
    cursor("before:020"),
    cursor("before: 20"),
    cursor("before:2_0"),
    cursor("before:２０"),
    cursor("before:20.0"),
    cursor("before:20 OR 1=1"),
    cursor("before:9223372036854775807"),
    cursor("before:1" + "0" * 40),
    cursor("before:" + "9" * 5000),
    cursor("before:20") + "=",
    cursor("before:200") + "==",
    cursor("before:20") + "x",
    cursor("before:20") + "%0A",
    "%C3%A9",
    "____",
]


def test_a_cursor_that_no_link_gave_is_refused(api):
    ann = api.someone("ann")

    for path, sent in itertools.product(["/articles", "/articles/feed"], NO_CURSORS):
        wrong = ann.refusal(422, "GET", f"{path}?cursor={sent}")
        assert wrong == {"cursor": "must come from the Link header of an earlier page"}, sent


# Filters


def test_every_combination_of_filters_finds_what_a_look_at_each_article_finds(api):
    people, articles = a_small_town(api)
    names = [None, *people, "nobody"]
    tags = [None, "river", "mist", "dawn", "été", "nothing"]

    for tag, author, favorited in itertools.product(tags, names, names):
        expected = [
            article["title"]
            for article in reversed(articles)
            if tag in (None, *article["tags"])
            and author in (None, article["author"])
            and favorited in (None, *article["fans"])
        ]
        asked = {"tag": tag, "author": author, "favorited": favorited}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        pages = list(api.pages(f"/articles?limit=5&{query}"))
        assert titles_of(pages) == expected, asked
        assert {page["articlesCount"] for page in pages} == {len(expected)}, asked
        assert len(pages) == max(1, -(-len(expected) // 5)), asked


def a_small_town(api):
    """People, and their articles as they should be found: oldest first, with tags and fans."""
    chance = random.Random("a small town")
    people = {name: api.someone(name) for name in ("ann", "bob", "cem")}
    articles = []
    for number in range(48):
        author = chance.choice(list(people))
        tags = chance.sample(["river", "mist", "dawn", "été"], k=chance.randrange(4))
        slug = people[author].writes(f"Article {number}", *tags)
        fans = chance.sample(list(people), k=chance.randrange(4))
        for fan in fans:
            people[fan].likes(slug)
        articles.append({"title": f"Article {number}", "slug": slug, "author": author, "tags": tags, "fans": fans})
    for article in chance.sample(articles, k=12):
        article["tags"] = chance.sample(["river", "mist", "dawn", "été"], k=chance.randrange(4))
        people[article["author"]].edits(article["slug"], tagList=article["tags"])
    for article in chance.sample([each for each in articles if each["fans"]], k=6):
        people[article["fans"].pop()].unlikes(article["slug"])
    for article in chance.sample(articles, k=6):
        people[article["author"]].deletes(article["slug"])
        articles.remove(article)
    return people, articles


def test_a_filter_that_knows_nobody_gives_an_empty_list(api):
    ann = api.someone("ann")
    ann.likes(ann.writes("Rowing at dawn", "river"))
    alone = ["tag=lake", "author=zoe", "favorited=zoe", "tag=", "author=", "favorited="]
    together = ["author=ann&tag=lake", "author=zoe&tag=river", "favorited=zoe&author=ann&tag=river"]

    for query in alone + together:
        answer = api.get(f"/articles?{query}")
        assert answer.json == {"articles": [], "articlesCount": 0}, query
        assert "Link" not in answer.headers, query


def test_names_are_found_in_any_case_and_form(api):
    zoe = api.someone("Zoë", email="zoe@example.org")
    zoe.likes(zoe.writes("Rowing at dawn"))

    for name in ("Zoë", "ZOË", "zoe\u0308", "ＺＯË"):
        assert api.titles(author=name) == api.titles(favorited=name) == ["Rowing at dawn"]
    assert api.titles(author="Zoe") == []


# Escaped, or as plain UTF-8, which WSGI hands on as if it were Latin-1.
@pytest.mark.parametrize("sent", ["%C3%A9", "%c3%a9", "é".encode().decode("latin-1")])
def test_a_tag_may_be_asked_for_in_any_alphabet(api, sent):
    ann = api.someone("ann")
    for number in range(3):
        ann.writes(f"Rowing {number}", "é")
        ann.writes(f"Racing {number}", "e")

    pages = list(api.pages(f"/articles?tag={sent}&limit=2"))

    assert titles_of(pages) == ["Rowing 2", "Rowing 1", "Rowing 0"]
    assert len(pages) == 2


# What it costs

PATHS = [
    "/articles",
    "/articles?offset=5",
    "/articles?tag=river",
    "/articles?author=ann",
    "/articles?favorited=ann",
    "/articles?tag=river&author=ann&favorited=ann",
    "/articles/feed",
]


def test_a_listing_runs_as_many_statements_over_2000_articles_as_over_10(api, db):
    ann = api.someone("ann")
    ann.follows("ann")
    publish(db, range(1, 11), "river", "mist")
    ann.likes("article-00000010")

    over_10 = [statements_of(db, ann, path) for path in PATHS]
    publish(db, range(11, 2001), "river", "mist")
    ann.likes("article-00002000")
    over_2000 = [statements_of(db, ann, path) for path in PATHS]

    assert over_10 == over_2000
    assert 1 <= min(over_2000) <= max(over_2000) <= 4

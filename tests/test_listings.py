import base64
import itertools
import json
import random
from urllib.parse import urlencode

import pytest

from tests.conftest import Api, statements_of


def publish(db, numbers, *tags, me=1):
    """Publish many articles at once, "Article 1" and so on, by the user `me`."""
    article = {"description": "About it", "body": "The text", "tags": json.dumps(tags), "me": me, "now": db.clock.now()}
    files = "articles/create", "articles/set_tags"
    calls = [db.submit(*files, slug=f"article-{each:08}", title=f"Article {each}", **article) for each in numbers]
    for call in calls:
        call.result()


def titles(numbers):
    return [f"Article {number}" for number in numbers]


def titles_of(pages):
    return [article["title"] for page in pages for article in page["articles"]]


def sizes_of(pages):
    return [len(page["articles"]) for page in pages]


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


def test_the_newest_article_comes_first_even_if_an_older_one_was_updated(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    assert api.lists() == {"articles": [], "articlesCount": 0}
    slug = ann.writes("Rowing at dawn")
    bob.writes("Rowing at noon")
    ann.writes("Rowing at dusk")

    ann.edits(slug, body="An update")
    bob.likes(slug)

    assert api.titles() == ["Rowing at dusk", "Rowing at noon", "Rowing at dawn"]


# Limit and offset


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


def test_limit_and_offset_select_a_part_of_the_listing(api, db):
    api.someone("ann")
    publish(db, range(1, 121), "river")

    for (query, shown), filters in itertools.product(PARTS_OF_120, ["", "&tag=river", "&author=ann&tag=river"]):
        page = api.get(f"/articles?{query}{filters}").json
        assert titles_of([page]) == titles(shown), query + filters
        assert page["articlesCount"] == 120, query + filters


NO_NUMBERS = ["x", "-1", "+1", "1.0", "1e1", "1_0", "0x10", " 1", "1 ", "1,0", "null", "１", "٣", "¹"]
UNUSABLE = [("limit", value) for value in [*NO_NUMBERS, "0", "-0", "00"]]
UNUSABLE += [("offset", value) for value in [*NO_NUMBERS, "-0", "100001", "1" + "0" * 40, "0" * 40 + "100001"]]


def test_an_invalid_limit_or_offset_is_refused(api):
    ann = api.someone("ann")
    messages = {
        "limit": "must be a whole number, 1 or more",
        "offset": "must be a whole number, 0 or more, at most 100000",
    }

    for path, (name, value) in itertools.product(["/articles", "/articles/feed"], UNUSABLE):
        wrong = ann.refusal(422, "GET", f"{path}?{urlencode({name: value})}")
        assert wrong == {name: messages[name]}, (path, name, value)


def test_all_errors_in_a_query_are_reported_together(api):
    wrong = api.refusal(422, "GET", "/articles?limit=0&offset=x&cursor=y&tag=river")

    assert set(wrong) == {"limit", "offset", "cursor"}


def test_if_a_parameter_appears_twice_the_last_value_wins(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn", "dawn")
    ann.writes("Rowing at dusk", "dusk")

    assert titles_of([api.get("/articles?tag=dawn&tag=dusk").json]) == ["Rowing at dusk"]
    assert titles_of([api.get("/articles?tag=dusk&limit=x&tag=dawn&limit=1").json]) == ["Rowing at dawn"]
    assert set(api.refusal(422, "GET", "/articles?limit=1&limit=x")) == {"limit"}


# Links to the next page


@pytest.mark.parametrize("filters", ["", "tag=river&author=ann&"])
def test_the_links_visit_every_article_once_and_end_without_an_empty_page(api, db, filters):
    api.someone("ann")
    publish(db, range(1, 31), "river")

    for limit, sizes in [(10, [10, 10, 10]), (20, [20, 10]), (29, [29, 1]), (30, [30]), (31, [30])]:
        pages = list(api.pages(f"/articles?{filters}limit={limit}"))
        assert titles_of(pages) == titles(range(30, 0, -1))
        assert sizes_of(pages) == sizes
        assert {page["articlesCount"] for page in pages} == {30}


def test_new_and_deleted_articles_do_not_shift_the_next_page(api, db):
    ann = api.someone("ann")
    publish(db, range(1, 31))

    pages = []
    for number, page in enumerate(api.pages("/articles?limit=10")):
        pages.append(page)
        publish(db, range(101 + 7 * number, 108 + 7 * number))
        ann.deletes(page["articles"][0]["slug"])
        ann.deletes(page["articles"][-1]["slug"])

    assert titles_of(pages) == titles(range(30, 0, -1))
    assert [page["articlesCount"] for page in pages] == [30, 35, 40]


def test_the_links_continue_after_the_offset(api, db):
    api.someone("ann")
    publish(db, range(1, 31))

    pages = api.pages("/articles?limit=10&offset=5")

    assert titles_of(pages) == titles(range(25, 0, -1))


def test_the_links_keep_every_other_parameter(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    for number in range(6):
        bob.likes(ann.writes(f"Rowing {number}", "été & 100 %"))
        ann.likes(bob.writes(f"Resting {number}", "été & 100 %"))
        ann.writes(f"Racing {number}")

    pages = list(bob.pages("/articles?author=ANN&tag=%C3%A9t%C3%A9+%26%20100+%25&favorited=bob&limit=2&x=%26"))

    assert titles_of(pages) == [f"Rowing {number}" for number in range(5, -1, -1)]
    assert sizes_of(pages) == [2, 2, 2]
    assert {page["articlesCount"] for page in pages} == {6}


def test_the_links_stay_under_the_prefix_of_the_request(api, db):
    api.someone("ann")
    publish(db, range(1, 31))
    alias = Api(api.client)
    alias.prefix = "/api"

    assert alias.get("/articles").headers["Link"].startswith("<?cursor=")
    assert titles_of(alias.pages("/articles")) == titles(range(30, 0, -1))


def cursor(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NO_CURSORS = ["x", "1", "20", "before:20", "%C3%A9", "____"]
NO_CURSORS += map(
    cursor, ["20", "after:20", "before:", "before:x", "before:0", "before:-1", "before:020", "before: 20"]
)
NO_CURSORS += map(
    cursor, ["before:2_0", "before:２０", "before:20.0", "before:20 OR 1=1", "before:9223372036854775807"]
)
NO_CURSORS += map(cursor, ["before:1" + "0" * 40, "before:" + "9" * 5000])
NO_CURSORS += [cursor("before:200") + "==", *(cursor("before:20") + tail for tail in ("=", "x", "%0A"))]


def test_a_cursor_that_is_not_from_a_link_is_refused(api):
    ann = api.someone("ann")
    paths = ["/articles", "/articles/feed", f"/articles/{ann.writes('Rowing at dawn')}/comments"]

    for path, sent in itertools.product(paths, NO_CURSORS):
        wrong = ann.refusal(422, "GET", f"{path}?cursor={sent}")
        assert wrong == {"cursor": "must come from the Link header of an earlier page"}, sent


# Filters


def test_every_combination_of_filters_finds_the_articles_that_pass_all_of_them(api):
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


# Escaped, or as raw UTF-8, which WSGI passes on as Latin-1.
@pytest.mark.parametrize("sent", ["%C3%A9", "%c3%a9", "é".encode().decode("latin-1")])
def test_a_tag_can_be_in_any_alphabet(api, sent):
    ann = api.someone("ann")
    for number in range(3):
        ann.writes(f"Rowing {number}", "é")
        ann.writes(f"Racing {number}", "e")

    pages = list(api.pages(f"/articles?tag={sent}&limit=2"))

    assert titles_of(pages) == ["Rowing 2", "Rowing 1", "Rowing 0"]
    assert len(pages) == 2


# Cost

PATHS = [
    "/articles",
    "/articles?offset=5",
    "/articles?tag=river",
    "/articles?author=ann",
    "/articles?favorited=ann",
    "/articles?tag=river&author=ann&favorited=ann",
    "/articles/feed",
    "/articles/article-00000001/comments",
]


def test_a_listing_runs_the_same_number_of_statements_however_much_it_shows(api, db):
    ann = api.someone("ann")
    ann.follows("ann")
    publish(db, range(1, 8), "river", "mist")
    ann.likes("article-00000007")
    ann.says("article-00000001", "Well rowed")

    over_few = [statements_of(db, ann, path) for path in PATHS]
    publish(db, range(8, 201), "river", "mist")
    for number in range(100, 130):
        ann.likes(f"article-{number:08}")
        ann.says("article-00000001", "Well rowed")
    over_many = [statements_of(db, ann, path) for path in PATHS]

    assert over_few == over_many
    assert 1 <= min(over_many) <= max(over_many) <= 4

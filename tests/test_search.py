"""GET /articles?q=: words, in articles, best first."""

from urllib.parse import quote

import pytest

ANYTHING = [
    "!!!",
    '"',
    "row OR",
    "NEAR(row",
    "title:row",
    "row*",
    "^row",
    "-row",
    "a AND (b",
    "''",
    "{x}",
    "🚣",
    "\\",
    ";--",
]


def found(api, q, **query):
    return api.titles(q=q, **query)


def test_an_article_is_found_by_words_of_its_title_description_and_body(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn", description="Quiet hours", body="The catch comes first.")
    ann.writes("Varnish", description="Seven coats", body="Thin ones.")

    assert found(api, "rowing") == found(api, "hours quiet") == found(api, "catch dawn") == ["Rowing at dawn"]
    assert found(api, "dawn varnish") == []


def test_the_beginning_of_a_word_is_enough_and_neither_case_nor_accents_matter(api):
    api.someone("ann").writes("Café Ägäis", body="Rudern")

    assert found(api, "CAF") == found(api, "café") == found(api, "agais rud") == ["Café Ägäis"]


def test_the_best_comes_first_and_of_equally_good_ones_the_newest(api):
    ann = api.someone("ann")
    ann.writes("Oars", body="Oars, oars, and nothing else but oars.")
    ann.writes("First", body="A long text about a boat and its oars, its thwarts, its varnish and its owner.")
    ann.writes("Later", body="A long text about a boat and its oars, its thwarts, its varnish and its owner.")

    assert found(api, "oars") == ["Oars", "Later", "First"]


def test_a_search_passes_the_filters_too(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    alone = ann.writes("Rowing alone", "boats")
    both = bob.writes("Rowing together", "boats")
    bob.writes("Rowing back", "rivers")
    ann.likes(both)
    bob.likes(alone)

    assert found(api, "rowing", tag="boats", author="BOB") == ["Rowing together"]
    assert found(api, "rowing", favorited="ann") == ["Rowing together"]
    assert found(api, "rowing", favorited="bob") == ["Rowing alone"]
    assert found(api, "rowing", tag="nothing") == found(api, "rowing", author="nobody") == []


def test_pages_are_taken_by_limit_and_offset_and_the_total_is_of_all(api):
    ann = api.someone("ann")
    for title in ("Boat one", "Boat two", "Boat three"):
        ann.writes(title)

    page = api.lists(q="boat", limit=1, offset=1)

    assert [article["title"] for article in page["articles"]] == ["Boat two"]
    assert page["articlesCount"] == 3
    assert "Link" not in api.get("/articles?q=boat&limit=1").headers


@pytest.mark.parametrize("text", ANYTHING)
def test_whatever_a_person_types_is_a_search(api, text):
    api.someone("ann").writes("Something else")

    assert api.lists(q=text) == {"articles": [], "articlesCount": 0}


def test_operators_are_words_like_any_other(api):
    ann = api.someone("ann")
    ann.writes("Sink or swim", body="not near")
    ann.writes("Sink", body="alone")

    assert found(api, "sink OR") == ["Sink or swim"]
    assert found(api, "sink NOT near") == ["Sink or swim"]


def test_changed_and_deleted_articles_are_found_by_what_they_say_now(api):
    ann = api.someone("ann")
    slug = ann.writes("Dawn", body="mist")
    gone = ann.writes("Dawn again", body="mist")

    ann.edits(slug, body="sun")
    ann.deletes(gone)

    assert found(api, "mist") == []
    assert found(api, "sun dawn") == ["Dawn"]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("q=", {"q": "can't be blank"}),
        ("q=%20", {"q": "can't be blank"}),
        (f"q={'x' * 201}", {"q": "is too long (maximum is 200 characters)"}),
        ("q=row&offset=1001", {"offset": "must be at most 1000 with q"}),
        ("q=row&cursor=YmVmb3JlOjU", {"cursor": "cannot be used with q; use offset"}),
    ],
)
def test_a_search_that_cannot_be_made_says_why(api, query, errors):
    assert api.refusal(422, "GET", f"/articles?{query}") == errors


def test_a_search_may_be_200_characters_long_and_1000_deep(api):
    assert api.get(f"/articles?q={quote('é' * 200)}&offset=1000").json["articlesCount"] == 0


def test_of_more_than_10000_matches_the_newest_10000_count(api, db):
    api.someone("ann")
    article = {"me": 1, "title": "Boat", "description": "It", "now": "2026-01-31T12:00:00.000Z"}
    calls = [db.submit("articles/create", slug=f"boat-{n:08}", body="b", **article) for n in range(10_001)]
    for call in calls:
        call.result()

    listing = api.lists(q="boat", limit=1)

    assert listing["articlesCount"] == 10_000
    assert listing["articles"][0]["slug"] == "boat-00010000"

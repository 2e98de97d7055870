from urllib.parse import quote

import pytest

from tests.conftest import sqlite


def found(api, q, **query):
    return api.titles(q=q, **query)


def test_an_article_is_found_by_words_in_its_title_description_and_body(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn", description="Quiet hours", body="The catch comes first.")
    ann.writes("Varnish", description="Seven coats", body="Thin ones.")

    assert found(api, "rowing") == found(api, "hours quiet") == found(api, "catch dawn") == ["Rowing at dawn"]
    assert found(api, "dawn varnish") == []


def test_prefixes_match_and_case_and_accents_are_ignored(api):
    api.someone("ann").writes("Café Ägäis", body="Rudern")

    assert found(api, "CAF") == found(api, "café") == found(api, "agais rud") == ["Café Ägäis"]


def test_a_match_in_the_title_comes_first_and_then_the_newest(api):
    ann = api.someone("ann")
    ann.writes("Oars", body="Oars, oars, and nothing else but oars.")
    ann.writes("First", body="A long text about a boat and its oars, its thwarts, its varnish and its owner.")
    ann.writes("Later", body="A long text about a boat and its oars, its thwarts, its varnish and its owner.")

    assert found(api, "oars") == ["Oars", "Later", "First"]


def test_a_search_can_be_filtered(api):
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


def test_a_search_is_paged_by_limit_and_offset(api):
    ann = api.someone("ann")
    for title in ("Boat one", "Boat two", "Boat three"):
        ann.writes(title)

    page = api.lists(q="boat", limit=1, offset=1)

    assert [article["title"] for article in page["articles"]] == ["Boat two"]
    assert page["articlesCount"] == 3
    assert "Link" not in api.get("/articles?q=boat&limit=1").headers


def test_any_text_is_a_valid_search(api):
    api.someone("ann").writes("Something else")
    signs = ["!!!", '"', "''", "{x}", "🚣", "\\", ";--"]
    operators = ["row OR", "NEAR(row", "title:row", "row*", "^row", "-row", "a AND (b"]

    for text in signs + operators:
        assert api.lists(q=text) == {"articles": [], "articlesCount": 0}, text


def test_operators_are_treated_as_words(api):
    ann = api.someone("ann")
    ann.writes("Sink or swim", body="not near")
    ann.writes("Sink", body="alone")

    assert found(api, "sink OR") == ["Sink or swim"]
    assert found(api, "sink NOT near") == ["Sink or swim"]


def test_updates_and_deletions_reach_the_search_index(api):
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
        (f"q={'x' * 201}", {"q": "is too long (maximum is 200 characters)"}),
        ("q=row&offset=1001", {"offset": "must be at most 1000 with q"}),
        ("q=row&cursor=YmVmb3JlOjU", {"cursor": "cannot be used with q; use offset"}),
    ],
)
def test_an_invalid_search_is_refused(api, query, errors):
    assert api.refusal(422, "GET", f"/articles?{query}") == errors


def test_a_search_can_have_200_characters_and_an_offset_of_1000(api):
    assert api.get(f"/articles?q={quote('é' * 200)}&offset=1000").json["articlesCount"] == 0


def test_only_the_newest_10000_matches_are_counted(api, db):
    api.someone("ann")
    sqlite(
        db,
        """
        WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers LIMIT 10001)
        INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)
        SELECT 1, 'boat-' || number, 'Boat', 'It', 'b', ?, ?
          FROM numbers
        """,
        *[db.clock.now()] * 2,
    )
    sqlite(db, "INSERT INTO article_search (rowid, title) SELECT id, 'boat' FROM articles")

    listing = api.lists(q="boat", limit=1)

    assert listing["articlesCount"] == 10_000
    assert listing["articles"][0]["slug"] == "boat-10000"

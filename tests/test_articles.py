import re
import sqlite3

import pytest

from tests.conftest import sqlite

ARTICLE = {"title": "Rowing at dawn", "description": "Mist, mostly", "body": "The text", "tagList": ["river", "mist"]}


def publish(db, slug, now=None):
    """Publish an article by the first user under this exact slug; the slug."""
    article = {"title": "Rowing", "description": "About it", "body": "The text", "now": now or db.clock.now()}
    db.write("articles/create", slug=slug, me=1, **article)
    return slug


# Creating


def test_a_new_article_is_returned_as_sent_and_readable_by_everyone(api, clock):
    ann, bob = api.someone("ann"), api.someone("bob")

    article = ann.post("/articles", {"article": ARTICLE}, status=201).json["article"]

    assert {key: article[key] for key in ARTICLE} == ARTICLE
    assert article["createdAt"] == article["updatedAt"] == clock.now()
    assert (article["favorited"], article["favoritesCount"]) == (False, 0)
    assert article["author"] == {"username": "ann", "bio": None, "image": None, "following": False}
    assert api.reads(article["slug"]) == bob.reads(article["slug"]) == article


def test_favorited_and_following_depend_on_the_reader(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn"), bob.writes("Rowing at dusk")

    bob.likes(slug)
    bob.follows("ann")

    assert (bob.reads(other)["favorited"], bob.reads(other)["author"]["following"]) == (False, False)
    assert (bob.reads(slug)["favorited"], bob.reads(slug)["author"]["following"]) == (True, True)
    assert (ann.reads(slug)["favorited"], ann.reads(slug)["author"]["following"]) == (False, False)
    assert (api.reads(slug)["favorited"], api.reads(slug)["author"]["following"]) == (False, False)


# Tags


def test_tags_are_optional(api):
    untagged = {key: value for key, value in ARTICLE.items() if key != "tagList"}

    article = api.someone("ann").post("/articles", {"article": untagged}).json["article"]

    assert article["tagList"] == []


def test_tags_keep_the_order_in_which_they_were_sent_without_duplicates(api):
    ann = api.someone("ann")
    ann.writes("Others before", "dawn", "mist", "river")

    slug = ann.writes("Rowing at dawn", "river", "mist", " river ", "dawn", "mist", "boat")

    assert ann.reads(slug)["tagList"] == ["river", "mist", "dawn", "boat"]


# Slugs


def test_a_slug_is_made_from_the_title_and_random_characters(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    slugs = [each.writes("Rowing at dawn: été!") for each in (ann, ann, bob)]

    assert all(re.fullmatch(r"rowing-at-dawn-ete-[a-z2-9]{8}", slug) for slug in slugs)
    assert len(set(slugs)) == 3
    assert [api.reads(slug)["slug"] for slug in slugs] == slugs
    assert [api.reads(slug)["author"]["username"] for slug in slugs] == ["ann", "ann", "bob"]


def test_a_title_without_letters_gets_a_slug(api):
    ann = api.someone("ann")
    titles = ["!!!", "🚣", "'", "-", "…", "\u200b", "&amp;", "&#0;", "/", "..", "?", "%FF"] * 2

    slugs = [ann.writes(title) for title in titles]

    assert len(set(slugs)) == len(titles)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", slug) for slug in slugs)
    assert [api.reads(slug)["title"] for slug in slugs] == titles


def test_no_title_makes_the_slug_feed(api):
    ann = api.someone("ann")
    titles = ["feed", "Feed", "FEED!", "ｆｅｅｄ"]

    slugs = [ann.writes(title) for title in titles]
    slugs += [ann.edits(ann.writes("Rowing at dawn"), title=title)["slug"] for title in titles]

    assert "feed" not in slugs
    assert [api.reads(slug)["title"] for slug in slugs] == titles * 2
    assert ann.feed()["articlesCount"] == 0


def test_the_path_of_the_feed_is_not_an_article(api):
    ann = api.someone("ann")

    assert ann.refusal(404, "PUT", "/articles/feed", {"article": {"body": "B"}}) == {"article": "not found"}
    assert ann.refusal(404, "DELETE", "/articles/feed") == {"article": "not found"}
    assert ann.refusal(404, "GET", "/articles/feed/comments") == {"article": "not found"}


def test_an_article_is_found_under_every_slug_it_had_and_can_return_to_one(api):
    ann = api.someone("ann")
    first = ann.writes("Rowing at dawn")
    second = ann.edits(first, title="Rowing at dusk")["slug"]
    third = ann.edits(first, title="!!!")["slug"]

    found = [api.reads(slug) for slug in (first, second, third)]
    article = ann.edits(third, title="Rowing at dawn")

    assert len({first, second, third}) == 3
    assert [each["slug"] for each in found] == [third] * 3
    assert article["slug"] == first
    assert api.reads(first) == api.reads(second) == api.reads(third) == article


def test_an_old_slug_works_in_every_request(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    old = ann.writes("Rowing at dawn")
    new = ann.edits(old, title="Rowing at dusk")["slug"]

    edited = ann.edits(old, body="Another text")
    liked = bob.likes(old)
    comments = [bob.says(old, "Well rowed"), bob.says(old, "Indeed")]
    bob.delete(f"/articles/{old}/comments/{comments.pop()['id']}", status=204)

    assert edited["slug"] == liked["slug"] == new
    assert (api.reads(new)["body"], api.reads(new)["favoritesCount"]) == ("Another text", 1)
    assert api.comments_of(new) == api.comments_of(old) == comments
    assert bob.unlikes(old)["favoritesCount"] == 0

    ann.deletes(old)

    assert api.refusal(404, "GET", f"/articles/{new}") == {"article": "not found"}
    assert api.refusal(404, "GET", f"/articles/{old}") == {"article": "not found"}


def test_another_article_cannot_take_an_old_slug(api, db):
    ann = api.someone("ann")
    publish(db, "dusk-aaaaaaaa")
    publish(db, "dawn-aaaaaaaa")
    ann.edits("dusk-aaaaaaaa", title="Night")

    # The same eight characters are one chance in 10^12; equal words are common.
    taken = ann.refusal(409, "PUT", "/articles/dawn-aaaaaaaa", {"article": {"title": "Dusk"}})
    with pytest.raises(sqlite3.IntegrityError):
        publish(db, "dusk-aaaaaaaa")

    assert taken == {"title": "has already been taken"}
    assert (api.reads("dawn-aaaaaaaa")["slug"], api.reads("dawn-aaaaaaaa")["title"]) == ("dawn-aaaaaaaa", "Rowing")
    assert api.reads("dusk-aaaaaaaa")["title"] == "Night"
    assert api.lists()["articlesCount"] == 2


def test_the_slugs_of_a_deleted_article_can_be_used_again(api, db):
    ann = api.someone("ann")
    publish(db, "dusk-aaaaaaaa")
    ann.deletes(ann.edits("dusk-aaaaaaaa", title="Night")["slug"])

    publish(db, "dusk-aaaaaaaa")

    assert api.reads("dusk-aaaaaaaa")["title"] == "Rowing"


# Updating


CHANGES = [
    ("description", "Another matter"),
    ("tagList", ["dusk", "river"]),
    ("body", "Another text"),
    ("tagList", []),
    ("description", "The same as before"),
]


def test_an_update_changes_the_fields_that_were_sent_and_nothing_else(api):
    ann = api.someone("ann")
    article = ann.post("/articles", {"article": ARTICLE}).json["article"]

    for field, value in CHANGES:
        before, article = article, ann.edits(article["slug"], **{field: value})
        assert article == before | {field: value, "updatedAt": article["updatedAt"]}
        assert api.reads(before["slug"]) == article


def test_a_new_title_changes_the_title_and_the_slug(api):
    ann = api.someone("ann")
    before = ann.post("/articles", {"article": ARTICLE}).json["article"]

    article = ann.edits(before["slug"], title=" Rowing at dusk ")

    changed = {key: article[key] for key in ("slug", "updatedAt")}
    assert changed["slug"] != before["slug"]
    assert changed["slug"].startswith("rowing-at-dusk-")
    assert article == api.reads(changed["slug"]) == before | changed | {"title": "Rowing at dusk"}


def test_a_title_with_the_same_words_keeps_the_slug(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    article = ann.edits(slug, title="Rowing… at DAWN!")

    assert (article["slug"], article["title"]) == (slug, "Rowing… at DAWN!")


def test_an_update_can_change_everything_and_changes_no_other_article(api):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river", "mist")
    before = ann.reads(other)
    changes = {"title": "At dusk", "description": "D", "body": "B", "tagList": ["mist", "boat"]}

    article = ann.edits(slug, **changes)

    assert {key: article[key] for key in changes} == changes
    assert ann.reads(other) == before


# When it was updated


def test_every_update_sets_updated_at_even_if_nothing_changes(api, clock):
    ann = api.someone("ann")
    slug, created = ann.writes("Rowing at dawn", "river"), clock.now()
    same = {"title": "Rowing at dawn", "description": "About it", "body": "The text", "tagList": ["river"]}

    for field, value in same.items():
        clock.advance(hours=1)
        article = ann.edits(slug, **{field: value})
        assert (article["createdAt"], article["updatedAt"]) == (created, clock.now())
    assert ann.reads(slug) == article


AHEAD = [
    ("2099-01-31T12:00:00.000Z", "2099-01-31T12:00:00.001Z"),
    ("2099-01-31T12:00:01.001Z", "2099-01-31T12:00:01.002Z"),
    ("2099-01-31T12:00:16.001Z", "2099-01-31T12:00:16.002Z"),
    ("2099-01-31T12:00:32.769Z", "2099-01-31T12:00:32.770Z"),
    ("2099-12-31T23:59:59.999Z", "2100-01-01T00:00:00.000Z"),
]


def test_updated_at_increases_even_if_the_clock_stands_still_or_goes_back(api, db):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    times = [ann.edits(slug, body="Another text")["updatedAt"] for _ in range(3)]

    assert times == ["2026-01-31T12:00:00.001Z", "2026-01-31T12:00:00.002Z", "2026-01-31T12:00:00.003Z"]
    for number, (published, later) in enumerate(AHEAD):
        slug = publish(db, f"rowing-{number:08}", now=published)
        assert ann.edits(slug, body="Another text")["updatedAt"] == later


def test_only_an_update_of_the_article_changes_updated_at(api, clock):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river")
    before = api.reads(slug)["updatedAt"]
    clock.advance(minutes=30)

    bob.likes(slug)
    bob.unlikes(slug)
    comment = bob.says(slug, "Well rowed")
    bob.delete(f"/articles/{slug}/comments/{comment['id']}")
    ann.edits(other, tagList=[])
    ann.changes(bio="I row")
    bob.refusal(403, "PUT", f"/articles/{slug}", {"article": {"body": "Mine"}})
    ann.refusal(422, "PUT", f"/articles/{slug}", {"article": {"body": ""}})

    assert api.reads(slug)["updatedAt"] == before


# Deleting


def test_a_deleted_article_is_gone_for_everyone(api):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")

    response = ann.delete(f"/articles/{slug}", status=204)

    assert response.body == b""
    assert api.refusal(404, "GET", f"/articles/{slug}") == {"article": "not found"}
    assert ann.refusal(404, "DELETE", f"/articles/{slug}") == {"article": "not found"}
    assert api.titles() == ["Rowing at dusk"]
    assert api.reads(other)["title"] == "Rowing at dusk"


def test_the_comments_favorites_tags_and_slugs_of_an_article_are_deleted_with_it(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river")
    for each in (slug, other):
        bob.says(each, "Well rowed")
        bob.likes(each)

    ann.deletes(slug)

    assert sqlite(db, "SELECT count(*) FROM comments")[0][0] == len(api.comments_of(other)) == 1
    assert sqlite(db, "SELECT count(*) FROM favorites")[0][0] == api.lists(favorited="bob")["articlesCount"] == 1
    assert sqlite(db, "SELECT count(*) FROM article_tags")[0][0] == api.lists(tag="river")["articlesCount"] == 1
    assert sqlite(db, "SELECT count(*) FROM slugs")[0][0] == 1
    assert (api.titles(favorited="bob"), api.reads(other)["favoritesCount"]) == (["Rowing at dusk"], 1)


# Refusing


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"article": {"body": "Another text"}}),
        ("DELETE", "", None),
        ("POST", "/favorite", None),
        ("DELETE", "/favorite", None),
        ("GET", "/comments", None),
        ("POST", "/comments", {"comment": {"body": "Well rowed"}}),
        ("DELETE", "/comments/1", None),
    ],
)
def test_an_unknown_article_is_not_found(api, method, path, body):
    ann = api.someone("ann")
    ann.says(ann.writes("Rowing at dawn"), "Well rowed")

    assert ann.refusal(404, method, f"/articles/rowing-at-dawn{path}", body) == {"article": "not found"}


def test_only_the_author_can_update_or_delete_an_article(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    old = ann.writes("Rowing at dawn", "river")
    slug = ann.edits(old, title="Rowing at dusk")["slug"]
    before = ann.reads(slug)
    changes = {"title": "Rowing at noon", "description": "D", "body": "B", "tagList": ["dusk"]}

    for each in (old, slug):
        assert bob.refusal(403, "PUT", f"/articles/{each}", {"article": changes}) == {"article": "forbidden"}
        assert bob.refusal(403, "DELETE", f"/articles/{each}") == {"article": "forbidden"}
    assert ann.reads(slug) == before
    assert api.tags() == ["river"]

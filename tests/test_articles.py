import json
import re
import sqlite3
from itertools import pairwise

import pytest

from db.clock import now
from tests.conftest import sqlite

ARTICLE = {"title": "Rowing at dawn", "description": "Mist, mostly", "body": "The text", "tagList": ["river", "mist"]}

# What can be done under a slug, in an order in which all of it succeeds: method, rest of the path, body, status.
REQUESTS = [
    ("GET", "", None, 200),
    ("PUT", "", {"article": {"body": "Another text"}}, 200),
    ("POST", "/favorite", None, 200),
    ("DELETE", "/favorite", None, 200),
    ("POST", "/comments", {"comment": {"body": "Well rowed"}}, 201),
    ("GET", "/comments", None, 200),
    ("DELETE", "/comments/1", None, 204),
    ("DELETE", "", None, 204),
]


# Writing one


def test_a_new_article_is_answered_as_it_was_given(api):
    ann = api.someone("ann")

    article = ann.post("/articles", {"article": ARTICLE}, status=201).json["article"]

    assert {key: article[key] for key in ARTICLE} == ARTICLE
    assert article["createdAt"] == article["updatedAt"]
    assert (article["favorited"], article["favoritesCount"]) == (False, 0)
    assert article["author"] == {"username": "ann", "bio": None, "image": None, "following": False}


def test_everyone_reads_what_was_written(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    article = ann.post("/articles", {"article": ARTICLE}).json["article"]

    assert api.reads(article["slug"]) == article
    assert bob.reads(article["slug"]) == article


def test_an_article_shows_what_it_is_to_its_reader(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn"), bob.writes("Rowing at dusk")

    bob.likes(slug)
    bob.follows("ann")

    assert (bob.reads(other)["favorited"], bob.reads(other)["author"]["following"]) == (False, False)
    assert (bob.reads(slug)["favorited"], bob.reads(slug)["author"]["following"]) == (True, True)
    assert (ann.reads(slug)["favorited"], ann.reads(slug)["author"]["following"]) == (False, False)
    assert (api.reads(slug)["favorited"], api.reads(slug)["author"]["following"]) == (False, False)


def test_an_article_needs_no_tags(api):
    ann = api.someone("ann")

    untagged = {key: ARTICLE[key] for key in ("title", "description", "body")}
    article = ann.post("/articles", {"article": untagged}).json["article"]

    assert article["tagList"] == []


def test_only_title_and_tags_are_trimmed(api):
    ann = api.someone("ann")

    slug = ann.writes("  Rowing at dawn\n", " river\t", description=" Mist, mostly ", body="\n  The text\n")

    article = ann.reads(slug)
    assert (article["title"], article["tagList"]) == ("Rowing at dawn", ["river"])
    assert (article["description"], article["body"]) == (" Mist, mostly ", "\n  The text\n")


def test_what_an_article_does_not_have_is_ignored(api):
    ann = api.someone("ann")
    made_up = {"slug": "mine", "favoritesCount": 9, "favorited": True, "createdAt": "2001-01-01T00:00:00.000Z"}

    article = ann.post("/articles", {"article": ARTICLE | made_up}).json["article"]

    assert all(article[key] != value for key, value in made_up.items())


def test_all_that_is_wrong_with_an_article_is_said_at_once(api):
    ann = api.someone("ann")

    wrong = ann.refusal(422, "POST", "/articles", {"article": {"title": " ", "body": 7, "tagList": [""]}})

    assert wrong == {
        "title": "can't be blank",
        "description": "can't be blank",
        "body": "must be a string",
        "tagList": "can't be blank",
    }
    assert api.lists()["articlesCount"] == 0


def test_no_text_of_an_article_can_be_blank(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    for value in (None, "", " \t\n", "\u2003"):
        blank = {"title": value, "description": value, "body": value}
        created = ann.refusal(422, "POST", "/articles", {"article": blank})
        changed = ann.refusal(422, "PUT", f"/articles/{slug}", {"article": blank})
        assert created == changed == dict.fromkeys(blank, "can't be blank")


def test_no_text_of_a_new_article_can_be_missing(api):
    ann = api.someone("ann")

    wrong = ann.refusal(422, "POST", "/articles", {"article": {"tagList": ["river"]}})

    assert wrong == dict.fromkeys(["title", "description", "body"], "can't be blank")


UNUSABLE = [
    ("title", 7, "must be a string"),
    ("title", ["Rowing"], "must be a string"),
    ("title", "x" * 256, "is too long (maximum is 255 characters)"),
    ("title", "Row\0ing", "must not contain NUL"),
    ("description", True, "must be a string"),
    ("description", "x" * 1001, "is too long (maximum is 1000 characters)"),
    ("description", "Mist\0", "must not contain NUL"),
    ("body", {}, "must be a string"),
    ("body", "x" * 1_000_001, "is too long (maximum is 1000000 characters)"),
    ("body", "\0", "must not contain NUL"),
    ("tagList", None, "must be an array of strings"),
    ("tagList", "river", "must be an array of strings"),
    ("tagList", {"0": "river"}, "must be an array of strings"),
    ("tagList", ["river", 7], "must be a string"),
    ("tagList", [["river"]], "must be a string"),
    ("tagList", ["river", None], "can't be blank"),
    ("tagList", ["river", ""], "can't be blank"),
    ("tagList", ["river", " \t"], "can't be blank"),
    ("tagList", ["x" * 65], "is too long (maximum is 64 characters)"),
    ("tagList", ["ri\0ver"], "must not contain NUL"),
    ("tagList", [str(number) for number in range(51)], "is too long (maximum is 50 tags)"),
]


def test_an_article_takes_no_unusable_value(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "river")
    before = ann.reads(slug)

    for field, value, message in UNUSABLE:
        created = ann.refusal(422, "POST", "/articles", {"article": ARTICLE | {field: value}})
        changed = ann.refusal(422, "PUT", f"/articles/{slug}", {"article": {"body": "Another text"} | {field: value}})
        assert created == changed == {field: message}
    assert ann.reads(slug) == before
    assert api.lists()["articlesCount"] == 1


LONGEST = [
    ("title", "é" * 255),
    ("description", "é" * 1000),
    ("body", "x" * 1_000_000),
    ("tagList", ["é" * 64]),
    ("tagList", [str(number) for number in range(50)]),
]


def test_an_article_takes_the_longest_that_is_promised(api):
    ann = api.someone("ann")

    for field, value in LONGEST:
        slug = ann.post("/articles", {"article": ARTICLE | {field: value}}).json["article"]["slug"]
        assert ann.reads(slug)[field] == value


def test_a_body_without_an_article_is_refused(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    for body in ({}, {"article": None}, {"article": [ARTICLE]}, {"article": "x"}, ARTICLE):
        created = ann.refusal(422, "POST", "/articles", body)
        changed = ann.refusal(422, "PUT", f"/articles/{slug}", body)
        assert created == changed == {"article": "can't be blank"}


# Tags


def test_tags_keep_the_order_in_which_they_were_given(api):
    ann = api.someone("ann")
    ann.writes("Others before", "dawn", "mist", "river")

    slug = ann.writes("Rowing at dawn", "river", "mist", "dawn", "boat")

    assert ann.reads(slug)["tagList"] == ["river", "mist", "dawn", "boat"]


def test_a_tag_given_twice_counts_once_where_it_came_first(api):
    ann = api.someone("ann")

    slug = ann.writes("Rowing at dawn", "river", "mist", " river ", "mist", "dawn")
    article = ann.edits(ann.writes("Rowing at dusk"), tagList=["mist", "dawn", " mist"])

    assert ann.reads(slug)["tagList"] == ["river", "mist", "dawn"]
    assert article["tagList"] == ["mist", "dawn"]


def test_fifty_tags_are_counted_without_the_repeated_ones(api):
    ann = api.someone("ann")
    fifty = [str(number) for number in range(50)]

    slug = ann.writes("Rowing at dawn", *fifty, *fifty)

    assert ann.reads(slug)["tagList"] == fifty


# Slugs


def test_a_slug_is_made_of_the_title(api):
    ann = api.someone("ann")

    slug = ann.writes("Rowing at dawn: été!")

    assert re.fullmatch(r"rowing-at-dawn-ete-[a-z2-9]{8}", slug)


def test_equal_titles_get_different_slugs(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    slugs = [ann.writes("Rowing at dawn"), ann.writes("Rowing at dawn"), bob.writes("Rowing at dawn")]

    assert len(set(slugs)) == 3
    assert [api.reads(slug)["slug"] for slug in slugs] == slugs
    assert api.reads(slugs[2])["author"]["username"] == "bob"


def test_a_title_without_letters_gets_a_slug_all_the_same(api):
    ann = api.someone("ann")
    titles = ["!!!", "🚣", "'", "-", "…", "\u200b", "&amp;", "&#0;", "/", "..", "?", "%FF"] * 2

    slugs = [ann.writes(title) for title in titles]

    assert len(set(slugs)) == len(titles)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", slug) for slug in slugs)
    assert [api.reads(slug)["title"] for slug in slugs] == titles


def test_no_article_stands_in_the_way_of_the_feed(api):
    ann = api.someone("ann")
    titles = ["feed", "Feed", "FEED!", "ｆｅｅｄ"]

    slugs = [ann.writes(title) for title in titles]
    slugs += [ann.edits(ann.writes("Rowing at dawn"), title=title)["slug"] for title in titles]

    assert "feed" not in slugs
    assert [api.reads(slug)["title"] for slug in slugs] == titles * 2
    assert ann.feed()["articlesCount"] == 0


def test_a_new_title_gives_a_new_slug(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    article = ann.edits(slug, title="Rowing at dusk")

    assert article["slug"] != slug
    assert article["slug"].startswith("rowing-at-dusk-")
    assert api.reads(article["slug"]) == article


def test_a_title_that_makes_the_same_slug_keeps_it(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    article = ann.edits(slug, title="Rowing… at DAWN!")

    assert (article["slug"], article["title"]) == (slug, "Rowing… at DAWN!")


def test_every_slug_of_an_article_leads_to_it(api):
    ann = api.someone("ann")
    first = ann.writes("Rowing at dawn")
    second = ann.edits(first, title="Rowing at dusk")["slug"]

    article = ann.edits(first, title="!!!")

    assert len({first, second, article["slug"]}) == 3
    assert api.reads(first) == api.reads(second) == api.reads(article["slug"]) == article


def test_an_article_can_return_to_an_old_title(api):
    ann = api.someone("ann")
    first = ann.writes("Rowing at dawn")
    second = ann.edits(first, title="Rowing at dusk")["slug"]

    article = ann.edits(second, title="Rowing at dawn")

    assert article["slug"] == first
    assert api.reads(first) == api.reads(second) == article


def test_an_old_slug_answers_to_every_method(api):
    ann = api.someone("ann")
    old = ann.writes("Rowing at dawn")
    new = ann.edits(old, title="Rowing at dusk")["slug"]

    for method, path, body, status in REQUESTS:
        answer = ann.call(method, f"/articles/{old}{path}", body, status=status)
        assert '"article"' not in answer or answer.json["article"]["slug"] == new


def test_what_is_done_under_an_old_slug_is_done_to_the_article(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    old = ann.writes("Rowing at dawn")
    new = ann.edits(old, title="Rowing at dusk")["slug"]

    edited = ann.edits(old, body="Another text")
    bob.likes(old)
    comment = bob.says(old, "Well rowed")

    assert edited["slug"] == new
    assert (api.reads(new)["body"], api.reads(new)["favoritesCount"]) == ("Another text", 1)
    assert api.comments_of(new) == api.comments_of(old) == [comment]
    assert bob.unlikes(old)["favoritesCount"] == 0


def test_an_article_deleted_under_an_old_slug_is_gone(api):
    ann = api.someone("ann")
    old = ann.writes("Rowing at dawn")
    new = ann.edits(old, title="Rowing at dusk")["slug"]

    ann.deletes(old)

    assert api.refusal(404, "GET", f"/articles/{new}") == {"article": "not found"}
    assert api.refusal(404, "GET", f"/articles/{old}") == {"article": "not found"}


def test_no_other_article_takes_an_old_slug(api, db):
    ann = api.someone("ann")
    publish(db, slug="dusk-aaaaaaaa")
    publish(db, slug="dawn-aaaaaaaa")
    ann.edits("dusk-aaaaaaaa", title="Night")

    # The same eight characters are one chance in 10^12; the words are the same every day.
    taken = ann.refusal(409, "PUT", "/articles/dawn-aaaaaaaa", {"article": {"title": "Dusk"}})
    with pytest.raises(sqlite3.IntegrityError):
        publish(db, slug="dusk-aaaaaaaa")

    assert taken == {"title": "has already been taken"}
    assert (api.reads("dawn-aaaaaaaa")["slug"], api.reads("dawn-aaaaaaaa")["title"]) == ("dawn-aaaaaaaa", "Rowing")
    assert api.reads("dusk-aaaaaaaa")["title"] == "Night"
    assert api.lists()["articlesCount"] == 2


def test_the_slugs_of_a_deleted_article_are_free_again(api, db):
    ann = api.someone("ann")
    publish(db, slug="dusk-aaaaaaaa")
    ann.deletes(ann.edits("dusk-aaaaaaaa", title="Night")["slug"])

    publish(db, slug="dusk-aaaaaaaa")

    assert api.reads("dusk-aaaaaaaa")["title"] == "Rowing"


def publish(db, slug):
    """An article with a slug of our choice, by the first user."""
    db.write("articles/create", slug=slug, me=1, title="Rowing", description="About it", body="The text", now=now())


# Changing one


CHANGES = [
    ("description", "Another matter"),
    ("tagList", ["dusk", "river"]),
    ("body", "Another text"),
    ("tagList", []),
    ("description", "The same as before"),
]


def test_an_update_changes_what_is_sent_and_nothing_else(api):
    ann = api.someone("ann")
    article = ann.post("/articles", {"article": ARTICLE}).json["article"]

    for field, value in CHANGES:
        before, article = article, ann.edits(article["slug"], **{field: value})
        assert article == before | {field: value, "updatedAt": article["updatedAt"]}
        assert api.reads(before["slug"]) == article


def test_a_new_title_changes_title_and_slug_alone(api):
    ann = api.someone("ann")
    before = ann.post("/articles", {"article": ARTICLE}).json["article"]

    article = ann.edits(before["slug"], title=" Rowing at dusk ")

    kept = ("description", "body", "tagList", "createdAt", "favorited", "favoritesCount", "author")
    assert {key: article[key] for key in kept} == {key: before[key] for key in kept}
    assert article["title"] == "Rowing at dusk"


def test_an_update_changes_no_other_article(api):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river", "mist")
    before = ann.reads(other)

    ann.edits(slug, title="Rowing", description="Short", body="Shorter", tagList=["boat"])

    assert ann.reads(other) == before


def test_an_update_can_change_everything_at_once(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "river")
    changes = {"title": "At dusk", "description": "D", "body": "B", "tagList": ["mist", "boat"]}

    article = ann.edits(slug, **changes)

    assert {key: article[key] for key in changes} == changes


def test_an_update_with_one_bad_field_changes_nothing(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "river")
    before = ann.reads(slug)

    wrong = ann.refusal(422, "PUT", f"/articles/{slug}", {"article": {"title": "Dusk", "body": "B", "tagList": None}})

    assert wrong == {"tagList": "must be an array of strings"}
    assert ann.reads(slug) == before


def test_an_update_of_what_an_article_does_not_have_is_none(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    before = ann.reads(slug)
    made_up = {"id": 9, "favoritesCount": 9, "createdAt": "2001-01-01T00:00:00.000Z", "author": "bob"}

    wrong = [ann.refusal(422, "PUT", f"/articles/{slug}", {"article": sent}) for sent in ({}, made_up)]
    article = ann.edits(slug, body="Another text", **made_up)

    assert wrong == [{"article": "can't be blank"}] * 2
    assert article == before | {"body": "Another text", "updatedAt": article["updatedAt"]}


def test_an_article_is_created_once_however_often_it_changes(api, db):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    sqlite(db, "UPDATE articles SET created_at = '2026-01-05T06:30:00.000Z'")

    ann.edits(slug, title="Rowing at dusk")
    article = ann.edits(slug, body="Another text", tagList=["dusk"])

    assert article["createdAt"] == "2026-01-05T06:30:00.000Z"


def test_every_update_makes_an_article_younger(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "river")
    same = {"title": "Rowing at dawn", "description": "About it", "body": "The text", "tagList": ["river"]}

    times = [ann.reads(slug)["updatedAt"]]
    times += [ann.edits(slug, **{key: value})["updatedAt"] for key, value in same.items()]

    assert all(earlier < later for earlier, later in pairwise(times))
    assert ann.reads(slug)["updatedAt"] == times[-1]


def test_updates_within_a_millisecond_follow_each_other(api, db):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    update = {"me": 1, "slug": slug, "changes": json.dumps({"body": "Another text"}), "words": None}

    times = []
    for _ in range(3):
        db.write("articles/update", **update, now="2099-01-31T12:00:00.000Z")
        times.append(api.reads(slug)["updatedAt"])

    assert times == ["2099-01-31T12:00:00.000Z", "2099-01-31T12:00:00.001Z", "2099-01-31T12:00:00.002Z"]


AHEAD = [
    ("2099-01-31T12:00:00.000Z", "2099-01-31T12:00:00.001Z"),
    ("2099-01-31T12:00:01.001Z", "2099-01-31T12:00:01.002Z"),
    ("2099-01-31T12:00:16.001Z", "2099-01-31T12:00:16.002Z"),
    ("2099-01-31T12:00:32.769Z", "2099-01-31T12:00:32.770Z"),
    ("2099-12-31T23:59:59.999Z", "2100-01-01T00:00:00.000Z"),
]


def test_an_article_grows_younger_also_when_the_clock_goes_back(api, db):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    for stored, later in AHEAD:
        sqlite(db, "UPDATE articles SET updated_at = ?", stored)
        assert ann.edits(slug, body="Another text")["updatedAt"] == later


def test_an_article_changes_its_time_only_when_it_is_updated(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river")
    sqlite(db, "UPDATE articles SET created_at = '2026-01-05T06:30:00.000Z', updated_at = '2026-01-05T06:30:00.000Z'")

    bob.likes(slug)
    bob.unlikes(slug)
    comment = bob.says(slug, "Well rowed")
    bob.delete(f"/articles/{slug}/comments/{comment['id']}")
    ann.edits(other, tagList=[])
    ann.changes(bio="I row")
    bob.refusal(403, "PUT", f"/articles/{slug}", {"article": {"body": "Mine"}})
    ann.refusal(422, "PUT", f"/articles/{slug}", {"article": {"body": ""}})

    assert api.reads(slug)["updatedAt"] == "2026-01-05T06:30:00.000Z"


# Deleting one


def test_a_deleted_article_is_gone_for_everyone(api):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")

    answer = ann.delete(f"/articles/{slug}", status=204)

    assert answer.body == b""
    assert api.refusal(404, "GET", f"/articles/{slug}") == {"article": "not found"}
    assert ann.refusal(404, "DELETE", f"/articles/{slug}") == {"article": "not found"}
    assert api.titles() == ["Rowing at dusk"]
    assert api.reads(other)["title"] == "Rowing at dusk"


def test_comments_and_favorites_go_with_their_article(api, db):
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


# What is refused, and in which order


def test_an_unknown_article_is_not_found_by_any_method(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn")

    for method, path, body, _ in REQUESTS:
        assert ann.refusal(404, method, f"/articles/rowing-at-dawn{path}", body) == {"article": "not found"}


def test_a_token_is_asked_for_before_the_article_is_looked_for(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    ann.says(slug, "Well rowed")
    before = api.reads(slug)

    for method, path, body, _ in REQUESTS:
        for each in (slug, "nothing") if method != "GET" else ():
            assert api.refusal(401, method, f"/articles/{each}{path}", body) == {"token": "is missing"}
    assert api.reads(slug) == before
    assert len(api.comments_of(slug)) == 1


def test_a_token_is_asked_for_before_the_body_is_read(api):
    assert api.refusal(401, "POST", "/articles", {"article": {}}) == {"token": "is missing"}
    assert api.refusal(401, "PUT", "/articles/nothing", {"article": {}}) == {"token": "is missing"}


def test_the_body_is_read_before_the_article_is_looked_for(api):
    ann = api.someone("ann")

    wrong = ann.refusal(422, "PUT", "/articles/nothing", {"article": {"title": ""}})

    assert wrong == {"title": "can't be blank"}


def test_the_body_is_read_before_its_sender_is_judged(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")

    wrong = bob.refusal(422, "PUT", f"/articles/{slug}", {"article": {"title": ""}})

    assert wrong == {"title": "can't be blank"}


def test_only_its_author_may_change_an_article(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn", "river")
    before = ann.reads(slug)
    changes = {"title": "Rowing at dusk", "description": "D", "body": "B", "tagList": ["dusk"]}

    wrong = bob.refusal(403, "PUT", f"/articles/{slug}", {"article": changes})

    assert wrong == {"article": "forbidden"}
    assert ann.reads(slug) == before
    assert api.tags() == ["river"]


def test_only_its_author_may_delete_an_article(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    old = ann.writes("Rowing at dawn")
    slug = ann.edits(old, title="Rowing at dusk")["slug"]

    assert bob.refusal(403, "DELETE", f"/articles/{slug}") == {"article": "forbidden"}
    assert bob.refusal(403, "DELETE", f"/articles/{old}") == {"article": "forbidden"}
    assert api.reads(slug)["title"] == "Rowing at dusk"


def test_the_feed_is_no_article(api):
    ann = api.someone("ann")

    assert ann.refusal(404, "PUT", "/articles/feed", {"article": {"body": "B"}}) == {"article": "not found"}
    assert ann.refusal(404, "DELETE", "/articles/feed") == {"article": "not found"}

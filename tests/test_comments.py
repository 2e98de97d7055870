from urllib.parse import quote

import pytest


def comment_on(db, slug, bodies):
    """Add many comments at once, by the first user."""
    calls = [db.submit("comments/create", slug=slug, me=1, body=body, now=db.clock.now()) for body in bodies]
    for call in calls:
        call.result()


def test_a_comment_is_returned_as_sent(api, clock):
    ann, bob = api.someone("ann"), api.someone("bob")
    bob.changes(bio="I row", image="https://example.org/bob.png")
    slug = ann.writes("Rowing at dawn")
    clock.advance(minutes=5)

    comment = bob.post(f"/articles/{slug}/comments", {"comment": {"body": " Well\nrowed "}}, status=201).json["comment"]

    assert isinstance(comment["id"], int)
    assert comment["body"] == " Well\nrowed "
    assert comment["createdAt"] == comment["updatedAt"] == clock.now()
    assert comment["author"] == bob.profile("bob")
    assert api.comments_of(slug) == [comment]


def test_each_article_lists_its_own_comments_newest_first(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    dawn, dusk, noon = (ann.writes(title) for title in ("Rowing at dawn", "Rowing at dusk", "Rowing at noon"))

    said = [bob.says(dawn, "One"), ann.says(dusk, "Two"), bob.says(dusk, "Three"), ann.says(dawn, "Four")]

    assert [comment["body"] for comment in said] == ["One", "Two", "Three", "Four"]
    assert [comment["author"]["username"] for comment in said] == ["bob", "ann", "bob", "ann"]
    assert said[0]["id"] < said[1]["id"] < said[2]["id"] < said[3]["id"]
    assert api.comments_of(dawn) == [said[3], said[0]]
    assert api.comments_of(dusk) == [said[2], said[1]]
    assert api.comments_of(noon) == []


def test_following_in_a_comment_depends_on_the_reader(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    slug = ann.writes("Rowing at dawn")
    bob.says(slug, "Well rowed")
    cem.says(slug, "Indeed")

    ann.follows("bob")

    assert [comment["author"]["following"] for comment in ann.comments_of(slug)] == [False, True]
    assert [comment["author"]["following"] for comment in bob.comments_of(slug)] == [False, False]
    assert [comment["author"]["following"] for comment in api.comments_of(slug)] == [False, False]


# Ids


def test_ids_are_never_reused(api):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    ids = [ann.says(slug, "One")["id"], ann.says(slug, "Two")["id"]]

    for comment in ids[::-1]:
        ann.delete(f"/articles/{slug}/comments/{comment}")
    ids.append(ann.says(other, "Three")["id"])
    ann.deletes(other)
    ids.append(ann.says(slug, "Four")["id"])

    assert ids == sorted(set(ids))


NO_IDS = ["abc", "0", "-1", "007", "01", "1.0", "1e0", "+1", " 1", "\n1", "1 ", "1_0", "0x1", "１", "١", "1,1"]
NO_IDS += ["2", "9223372036854775807", "9223372036854775808", "18446744073709551617", "1" + "0" * 5000, "null", "*"]


def test_an_id_that_no_comment_has_is_not_found(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    comment = ann.says(slug, "Well rowed")

    for other in NO_IDS:
        wrong = ann.refusal(404, "DELETE", f"/articles/{slug}/comments/{quote(other)}")
        assert wrong == {"comment": "not found"}, other
    assert comment["id"] == 1
    assert api.comments_of(slug) == [comment]


# Deleting


def test_the_author_can_delete_a_comment_once(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    comments = [bob.says(slug, text) for text in ("One", "Two", "Three")]
    path = f"/articles/{slug}/comments/{comments[1]['id']}"

    response = bob.delete(path, status=204)

    assert response.body == b""
    assert api.comments_of(slug) == [comments[2], comments[0]]
    assert bob.refusal(404, "DELETE", path) == {"comment": "not found"}


def test_others_cannot_delete_a_comment_not_even_the_author_of_the_article(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    slug = ann.writes("Rowing at dawn")
    comment = bob.says(slug, "Well rowed")
    path = f"/articles/{slug}/comments/{comment['id']}"

    assert ann.refusal(403, "DELETE", path) == {"comment": "forbidden"}
    assert cem.refusal(403, "DELETE", path) == {"comment": "forbidden"}
    assert api.refusal(401, "DELETE", path) == {"token": "is missing"}
    assert api.comments_of(slug) == [comment]


def test_errors_are_checked_in_the_order_token_body_article_comment_permission(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    comment = ann.says(slug, "Well rowed")
    empty, good = {"comment": {"body": ""}}, {"comment": {"body": "Well rowed"}}
    no_article, no_comment = {"article": "not found"}, {"comment": "not found"}

    assert api.refusal(401, "POST", "/articles/nothing/comments", empty) == {"token": "is missing"}
    assert ann.refusal(422, "POST", "/articles/nothing/comments", empty) == {"body": "can't be blank"}
    assert ann.refusal(404, "POST", "/articles/nothing/comments", good) == no_article
    assert api.refusal(401, "DELETE", "/articles/nothing/comments/abc") == {"token": "is missing"}
    assert ann.refusal(404, "DELETE", "/articles/nothing/comments/abc") == no_article
    assert ann.refusal(404, "DELETE", f"/articles/nothing/comments/{comment['id']}") == no_article
    assert bob.refusal(404, "DELETE", f"/articles/nothing/comments/{comment['id']}") == no_article
    assert bob.refusal(404, "DELETE", f"/articles/{slug}/comments/99") == no_comment
    assert ann.refusal(404, "DELETE", f"/articles/{other}/comments/{comment['id']}") == no_comment
    assert bob.refusal(404, "DELETE", f"/articles/{other}/comments/{comment['id']}") == no_comment
    assert bob.refusal(403, "DELETE", f"/articles/{slug}/comments/{comment['id']}") == {"comment": "forbidden"}
    assert api.comments_of(slug) == [comment]


# Paging


@pytest.mark.parametrize(("count", "sizes"), [(1000, [1000]), (1001, [1000, 1]), (1010, [1000, 10])])
def test_a_page_has_1000_comments_and_new_ones_do_not_shift_the_next_page(api, db, count, sizes):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    comment_on(db, other, ["Elsewhere"])
    comment_on(db, slug, [str(number) for number in range(count)])

    pages = []
    for page in api.pages(f"/articles/{slug}/comments"):
        pages.append(page["comments"])
        ann.says(slug, "Just in")

    assert [len(page) for page in pages] == sizes
    bodies = [comment["body"] for page in pages for comment in page]
    assert bodies == [str(number) for number in range(count - 1, -1, -1)]

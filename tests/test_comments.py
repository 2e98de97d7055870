from urllib.parse import quote

from tests.conftest import statements_of


def comment_on(db, slug, bodies, me=1):
    """Many comments at once, by the user `me`."""
    calls = [
        db.submit("comments/create", slug=slug, me=me, body=body, now="2026-01-31T12:00:00.000Z") for body in bodies
    ]
    for call in calls:
        call.result()


def bodies_of(pages):
    return [comment["body"] for page in pages for comment in page["comments"]]


# Writing and reading them


def test_a_comment_is_answered_as_it_was_given(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    bob.changes(bio="I row", image="https://example.org/bob.png")
    slug = ann.writes("Rowing at dawn")

    comment = bob.post(f"/articles/{slug}/comments", {"comment": {"body": " Well\nrowed "}}, status=201).json["comment"]

    assert isinstance(comment["id"], int)
    assert comment["body"] == " Well\nrowed "
    assert comment["createdAt"] == comment["updatedAt"]
    assert comment["author"] == bob.profile("bob")
    assert api.comments_of(slug) == [comment]


def test_the_newest_comment_comes_first(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")

    said = [bob.says(slug, "One"), ann.says(slug, "Two"), bob.says(slug, "Three")]

    assert api.comments_of(slug) == said[::-1]
    assert said[0]["id"] < said[1]["id"] < said[2]["id"]


def test_comments_stand_under_their_article_alone(api):
    ann = api.someone("ann")
    dawn, dusk, noon = (ann.writes(title) for title in ("Rowing at dawn", "Rowing at dusk", "Rowing at noon"))

    ann.says(dawn, "Early")
    ann.says(dusk, "Late")

    assert bodies_of([{"comments": api.comments_of(dawn)}]) == ["Early"]
    assert bodies_of([{"comments": api.comments_of(dusk)}]) == ["Late"]
    assert api.comments_of(noon) == []


def test_a_reader_sees_which_commenters_they_follow(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    slug = ann.writes("Rowing at dawn")
    bob.says(slug, "Well rowed")
    cem.says(slug, "Indeed")

    ann.follows("bob")

    assert [comment["author"]["following"] for comment in ann.comments_of(slug)] == [False, True]
    assert [comment["author"]["following"] for comment in bob.comments_of(slug)] == [False, False]
    assert [comment["author"]["following"] for comment in api.comments_of(slug)] == [False, False]


def test_the_answer_to_a_comment_is_that_comment(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    dawn, dusk = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")

    said = [bob.says(dawn, "One"), ann.says(dusk, "Two"), bob.says(dusk, "Three"), ann.says(dawn, "Four")]

    assert [comment["body"] for comment in said] == ["One", "Two", "Three", "Four"]
    assert [comment["author"]["username"] for comment in said] == ["bob", "ann", "bob", "ann"]


UNUSABLE = [
    ({}, {"comment": "can't be blank"}),
    ({"comment": None}, {"comment": "can't be blank"}),
    ({"comment": "Well rowed"}, {"comment": "can't be blank"}),
    ({"body": "Well rowed"}, {"comment": "can't be blank"}),
    ({"comment": {}}, {"body": "can't be blank"}),
    ({"comment": {"body": None}}, {"body": "can't be blank"}),
    ({"comment": {"body": ""}}, {"body": "can't be blank"}),
    ({"comment": {"body": " \t\n"}}, {"body": "can't be blank"}),
    ({"comment": {"body": 7}}, {"body": "must be a string"}),
    ({"comment": {"body": ["Well", "rowed"]}}, {"body": "must be a string"}),
    ({"comment": {"body": "Well\0rowed"}}, {"body": "must not contain NUL"}),
    ({"comment": {"body": "x" * 65537}}, {"body": "is too long (maximum is 65536 characters)"}),
]


def test_a_comment_takes_no_unusable_value(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    for sent, wrong in UNUSABLE:
        assert ann.refusal(422, "POST", f"/articles/{slug}/comments", sent) == wrong
    assert api.comments_of(slug) == []


def test_a_comment_takes_the_longest_that_is_promised(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    ann.says(slug, "é" * 65536)

    assert api.comments_of(slug)[0]["body"] == "é" * 65536


def test_what_a_comment_does_not_have_is_ignored(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    made_up = {"id": 99, "createdAt": "2001-01-01T00:00:00.000Z", "author": "bob"}

    comment = ann.post(f"/articles/{slug}/comments", {"comment": {"body": "Well rowed"} | made_up}).json["comment"]

    assert all(comment[key] != value for key, value in made_up.items())


# Their ids


def test_no_id_is_used_again(api):
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


def test_what_is_not_the_id_of_a_comment_is_not_found(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    comment = ann.says(slug, "Well rowed")

    for other in NO_IDS:
        wrong = ann.refusal(404, "DELETE", f"/articles/{slug}/comments/{quote(other)}")
        assert wrong == {"comment": "not found"}, other
    assert comment["id"] == 1
    assert api.comments_of(slug) == [comment]


# Deleting them


def test_its_author_may_delete_a_comment(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    comments = [bob.says(slug, text) for text in ("One", "Two", "Three")]

    answer = bob.delete(f"/articles/{slug}/comments/{comments[1]['id']}", status=204)

    assert answer.body == b""
    assert api.comments_of(slug) == [comments[2], comments[0]]


def test_a_comment_is_deleted_once(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    path = f"/articles/{slug}/comments/{ann.says(slug, 'Well rowed')['id']}"
    ann.delete(path)

    assert ann.refusal(404, "DELETE", path) == {"comment": "not found"}


def test_nobody_else_may_delete_a_comment(api):
    ann, bob, cem = (api.someone(name) for name in ("ann", "bob", "cem"))
    slug = ann.writes("Rowing at dawn")
    comment = bob.says(slug, "Well rowed")
    path = f"/articles/{slug}/comments/{comment['id']}"

    # Not even who wrote the article.
    assert ann.refusal(403, "DELETE", path) == {"comment": "forbidden"}
    assert cem.refusal(403, "DELETE", path) == {"comment": "forbidden"}
    assert api.refusal(401, "DELETE", path) == {"token": "is missing"}
    assert api.comments_of(slug) == [comment]


def test_the_comment_of_another_article_is_not_found(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    dawn, dusk = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    comment = ann.says(dawn, "Well rowed")

    # Found or not comes before allowed or not.
    assert ann.refusal(404, "DELETE", f"/articles/{dusk}/comments/{comment['id']}") == {"comment": "not found"}
    assert bob.refusal(404, "DELETE", f"/articles/{dusk}/comments/{comment['id']}") == {"comment": "not found"}
    assert api.comments_of(dawn) == [comment]


# What is refused, and in which order

NO_ARTICLE = {"article": "not found"}


def test_token_then_body_then_article_then_comment_then_permission(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    comment = ann.says(slug, "Well rowed")["id"]
    empty = {"comment": {"body": ""}}

    assert api.refusal(401, "POST", "/articles/nothing/comments", empty) == {"token": "is missing"}
    assert ann.refusal(422, "POST", "/articles/nothing/comments", empty) == {"body": "can't be blank"}
    assert ann.refusal(404, "POST", "/articles/nothing/comments", {"comment": {"body": "B"}}) == NO_ARTICLE
    assert api.refusal(401, "DELETE", "/articles/nothing/comments/abc") == {"token": "is missing"}
    assert ann.refusal(404, "DELETE", "/articles/nothing/comments/abc") == NO_ARTICLE
    assert ann.refusal(404, "DELETE", f"/articles/nothing/comments/{comment}") == NO_ARTICLE
    assert bob.refusal(404, "DELETE", f"/articles/nothing/comments/{comment}") == NO_ARTICLE
    assert bob.refusal(404, "DELETE", f"/articles/{slug}/comments/99") == {"comment": "not found"}
    assert bob.refusal(403, "DELETE", f"/articles/{slug}/comments/{comment}") == {"comment": "forbidden"}


def test_an_unknown_article_has_no_comments(api):
    assert api.refusal(404, "GET", "/articles/nothing/comments") == NO_ARTICLE
    assert api.refusal(404, "GET", "/articles/feed/comments") == NO_ARTICLE


# Many of them


def test_the_newest_thousand_comments_lead_to_the_older_ones(api, db):
    slug = api.someone("ann").writes("Rowing at dawn")
    comment_on(db, slug, [str(number) for number in range(1010)])

    pages = list(api.pages(f"/articles/{slug}/comments"))

    assert [len(page["comments"]) for page in pages] == [1000, 10]
    assert bodies_of(pages) == [str(number) for number in range(1009, -1, -1)]


def test_a_thousand_comments_are_one_page(api, db):
    slug = api.someone("ann").writes("Rowing at dawn")
    comment_on(db, slug, [str(number) for number in range(1000)])

    pages = list(api.pages(f"/articles/{slug}/comments"))

    assert [len(page["comments"]) for page in pages] == [1000]


def test_new_comments_do_not_shift_the_pages_behind(api, db):
    ann = api.someone("ann")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    comment_on(db, other, ["Elsewhere"])
    comment_on(db, slug, [str(number) for number in range(1001)])

    pages = []
    for page in api.pages(f"/articles/{slug}/comments"):
        pages.append(page)
        ann.says(slug, "Just in")

    assert bodies_of(pages) == [str(number) for number in range(1000, -1, -1)]


def test_a_cursor_that_no_link_gave_is_refused(api):
    slug = api.someone("ann").writes("Rowing at dawn")
    wrong = {"cursor": "must come from the Link header of an earlier page"}

    for sent in ("", "x", "20", "before:20", "YmVmb3JlOjA"):
        assert api.refusal(422, "GET", f"/articles/{slug}/comments?cursor={sent}") == wrong, sent


def test_comments_run_as_many_statements_over_1000_as_over_one(api, db):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    comment_on(db, slug, ["One"])

    over_one = statements_of(db, ann, f"/articles/{slug}/comments")
    comment_on(db, slug, [str(number) for number in range(1000)])
    over_1000 = statements_of(db, ann, f"/articles/{slug}/comments")

    assert 1 <= over_1000 == over_one <= 4

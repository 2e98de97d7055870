"""If-Match on PUT and DELETE of an article: no update is lost."""

import pytest

DOES_NOT_MATCH = {"etag": "does not match"}


@pytest.fixture
def ann(api):
    return api.someone("ann")


@pytest.fixture
def slug(ann):
    return ann.writes("Rowing at dawn")


def etag_of(reader, slug):
    return reader.get(f"/articles/{slug}").headers["ETag"]


def edit(someone, slug, etag, **options):
    return someone.put(f"/articles/{slug}", {"article": {"body": "New"}}, headers={"If-Match": etag}, **options)


def refusal(someone, slug, etag, status=412, method="PUT"):
    body = {"article": {"body": "New"}} if method == "PUT" else None
    return someone.refusal(status, method, f"/articles/{slug}", body, headers={"If-Match": etag})


def test_the_etag_of_an_article_begins_with_its_version(ann, slug):
    assert etag_of(ann, slug).startswith(f'"{ann.reads(slug)["updatedAt"]}-')


def test_an_article_that_has_changed_since_is_neither_changed_nor_deleted(ann, slug, clock):
    etag = etag_of(ann, slug)
    ann.edits(slug, body="Meanwhile")

    assert refusal(ann, slug, etag) == DOES_NOT_MATCH
    assert refusal(ann, slug, etag, method="DELETE") == DOES_NOT_MATCH
    assert ann.reads(slug)["body"] == "Meanwhile"
    assert edit(ann, slug, etag_of(ann, slug)).json["article"]["body"] == "New"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '{}, "x"', '"",{}', " {} ", '"x" , W/{}'])
def test_an_unchanged_article_is_changed(ann, slug, form):
    assert edit(ann, slug, form.format(etag_of(ann, slug))).json["article"]["body"] == "New"


@pytest.mark.parametrize("suffix", ["-gzip", ";br", "--zstd"])
def test_a_proxy_that_compresses_causes_no_412(ann, slug, suffix):
    assert edit(ann, slug, etag_of(ann, slug)[:-1] + suffix + '"')


def test_neither_the_caller_nor_a_favorite_nor_a_new_bio_causes_a_412(api, ann, slug):
    etag = etag_of(api, slug)
    api.someone("bob").likes(slug)
    ann.changes(bio="Rows")

    assert etag != etag_of(ann, slug)
    assert edit(ann, slug, etag)


def test_new_tags_alone_are_a_change(ann, slug):
    etag = etag_of(ann, slug)
    ann.edits(slug, tagList=["boats"])

    assert refusal(ann, slug, etag) == DOES_NOT_MATCH


def test_a_star_matches_any_article_that_exists(ann, slug):
    assert edit(ann, slug, "*")
    assert refusal(ann, "nothing", "*", 404) == {"article": "not found"}
    ann.delete(f"/articles/{slug}", headers={"If-Match": " * "}, status=204)


@pytest.mark.parametrize(
    "etag",
    ["", '""', '"x"', "x", '"*"', '*, "x"', "W/*", '"2026-01-31"', "2026-01-31T12:00:00.000Z", '"é"', "," * 5000],
)
def test_what_is_no_etag_of_the_article_does_not_match(ann, slug, etag):
    assert refusal(ann, slug, etag) == DOES_NOT_MATCH
    assert refusal(ann, slug, etag, method="DELETE") == DOES_NOT_MATCH


def test_what_is_not_found_or_forbidden_is_said_first(api, ann, slug):
    bob = api.someone("bob")

    for method in "PUT", "DELETE":
        assert refusal(bob, slug, '"x"', 403, method) == {"article": "forbidden"}
        assert refusal(bob, "nothing", '"x"', 404, method) == {"article": "not found"}
        assert refusal(api, slug, '"x"', 401, method) == {"token": "is missing"}


def test_a_moderator_deletes_what_was_read_and_nothing_newer(api, ann, slug, promote):
    moderator = promote(api.someone("mod"), "moderator")
    etag = etag_of(moderator, slug)
    ann.edits(slug, body="Meanwhile")

    assert refusal(moderator, slug, etag, method="DELETE") == DOES_NOT_MATCH
    moderator.delete(f"/articles/{slug}", headers={"If-Match": etag_of(moderator, slug)}, status=204)


def test_an_old_slug_has_the_version_of_its_article(ann, slug):
    new = ann.edits(slug, title="Rowing at dusk")["slug"]

    assert edit(ann, new, etag_of(ann, slug))


def test_other_routes_ignore_it(ann, slug):
    ignored = {"If-Match": '"x"'}

    assert ann.get(f"/articles/{slug}", headers=ignored).status_int == 200
    assert ann.post(f"/articles/{slug}/favorite", headers=ignored).status_int == 200
    assert ann.put("/user", {"user": {"bio": "Rows"}}, headers=ignored).status_int == 200


def test_it_may_be_sent_by_pages_of_other_origins(api):
    sent = {"Origin": "https://pages.example.org", "Access-Control-Request-Method": "PUT"}

    assert "If-Match" in api.client.options("/api/articles/x", headers=sent).headers["Access-Control-Allow-Headers"]


def test_the_text_of_an_article_is_not_taken_for_its_version(ann):
    slug = ann.writes('"updatedAt":"x"', body='{"updatedAt":"y"}', description='\\"updatedAt":"z"')

    assert etag_of(ann, slug).startswith(f'"{ann.reads(slug)["updatedAt"]}-')

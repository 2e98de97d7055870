"""A filter that is blank counts as absent; tags are compared in Unicode's form C."""

import unicodedata

import pytest

NFD = unicodedata.normalize("NFD", "Ägäis")
NFC = unicodedata.normalize("NFC", "Ägäis")


@pytest.mark.parametrize("blank", ["", "%20", "+", "%20%09", "%E3%80%80"])
@pytest.mark.parametrize("name", ["tag", "author", "favorited", "q", "limit", "offset", "cursor"])
def test_a_blank_filter_of_articles_is_ignored(api, name, blank):
    api.someone("ann").writes("Rowing", "boats")

    assert api.get(f"/articles?{name}={blank}").json == api.lists()
    assert api.get(f"/articles?tag=boats&{name}={blank}").json["articlesCount"] == 1


def test_a_form_with_all_its_fields_empty_lists_everything(api):
    ann = api.someone("ann")
    ann.writes("Rowing")

    assert api.get("/articles?tag=&author=&favorited=&q=&limit=&offset=").json == api.lists()
    assert ann.get("/articles/feed?limit=&offset=&cursor=").json == ann.feed()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/admin/users", ["q", "role", "limit", "cursor"]),
        ("/admin/audit", ["actor", "limit", "cursor"]),
        ("/admin/stats", ["days"]),
    ],
)
def test_a_blank_filter_of_admins_is_ignored(api, promote, path, names):
    root = promote(api.someone("root"), "admin")

    for name in names:
        assert root.get(f"{path}?{name}=%20").json == root.get(path).json


def test_the_link_to_the_next_page_leaves_blank_filters_out(api):
    ann = api.someone("ann")
    ann.writes("One")
    ann.writes("Two")

    link = api.get("/articles?tag=&limit=1").headers["Link"]

    assert "tag=" not in link
    assert "limit=1" in link


def test_tags_are_kept_and_found_in_form_c(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing", NFD, NFC)

    assert ann.reads(slug)["tagList"] == api.tags() == [NFC]
    assert api.titles(tag=NFD) == api.titles(tag=NFC) == api.titles(tag=NFD, q="rowing") == ["Rowing"]


def test_a_tag_of_64_characters_may_be_sent_in_form_d(api):
    tag = "ΐ" * 64

    slug = api.someone("ann").writes("Rowing", unicodedata.normalize("NFD", tag))

    assert api.reads(slug)["tagList"] == [unicodedata.normalize("NFC", tag)]


def test_a_tag_of_combining_marks_is_refused_before_it_is_normalized(api, monkeypatch):
    ann = api.someone("ann")
    article = {"title": "Rowing", "description": "x", "body": "x", "tagList": ["a" + "\u0301\u0323" * 50_000]}
    lengths = []
    original = unicodedata.normalize
    monkeypatch.setattr(unicodedata, "normalize", lambda form, text: lengths.append(len(text)) or original(form, text))

    errors = ann.refusal(422, "POST", "/articles", {"article": article})
    assert api.titles(tag="\u0301\u0323" * 2000) == []

    assert errors == {"tagList/0": "is too long (maximum is 64 characters)"}
    assert max(lengths, default=0) <= 1024

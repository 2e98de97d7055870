"""Properties that hold for any input: any request to any route, any title, cursor, search and username."""

import json
import re
import unicodedata
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from handlers.articles import new_slug, slug_words
from handlers.fields import encode_cursor, fold
from tests.conftest import JSON
from tests.described import require_described
from tests.soak import examples

ROUTES = [(method, path, options) for method, path, _, options in app.routes()]

# Values that have broken programs before.
PECULIAR = ["", " ", "\0", "\n", "a\n", "%", "/", "\\", "..", "feed", "'", '"', "--", "\ud7ff", "\ufeff", "ﷺ", "İ", "٣"]
NUMBERS = [0, 1, -1, 1.5, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 1e308]

texts = st.sampled_from(PECULIAR) | st.sampled_from(NUMBERS).map(str) | st.text(max_size=80)
octets = texts.map(str.encode) | st.binary(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(NUMBERS) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
# Bytes as WSGI passes them on; a server accepts no line end.
raw = octets.map(lambda sent: re.sub(r"[\r\n\0]", "", sent.decode("latin-1")))


@st.composite
def addresses(draw: Any, path: str, options: dict[str, Any], existing: dict[str, str]) -> str:
    """The path of a route with anything as its parameters, and any query, often with names that the route knows."""

    def fill(parameter: "re.Match[str]") -> str:
        return quote(draw(octets) if draw(st.booleans()) else existing[parameter[1]], safe="")

    known = list(options["query"].model_fields) if "query" in options else ["x"]
    names = st.sampled_from(known).map(str.encode) | octets
    query = st.lists(st.tuples(names, octets), max_size=4).map(urlencode) | raw
    return re.sub("<([a-z]+)>", fill, path) + draw(st.just("") | query.map("?{}".format))


def bodies(options: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Any bytes, or JSON that resembles what the route accepts."""
    if "body" not in options:
        return octets
    key, model = options["body"]
    fields = [field.alias or name for name, field in model.model_fields.items()]
    nearly = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, texts | values))
    tagged = st.builds(lambda sent, tags: sent | {"tagList": tags}, nearly, st.lists(texts, max_size=4))
    objects = values | (values | nearly | tagged).map(lambda value: {key: value})
    return octets | objects.map(lambda value: json.dumps(value).encode())


@st.composite
def headers(draw: Any, valid: dict[str, str]) -> dict[str, str]:
    if draw(st.booleans()):
        return valid | JSON
    authorization = draw(st.none() | raw | raw.map("Token {}".format) | raw.map("Bearer {}".format))
    sent = {"Authorization": authorization, "Content-Type": draw(st.none() | st.just("application/json") | raw)}
    return {name: value for name, value in sent.items() if value is not None}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_any_request_gets_a_documented_response_and_never_a_5xx(api, route):
    method, path, options = route
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    existing = {"slug": slug, "username": "ann", "id": str(ann.says(slug, "First")["id"])}

    @examples(15)
    @given(addresses(path, options, existing), bodies(options), headers(ann.headers))
    def send(address, body, sent):
        response = api.client.request(api.prefix + address, method=method, body=body, headers=sent, status="*")

        assert response.status_int < 500
        assert response.status_int in (202, 204) or response.json
        require_described(method, address, response)

    send()


# Slugs


TITLES = [
    *("feed", "FEED", "!", "ﬁ", "İ", "ß", "漕ぐ", "🚣", "a" * 255, "-", "..", "%2F", "\u202e", "a/b", "ǆ", "ͅ", "K")
]
titles = st.sampled_from(TITLES) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255)


@examples(300)
@given(titles)
def test_a_slug_is_random_safe_in_a_url_and_never_feed(title):
    slug = new_slug(title)

    assert quote(slug, safe="") == slug.lower() == slug
    assert 10 <= len(slug) <= 89
    assert slug.startswith(slug_words(title) + "-")
    assert slug != new_slug(title)


def test_every_former_slug_leads_to_its_article(asks):
    ann = asks(posts_per_hour=1_000_000).someone("ann")

    @examples(20)
    @given(st.lists(titles.filter(str.strip), min_size=2, max_size=5))
    def rename(names):
        slugs = [ann.writes(names[0])]
        for name in names[1:]:
            slugs.append(ann.edits(slugs[-1], title=name)["slug"])

        for slug in slugs:
            assert ann.reads(slug)["slug"] == slugs[-1]
            assert ann.reads(slug)["title"] == names[-1].strip()

    rename()


# Pages


characters = st.characters(exclude_categories=["Cs"])

# A cursor, and whether a link could have contained it.
cursors = st.integers(-5, 2**70).map(lambda before: (encode_cursor(before), 0 < before < 2**63 - 1))
cursors |= st.integers(1, 2**62).map(lambda before: (encode_cursor(before) + "=", False))
cursors |= (st.text(characters, max_size=60) | st.integers().map(str)).map(lambda text: (text, False))


def test_only_cursors_that_a_link_could_contain_are_accepted(api, promote):
    ann = promote(api.someone("ann"), "admin")
    slug = ann.writes("Rowing at dawn")
    paths = ["/articles", "/articles/feed", f"/articles/{slug}/comments", "/admin/users", "/admin/audit"]

    @examples(150)
    @given(st.sampled_from(paths), cursors)
    def page(path, drawn):
        cursor, is_valid = drawn
        is_valid = is_valid or not cursor.strip()  # ignored

        ann.get(f"{path}?{urlencode({'cursor': cursor})}", status=200 if is_valid else 400 if "\0" in cursor else 422)

    page()


def test_the_pages_are_the_whole_listing_even_if_articles_are_published_meanwhile(asks):
    ann = asks(posts_per_hour=1_000_000).someone("ann")
    ann.follows("ann")

    @examples(20)
    @given(st.sampled_from(["/articles?", "/articles/feed?", "/articles?author=ann&"]), st.integers(2, 9), st.data())
    def turn(path, limit, data):
        for _ in range(data.draw(st.integers(0, 2))):
            ann.writes("Before")
        whole = [article["slug"] for page in ann.pages(path) for article in page["articles"]]

        seen = []
        meanwhile = data.draw(st.lists(st.booleans(), max_size=5))
        for page in ann.pages(f"{path}limit={limit}"):
            seen += [article["slug"] for article in page["articles"]]
            if meanwhile and meanwhile.pop():
                ann.writes("Meanwhile")

        assert seen == whole

    turn()


# Searches


WORDS = ["rowing", "dawn", "AND", "OR", "NOT", "NEAR", "mist", "title", "漕ぐ", "naïve"]
SIGNS = ['"', "*", ":", "^", "-", "+", "(", ")", "{", "}", "NEAR(", "title:", "'", ";", "--", "%", "_", ",", "."]


def test_any_text_of_1_to_200_characters_is_a_valid_search(api):
    api.someone("ann").writes("Rowing at dawn")

    @examples(150)
    @given(st.text(characters, max_size=210) | st.lists(st.sampled_from(WORDS + SIGNS)).map(" ".join))
    def search(text):
        status = 400 if "\0" in text else 200 if not text.strip() or len(text) <= 200 else 422

        api.get(f"/articles?{urlencode({'q': text})}", status=status)

    search()


def test_a_search_finds_the_articles_with_all_its_words_and_has_no_operators(api):
    ann = api.someone("ann")
    texts: dict[str, set[str]] = {}
    for number in range(12):
        words = [word for at, word in enumerate(WORDS) if number * 7919 >> at & 1]
        texts[ann.writes(f"Number {number}", body=" ".join(["text", *words]))] = {word.lower() for word in words}

    @examples(80)
    @given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def search(words):
        found = api.lists(q=" ".join(words), limit=100)["articles"]

        assert {article["slug"] for article in found} == {
            slug for slug, there in texts.items() if {word.lower() for word in words} <= there
        }

    search()


# Usernames


@examples(300)
@given(st.text(max_size=64) | st.text(st.sampled_from("ͅẞßſKÅΩﬁǆİı́ΐ한각ﷺ²ａ"), max_size=64))
def test_a_normalized_name_is_the_same_for_every_unicode_form(name):
    normalized = fold(name)

    assert fold(normalized) == normalized
    assert unicodedata.normalize("NFKC", normalized) == normalized
    for form in "NFC", "NFD", "NFKC", "NFKD":
        assert fold(unicodedata.normalize(form, name)) == normalized

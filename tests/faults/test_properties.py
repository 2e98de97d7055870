"""What holds for every slug, cursor, search, name and length, and not only for those that came to mind."""

import itertools
import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.articles import new_slug, slug_words
from handlers.fields import encode_cursor, fold
from tests.conftest import PASSWORD
from tests.faults.length import TIMES


def often(examples: int) -> Any:
    """So many examples, the same in each run of the short form."""
    return settings(max_examples=examples * TIMES, derandomize=TIMES == 1, database=None, deadline=None)


PECULIAR = [
    "feed",
    "FEED",
    "!",
    "ﬁ",
    "İ",
    "ß",
    "漕ぐ",
    "🚣",
    "a" * 255,
    "-",
    "..",
    "%2F",
    "\u202e",
    "a/b",
    "ǆ",
    "ͅ",
    "K",
]
titles = st.sampled_from(PECULIAR) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255)


@often(2000)
@given(titles)
def test_a_slug_of_any_title_is_safe_in_an_address_and_never_that_of_the_feed(title):
    slug = new_slug(title)

    assert quote(slug, safe="") == slug.lower() == slug
    assert 10 <= len(slug) <= 89
    assert slug.startswith(slug_words(title) + "-")
    assert slug != new_slug(title)


def test_every_slug_that_an_article_ever_had_leads_to_it(api, asks):
    ann = asks(posts_per_hour=1_000_000).someone("ann")

    @often(30)
    @given(st.lists(titles.filter(str.strip), min_size=2, max_size=5))
    def rename(names):
        slugs = [ann.writes(names[0])]
        for name in names[1:]:
            slugs.append(ann.edits(slugs[-1], title=name)["slug"])

        for slug in slugs:
            assert ann.reads(slug)["slug"] == slugs[-1]
            assert ann.reads(slug)["title"] == names[-1].strip()

    rename()


characters = st.characters(exclude_categories=["Cs"])

# A cursor, and whether a link could have given it.
cursors = st.integers(-5, 2**70).map(lambda before: (encode_cursor(before), 0 < before < 2**63 - 1))
cursors |= st.integers(1, 2**62).map(lambda before: (encode_cursor(before) + "=", False))
cursors |= (st.text(characters, max_size=60) | st.integers().map(str)).map(lambda text: (text, False))


def test_any_text_is_a_cursor_that_a_link_could_have_given_or_is_refused(api, promote):
    ann = promote(api.someone("ann"), "admin")
    slug = ann.writes("Rowing at dawn")
    paths = ["/articles", "/articles/feed", f"/articles/{slug}/comments", "/admin/users", "/admin/audit"]

    @often(300)
    @given(st.sampled_from(paths), cursors)
    def page(path, drawn):
        cursor, is_good = drawn
        status = 200 if is_good else 400 if "\0" in cursor else 422

        ann.get(f"{path}?{urlencode({'cursor': cursor})}", status=status)

    page()


def test_the_pages_of_a_listing_are_all_of_it_whatever_is_written_in_between(api, asks):
    ann = asks(posts_per_hour=1_000_000).someone("ann")
    ann.follows("ann")

    @often(30)
    @given(st.sampled_from(["/articles", "/articles/feed", "/articles?author=ann"]), st.integers(2, 9), st.data())
    def turn(path, limit, data):
        for _ in range(data.draw(st.integers(0, 2))):
            ann.writes("Before")
        whole = [article["slug"] for page in ann.pages(path) for article in page["articles"]]

        seen = []
        in_between = data.draw(st.lists(st.booleans(), max_size=5))
        for page in ann.pages(f"{path}{'&' if '?' in path else '?'}limit={limit}"):
            seen += [article["slug"] for article in page["articles"]]
            if in_between and in_between.pop():
                ann.writes("In between")

        assert seen == whole

    turn()


WORDS = ["rowing", "dawn", "AND", "OR", "NOT", "NEAR", "mist", "title", "漕ぐ", "naïve"]
SIGNS = ['"', "*", ":", "^", "-", "+", "(", ")", "{", "}", "NEAR(", "title:", "'", ";", "--", "%", "_", ",", "."]


def test_any_text_is_a_search(api):
    api.someone("ann").writes("Rowing at dawn")

    @often(500)
    @given(st.text(characters, max_size=210) | st.lists(st.sampled_from(WORDS + SIGNS)).map(" ".join))
    def search(text):
        status = 400 if "\0" in text else 200 if text.strip() and len(text) <= 200 else 422

        api.get(f"/articles?{urlencode({'q': text})}", status=status)

    search()


def test_a_search_finds_what_holds_all_its_words_and_operators_are_words(api):
    ann = api.someone("ann")
    held: dict[str, set[str]] = {}
    for number in range(12):
        words = [word for at, word in enumerate(WORDS) if number * 7919 >> at & 1]
        held[ann.writes(f"Number {number}", body=" ".join(["text", *words]))] = {word.lower() for word in words}

    @often(200)
    @given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def search(words):
        found = api.lists(q=" ".join(words), limit=100)["articles"]

        assert {article["slug"] for article in found} == {
            slug for slug, there in held.items() if {word.lower() for word in words} <= there
        }

    search()


@often(3000)
@given(st.text(max_size=64) | st.text(st.sampled_from("ͅẞßſKÅΩﬁǆİı́ΐ한각ﷺ²ａ"), max_size=64))
def test_a_folded_name_is_the_same_in_every_form_and_folds_to_itself(name):
    folded = fold(name)

    assert fold(folded) == folded
    assert unicodedata.normalize("NFKC", folded) == folded
    for form in "NFC", "NFD", "NFKC", "NFKD":
        assert fold(unicodedata.normalize(form, name)) == folded


def test_a_limit_is_one_of_characters_exactly_whatever_they_are(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    # A base, a mark, one beyond 16 bits, one that grows when it is folded.
    @often(100)
    @given(
        st.sampled_from([("title", 255), ("description", 1000), ("tagList", 64)]),
        st.integers(-2, 2),
        st.text("aé\u0301漕🚣ﷺ", min_size=1, max_size=9),
    )
    def write(limit, beyond, some):
        name, most = limit
        text = (some * 2 * most)[: most + beyond]

        answer = ann.put(
            f"/articles/{slug}",
            {"article": {name: [text] if name == "tagList" else text}},
            status=200 if beyond <= 0 else 422,
        )
        if beyond <= 0:
            assert answer.json["article"][name] in (text, [text])

    write()


def trimmed(most: int) -> Callable[[str], str | None]:
    """What is kept of a text with so many characters at most, or None where it is refused."""
    return lambda text: text.strip() if 1 <= len(text.strip()) <= most else None


def as_sent(least: int, most: int) -> Callable[[str], str | None]:
    """The same for a text that is stored as it was sent."""
    return lambda text: text if text.strip() and least <= len(text) <= most else None


def username(text: str) -> str | None:
    """The same for a username."""
    name = trimmed(64)(text)
    return (
        name if name and name.isprintable() and not re.search(r"[/\\?#%]", name) and name not in (".", "..") else None
    )


def email(text: str) -> str | None:
    """The same for an email."""
    address = trimmed(254)(text)
    return address if address and re.fullmatch("[^@ ]+@[^@ ]+", address) and address.isprintable() else None


FIELDS = {
    "username": username,
    "email": email,
    "password": as_sent(8, 1024),
    "bio": lambda text: text if len(text) <= 5000 else None,
    "image": lambda text: text if len(text) <= 65536 else None,
    "title": trimmed(255),
    "description": as_sent(1, 1000),
    "body": as_sent(1, 1_000_000),
    "comment": as_sent(1, 65536),
}
somewhere = st.sampled_from([7, 8, 64, 65, 254, 255, 256, 1000, 1001, 1024, 1025])
texts = (
    st.text(max_size=12)
    | st.text(" \t\u2003\x1c\x85\0/\\?#%.@ñ漕é\u0301\u200b\u202e", max_size=9)
    | st.builds(lambda text, length: (text * length)[:length], st.text(min_size=1, max_size=3), somewhere)
    | st.builds("{}@{}".format, st.text(min_size=1, max_size=4), st.text(min_size=1, max_size=4))
)
values = texts | st.none() | st.booleans() | st.integers() | st.lists(texts, max_size=2) | st.dictionaries(texts, texts)


def test_any_value_of_any_field_is_stored_as_promised_or_refused_by_its_name(api, asks):
    ann = asks(posts_per_hour=10**9).someone("ann")
    slug = ann.writes("Rowing at dawn")
    numbers = itertools.count()
    taken = {("username", "ann"), ("email", "ann@example.org")}

    def request(field, value):
        match field:
            case "username" | "email" | "password":
                name = f"new{next(numbers)}"
                user = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
                return "POST", "/users", {"user": user | {field: value}}
            case "comment":
                return "POST", f"/articles/{slug}/comments", {"comment": {"body": value}}
            case "bio" | "image":
                return "PUT", "/user", {"user": {field: value}}
            case _:
                return "PUT", f"/articles/{slug}", {"article": {field: value}}

    def there():
        return ann.me() | api.reads(slug) | {"comments": api.comments_of(slug)}

    @often(500)
    @given(st.sampled_from(list(FIELDS)), values)
    def send(field, value):
        promised = FIELDS[field](value) if isinstance(value, str) and "\0" not in value else None
        before = there()
        method, path, body = request(field, value)

        if promised is None and not (value is None and field in ("bio", "image")):
            assert list(ann.refusal(422, method, path, body)) == ["body" if field == "comment" else field]
            assert there() == before
        elif field in ("username", "email") and (field, fold(promised)) in taken:
            assert list(ann.refusal(409, method, path, body)) == [field]
        elif path == "/users":
            ann.call(method, path, body)
            user = api.logs_in(body["user"]["email"], body["user"]["password"]).me()
            assert field == "password" or user[field] == promised
            taken.update((name, fold(user[name])) for name in ("username", "email"))
        else:
            ann.call(method, path, body)
            assert (there()[field] if field != "comment" else there()["comments"][0]["body"]) == (promised or None)

    send()

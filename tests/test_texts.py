import unicodedata

import pytest

from tests.conftest import PASSWORD, sqlite

COMPLETE = {
    "user": {"username": "bob", "email": "bob@example.org", "password": PASSWORD},
    "article": {"title": "Rowing", "description": "About it", "body": "The text"},
    "comment": {"body": "Well said"},
}

# What is taken by which methods, and how many characters it may have at most.
REQUIRED = [
    ("user", "username", ("POST", "PUT"), 64),
    ("user", "email", ("POST", "PUT"), 254),
    ("article", "title", ("POST", "PUT"), 255),
    ("article", "description", ("POST", "PUT"), 1_000),
    ("article", "body", ("POST", "PUT"), 1_000_000),
    ("comment", "body", ("POST",), 65_536),
]
OPTIONAL = [
    ("user", "bio", ("PUT",), 5_000),
    ("user", "image", ("PUT",), 65_536),
]
TRIMMED = [text for text in REQUIRED if text[1] in ("username", "email", "title")]
PASSWORDS = [("user", "password", ("POST", "PUT"), 1_024)]


class Writer:
    """Ann, with an article, who sends things of which all but one field are good."""

    def __init__(self, api):
        self.ann = api.someone("ann")
        slug = self.ann.writes("Rowing at dawn")
        self.paths = {
            ("POST", "user"): "/users",
            ("PUT", "user"): "/user",
            ("POST", "article"): "/articles",
            ("PUT", "article"): f"/articles/{slug}",
            ("POST", "comment"): f"/articles/{slug}/comments",
        }

    def sends(self, method, thing, **fields):
        """What the answer says of the thing."""
        return self.ann.call(method, self.paths[method, thing], self._body(method, thing, fields)).json[thing]

    def is_refused(self, method, thing, **fields):
        """What is wrong."""
        return self.ann.refusal(422, method, self.paths[method, thing], self._body(method, thing, fields))

    def _body(self, method, thing, fields):
        sent = (COMPLETE[thing] if method == "POST" else {}) | fields
        return {thing: {field: value for field, value in sent.items() if value is not MISSING}}


MISSING = object()


def places_of(texts):
    """Every place where one of these texts is taken."""
    return [(method, thing, field) for thing, field, methods, _ in texts for method in methods]


@pytest.fixture
def writer(api):
    return Writer(api)


def text_of(length, field, method):
    """A text of so many characters, a different one for each method; mostly characters of four bytes."""
    character = {"POST": "🚣", "PUT": "🛶"}[method] if length < 1_000_000 else method[1]
    return character * (length - 2) + "@x" if field == "email" else character * length


# How long a text may be


@pytest.mark.parametrize(("thing", "field", "methods", "most"), REQUIRED + OPTIONAL)
def test_a_text_may_have_so_many_characters_and_no_more(writer, thing, field, methods, most):
    for method in methods:
        longest = text_of(most, field, method)

        assert writer.sends(method, thing, **{field: longest})[field] == longest
        assert writer.is_refused(method, thing, **{field: "x" + longest}) == {
            field: f"is too long (maximum is {most} characters)"
        }


def test_one_character_is_a_text(writer):
    for method, thing, field in places_of(REQUIRED + OPTIONAL):
        shortest = {"POST": "p@q", "PUT": "r@s"}[method] if field == "email" else method[1]

        assert writer.sends(method, thing, **{field: shortest})[field] == shortest


@pytest.mark.parametrize("length", [8, 1_024])
def test_the_shortest_and_the_longest_password_are_taken(writer, api, length):
    first, second = "🚣" * length, "🛶" * length

    writer.sends("POST", "user", password=first)
    writer.sends("PUT", "user", password=second)

    assert api.logs_in("bob@example.org", first).name == "bob"
    assert api.logs_in("ann@example.org", second).name == "ann"


@pytest.mark.parametrize(
    ("length", "message"),
    [(7, "is too short (minimum is 8 characters)"), (1_025, "is too long (maximum is 1024 characters)")],
)
def test_a_shorter_and_a_longer_password_are_refused(writer, length, message):
    for method in ("POST", "PUT"):
        assert writer.is_refused(method, "user", password="🚣" * length) == {"password": message}


# What counts as a text


def test_a_required_text_that_is_null_or_blank_is_blank(writer):
    for method, thing, field in places_of(REQUIRED + PASSWORDS):
        for blank in (None, "", " ", " \t\r\n\u3000"):
            assert writer.is_refused(method, thing, **{field: blank}) == {field: "can't be blank"}


def test_a_required_text_that_is_missing_is_blank(writer):
    for thing, field, _, _ in REQUIRED + PASSWORDS:
        assert writer.is_refused("POST", thing, **{field: MISSING}) == {field: "can't be blank"}


def test_only_a_string_is_a_text(writer):
    for method, thing, field in places_of(REQUIRED + OPTIONAL + PASSWORDS):
        for value in (True, False, 0, 12345678, 1.5, 10**30, [], ["12345678"], {}, {"text": "12345678"}):
            assert writer.is_refused(method, thing, **{field: value}) == {field: "must be a string"}


def test_no_text_holds_nul(writer):
    for method, thing, field in places_of(REQUIRED + OPTIONAL + PASSWORDS):
        for text in ("\0", "long \0enough@x", "long enough@x\0", " \0 "):
            assert writer.is_refused(method, thing, **{field: text}) == {field: "must not contain NUL"}


def test_a_name_an_address_and_a_title_are_trimmed(writer):
    for method, thing, field in places_of(TRIMMED):
        text = f"{method}@x" if field == "email" else f"{method}  it"

        assert writer.sends(method, thing, **{field: f" \t{text}\u3000\r\n"})[field] == text


def test_what_is_trimmed_is_counted_without_its_blanks(writer):
    for thing, field, methods, most in TRIMMED:
        for method in methods:
            text = text_of(most, field, method)

            assert writer.sends(method, thing, **{field: f"   {text}   "})[field] == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" \t\r\n two lines \n\n", id="blanks around it"),
        pytest.param("it's \"so\" \\ \\u0041 :me ? %s {0} '; DROP TABLE users; --", id="what is code elsewhere"),
        pytest.param("Zoe\u0308 ﬁ Å \u200d\ufeff\u202e\u2028\uffff\x01\x7f 👩‍👩‍👧", id="Unicode forms"),
        pytest.param("javascript:alert('<script>&amp;</script>')", id="what a page must not run"),
        pytest.param("X'41'", id="a BLOB in SQL"),
        pytest.param("null", id="a word of JSON"),
    ],
)
def test_every_other_text_is_stored_as_it_was_sent(writer, text):
    for method, thing, field in places_of(set(REQUIRED + OPTIONAL) - set(TRIMMED)):
        assert writer.sends(method, thing, **{field: text})[field] == text


def test_a_bio_of_blanks_is_no_empty_one(writer):
    user = writer.sends("PUT", "user", bio=" ", image="\n")

    assert (user["bio"], user["image"]) == (" ", "\n")


# Names


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_name_that_cannot_be_printed_or_put_in_a_path_is_refused(writer, method):
    expected = {"username": "must be printable, without / \\ ? # %, and not . or .."}
    signs = [".", "..", *"/\\?#%", *(f"ann{sign}lee" for sign in "/\\?#%")]
    # A line, a tab, control characters, odd blanks, nothing to see, right to left, private use, no character.
    unprintable = [f"ann{character}lee" for character in "\n\t\x1b\x7f\x85\u00a0\u3000\u200b\u202e\ue000\uffff"]

    for name in signs + unprintable:
        assert writer.is_refused(method, "user", username=name) == expected


def test_a_name_may_hold_blanks_signs_and_any_script(writer):
    for name in ("ann lee  row", "ann.lee-1_~!$&'()*+,;=:@[]{}|^`<>\"", "Ζωή 安 אן", "🚣"):
        assert writer.sends("PUT", "user", username=name)["username"] == name


# Addresses


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_address_has_one_at_and_something_on_both_sides(writer, method):
    for email in ("ann", "@", "@example.org", "ann@", "a@b@c", "ann@@b", "ann@b@", "ann@b\nc", "ａ＠ｂ"):
        assert writer.is_refused(method, "user", email=email) == {"email": "must be an address with one @"}


def test_an_address_needs_nothing_else(writer):
    for email in ("a@b", "ann+row@example.org", '"x/y"\'%?#@[::1]', "zoë@müller.example"):
        assert writer.sends("PUT", "user", email=email)["email"] == email


# Passwords


def test_a_password_is_verified_exactly_as_it_was_sent(api):
    api.someone("ann", password="  Pässword 🚣 ")
    nearly = {
        "without the blank behind": "  Pässword 🚣",
        "without the blanks before": "Pässword 🚣 ",
        "in another case": "  pässword 🚣 ",
        "in another Unicode form": unicodedata.normalize("NFD", "  Pässword 🚣 "),
        "with a full-width letter": "  Ｐässword 🚣 ",
        "with another boat": "  Pässword 🛶 ",
    }

    for password in nearly.values():
        user = {"email": "ann@example.org", "password": password}
        assert api.refusal(401, "POST", "/users/login", {"user": user}) == {"credentials": "invalid"}

    assert api.logs_in("ann@example.org", "  Pässword 🚣 ").name == "ann"


def test_a_password_is_verified_to_its_last_character(api):
    api.someone("ann", password="🚣" * 1_024)
    user = {"email": "ann@example.org", "password": "🚣" * 1_023 + "🛶"}

    assert api.refusal(401, "POST", "/users/login", {"user": user}) == {"credentials": "invalid"}


def test_a_login_knows_no_limits_but_only_wrong_and_right(api):
    api.someone("ann")
    right = {"email": "ann@example.org", "password": PASSWORD}

    for wrong in (
        {"password": "short"},
        {"password": "x" * 1_025},
        {"email": "ann"},
        {"email": "a@b@c"},
        {"email": "a" * 254 + "@b"},
    ):
        refusal = api.refusal(401, "POST", "/users/login", {"user": right | wrong})
        assert refusal == {"credentials": "invalid"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (MISSING, "can't be blank"),
        (None, "can't be blank"),
        ("", "can't be blank"),
        (" \n", "can't be blank"),
        (12345678, "must be a string"),
        (["a@b"], "must be a string"),
        ("long \0enough", "must not contain NUL"),
    ],
)
def test_a_login_needs_two_texts(api, value, message):
    user = {} if value is MISSING else {"email": value, "password": value}

    refusal = api.refusal(422, "POST", "/users/login", {"user": user})

    assert refusal == {"email": message, "password": message}


# Tags


def test_the_longest_and_the_most_tags_are_taken(writer):
    tags = ["🚣" * 62 + f"{number:02}" for number in range(50)]

    for method in ("POST", "PUT"):
        assert writer.sends(method, "article", tagList=tags)["tagList"] == tags


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        pytest.param(["row", "🚣" * 65], "is too long (maximum is 64 characters)", id="65 characters"),
        pytest.param([str(number) for number in range(51)], "is too long (maximum is 50 tags)", id="51 tags"),
        pytest.param(["row", ""], "can't be blank", id="an empty one"),
        pytest.param(["row", " \n"], "can't be blank", id="a blank one"),
        pytest.param(["row", None], "can't be blank", id="null among them"),
        pytest.param(["row", 1], "must be a string", id="a number among them"),
        pytest.param(["row", ["sail"]], "must be a string", id="a list among them"),
        pytest.param(["row", "sa\0il"], "must not contain NUL", id="NUL"),
        pytest.param(["", 1, "🚣" * 65], "can't be blank", id="several wrong ones"),
        pytest.param(None, "must be an array of strings", id="null"),
        pytest.param("row", "must be an array of strings", id="a text"),
        pytest.param({"row": 1}, "must be an array of strings", id="an object"),
        pytest.param(1, "must be an array of strings", id="a number"),
    ],
)
def test_a_list_of_tags_with_anything_wrong_is_refused(writer, tags, message):
    for method in ("POST", "PUT"):
        assert writer.is_refused(method, "article", tagList=tags) == {"tagList": message}


def test_tags_are_trimmed_then_duplicates_collapse_then_they_are_counted(writer):
    tags = [f"  {number % 50}\n" for number in range(60)]

    for method in ("POST", "PUT"):
        assert writer.sends(method, "article", tagList=tags)["tagList"] == [str(number) for number in range(50)]


def test_a_tag_is_counted_without_its_blanks(writer):
    assert writer.sends("POST", "article", tagList=[" " + "🚣" * 64 + " "])["tagList"] == ["🚣" * 64]


# Several fields at once


@pytest.mark.parametrize(
    ("method", "thing", "fields", "messages"),
    [
        (
            "POST",
            "user",
            {"username": "a/" + "b" * 64, "email": "no address", "password": 1},
            {
                "username": "is too long (maximum is 64 characters)",
                "email": "must be an address with one @",
                "password": "must be a string",
            },
        ),
        (
            "PUT",
            "user",
            {"username": None, "email": " ", "password": "short", "bio": 1, "image": "\0"},
            {
                "username": "can't be blank",
                "email": "can't be blank",
                "password": "is too short (minimum is 8 characters)",
                "bio": "must be a string",
                "image": "must not contain NUL",
            },
        ),
        (
            "POST",
            "article",
            {"title": MISSING, "description": None, "body": "", "tagList": ["", "\0", 1]},
            dict.fromkeys(("title", "description", "body", "tagList"), "can't be blank"),
        ),
        (
            "PUT",
            "article",
            {"title": "x" * 256, "description": {}, "body": "\0", "tagList": None},
            {
                "title": "is too long (maximum is 255 characters)",
                "description": "must be a string",
                "body": "must not contain NUL",
                "tagList": "must be an array of strings",
            },
        ),
    ],
)
def test_everything_that_is_wrong_is_said_at_once_each_field_with_one_message(writer, method, thing, fields, messages):
    assert writer.is_refused(method, thing, **fields) == messages


def test_one_wrong_field_leaves_the_good_ones_unchanged(writer):
    ann = writer.ann
    before = ann.me()

    writer.is_refused("PUT", "user", username="anna", bio="Rows", image=1)

    assert ann.me() == before


@pytest.mark.parametrize(
    ("method", "thing"),
    [("POST", "user"), ("PUT", "user"), ("POST", "article"), ("PUT", "article"), ("POST", "comment")],
)
def test_a_body_without_its_object_is_blank(writer, method, thing):
    nothing = [{}, {"other": COMPLETE[thing]}, *({thing: value} for value in (None, [], [{}], "text", 1, True))]

    for body in nothing:
        assert writer.ann.refusal(422, method, writer.paths[method, thing], body) == {thing: "can't be blank"}


# Fields that there are not

MISLEADING = {
    "id": 99,
    "bogus": "smuggled",
    "token": "smuggled",
    "password_hash": "smuggled",
    "username_key": "smuggled",
    "author_id": 99,
    "author": {"username": "smuggled"},
    "slug": "smuggled",
    "tags": ["smuggled"],
    "createdAt": "2001-01-01T00:00:00.000Z",
    "created_at": "2001-01-01T00:00:00.000Z",
    "updatedAt": "2001-01-01T00:00:00.000Z",
    "favorited": True,
    "favoritesCount": 99,
    "following": True,
    "articles_count": 99,
    "\0": "smuggled",
}


@pytest.mark.parametrize(
    ("method", "thing", "field"),
    [
        ("POST", "user", "username"),
        ("PUT", "user", "bio"),
        ("POST", "article", "title"),
        ("PUT", "article", "description"),
        ("POST", "comment", "body"),
    ],
)
def test_unknown_fields_are_ignored_and_never_stored(writer, db, method, thing, field):
    fields = MISLEADING | ({"bio": "smuggled", "image": "smuggled"} if method == "POST" else {})

    answer = writer.sends(method, thing, **fields, **{field: "Well meant"})

    assert answer[field] == "Well meant"
    assert "smuggled" not in str(answer)
    for table in ("users", "sessions", "articles", "slugs", "tags", "article_tags", "comments", "favorites"):
        rows = str(sqlite(db, f"SELECT * FROM {table}"))
        assert not [value for value in ("smuggled", "2001-01-01", "99,") if value in rows]


@pytest.mark.parametrize(("method", "thing"), [("PUT", "user"), ("PUT", "article")])
def test_a_change_of_unknown_fields_alone_is_a_change_of_nothing(writer, method, thing):
    assert writer.is_refused(method, thing, **MISLEADING) == {thing: "can't be blank"}


def test_a_name_that_is_far_too_long_is_nobodys_at_once(api):
    # Folding combining marks takes the square of their number: minutes for a body of 1 MiB.
    long = ("\u0301" * 80_000) + ("\u0316" * 80_000)

    credentials = {"user": {"email": long, "password": "wrong horse"}}
    assert api.refusal(401, "POST", "/users/login", credentials) == {"credentials": "invalid"}

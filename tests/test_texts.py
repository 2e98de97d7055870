"""What each text field accepts: lengths, characters, and what is trimmed."""

import unicodedata

import pytest

from handlers.fields import fold
from tests.conftest import PASSWORD

COMPLETE = {
    "user": {"username": "bob", "email": "bob@example.org", "password": PASSWORD},
    "article": {"title": "Rowing", "description": "About it", "body": "The text"},
    "comment": {"body": "Well said"},
}

# The key of the body, the field, the methods that accept it, and the maximum length in characters.
REQUIRED = [
    ("user", "username", ("POST", "PUT"), 64),
    ("user", "email", ("POST", "PUT"), 254),
    ("article", "title", ("POST", "PUT"), 255),
    ("article", "description", ("POST", "PUT"), 1_000),
    ("article", "body", ("POST", "PUT"), 1_000_000),
    ("comment", "body", ("POST",), 65_536),
]
OPTIONAL = [("user", "bio", ("PUT",), 5_000), ("user", "image", ("PUT",), 8_192)]
TRIMMED = [field for field in REQUIRED if field[1] in ("username", "email", "title")]
PASSWORDS = [("user", "password", ("POST", "PUT"), 1_024)]
MISSING = object()


class Writer:
    """Ann, who has an article and sends bodies in which all fields but some are valid."""

    def __init__(self, api):
        self.ann = api.someone("ann")
        self.slug = self.ann.writes("Rowing at dawn")
        self.paths = {
            ("POST", "user"): "/users",
            ("PUT", "user"): "/user",
            ("POST", "article"): "/articles",
            ("PUT", "article"): f"/articles/{self.slug}",
            ("POST", "comment"): f"/articles/{self.slug}/comments",
        }

    def sends(self, method, thing, **fields):
        """The object in the response."""
        return self.ann.call(method, self.paths[method, thing], self._body(method, thing, fields)).json[thing]

    def errors(self, method, thing, **fields):
        return self.ann.refusal(422, method, self.paths[method, thing], self._body(method, thing, fields))

    def _body(self, method, thing, fields):
        sent = (COMPLETE[thing] if method == "POST" else {}) | fields
        return {thing: {field: value for field, value in sent.items() if value is not MISSING}}


@pytest.fixture
def writer(api):
    return Writer(api)


def places_of(fields):
    return [(method, thing, field) for thing, field, methods, _ in fields for method in methods]


def text_of(length, field, method):
    """A text of that length, a different one for each method; mostly characters of four bytes."""
    character = {"POST": "🚣", "PUT": "🛶"}[method] if length < 1_000_000 else method[1]
    return character * (length - 2) + "@x" if field == "email" else character * length


# Lengths


@pytest.mark.parametrize(("thing", "field", "methods", "most"), REQUIRED + OPTIONAL)
def test_a_text_may_be_as_long_as_its_limit_and_no_longer(writer, thing, field, methods, most):
    for method in methods:
        longest = text_of(most, field, method)
        blanks = "   " if (thing, field, methods, most) in TRIMMED else ""  # these do not count

        assert writer.sends(method, thing, **{field: blanks + longest + blanks})[field] == longest
        assert writer.errors(method, thing, **{field: "x" + longest}) == {
            field: f"is too long (maximum is {most} characters)"
        }


def test_one_character_is_enough(writer):
    for method, thing, field in places_of(REQUIRED + OPTIONAL):
        shortest = {"POST": "p@q", "PUT": "r@s"}[method] if field == "email" else method[1]

        assert writer.sends(method, thing, **{field: shortest})[field] == shortest


@pytest.mark.parametrize("length", [8, 1_024])
def test_passwords_of_8_to_1024_characters_are_accepted(writer, api, length):
    first, second = "🚣" * length, "🛶" * length

    writer.sends("POST", "user", password=first)
    writer.sends("PUT", "user", password=second)

    assert api.logs_in("bob@example.org", first).name == "bob"
    assert api.logs_in("ann@example.org", second).name == "ann"


def test_shorter_and_longer_passwords_are_refused(writer):
    for method in ("POST", "PUT"):
        short, long = (writer.errors(method, "user", password="🚣" * length)["password"] for length in (7, 1_025))
        assert short == "is too short (minimum is 8 characters)"
        assert long == "is too long (maximum is 1024 characters)"


# Types and characters


def test_a_required_text_must_not_be_missing_null_or_blank(writer):
    for method, thing, field in places_of(REQUIRED + PASSWORDS):
        for blank in (None, "", " ", " \t\r\n\u3000", *([MISSING] if method == "POST" else [])):
            assert writer.errors(method, thing, **{field: blank}) == {field: "can't be blank"}


def test_a_text_must_be_a_string_without_nul(writer):
    for method, thing, field in places_of(REQUIRED + OPTIONAL + PASSWORDS):
        for value in (True, False, 0, 12345678, 1.5, 10**30, [], ["12345678"], {}, {"text": "12345678"}):
            assert writer.errors(method, thing, **{field: value}) == {field: "must be a string"}
        for text in ("\0", "long \0enough@x", "long enough@x\0", " \0 "):
            assert writer.errors(method, thing, **{field: text}) == {field: "must not contain NUL"}


def test_usernames_emails_and_titles_are_trimmed(writer):
    for method, thing, field in places_of(TRIMMED):
        text = f"{method}@x" if field == "email" else f"{method}  it"

        assert writer.sends(method, thing, **{field: f" \t{text}\u3000\r\n"})[field] == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" \t\r\n two lines \n\n", id="surrounding whitespace"),
        pytest.param("it's \"so\" \\ \\u0041 :me ? %s {0} '; DROP TABLE users; --", id="code of other languages"),
        pytest.param("Zoe\u0308 ﬁ Å \u200d\ufeff\u202e\u2028\uffff\x01\x7f 👩‍👩‍👧", id="Unicode forms"),
        pytest.param("javascript:alert('<script>&amp;</script>')", id="script"),
        pytest.param("X'41'", id="an SQL BLOB"),
        pytest.param("null", id="a word of JSON"),
    ],
)
def test_all_other_texts_are_stored_exactly_as_sent(writer, text):
    for method, thing, field in places_of(set(REQUIRED + OPTIONAL) - set(TRIMMED)):
        if field != "image":  # which has no control characters
            assert writer.sends(method, thing, **{field: text})[field] == text


def test_a_blank_bio_or_image_is_stored_as_sent(writer):
    user = writer.sends("PUT", "user", bio=" ", image=" ")

    assert (user["bio"], user["image"]) == (" ", " ")


# Usernames and emails


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_username_must_be_printable_and_fit_into_a_path(writer, method):
    expected = {"username": "must be printable, without / \\ ? # %, and not . or .."}
    signs = [".", "..", *"/\\?#%", *(f"ann{sign}lee" for sign in "/\\?#%")]
    # Line ends, control characters, unusual blanks, invisible and right-to-left marks, private use, no character.
    unprintable = [f"ann{character}lee" for character in "\n\t\x1b\x7f\x85\u00a0\u3000\u200b\u202e\ue000\uffff"]

    for name in signs + unprintable:
        assert writer.errors(method, "user", username=name) == expected


def test_a_username_may_hold_spaces_signs_and_any_script(writer):
    for name in ("ann lee  row", "ann.lee-1_~!$&'()*+,;=:@[]{}|^`<>\"", "Ζωή 安 אן", "🚣"):
        assert writer.sends("PUT", "user", username=name)["username"] == name


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_email_has_exactly_one_at_sign_with_text_on_both_sides(writer, method):
    for email in ("ann", "@", "@example.org", "ann@", "a@b@c", "ann@@b", "ann@b@", "ann@b\nc", "ａ＠ｂ"):
        assert writer.errors(method, "user", email=email) == {"email": "must be an address with one @"}
    for number, email in enumerate(("a@b", "ann+row@example.org", '"x/y"\'%?#@[::1]', "zoë@müller.example")):
        assert writer.sends(method, "user", email=email, username=f"ann{number}")["email"] == email


def test_only_names_of_up_to_1024_characters_are_normalized():
    assert fold("É" * 1_024) == "é" * 1_024
    assert fold("É" * 1_025) == "É" * 1_025


# Passwords


def test_a_password_is_verified_exactly_as_it_was_sent(api):
    api.someone("ann", password="  Pässword 🚣 ")
    api.someone("bob", password="🚣" * 1_024)
    different = [
        ("ann", "  Pässword 🚣"),
        ("ann", "Pässword 🚣 "),
        ("ann", "  pässword 🚣 "),
        ("ann", unicodedata.normalize("NFD", "  Pässword 🚣 ")),
        ("ann", "  Ｐässword 🚣 "),
        ("ann", "  Pässword 🛶 "),
        ("bob", "🚣" * 1_023 + "🛶"),
    ]

    for name, password in different:
        user = {"email": f"{name}@example.org", "password": password}
        assert api.refusal(401, "POST", "/users/login", {"user": user}) == {"credentials": "invalid"}

    assert api.logs_in("ann@example.org", "  Pässword 🚣 ").name == "ann"


def test_a_login_with_an_impossible_email_or_password_is_just_wrong(api):
    api.someone("ann")
    # Normalizing combining marks takes quadratic time: minutes for a body of 1 MiB.
    endless = ("\u0301" * 80_000) + ("\u0316" * 80_000)

    for wrong in (
        *({"password": "short"}, {"password": "x" * 1_025}),
        *({"email": email} for email in ("ann", "a@b@c", "a" * 254 + "@b", endless)),
    ):
        user = {"email": "ann@example.org", "password": PASSWORD} | wrong
        assert api.refusal(401, "POST", "/users/login", {"user": user}) == {"credentials": "invalid"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        *((blank, "can't be blank") for blank in (MISSING, None, "", " \n")),
        (12345678, "must be a string"),
        (["a@b"], "must be a string"),
        ("long \0enough", "must not contain NUL"),
    ],
)
def test_a_login_and_a_reset_need_two_texts(api, value, message):
    for method, path, name in ("POST", "/users/login", "email"), ("PUT", "/users/password-reset", "token"):
        user = {} if value is MISSING else {name: value, "password": value}

        errors = api.refusal(422, method, path, {"user": user})

        assert errors == {name: message, "password": message}


# Tags


def test_fifty_tags_of_64_characters_are_accepted(writer):
    tags = ["🚣" * 62 + f"{number:02}" for number in range(50)]

    for method in ("POST", "PUT"):
        assert writer.sends(method, "article", tagList=tags)["tagList"] == tags


@pytest.mark.parametrize(
    ("tags", "field", "message"),
    [
        (["row", "🚣" * 65], "tagList/1", "is too long (maximum is 64 characters)"),
        ([str(number) for number in range(51)], "tagList", "is too long (maximum is 50 tags)"),
        *((["row", blank], "tagList/1", "can't be blank") for blank in ("", " \n", None)),
        *((["row", value], "tagList/1", "must be a string") for value in (1, ["sail"])),
        (["row", "sa\0il"], "tagList/1", "must not contain NUL"),
        (["", 1, "🚣" * 65], "tagList/0", "can't be blank"),
        *((value, "tagList", "must be an array of strings") for value in (None, "row", {"row": 1}, 1)),
    ],
)
def test_a_list_of_tags_with_any_error_is_refused(writer, tags, field, message):
    for method in ("POST", "PUT"):
        assert writer.errors(method, "article", tagList=tags) == {field: message}


def test_tags_are_trimmed_and_deduplicated_before_they_are_counted(writer):
    tags = ["🚣" * 62 + f"{number % 50:02}" for number in range(60)]

    for method in ("POST", "PUT"):
        assert writer.sends(method, "article", tagList=[f"  {tag}\n" for tag in tags])["tagList"] == tags[:50]


# Whole bodies


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
            dict.fromkeys(("title", "description", "body", "tagList/0"), "can't be blank"),
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
def test_every_field_with_an_error_is_listed_with_one_message(writer, method, thing, fields, messages):
    assert writer.errors(method, thing, **fields) == messages


def test_a_field_with_an_error_leaves_the_valid_ones_unchanged(writer):
    account, article = writer.ann.me(), writer.ann.reads(writer.slug)

    writer.errors("PUT", "user", username="anna", bio="Rows", image=1)
    writer.errors("PUT", "article", title="Dusk", tagList=["dusk"], body=1)
    writer.errors("POST", "article", description=1)

    assert writer.ann.me() == account
    assert writer.ann.reads(writer.slug) == article
    assert writer.ann.lists()["articlesCount"] == 1


def test_a_body_needs_its_object(writer):
    for (method, thing), path in writer.paths.items():
        for body in ({}, {"other": COMPLETE[thing]}, *({thing: value} for value in (None, [], [{}], "text", 1, True))):
            assert writer.ann.refusal(422, method, path, body) == {thing: "can't be blank"}


@pytest.mark.parametrize("thing", ["user", "article"])
def test_a_change_of_unknown_fields_alone_is_no_change(writer, thing):
    assert writer.errors("PUT", thing, id=99, slug="x", author={}, createdAt=None, bogus=1) == {thing: "can't be blank"}

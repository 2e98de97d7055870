"""Usernames: which of them look the same, which are refused, and the keys of accounts from before."""

import hashlib
import sqlite3
import unicodedata
from contextlib import ExitStack, closing
from urllib.parse import quote

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database
from db.migrations import migrate
from handlers import names
from passwords import hash_password
from tests.conftest import HOME, PASSWORD, Api, sqlite

TAKEN = {"username": "has already been taken"}
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


def refused(api, name, status=422):
    user = {"username": name, "email": "new@example.org", "password": PASSWORD}
    return api.refusal(status, "POST", "/users", {"user": user})


IGNORABLE = "034F 17B4 17B5 180B 180D 180F 200C 200D FE00 FE0F E0100 E01EF 16FE4".split()


@pytest.mark.parametrize("ignorable", [chr(int(each, 16)) for each in IGNORABLE], ids=IGNORABLE)
def test_a_character_that_is_not_shown_makes_no_other_name(api, ignorable):
    ada = api.someone("ada lovelace", email="ada@example.org")
    twins = [f"ada{ignorable} lovelace", f"{ignorable}ada lovelace", f"ada {ignorable} lovelace{ignorable}"]

    assert [refused(api, twin, 409) for twin in twins] == [TAKEN] * 3
    bob = api.someone("bob")
    assert bob.refusal(409, "PUT", "/user", {"user": {"username": twins[0]}}) == TAKEN
    assert [api.profile(twin)["username"] for twin in twins] == [ada.name] * 3


def test_an_ignorable_character_between_a_letter_and_its_accent_makes_no_other_name(api):
    api.someone("Zoë", email="zoe@example.org")

    assert refused(api, "Zoe\u034f\u0308", 409) == TAKEN


@pytest.mark.parametrize(
    "blank", ["  ", "\u2800", " \u2800 ", "\ufffc", "\U0001d159", " \u200d ", "\u2800\ufe0f\u2800"]
)
def test_runs_of_blanks_and_of_what_looks_like_one_are_one_blank(api, blank):
    api.someone("ada lovelace", email="ada@example.org")

    assert refused(api, f"Ada{blank}Lovelace", 409) == TAKEN
    assert refused(api, f"ada lovelace{blank}", 409) == TAKEN
    assert refused(api, f"Deleted{blank}User", 409) == TAKEN
    assert api.profile(f"ADA{blank}LOVELACE")["username"] == "ada lovelace"


@pytest.mark.parametrize("reader", ["\u00a0", "\u3000", "\u1680", "\t", "\u200b", "\u202e", "\u00ad", "\U000e0061"])
def test_a_path_finds_a_name_whatever_blanks_and_ignorable_characters_it_has(api, reader):
    api.someone("ada lovelace", email="ada@example.org")
    reader = reader if reader.isspace() else f" {reader}"

    assert api.get(f"/profiles/{quote(f'ada{reader}lovelace')}").json["profile"]["username"] == "ada lovelace"


NOTHING = ["\u2800", "\u2800 \u2800", "\u3164", "\u115f\u1160", "\uffa0", "\ufe0f", "\u200d", "\u034f\u0301", "\u0301"]


@pytest.mark.parametrize("name", [*NOTHING, "\ufffc", "\U0001d159", "\U00016fe4", "\U000e0100", "\u17b4 \u180b"])
def test_a_name_without_a_visible_character_is_refused(api, name):
    assert refused(api, name) == {"username": "can't be blank"}


SENT = {
    "Persian": "می\u200cخواهم",
    "Sinhala": "ශ්\u200dරී",
    "a heart with VS16": "I ❤\ufe0f rowing",
    "a family": "👩\u200d👩\u200d👧",
    "a skin tone": "👋🏽 ann",
    "a flag of two letters": "🇫🇷 fan",
    "a flag of tags": f"{ENGLAND} fan",
    "a keycap": "1\ufe0f\u20e3",
    "Mongolian": "ᠠ\u180bᠮ",
    "Thai": "สวัสดี",
}


@pytest.mark.parametrize("name", SENT.values(), ids=SENT)
def test_joiners_and_emoji_are_shown_as_sent_and_the_name_is_found_without_them(api, name):
    writer = api.someone(name, email="ann@example.org")
    writer.writes("Rowing at dawn")
    bare = name
    for ignorable in ("\u200c", "\u200d", "\ufe0f", "\u180b"):
        bare = bare.replace(ignorable, "")

    for asked in (name, bare):
        assert api.profile(asked)["username"] == name
        assert api.lists(author=asked)["articles"][0]["author"]["username"] == name
    assert refused(api, bare, 409) == TAKEN


@pytest.mark.parametrize("name", ["аda", "adа", "αda", "ada1", "adaı", "ad4", "ada\u0323", "ä", "😀", "ada’"])
def test_names_of_other_scripts_and_letters_stay_different(api, name):
    api.someone("ada")

    api.someone(name, email="other@example.org")

    assert api.profile("ada")["username"] == "ada"


UNPRINTABLE = {
    "a direction": "\u202eann",
    "a zero-width space": "a\u200bnn",
    "a soft hyphen": "a\u00adnn",
    "a byte order mark": "\ufeffann",
    "a filler that is drawn as a blank": "ann\u3164lee",
    "a narrow one": "ann\uffa0lee",
    "fillers of letters": "ann\u115f\u1160lee",
    "tags without a flag": "ann\U000e0067\U000e0062\U000e0065\U000e007f",
    "an unfinished flag": ENGLAND[:-1],
    "private use": "ann\ue000",
    "no character": "ann\ufdd0",
    "a letter of Unicode 15.0": "ann\U00011f04",
    "a pair of letters of Unicode 16.0": "\ua7cb\u019b",
    "a mark of Unicode 16.0": "ann\u0897",
    "a character of the future": "ann\U0003ffff",
}


@pytest.mark.parametrize("name", UNPRINTABLE.values(), ids=UNPRINTABLE)
def test_unprintable_characters_and_those_after_unicode_14_are_refused(api, name):
    assert refused(api, name) == {"username": "must be printable, without / \\ ? # %, and not . or .."}


def test_what_a_name_may_hold_is_not_asked_of_python(monkeypatch):
    monkeypatch.setattr(unicodedata, "category", lambda character: "Lo")  # as a newer Python may say of new characters

    assert not names.is_printable("\U00011f04")
    assert names.is_printable("漢é🚣")


def test_the_key_of_every_character_is_the_same_on_every_python():
    bounds = names._PRINTABLE_BOUNDS
    characters = [chr(each) for start, end in batched(bounds) for each in range(start, end)]
    keys = "\n".join(names.name_key(f"a{each}") for each in characters)

    assert len(characters) == 144_516
    assert hashlib.sha256(keys.encode()).hexdigest() == (
        "9c38948ff7bbd563aacb1e5e4f327b17430faa4fffe43903e126d0bd62c4a5d9"
    )


def batched(bounds):
    return zip(bounds[::2], bounds[1::2], strict=True)


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="compares with the tables of Python 3.11")
def test_the_tables_are_those_of_unicode_14():
    characters = "".join(map(chr, range(0x110000)))
    printable = list(map(str.isprintable, characters))
    bounds = [point for point in range(1, len(printable)) if printable[point] != printable[point - 1]]

    assert bounds == names._PRINTABLE_BOUNDS
    ignorable = names._IGNORABLE.findall(characters)
    assert len(ignorable) == 4174 + 1  # as DerivedCoreProperties.txt counts them, and U+16FE4
    formats = {each for each in characters if unicodedata.category(each) == "Cf"}
    # Arabic, Syriac, Kaithi and Egyptian signs and the annotations are visible, or open what is.
    visible = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, *range(0xFFF9, 0xFFFC), 0x110BD, 0x110CD}
    visible |= {*range(0x13430, 0x13439)}
    assert {ord(each) for each in formats - set(ignorable)} == visible


def test_a_key_is_bounded_however_a_name_expands(api):
    assert refused(api, "\ufdfa" * 64) == {"username": "is too long (maximum is 256 characters when normalized)"}
    assert refused(api, "\ufdfa" * 15) == {"username": "is too long (maximum is 256 characters when normalized)"}
    api.someone("\ufdfa" * 14, email="ann@example.org")
    api.someone("e" + "\u0301\u0323" * 31, email="bob@example.org")


def test_every_normalization_is_of_a_bounded_text(api, monkeypatch):
    longest, normalize = [0], unicodedata.normalize
    monkeypatch.setattr(
        unicodedata, "normalize", lambda form, text: (longest.append(len(text)), normalize(form, text))[1]
    )

    for asked in ("\u0301\u0323" * 1200, "\ufe0f" * 2000 + "\u0301" * 1100, "e" + "\u0301\u0323" * 127):
        api.get(f"/articles?author={quote(asked)}")

    assert max(longest, default=0) <= 256


def test_a_search_for_nothing_visible_is_no_filter(api, promote):
    moderator = promote(api.someone("ann"), "moderator")
    api.someone("bob")

    users = moderator.get(f"/admin/users?q={quote('⠀ㅤ')}").json["users"]

    assert [user["username"] for user in users] == ["bob", "ann"]
    assert [user["username"] for user in moderator.get(f"/admin/users?q={quote('b⠀')}").json["users"]] == ["bob"]


def test_an_own_name_can_be_sent_again_and_decorated(api):
    ada = api.someone("ada")

    assert ada.changes(username="ada")["username"] == "ada"
    assert ada.changes(username="Ada\ufe0f")["username"] == "Ada\ufe0f"
    assert ada.changes(username="Ada\ufe0f", bio="Rows")["bio"] == "Rows"


def test_the_name_of_a_deleted_user_is_reserved_with_its_twins(api):
    api.someone("I ❤\ufe0f rowing", email="ann@example.org").leaves()

    assert refused(api, "i ❤ rowing", 409) == TAKEN
    assert refused(api, "I  ❤\u2800rowing", 409) == TAKEN


@pytest.mark.parametrize("email", ["ada\ufe00@example.org", "ada\u2800@example.org", "ada@exam\u034fple.org"])
def test_an_email_has_no_characters_that_are_not_shown(api, email):
    user = {"username": "ada", "email": email, "password": PASSWORD}

    assert api.refusal(422, "POST", "/users", {"user": user}) == {"email": "must be an address with one @"}


# Accounts from before


@pytest.fixture
def upgraded(tmp_path, clock):
    """An API on a database whose accounts, by their usernames and keys, are older than these rules."""
    with ExitStack() as stack:

        def upgrade(*accounts):
            path = tmp_path / "older.db"
            migrate(path, HOME / "schema", to=16, clock=clock)
            with closing(sqlite3.connect(path)) as connection, connection:
                for number, (username, key) in enumerate(accounts, 1):
                    row = (username, key, *2 * [f"{number}\ufe0f@example.org"], hash_password(PASSWORD), clock.now())
                    connection.execute(
                        "INSERT INTO users (username, username_key, email, email_key, password_hash, created_at,"
                        " updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
                        row,
                    )
            migrate(path, HOME / "schema", clock=clock)
            database = stack.enter_context(closing(Database(path, HOME / "sql", clock=clock)))
            return Api(TestApp(app.make_app(Config(), database))), database

        yield upgrade


def test_older_accounts_are_found_by_their_names_and_log_in(upgraded):
    older = ["I ❤\ufe0f rowing", "Ada  Lovelace", "ada⠀king", "\u3164한\u3164", "plain", "e\u0301le\u0300ve"]
    api, database = upgraded(*((name, names.fold(name)) for name in older))

    assert [api.profile(name)["username"] for name in older] == older
    assert sqlite(database, "SELECT username_key FROM users ORDER BY id") == [(names.name_key(name),) for name in older]
    people = [api.logs_in(f"{number}\ufe0f@example.org") for number in range(1, len(older) + 1)]
    assert [person.me()["username"] for person in people] == older
    assert people[0].changes(username=older[0], bio="Rows")["bio"] == "Rows"


def test_of_older_twins_one_keeps_the_name_and_the_others_are_renamed(upgraded):
    twins = ["ada\ufe00", "ADA", "a\ufe01da", "bob  lee", "bob\u2800lee", "\u2800", "Deleted  User", "ada\ufe02"]
    api, _ = upgraded(*((name, names.fold(name)) for name in twins))

    people = [api.logs_in(f"{number}\ufe0f@example.org") for number in range(1, len(twins) + 1)]

    shown = [person.me()["username"] for person in people]
    assert shown == ["ada#1", "ADA", "ada#3", "bob  lee", "bob lee#5", "#6", "deleted user#7", "ada#8"]
    assert [api.profile(name)["username"] for name in shown] == shown
    assert people[0].changes(username="ada the first")["username"] == "ada the first"


def test_commands_find_a_user_by_every_spelling_of_the_name(commands):
    commands.says("migrate")
    commands.says("user", "create", "I ❤\ufe0f rowing", "ann@example.org", typed=f"{PASSWORD}\n")

    assert commands.says("user", "suspend", "--yes", "i  ❤⠀ROWING") == ["I ❤\ufe0f rowing is a member, suspended"]
    assert "I ❤\ufe0f rowing" in commands.says("user", "list", "--q", "\u200bi ❤ r")[2]
    assert "has already been taken" in commands.error(
        "user", "create", "I ❤ rowing", "bob@example.org", typed=f"{PASSWORD}\n"
    )

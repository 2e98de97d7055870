"""Which words GET /articles?q= finds: texts and queries are normalized alike, in every script."""

import tracemalloc
import unicodedata

import pytest

from handlers import words as words_module
from handlers.words import query, words


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("Ελλάδα", "ελλαδα"),
        ("ΕΛΛΑΔΑ ΟΔΟΣ", "Ελλάδα οδος"),
        ("Ёлка", "елка"),
        ("мой йод", "мои ИОД"),
        ("ґанок қазақ", "ганок казак"),
        ("Łódź", "lodz"),
        ("đường Đà Nẵng", "duong da nang"),
        ("smørrebrød på Ærø", "smorrebrod aero"),
        ("Straße STRASSE", "strasse straße"),
        ("Œuvre Þór ħobż ısparta", "oeuvre thor hobz isparta"),
        ("İSTANBUL", "istanbul"),
        ("Ｆｕｌｌ ﬁne", "full fine"),
        ("مُحَمَّد محـــمد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        ("क़लम", "कलम"),
        ("soft\u00adhyphen", "softhyphen"),
        ("世界", "世界"),
        ("你好世界人", "世界"),
        ("你好世界", "世"),
        ("你好世界", "界"),
        ("東京タワー", "タワ"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("ガラス".encode().decode(), "か゚ラス".replace("か゚", "カ\u3099")),
        ("ภาษาไทยง่าย", "ไทย"),
        ("ພາສາລາວ", "ລາວ"),
        ("មនុស្ស", "នុស"),
        ("한국어 공부", "공부 한국"),
        ("iPhone手机", "手机 iphone"),
        ("\U00020bb7野家", "\U00020bb7"),
        ("Row 🚣🏽 now", "🚣"),
        ("don't", "don’t"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_a_text_is_found_in_every_form(api, text, q, form):
    ann = api.someone("ann")
    ann.writes("Found", body=unicodedata.normalize(form, text))
    ann.writes("Another", body="nothing of it")

    assert api.titles(q=unicodedata.normalize(form, q)) == api.titles(q=q) == ["Found"]


@pytest.mark.parametrize(("text", "q"), [("世界", "界世"), ("한국어", "국어"), ("Rowing", "r"), ("Lodz", "odz")])
def test_what_is_not_there_is_not_found(api, text, q):
    api.someone("ann").writes("Title", body=text)

    assert api.titles(q=q) == []


def test_a_single_letter_is_a_word_and_two_are_the_beginning_of_one(api):
    ann = api.someone("ann")
    ann.writes("Vitamin C")
    ann.writes("Canoes")

    assert api.titles(q="c") == ["Vitamin C"]
    assert api.titles(q="ca") == ["Canoes"]


def test_the_first_eight_distinct_words_count():
    assert query("one two one TWO three four five six seven eight nine ten").split() == [
        f'"{word}"*' for word in "one two three four five six seven eight".split()
    ]
    assert query("a " * 100) == '"a"'


def test_of_a_long_word_the_first_64_letters_count(api):
    api.someone("ann").writes("Title", body="x" * 1000)

    assert api.titles(q="x" * 200) == ["Title"]


def test_the_index_holds_50000_distinct_words_of_a_text():
    text = " ".join(f"w{number}" for number in range(60_000))

    assert len(words(text).split()) == 50_000
    assert words("row row ROW rów") == "row"


class Counted:
    """unicodedata, whose normalize() counts the calls and the longest text."""

    def __init__(self):
        self.calls, self.longest = 0, 0

    def __getattr__(self, name):
        return getattr(unicodedata, name)

    def normalize(self, form, text):
        self.calls += 1
        self.longest = max(self.longest, len(text))
        return unicodedata.normalize(form, text)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0e38\u094d", "\u05b0\u064b\u0301", "\u0f71\u0f72"])
def test_combining_marks_cost_linear_time(monkeypatch, marks):
    counted = []
    for count in (10_000, 20_000):
        monkeypatch.setattr(words_module, "_NORMALIZED", words_module._Normalized())
        monkeypatch.setattr(words_module, "unicodedata", Counted())
        words("a" + marks * count)
        counted.append((words_module.unicodedata.calls, words_module.unicodedata.longest))

    assert counted[0] == counted[1]
    assert counted[0][1] <= 18


def test_what_is_kept_of_the_normalization_is_bounded():
    table = words_module._Normalized()

    "".join(map(chr, range(0x20000, 0x2FFFF))).translate(table)

    assert len(table) == 20_000


def test_articles_with_all_words_in_the_title_come_first_then_title_and_description_then_the_rest(api):
    ann = api.someone("ann")
    for title, description, body in (
        ("Oars and boats 1", "It", "x"),
        ("Oars 2", "About boats", "x"),
        ("Oars 3", "It", "boats " * 50 + "oars"),
        ("Oars and boats 4", "It", "x"),
        ("Something 5", "Boats and oars", "x"),
        ("Boats 6", "It", "oars"),
        ("Boats only 7", "It", "x"),
    ):
        ann.writes(title, description=description, body=body)

    found = api.titles(q="boat oar")

    assert [title[-1] for title in found] == ["4", "1", "5", "2", "6", "3"]
    assert [title[-1] for title in api.titles(q="boat oar", limit=3, offset=1)] == ["1", "5", "2"]


def test_an_update_of_one_text_keeps_the_words_of_the_others(api):
    ann = api.someone("ann")
    slug = ann.writes("Ёлка", description="Łódź", body="世界")

    ann.edits(slug, description="Ελλάδα")
    ann.edits(slug, tagList=["boats"])

    assert api.titles(q="елка ελλαδα 世界") == ["Ёлка"]
    assert api.titles(q="lodz") == []


@pytest.mark.parametrize(
    "body",
    ["\ufdfa" * 10_000, "".join(map(chr, range(0x20000, 0x21400))) * 6, "\U0001f6a3" * 40_000, "w\u0301 " * 40_000],
    ids=["eighteen characters from one", "Chinese", "emoji", "short words"],
)
def test_the_words_of_a_body_take_little_more_memory_than_it(body):
    words("warm up")
    tracemalloc.start()

    words(body)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(body.encode())

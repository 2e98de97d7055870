"""docs/sql-tour.md: twelve files, and under each something to try that shows what the page says."""

import json
import re
import shutil
from contextlib import closing
from urllib.parse import parse_qsl, urlsplit

import pytest

import seed
import terminal
from cli import _bound
from db import Database
from tests.conftest import HOME, sqlite

PAGE = (HOME / "docs/sql-tour.md").read_text()
TOPICS = [
    "Constraints",
    "Upsert",
    "Common table expressions",
    "Window functions",
    "Correlated EXISTS",
    "Keyset pagination",
    "Building JSON",
    "json_each",
    "Triggers as counters",
    "Full-text search",
    "Guarded writes",
    "Transactions",
]
SECTIONS = [section.partition("\n")[::2] for section in PAGE.split("\n## ")[1:]]
TRIES = [part for _, section in SECTIONS for part in section.split("**Try** ")[1:]]


def test_twelve_topics_stand_in_order_each_with_a_file_of_its_own():
    headings = [re.fullmatch(r"(\d+)\. (.+): \[(.+)\]\(\.\./(.+)\)", heading).groups() for heading, _ in SECTIONS]

    assert [(int(number), topic) for number, topic, _, _ in headings] == list(enumerate(TOPICS, 1))
    assert len({path for _, _, _, path in headings}) == 12
    for _, _, shown, path in headings:
        assert shown == path
        assert (HOME / path).exists()


def test_under_each_topic_there_is_something_to_try():
    assert [heading for heading, text in SECTIONS if "**Try** [/study/" not in text] == []


@pytest.fixture(scope="module")
def seeded(migrated, tmp_path_factory):
    """What `make demo` serves."""
    path = tmp_path_factory.mktemp("tour") / "demo.db"
    shutil.copy(migrated, path)
    with closing(Database(path, HOME / "sql")) as database:
        seed.sow(database, 50, 500, lambda count: None)
        yield database


def asked(text):
    """The page that a try names, and its parameters; `~run` is the button of its form."""
    (address,) = re.findall(r"\A\[.*?\]\(http://127\.0\.0\.1:8080/study/(\S+?)\)", text)
    parts = urlsplit(address)
    return parts.path, [f"{name}={value}" for name, value in parse_qsl(parts.query) if name != "~run"]


@pytest.mark.parametrize("text", TRIES, ids=[asked(text)[0] for text in TRIES])
def test_what_is_to_be_tried_shows_what_the_page_says(seeded, text):
    page, params = asked(text)
    kind, _, name = page.partition("/")
    shown = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)

    if kind == "tables":
        assert sqlite(seeded, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", name)
        assert not params
        return
    assert kind == "sql"
    file = seeded.files[name]
    assert len(shown) == (not file.writes) == ("~run=1" in text)
    if not file.writes:
        columns, rows = seeded.rows(name, **_bound(file, params))
        lines = [line.strip() for line in _printed(columns, rows)]
        for line in shown[0].splitlines():
            assert line in lines
            lines = lines[lines.index(line) + 1 :]


def _printed(columns, rows):
    if columns == ["response"]:
        return json.dumps(json.loads(rows[0][0]), indent=2, ensure_ascii=False).splitlines()
    return list(terminal.table(columns, rows))

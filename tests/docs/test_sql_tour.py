"""docs/sql-tour.md: twelve files, each with something to try that returns what the page shows."""

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

SECTIONS = [section.partition("\n")[::2] for section in (HOME / "docs/sql-tour.md").read_text().split("\n## ")[1:]]
EXAMPLES = [part for _, section in SECTIONS for part in section.split("**Try** ")[1:]]
TOPICS = [
    *("Constraints", "Upsert", "Common table expressions", "Window functions", "Correlated EXISTS"),
    *("Keyset pagination", "Building JSON", "json_each", "Triggers as counters", "Full-text search"),
    *("Guarded writes", "Transactions"),
]


def test_twelve_topics_have_a_file_and_an_example_each():
    headings = [re.fullmatch(r"(\d+)\. (.+): \[(.+)\]\(\.\./(.+)\)", heading).groups() for heading, _ in SECTIONS]

    assert [(int(number), topic) for number, topic, _, _ in headings] == list(enumerate(TOPICS, 1))
    assert len({path for _, _, _, path in headings}) == 12
    assert all(shown == path for _, _, shown, path in headings)
    assert [heading for heading, text in SECTIONS if "**Try** [/study/" not in text] == []


@pytest.fixture(scope="module")
def demo(migrated, tmp_path_factory):
    """What `make demo` serves."""
    path = tmp_path_factory.mktemp("tour") / "demo.db"
    shutil.copy(migrated, path)
    with closing(Database(path, HOME / "sql")) as database:
        seed.sow(database, 50, 500, lambda count: None)
        yield database


def address_of(text):
    """The page that an example links to."""
    return urlsplit(re.match(r"\[.*?\]\(http://127\.0\.0\.1:8080/study/(\S+?)\)", text)[1])


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: address_of(text).path)
def test_an_example_returns_what_the_page_shows(demo, text):
    address = address_of(text)
    kind, _, name = address.path.partition("/")
    if kind == "tables":
        assert sqlite(demo, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", name)
        assert not address.query
        return

    assert kind == "sql"
    shown = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    file = demo.files[name]
    assert len(shown) == (not file.writes) == ("~run=1" in text)
    if not file.writes:
        params = [f"{name}={value}" for name, value in parse_qsl(address.query) if name != "~run"]
        columns, rows = demo.rows(name, **_bound(file, params))
        lines = [line.strip() for line in printed(columns, rows)]
        for line in shown[0].splitlines():
            assert line in lines
            lines = lines[lines.index(line) + 1 :]


def printed(columns, rows):
    if columns[0] == "response":  # the page takes it apart, whatever stands beside it
        return json.dumps(json.loads(rows[0][0]), indent=2, ensure_ascii=False).splitlines()
    return list(terminal.table(columns, rows))

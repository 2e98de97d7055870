"""An export in pages: each at most 1 MiB, all of them together everything, once."""

import json
from collections import Counter

import pytest

from tests.conftest import sqlite

MIB = 1024 * 1024
NOW = "2026-01-31T12:00:00.000Z"


def comment(db, count, body):
    """Comments of the first user on the first article."""
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
        "INSERT INTO comments (article_id, author_id, body, created_at) SELECT 1, 1, ?, ? FROM numbers",
        *(count, body, NOW),
    )


def merged(pages):
    """The whole export: sections joined in the order of the pages."""
    whole = {}
    for page in pages:
        for name, entries in page.items():
            whole[name] = whole[name] + entries if name in whole else entries
    return whole


@pytest.fixture
def ann(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn")
    return ann


def test_a_small_export_is_one_page(ann):
    assert len(list(ann.pages("/user/export"))) == 1


def test_many_long_comments_are_exported_once_each(ann, db, monkeypatch):
    # A tenth of the size of pages and of comments: the same number of pages.
    monkeypatch.setattr("handlers.exports.MOST_BYTES", 100_000)
    comment(db, 400, "\x01" * 6_500)

    answers, path = [], "/user/export"
    while path:
        answers.append(ann.get(path))
        path = "/user/export" + answers[-1].headers.get("Link", "").partition(">")[0].strip("<")
        path = path if path != "/user/export" else ""
    whole = merged(answer.json for answer in answers)

    assert max(len(answer.body) for answer in answers) <= 100_000 + 100
    assert len(answers) == pytest.approx(400 / 2, abs=5)
    assert [each["id"] for each in whole["comments"]] == list(range(1, 401))
    assert len(whole["articles"]) == len(whole["slugs"]) == 1
    assert next(iter(answers[0].json)) == "user"


def test_pages_have_at_most_1_mib(ann, db):
    comment(db, 9, "\x01" * 65_536)
    comment(db, 9, "🚣" * 65_536)
    body = "INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)"
    for number in range(5):
        sqlite(db, f"{body} VALUES (1, ?, 't', 'd', ?, ?, ?)", f"s{number}", "\x01" * 100_000, NOW, NOW)

    pages = list(ann.pages("/user/export"))

    assert max(len(json.dumps(page, ensure_ascii=False).encode()) for page in pages) <= MIB
    whole = merged(pages)
    assert [each["id"] for each in whole["comments"]] == list(range(1, 19))
    assert len(whole["articles"]) == 6
    assert whole["audit"]


def test_an_entry_that_is_too_long_is_exported(ann, db, monkeypatch):
    monkeypatch.setattr("handlers.exports.MOST_BYTES", 1000)
    comment(db, 3, "x" * 5000)

    whole = merged(ann.pages("/user/export"))

    assert [each["id"] for each in whole["comments"]] == [1, 2, 3]
    assert whole["user"]["username"] == "ann"


ROWS = {
    "slugs": "INSERT INTO slugs (slug, article_id) SELECT 'former-' || n, 1 FROM numbers",
    "sessions": "INSERT INTO sessions (user_id, token_hash, user_agent, created_at, last_used_at)"
    "SELECT 1, printf('%064d', n), 'curl', :now, :now FROM numbers",
    "loginAddresses": "INSERT INTO login_addresses SELECT 1, '192.0.' || n, :now FROM numbers",
    "attempts": "INSERT INTO attempts SELECT 'articles of user 1 ' || n, 1, 1, 0 FROM numbers",
    "passwordResets": "INSERT INTO password_resets"
    " SELECT printf('%064d', n), 1, printf('2026-01-31T12:%02d:%02d.000Z', n / 60, n % 60) FROM numbers",
    "audit": "INSERT INTO audit (created_at, actor_id, action, user_id) SELECT :now, 1, 'user.login', 1 FROM numbers",
    "followers": "INSERT INTO follows SELECT n + 1, 1, :now FROM numbers",
    "following": "INSERT INTO follows SELECT 1, n + 1, :now FROM numbers",
    "favorites": "INSERT INTO favorites SELECT 1, n + 1, :now FROM numbers",
}


@pytest.mark.parametrize("section", ROWS)
def test_a_section_of_many_entries_is_exported_once_in_bounded_pages(ann, db, section):
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)"
    if section in ("followers", "following"):
        user = "INSERT INTO users (username, username_key, email, email_key, password_hash, created_at, updated_at)"
        sqlite(db, f"{numbers} {user} SELECT 'u' || n, n, 'u@x' || n, n, 'x', '{NOW}', '{NOW}' FROM numbers")
    if section == "favorites":
        article = "INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)"
        sqlite(db, "INSERT INTO users SELECT 2, 'bob', 'bob', 'b@x', 'b@x', 'x', role, NULL, bio, image, 0, 0,"
               " created_at, updated_at FROM users")  # fmt: skip
        sqlite(db, f"{numbers} {article} SELECT 2, 'a' || n, 't', 'd', 'b', '{NOW}', '{NOW}' FROM numbers")
    before = len(merged(ann.pages("/user/export"))[section])
    sqlite(db, f"{numbers} {ROWS[section]}".replace(":now", f"'{db.clock.now()}'"))

    pages = list(ann.pages("/user/export"))

    assert 2500 <= len(merged(pages)[section]) - before + (section == "attempts") <= 2501
    assert max(len(page.get(section, [])) for page in pages) <= 1000
    entries = Counter(json.dumps(entry) for entry in merged(pages)[section])
    assert section == "followers" or max(entries.values()) == 1


def test_what_is_written_or_deleted_meanwhile_moves_nothing(ann, db, monkeypatch):
    monkeypatch.setattr("handlers.exports.MOST_BYTES", 10_000)
    comment(db, 40, "x" * 3000)

    pages = []
    for number, page in enumerate(ann.pages("/user/export"), 1):
        pages.append(page)
        comment(db, number == 2, "Just in")
        sqlite(db, "DELETE FROM comments WHERE id IN (?, ?)", number, 41 - number)

    ids = [each["id"] for each in merged(pages)["comments"]]
    assert ids == sorted(set(ids))
    assert set(ids) >= set(range(len(pages) + 1, 40 - len(pages)))


def test_a_page_costs_no_more_when_there_is_more_behind_it(ann, db):
    def steps():
        counted = []
        connection = db._reader()
        connection.set_progress_handler(lambda: counted.append(1), 1000)
        ann.get("/user/export")
        connection.set_progress_handler(None, 0)
        return len(counted)

    comment(db, 10, "\x01" * 65_536)
    few = steps()
    comment(db, 100, "\x01" * 65_536)

    assert steps() <= few + 1


@pytest.mark.parametrize("cursor", ["x", "YmVmb3JlOjE", "ZXhwb3J0Ojk5Og", "ZXhwb3J0Oi0xOg", "ZXhwb3J0OjE"])
def test_a_cursor_that_no_link_gave_is_refused(ann, cursor):
    wrong = {"cursor": "must come from the Link header of an earlier page"}

    assert ann.refusal(422, "GET", f"/user/export?cursor={cursor}") == wrong


def test_the_cursor_of_another_user_shows_nothing_of_theirs(ann, api, db):
    comment(db, 9, "\x01" * 65_536)
    link = ann.get("/user/export").headers["Link"].partition(">")[0].strip("<")
    bob = api.someone("bob")

    assert bob.get(f"/user/export{link}").json["comments"] == []

"""Every verdict of a SQL file has a response; one that has none stops the program at start."""

from dataclasses import replace
from pathlib import Path

import pytest

from db import StartupError
from plugins.errors import require_declared

UNDECLARED = [
    "SELECT 'article: frozen' AS verdict",
    "SELECT 'forbidden' AS verdict",
    "SELECT ': forbidden' AS verdict",
    "SELECT CASE WHEN role IN ('admin') THEN 'article: frozen' END AS verdict FROM users",
    "SELECT iif(role = 'admin', 'article: not found', 'article: gone') as Verdict FROM users",
    "SELECT 'article: ' || 'frozen' AS verdict",
]
UNCHECKED = [
    "SELECT 'article: forbidden' verdict",
    "SELECT 'article: forbidden' AS VERDICT",
    "SELECT 'article: forbidden' AS [verdict]",
    "SELECT 'article: forbidden' AS `verdict`",
    "WITH found (verdict) AS (VALUES ('article: forbidden')) SELECT * FROM found",
    "DELETE FROM articles RETURNING 'article: forbidden' verdict",
    "SELECT :what AS verdict",
    "SELECT username AS verdict FROM users",
]


@pytest.mark.parametrize(
    ("statement", "error"),
    [(each, "the verdict '.*' is not declared") for each in UNDECLARED]
    + [(each, "a verdict is written as 'thing: message' AS verdict") for each in UNCHECKED],
)
def test_a_verdict_that_is_undeclared_or_cannot_be_checked_stops_the_program(sql_files, statement, error):
    odd = replace(sql_files["articles/must_exist"], path=Path("sql/odd.sql"), statements=(statement,))

    with pytest.raises(StartupError, match=rf"sql/odd\.sql: {error}"):
        require_declared([odd])


def test_the_verdicts_of_sql_are_declared(sql_files):
    require_declared(sql_files.values())

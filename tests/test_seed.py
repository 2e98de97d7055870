"""Demo content."""

import seed
from tests.conftest import sqlite


def test_what_is_added_is_new_each_time(db):
    names = [seed.sow(db, 3, 4, lambda count: None) for _ in range(3)]

    assert len({name for some in names for name in some}) == 9
    titles = [title for (title,) in sqlite(db, "SELECT title FROM articles ORDER BY id")]
    assert len({tuple(titles[first : first + 4]) for first in (0, 4, 8)}) == 3

"""Removes what closed accounts have left, in small transactions. The tables say what is left; knows no HTTP."""

from db import Database

# Limits of one transaction: rows of each of the eleven kinds, so fewer than 200 in all; and characters of articles, and
# likewise of comments. A single longer text is removed by itself.
_MOST_ROWS = 18
_MOST_CHARACTERS = 50_000


def remove_some(database: Database) -> bool:
    """Remove a little in one transaction; false when nothing is left. Several processes may do so at once."""
    limits = {"most": _MOST_ROWS, "most_characters": _MOST_CHARACTERS}
    found = database.row("leftovers/next", "leftovers/texts", **limits)
    if found is None:  # to look is a read: a write would empty the cache
        return False
    texts = "leftovers/delete" if found["content"] == "delete" else "leftovers/keep"
    database.write("leftovers/links", texts, "leftovers/account", **limits, **found)
    return True

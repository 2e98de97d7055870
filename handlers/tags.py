"""Tags."""

from pydantic import BaseModel

from db import Database


class Tags(BaseModel):
    """The names of tags."""

    tags: list[str]


def list_tags(db: Database) -> str:
    """The tags in use, most used first; of equally used ones the newest first. At most 1,000."""
    return db.read("tags/list")


ROUTES = [
    ("GET", "/tags", list_tags, {"answers": Tags, "cache": True}),
]

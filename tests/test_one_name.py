"""A database has one name: links to it are resolved once, and hard links refused."""

from contextlib import closing

import pytest

from config import Config, ConfigError
from db import Database, StartupError
from db.backup import back_up
from db.lock import InUse, WriteLock
from tests.commands import NEWEST
from tests.conftest import HOME
from tests.test_backup_commands import backups, grown, is_sound, names, rows, seeded  # noqa: F401


@pytest.fixture(params=["link to the file", "link to the folder", "link to a link", "dots"])
def other_name(request, grown, tmp_path):  # noqa: F811
    """Another path of the same database."""
    link = tmp_path / "elsewhere" / "other.db"
    link.parent.mkdir()
    if request.param == "link to the folder":
        (link.parent / "data").symlink_to(grown.database.parent)
        return link.parent / "data" / grown.database.name
    if request.param == "dots":
        return grown.database.parent / ".." / grown.database.parent.name / grown.database.name
    link.symlink_to(grown.database)
    if request.param == "link to a link":
        (link.parent / "another.db").symlink_to("other.db")
        return link.parent / "another.db"
    return link


def test_settings_and_databases_know_the_real_path(other_name, grown):  # noqa: F811
    assert Config(database=other_name).database == grown.database
    with closing(Database(other_name, HOME / "sql")) as database:
        assert database.path == grown.database


def test_a_served_database_is_not_rolled_back_by_any_name(other_name, grown):  # noqa: F811
    refused = f"{grown.database}: a server or a command has it open; stop that first"
    with closing(Database(other_name, HOME / "sql")):
        assert grown.error("rollback") == refused
    with closing(Database(grown.database, HOME / "sql")):
        assert grown.error("rollback", "--database", str(other_name)) == refused


def test_locks_are_the_same_by_each_name(other_name, grown):  # noqa: F811
    assert WriteLock(other_name).path == WriteLock(grown.database).path
    with closing(InUse(other_name)), pytest.raises(StartupError):
        InUse(grown.database, alone=True)


def test_restore_replaces_the_content_and_not_the_link(other_name, grown, tmp_path):  # noqa: F811
    grown.says("backup", str(tmp_path / "copy.db"), "--database", str(other_name))
    grown.sql("DELETE FROM articles")

    grown.says("restore", str(tmp_path / "copy.db"), "--database", str(other_name))

    assert other_name.samefile(grown.database)
    assert rows(grown.database, "SELECT count(*) FROM articles") == [(40,)]
    assert is_sound(grown)
    assert all(path.is_symlink() for path in (tmp_path / "elsewhere").iterdir())


def test_backups_and_safety_copies_are_beside_the_real_file(other_name, grown):  # noqa: F811
    grown.says("backup", "--database", str(other_name))
    grown.says("rollback", "--database", str(other_name))

    assert names(grown.database.parent / "backups") == {
        "rowboat.2026-01-31T120000Z.db",
        f"rowboat.before-rollback-{NEWEST}.1.db",
    }


def test_a_backup_does_not_replace_the_database_by_any_name(other_name, grown):  # noqa: F811
    assert "this is the database itself" in grown.error("backup", str(other_name))

    assert other_name.samefile(grown.database)


def test_a_backup_includes_the_wal_by_each_name(other_name, grown, tmp_path):  # noqa: F811
    with closing(Database(grown.database, HOME / "sql")) as database:
        with closing(database.connect()) as writer:
            writer.execute("UPDATE users SET bio = 'Rows at dawn'")
        back_up(other_name, tmp_path / "copy.db")

    assert rows(tmp_path / "copy.db", "SELECT DISTINCT bio FROM users") == [("Rows at dawn",)]


def test_a_link_to_nowhere_makes_the_database_where_it_leads(commands, tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "there.db")

    commands.says("migrate", "--database", str(tmp_path / "link.db"))

    assert (tmp_path / "link.db").is_symlink()
    assert (tmp_path / "there.db").is_file()


def test_a_loop_of_links_is_refused(commands, tmp_path):
    (tmp_path / "a.db").symlink_to("b.db")
    (tmp_path / "b.db").symlink_to("a.db")

    with pytest.raises(ConfigError, match="ROWBOAT_DATABASE"):
        Config(database=tmp_path / "a.db")
    assert "ROWBOAT_DATABASE" in commands.error("status", "--database", str(tmp_path / "a.db"))


def test_a_hard_link_is_refused_by_both_names(grown, tmp_path):  # noqa: F811
    (tmp_path / "other.db").hardlink_to(grown.database)

    for path in grown.database, tmp_path / "other.db":
        for command in ("migrate", "rollback", "user list"):
            assert grown.error(*command.split(), "--database", str(path)) == (
                f"{path}: it has another name, a hard link; delete that one (find -samefile finds it)"
            )
    assert names(tmp_path) >= {"other.db"}
    assert not (tmp_path / "other.db-wal").exists()

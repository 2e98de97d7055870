"""Commands run as root, in folders of another user: refused, with that user's name, before anything is written."""

import os
import pwd

import pytest

from tests.test_backup_commands import backups, grown, names, seeded  # noqa: F401

OTHER = 12345


@pytest.fixture
def theirs(monkeypatch):
    """Give files to another user, and be root. Who is not root owns them already, and only seems to be root."""
    is_root = os.geteuid() == 0
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def give(*paths):
        if is_root:
            for path in paths:
                os.chown(path, OTHER, OTHER, follow_symlinks=False)
        owner = OTHER if is_root else os.getuid()
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"#{owner}"

    return give


def listing(folder):
    return {(str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*")}


EVERY = [
    "serve",
    "migrate",
    "migrate --dry-run",
    "rollback",
    "status",
    "schema check",
    "seed",
    "sql users/newest",
    "backup",
    "check",
    "check --repair",
    "user list",
    "user promote ann --to admin",
    "audit prune --days 1",
]


@pytest.mark.parametrize("command", EVERY)
def test_every_command_that_opens_a_database_of_another_user_is_refused_and_leaves_nothing(grown, theirs, command):  # noqa: F811
    user = theirs(grown.database)
    if os.getuid():
        grown.database.parent.chmod(0o700)
    before = listing(grown.database.parent)

    error = grown.error(*command.split())

    assert error == f"{grown.database} belongs to {user}; run this command as that user: sudo -u '{user}' …"
    assert listing(grown.database.parent) == before


def test_a_database_is_not_made_in_a_folder_of_another_user(commands, tmp_path, theirs):
    home = tmp_path / "home"
    home.mkdir()
    user = theirs(home)

    for command in ("migrate", "serve", "seed"):
        error = commands.error(command, "--database", str(home / "data/rowboat.db"))
        assert error == f"{home} belongs to {user}; run this command as that user: sudo -u '{user}' …"
    assert list(home.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own some files, and another user others")
def test_other_folders_of_another_user_are_not_written_either(grown, tmp_path, theirs):  # noqa: F811
    vault, link = tmp_path / "vault", tmp_path / "link.db"
    vault.mkdir()
    (vault / "copy.db").touch()
    theirs(vault, vault / "copy.db", grown.folder)
    link.symlink_to(vault / "copy.db")

    assert f"{vault} belongs to" in grown.error("backup", str(vault / "mine.db"))
    assert f"{vault} belongs to" in grown.error("backup", str(vault))
    assert f"{vault}/copy.db belongs to" in grown.error("status", "--database", str(link))
    assert f"{vault}/copy.db belongs to" in grown.error("migration", "verify", "--database", str(link))
    for command in (["schema", "dump"], ["migration", "new", "boats"]):
        assert f"{grown.folder} belongs to" in grown.error(*command)
    assert names(vault) == {"copy.db"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns files as root")
def test_root_works_on_files_of_root(grown):  # noqa: F811
    grown.says("check")
    assert grown.says("backup")

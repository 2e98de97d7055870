"""Why a command does not start: one line that says what to do, exit status 2, and no file created."""

import dataclasses
import os
from pathlib import Path

import pytest

from config import Config, ConfigError, variable
from db.migrations import find_migrations

# A value that each setting refuses, and what it says that it may be.
REFUSED = [
    ("ROWBOAT_DATABASE", "", "the path of a file"),
    ("ROWBOAT_HOST", "", "an address, such as 127.0.0.1 or 0.0.0.0"),
    ("ROWBOAT_PORT", "eighty", "a whole number from 0 to 65535"),
    ("ROWBOAT_PORT", "65536", "a whole number from 0 to 65535"),
    ("ROWBOAT_PORT", "-1", "a whole number from 0 to 65535"),
    ("ROWBOAT_PORT", "８０", "a whole number from 0 to 65535"),
    ("ROWBOAT_THREADS", "0", "a whole number from 1 to 64"),
    ("ROWBOAT_THREADS", "", "a whole number from 1 to 64"),
    ("ROWBOAT_WORKERS", "-1", "a whole number from 0 to 64"),
    ("ROWBOAT_PIN", "1", "one of on, off"),
    ("ROWBOAT_DRAIN_S", "soon", "a whole number from 0 to 3600"),
    ("ROWBOAT_READ_LIMIT_MS", "0", "a whole number from 1 to 3600000"),
    ("ROWBOAT_LOG_FORMAT", "text", "one of auto, human, json"),
    ("ROWBOAT_SLOW_MS", "0", "a whole number from 1 to 3600000"),
    ("ROWBOAT_MIN_FREE_MB", "-1", "a whole number from 0 to 1000000000"),
    ("ROWBOAT_SYNCHRONOUS", "OFF", "one of FULL, NORMAL"),
    ("ROWBOAT_CHECKPOINT", "never", "one of on, off"),
    ("ROWBOAT_MIGRATE", "later", "one of apply, check"),
    ("ROWBOAT_MIGRATION_BACKUP", "no", "one of on, off"),
    ("ROWBOAT_BACKUP_EVERY", "6", "a number and m, h or d, such as 6h or 1d, or empty"),
    ("ROWBOAT_BACKUP_EVERY", "0h", "a number and m, h or d, such as 6h or 1d, or empty"),
    ("ROWBOAT_BACKUP_EVERY", "6h\n", "a number and m, h or d, such as 6h or 1d, or empty"),
    ("ROWBOAT_BACKUP_KEEP", "0", "a whole number from 1 to 1000000"),
    ("ROWBOAT_PREFIX", "club", "a path such as /club, without a slash at its end, or empty"),
    (
        "ROWBOAT_TRUSTED_PROXY",
        "proxy.example.org",
        "IP addresses and networks, such as 127.0.0.1 10.0.0.0/8 fd00::/8, or empty",
    ),
    ("ROWBOAT_REGISTRATION", "on", "one of open, closed"),
    ("ROWBOAT_REALWORLD_COMPAT", "yes", "one of on, off"),
    ("ROWBOAT_POSTS_PER_HOUR", "3", "a whole number from 4 to 1000000000"),
    ("ROWBOAT_MAIL_FROM", "The Club", "an address, such as club@example.org, or empty"),
    (
        "ROWBOAT_RESET_LINK",
        "https://example.org/reset",
        "a link with {token} in it, such as https://example.org/reset?token={token}, or empty",
    ),
    ("ROWBOAT_STUDY", "everyone", "one of on, off"),
    (
        "ROWBOAT_CORS_ORIGINS",
        "example.org",
        "* or origins such as https://example.org, without a path, separated by blanks",
    ),
    (
        "ROWBOAT_CORS_ORIGINS",
        "https://example.org/",
        "* or origins such as https://example.org, without a path, separated by blanks",
    ),
]


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def refusal(environment):
    """The error that these settings raise."""
    with pytest.raises(ConfigError) as refused:
        Config.from_environment(environment)
    return str(refused.value)


# Settings


@pytest.mark.parametrize(("name", "value", "expected"), REFUSED)
def test_an_unusable_setting_is_refused_with_what_it_may_be(name, value, expected):
    assert refusal({name: value}) == f"{name} is {value!r}; it must be {expected}"


SMTP = (
    "smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST:PORT, or empty; special characters in USER and PASSWORD are "
    "written as in any URL, such as %40 for @"
)
TOKEN = "at least 16 letters, digits and signs without a blank, or empty"
DSN = "https://KEY@HOST/PROJECT with the number of a project, or empty"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ROWBOAT_SMTP_URL", "mail.example.org", SMTP),
        ("ROWBOAT_SMTP_URL", "http://u:secret@mail.example.org", SMTP),
        ("ROWBOAT_SMTP_URL", "smtp://", SMTP),
        ("ROWBOAT_SMTP_URL", "smtps://h:secret", SMTP),
        ("ROWBOAT_SMTP_URL", "smtp://u:se℀cret@h", SMTP),
        ("ROWBOAT_SMTP_URL", "smtp://[secret", SMTP),
        ("ROWBOAT_METRICS_TOKEN", "short-secret", TOKEN),
        ("ROWBOAT_METRICS_TOKEN", "a secret with blanks", TOKEN),
        ("SENTRY_DSN", "secret", DSN),
        ("SENTRY_DSN", "https://secret@[example.org/1", DSN),
        ("SENTRY_DSN", "https://secret@example.org/club", DSN),
        ("SENTRY_DSN", "https://secret@example.org:port/1", DSN),
        ("SENTRY_DSN", "https://secret@example.org/", DSN),
    ],
)
def test_an_unusable_secret_is_refused_without_being_shown(name, value, expected):
    assert refusal({name: value}) == f"{name} must be {expected}"


def test_every_setting_has_a_value_that_is_refused():
    others = {"ROWBOAT_SMTP_URL", "ROWBOAT_METRICS_TOKEN", "SENTRY_DSN", "ROWBOAT_SETTINGS"}

    assert {name for name, _, _ in REFUSED} | others == {variable(field) for field in dataclasses.fields(Config)}


@pytest.mark.parametrize(("value", "seconds"), [("30m", 1800), ("6h", 21_600), ("1d", 86_400), ("", None)])
def test_a_period_is_a_number_and_its_unit(value, seconds):
    assert Config.from_environment({"ROWBOAT_BACKUP_EVERY": value}).backup_every == seconds


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ROWBOAT_DATABSE", "ROWBOAT_DATABSE is not a setting; did you mean ROWBOAT_DATABASE?"),
        ("ROWBOAT_migrate", "ROWBOAT_migrate is not a setting; did you mean ROWBOAT_MIGRATE?"),
        ("ROWBOAT_COLOUR", "ROWBOAT_COLOUR is not a setting"),
        ("ROWBOAT_", "ROWBOAT_ is not a setting"),
    ],
)
def test_an_unknown_setting_is_refused(name, message):
    assert refusal({name: "x", "PATH": "/bin"}) == message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ROWBOAT_THREADS": "many"}, "ROWBOAT_THREADS is 'many'; it must be a whole number from 1 to 64"),
        ({"ROWBOAT_THREAD": "4"}, "ROWBOAT_THREAD is not a setting; did you mean ROWBOAT_THREADS?"),
    ],
)
def test_serve_with_a_wrong_setting_creates_no_file(commands, tmp_path, setting, message):
    before = listing(tmp_path)

    assert commands.error("serve", "--port", "0", **setting) == message
    assert listing(tmp_path) == before


# The file of settings


def named(folder, content):
    """The environment that names a file with this content."""
    file = folder / "rowboat.conf"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"ROWBOAT_SETTINGS": str(file)}


def test_the_environment_overrides_the_file_and_a_flag_overrides_both(tmp_path):
    content = """
# What the club wants
ROWBOAT_REGISTRATION=closed
  ROWBOAT_RESET_LINK =  https://example.org/reset?token={token}#top\t
   # and how fast
ROWBOAT_THREADS=2\r
ROWBOAT_POSTS_PER_HOUR=20
ROWBOAT_PORT=1
ROWBOAT_TRUSTED_PROXY="""

    environment = named(tmp_path, content) | {"ROWBOAT_PORT": "2"}
    config = Config.from_environment(environment | {"ROWBOAT_POSTS_PER_HOUR": "30"})
    with_flag = Config.from_environment(environment, port=3)

    assert (config.registration, config.threads, config.trusted_proxy) == ("closed", 2, "")
    assert config.reset_link == "https://example.org/reset?token={token}#top"
    assert (config.posts_per_hour, config.port) == (30, 2)
    assert (with_flag.posts_per_hour, with_flag.port) == (20, 3)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    assert Config.from_environment(named(tmp_path, b"\xef\xbb\xbfROWBOAT_THREADS=2\n")).threads == 2


LINE = "a line is ROWBOAT_NAME=value, or begins with #"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\nROWBOAT_DATABSE=x", "2: ROWBOAT_DATABSE is not a setting; did you mean ROWBOAT_DATABASE?"),
        ("ROWBOAT_THREADS=many", "1: ROWBOAT_THREADS is 'many'; it must be a whole number from 1 to 64"),
        ("ROWBOAT_THREADS='4'", "1: ROWBOAT_THREADS is \"'4'\"; it must be a whole number from 1 to 64"),
        ("ROWBOAT_THREADS", f"1: {LINE}"),
        ("# all\nPORT=8080", f"2: {LINE}"),
        ("export ROWBOAT_PORT=8080", f"1: {LINE}"),
        ("=8080", f"1: {LINE}"),
        ("ROWBOAT_DATABASE=a\0b", f"1: {LINE}"),
        ("ROWBOAT_PORT=1\n\nROWBOAT_PORT=2", "3: ROWBOAT_PORT stands in line 1 already"),
        ("ROWBOAT_SETTINGS=other.conf", "1: ROWBOAT_SETTINGS is for the environment alone"),
        (b"ROWBOAT_PORT=1\nROWBOAT_MAIL_FROM=caf\xe9@example.org", "2: this is not UTF-8"),
    ],
)
def test_errors_in_a_file_name_the_line(tmp_path, content, message):
    assert refusal(named(tmp_path, content)) == f"{tmp_path}/rowboat.conf:{message}"


@pytest.mark.parametrize(
    "content",
    [
        "ROWBOAT_SMTP_URL=http://u:hunter2@mail.example.org",
        "ROWBOAT_SMTP_URL: smtps://u:hunter2@mail.example.org/?a=b",
        "ROWBOAT_SMTP_URL=\nsmtps://u:hunter2=@mail.example.org",
        "hunter2==",
        b"ROWBOAT_SMTP_URL=smtps://u:hunter2\xff@mail.example.org",
        "ROWBOAT_SMTP_URL=smtps://u:hunter2@h\nROWBOAT_SMTP_URL=smtps://u:hunter2@h",
    ],
)
def test_errors_in_a_file_never_show_a_secret(tmp_path, content):
    assert "hunter2" not in refusal(named(tmp_path, content))


def test_every_command_refuses_a_file_that_cannot_be_read(commands, tmp_path):
    missing, folder = str(tmp_path / "nowhere.conf"), str(tmp_path)

    assert commands.error("serve", ROWBOAT_SETTINGS=missing) == (
        f"{missing}: No such file or directory; ROWBOAT_SETTINGS names it"
    )
    assert commands.error("status", ROWBOAT_SETTINGS=folder) == f"{folder}: Is a directory; ROWBOAT_SETTINGS names it"


def test_every_command_reads_the_file(commands, tmp_path):
    commands.says("migrate")

    commands.says("rollback", **named(tmp_path, "ROWBOAT_MIGRATION_BACKUP=off\n"))
    assert not (commands.database.parent / "backups").exists()
    commands.says("rollback")
    assert (commands.database.parent / "backups").exists()


# The database. `seed` opens it as a worker of `serve` does.

NEEDS_A_FOLDER = "the database needs a folder that can be written"
ANOTHER_FILE = "name another one (--database, ROWBOAT_DATABASE), or move this one away"


@pytest.mark.parametrize(
    ("command", "database", "message"),
    [
        ("seed", "/proc/rowboat/a.db", f"/proc/rowboat: No such file or directory; {NEEDS_A_FOLDER}"),
        ("migrate", "notes.txt/a.db", f"{{}}/notes.txt: File exists; {NEEDS_A_FOLDER}"),
        ("migrate", "folder", f"{{}}/folder: not a regular file; {ANOTHER_FILE}"),
        ("seed", "pipe", f"{{}}/pipe: not a regular file; {ANOTHER_FILE}"),
        ("seed", "notes.txt", f"{{}}/notes.txt: not a database; {ANOTHER_FILE}"),
        ("status", "notes.txt", f"{{}}/notes.txt: file is not a database; {ANOTHER_FILE}"),
        ("schema check", "no/a.db", "{}/no/a.db: there is no such database; the commands migrate and serve make one"),
    ],
)
def test_an_unusable_path_is_refused_and_left_alone(commands, tmp_path, monkeypatch, command, database, message):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("notes.txt").write_text("Dear diary, " * 100)
    before = listing(tmp_path)

    assert commands.error(*command.split(), ROWBOAT_DATABASE=database) == message.format(tmp_path)
    assert listing(tmp_path) == before
    assert Path("notes.txt").read_text() == "Dear diary, " * 100


def test_pending_scripts_are_refused_where_the_settings_say_so(commands):
    scripts = find_migrations(commands.folder)
    assert commands.error("seed", ROWBOAT_MIGRATE="check") == (
        f"{len(scripts)} schema scripts are pending, from 0001 users; run the command migrate first"
    )
    assert not commands.database.parent.exists()

    commands.says("migrate")
    name = commands.add("oars", "CREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n").stem.replace("_", " ")
    assert commands.error("seed", ROWBOAT_MIGRATE="check") == (
        f"1 schema script is pending, from {name}; run the command migrate first"
    )
    assert "oars" not in commands.tables()

    commands.says("migrate")
    assert commands.run("seed", "--users", "1", "--articles", "0", ROWBOAT_MIGRATE="check").exit_code == 0

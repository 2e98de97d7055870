"""What keeps a command from starting: one line that says what to do, exit status 2, and nothing half-created."""

import dataclasses
import socket
from contextlib import closing
from pathlib import Path

import pytest

from config import Config, ConfigError, variable

NEEDS_A_FOLDER = "the database needs a folder that can be written"
ANOTHER_FILE = "set ROWBOAT_DATABASE to another file, or move this one away"

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
    ("ROWBOAT_TRUSTED_PROXY", "proxy.example.org", "an IP address, such as 127.0.0.1, or empty"),
    ("ROWBOAT_REGISTRATION", "on", "one of open, closed"),
    ("ROWBOAT_REALWORLD_COMPAT", "yes", "one of on, off"),
    ("ROWBOAT_POSTS_PER_HOUR", "3", "a whole number from 4 to 1000000000"),
    ("ROWBOAT_MAIL_FROM", "The Club", "an address, such as club@example.org, or empty"),
    (
        "ROWBOAT_RESET_LINK",
        "https://example.org/reset",
        "a link with {token} in it, such as https://example.org/reset?token={token}, or empty",
    ),
    ("ROWBOAT_STUDY", "everyone", "one of local, on, off"),
    ("ROWBOAT_CORS_ORIGINS", "example.org", "* or origins such as https://example.org, separated by blanks"),
    ("ROWBOAT_CORS_ORIGINS", "https://example.org/", "* or origins such as https://example.org, separated by blanks"),
]


def listing(folder: Path) -> list[str]:
    """Everything in a folder, with what caches Python makes left aside."""
    return sorted(str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts)


# Settings


@pytest.mark.parametrize(("name", "value", "expected"), REFUSED)
def test_a_setting_that_cannot_be_used_says_what_it_may_be(name, value, expected):
    with pytest.raises(ConfigError) as refused:
        Config.from_environment({name: value})

    assert str(refused.value) == f"{name} is {value!r}; it must be {expected}"


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org",
        "http://u:secret@mail.example.org",
        "smtp://",
        "smtps://h:secret",
        "smtp://u:se℀cret@h",
        "smtp://[secret",
    ],
)
def test_a_mail_server_that_cannot_be_used_says_so_without_its_password(url):
    with pytest.raises(ConfigError) as refused:
        Config.from_environment({"ROWBOAT_SMTP_URL": url})

    assert str(refused.value) == (
        "ROWBOAT_SMTP_URL must be smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST:PORT, or empty"
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ROWBOAT_METRICS_TOKEN", "short-secret", "at least 16 letters, digits and signs without a blank, or empty"),
        (
            "ROWBOAT_METRICS_TOKEN",
            "a secret with blanks",
            "at least 16 letters, digits and signs without a blank, or empty",
        ),
        ("SENTRY_DSN", "secret", "https://KEY@HOST/PROJECT with the number of a project, or empty"),
        (
            "SENTRY_DSN",
            "https://secret@[example.org/1",
            "https://KEY@HOST/PROJECT with the number of a project, or empty",
        ),
        (
            "SENTRY_DSN",
            "https://secret@example.org/club",
            "https://KEY@HOST/PROJECT with the number of a project, or empty",
        ),
        (
            "SENTRY_DSN",
            "https://secret@example.org:port/1",
            "https://KEY@HOST/PROJECT with the number of a project, or empty",
        ),
        (
            "SENTRY_DSN",
            "https://secret@example.org/",
            "https://KEY@HOST/PROJECT with the number of a project, or empty",
        ),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_shown(name, value, expected):
    with pytest.raises(ConfigError) as refused:
        Config.from_environment({name: value})

    assert str(refused.value) == f"{name} must be {expected}"


@pytest.mark.parametrize(("value", "seconds"), [("30m", 1800), ("6h", 21_600), ("1d", 86_400), ("", None)])
def test_how_often_something_happens_is_a_number_and_its_unit(value, seconds):
    assert Config.from_environment({"ROWBOAT_BACKUP_EVERY": value}).backup_every == seconds


def test_every_setting_has_a_value_that_it_refuses():
    others = {"ROWBOAT_SMTP_URL", "ROWBOAT_METRICS_TOKEN", "SENTRY_DSN", "ROWBOAT_SETTINGS"}

    assert {name for name, _, _ in REFUSED} | others == {variable(field) for field in dataclasses.fields(Config)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ROWBOAT_DATABSE", "ROWBOAT_DATABSE is not a setting; did you mean ROWBOAT_DATABASE?"),
        ("ROWBOAT_migrate", "ROWBOAT_migrate is not a setting; did you mean ROWBOAT_MIGRATE?"),
        ("ROWBOAT_COLOUR", "ROWBOAT_COLOUR is not a setting"),
        ("ROWBOAT_", "ROWBOAT_ is not a setting"),
    ],
)
def test_a_name_that_is_no_setting_is_refused(name, message):
    with pytest.raises(ConfigError) as refused:
        Config.from_environment({name: "x", "PATH": "/bin"})

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ROWBOAT_THREADS": "many"}, "ROWBOAT_THREADS is 'many'; it must be a whole number from 1 to 64"),
        ({"ROWBOAT_THREAD": "4"}, "ROWBOAT_THREAD is not a setting; did you mean ROWBOAT_THREADS?"),
    ],
)
def test_a_wrong_setting_keeps_the_server_from_starting(fork, tmp_path, setting, message):
    before = listing(tmp_path)

    assert fork.error("serve", "--port", "0", **setting) == message
    assert listing(tmp_path) == before


# The file of settings


def from_file(folder, content, **environment):
    """The settings of a file of this content, in an environment."""
    file = folder / "rowboat.conf"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Config.from_environment({"ROWBOAT_SETTINGS": str(file)} | environment)


def test_a_file_has_a_setting_on_each_line_and_the_environment_wins_over_it_and_a_flag_over_both(tmp_path):
    content = """
# What the club wants
ROWBOAT_REGISTRATION=closed
  ROWBOAT_RESET_LINK =  https://example.org/reset?token={token}#top\t
   # and how fast
ROWBOAT_THREADS=2\r
ROWBOAT_POSTS_PER_HOUR=20
ROWBOAT_PORT=1
ROWBOAT_TRUSTED_PROXY="""

    config = from_file(tmp_path, content, ROWBOAT_POSTS_PER_HOUR="30", ROWBOAT_PORT="2")
    with_flag = Config.from_environment({"ROWBOAT_SETTINGS": config.settings, "ROWBOAT_PORT": "2"}, port=3)

    assert (config.registration, config.threads, config.trusted_proxy) == ("closed", 2, "")
    assert config.reset_link == "https://example.org/reset?token={token}#top"
    assert (config.posts_per_hour, config.port) == (30, 2)
    assert (with_flag.posts_per_hour, with_flag.port) == (20, 3)


def test_a_file_that_an_editor_began_with_a_byte_order_mark_is_read(tmp_path):
    assert from_file(tmp_path, b"\xef\xbb\xbfROWBOAT_THREADS=2\n").threads == 2


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
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path, content, message):
    with pytest.raises(ConfigError) as refused:
        from_file(tmp_path, content)

    assert str(refused.value) == f"{tmp_path}/rowboat.conf:{message}"


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
def test_no_secret_of_a_file_is_shown(tmp_path, content):
    with pytest.raises(ConfigError) as refused:
        from_file(tmp_path, content)

    assert "hunter2" not in str(refused.value)


def test_where_the_file_cannot_be_read_every_command_says_so(fork, tmp_path):
    missing, folder = str(tmp_path / "nowhere.conf"), str(tmp_path)

    assert fork.error("serve", ROWBOAT_SETTINGS=missing) == (
        f"{missing}: No such file or directory; ROWBOAT_SETTINGS names it"
    )
    assert fork.error("status", ROWBOAT_SETTINGS=folder) == f"{folder}: Is a directory; ROWBOAT_SETTINGS names it"


def test_every_command_reads_the_file(fork, tmp_path):
    (tmp_path / "rowboat.conf").write_text("ROWBOAT_MIGRATION_BACKUP=off\n")
    fork.says("migrate")

    fork.says("rollback", ROWBOAT_SETTINGS=str(tmp_path / "rowboat.conf"))
    assert not (fork.database.parent / "backups").exists()
    fork.says("rollback")
    assert (fork.database.parent / "backups").exists()


# The address


def test_a_port_in_use_keeps_the_server_from_starting(fork, tmp_path):
    before = listing(tmp_path)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]

        message = fork.error("serve", "--port", str(port))

    assert (
        message
        == f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another with --port or ROWBOAT_PORT"
    )
    assert listing(tmp_path) == before


# The database


@pytest.mark.parametrize(
    ("command", "database", "message"),
    [
        ("serve", "/proc/rowboat/rowboat.db", "/proc/rowboat: No such file or directory"),
        ("migrate", "{folder}/notes.txt/rowboat.db", "{folder}/notes.txt: File exists"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(fork, tmp_path, command, database, message):
    (tmp_path / "notes.txt").write_text("mine")
    before = listing(tmp_path)

    error = fork.error(command, ROWBOAT_DATABASE=database.format(folder=tmp_path), ROWBOAT_PORT="0")

    assert error == f"{message.format(folder=tmp_path)}; {NEEDS_A_FOLDER}"
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("serve", f"not a database; {ANOTHER_FILE}"),
        ("status", f"file is not a database; {ANOTHER_FILE}"),
    ],
)
def test_a_file_that_is_not_a_database_is_left_alone(fork, tmp_path, command, message):
    fork.database.parent.mkdir()
    fork.database.write_text("Dear diary, " * 100)
    before = listing(tmp_path)

    assert fork.error(command, ROWBOAT_PORT="0") == f"{fork.database}: {message}"
    assert fork.database.read_text() == "Dear diary, " * 100
    assert listing(tmp_path) == before


def test_a_database_that_is_not_there_is_not_created_to_be_checked(fork):
    assert fork.error("schema", "check") == (
        f"{fork.database}: there is no such database; the commands migrate and serve make one"
    )
    assert not fork.database.parent.exists()


def test_a_folder_in_the_databases_place_is_left_alone(fork, tmp_path):
    fork.database.mkdir(parents=True)
    before = listing(tmp_path)

    assert fork.error("migrate") == f"{fork.database}: Is a directory; {NEEDS_A_FOLDER}"
    assert listing(tmp_path) == before


def test_a_database_that_is_newer_than_the_code_is_left_alone(fork, tmp_path):
    newest = len(list(fork.folder.glob("*.down.sql")))
    fork.add("oars", "CREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n", "DROP TABLE oars;\n")
    fork.migrate()
    fork.remove("oars")
    before, content = listing(tmp_path), fork.database.read_bytes()

    assert fork.error("serve", "--port", "0") == (
        f"the database is newer than this code: script {newest + 1:04d} oars was applied, and schema/ ends at "
        f"{newest:04d}; run the newer code, or restore a copy from before that script"
    )
    assert listing(tmp_path) == before
    assert fork.database.read_bytes() == content


def test_a_database_that_another_migration_tool_keeps_is_left_alone(fork, tmp_path):
    fork.database.parent.mkdir()
    fork.run("CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)")

    message = fork.error("status")

    assert message == (
        f"{fork.database}: cannot read what was applied: no such column: name; "
        "set ROWBOAT_DATABASE to another file, or restore a copy"
    )

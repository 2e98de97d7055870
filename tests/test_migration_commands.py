"""The schema's commands as somebody types them, in a fork with scripts of its own."""

import json
import re
import signal
import sqlite3
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from db.lock import WriteLock
from db.migrations import find_migrations
from tests.commands import error_of, port_of, screen
from tests.db.scripts import PACE, SLOW

BOATS = "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
HERON = "INSERT INTO boats (name) VALUES ('Heron');\n"
OARS = "-- What one rows with.\nCREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n"

needs_proc = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs Linux: /proc tells what a process does")


@pytest.fixture
def boats(fork):
    """A fork with one script, which is applied."""
    fork.empty()
    fork.add("boats", BOATS + HERON, "-- Loses the boats.\nDROP TABLE boats;\n")
    fork.migrate()
    return fork


# Going up and down


def test_migrate_applies_the_projects_scripts_and_says_so_line_by_line(fork):
    scripts = find_migrations(fork.folder)

    lines = fork.says("migrate")

    assert [re.sub(r"in \d+ ms", "in N ms", line) for line in lines] == [f"applied {each} in N ms" for each in scripts]
    assert fork.says("migrate") == ["nothing to apply"]
    assert fork.files() == ["rowboat.db"]


def test_migrate_goes_up_and_rollback_down_by_steps_or_to_a_number(fork):
    fork.empty()
    for number in range(1, 6):
        fork.add(f"boat{number}", BOATS.replace("boats", f"boat{number}"), f"DROP TABLE boat{number};\n")

    fork.says("migrate", "--to", "4")
    assert fork.versions() == [1, 2, 3, 4]
    lines = fork.says("rollback")
    assert [line.split(" in ")[0] for line in lines[1:]] == ["undone 0004 boat4"]
    lines = fork.says("rollback", "--steps", "2")
    assert [line.split(" in ")[0] for line in lines[1:]] == ["undone 0003 boat3", "undone 0002 boat2"]
    fork.says("rollback", "--to", "0")
    assert fork.tables() == []


def test_a_dry_run_prints_the_sql_in_order_and_creates_no_file(fork):
    fork.empty()
    fork.add("boats", BOATS)
    fork.add("oars", OARS)

    lines = fork.says("migrate", "--dry-run")

    assert "\n".join(lines) == f"-- 0001_boats.sql\n{BOATS}\n-- 0002_oars.sql\n{OARS}"
    assert not fork.database.parent.exists()


def test_a_dry_run_on_a_database_prints_what_is_pending_and_changes_nothing(boats):
    boats.add("oars", OARS)
    boats.add("more", HERON)
    before = boats.database.read_bytes()

    assert "\n".join(boats.says("migrate", "--dry-run", "--to", "2")) == f"-- 0002_oars.sql\n{OARS}"

    assert boats.database.read_bytes() == before
    assert boats.files() == ["rowboat.db"]


def test_a_dry_run_refuses_what_migrate_would_refuse(boats):
    boats.add("oars", OARS)
    boats.migrate()

    assert boats.error("migrate", "--dry-run", "--to", "1") == (
        "the database is at 0002 already; `rollback --to 1` goes back"
    )


def test_rollback_refuses_a_script_that_cannot_be_undone_and_says_why(boats):
    boats.add("hashes", "UPDATE boats SET name = hex(name);\n", "-- The names were hashed.\n")
    boats.migrate()
    before = boats.files()

    message = boats.error("rollback")

    down = boats.folder / "0002_hashes.down.sql"
    assert message == f"{down}: cannot be undone: The names were hashed."
    assert boats.versions() == [1, 2]
    assert boats.files() == before


def test_status_tells_each_scripts_state(boats):
    boats.add("oars", OARS)
    (boats.folder / "0001_boats.sql").write_text(BOATS)

    edited, pending = boats.says("status")

    assert re.fullmatch(r"0001  boats +edited   \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  \d+ ms", edited)
    assert re.fullmatch(r"0002  oars +pending", pending)


def test_status_as_json_tells_the_same_and_missing_scripts_too(boats):
    boats.add("oars", OARS)
    boats.migrate()
    boats.remove("oars")

    rows = json.loads("\n".join(boats.says("status", "--json")))

    assert [(row["version"], row["name"], row["state"]) for row in rows] == [
        (1, "boats", "applied"),
        (2, "oars", "missing"),
    ]
    assert all(re.match(r"\d{4}-", row["applied_at"]) and row["ms"] >= 0 for row in rows)


def test_status_creates_no_database(fork):
    lines = fork.says("status")

    assert len(lines) == len(find_migrations(fork.folder))
    assert all(line.endswith("  pending") for line in lines)
    assert not fork.database.parent.exists()


# Writing and proving scripts


def test_migration_new_makes_a_pair_that_is_ready_to_be_filled_in(boats):
    up, down = (Path(line) for line in boats.says("migration", "new", "Blåa Oars!"))

    assert (up, down) == (boats.folder / "0002_blaa_oars.sql", boats.folder / "0002_blaa_oars.down.sql")
    assert up.read_text().startswith("-- ")
    up.write_text(OARS)
    down.write_text("DROP TABLE oars;\n")
    assert boats.says("migration", "verify") == ["0001 boats: up, down, up", "0002 blaa_oars: up, down, up"]


def test_migration_new_needs_a_name_with_letters(boats):
    message = boats.error("migration", "new", "!!")

    assert message == "'!!' has no letters; name what the script adds, such as bookmarks"


def test_migration_verify_names_the_down_script_that_does_not_lead_back(boats):
    path = boats.add("oars", OARS, "SELECT 1;\n")

    message = error_of(boats.start("migration", "verify"))

    down = path.with_suffix(".down.sql")
    assert message == f"{down}: leads back to another schema than before: see table oars"


def test_schema_dump_writes_the_schema(boats):
    boats.add("oars", OARS)

    boats.says("schema", "dump")

    assert (
        (boats.folder / "schema.sql")
        .read_text()
        .endswith(
            "\nCREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
            "\nCREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n"
        )
    )


def test_schema_check_names_each_difference_and_fails(boats):
    boats.run("CREATE INDEX boats_name_idx ON boats (name)")
    boats.run("ALTER TABLE boats ADD COLUMN length INTEGER")

    lines = boats.says("schema", "check", status=1)

    assert lines == ["index boats_name_idx: not in the scripts", "column boats.length: not in the scripts"]


# All or nothing


def test_a_failing_third_statement_is_named_and_leaves_nothing(boats):
    path = boats.add("more", f"{OARS}{HERON}\n-- Too much;\nINSERT INTO boats (name)\nVALUES (NULL);\n")

    message = boats.error("migrate")

    assert message == (f"{path}:6: NOT NULL constraint failed: boats.name; in: INSERT INTO boats (name) VALUES (NULL);")
    assert boats.tables() == ["boats"]
    assert boats.run("SELECT name FROM boats") == [("Heron",)]
    assert boats.versions() == [1]


def test_a_new_database_whose_first_script_fails_is_not_left_behind(fork):
    fork.empty()
    path = fork.add("boats", BOATS + "SELECT nowhere;\n")

    assert fork.error("migrate") == f"{path}:2: no such column: nowhere; in: SELECT nowhere;"
    assert fork.files() == []


def test_ctrl_c_in_the_middle_of_a_script_leaves_the_database_as_it_was(boats):
    boats.add("pace", PACE)
    boats.migrate(backup=False)
    boats.run("UPDATE pace SET strokes = 20000000")
    path = boats.add("strokes", SLOW)
    process = boats.start("migrate", ROWBOAT_MIGRATION_BACKUP="off")
    boats.wait_for_wal(process, size=1 << 20)

    process.send_signal(signal.SIGINT)

    assert error_of(process) == f"{path}: interrupted; nothing of it was kept"
    assert boats.tables() == ["boats", "pace"]
    assert boats.versions() == [1, 2]


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(0, id="at once", marks=pytest.mark.slow),
        pytest.param(1, id="early"),
        pytest.param(20 << 20, id="after 20 MB", marks=pytest.mark.slow),
        pytest.param(60 << 20, id="after 60 MB", marks=pytest.mark.slow),
        pytest.param(150 << 20, id="after 150 MB", marks=pytest.mark.slow),
    ],
)
def test_kill_9_in_the_middle_of_a_script_leaves_the_database_as_it_was(boats, written):
    boats.add("pace", PACE)
    boats.migrate(backup=False)
    boats.run("UPDATE pace SET strokes = 20000000")
    boats.add("strokes", SLOW)
    process = boats.start("migrate", ROWBOAT_MIGRATION_BACKUP="off")
    boats.wait_for_wal(process, size=written)

    process.kill()
    process.communicate()

    assert boats.run("PRAGMA integrity_check") == [("ok",)]
    assert boats.tables() == ["boats", "pace"]
    assert boats.run("SELECT name FROM boats") == [("Heron",)]
    assert boats.versions() == [1, 2]
    boats.run("UPDATE pace SET strokes = 10")
    boats.says("migrate")
    assert boats.says("schema", "check") == ["the schema is what the scripts build"]
    assert boats.run("SELECT count(*) FROM strokes") == [(10,)]


def test_kill_9_in_the_middle_of_the_copy_leaves_no_copy_that_looks_whole(boats):
    boats.run(
        "INSERT INTO boats (name) WITH RECURSIVE counted (n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 10000) SELECT hex(zeroblob(1000)) FROM counted"
    )
    boats.add("oars", OARS)
    process = boats.start("migrate")
    copy = boats.database.parent / "backups/rowboat.before-0002.db"
    boats.wait_for_file(process, copy.with_name(f"{copy.name}.partial"), size=1 << 20)

    process.kill()
    process.communicate()

    assert not copy.exists()
    assert boats.versions() == [1]
    boats.says("migrate")
    assert [path for path in boats.files() if "before" in path] == ["backups/rowboat.before-0002.db"]
    assert boats.run("SELECT count(*) FROM boats") == [(10001,)]


# Several at once


def test_eight_that_start_at_once_on_no_database_apply_each_script_once(fork):
    fork.empty()
    fork.add("boats", BOATS)
    fork.add("pace", PACE.replace("10", "200000"))
    fork.add("strokes", SLOW)

    processes = [fork.start("migrate") for _ in range(8)]
    outputs = [process.communicate(timeout=60) for process in processes]

    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, outputs, strict=True)] == [
        (0, "")
    ] * 8
    lines = sorted(line.split(" in ")[0] for output, _ in outputs for line in output.splitlines())
    assert lines == ["applied 0001 boats", "applied 0002 pace", "applied 0003 strokes", *["nothing to apply"] * 7]
    assert fork.run("PRAGMA integrity_check") == [("ok",)]


def test_two_servers_and_a_command_that_start_at_once_apply_each_script_once(fork):
    fork.add("pace", PACE.replace("10", "200000"))
    fork.add("strokes", SLOW)
    servers = [fork.start("serve", "--port", "0") for _ in range(2)]

    lines = fork.says("migrate")
    for server in servers:
        said, port = port_of(server)
        lines += said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            assert json.load(answer) == {"alive": True}

    applied = sorted(line.split(" in ")[0] for line in lines if line != "nothing to apply")
    assert applied == [f"applied {each}" for each in find_migrations(fork.folder)]


@needs_proc
def test_who_comes_second_waits_for_its_turn(boats):
    boats.add("oars", OARS)
    with closing(WriteLock(boats.database)) as lock, lock:
        second = boats.start("migrate")
        boats.wait_until_waiting(second)
        assert boats.versions() == [1]

    second.communicate(timeout=60)
    assert boats.versions() == [1, 2]


@needs_proc
def test_ctrl_c_while_another_one_migrates_leaves_it_to_the_other(boats):
    boats.add("oars", OARS)
    with closing(WriteLock(boats.database)) as lock, lock:
        second = boats.start("migrate")
        boats.wait_until_waiting(second)
        second.send_signal(signal.SIGINT)

        assert error_of(second) == (
            f"{boats.database}: interrupted; what was done before stays, and nothing else was touched"
        )

    assert boats.versions() == [1]


# What serve does about pending scripts


def test_serve_can_be_told_to_refuse_while_scripts_are_pending(fork):
    scripts = find_migrations(fork.folder)

    message = fork.error("serve", "--port", "0", ROWBOAT_MIGRATE="check")

    assert message == (f"{len(scripts)} schema scripts are pending, from 0001 users; run the command migrate first")
    assert not fork.database.parent.exists()
    fork.migrate()
    _, port = port_of(fork.start("serve", "--port", "0", ROWBOAT_MIGRATE="check"))
    assert port


def test_one_pending_script_is_enough(fork):
    fork.migrate()
    path = fork.add("oars", OARS)

    message = fork.error("serve", "--port", "0", ROWBOAT_MIGRATE="check")

    name = path.stem.replace("_", " ")
    assert message == f"1 schema script is pending, from {name}; run the command migrate first"
    assert "oars" not in fork.tables()


def test_serve_refuses_a_script_that_was_edited(fork):
    fork.migrate()
    path = fork.folder / "0001_users.sql"
    path.write_text(path.read_text() + "\n-- One more word.\n")

    assert fork.error("serve", "--port", "0").startswith(f"{path}: edited after it was applied on ")


# The copy


def test_migrate_keeps_a_copy_first_and_says_where(boats):
    boats.add("oars", OARS)

    lines = boats.says("migrate")

    copy = boats.database.parent / "backups/rowboat.before-0002.db"
    assert lines[0] == f"kept a copy in {copy}"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM boats").fetchall() == [("Heron",)]


def test_migrate_can_be_told_to_keep_no_copy(boats):
    boats.add("oars", OARS)

    (line,) = boats.says("migrate", ROWBOAT_MIGRATION_BACKUP="off")

    assert line.startswith("applied 0002 oars in ")
    assert boats.files() == ["rowboat.db"]


# Progress


def test_a_terminal_shows_what_runs_and_for_how_long_and_keeps_the_lines(boats):
    boats.add("pace", PACE.replace("10", "100000"))
    boats.add("strokes", SLOW)

    printed, written = boats.on_a_terminal("migrate")

    assert re.search(r"\rcopying \d+ MiB +\[#{40}\] 100%", written)
    assert written.count("\r0003 strokes, line 3: 0 s") == 1
    assert screen(written) == []
    assert [line.split(" ")[0] for line in printed.splitlines()] == ["kept", "applied", "applied"]
    assert "\r" not in printed


def test_on_a_terminal_an_error_stands_alone_on_its_line(boats):
    boats.add("pace", PACE.replace("10", "100000"))
    path = boats.add("strokes", SLOW + "SELECT nowhere;\n")

    _, written = boats.on_a_terminal("migrate")

    assert re.search(r"\r {70,}\rrowboat: ", written)
    assert screen(written) == [f"rowboat: {path}:10: no such column: nowhere; in: SELECT nowhere;"]


# Size


@pytest.mark.slow
@needs_proc
def test_a_table_of_a_million_rows_is_built_anew_in_less_than_100_mb(boats):
    boats.run(
        "INSERT INTO boats (name) WITH RECURSIVE counted (n) AS "
        "(SELECT 2 UNION ALL SELECT n + 1 FROM counted WHERE n < 1000000) "
        "SELECT 'boat number ' || n || ', with a name that takes some room on a page of the table' FROM counted"
    )
    boats.add("trips", "CREATE TABLE trips (boat_id INTEGER REFERENCES boats (id)) STRICT;\n")
    boats.migrate(backup=False)
    boats.run("INSERT INTO trips SELECT id FROM boats")
    boats.add(
        "length",
        "-- foreign_keys: off\n"
        "CREATE TABLE boats_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, length INTEGER NOT NULL) STRICT;\n"
        "INSERT INTO boats_new (id, name, length) SELECT id, name, length(name) FROM boats;\n"
        "DROP TABLE boats;\nALTER TABLE boats_new RENAME TO boats;\n"
        "CREATE INDEX boats_name_idx ON boats (name);\nCREATE INDEX trips_boat_id_idx ON trips (boat_id);\n",
    )

    process = boats.start("migrate")
    peak_kb = 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak_kb = int(found[1]) if found else peak_kb
        time.sleep(0.01)

    assert process.returncode == 0, process.communicate()
    assert peak_kb * 1024 < 100_000_000
    assert boats.run("SELECT count(*), sum(length(name) = length) FROM boats") == [(1_000_000, 1_000_000)]
    assert boats.says("schema", "check") == ["the schema is what the scripts build"]


def test_a_pair_that_is_not_written_yet_is_not_applied(fork):
    fork.says("migration", "new", "oars")
    script = sorted(fork.folder.glob("*_oars.sql"))[0]

    assert fork.error("migrate") == f"{script}: holds no statement yet; write it, or delete the pair"
    assert not fork.database.exists()


def test_a_down_script_without_its_script_is_refused(fork):
    stray = fork.folder / "0042_oars.down.sql"
    stray.write_text("DROP TABLE oars;\n")

    assert fork.error("migrate") == (
        f"{stray}: the script that it undoes is missing; put it back, or delete this one too"
    )


def test_nobody_has_to_listen_to_the_end(fork):
    process = fork.start("migrate")
    process.stdout.close()

    assert process.wait(60) == 0
    assert {line.split()[2] for line in fork.says("status")} == {"applied"}


def test_a_copy_is_for_those_who_may_read_the_database(fork):
    fork.says("migrate", "--to", "7")
    fork.database.chmod(0o600)

    fork.says("migrate")

    (copy,) = (fork.database.parent / "backups").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_sql_says_in_one_line_what_it_cannot_run(fork):
    assert fork.error("sql", "checks/version") == (
        f"{fork.database}: there is no such database; the commands migrate and serve make one"
    )
    fork.says("migrate", "--to", "3")
    fourth = find_migrations(fork.folder)[3]
    assert fork.error("sql", "checks/version").endswith(f"are pending, from {fourth}; run the command migrate first")
    fork.says("migrate")

    assert "malformed JSON" in fork.error("sql", "accounts/render", "--param", "page=x")
    assert "too large" in fork.error("sql", "profiles/render", "--param", "username_key=x", "--param", f"me={2**64}")
    file = fork.home / "sql/checks/version.sql"
    file.write_bytes(b"-- \xff")
    assert fork.error("sql", "checks/version") == f"{file}: not UTF-8 text: invalid start byte at byte 3"
    file.write_text("-- Nothing.\n")
    assert fork.error("sql", "checks/version") == f"{file}: holds no statement; write it, or delete the file"

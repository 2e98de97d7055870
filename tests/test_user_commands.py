"""What those who run the server do about accounts: `user …` and `audit …`, as somebody types them."""

import json
import shutil
from contextlib import closing

import pytest
from click.testing import CliRunner
from webtest import TestApp

import app
import cli
import cli_accounts  # noqa: F401 (adds its commands)
from config import Config
from db import Database, Refused, StartupError
from passwords import digest
from tests.conftest import HOME, PASSWORD, Api, sqlite
from tests.test_server import serving

NEW = "battery staple"


@pytest.fixture
def people(api):
    """Ann, Bob and Cid."""
    return [api.someone(name) for name in ("ann", "bob", "cid")]


@pytest.fixture
def town(migrated, fork):
    """The API on the database of the fork's commands, where the same three live."""
    fork.database.parent.mkdir()
    shutil.copy(migrated, fork.database)
    with closing(Database(fork.database, HOME / "sql")) as database:
        api = Api(TestApp(app.make_app(Config(), database)))
        api.db = database
        api.ann, api.bob, api.cid = (api.someone(name) for name in ("ann", "bob", "cid"))
        yield api


def says(db, *words):
    """The lines that a command prints. It runs in this process, which saves half a second each time."""
    run = CliRunner().invoke(cli.commands, [*words, "--database", str(db.path)], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    return run.output.splitlines()


def error(db, *words):
    """What a command that fails has to say, run in this process."""
    with pytest.raises((StartupError, Refused)) as told:
        says(db, *words)
    return str(told.value)


def asked(fork, answer, *arguments):
    """The exit status of a command that asks, what it prints and what it asks, when this is typed."""
    process = fork.start(*arguments, typed=answer)
    said, question = process.communicate(timeout=60)
    return process.returncode, said, question


def make(db, role, *names):
    for name in names:
        sqlite(db, "UPDATE users SET role = ? WHERE username = ?", role, name)


def role_of(db, name):
    [(role,)] = sqlite(
        db, "SELECT role || iif(suspended_at IS NULL, '', ', suspended') FROM users WHERE username = ?", name
    )
    return role


def audited(db):
    """What commands did to whom since everybody registered; they have no actor and no request."""
    return sqlite(db, "SELECT action, user_id FROM audit WHERE actor_id IS NULL AND request_id IS NULL ORDER BY id")


def is_logged_in(someone):
    path = f"{someone.prefix}/user"
    return someone.client.get(path, headers=someone.headers, status="*").status_int == 200


# user list


def test_list_shows_a_table_newest_first(people, db):
    sqlite(db, "UPDATE users SET created_at = '2026-01-31T12:00:00.000Z'")
    sqlite(db, "UPDATE users SET suspended_at = '2026-01-31T12:00:00.000Z' WHERE username = 'bob'")
    make(db, "admin", "ann")

    assert says(db, "user", "list") == [
        "username  email            role    state      created",
        "--------  ---------------  ------  ---------  ------------------------",
        "cid       cid@example.org  member  active     2026-01-31T12:00:00.000Z",
        "bob       bob@example.org  member  suspended  2026-01-31T12:00:00.000Z",
        "ann       ann@example.org  admin   active     2026-01-31T12:00:00.000Z",
    ]


def test_list_prints_json_as_the_route_answers_it(api, people, db):
    api.someone("Änne 🚣", email="änne@example.org")
    make(db, "admin", "ann")

    said = says(db, "user", "list", "--json")

    ann = people[0]
    assert json.loads("\n".join(said)) == ann.get("/admin/users").json["users"]
    assert '    "username": "Änne 🚣",' in said


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--q BO", ["bob"]),
        ("--q cid@EXAMPLE", ["cid"]),
        ("--q b%", []),
        ("--role moderator", ["cid", "bob"]),
        ("--role moderator --q c", ["cid"]),
        ("--role admin", []),
        ("", ["cid", "bob", "ann"]),
    ],
)
def test_list_finds_by_the_beginning_of_names_and_by_role(people, db, options, names):
    make(db, "moderator", "bob", "cid")

    said = json.loads("\n".join(says(db, "user", "list", "--json", *options.split())))

    assert [account["username"] for account in said] == names


def test_list_goes_on_beyond_one_page(people, db):
    sqlite(
        db,
        """
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2100)
        INSERT INTO users (username, username_key, email, email_key, password_hash, created_at, updated_at)
        SELECT 'user' || n, 'user' || n, n || '@example.org', n || '@example.org', password_hash, created_at, updated_at
          FROM numbers, (SELECT * FROM users LIMIT 1)
        """,
    )

    _, _, *rows = says(db, "user", "list")

    assert [row.split()[0] for row in rows] == [*(f"user{n}" for n in range(2100, 0, -1)), "cid", "bob", "ann"]


def test_who_has_left_is_nobody_any_longer(api, people, db):
    _, bob, _ = people
    slug = bob.writes("Dawn")
    bob.leaves("keep")

    assert [row.split()[0] for row in says(db, "user", "list")[2:]] == ["cid", "ann"]
    assert error(db, "user", "promote", "bob").startswith("nobody is called bob")
    assert api.reads(slug)["author"]["username"] == "deleted user"
    assert error(db, "user", "promote", "deleted user").startswith("nobody is called deleted user")


# user promote, demote


def test_promote_makes_moderators_and_admins(people, db):
    _, bob, _ = people

    assert says(db, "user", "promote", "bob") == ["bob is a moderator"]
    assert says(db, "user", "promote", "BOB", "--to", "admin") == ["bob is an admin"]
    assert says(db, "user", "promote", "cid", "--to", "admin") == ["cid is an admin"]

    assert [role_of(db, name) for name in ("ann", "bob", "cid")] == ["member", "admin", "admin"]
    assert audited(db) == [("user.make_moderator", 2), ("user.make_admin", 2), ("user.make_admin", 3)]
    assert bob.makes("ann", "moderator")["role"] == "moderator"


def test_demote_asks_first_and_takes_rights_away(fork, town):
    make(town.db, "admin", "ann", "bob")

    moderator = asked(fork, "y\n", "user", "demote", "bob", "--to", "moderator")
    member = asked(fork, "y\n", "user", "demote", "bob")

    assert moderator == (0, "bob is a moderator\n", "bob loses what an admin may do. Go on? [y/N]: ")
    assert member == (0, "bob is a member\n", "bob loses what a moderator may do. Go on? [y/N]: ")
    assert audited(town.db) == [("user.make_moderator", 2), ("user.make_member", 2)]
    assert is_logged_in(town.bob)


@pytest.mark.parametrize(
    ("role", "words", "told"),
    [
        ("moderator", "promote bob", "bob is a moderator already; `user demote` takes rights away"),
        ("admin", "promote bob", "bob is an admin already; `user demote` takes rights away"),
        ("admin", "promote bob --to admin", "bob is an admin already; `user demote` takes rights away"),
        ("member", "demote bob", "bob is a member already; `user promote` gives more rights"),
        ("member", "demote bob --to moderator", "bob is a member already; `user promote` gives more rights"),
        ("moderator", "demote BOB --to moderator", "bob is a moderator already; `user promote` gives more rights"),
    ],
)
def test_the_wrong_direction_is_refused(people, db, role, words, told):
    make(db, role, "bob")

    assert error(db, "user", *words.split()) == told
    assert role_of(db, "bob") == role
    assert audited(db) == []


def test_an_admin_who_is_suspended_is_not_the_last_one(people, db):
    says(db, "user", "suspend", "bob", "--yes")
    says(db, "user", "promote", "bob", "--to", "admin")

    says(db, "user", "demote", "bob", "--yes")

    assert role_of(db, "bob") == "member, suspended"


@pytest.mark.parametrize("act", ["demote", "suspend"])
def test_the_last_admin_stays_one(people, db, act):
    ann, *_ = people
    make(db, "admin", "ann", "bob")
    says(db, "user", "suspend", "bob", "--yes")

    assert error(db, "user", act, "ann", "--yes") == "user: is the last admin"
    assert role_of(db, "ann") == "admin"
    assert is_logged_in(ann)
    assert audited(db) == [("user.suspend", 2)]


# user suspend, restore


def test_suspend_asks_first_then_logs_somebody_out_until_restore(fork, town):
    slug = town.bob.writes("Dawn")

    suspended = asked(fork, "y\n", "user", "suspend", "Bob")

    question = "bob is logged out everywhere and cannot log in again. Go on? [y/N]: "
    assert suspended == (0, "bob is a member, suspended\n", question)
    assert [is_logged_in(town.ann), is_logged_in(town.bob)] == [True, False]
    login = {"user": {"email": "bob@example.org", "password": PASSWORD}}
    assert town.refusal(403, "POST", "/users/login", login) == {"account": "suspended"}
    assert town.reads(slug)["title"] == "Dawn"

    assert fork.says("user", "restore", "bob") == ["bob is a member"]
    assert town.logs_in("bob@example.org").me()["username"] == "bob"
    assert not is_logged_in(town.bob)
    assert audited(town.db) == [("user.suspend", 2), ("user.restore", 2)]


def test_what_is_so_already_is_not_noted_again(people, db):
    for _ in range(2):
        assert says(db, "user", "suspend", "bob", "--yes") == ["bob is a member, suspended"]
    assert says(db, "user", "restore", "cid") == ["cid is a member"]

    assert audited(db) == [("user.suspend", 2)]


@pytest.mark.parametrize(("act", "answer"), [("demote", "n\n"), ("suspend", "\n"), ("suspend", "")])
def test_whoever_does_not_say_yes_changes_nothing(fork, town, act, answer):
    make(town.db, "moderator", "bob")

    status, said, question = asked(fork, answer, "user", act, "bob")

    assert (status, said) == (1, "")
    assert question.endswith(" Go on? [y/N]: Aborted!\n")
    assert role_of(town.db, "bob") == "moderator"
    assert is_logged_in(town.bob)
    assert audited(town.db) == []


def test_with_yes_nobody_is_asked(people, db):
    make(db, "moderator", "bob")

    assert says(db, "user", "demote", "bob", "--yes") == ["bob is a member"]
    assert says(db, "user", "suspend", "bob", "--yes") == ["bob is a member, suspended"]


@pytest.mark.parametrize("act", ["promote", "demote", "suspend", "restore", "reset"])
def test_a_name_that_nobody_has_is_told(people, db, act):
    assert error(db, "user", act, "eve") == "nobody is called eve; `user list` shows who there is"
    assert audited(db) == []


def test_what_goes_wrong_is_one_line(fork, town):
    make(town.db, "admin", "ann")

    assert fork.error("user", "suspend", "eve") == "nobody is called eve; `user list` shows who there is"
    assert fork.error("user", "suspend", "ann", "--yes") == "user: is the last admin"


@pytest.mark.parametrize(
    "words", ["user list", "user promote ann", "user suspend ann", "user reset ann", "audit prune"]
)
def test_no_command_makes_a_database(tmp_path, words):
    path = tmp_path / "nothing.db"

    run = CliRunner().invoke(cli.commands, [*words.split(), "--database", str(path)])

    assert isinstance(run.exception, StartupError)
    assert str(run.exception).endswith("there is no such database; the commands migrate and serve make one")
    assert not path.exists()


# user reset


def test_reset_prints_a_token_that_works_once(fork, town):
    headline, token = fork.says("user", "reset", "Ann")

    assert headline == "For ann, once and within an hour: PUT /api/users/password-reset with the token"
    assert is_logged_in(town.ann)
    body = {"user": {"token": token, "password": NEW}}
    town.put("/users/password-reset", body, status=204)
    assert town.refusal(422, "PUT", "/users/password-reset", body) == {"token": "is wrong or too old"}
    assert [is_logged_in(someone) for someone in (town.ann, town.bob)] == [False, True]
    assert town.logs_in("ann@example.org", NEW).me()["username"] == "ann"
    assert audited(town.db) == [("user.issue_reset", 1)]


def test_reset_prints_the_link_where_there_is_one(people, db, monkeypatch):
    monkeypatch.setenv("ROWBOAT_RESET_LINK", "https://example.org/reset?token={token}")

    _, link = says(db, "user", "reset", "ann")

    token = link.removeprefix("https://example.org/reset?token=")
    assert sqlite(db, "SELECT user_id, token_hash FROM password_resets") == [(1, digest(token))]


def test_reset_mails_nothing(people, db, monkeypatch):
    monkeypatch.setenv("ROWBOAT_SMTP_URL", "smtp://127.0.0.1")

    says(db, "user", "reset", "ann")

    assert sqlite(db, "SELECT count(*) FROM outbox") == [(0,)]


# audit prune


def test_prune_deletes_what_is_older_and_nothing_else(people, db):
    for days in (500, 366, 364, 40, 20):
        sqlite(
            db,
            "INSERT INTO audit (created_at, action) VALUES (strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', ?), ?)",
            f"-{days} days",
            f"days.ago_{days}",
        )

    assert says(db, "audit", "prune") == ["2 entries of more than 365 days ago are gone"]
    assert [action for action, _ in audited(db)] == ["days.ago_364", "days.ago_40", "days.ago_20", "audit.prune"]
    assert says(db, "audit", "prune", "--days", "30") == ["2 entries of more than 30 days ago are gone"]
    assert says(db, "audit", "prune", "--days", "30") == ["0 entries of more than 30 days ago are gone"]
    assert [action for action, _ in audited(db)] == ["days.ago_20", "audit.prune", "audit.prune", "audit.prune"]
    assert sqlite(db, "SELECT count(*) FROM audit WHERE action = 'user.register'") == [(3,)]


def test_a_longer_memory_brings_nothing_back_and_a_later_prune_works(people, db):
    says(db, "audit", "prune", "--days", "30")

    assert says(db, "audit", "prune", "--days", "400") == ["0 entries of more than 400 days ago are gone"]
    assert says(db, "audit", "prune", "--days", "20") == ["0 entries of more than 20 days ago are gone"]


@pytest.mark.parametrize("days", ["0", "-1", "soon"])
def test_prune_takes_a_number_of_days(people, db, days):
    run = CliRunner().invoke(cli.commands, ["audit", "prune", "--days", days, "--database", str(db.path)])

    assert run.exit_code == 2
    assert "Invalid value for '--days'" in run.output
    assert audited(db) == []


# While the server runs


def test_commands_work_while_the_server_runs(fork, tmp_path):
    with serving(tmp_path, "--workers", "1") as running:
        token = running.token("ann")
        running.token("bob")
        there = ("--database", str(running.database))
        sent = {"authorization": f"Token {token}"}

        assert running.ask("GET", "/api/v1/admin/users", **sent)[0] == 403
        fork.says("user", "promote", "ann", "--to", "admin", *there)
        _, listed = running.ask("GET", "/api/v1/admin/users", **sent)
        fork.says("user", "suspend", "bob", "--yes", *there)
        _, noted = running.ask("GET", "/api/v1/admin/audit?limit=2", **sent)
        _, reset = fork.says("user", "reset", "ann", *there)
        status, _ = running.ask("PUT", "/api/users/password-reset", {"user": {"token": reset, "password": NEW}})
        after, _ = running.ask("GET", "/api/user", **sent)

    assert [(each["username"], each["role"]) for each in listed["users"]] == [("bob", "member"), ("ann", "admin")]
    assert [(each["action"], each["actor"], each["requestId"]) for each in noted["audit"]] == [
        ("user.suspend", None, None),
        ("user.make_admin", None, None),
    ]
    assert (status, after) == (204, 401)


# user delete


def test_delete_asks_first_and_closes_an_account_for_good(fork, town):
    slug = town.ann.writes("Dawn")

    status, said, question = asked(fork, "n\n", "user", "delete", "Ann", "--content", "keep")
    assert (status, said) == (1, "")
    assert question.startswith("ann is deleted for good, and nobody can take the name again. Go on? [y/N]: ")
    assert is_logged_in(town.ann)

    status, said, _ = asked(fork, "y\n", "user", "delete", "Ann", "--content", "keep")
    assert (status, said) == (0, "ann is deleted\n")
    assert not is_logged_in(town.ann)
    assert town.reads(slug)["author"]["username"] == "deleted user"


def test_delete_takes_what_was_written_along_where_it_is_told_to(people, db):
    ann, bob, _ = people
    slug = ann.writes("Dawn")

    assert says(db, "user", "delete", "ann", "--content", "delete", "--yes") == ["ann is deleted"]

    bob.get(f"/articles/{slug}", status=404)
    assert audited(db)[-1] == ("user.delete", 1)
    taken = {"user": {"username": "Ann", "email": "ann@example.org", "password": NEW}}
    assert bob.refusal(409, "POST", "/users", taken) == {"username": "has already been taken"}


def test_delete_leaves_the_last_admin_and_wants_to_know_what_becomes_of_the_texts(people, db):
    make(db, "admin", "ann")

    assert error(db, "user", "delete", "ann", "--content", "keep", "--yes") == "user: is the last admin"
    assert error(db, "user", "delete", "eve", "--content", "keep", "--yes") == (
        "nobody is called eve; `user list` shows who there is"
    )
    run = CliRunner().invoke(cli.commands, ["user", "delete", "bob", "--yes", "--database", str(db.path)])
    assert "Missing option '--content'" in run.output
    assert is_logged_in(people[1])


def test_reset_of_somebody_who_is_suspended_says_so(fork, town):
    fork.says("user", "suspend", "bob", "--yes")

    process = fork.start("user", "reset", "bob")
    said, hint = process.communicate(timeout=60)

    assert len(said.splitlines()) == 2
    assert hint == "The account is suspended: nobody can log in until `user restore`\n"

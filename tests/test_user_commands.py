"""The commands `user …` and `audit …`."""

import json

import pytest

from passwords import digest
from tests.conftest import PASSWORD, sqlite

NEW = "battery staple"
UNKNOWN = "nobody is called eve; `user list` shows who there is"


@pytest.fixture
def commands(commands, db):
    """The commands, on the database of `api`."""
    commands.database = db.path
    return commands


@pytest.fixture
def people(api):
    """Ann, Bob and Cid."""
    return [api.someone(name) for name in ("ann", "bob", "cid")]


def asked(commands, typed, *arguments):
    """The exit status of a command that asks, what it prints, and what it asks; the terminal shows `typed` as well."""
    result = commands.run(*arguments, typed=typed)
    return result.exit_code, result.stdout, result.stderr


def make(db, role, *names):
    for name in names:
        sqlite(db, "UPDATE users SET role = ? WHERE username = ?", role, name)


def role_of(db, name):
    [(role,)] = sqlite(
        db, "SELECT role || iif(suspended_at IS NULL, '', ', suspended') FROM users WHERE username = ?", name
    )
    return role


def audited(db):
    """The entries that commands wrote, which have no actor and no request."""
    return sqlite(db, "SELECT action, user_id FROM audit WHERE actor_id IS NULL AND request_id IS NULL ORDER BY id")


def is_logged_in(user):
    path = f"{user.prefix}/user"
    return user.client.get(path, headers=user.headers, status="*").status_int == 200


# user list


def test_list_prints_a_table_newest_first(people, db, commands):
    commands.says("user", "suspend", "bob", "--yes")
    make(db, "admin", "ann")

    assert commands.says("user", "list") == [
        "username  email            role    state      created",
        "--------  ---------------  ------  ---------  ------------------------",
        "cid       cid@example.org  member  active     2026-01-31T12:00:00.000Z",
        "bob       bob@example.org  member  suspended  2026-01-31T12:00:00.000Z",
        "ann       ann@example.org  admin   active     2026-01-31T12:00:00.000Z",
    ]


def test_list_as_json_is_what_the_route_returns(api, people, db, commands):
    api.someone("Änne 🚣", email="änne@example.org")
    make(db, "admin", "ann")

    lines = commands.says("user", "list", "--json")

    assert json.loads("\n".join(lines)) == people[0].get("/admin/users").json["users"]
    assert '    "username": "Änne 🚣",' in lines


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--q BO", ["bob"]),
        ("--q cid@EXAMPLE", ["cid"]),
        ("--role moderator", ["cid", "bob"]),
        ("--role moderator --q c", ["cid"]),
        ("", ["cid", "bob", "ann"]),
    ],
)
def test_list_filters_by_the_beginning_of_names_and_by_role(people, db, commands, options, names):
    make(db, "moderator", "bob", "cid")

    listed = json.loads("\n".join(commands.says("user", "list", "--json", *options.split())))

    assert [account["username"] for account in listed] == names


def test_list_prints_all_pages(people, db, commands):
    sqlite(
        db,
        """
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2100)
        INSERT INTO users (username, username_key, email, email_key, password_hash, created_at, updated_at)
        SELECT 'user' || n, 'user' || n, n || '@example.org', n || '@example.org', password_hash, created_at, updated_at
          FROM numbers, (SELECT * FROM users LIMIT 1)
        """,
    )

    _, _, *rows = commands.says("user", "list")

    assert [row.split()[0] for row in rows] == [*(f"user{n}" for n in range(2100, 0, -1)), "cid", "bob", "ann"]


# user promote, demote


def test_promote_makes_moderators_and_admins(people, db, commands):
    _, bob, _ = people

    assert commands.says("user", "promote", "bob") == ["bob is a moderator"]
    assert commands.says("user", "promote", "BOB", "--to", "admin") == ["bob is an admin"]
    assert commands.says("user", "promote", "cid", "--to", "admin") == ["cid is an admin"]

    assert [role_of(db, name) for name in ("ann", "bob", "cid")] == ["member", "admin", "admin"]
    assert audited(db) == [("user.make_moderator", 2), ("user.make_admin", 2), ("user.make_admin", 3)]
    assert bob.makes("ann", "moderator")["role"] == "moderator"


def test_demote_asks_first_and_keeps_sessions(people, db, commands):
    make(db, "admin", "ann", "bob")

    moderator = asked(commands, "y\n", "user", "demote", "bob", "--to", "moderator")
    member = asked(commands, "y\n", "user", "demote", "bob")

    assert moderator == (0, "bob is a moderator\n", "bob loses what an admin may do. Go on? [y/N]: y\n")
    assert member == (0, "bob is a member\n", "bob loses what a moderator may do. Go on? [y/N]: y\n")
    assert audited(db) == [("user.make_moderator", 2), ("user.make_member", 2)]
    assert is_logged_in(people[1])


@pytest.mark.parametrize(
    ("role", "arguments", "message"),
    [
        ("moderator", "promote bob", "bob is a moderator already; `user demote` takes rights away"),
        ("admin", "promote bob", "bob is an admin already; `user demote` takes rights away"),
        ("member", "demote bob --to moderator", "bob is a member already; `user promote` gives more rights"),
        ("moderator", "demote BOB --to moderator", "bob is a moderator already; `user promote` gives more rights"),
    ],
)
def test_promote_never_demotes_and_demote_never_promotes(people, db, commands, role, arguments, message):
    make(db, role, "bob")

    assert commands.error("user", *arguments.split()) == message
    assert role_of(db, "bob") == role
    assert audited(db) == []


def test_a_suspended_admin_is_not_the_last_one(people, db, commands):
    commands.says("user", "suspend", "bob", "--yes")
    commands.says("user", "promote", "bob", "--to", "admin")

    commands.says("user", "demote", "bob", "--yes")

    assert role_of(db, "bob") == "member, suspended"


@pytest.mark.parametrize("arguments", ["demote ann", "suspend ann", "delete ann --content keep"])
def test_the_last_admin_cannot_be_demoted_suspended_or_deleted(people, db, commands, arguments):
    make(db, "admin", "ann", "bob")
    commands.says("user", "suspend", "bob", "--yes")

    assert commands.error("user", *arguments.split(), "--yes") == "user: is the last admin"
    assert role_of(db, "ann") == "admin"
    assert is_logged_in(people[0])
    assert audited(db) == [("user.suspend", 2)]


# user suspend, restore


def test_suspend_asks_first_then_logs_the_user_out_until_restore(people, api, db, commands):
    ann, bob, _ = people
    slug = bob.writes("Dawn")

    suspended = asked(commands, "y\n", "user", "suspend", "Bob")

    question = "bob is logged out everywhere and cannot log in again. Go on? [y/N]: y\n"
    assert suspended == (0, "bob is a member, suspended\n", question)
    assert [is_logged_in(ann), is_logged_in(bob)] == [True, False]
    login = {"user": {"email": "bob@example.org", "password": PASSWORD}}
    assert api.refusal(403, "POST", "/users/login", login) == {"account": "suspended"}
    assert api.reads(slug)["title"] == "Dawn"

    assert commands.says("user", "suspend", "bob", "--yes") == ["bob is a member, suspended"]
    for _ in range(2):
        assert commands.says("user", "restore", "bob") == ["bob is a member"]
    assert api.logs_in("bob@example.org").me()["username"] == "bob"
    assert not is_logged_in(bob)
    assert audited(db) == [("user.suspend", 2), ("user.restore", 2)]


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [("demote bob", "n\n"), ("suspend bob", "\n"), ("suspend bob", ""), ("delete Bob --content keep", "n\n")],
)
def test_without_a_yes_nothing_changes(people, db, commands, arguments, typed):
    make(db, "moderator", "bob")

    status, printed, question = asked(commands, typed, "user", *arguments.split())

    assert (status, printed) == (1, "")
    assert question.endswith(f" Go on? [y/N]: {typed}Aborted!\n")
    assert role_of(db, "bob") == "moderator"
    assert is_logged_in(people[1])
    assert audited(db) == []


@pytest.mark.parametrize(
    "arguments", ["promote eve", "demote eve", "suspend eve", "restore eve", "reset eve", "delete eve --content keep"]
)
def test_an_unknown_username_is_refused(people, db, commands, arguments):
    assert commands.error("user", *arguments.split()) == UNKNOWN
    assert audited(db) == []


@pytest.mark.parametrize("arguments", ["promote", "suspend", "reset", "delete --content keep"])
def test_an_argument_that_is_not_utf_8_is_refused(people, db, commands, arguments):
    assert commands.error("user", *arguments.split(), "\udcff") == "an argument is not UTF-8 text"
    assert audited(db) == []


@pytest.mark.parametrize(
    "arguments",
    ["user list", "user create ann a@b", "user promote ann", "user suspend ann", "user reset ann", "audit prune"],
)
def test_no_command_creates_a_database(commands, tmp_path, arguments):
    commands.database = tmp_path / "nothing.db"

    assert commands.error(*arguments.split()) == (
        f"{commands.database}: there is no such database; the commands migrate and serve make one"
    )
    assert not commands.database.exists()


# user reset


def test_reset_prints_a_token_that_works_once(people, api, db, commands):
    headline, token = commands.says("user", "reset", "Ann")

    assert headline == "For ann, once and within an hour: PUT /api/users/password-reset with the token"
    assert is_logged_in(people[0])
    body = {"user": {"token": token, "password": NEW}}
    api.put("/users/password-reset", body, status=204)
    assert api.refusal(422, "PUT", "/users/password-reset", body) == {"token": "is wrong or too old"}
    assert [is_logged_in(user) for user in people] == [False, True, True]
    assert api.logs_in("ann@example.org", NEW).me()["username"] == "ann"
    assert audited(db) == [("user.issue_reset", 1)]


def test_reset_prints_the_link_of_the_settings_and_sends_no_mail(people, db, commands):
    link = "https://example.org/reset?token="
    settings = {"ROWBOAT_RESET_LINK": f"{link}{{token}}", "ROWBOAT_SMTP_URL": "smtp://127.0.0.1"}

    headline, printed = commands.says("user", "reset", "ann", **settings)

    assert headline == "For ann, once and within an hour: follow the link"
    assert printed.startswith(link)
    token_hash = digest(printed.removeprefix(link))
    assert sqlite(db, "SELECT user_id, token_hash FROM password_resets") == [(1, token_hash)]
    assert sqlite(db, "SELECT count(*) FROM outbox") == [(0,)]


def test_reset_warns_that_the_account_is_suspended(people, commands):
    commands.says("user", "suspend", "bob", "--yes")

    result = commands.run("user", "reset", "bob")

    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "The account is suspended: nobody can log in until `user restore`\n"


# user delete


def test_delete_asks_first_and_a_deleted_account_is_gone_while_its_articles_may_stay(people, api, db, commands):
    ann, bob, _ = people
    slug = bob.writes("Dawn")

    deleted = asked(commands, "y\n", "user", "delete", "Bob", "--content", "keep")

    question = "bob is deleted for good, and nobody can take the name again. Go on? [y/N]: y\n"
    assert deleted == (0, "bob is deleted\n", question)
    assert [is_logged_in(ann), is_logged_in(bob)] == [True, False]
    assert api.reads(slug)["author"]["username"] == "deleted user"
    assert [row.split()[0] for row in commands.says("user", "list")[2:]] == ["cid", "ann"]
    for name in ("bob", "deleted user"):
        assert commands.error("user", "promote", name).startswith(f"nobody is called {name}")


def test_delete_removes_the_articles_if_told_to_and_reserves_the_name(people, db, commands):
    ann, bob, _ = people
    slug = ann.writes("Dawn")

    assert commands.says("user", "delete", "ann", "--content", "delete", "--yes") == ["ann is deleted"]

    bob.get(f"/articles/{slug}", status=404)
    assert audited(db)[-1] == ("user.delete", 1)
    taken = {"user": {"username": "Ann", "email": "ann@example.org", "password": NEW}}
    assert bob.refusal(409, "POST", "/users", taken) == {"username": "has already been taken"}


# audit prune


def test_prune_deletes_older_entries_alone(people, db, commands, clock):
    clock.advance(days=-500)
    for days, name in ((134, "500"), (2, "366"), (324, "364"), (20, "40"), (20, "20")):
        sqlite(db, "INSERT INTO audit (created_at, action) VALUES (?, ?)", clock.now(), f"days.ago_{name}")
        clock.advance(days=days)

    assert commands.says("audit", "prune") == ["2 entries of more than 365 days ago are gone"]
    assert [action for action, _ in audited(db)] == ["days.ago_364", "days.ago_40", "days.ago_20", "audit.prune"]
    assert commands.says("audit", "prune", "--days", "30") == ["2 entries of more than 30 days ago are gone"]
    assert commands.says("audit", "prune", "--days", "400") == ["0 entries of more than 400 days ago are gone"]
    assert commands.says("audit", "prune", "--days", "19") == ["1 entries of more than 19 days ago are gone"]
    assert [action for action, _ in audited(db)] == ["audit.prune"] * 4
    assert sqlite(db, "SELECT count(*) FROM audit WHERE action = 'user.register'") == [(3,)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("audit prune --days 0", "Invalid value for '--days'"),
        ("audit prune --days -1", "Invalid value for '--days'"),
        ("audit prune --days soon", "Invalid value for '--days'"),
        ("user delete bob --yes", "Missing option '--content'"),
    ],
)
def test_a_wrong_option_changes_nothing(people, db, commands, arguments, message):
    result = commands.run(*arguments.split())

    assert result.exit_code == 2
    assert message in result.stderr
    assert is_logged_in(people[1])
    assert audited(db) == []

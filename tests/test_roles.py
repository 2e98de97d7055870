"""What moderators and admins may do that members may not, and what becomes of whom they do it to."""

from urllib.parse import quote, urlencode

import pytest

from tests.conftest import PASSWORD, sqlite


def accounts(someone, **query):
    return someone.get(f"/admin/users?{urlencode(query)}").json["users"]


def found(someone, **query):
    return [account["username"] for account in accounts(someone, **query)]


def refused(someone, status, name, **user):
    """What is said when somebody may not change an account."""
    return someone.refusal(status, "PATCH", f"/admin/users/{quote(name)}", {"user": user})


def cannot_log_in(api, email, password=PASSWORD, status=403):
    return api.refusal(status, "POST", "/users/login", {"user": {"email": email, "password": password}})


# Looking at accounts


def test_moderators_see_the_accounts_newest_first(api, promote):
    ann = promote(api.someone("ann"), "moderator")
    api.someone("Bob", email="Bob@example.org")
    promote(api.someone("root"), "admin").suspends("bob")

    listed = accounts(ann)

    assert [[*account.values()][:4] for account in listed] == [
        ["root", "root@example.org", "admin", False],
        ["Bob", "Bob@example.org", "member", True],
        ["ann", "ann@example.org", "moderator", False],
    ]
    assert list(listed[0]) == ["username", "email", "role", "suspended", "createdAt"]
    assert listed[2]["createdAt"] <= listed[1]["createdAt"] <= listed[0]["createdAt"]


def test_members_see_no_accounts(api, promote):
    promote(api.someone("root"), "admin")
    ann = api.someone("ann")

    assert ann.refusal(403, "GET", "/admin/users") == {"route": "forbidden"}
    assert ann.refusal(403, "GET", "/admin/users?q=ann") == {"route": "forbidden"}


def test_accounts_are_found_by_the_beginning_of_a_name_or_an_email(api, promote):
    root = promote(api.someone("root", email="admin@example.org"), "admin")
    for name, email in (("ann", "a1@example.org"), ("Anna Ash", "Joe@example.org"), ("bob", "annex@example.org")):
        api.someone(name, email=email)

    assert found(root, q="ann") == ["bob", "Anna Ash", "ann"]
    assert found(root, q="ANN") == found(root, q="ａｎｎ") == found(root, q="ann")
    assert found(root, q="anna a") == ["Anna Ash"]
    assert found(root, q="joe@") == found(root, q="joe@example.org") == ["Anna Ash"]
    assert found(root, q="bob") == ["bob"]
    assert found(root, q="ash") == []
    assert found(root, q="example") == []


def test_who_is_found_by_name_and_by_email_is_shown_once(api, promote):
    root = promote(api.someone("root"), "admin")

    assert found(root, q="root") == ["root"]


def test_names_are_found_beyond_ascii(api, promote):
    root = promote(api.someone("root"), "admin")
    for name, email in (("Ödön", "zö@example.org"), ("Straße", "o2@example.org"), ("𐍈𐍉", "o3@example.org")):
        api.someone(name, email=email)

    assert found(root, q="ödö") == found(root, q="O\N{COMBINING DIAERESIS}d") == ["Ödön"]
    assert found(root, q="z") == found(root, q="zö@") == ["Ödön"]
    assert found(root, q="strass") == ["Straße"]
    assert found(root, q="𐍈") == ["𐍈𐍉"]


@pytest.mark.parametrize("q", ["%", "_", "ann%", "a_n", "*", "a*", "ann'", '"ann"', "\U0010ffff", "ann\U0010ffff"])
def test_no_character_stands_for_another_one(api, promote, q):
    root = promote(api.someone("root"), "admin")
    api.someone("ann")

    assert found(root, q=q) == []


def test_a_name_is_found_by_the_signs_that_are_in_it(api, promote):
    root = promote(api.someone("root"), "admin")
    for name, email in (("_ann", "50%@example.org"), ("*ann", "50@example.org"), ("'ann", '"@example.org')):
        api.someone(name, email=email)

    assert found(root, q="_") == found(root, q="50%") == ["_ann"]
    assert found(root, q="*") == ["*ann"]
    assert found(root, q="'") == found(root, q='"') == ["'ann"]


def test_accounts_are_found_by_role(api, promote):
    root = promote(api.someone("root"), "admin")
    ann = promote(api.someone("ann"), "moderator")
    api.someone("bob")
    promote(api.someone("anna"), "moderator")
    ann.suspends("bob")

    assert found(root, role="admin") == ["root"]
    assert found(root, role="moderator") == ["anna", "ann"]
    assert found(root, role="member") == ["bob"]
    assert found(root, role="moderator", q="anna") == ["anna"]
    assert found(root, role="member", q="ann") == []


def test_no_account_stands_for_those_who_have_left(api, db, promote):
    root = promote(api.someone("root"), "admin")
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    ann.leaves("keep")

    assert api.reads(slug)["author"]["username"] == "deleted user"
    for query in ({}, {"q": "r"}, {"limit": 1}, {"role": "admin"}):
        assert found(root, **query) == ["root"]
    for query in ({"q": "deleted user"}, {"q": "d"}, {"role": "member"}, {"role": "member", "q": "deleted"}):
        assert found(root, **query) == []
    assert refused(root, 404, "deleted user", role="admin") == {"user": "not found"}
    assert refused(root, 404, "ann", suspended=True) == {"user": "not found"}


def test_following_the_links_visits_every_account_once(api, promote):
    root = promote(api.someone("root"), "admin")
    names = [f"{'odd' if number % 2 else 'even'} {number}" for number in range(24)]
    for number, name in enumerate(names):
        api.someone(name, email=f"{number}@example.org")

    def visited(**query):
        pages = [page["users"] for page in root.pages(f"/admin/users?{urlencode(query)}")]
        return [[account["username"] for account in page] for page in pages]

    newest = [*reversed(names), "root"]
    odd = newest[0:24:2]
    assert visited() == [newest[:20], newest[20:]]
    assert visited(limit=10) == [newest[:10], newest[10:20], newest[20:]]
    assert visited(limit=25) == [newest]
    assert visited(limit=5, q="ODD") == [odd[:5], odd[5:10], odd[10:]]
    assert visited(limit=6, q="odd", role="member") == [odd[:6], odd[6:]]
    assert visited(limit=12, role="member") == [newest[:12], newest[12:24]]


def test_a_page_has_at_most_a_hundred_accounts(api, db, promote):
    root = promote(api.someone("root"), "admin")
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 110)"
        " INSERT INTO users (username, username_key, email, email_key, password_hash, created_at, updated_at)"
        " SELECT 'u' || n, 'u' || n, 'u@' || n, 'u@' || n, '', created_at, updated_at FROM users, numbers",
    )

    assert [len(page["users"]) for page in root.pages("/admin/users?limit=1000")] == [100, 11]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ({"q": ""}, {"q": "can't be blank"}),
        ({"q": " \n"}, {"q": "can't be blank"}),
        ({"q": "a" * 255}, {"q": "is too long (maximum is 254 characters)"}),
        ({"role": ""}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"role": "Admin"}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"role": "deleted"}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"limit": "0"}, {"limit": "must be a whole number, 1 or more"}),
        ({"cursor": "0"}, {"cursor": "must come from the Link header of an earlier page"}),
    ],
)
def test_a_question_that_is_none_is_refused(api, promote, query, errors):
    ann = promote(api.someone("ann"), "moderator")

    assert ann.refusal(422, "GET", f"/admin/users?{urlencode(query)}") == errors


def test_nobody_stores_what_moderators_see_of_others(api, promote):
    root = promote(api.someone("root"), "admin")

    for path in ("/admin/users", "/admin/audit"):
        answer = root.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers


# Roles


def test_an_admin_makes_a_moderator_and_a_member_again(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")

    made = root.makes("ann", "moderator")
    seen = found(ann)
    unmade = root.makes("ann", "member")

    assert made == accounts(root)[0] | {"role": "moderator"}
    assert seen == ["ann", "root"]
    assert unmade == accounts(root)[0]
    assert unmade["role"] == "member"


def test_an_admin_makes_another_one_who_may_do_the_same(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    root.makes("ann", "admin")

    ann.makes("root", "member")

    assert found(ann, role="admin") == ["ann"]
    assert root.refusal(403, "GET", "/admin/users") == {"route": "forbidden"}


def test_an_account_is_found_in_any_form_of_its_name(api, promote):
    root = promote(api.someone("root"), "admin")
    api.someone("Ann Ödön", email="ann@example.org")

    assert root.makes("ANN O\N{COMBINING DIAERESIS}DÖN", "moderator")["username"] == "Ann Ödön"


def test_role_and_suspension_change_together_or_not_at_all(api, promote):
    root = promote(api.someone("root"), "admin")
    ann = promote(api.someone("ann"), "moderator")
    path, both = "/admin/users/ann", {"user": {"role": "member", "suspended": True}}

    changed = root.patch(path, both).json["user"]

    assert (changed["role"], changed["suspended"]) == ("member", True)
    assert refused(root, 409, "root", role="member", suspended=False) == {"user": "is the last admin"}
    assert accounts(root)[0] == changed
    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}


@pytest.mark.parametrize(
    ("user", "errors"),
    [
        ({}, {"user": "can't be blank"}),
        ({"username": "bob", "email": "bob@example.org"}, {"user": "can't be blank"}),
        ({"role": None}, {"role": "can't be blank"}),
        ({"suspended": None}, {"suspended": "can't be blank"}),
        ({"role": "owner"}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"role": "deleted"}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"role": ["admin"]}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"suspended": 1}, {"suspended": "must be true or false"}),
        ({"suspended": "true"}, {"suspended": "must be true or false"}),
        (
            {"role": 1, "suspended": "no"},
            {"role": "must be 'member', 'moderator' or 'admin'", "suspended": "must be true or false"},
        ),
    ],
)
def test_what_is_no_change_of_an_account_is_refused(api, promote, user, errors):
    root = promote(api.someone("root"), "admin")
    api.someone("ann")
    before = accounts(root)

    assert refused(root, 422, "ann", **user) == errors
    assert accounts(root) == before


def test_a_change_touches_nothing_else_of_an_account(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    ann.changes(bio="I row")
    before = ann.me()

    body = {"user": {"role": "moderator", "username": "eve", "email": "eve@example.org", "bio": "I do not"}}
    root.patch("/admin/users/ann", body)

    assert ann.me() == before


def test_an_account_that_there_is_not_is_not_found(api, promote):
    root = promote(api.someone("root"), "admin")
    ann = promote(api.someone("ann"), "moderator")

    for name in ("nobody", "1", "root@example.org", "x" * 2000):
        assert refused(root, 404, name, role="member") == {"user": "not found"}
        assert refused(ann, 404, name, role="member", suspended=True) == {"user": "not found"}


# What moderators may not


def test_a_moderator_gives_nobody_a_role(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    api.someone("bob")
    before = accounts(root)

    for name in ("ann", "bob", "root"):
        for role in ("member", "moderator", "admin"):
            assert refused(ann, 403, name, role=role) == {"role": "forbidden"}
    assert refused(ann, 403, "bob", role="member", suspended=True) == {"role": "forbidden"}
    assert accounts(root) == before


def test_a_moderator_suspends_members_and_nobody_else(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    promote(api.someone("mod"), "moderator")
    api.someone("bob")

    assert ann.suspends("bob")["suspended"] is True
    assert ann.restores("bob")["suspended"] is False
    for name in ("mod", "ann", "root"):
        for suspended in (True, False):
            assert refused(ann, 403, name, suspended=suspended) == {"user": "forbidden"}
    assert not any(account["suspended"] for account in accounts(root))


def test_a_moderator_does_not_restore_whom_only_an_admin_may_suspend(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    promote(api.someone("mod"), "moderator")
    root.suspends("mod")

    assert refused(ann, 403, "mod", suspended=False) == {"user": "forbidden"}
    assert found(root, role="moderator") == ["mod", "ann"]
    assert accounts(root, q="mod")[0]["suspended"] is True


def test_a_member_changes_nobody(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    before = accounts(root)

    for name in ("ann", "root", "nobody"):
        assert refused(ann, 403, name, role="admin") == {"route": "forbidden"}
        assert refused(ann, 403, name, suspended=True) == {"route": "forbidden"}
    assert accounts(root) == before


# What moderators may


def test_a_moderator_deletes_any_article_and_any_comment(api, promote):
    ann, bob = api.someone("ann"), api.someone("bob")
    mod, root = promote(api.someone("mod"), "moderator"), promote(api.someone("root"), "admin")
    dawn, noon, dusk = (author.writes(title) for author, title in ((ann, "Dawn"), (ann, "Noon"), (root, "Dusk")))
    comments = [someone.says(dusk, f"It was, says {someone.name}")["id"] for someone in (ann, bob, root)]

    assert bob.refusal(403, "DELETE", f"/articles/{dawn}") == {"article": "forbidden"}
    assert bob.refusal(403, "DELETE", f"/articles/{dusk}/comments/{comments[0]}") == {"comment": "forbidden"}
    mod.deletes(dawn)
    root.deletes(noon)
    mod.delete(f"/articles/{dusk}/comments/{comments[2]}", status=204)
    root.delete(f"/articles/{dusk}/comments/{comments[0]}", status=204)

    assert api.titles() == ["Dusk"]
    assert [comment["author"]["username"] for comment in api.comments_of(dusk)] == ["bob"]


def test_a_moderator_deletes_an_article_by_its_old_slug(api, promote):
    ann, mod = api.someone("ann"), promote(api.someone("mod"), "moderator")
    slug = ann.writes("Dawn")
    ann.edits(slug, title="Dusk")

    mod.deletes(slug)

    assert api.titles() == []


def test_a_moderator_does_not_edit_what_others_have_written(api, promote):
    slug = api.someone("ann").writes("Dawn")
    before = api.reads(slug)

    for role in ("moderator", "admin"):
        someone = promote(api.someone(role), role)
        errors = someone.refusal(403, "PUT", f"/articles/{slug}", {"article": {"body": "Another text"}})
        assert errors == {"article": "forbidden"}
    assert api.reads(slug) == before


def test_a_moderator_does_not_find_a_comment_under_another_article(api, promote):
    ann, mod = api.someone("ann"), promote(api.someone("mod"), "moderator")
    dawn, dusk = ann.writes("Dawn"), ann.writes("Dusk")
    comment = ann.says(dawn, "It was")["id"]

    assert mod.refusal(404, "DELETE", f"/articles/{dusk}/comments/{comment}") == {"comment": "not found"}
    assert len(api.comments_of(dawn)) == 1


def test_who_is_a_moderator_no_longer_loses_every_right_at_once(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    bob = api.someone("bob")
    slug = bob.writes("Dawn")
    comment = bob.says(slug, "It was")["id"]
    found(ann)

    root.makes("ann", "member")

    assert ann.refusal(403, "GET", "/admin/users") == {"route": "forbidden"}
    assert refused(ann, 403, "bob", suspended=True) == {"route": "forbidden"}
    assert ann.refusal(403, "DELETE", f"/articles/{slug}") == {"article": "forbidden"}
    assert ann.refusal(403, "DELETE", f"/articles/{slug}/comments/{comment}") == {"comment": "forbidden"}
    assert ann.me()["username"] == "ann"


def test_who_is_no_admin_any_more_reads_the_log_and_the_figures_no_longer(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "admin")
    for path in ("/admin/audit", "/admin/stats"):
        ann.get(path)

    root.makes("ann", "moderator")

    for path in ("/admin/audit", "/admin/stats"):
        assert ann.refusal(403, "GET", path) == {"route": "forbidden"}
    assert found(ann) == ["ann", "root"]


@pytest.mark.parametrize("path", ["/admin/users", "/admin/audit", "/admin/stats"])
def test_who_is_suspended_between_two_reads_of_a_request_is_told_nothing(api, db, promote, monkeypatch, path):
    ann = promote(api.someone("ann"), "admin")
    row = db.row

    def after_the_session(*names, **parameters):
        if names[0] != "sessions/find":
            sqlite(db, "UPDATE users SET suspended_at = created_at")
        return row(*names, **parameters)

    monkeypatch.setattr(db, "row", after_the_session)

    assert ann.refusal(403, "GET", path) == {"route": "forbidden"}


@pytest.mark.parametrize(
    ("meanwhile", "status", "errors"),
    [
        ("UPDATE users SET suspended_at = created_at WHERE username = 'ann'", 401, {"token": "is invalid"}),
        ("DELETE FROM users WHERE username = 'ann'", 401, {"token": "is invalid"}),
        ("UPDATE users SET role = 'member' WHERE username = 'ann'", 403, {"route": "forbidden"}),
    ],
    ids=["suspended", "gone", "demoted"],
)
def test_what_counts_is_who_may_at_the_moment_of_writing(api, db, promote, monkeypatch, meanwhile, status, errors):
    ann = promote(api.someone("ann"), "moderator")
    api.someone("bob")
    write = db.write

    def just_before(*names, **parameters):
        monkeypatch.setattr(db, "write", write)
        sqlite(db, meanwhile)
        return write(*names, **parameters)

    monkeypatch.setattr(db, "write", just_before)

    assert refused(ann, status, "bob", suspended=True) == errors
    assert sqlite(db, "SELECT suspended_at FROM users WHERE username = 'bob'") == [(None,)]


# Being suspended


def test_who_is_suspended_is_logged_out_everywhere_at_once(api, promote):
    mod, ann, bob = promote(api.someone("mod"), "moderator"), api.someone("ann"), api.someone("bob")
    phone = api.logs_in(ann.email)
    slug = ann.writes("Dawn")

    mod.suspends("ann")

    for someone in (ann, phone):
        for method, path in (("GET", "/user"), ("GET", "/articles"), ("DELETE", f"/articles/{slug}")):
            assert someone.refusal(401, method, path) == {"token": "is invalid"}
    assert bob.me()["username"] == "bob"
    assert bob.titles() == ["Dawn"]


def test_who_is_suspended_cannot_log_in_and_is_told_so(api, db, promote):
    mod, ann = promote(api.someone("mod"), "moderator"), api.someone("ann")

    mod.suspends("ann")

    assert cannot_log_in(api, ann.email) == {"account": "suspended"}
    assert cannot_log_in(api, ann.email, "another horse", status=401) == {"credentials": "invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions WHERE user_id = 2") == [(0,)]


def test_who_is_restored_logs_in_again(api, promote):
    mod, ann = promote(api.someone("mod"), "moderator"), api.someone("ann")
    mod.suspends("ann")

    restored = mod.restores("ann")

    assert restored == accounts(mod)[0]
    assert restored["suspended"] is False
    assert api.logs_in(ann.email).me()["username"] == "ann"
    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}


def test_what_a_suspended_user_has_written_stays(api, promote):
    mod, ann, bob = promote(api.someone("mod"), "moderator"), api.someone("ann"), api.someone("bob")
    slug = ann.writes("Dawn", "river")
    ann.says(slug, "It was")
    ann.likes(slug)
    bob.follows("ann")

    def everything():
        return [
            bob.reads(slug),
            bob.comments_of(slug),
            bob.profile("ann"),
            bob.feed(),
            bob.lists(favorited="ann"),
            bob.tags(),
        ]

    before = everything()
    mod.suspends("ann")

    assert everything() == before
    mod.deletes(slug)
    assert bob.titles() == []


def test_who_is_suspended_twice_stays_so_until_restored_once(api, db, promote):
    mod, ann = promote(api.someone("mod"), "moderator"), api.someone("ann")
    mod.suspends("ann")
    since = sqlite(db, "SELECT suspended_at FROM users WHERE username = 'ann'")

    mod.suspends("ann")

    assert sqlite(db, "SELECT suspended_at FROM users WHERE username = 'ann'") == since
    mod.restores("ann")
    assert api.logs_in(ann.email).me()["username"] == "ann"


def test_to_restore_who_is_not_suspended_logs_nobody_out(api, promote):
    mod, ann = promote(api.someone("mod"), "moderator"), api.someone("ann")

    assert mod.restores("ann")["suspended"] is False
    assert ann.me()["username"] == "ann"


def test_a_new_role_logs_nobody_out_and_lets_nobody_in(api, promote):
    root, ann, bob = promote(api.someone("root"), "admin"), api.someone("ann"), api.someone("bob")
    root.suspends("bob")

    root.makes("ann", "moderator")
    root.makes("bob", "moderator")

    assert ann.me()["username"] == "ann"
    assert cannot_log_in(api, bob.email) == {"account": "suspended"}


def test_an_admin_suspends_a_moderator_and_another_admin(api, promote):
    root = promote(api.someone("root"), "admin")
    ann, bob = promote(api.someone("ann"), "moderator"), promote(api.someone("bob"), "admin")

    for someone in (ann, bob):
        root.suspends(someone.name)
        assert someone.refusal(401, "GET", "/admin/users") == {"token": "is invalid"}
        assert cannot_log_in(api, someone.email) == {"account": "suspended"}


# The last admin


def test_the_last_admin_cannot_be_demoted_suspended_or_leave(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    leaving = {"user": {"password": PASSWORD, "content": "delete"}}

    for change in (
        {"role": "member"},
        {"role": "moderator"},
        {"suspended": True},
        {"role": "admin", "suspended": True},
    ):
        assert refused(root, 409, "root", **change) == {"user": "is the last admin"}
    assert root.refusal(409, "DELETE", "/user", leaving) == {"user": "is the last admin"}
    assert found(ann, role="admin") == ["root"]
    assert root.me()["username"] == "root"


def test_the_last_admin_may_stay_one(api, promote):
    root = promote(api.someone("root"), "admin")

    assert root.makes("root", "admin")["role"] == "admin"
    assert root.restores("root")["suspended"] is False


def test_an_admin_who_is_suspended_is_none_who_stays(api, promote):
    root = promote(api.someone("root"), "admin")
    promote(api.someone("ann"), "admin")
    root.suspends("ann")

    assert refused(root, 409, "root", role="member") == {"user": "is the last admin"}
    assert refused(root, 409, "root", suspended=True) == {"user": "is the last admin"}
    assert root.makes("ann", "member")["role"] == "member"


@pytest.mark.parametrize(
    "goes",
    [
        lambda ann: ann.makes("ann", "member"),
        lambda ann: ann.suspends("ann"),
        lambda ann: ann.leaves(),
    ],
    ids=["demoted", "suspended", "gone"],
)
def test_one_of_two_admins_may_go_and_the_other_one_stays(api, promote, goes):
    ann, bob = promote(api.someone("ann"), "admin"), promote(api.someone("bob"), "admin")

    goes(ann)

    assert refused(bob, 409, "bob", role="member") == {"user": "is the last admin"}
    assert found(bob, role="admin")[0] == "bob"

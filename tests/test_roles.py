"""What moderators and admins may do that members may not: accounts, roles, suspension, and deleting content."""

from urllib.parse import quote, urlencode

import pytest

from tests.conftest import PASSWORD, sqlite


def accounts(someone, **query):
    return someone.get(f"/admin/users?{urlencode(query)}").json["users"]


def found(someone, **query):
    return [account["username"] for account in accounts(someone, **query)]


def refused(someone, status, name, **user):
    """The errors of a refused change of an account."""
    return someone.refusal(status, "PATCH", f"/admin/users/{quote(name)}", {"user": user})


def cannot_log_in(api, email, password=PASSWORD, status=403):
    return api.refusal(status, "POST", "/users/login", {"user": {"email": email, "password": password}})


# Listing accounts


def test_moderators_list_accounts_newest_first(api, promote):
    ann = promote(api.someone("ann"), "moderator")
    api.someone("Bob", email="Bob@example.org")
    promote(api.someone("root"), "admin").suspends("bob")

    response = ann.get("/admin/users")

    created = "2026-01-31T12:00:00.000Z"
    names = ("username", "email", "role", "suspended", "createdAt")
    assert response.json["users"] == [
        dict(zip(names, ("root", "root@example.org", "admin", False, created), strict=True)),
        dict(zip(names, ("Bob", "Bob@example.org", "member", True, created), strict=True)),
        dict(zip(names, ("ann", "ann@example.org", "moderator", False, created), strict=True)),
    ]
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


def test_accounts_are_found_by_the_start_of_a_name_or_an_email(api, promote):
    root = promote(api.someone("root"), "admin")
    for name, email in (("ann", "a1@example.org"), ("Anna Ash", "Joe@example.org"), ("bob", "annex@example.org")):
        api.someone(name, email=email)

    assert found(root, q="ann") == ["bob", "Anna Ash", "ann"]
    assert found(root, q="ANN") == found(root, q="ａｎｎ") == found(root, q="ann")
    assert found(root, q="anna a") == ["Anna Ash"]
    assert found(root, q="root") == ["root"]
    assert found(root, q="joe@") == found(root, q="joe@example.org") == ["Anna Ash"]
    assert found(root, q="bob") == ["bob"]
    assert found(root, q="ash") == []
    assert found(root, q="example") == []


def test_accounts_are_found_by_names_in_any_script(api, promote):
    root = promote(api.someone("root"), "admin")
    for name, email in (("Ödön", "zö@example.org"), ("Straße", "o2@example.org"), ("𐍈𐍉", "o3@example.org")):
        api.someone(name, email=email)

    assert found(root, q="ödö") == found(root, q="O\N{COMBINING DIAERESIS}d") == ["Ödön"]
    assert found(root, q="z") == found(root, q="zö@") == ["Ödön"]
    assert found(root, q="strass") == ["Straße"]
    assert found(root, q="𐍈") == ["𐍈𐍉"]


def test_no_character_of_a_search_is_a_wildcard(api, promote):
    root = promote(api.someone("root"), "admin")
    api.someone("ann")
    for name, email in (("_ann", "50%@example.org"), ("*ann", "50@example.org"), ("'ann", '"@example.org')):
        api.someone(name, email=email)

    assert found(root, q="_") == found(root, q="50%") == ["_ann"]
    assert found(root, q="*") == ["*ann"]
    assert found(root, q="'") == found(root, q='"') == ["'ann"]
    for q in ("%", "ann%", "a_n", "a*", "ann'", '"ann"', "\U0010ffff", "ann\U0010ffff"):
        assert found(root, q=q) == []


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


def test_following_the_links_lists_every_account_once(api, promote):
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
        ({"q": "a" * 255}, {"q": "is too long (maximum is 254 characters)"}),
        ({"role": "Admin"}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"role": "deleted"}, {"role": "must be 'member', 'moderator' or 'admin'"}),
        ({"limit": "0"}, {"limit": "must be a whole number, 1 or more"}),
        ({"cursor": "0"}, {"cursor": "must come from the Link header of an earlier page"}),
    ],
)
def test_an_invalid_query_is_refused(api, promote, query, errors):
    ann = promote(api.someone("ann"), "moderator")

    assert ann.refusal(422, "GET", f"/admin/users?{urlencode(query)}") == errors


# Roles


def test_an_admin_promotes_and_demotes_and_sessions_stay_open(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("Ann Ödön", email="ann@example.org")
    ann.changes(bio="I row")
    before = ann.me()

    body = {"user": {"role": "moderator", "username": "eve", "email": "eve@example.org", "bio": "I do not"}}
    path = "/admin/users/" + quote("ANN O\N{COMBINING DIAERESIS}DÖN")
    made = root.patch(path, body).json["user"]

    assert made == accounts(root)[0]
    assert (made["username"], made["role"]) == ("Ann Ödön", "moderator")
    assert found(ann) == ["Ann Ödön", "root"]
    assert ann.me() == before
    unmade = root.makes("Ann Ödön", "member")
    assert unmade == accounts(root)[0] == made | {"role": "member"}


def test_a_demoted_admin_loses_every_right_at_once(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    root.makes("ann", "admin")
    for path in ("/admin/audit", "/admin/stats"):
        root.get(path)

    ann.makes("root", "moderator")

    for path in ("/admin/audit", "/admin/stats"):
        assert root.refusal(403, "GET", path) == {"route": "forbidden"}
    assert found(root) == ["ann", "root"]
    ann.makes("root", "member")
    assert root.refusal(403, "GET", "/admin/users") == {"route": "forbidden"}
    assert found(ann, role="admin") == ["ann"]


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
def test_an_invalid_change_of_an_account_is_refused(api, promote, user, errors):
    root = promote(api.someone("root"), "admin")
    api.someone("ann")
    before = accounts(root)

    assert refused(root, 422, "ann", **user) == errors
    assert accounts(root) == before


def test_404_if_the_account_does_not_exist(api, promote):
    root = promote(api.someone("root"), "admin")
    ann = promote(api.someone("ann"), "moderator")

    for name in ("unknown", "1", "root@example.org", "x" * 2000):
        assert refused(root, 404, name, role="member") == {"user": "not found"}
        assert refused(ann, 404, name, role="member", suspended=True) == {"user": "not found"}


# What moderators may not do


def test_moderators_cannot_change_roles(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    api.someone("bob")
    before = accounts(root)

    for name in ("ann", "bob", "root"):
        for role in ("member", "moderator", "admin"):
            assert refused(ann, 403, name, role=role) == {"role": "forbidden"}
    assert refused(ann, 403, "bob", role="member", suspended=True) == {"role": "forbidden"}
    assert accounts(root) == before


def test_a_moderator_suspends_and_restores_only_members(api, promote):
    root, ann = promote(api.someone("root"), "admin"), promote(api.someone("ann"), "moderator")
    promote(api.someone("mod"), "moderator")
    promote(api.someone("other"), "admin")
    api.someone("bob")
    root.suspends("other")

    assert ann.suspends("bob")["suspended"] is True
    assert ann.restores("bob")["suspended"] is False
    for name in ("mod", "ann", "root", "other"):
        for suspended in (True, False):
            assert refused(ann, 403, name, suspended=suspended) == {"user": "forbidden"}
    assert [account["username"] for account in accounts(root) if account["suspended"]] == ["other"]


def test_members_cannot_list_or_change_accounts(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    before = accounts(root)

    for path in ("/admin/users", "/admin/users?q=ann"):
        assert ann.refusal(403, "GET", path) == {"route": "forbidden"}
    for name in ("ann", "root", "unknown"):
        assert refused(ann, 403, name, role="admin") == {"route": "forbidden"}
        assert refused(ann, 403, name, suspended=True) == {"route": "forbidden"}
    assert accounts(root) == before


# What moderators may do


def test_moderators_and_admins_delete_any_article_and_comment(api, promote):
    ann, bob = api.someone("ann"), api.someone("bob")
    mod, root = promote(api.someone("mod"), "moderator"), promote(api.someone("root"), "admin")
    dawn, noon, dusk = (author.writes(title) for author, title in ((ann, "Dawn"), (ann, "Noon"), (root, "Dusk")))
    ann.edits(noon, title="High noon")
    comments = [someone.says(dusk, f"It was, says {someone.name}")["id"] for someone in (ann, bob, root)]

    assert bob.refusal(403, "DELETE", f"/articles/{dawn}") == {"article": "forbidden"}
    assert bob.refusal(403, "DELETE", f"/articles/{dusk}/comments/{comments[0]}") == {"comment": "forbidden"}
    mod.deletes(noon)  # by its former slug
    assert mod.refusal(404, "DELETE", f"/articles/{dawn}/comments/{comments[2]}") == {"comment": "not found"}
    root.deletes(dawn)
    mod.delete(f"/articles/{dusk}/comments/{comments[2]}", status=204)
    root.delete(f"/articles/{dusk}/comments/{comments[0]}", status=204)

    assert api.titles() == ["Dusk"]
    assert [comment["author"]["username"] for comment in api.comments_of(dusk)] == ["bob"]


def test_a_demoted_moderator_loses_every_right_at_once(api, promote):
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


@pytest.mark.parametrize("path", ["/admin/users", "/admin/audit", "/admin/stats"])
def test_an_admin_suspended_during_a_request_gets_no_data(api, db, promote, monkeypatch, path):
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
def test_permissions_are_checked_in_the_writing_transaction(api, db, promote, monkeypatch, meanwhile, status, errors):
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


# Suspension


@pytest.mark.parametrize("role", ["member", "moderator", "admin"])
def test_suspension_ends_all_sessions_at_once(api, promote, role):
    root, ann, bob = promote(api.someone("root"), "admin"), promote(api.someone("ann"), role), api.someone("bob")
    phone = api.logs_in(ann.email)
    slug = ann.writes("Dawn")

    root.suspends("ann")

    for someone in (ann, phone):
        for method, path in (("GET", "/user"), ("DELETE", f"/articles/{slug}")):
            assert someone.refusal(401, method, path) == {"token": "is invalid"}
    assert cannot_log_in(api, ann.email) == {"account": "suspended"}
    assert bob.me()["username"] == "bob"
    assert bob.titles() == ["Dawn"]


def test_a_suspended_user_cannot_log_in_until_restored(api, db, promote):
    mod, ann = promote(api.someone("mod"), "moderator"), api.someone("ann")
    assert mod.restores("ann")["suspended"] is False
    assert ann.me()["username"] == "ann"

    mod.suspends("ann")

    assert cannot_log_in(api, ann.email) == {"account": "suspended"}
    assert cannot_log_in(api, ann.email, "another horse", status=401) == {"credentials": "invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions WHERE user_id = 2") == [(0,)]
    restored = mod.restores("ann")
    assert restored == accounts(mod)[0]
    assert restored["suspended"] is False
    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert api.logs_in(ann.email).me()["username"] == "ann"


def test_the_content_of_a_suspended_user_stays(api, promote):
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


def test_a_second_suspension_and_a_new_role_change_nothing_about_the_first(api, db, clock, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")
    root.suspends("ann")
    since = clock.now()
    clock.advance(days=1)

    root.suspends("ann")
    root.makes("ann", "moderator")

    assert sqlite(db, "SELECT suspended_at FROM users WHERE username = 'ann'") == [(since,)]
    assert cannot_log_in(api, ann.email) == {"account": "suspended"}
    root.restores("ann")
    assert api.logs_in(ann.email).me()["username"] == "ann"


# The last admin


def test_the_last_admin_cannot_be_demoted_suspended_or_deleted(api, promote):
    root = promote(api.someone("root"), "admin")
    promote(api.someone("ann"), "admin")
    leaving = {"user": {"password": PASSWORD, "content": "delete"}}
    root.suspends("ann")

    suspended = {"suspended": True}
    for change in ({"role": "member"}, {"role": "moderator"}, suspended, suspended | {"role": "admin"}):
        assert refused(root, 409, "root", **change) == {"user": "is the last admin"}
    assert root.refusal(409, "DELETE", "/user", leaving) == {"user": "is the last admin"}
    assert root.makes("root", "admin")["role"] == "admin"
    assert root.restores("root")["suspended"] is False
    assert root.makes("ann", "member")["role"] == "member"
    assert found(root, role="admin") == ["root"]


@pytest.mark.parametrize(
    "goes",
    [
        lambda ann: ann.makes("ann", "member"),
        lambda ann: ann.suspends("ann"),
        lambda ann: ann.leaves(),
    ],
    ids=["demoted", "suspended", "gone"],
)
def test_one_of_two_admins_may_go_and_the_other_must_stay(api, promote, goes):
    ann, bob = promote(api.someone("ann"), "admin"), promote(api.someone("bob"), "admin")

    goes(ann)

    assert refused(bob, 409, "bob", role="member") == {"user": "is the last admin"}
    assert found(bob, role="admin")[0] == "bob"

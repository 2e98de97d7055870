"""Fifty at once: their answers are those of some order, counters are exact, nothing refers to what there is not."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from operator import itemgetter

import pytest

from tests.conftest import PASSWORD
from tests.faults.at_once import (
    MANY,
    Person,
    at_once,
    command,
    growth,
    login,
    more_sessions,
    numbers,
    one,
    people,
    published,
    registration,
    request,
    require_sound,
    sizes,
    statuses,
    the_one,
    two_workers,
    writes,
)
from tests.faults.clients import rounds
from tests.test_server import Server, needs_proc

pytestmark = [pytest.mark.slow, needs_proc]

# Of MINUTES, for each case: a quarter for all of them.
SHARE = 0.01


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with two_workers(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(server: Server) -> list[Person]:
    """Fifty people."""
    return people(server, MANY)


@pytest.fixture
def root(server: Server) -> Person:
    """An admin."""
    (person,) = people(server)
    command(server, "user", "promote", person.name, "--to", "admin")
    return person


@pytest.fixture(autouse=True)
def _sound(server: Server) -> Iterator[None]:
    yield
    require_sound(server)


def patch(by: Person, of: Person, **changes: object) -> bytes:
    return by.asks("PATCH", f"/admin/users/{of.name}", user=changes)


def shuffled(chance: random.Random, *requests: bytes) -> list[bytes]:
    return chance.sample(requests, len(requests))


def acknowledged(requests: list[bytes], answers: list, start: str) -> int:
    """How many requests that begin so were answered with 2xx."""
    return sum(
        each.startswith(start.encode()) and answer.status < 300 for each, answer in zip(requests, answers, strict=True)
    )


# One name


def wide(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) for each in text)


FORMS = [str, str.upper, str.title, wide, " {}\t".format]


def alike(name: str, number: int) -> str:
    """A form of a name that is the same name."""
    return FORMS[number % len(FORMS)](name)


@pytest.mark.parametrize("taken", [["username"], ["email"], ["username", "email"]], ids=" and ".join)
def test_of_fifty_who_register_with_one_name_or_address_one_gets_it(server, taken):
    for chance in rounds(1, SHARE):
        name = f"one{next(numbers)}"
        requests = []
        for number in range(MANY):
            username = alike(name, number) if "username" in taken else f"{name}x{number}"
            local = alike(name, number).strip() if "email" in taken else f"{name}x{number}"
            requests.append(registration(username, f"{local}@example.org"))
        before = sizes(server)

        answers = at_once(server, shuffled(chance, *requests))

        winner = answers.pop(the_one(answers, 201, others=409))
        assert all(list(answer.body["errors"]) == taken for answer in answers)
        assert growth(server, before) == {"users": 1, "sessions": 1, "audit": 1}
        ann = Person(winner.body["user"]["username"], winner.body["user"]["token"])
        assert one(server, ann.asks("GET", "/user"))["user"] == winner.body["user"]


def test_fifty_who_register_with_names_of_their_own_all_get_them(server):
    for _ in rounds(1, SHARE):
        before = sizes(server)

        crowd = people(server, MANY)

        assert growth(server, before) == {"users": MANY, "sessions": MANY, "audit": MANY}
        for answer, person in zip(at_once(server, [each.asks("GET", "/user") for each in crowd]), crowd, strict=True):
            assert answer.body["user"]["username"] == person.name


@pytest.mark.parametrize("field", ["username", "email"])
def test_of_fifty_who_rename_themselves_alike_one_gets_the_name(server, field):
    for _ in rounds(1, SHARE):
        crowd = people(server, MANY)
        name = f"new{next(numbers)}"
        end = "@example.org" if field == "email" else ""
        requests = [
            person.asks("PUT", "/user", user={field: alike(name, number).strip() + end})
            for number, person in enumerate(crowd)
        ]

        answers = at_once(server, requests)

        winner = the_one(answers, 200, others=409)
        assert all(answer.body["errors"].keys() == {field} for answer in answers if answer.status == 409)
        now = [answer.body["user"] for answer in at_once(server, [person.asks("GET", "/user") for person in crowd])]
        assert now[winner] == answers[winner].body["user"]
        kept = [each for each in zip(now, crowd, strict=True) if each[0] is not now[winner]]
        assert [(user["username"], user["email"]) for user, _ in kept] == [
            (person.name, f"{person.name}@example.org") for _, person in kept
        ]


# Favorites and follows


def test_each_favorite_of_fifty_counts_once(server, crowd):
    for chance in rounds(3, SHARE):
        (slug,) = published(server, [chance.choice(crowd)])
        path = f"/articles/{slug}/favorite"

        for method, counts, is_on in [("POST", range(1, MANY + 1), True), ("DELETE", range(MANY), False)]:
            answers = at_once(server, shuffled(chance, *(person.asks(method, path) for person in crowd)))

            assert statuses(answers) == {200: MANY}
            # Each found the article as another one had left it.
            assert sorted(answer.body["article"]["favoritesCount"] for answer in answers) == list(counts)
            assert {answer.body["article"]["favorited"] for answer in answers} == {is_on}

        asked = {person: [chance.choice(["POST", "DELETE"]) for _ in range(2)] for person in crowd}
        mixed = [person.asks(method, path) for person, methods in asked.items() for method in methods]
        assert statuses(at_once(server, shuffled(chance, *mixed))) == {200: 2 * MANY}
        found = at_once(server, [person.asks("GET", f"/articles/{slug}") for person in crowd])
        articles = [answer.body["article"] for answer in found]
        assert {each["favoritesCount"] for each in articles} == {sum(each["favorited"] for each in articles)}
        for each, methods in zip(articles, asked.values(), strict=True):
            assert each["favorited"] in [method == "POST" for method in methods]


def test_who_favorites_and_unfavorites_one_article_fifty_times_counts_once_or_not(server, crowd):
    for chance in rounds(3, SHARE):
        ann, bob = chance.sample(crowd, 2)
        (slug,) = published(server, [bob])
        path = f"/articles/{slug}/favorite"

        answers = at_once(server, [ann.asks("POST", path)] * MANY)
        assert {(each.status, each.body["article"]["favoritesCount"]) for each in answers} == {(200, 1)}

        requests = shuffled(chance, *[ann.asks("POST", path), ann.asks("DELETE", path)] * (MANY // 2))
        for sent, answer in zip(requests, at_once(server, requests), strict=True):
            is_on = sent.startswith(b"POST")
            assert answer.status == 200
            assert (answer.body["article"]["favorited"], answer.body["article"]["favoritesCount"]) == (is_on, is_on)
        article = one(server, ann.asks("GET", f"/articles/{slug}"))["article"]
        assert article["favoritesCount"] == article["favorited"]


def test_who_favorites_fifty_articles_at_once_has_fifty_favorites(server, crowd):
    for chance in rounds(2, SHARE):
        (ann,) = people(server)
        paths = [f"/articles/{slug}/favorite" for slug in published(server, crowd)]
        listing = ann.asks("GET", f"/articles?favorited={ann.name}&limit=100")

        for method, count in ("POST", MANY), ("DELETE", 0):
            requests = shuffled(chance, *[ann.asks(method, path) for path in paths] * 2)
            assert statuses(at_once(server, requests)) == {200: 2 * MANY}
            listed = one(server, listing)
            assert listed["articlesCount"] == len({each["slug"] for each in listed["articles"]}) == count
            require_sound(server)


def test_fifty_who_follow_each_other_follow_whom_they_asked_for(server):
    for chance in rounds(2, SHARE):
        crowd = people(server, MANY)
        ann, *others = crowd
        before = sizes(server)

        def follow(method, pairs, chance=chance):
            requests = [who.asks(method, f"/profiles/{whom.name}/follow") for who, whom in pairs]
            answers = at_once(server, shuffled(chance, *requests))
            assert statuses(answers) == {200: len(pairs)}
            assert {answer.body["profile"]["following"] for answer in answers} == {method == "POST"}

        star = [(other, ann) for other in others] + [(ann, other) for other in others]
        follow("POST", star + [(others[0], ann)] * MANY)
        assert growth(server, before) == {"follows": 2 * (MANY - 1)}
        follow("DELETE", star + [(others[0], ann)] * MANY)
        assert growth(server, before) == {}

        ring = list(zip(crowd, [*others, ann], strict=True))
        wishes = {pair: [chance.choice(["POST", "DELETE"]) for _ in range(2)] for pair in ring}
        mixed = [
            who.asks(method, f"/profiles/{whom.name}/follow")
            for (who, whom), methods in wishes.items()
            for method in methods
        ]
        assert statuses(at_once(server, shuffled(chance, *mixed))) == {200: 2 * MANY}
        profiles = at_once(server, [who.asks("GET", f"/profiles/{whom.name}") for who, whom in ring])
        for answer, methods in zip(profiles, wishes.values(), strict=True):
            assert answer.body["profile"]["following"] in [method == "POST" for method in methods]


# Titles and tags


def test_fifty_articles_with_one_title_have_fifty_slugs_also_when_all_are_renamed_alike(server, crowd):
    for chance in rounds(2, SHARE):
        slugs = published(server, [*crowd, *crowd[:5] * 10])
        assert len(set(slugs)) == 2 * MANY

        title = f"Dusk {chance.randrange(10**9)}"
        renamings = [
            person.asks("PUT", f"/articles/{slug}", article={"title": title})
            for person, slug in zip(crowd, slugs, strict=False)
        ]
        answers = at_once(server, renamings)

        assert statuses(answers) == {200: MANY}
        new = [answer.body["article"]["slug"] for answer in answers]
        assert len({*new, *slugs}) == 3 * MANY
        assert all(slug.startswith(title.lower().replace(" ", "-")) for slug in new)
        led = at_once(server, [crowd[0].asks("GET", f"/articles/{slug}") for slug in slugs[:MANY]])
        assert [answer.body["article"]["slug"] for answer in led] == new


def test_an_article_that_is_renamed_fifty_times_at_once_is_found_by_each_slug(server, crowd):
    for chance in rounds(2, SHARE):
        ann = chance.choice(crowd)
        (slug,) = published(server, [ann])
        requests = [ann.asks("PUT", f"/articles/{slug}", article={"title": f"Dusk {n}"}) for n in range(MANY)]

        answers = at_once(server, requests)

        assert statuses(answers) == {200: MANY}
        articles = [answer.body["article"] for answer in answers]
        assert [article["title"] for article in articles] == [f"Dusk {number}" for number in range(MANY)]
        last = max(articles, key=itemgetter("updatedAt"))
        assert len({article["updatedAt"] for article in articles}) == MANY
        found = at_once(server, [ann.asks("GET", f"/articles/{article['slug']}") for article in articles])
        assert all(answer.body["article"] == last for answer in found)


def test_an_article_that_is_retagged_fifty_times_at_once_has_the_tags_of_the_last(server, crowd):
    for chance in rounds(3, SHARE):
        tags = [f"tag{number} of {chance.randrange(10**9)}" for number in range(8)]
        ann, *others = crowd
        (slug,) = published(server, [ann])
        wishes = [chance.sample(tags, chance.randrange(len(tags) + 1)) for _ in range(MANY)]
        retaggings = [ann.asks("PUT", f"/articles/{slug}", article={"tagList": wish}) for wish in wishes]
        authors = [*others, others[0]]
        theirs = [writes(person, "Noon", *chance.sample(tags, 3)) for person in authors]

        answers = at_once(server, [each for pair in zip(retaggings, theirs, strict=True) for each in pair])

        assert statuses(answers) == {200: MANY, 201: MANY}
        articles = [answer.body["article"] for answer in answers]
        assert [article["tagList"] for article in articles[::2]] == wishes
        last = max(articles[::2], key=itemgetter("updatedAt"))
        assert one(server, ann.asks("GET", f"/articles/{slug}"))["article"] == last
        require_sound(server)

        # What nobody has any longer is listed no more.
        gone = [ann.asks("DELETE", f"/articles/{slug}")]
        for person, article in zip(authors, articles[1::2], strict=True):
            gone.append(person.asks("DELETE", f"/articles/{article['slug']}"))
        assert statuses(at_once(server, shuffled(chance, *gone))) == {204: MANY + 1}
        assert not {*tags} & {*one(server, ann.asks("GET", "/tags"))["tags"]}


# Deleting


def test_an_article_is_deleted_once_and_all_that_others_do_to_it_goes_with_it(server, crowd):
    for chance in rounds(6, SHARE):
        ann, bob, *others = crowd
        before = sizes(server)
        (slug,) = published(server, [ann])
        path = f"/articles/{slug}"
        comment = one(server, bob.asks("POST", f"{path}/comments", comment={"body": "Well"}), 201)["comment"]["id"]
        requests = shuffled(
            chance,
            *[ann.asks("DELETE", path)] * 3,
            *[bob.asks("DELETE", f"{path}/comments/{comment}")] * 3,
            *[ann.asks("PUT", path, article={"title": f"Dusk {n}", "tagList": ["dusk", f"dusk{n}"]}) for n in range(8)],
            *[person.asks("POST", f"{path}/comments", comment={"body": "Well rowed"}) for person in others[:12]],
            *[person.asks("POST", f"{path}/favorite") for person in others[:20]],
            *[person.asks("DELETE", f"{path}/favorite") for person in others[:5]],
            *[person.asks("GET", path) for person in others[:8]],
            *[person.asks("GET", f"{path}/comments") for person in others[:4]],
        )

        answers = at_once(server, requests)

        assert statuses(answers).keys() <= {200, 201, 204, 404}
        assert acknowledged(requests, answers, f"DELETE /api{path} ") == 1
        withdrawn = acknowledged(requests, answers, f"DELETE /api{path}/comments/")
        assert withdrawn <= 1
        assert growth(server, before) == {"audit": 1 + withdrawn}
        print(f"{statuses(answers)[404]} of {len(answers)} came after it was deleted")
        require_sound(server)


def test_a_comment_is_deleted_once_whoever_asks_while_others_comment(server, crowd, root):
    for chance in rounds(6, SHARE):
        ann, bob, *others = crowd
        (slug,) = published(server, [ann])
        path = f"/articles/{slug}/comments"
        comment = one(server, bob.asks("POST", path, comment={"body": "Well"}), 201)["comment"]["id"]
        before = sizes(server)
        requests = shuffled(
            chance,
            *[who.asks("DELETE", f"{path}/{comment}") for who in (bob, root)] * 10,
            *[ann.asks("DELETE", f"{path}/{comment}")] * 5,  # her article, but not her comment
            *[person.asks("POST", path, comment={"body": "Well rowed"}) for person in others[:25]],
        )

        answers = at_once(server, requests)

        found = statuses(answers)
        assert found.keys() <= {201, 204, 403, 404}
        assert (found[204], found[201]) == (1, 25)
        assert found[403] <= 5
        assert growth(server, before) == {"comments": 25 - 1, "audit": 1}
        ids = [answer.body["comment"]["id"] for answer in answers if answer.status == 201]
        assert len({*ids, comment}) == 26
        (listed,) = at_once(server, [ann.asks("GET", path)])
        assert {each["id"] for each in listed.body["comments"]} == {*ids}


# Leaving


@pytest.mark.parametrize("content", ["delete", "keep"])
def test_who_leaves_while_followed_liked_and_answered_leaves_nothing_half(server, crowd, content):
    for chance in rounds(3, SHARE):
        before = sizes(server)
        (ann,) = people(server)
        began = time.monotonic()
        (elsewhere,) = more_sessions(server, ann, 1)
        seconds = time.monotonic() - began  # so long does it take to look at a password, which leaving begins with
        mine, (theirs,) = published(server, [ann] * 3), published(server, crowd[:1])
        path = f"/articles/{mine[0]}"
        leave = {"user": {"password": PASSWORD, "content": content}}
        requests = shuffled(
            chance,
            *[elsewhere.asks("PUT", "/user", user={"bio": f"Rows {number}"}) for number in range(5)],
            *[elsewhere.asks("PUT", "/user", user={"username": ann.name}) for _ in range(5)],
            *[writes(elsewhere, "Dusk", "dusk") for _ in range(10)],
            *[elsewhere.asks("POST", f"/articles/{theirs}/comments", comment={"body": "Mine"}) for _ in range(10)],
            *[elsewhere.asks("POST", f"/profiles/{person.name}/follow") for person in crowd[:10]],
            *[elsewhere.asks("POST", f"/articles/{theirs}/favorite") for _ in range(5)],
            *[person.asks("POST", f"/profiles/{ann.name}/follow") for person in crowd[:15]],
            *[person.asks("POST", f"{path}/favorite") for person in crowd[:15]],
            *[person.asks("POST", f"{path}/comments", comment={"body": "Theirs"}) for person in crowd[:15]],
        )
        requests = [ann.asks("DELETE", "/user", **leave), elsewhere.asks("DELETE", "/user", **leave), *requests]

        answers = at_once(server, requests, 2.5 * seconds)

        assert statuses(answers).keys() <= {200, 201, 204, 401, 404}
        assert statuses(answers)[204] == 1
        print(f"{statuses(answers)[401] + statuses(answers)[404]} of {len(answers)} came after they had left")
        assert statuses(at_once(server, [ann.asks("GET", "/user"), elsewhere.asks("GET", "/user")])) == {401: 2}
        one(server, request("GET", f"/profiles/{ann.name}", {}), 404)
        one(server, registration(ann.name.upper(), f"{ann.name}@example.org"), 409)
        grown = growth(server, before)
        for name in ("audit", "reserved_usernames"):
            assert grown.pop(name) > 0
        written = acknowledged(requests, answers, "POST /api/articles ")
        kept = {
            "articles": 1 + 3 + written,
            "slugs": 1 + 3 + written,
            "article_tags": written,
            "comments": sum(
                acknowledged(requests, answers, f"POST /api/articles/{slug}/comments") for slug in (theirs, mine[0])
            ),
            "favorites": acknowledged(requests, answers, f"POST /api{path}/favorite"),
        }
        if content == "keep":
            assert grown.pop("users", 1) == 1  # the one who stands for all who have left
            assert grown == {name: rows for name, rows in kept.items() if rows}
        else:
            assert grown == {"articles": 1, "slugs": 1}  # of somebody else
        require_sound(server)


# Roles


@pytest.mark.parametrize(("change", "refused"), [({"role": "member"}, 403), ({"suspended": True}, 401)])
def test_a_moderator_who_ceases_to_be_one_deletes_nothing_from_then_on(server, crowd, root, change, refused):
    for chance in rounds(3, SHARE):
        (bob,) = people(server)
        one(server, patch(root, bob, role="moderator"))
        slugs = published(server, crowd)
        before = sizes(server)
        requests = shuffled(chance, *(bob.asks("DELETE", f"/articles/{slug}") for slug in slugs))
        middle = chance.randrange(40)
        requests = [*requests[:middle], *[patch(root, bob, **change)] * 5, *requests[middle:]]

        answers = at_once(server, requests)

        found = statuses(answers)
        assert found.keys() <= {200, 204, refused}
        assert found[200] == 5
        grown = growth(server, before)
        assert (grown.get("articles", 0), grown["audit"]) == (-found[204], found[204] + 1)
        acts = server.rows(
            f"SELECT action FROM audit JOIN users ON users.id IN (actor_id, user_id) WHERE username = '{bob.name}'"
            " AND action <> 'user.register' AND action <> 'user.make_moderator' ORDER BY audit.id"
        )
        assert [action for (action,) in acts[:-1]] == ["article.delete"] * found[204]
        assert acts[-1] == ("user.suspend" if refused == 401 else "user.make_member",)
        print(f"{found[refused]} of {MANY} came after it")


def test_who_is_suspended_while_acting_has_done_what_was_acknowledged_and_no_more(server, crowd, root):
    for chance in rounds(3, SHARE):
        (ann,) = people(server)
        theirs = published(server, crowd[:10])
        before = sizes(server)
        requests = shuffled(
            chance,
            *[writes(ann, "Dusk") for _ in range(15)],
            *[ann.asks("POST", f"/articles/{theirs[0]}/comments", comment={"body": "Mine"}) for _ in range(15)],
            *[ann.asks("POST", f"/articles/{slug}/favorite") for slug in theirs],
            *[ann.asks("POST", f"/profiles/{person.name}/follow") for person in crowd[:10]],
            *[ann.asks("PUT", "/user", user={"bio": "Rows"}) for _ in range(5)],
            *[patch(root, ann, suspended=True)] * 3,
        )

        answers = at_once(server, requests)

        assert statuses(answers).keys() <= {200, 201, 401}
        assert acknowledged(requests, answers, "PATCH") == 3
        stored = Counter(growth(server, before))
        assert stored["articles"] == acknowledged(requests, answers, "POST /api/articles ")
        assert stored["comments"] == acknowledged(requests, answers, f"POST /api/articles/{theirs[0]}/c")
        assert stored["follows"] == acknowledged(requests, answers, "POST /api/profiles")
        likes = sum(acknowledged(requests, answers, f"POST /api/articles/{slug}/f") for slug in theirs)
        assert (stored["favorites"], stored["audit"], stored["sessions"]) == (likes, 1, -1)
        print(f"{statuses(answers)[401]} of {len(answers)} came after it")


@pytest.mark.parametrize("how", ["demoted", "suspended", "leaving"])
def test_of_admins_who_all_remove_each_other_and_themselves_one_stays(tmp_path, how):
    with two_workers(tmp_path) as server:
        (last,) = people(server)
        command(server, "user", "promote", last.name, "--to", "admin")
        for chance in rounds(2, SHARE):
            admins = [last, *people(server, 7)]
            assert statuses(at_once(server, [patch(last, each, role="admin") for each in admins])) == {200: 8}
            if how == "leaving":
                leave = {"user": {"password": PASSWORD, "content": "keep"}}
                requests = [each.asks("DELETE", "/user", **leave) for each in admins]
            else:
                change = {"role": "member"} if how == "demoted" else {"suspended": True}
                requests = [patch(each, other, **change) for each in admins for other in admins]

            answers = at_once(server, shuffled(chance, *requests))

            assert statuses(answers).keys() <= {200, 204, 401, 403, 409}
            ((name,),) = server.rows("SELECT username FROM users WHERE role = 'admin' AND suspended_at IS NULL")
            (last,) = [each for each in admins if each.name == name]
            one(server, last.asks("GET", "/admin/users"))
            require_sound(server)


# Passwords and sessions


def reset_token(server: Server, person: Person) -> str:
    return command(server, "user", "reset", person.name).splitlines()[-1]


def test_of_those_who_change_a_password_at_once_one_does_and_no_older_login_slips_in(server):
    for chance in rounds(2, SHARE):
        everybody = people(server, 2)
        before = {ann: [ann, *more_sessions(server, ann, 4)] for ann in everybody}
        tokens = {ann: reset_token(server, ann) for ann in everybody}
        sent = []
        for ann, sessions in before.items():
            new = [f"{ann.name} chose {number}" for number in range(10)]
            for word, each in zip([new[0], *new[:4]], sessions, strict=True):
                sent.append((ann, word, each.asks("PUT", "/user", user={"password": word})))
            for word in new[4:]:
                body = {"user": {"token": tokens[ann], "password": word}}
                sent.append((ann, word, request("PUT", "/users/password-reset", body)))
            # Few enough that nobody has to wait.
            sent += [(ann, PASSWORD, login(ann.name))] * 3 + [(ann, new[0], login(ann.name, new[0]))]
        chance.shuffle(sent)

        answers = at_once(server, [each for _, _, each in sent])

        chosen, opened = defaultdict(list), defaultdict(list)
        for (ann, word, each), answer in zip(sent, answers, strict=True):
            if not each.startswith(b"PUT"):
                assert answer.status in (200, 401)
                if answer.status == 200:
                    opened[ann].append((word, ann._replace(token=answer.body["user"]["token"])))
            elif answer.status in (200, 204):
                chosen[ann].append((word, answer.body))
            else:
                assert answer.status == (422 if b"password-reset" in each else 401)
        for ann, sessions in before.items():
            ((word, answer),) = chosen[ann]  # one changed it, and no other one
            alive = at_once(server, [each.asks("GET", "/user") for each in sessions])
            assert statuses(alive)[200] == (answer is not None)  # the session that did, where it was one
            for used, session in opened[ann]:
                one(server, session.asks("GET", "/user"), 200 if used == word else 401)
            one(server, login(ann.name, word))
            one(server, login(ann.name), 401)


def test_a_token_that_is_redeemed_fifty_times_at_once_sets_one_password(server):
    for chance in rounds(2, SHARE):
        (ann,) = people(server)
        token = reset_token(server, ann)
        words = [f"chosen {chance.randrange(10**9)}" for _ in range(MANY)]
        bodies = [{"user": {"token": token, "password": word}} for word in words]
        requests = [request("PUT", "/users/password-reset", body) for body in bodies]
        before = sizes(server)

        answers = at_once(server, requests)

        winner = the_one(answers, 204, others=422)
        assert growth(server, before) == {"audit": 1, "sessions": -1, "password_resets": -1}
        one(server, ann.asks("GET", "/user"), 401)
        one(server, login(ann.name, words[winner]))
        one(server, login(ann.name, words[winner - 1]), 401)


def test_sessions_that_are_ended_while_they_are_used_stay_ended(server, crowd):
    for chance in rounds(3, SHARE):
        (ann,) = people(server)
        sessions = [ann, *more_sessions(server, ann, 6)]
        ids = [each["id"] for each in one(server, ann.asks("GET", "/user/sessions"))["sessions"]]
        (slug,) = published(server, crowd[:1])
        before = sizes(server)
        requests = shuffled(
            chance,
            *[each.asks("POST", f"/articles/{slug}/comments", comment={"body": "Mine"}) for each in sessions] * 4,
            *[each.asks("GET", "/user") for each in sessions] * 3,
            *[sessions[0].asks("DELETE", "/user/sessions/current")] * 2,
            *[sessions[1].asks("DELETE", f"/user/sessions/{number}") for number in (*ids[:2], *ids[:2])],
            sessions[2].asks("DELETE", "/user/sessions"),
            sessions[3].asks("DELETE", "/user/sessions"),
        )

        answers = at_once(server, requests)

        assert statuses(answers).keys() <= {200, 201, 204, 401, 404}
        grown = Counter(growth(server, before))
        assert grown["comments"] == statuses(answers)[201]
        alive = statuses(at_once(server, [each.asks("GET", "/user") for each in sessions]))
        assert alive[200] == len(sessions) + grown["sessions"] == 1  # of the two who ended all others, the first
        print(f"{statuses(answers)[401]} of {len(answers)} came too late")

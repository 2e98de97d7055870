"""Fifty requests at once on two workers: the responses are those of some order, and counters are exact afterwards."""

import random
from collections.abc import Iterator

import pytest

from tests.conftest import PASSWORD
from tests.system.faults.at_once import (
    MANY,
    Person,
    Response,
    at_once,
    command,
    growth,
    numbers,
    one,
    people,
    published,
    registration,
    require_sound,
    sizes,
    statuses,
    two_workers,
    winner,
)
from tests.system.faults.clients import rounds
from tests.system.test_server import Server, needs_proc

pytestmark = needs_proc

# Of MINUTES, for each test.
SHARE = 0.02


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with two_workers(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(server: Server) -> list[Person]:
    return people(server, MANY)


@pytest.fixture(autouse=True)
def _sound(server: Server) -> Iterator[None]:
    yield
    require_sound(server)


def shuffled(chance: random.Random, *requests: bytes) -> list[bytes]:
    return chance.sample(requests, len(requests))


def succeeded(requests: list[bytes], responses: list[Response], start: str) -> int:
    """How many requests that begin so got a 2xx."""
    both = zip(requests, responses, strict=True)
    return sum(each.startswith(start.encode()) and response.status < 300 for each, response in both)


@pytest.mark.parametrize("taken", ["username", "email"])
def test_only_one_of_fifty_registrations_gets_a_name_or_email(server, taken):
    for chance in rounds(1, SHARE):
        name = f"one{next(numbers)}"
        # Spellings that count as the same name.
        forms = [name, name.upper(), name.title(), "".join(chr(ord(each) + 0xFEE0) for each in name), f" {name}\t"]
        requests = [
            registration(forms[number % 5], f"{name}x{number}@example.org")
            if taken == "username"
            else registration(f"{name}x{number}", f"{forms[number % 5].strip()}@example.org")
            for number in range(MANY)
        ]
        before = sizes(server)

        responses = at_once(server, shuffled(chance, *requests))

        first = responses.pop(winner(responses, 201, others=409)).body["user"]
        assert all(list(response.body["errors"]) == [taken] for response in responses)
        assert growth(server, before) == {"users": 1, "sessions": 1, "audit": 1}
        assert one(server, Person(first["username"], first["token"]).asks("GET", "/user"))["user"] == first


def test_each_of_fifty_favorites_counts_once(server, crowd):
    for chance in rounds(2, SHARE):
        (slug,) = published(server, [chance.choice(crowd)])
        path = f"/articles/{slug}/favorite"

        for method, counts, is_on in [("POST", range(1, MANY + 1), True), ("DELETE", range(MANY), False)]:
            responses = at_once(server, shuffled(chance, *(person.asks(method, path) for person in crowd)))

            assert statuses(responses) == {200: MANY}
            assert sorted(response.body["article"]["favoritesCount"] for response in responses) == list(counts)
            assert {response.body["article"]["favorited"] for response in responses} == {is_on}

        asked = {person: [chance.choice(["POST", "DELETE"]) for _ in range(2)] for person in crowd}
        mixed = [person.asks(method, path) for person, methods in asked.items() for method in methods]
        assert statuses(at_once(server, shuffled(chance, *mixed))) == {200: 2 * MANY}
        found = at_once(server, [person.asks("GET", f"/articles/{slug}") for person in crowd])
        articles = [response.body["article"] for response in found]
        assert {each["favoritesCount"] for each in articles} == {sum(each["favorited"] for each in articles)}
        for each, methods in zip(articles, asked.values(), strict=True):
            assert each["favorited"] in [method == "POST" for method in methods]


def test_an_article_is_deleted_once_with_everything_that_others_add_to_it(server, crowd):
    for chance in rounds(3, SHARE):
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
        )

        responses = at_once(server, requests)

        assert statuses(responses).keys() <= {200, 201, 204, 404}
        assert succeeded(requests, responses, f"DELETE /api{path} ") == 1
        withdrawn = succeeded(requests, responses, f"DELETE /api{path}/comments/")
        assert withdrawn <= 1
        assert growth(server, before) == {"audit": 1 + withdrawn}


@pytest.mark.parametrize("how", ["suspended", "leaving"])
def test_of_eight_admins_who_all_remove_each_other_one_stays(tmp_path, how):
    with two_workers(tmp_path) as server:
        (last,) = people(server, 1)
        command(server, "user", "promote", last.name, "--to", "admin")
        for chance in rounds(1, SHARE):
            admins = [last, *people(server, 7)]
            paths = [f"/admin/users/{each.name}" for each in admins]
            promoting = at_once(server, [last.asks("PATCH", path, user={"role": "admin"}) for path in paths])
            assert statuses(promoting) == {200: 8}
            leave = {"user": {"password": PASSWORD, "content": "keep"}}
            if how == "leaving":
                requests = [each.asks("DELETE", "/user", **leave) for each in admins]
            else:
                requests = [each.asks("PATCH", path, user={"suspended": True}) for each in admins for path in paths]

            responses = at_once(server, shuffled(chance, *requests))

            assert statuses(responses).keys() <= {200, 204, 401, 409}
            ((name,),) = server.rows("SELECT username FROM users WHERE role = 'admin' AND suspended_at IS NULL")
            (last,) = [each for each in admins if each.name == name]
            one(server, last.asks("GET", "/admin/users"))
            require_sound(server)

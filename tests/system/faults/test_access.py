"""Access control on a running server, and the memory that a request can take."""

import json
import tracemalloc

import pytest

from plugins.validation import MAX_BODY_BYTES
from tests.conftest import JSON
from tests.system.test_server import serving
from tests.test_access import BODIES, ROUTES, SPOOFS

WASTEFUL = {
    "half a million numbers": "[" + "1," * 500_000 + "1]",
    "a quarter of a million empty texts": "[" + '"",' * 250_000 + '""]',
    "a hundred thousand tags": json.dumps([str(number) for number in range(100_000)]),
    "80,000 objects": "[" + "{}, " * 80_000 + "{}]",
    "an object with 70,000 keys": json.dumps({str(number): None for number in range(70_000)}),
    "a text of a million letters": json.dumps("x" * 1_000_000),
    "a text of NULs": '"' + r"\u0000" * 150_000 + '"',
    "a text of ligatures": json.dumps("ﷺ" * 300_000, ensure_ascii=False),
}


def test_a_running_server_ignores_headers_that_claim_something(tmp_path):
    lines = "".join(f"{name}: {value}\r\n{name.replace('-', '_')}: {value}\r\n" for name, value in SPOOFS.items())
    with serving(tmp_path, "--workers", "1") as server:
        token = server.token("ann")

        def status(first: str, host: str = "localhost", header: str = "") -> int:
            head = f"{first} HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n"
            return server.sends(f"{head}{lines}\r\n".encode())[0]

        assert status("GET /metrics") == 404  # a request through a proxy is not local
        assert status("GET /metrics", "rowboat.example") == 404
        assert status("GET /api/admin/users") == 401
        assert status("GET /api/user", header=f"Authorization_: Token {token}\r\n") == 401
        assert status("GET /api/user", header=f"Proxy-Authorization: Token {token}\r\n") == 401
        assert status("DELETE /api/tags") == 405
        assert status("delete /api/user", header=f"Authorization: Token {token}\r\n") == 400
        assert status("GET /api/tags") == 200
        assert server.rows("SELECT count(*) FROM users WHERE role <> 'deleted'") == [(1,)]


@pytest.mark.parametrize("value", WASTEFUL.values(), ids=WASTEFUL)
def test_a_body_takes_little_more_memory_than_its_length(api, promote, value):
    ann = promote(api.someone("ann"), "admin")
    slug = ann.writes("Dawn")

    for (method, path), options in ROUTES.items():
        if "body" in options:
            key, model = options["body"]
            for field in [field.alias or name for name, field in model.model_fields.items()]:
                fields = dict.fromkeys(BODIES[method, path][key], "x") | {field: "VALUE"}
                body = json.dumps({key: fields}).replace('"VALUE"', value).encode()
                assert len(body) < MAX_BODY_BYTES
                address = "/api" + path.replace("<slug>", slug).replace("<username>", "ann")

                tracemalloc.start()
                response = ann.client.request(address, method=method, body=body, headers=ann.headers | JSON, status="*")
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()

                assert response.status_int < 500
                assert len(response.body) < 2000 + 2 * len(body) * (response.status_int < 300)
                assert peak < 40 * MAX_BODY_BYTES, f"{method} {path}: {field}"

"""schemathesis: every request that the OpenAPI document allows, and many that it does not, is answered as it says.

It makes requests from the document in four phases: examples, coverage (each limit, from both sides), fuzzing and
stateful (what one request made, in the next)."""

import time
from collections.abc import Iterable

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.schemas import BaseSchema

from tests.soak import TIMES
from tests.system.test_server import serving

DOCUMENT = "/api/v1/openapi.json"

# 400 and 422 too: the document cannot say that a text is printable and without NUL, nor which values exist: cursors,
# mailed tokens, the present password, versions (412).
MAY_BE_INVALID = {"expected-statuses": [200, 201, 202, 204, 400, 401, 403, 404, 409, 412, 422, 429]}

# 413 too: a text over its limit may make a body over the limit.
REFUSED = {"expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]}


def settings(token: str, examples: int) -> SchemathesisConfig:
    """The configuration for a caller with this token; in the short form the requests are the same each time."""
    seed = 20260131 if TIMES == 1 else time.time_ns()
    print(f"seed {seed}")
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "auth": {"openapi": {"Token": {"api_key": f"Token {token}"}}},
            "checks": {"positive_data_acceptance": MAY_BE_INVALID, "negative_data_rejection": REFUSED},
            "generation": {"max-examples": examples, "deterministic": TIMES == 1, "database": "none"},
            "cache": {"enabled": False},
            "operations": [
                # To the methods of articles, "feed" is an unknown slug.
                {"include-operation-id": "articles_feed", "checks": {"allow_header_conformance": {"enabled": False}}},
                # These would log out, and nearly all responses after that would be 401.
                {"include-operation-id": ["sessions_delete_current", "sessions_delete"], "enabled": False},
            ],
        }
    )


def failures(schema: BaseSchema) -> Iterable[str]:
    """What schemathesis finds wrong, with the request that shows it."""
    sent = good = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            yield repr(event)
        if isinstance(event, events.ScenarioFinished):
            answers = [each.response for each in event.recorder.interactions.values()]
            sent += len(answers)
            good += sum(answer is not None and answer.status_code < 400 for answer in answers)
            for checks in event.recorder.checks.values():
                for check in checks:
                    if check.status != Status.SUCCESS and check.failure_info:
                        yield f"{check.failure_info.failure}\n{check.failure_info.code_sample}"
    print(f"{sent} requests")
    assert good > 50  # if nearly all were refused, the others would show little


@pytest.mark.parametrize("turn", range(min(TIMES, 3)))  # schemathesis keeps 0.7 GB of each in memory
@pytest.mark.parametrize("role", ["admin"] if TIMES == 1 else ["admin", "member"])
def test_the_server_matches_its_openapi_document(tmp_path, role, turn):
    with serving(tmp_path, ROWBOAT_POSTS_PER_HOUR="1000000") as running:
        address = f"http://127.0.0.1:{running.port}"
        config = settings(running.token("ann"), 1 if TIMES == 1 else 3)
        running.rows(f"UPDATE users SET role = '{role}' WHERE username = 'ann'")

        found = list(failures(schemathesis.openapi.from_url(address + DOCUMENT, config=config)))

        assert not found, "\n\n".join(found[:5])
        assert "Traceback" not in running.log.read_text()

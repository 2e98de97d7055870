"""What the audit log is told of an act. sql/audit/note.sql writes it, in the transaction of the act itself."""

import json
from typing import Any

from bottle import request


def of_request(*actions: str, user_id: int | None = None) -> dict[str, Any]:
    """What sql/audit/note.sql asks for besides :me and :now, when the current request does this.

    `user_id` is whose account or text it is. A file that runs before may tell that, and :object_id and :actions too."""
    return of_command(*actions, user_id=user_id) | {"request_id": request.environ["rowboat.request_id"]}


def of_command(*actions: str, user_id: int | None = None) -> dict[str, Any]:
    """The same when the command line does this."""
    return {"actions": json.dumps(actions), "user_id": user_id, "object_id": None, "request_id": None}

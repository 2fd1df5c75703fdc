"""One request, sent until it is answered.

Every request of this client can be sent again: steps carry a position, changes and jobs an Idempotency-Key, and the
others change nothing when they are repeated.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellar_client.core.effects import ConnectionLost, Operation, Pause, Reply, Request
from cellar_client.errors import ConnectionFailed, NotFound, Problem, Unavailable

JSON = {"Content-Type": "application/json"}

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Pause after the first failed try, and the longest one: each is twice as long as the one before it."""


@dataclass(slots=True)
class Patience:
    """How long a request is repeated: until its pauses add up to `give_up_s`. Every answer begins it again."""

    give_up_s: float
    waited_s: float = 0.0
    _next_s: float = FIRST_PAUSE_S

    def pause(self, error: Exception, asked_s: float | None = None) -> Pause:
        """Return the pause before the next try, at least what the service asked for. Raise the error at the end."""
        if self.waited_s >= self.give_up_s:
            self.restart()
            raise ConnectionFailed(f"no answer: {error}") if isinstance(error, ConnectionLost) else error
        seconds = self._next_s if asked_s is None else asked_s
        self._next_s = min(2 * self._next_s, LONGEST_PAUSE_S)
        self.waited_s += seconds
        return Pause(seconds)

    def restart(self) -> None:
        """Begin again, because there was an answer."""
        self.waited_s, self._next_s = 0.0, FIRST_PAUSE_S


Problems = tuple[type[Problem], ...]


def exchange(request: Request, give_up_s: float, if_applied: Problems = ()) -> Operation[Reply]:
    """Send a request until it is answered. Raise Problem for an error, ConnectionFailed if there is no answer.

    `if_applied` are the errors of a request that was applied, and is sent again because its reply was lost.
    """
    patience: Patience | None = None
    lost = False
    while True:
        try:
            reply: Reply = yield request
        except ConnectionLost as error:
            patience, lost = patience or Patience(give_up_s), True
            yield patience.pause(error)
            continue
        if reply.status < 300:
            return reply
        problem = problem_of(reply)
        if lost and isinstance(problem, if_applied):
            return reply
        if not isinstance(problem, Unavailable):
            raise problem
        patience, lost = patience or Patience(give_up_s), lost or problem.outcome == "unknown"
        yield patience.pause(problem, problem.retry_after_s)


def problem_of(reply: Reply) -> Problem:
    """Return the error of an answer of status 300 or above. A proxy may answer without a problem document."""
    pause = reply.headers.get("retry-after", "")
    retry_after_s = float(pause) if pause.replace(".", "", 1).isdigit() else None
    try:
        document = json.loads(reply.content)
        if not isinstance(document, dict):
            raise TypeError
    except (ValueError, TypeError):
        document = {"detail": reply.content[:200].decode("utf-8", "replace")}
    return Problem.of({"status": reply.status, **document}, retry_after_s)


def call(
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    give_up_s: float,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    if_applied: Problems = (),
) -> Operation[Any]:
    """Send JSON and return the JSON document of the answer, {} if it is empty or one of `if_applied`.

    Parameters that are None are left out.
    """
    content = b"" if body is None else json.dumps(body).encode()
    sent = {**(JSON if body is not None else {}), **(headers or {})}
    request = Request(method, path, content, sent, texts(params or {}))
    if method == "DELETE":
        if_applied = (*if_applied, NotFound)
    reply = yield from exchange(request, give_up_s, if_applied)
    return json.loads(reply.content) if reply.content and reply.status < 300 else {}


def texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Return query parameters as texts, without those that are None."""
    given = {name: value for name, value in params.items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def given(**members: Any) -> dict[str, Any]:
    """Return the members of a body that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def new_key() -> dict[str, str]:
    """Return the header with which a request that creates something is applied once."""
    return {"Idempotency-Key": uuid.uuid4().hex}

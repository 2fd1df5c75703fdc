"""A client that sends the requests of `tests.stored.requests` and makes answers that can be compared."""

import json
import time
from typing import Any

import httpx

from tests.stored.requests import LAST, Request

WITHIN_S = 240.0
"""How long an answer may take to become the one that is waited for: kernels are compiled meanwhile, the first time."""

POLL_S = 0.05

TEXTS = ("detail", "title", "expected", "actual", "error", "warnings")
"""Members that are for people: their words may change."""


class Client:
    """Knows the last position of each session, and the names of jobs."""

    def __init__(self, url: str, positions: dict[str, str], jobs: dict[str, str]) -> None:
        self.positions = positions
        self.jobs = jobs
        self.said = ""
        """The text of the last answer."""

        self._http = httpx.Client(base_url=f"{url}/v1", timeout=WITHIN_S)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, request: Request) -> dict[str, Any]:
        """Return the status, the body and whether it was a replay."""
        if request.events:
            return {"events": self._events(request)}
        deadline = time.monotonic() + WITHIN_S
        while True:
            answer = self._send(request)
            if request.until.items() <= (answer | answer["body"]).items():
                return answer
            assert time.monotonic() < deadline, (request, answer)
            time.sleep(POLL_S)

    def _send(self, request: Request) -> dict[str, Any]:
        session = request.path.split("/")[2].partition("?")[0] if request.path.count("/") > 1 else ""
        body = None if request.body is None else dict(request.body)
        if body is not None and body.get("position") == LAST:
            body["position"] = self.positions[session]
        headers = {} if request.key is None else {"Idempotency-Key": request.key}
        found = self._http.request(request.method, request.path.format(**self.jobs), json=body, headers=headers)
        answer: dict[str, Any] = found.json() if found.content else {}
        if "position" in answer and found.is_success:
            self.positions[answer.get("session", session)] = answer["position"]
        if request.job is not None and found.is_success:
            self.jobs[request.job] = answer["job"]
        self.said = found.text
        replayed = "Idempotent-Replayed" in found.headers
        return {"status": found.status_code, "replayed": replayed, "body": without_texts(answer)}

    def _events(self, request: Request) -> list[dict[str, Any]]:
        """Return the first events: their kinds, ids and data."""
        events: list[dict[str, Any]] = []
        with self._http.stream(request.method, request.path) as answer:
            event: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name] = json.loads(value) if name == "data" else value
                elif event:
                    events.append(event)
                    event = {}
                    if len(events) == request.events:
                        break
        return events


def without_texts(value: Any) -> Any:
    """Return an answer without what is written for people."""
    if isinstance(value, dict):
        return {name: without_texts(part) for name, part in value.items() if name not in TEXTS}
    return [without_texts(part) for part in value] if isinstance(value, list) else value


ANY = "*"
"""In a stored answer: two services gave two values, as each makes its own epochs and has its own time."""


def common(one: Any, other: Any) -> Any:
    """Return what two answers have in common."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: common(value, other[name]) for name, value in one.items() if name in other}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [common(*pair) for pair in zip(one, other, strict=True)]
    return one if one == other else ANY


def assert_holds(found: Any, stored: Any, where: str) -> None:
    """Assert that an answer has everything that the stored one has; it may have more members."""
    if stored == ANY:
        return
    if isinstance(stored, dict):
        assert isinstance(found, dict), where
        for name, value in stored.items():
            assert name in found, f"{where}/{name}"
            assert_holds(found[name], value, f"{where}/{name}")
    elif isinstance(stored, list):
        assert isinstance(found, list), where
        assert len(found) == len(stored), where
        for index, pair in enumerate(zip(found, stored, strict=True)):
            assert_holds(*pair, f"{where}/{index}")
    else:
        assert found == stored, f"{where}: {found!r}, and it was {stored!r}"

"""A client of the service in a page: what every request sends, and how a step survives a service that dies."""

import time
from collections.abc import Iterator
from typing import Any, Self

import httpx

PATIENCE_S = 60.0
"""How long a step is tried again: a service that was killed is back in seconds."""

PAUSE_S = 0.1
"""Between two tries, and between two looks at a job."""

TIMEOUT_S = 120.0
"""Of one request: creating a model compiles it, which takes its time on a small machine."""

JSON = dict[str, Any]


class Refused(Exception):
    """The service understood and said no."""


class Client:
    """A connection to a service. A context manager."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def create_model(self, name: str, network: JSON, seed: int) -> JSON:
        """Create a model and return what the service says about it."""
        return self.call("POST", "/v1/models", {"name": name, "network": network, "seed": seed})

    def train(self, model: str, data: JSON, settings: JSON) -> Iterator[JSON]:
        """Submit a training job and yield it again and again until it has ended."""
        job = self.call("POST", "/v1/jobs", {"model": model, "data": data, **settings})
        yield job
        while job["state"] in ("queued", "running"):
            time.sleep(PAUSE_S)
            job = self.call("GET", f"/v1/jobs/{job['job']}")
            yield job

    def open_session(self, model: str, ttl_s: int) -> "Session":
        """Open a session in its initial state; it ends when nothing happens to it for `ttl_s` seconds."""
        return Session(self, self.call("POST", "/v1/sessions", {"model": model, "ttl_s": ttl_s}))

    def call(self, method: str, path: str, body: JSON | None = None) -> JSON:
        """Send a request and return its answer. Raise Refused, or httpx.HTTPError if there is no answer."""
        answer = self._http.request(method, path, json=body)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            answer.raise_for_status()
        if answer.is_error:
            raise Refused(f"{method} {path}: {answer.json()['detail']}")
        document: JSON = answer.json()
        return document


class Session:
    """A session and the position that it is known to be at.

    The position goes with every step. It says where in the history the step belongs, so a step whose answer was lost
    can be sent again: if it was applied, the service repeats its answer; if not, it is applied now. Never twice.
    """

    def __init__(self, client: Client, answer: JSON) -> None:
        self.name: str = answer["session"]
        self.position: str = answer["position"]
        self._client = client

    def step(self, features: list[float]) -> list[float]:
        """Advance by one step and return its output."""
        output: list[float] = self._advance("step", {"input": features})["output"]
        return output

    def sequence(self, steps: list[list[float]]) -> list[list[float]]:
        """Advance by several steps, all or none, and return their outputs."""
        outputs: list[list[float]] = self._advance("sequence", {"inputs": steps})["outputs"]
        return outputs

    def layers(self) -> list[JSON]:
        """Return the hidden state, every number of it."""
        layers: list[JSON] = self._client.call("GET", f"/v1/sessions/{self.name}/state")["layers"]
        return layers

    def _advance(self, how: str, body: JSON) -> JSON:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._client.call(
                    "POST", f"/v1/sessions/{self.name}/{how}", {**body, "position": self.position}
                )
            except httpx.HTTPError:  # nobody there, cut off half way, or not now
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(PAUSE_S)
            else:
                self.position = answer["position"]
                return answer

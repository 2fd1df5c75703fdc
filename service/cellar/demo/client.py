"""A small HTTP client of the service, which repeats steps until they are answered."""

import time
from collections.abc import Iterator
from typing import Any, Self

import httpx

RETRY_S = 60.0
"""How long a step is repeated: a service that was killed is back within seconds."""

PAUSE_S = 0.1
"""Pause between two tries of a step, and between two requests for the state of a job."""

TIMEOUT_S = 120.0
"""Timeout of a request: the creation of a model compiles its cells, which can take a minute on a small machine."""

JSON = dict[str, Any]


class Refused(Exception):
    """The service has refused a request."""


class Client:
    """A connection to a service, used as a context manager."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def create_model(self, name: str, network: JSON, seed: int) -> JSON:
        """Create a model and return the answer of the service."""
        return self.call("POST", "/v1/models", {"name": name, "network": network, "seed": seed})

    def train(self, model: str, data: JSON, settings: JSON) -> Iterator[JSON]:
        """Submit a training job and yield its present form repeatedly until it has ended."""
        job = self.call("POST", "/v1/jobs", {"model": model, "data": data, **settings})
        yield job
        while job["state"] in ("queued", "running"):
            time.sleep(PAUSE_S)
            job = self.call("GET", f"/v1/jobs/{job['job']}")
            yield job

    def open_session(self, model: str, ttl_s: int) -> "Session":
        """Open a session in its initial state; it expires `ttl_s` seconds after its last change."""
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
    """A session with its last known position.

    Each step carries the position. It identifies the step, so a step whose answer was lost can be sent again: if it was
    applied, the service repeats its answer; if not, it is applied now. It is never applied twice.
    """

    def __init__(self, client: Client, answer: JSON) -> None:
        self.name: str = answer["session"]
        self.position: str = answer["position"]
        self._client = client

    def step(self, features: list[float]) -> list[float]:
        """Apply one step and return its output."""
        output: list[float] = self._advance("step", {"input": features})["output"]
        return output

    def sequence(self, steps: list[list[float]]) -> list[list[float]]:
        """Apply several steps, all or none, and return their outputs."""
        outputs: list[list[float]] = self._advance("sequence", {"inputs": steps})["outputs"]
        return outputs

    def layers(self) -> list[JSON]:
        """Return the complete hidden state by layers."""
        layers: list[JSON] = self._client.call("GET", f"/v1/sessions/{self.name}/state")["layers"]
        return layers

    def _advance(self, how: str, body: JSON) -> JSON:
        deadline_s = time.monotonic() + RETRY_S
        while True:
            try:
                answer = self._client.call(
                    "POST", f"/v1/sessions/{self.name}/{how}", {**body, "position": self.position}
                )
            except httpx.HTTPError:  # no connection, a connection that was lost, or an answer 503
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(PAUSE_S)
            else:
                self.position = answer["position"]
                return answer

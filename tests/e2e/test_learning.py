"""Sessions that learn in services of two processes that are killed: no target is lost or learnt twice."""

from typing import Any

import httpx
import numpy as np

from tests.e2e.replica import Replica, serving
from tests.waiting import wait_until

NETWORK = {
    "in_size": 2,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 4}, {"type": "dense", "out_size": 2}],
}
STEPS, KILLS = 24, 3
RANDOM = np.random.default_rng(7)
INPUTS = RANDOM.normal(size=(STEPS, 2)).round(3).tolist()
TARGETS = RANDOM.normal(size=(STEPS, 2)).round(3).tolist()


def ask(replica: Replica, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a request until it is answered."""

    def answered() -> dict[str, Any] | None:
        try:
            answer = httpx.post(f"{replica.url}/v1/sessions/{path}", json=body, timeout=30)
        except httpx.TransportError:
            return None
        assert answer.status_code in (200, 503), answer.text
        return dict(answer.json()) if answer.status_code == 200 else None

    return wait_until(answered, 30, "the request is answered")


def begin(replica: Replica, *names: str) -> None:
    """Create the model and the sessions."""
    with httpx.Client(base_url=f"{replica.url}/v1", timeout=60) as http:
        http.post("/models", json={"name": "m", "network": NETWORK}).raise_for_status()
        for name in names:
            body = {"session": name, "model": "m@1", "learning": {"type": "rls", "forgetting": 0.95, "window": 8}}
            http.post("/sessions", json=body).raise_for_status()


def go(replica: Replica, name: str, number: int) -> None:
    """Make a step, and give the target of the step before last, each twice."""
    step = {"input": INPUTS[number], "step": number}
    assert ask(replica, f"{name}/step", step) == ask(replica, f"{name}/step", step)
    if number >= 2:
        target = {"step": number - 2, "targets": [TARGETS[number - 2]]}
        first = ask(replica, f"{name}/targets", target)
        assert ask(replica, f"{name}/targets", target) == first


def state(replica: Replica, name: str) -> Any:
    """Return the state with what the session has learnt."""
    return httpx.get(f"{replica.url}/v1/sessions/{name}/state", timeout=30).json()["layers"]


def test_every_target_is_learnt_once_through_kills(private: dict[str, str]) -> None:
    settings = private | {"CELLAR_PROCESSES": "2"}
    for begun in range(0, STEPS, STEPS // KILLS):
        with serving(settings) as replica:
            if not begun:
                begin(replica, "killed", "spared")
            for number in range(begun, begun + STEPS // KILLS):
                go(replica, "killed", number)
            if begun + STEPS // KILLS < STEPS:
                replica.kill()
                continue
            for number in range(STEPS):
                go(replica, "spared", number)
            assert state(replica, "killed") == state(replica, "spared")
            learnt = httpx.get(f"{replica.url}/v1/sessions/killed/learning", timeout=30).json()
            assert learnt["updates"] == STEPS - 2

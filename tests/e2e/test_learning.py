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


LEARNING = {
    "rls": {"type": "rls", "forgetting": 0.95, "window": 8},
    "bptt": {"type": "bptt", "learning_rate": 0.05, "window": 8},
}


def begin(replica: Replica) -> None:
    """Create the model, and of each kind of learning a session that will be killed, and one that will not."""
    with httpx.Client(base_url=f"{replica.url}/v1", timeout=60) as http:
        http.post("/models", json={"name": "m", "network": NETWORK}).raise_for_status()
        for kind, learning in LEARNING.items():
            for name in (f"killed-{kind}", f"spared-{kind}"):
                body = {"session": name, "model": "m@1", "learning": learning}
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
                begin(replica)
            for number in range(begun, begun + STEPS // KILLS):
                for kind in LEARNING:
                    go(replica, f"killed-{kind}", number)
            if begun + STEPS // KILLS < STEPS:
                replica.kill()
                continue
            for kind in LEARNING:
                for number in range(STEPS):
                    go(replica, f"spared-{kind}", number)
                assert state(replica, f"killed-{kind}") == state(replica, f"spared-{kind}")
                learnt = httpx.get(f"{replica.url}/v1/sessions/killed-{kind}/learning", timeout=30).json()
                assert learnt["updates"] == STEPS - 2

"""The same inputs, however they arrive and whoever computes them, give the same bits."""

from typing import Any

import httpx
import numpy as np

from tests.e2e.replica import serving

NETWORK = {
    "in_size": 3,
    "layers": [
        {"type": "recurrent", "cell": "lstm", "hidden_size": 17},
        {"type": "recurrent", "cell": "gru", "hidden_size": 5},
        {"type": "dense", "out_size": 2, "activation": "softmax"},
    ],
}
STEPS, ROWS = 9, 64


def post(url: str, body: Any) -> dict[str, Any]:
    """Send a body and return what is answered."""
    answer = httpx.post(url, json=body, timeout=60)
    assert answer.is_success, answer.text
    return dict(answer.json())


def session(url: str, rows: int = 1) -> str:
    """Return the address of a new session."""
    made = post(f"{url}/v1/sessions", {"model": "stack", "batch_size": rows})
    return f"{url}/v1/sessions/{made['session']}"


def state(address: str) -> list[dict[str, Any]]:
    """Return the layers of a session's state."""
    return list(httpx.get(f"{address}/state").json()["layers"])


def test_rows_steps_sequences_and_processes_change_no_bit(shared: dict[str, str]) -> None:
    inputs = np.random.default_rng(5).normal(size=(STEPS, ROWS, 3)).astype(np.float32)
    with serving(shared) as one, serving(shared) as other:
        post(f"{one.url}/v1/models", {"name": "stack", "network": NETWORK, "seed": 1})
        batch = session(one.url, ROWS)
        together = post(f"{batch}/sequence", {"inputs": inputs.tolist()})["outputs"]
        for row in (0, 31, 63):
            alone = inputs[:, row].tolist()
            expected = [step[row] for step in together]
            at_once = session(other.url)
            assert post(f"{at_once}/sequence", {"inputs": alone})["outputs"] == expected
            by_steps = session(one.url)
            moving = by_steps.replace(one.url, other.url)
            answers = [
                post(f"{by_steps if number % 2 else moving}/step", {"input": step, "step": number})
                for number, step in enumerate(alone)
            ]
            assert [answer["output"] for answer in answers] == expected
            assert state(by_steps) == state(at_once)
            for single, whole in zip(state(at_once), state(batch), strict=True):
                assert single["h"] == [whole["h"][row]]

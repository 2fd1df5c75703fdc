"""A hosted graph in services that are killed: its sessions continue with the bits of ONNX Runtime run directly."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from tests.e2e.replica import Replica, serving
from tests.onnx_graph.graphs import lstm, session
from tests.waiting import wait_until

STEPS = 12
INPUTS = np.random.default_rng(5).normal(size=(STEPS, 3)).astype(np.float32)
FILE = {"Content-Type": "application/onnx"}


def direct() -> list[list[float]]:
    """Return the outputs of the graph, run without Cellar."""
    runtime, outputs = session(lstm()), []
    h = c = np.zeros((1, 1, 4), np.float32)
    for step in INPUTS:
        y, h, c = runtime.run(None, {"x": step[None], "h0": h, "c0": c})
        outputs.append(y[0].tolist())
    return outputs


def begin(replica: Replica, *sessions: str) -> None:
    """Publish the graph, and create sessions of it."""
    query = {"engine": "onnxruntime", "graph": json.dumps({"micro_batches": False})}
    with httpx.Client(base_url=f"{replica.url}/v1", timeout=60) as http:
        http.put("/models/graph", content=lstm(), headers=FILE, params=query).raise_for_status()
        for name in sessions:
            http.post("/sessions", json={"session": name, "model": "graph"}).raise_for_status()


def step(replica: Replica, name: str, number: int) -> list[float]:
    """Send a step until it is answered, and return its output."""

    def answered() -> "dict[str, Any] | None":
        try:
            body = {"input": INPUTS[number].tolist(), "step": number}
            answer = httpx.post(f"{replica.url}/v1/sessions/{name}/step", json=body, timeout=30)
        except httpx.TransportError:
            return None
        assert answer.status_code in (200, 503), answer.text
        return dict(answer.json()) if answer.status_code == 200 else None

    return list(wait_until(answered, 30, "the step is answered")["output"])


def test_a_session_continues_after_kills(private: dict[str, str]) -> None:
    found: list[list[float]] = []
    for begun in range(0, STEPS, STEPS // 3):
        with serving(private) as replica:
            if not begun:
                begin(replica, "s")
            found += [step(replica, "s", number) for number in range(begun, begun + STEPS // 3)]
            assert step(replica, "s", begun) == found[begun], "a repeated step is answered as it was"
            if len(found) < STEPS:  # the last one ends its private Redis
                replica.kill()
    assert found == direct()


def test_sessions_of_two_services_share_calls_and_keep_their_bits(shared: dict[str, str]) -> None:
    names = [f"s{number}" for number in range(6)]
    with serving(shared) as one, serving(shared) as other:
        begin(one, *names)

        def walk(name: str) -> list[list[float]]:
            """Take all steps, each at another service than the one before."""
            return [step((one, other)[number % 2], name, number) for number in range(STEPS)]

        with ThreadPoolExecutor(len(names)) as threads:
            walks = list(threads.map(walk, names))
    assert all(found == direct() for found in walks)

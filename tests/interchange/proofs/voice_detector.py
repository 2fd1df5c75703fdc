"""The voice detector of silero-vad over HTTP, in a service that is killed again and again, beside ONNX Runtime."""

import json
import tempfile
from typing import Any

import httpx
import numpy as np

from benchmarks.onnx_graph import OPTIONS, Bare, frames, model_file
from cellar.engine import KernelCache
from tests.e2e.replica import environment, serving
from tests.interchange.proofs.outcome import Outcome

STEPS_A_LIFE = 40


def prove(_: KernelCache, count: int, seed: int) -> Outcome:
    """Step frame by frame; a case is a step, and every 40 steps the service is killed."""
    outcome, bare = Outcome(), Bare(model_file())
    inputs = frames(count, seed)
    with tempfile.TemporaryDirectory() as directory:
        settings = environment(data_dir=f"{directory}/data", cache_dir=f"{directory}/cache", worker="false")
        for begun in range(0, count, STEPS_A_LIFE):
            with serving(settings) as replica, httpx.Client(base_url=f"{replica.url}/v1", timeout=60) as http:
                if not begun:
                    publish(http)
                for index in range(begun, min(count, begun + STEPS_A_LIFE)):
                    expected = bare.step(inputs[index : index + 1])
                    body = {"input": inputs[index].tolist(), "step": index}
                    answer = http.post("/sessions/voice/step", json=body).raise_for_status().json()
                    found = np.array([answer["output"]], np.float32)
                    same = found.tobytes() == expected.tobytes()
                    outcome.add(f"step {index}", 0.0 if same else np.inf)
                state = http.get("/sessions/voice/state").raise_for_status().json()["layers"][0]["state"]
                same = np.array(state, np.float32).tobytes() == bare.state.tobytes()
                outcome.counts["states read with the same bits"] += same
                if begun + STEPS_A_LIFE < count:  # the last one ends its private Redis
                    replica.kill()
                    outcome.counts["kills"] += 1
    return outcome


def publish(http: httpx.Client) -> None:
    """Publish the graph, and create a session of it."""
    files: Any = {"weights": model_file(), "graph": (None, json.dumps(OPTIONS).encode())}
    http.put("/models/vad", files=files).raise_for_status()
    http.post("/sessions", json={"session": "voice", "model": "vad"}).raise_for_status()

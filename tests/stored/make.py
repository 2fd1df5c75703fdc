"""What a service of this revision stores, as a file for the tests of later ones.

    python -m tests.stored.make URL REDIS_URL tests/stored/revision_N.json

URL is a service that runs on an otherwise empty Redis with `CELLAR_KEY_PREFIX=stored`. The file has every key as Redis
dumps it, and what the service answered.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import redis

PREFIX = "stored"

NETWORK = {
    "in_size": 2,
    "layers": [
        {"type": "recurrent", "cell": "gru", "hidden_size": 5},
        {"type": "recurrent", "cell": "lstm", "hidden_size": 4},
        {"type": "dense", "out_size": 2, "activation": "tanh"},
    ],
}

SESSIONS = ("carried", "replayed", "accepted", "kept")
"""Sessions of one model, alike but for what a test does with them."""

STEPS = 12


def number(step: int) -> list[float]:
    """Return the input of a step, from integers alone."""
    return [((7 * step + feature * 3) % 16 - 8) / 4 for feature in range(2)]


def fill(url: str) -> dict[str, Any]:
    """Create a model and sessions, step them, and return the outputs and the state that they all have."""
    with httpx.Client(base_url=f"{url}/v1", timeout=120) as service:

        def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = service.post(path, json=body)
            answer.raise_for_status()
            return dict(answer.json())

        post("/models", {"name": "old", "network": NETWORK, "seed": 5})
        for name in SESSIONS:
            post("/sessions", {"session": name, "model": "old", "pinned": True, "log": 100})
            outputs = [post(f"/sessions/{name}/step", {"input": number(n), "step": n})["output"] for n in range(STEPS)]
        post("/sessions/kept/snapshots", {"snapshot": "before"})
        state = service.get("/sessions/kept/state").json()
        session = service.get("/sessions/kept").json()
    return {"kernel_rev": session["kernel_rev"], "outputs": outputs, "state": state["layers"]}


def dump(url: str) -> dict[str, str]:
    """Return every key of sessions, models and weights, as Redis dumps it."""
    with redis.Redis.from_url(url) as client:
        keys = sorted(key for key in client.scan_iter(f"{PREFIX}:*") if b"{" in key or b":sessions:" in key)
        return {key.decode(): b64encode(client.dump(key)).decode() for key in keys}


def main() -> None:
    """Write the file."""
    url, redis_url, file = sys.argv[1:]
    answers = fill(url)
    Path(file).write_text(json.dumps({**answers, "keys": dump(redis_url)}, indent=1) + "\n")


if __name__ == "__main__":
    main()

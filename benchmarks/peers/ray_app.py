"""A Ray Serve server with a PyTorch model: `python -m benchmarks.peers.ray_app PORT`. Used if Ray is installed.

One replica, which keeps the states of its sessions itself. `BENCHMARK_WEIGHTS` names the weights.
"""

import os
import signal
import sys
from typing import Any

import ray
import torch
from ray import serve
from starlette.requests import Request

from benchmarks.peers.torch_redis import load_cell


class Stepper:
    """The model and its sessions."""

    def __init__(self, weights: str) -> None:
        torch.set_num_threads(1)
        self._cell = load_cell(weights)
        self._states: dict[str, Any] = {}

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Step one session."""
        body = await request.json()
        with torch.inference_mode():
            h, c = self._cell(torch.tensor([body["input"]]), self._states.get(body["session"]))
        self._states[body["session"]] = h, c
        return {"output": h[0].tolist()}


def main() -> None:
    """Serve until SIGTERM."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    deployment: Any = serve.deployment(num_replicas=1, max_ongoing_requests=64)(Stepper)
    serve.run(deployment.bind(os.environ["BENCHMARK_WEIGHTS"]), route_prefix="/step")
    signal.sigwait({signal.SIGTERM})
    ray.shutdown()


if __name__ == "__main__":
    main()

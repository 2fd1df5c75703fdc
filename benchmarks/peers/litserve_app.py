"""A LitServe server with a PyTorch model: `python -m benchmarks.peers.litserve_app PORT`.

LitServe keeps no state between requests, so the state is kept beside the model in the worker, which is faster than
Redis and lost with the process. `BENCHMARK_WEIGHTS` names the weights; `BENCHMARK_BATCH` is the largest batch.
"""

import os
import sys
from typing import Any

import litserve
import torch

from benchmarks.peers.torch_redis import load_cell


class StepApi(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not there where types are checked
    """One step of a session."""

    def setup(self, device: Any) -> None:  # noqa: ARG002  # LitServe names it
        """Load the model."""
        torch.set_num_threads(1)
        self.cell = load_cell(os.environ["BENCHMARK_WEIGHTS"])
        self.start = torch.zeros(2, self.cell.hidden_size)
        self.states: dict[str, Any] = {}

    def decode_request(self, request: dict[str, Any]) -> tuple[str, list[float]]:
        """Return the session and the input."""
        return request["session"], request["input"]

    def predict(self, x: Any) -> Any:
        """Step one session, or a batch of them."""
        steps = x if isinstance(x, list) else [x]
        before = torch.stack([self.states.get(session, self.start) for session, _ in steps], dim=1)
        with torch.inference_mode():
            h, c = self.cell(torch.tensor([features for _, features in steps]), (before[0], before[1]))
            after = torch.stack((h, c)).unbind(1)
        self.states.update((session, state) for (session, _), state in zip(steps, after, strict=True))
        return h if isinstance(x, list) else h[0]

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Return the batch as it is: `predict` divides it."""
        return inputs

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Return the answer."""
        return {"output": output.tolist()}


def main() -> None:
    """Serve until SIGTERM."""
    most = int(os.environ["BENCHMARK_BATCH"])
    batching = {"max_batch_size": most, "batch_timeout": 0.001} if most > 1 else {}
    server = litserve.LitServer(StepApi(**batching), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()

"""The runtimes that Cellar is measured against, each by every way that may be its fastest."""

from benchmarks.cases import Case
from benchmarks.runner import Runner
from benchmarks.weights import Weights


def load() -> None:
    """Load the libraries, which takes seconds."""
    from benchmarks.peers import onnx_runtime, open_vino, pytorch, pytorch_training  # noqa: F401


def peers(case: Case, weights: Weights, threads: int) -> list[Runner]:
    """Return all peers with these weights, on so many threads."""
    # Imported here, because they take seconds, and what needs no peers should not wait for them.
    from benchmarks.peers import onnx_runtime, open_vino, pytorch

    return [
        *pytorch.runners(case, weights, threads),
        *onnx_runtime.runners(case, weights, threads),
        *open_vino.runners(case, weights, threads),
    ]

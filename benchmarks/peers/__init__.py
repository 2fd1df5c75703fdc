"""The runtimes that Cellar is compared with, each called in all ways that may be its fastest."""

from benchmarks.cases import Case
from benchmarks.runner import Runner
from benchmarks.weights import Weights


def load() -> None:
    """Load the libraries, which takes seconds."""
    from benchmarks.peers import onnx_runtime, open_vino, pytorch, pytorch_training  # noqa: F401  # registers the peers


def peers(case: Case, weights: Weights, threads: int) -> list[Runner]:
    """Return all peers with these weights, on `threads` threads."""
    # Imported here, because the imports take seconds and are not always needed.
    from benchmarks.peers import onnx_runtime, open_vino, pytorch

    return [
        *pytorch.runners(case, weights, threads),
        *onnx_runtime.runners(case, weights, threads),
        *open_vino.runners(case, weights, threads),
    ]

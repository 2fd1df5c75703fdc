"""Makes the golden file of the quick combinations with PyTorch 2.13: `python -m tests.matrix.make` from the root.

Run it in `.venv-bench`. The weights to begin with are Cellar's own, by seed, and so is the order of batches.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.matrix import peer
from tests.matrix.cases import NOT_IN_PYTORCH, SEED, Case, quick
from tests.matrix.golden import FILE


def compared() -> list[Case]:
    """Return the quick combinations that are held against PyTorch."""
    return [case for case in quick() if case.expected_refusal() is None and case.kind not in NOT_IN_PYTORCH]


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    arrays = {}
    for case in compared():
        initial = Network(NetworkSpec.model_validate(case.network())).init(SEED)
        for bits, dtype in {"64": torch.float64, "32": torch.float32}.items():
            trained = peer.train(case, initial, dtype)
            assert trained.finite, case.name
            arrays[f"{case.name}.{bits}.losses"] = trained.losses
            arrays[f"{case.name}.{bits}.weights"] = np.concatenate([trained.weights[n].reshape(-1) for n in initial])
    Path(FILE).write_bytes(save(arrays))


if __name__ == "__main__":
    main()

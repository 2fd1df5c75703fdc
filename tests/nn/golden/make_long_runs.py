"""Makes long_runs.safetensors with PyTorch 2.13: `python -m tests.nn.golden.make_long_runs` from the repository's root.

Needs torch, numpy and safetensors, and nothing of Cellar. `64.` was computed in float64, the reference; `32.` in
float32, which measures how far rounding alone leads away from it. Of each run there are the weights after the updates
`KEPT`, (6, weights).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from tests.nn.golden.long_runs import KEPT, LONG_RUNS, WEIGHTS, gradients

HERE = Path(__file__).parent
DTYPES = {"64": torch.float64, "32": torch.float32}


def optimiser_of(spec: dict[str, Any], parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return PyTorch's optimiser, with its loop over parameters and no fused kernels."""
    common = {"lr": spec["learning_rate"], "weight_decay": spec.get("weight_decay", 0.0), "foreach": False}
    adaptive = common | {"eps": spec.get("epsilon")}
    betas = {"betas": (0.9, 0.999)}
    match spec["type"]:
        case "sgd":
            return torch.optim.SGD(parameters, **common)
        case "momentum" | "nesterov" as kind:
            return torch.optim.SGD(parameters, momentum=spec["momentum"], nesterov=kind == "nesterov", **common)
        case "adam":
            return torch.optim.Adam(parameters, **betas, **adaptive)
        case "adamw":
            return torch.optim.AdamW(parameters, **betas, **adaptive)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, alpha=spec["rho"], **adaptive)
        case "adagrad":
            return torch.optim.Adagrad(parameters, **adaptive)
        case "adadelta":
            return torch.optim.Adadelta(parameters, rho=spec["rho"], **adaptive)
    raise ValueError(spec["type"])


def run(spec: dict[str, Any], dtype: torch.dtype) -> np.ndarray:
    """Return the weights, which begin as zeros, after the updates `KEPT`."""
    weights = torch.zeros(WEIGHTS, dtype=dtype, requires_grad=True)
    optimiser = optimiser_of(spec, [weights])
    kept = []
    for number, gradient in enumerate(gradients(), 1):
        weights.grad = torch.tensor(gradient, dtype=dtype)
        optimiser.step()
        if number in KEPT:
            kept.append(weights.detach().numpy().copy())
    return np.stack(kept)


def main() -> None:
    """Write the file beside this one."""
    torch.set_num_threads(1)
    arrays = {f"{bits}.{name}": run(spec, dtype) for name, spec in LONG_RUNS.items() for bits, dtype in DTYPES.items()}
    (HERE / "long_runs.safetensors").write_bytes(save(arrays))


if __name__ == "__main__":
    main()

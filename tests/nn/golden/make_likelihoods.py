"""Makes `likelihoods.safetensors` with PyTorch: `python -m tests.nn.golden.make_likelihoods`, which needs torch.

As in `make`, every result is there twice: `64.` in float64, the reference, and `32.` in float32.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation gives it
from safetensors.numpy import save_file
from torch.distributions import NegativeBinomial, Normal, StudentT

from tests.nn.golden.likelihoods import LOSSES, TARGETS, data

LEVELS = (0.05, 0.3, 0.5, 0.9)


def loss_of(name: str, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss (T, B) of outputs (T, B, TARGETS, each) and targets (T, B, TARGETS)."""
    if name == "quantile":
        level = torch.tensor(LEVELS, dtype=x.dtype)
        error = target[..., None] - x
        return torch.maximum(level * error, (level - 1) * error).mean(dim=(2, 3))
    scale = F.softplus(x[..., 1]) + 0.001
    distribution: torch.distributions.Distribution
    if name == "gaussian":
        distribution = Normal(x[..., 0], scale)
    elif name == "student":
        distribution = StudentT(2 + F.softplus(x[..., 2]), x[..., 0], scale)
    else:
        distribution = NegativeBinomial(scale, logits=x[..., 0] - torch.log(scale))
    return -distribution.log_prob(target).mean(dim=2)


def main() -> None:
    """Write the file beside this one."""
    arrays = {}
    for name in LOSSES:
        outputs, targets = data(name)
        for bits, dtype in {"64": torch.float64, "32": torch.float32}.items():
            x = torch.tensor(outputs, dtype=dtype, requires_grad=True)
            losses = loss_of(name, x.unflatten(2, (TARGETS, -1)), torch.tensor(targets, dtype=dtype))
            losses.mean().backward()
            assert x.grad is not None
            arrays[f"{bits}.{name}.losses"] = losses.detach().numpy().astype(np.float64)
            arrays[f"{bits}.{name}.d_outputs"] = x.grad.numpy().astype(np.float64)
    save_file(arrays, Path(__file__).parent / "likelihoods.safetensors")


if __name__ == "__main__":
    main()

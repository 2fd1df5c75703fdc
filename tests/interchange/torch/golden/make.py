"""Write the state dicts: `.venv-bench/bin/python -m tests.interchange.torch.golden.make`. Needs torch.

Each file has the tensors of a network as PyTorch names them, `check.inputs` (T, B, F) and `check.outputs`, and in its
metadata `modules` as a request names them; no `modules` where they are found.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from tests.interchange.proofs.torch_modules import Called, Plan, draw, originals

HERE = Path(__file__).parent


def plans() -> dict[str, tuple[Plan, str | None]]:
    """Return networks by the names of their files, with what a request says of their modules."""
    inferred = Plan(3, modules={"lstm": nn.LSTM(3, 5, 2), "head": nn.Linear(5, 2)})
    sequential = Plan(4, modules={"0": nn.GRU(4, 4), "1": nn.LayerNorm(4), "2": nn.Linear(4, 1)})
    both = Plan(3, modules={"rnn": nn.GRU(3, 4, 2, bidirectional=True), "head": nn.Linear(8, 2, bias=False)})
    projected = Plan(2, modules={"lstm": nn.LSTM(2, 7, proj_size=3, bias=False)})
    text = Plan(1, ids=9, modules={"tokens": nn.Embedding(9, 4), "rnn": nn.RNN(4, 6, nonlinearity="relu")})
    cells = Plan(3, modules={"lstm": nn.LSTMCell(3, 4), "gru": nn.GRUCell(4, 5), "rnn": nn.RNNCell(5, 2)})
    return {
        "inferred": (inferred, None),
        "sequential": (sequential, None),
        "both_ends": (both, "rnn,head:linear"),
        "projected": (projected, None),
        "text": (text, "tokens:embedding,rnn:relu"),
        "cells": (cells, "lstm,gru,rnn:tanh"),
        "recurrent_ppo": (_recurrent_ppo(), "lstm_actor,mlp_extractor.policy_net.0,tanh,action_net"),
        "rsl_rl": (_rsl_rl(), "memory_a.rnn,actor.0,elu,actor.2"),
        **{f"random_{seed}": _random(seed) for seed in range(4)},
    }


def _recurrent_ppo() -> Plan:
    """Return the actor of a policy of Stable-Baselines3's RecurrentPPO."""
    modules = {"lstm_actor": nn.LSTM(3, 6), "mlp_extractor.policy_net.0": nn.Linear(6, 5)}
    return Plan(3, modules={**modules, "tanh": nn.Tanh(), "action_net": nn.Linear(5, 2)})


def _rsl_rl() -> Plan:
    """Return the actor of a recurrent policy of rsl_rl."""
    modules = {"memory_a.rnn": nn.GRU(3, 6), "actor.0": nn.Linear(6, 5)}
    return Plan(3, modules={**modules, "elu": nn.ELU(), "actor.2": nn.Linear(5, 2)})


def _random(seed: int) -> tuple[Plan, str]:
    plan = draw(np.random.default_rng(seed))
    return plan, ",".join(plan.items)


def main() -> None:
    """Write all files."""
    torch.manual_seed(0)
    for name, (plan, modules) in plans().items():
        module = Called({each.replace(".", "_"): value for each, value in plan.modules.items()}).eval()
        inputs, outputs, _ = originals(plan, module, np.random.default_rng(1))
        tensors: dict[str, Any] = {
            f"{prefix}.{array}": value.numpy()
            for prefix, each in plan.modules.items()
            for array, value in each.state_dict().items()
        }
        about = {} if modules is None else {"modules": modules}
        save_file(tensors | {"check.inputs": inputs, "check.outputs": outputs}, HERE / f"{name}.safetensors", about)


if __name__ == "__main__":
    main()

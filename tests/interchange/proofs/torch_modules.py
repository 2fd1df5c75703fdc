"""Random modules of PyTorch, imported both ways and compared with the original. Needs torch (`.venv-bench`).

Each network is read as a module (`import_torch`) and as a safetensors file of its state dict with the modules named;
both must be the same network with the same weights. Outputs and final states on random input are compared, and the
state dict that goes out again must give the same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from safetensors.torch import save as save_torch
from torch import nn

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.safetensors import names_of_torch
from cellar.interchange.torch import import_torch, read_torch
from cellar.interchange.torch.activations import FUNCTIONS
from cellar.interchange.torch.state_dict import state_dict
from cellar.nn.model.network import Network
from cellar.wire.arrays.tensor_file import BytesSource, TensorFile
from tests.interchange.proofs.outcome import Array, Outcome, difference, run

Random = np.random.Generator

STEPS, ROWS = 9, 3

SETTINGS = ("", "alpha=0.7", "negative_slope=0.2", "beta=2.0", "min_val=-0.5:max_val=2.0")
"""Of functions; one that a function does not have is left out."""


@dataclass
class Plan:
    """A network: modules by name in the order of their calls, and what a request has to say of each."""

    in_size: int
    ids: int = 0
    """How many ids it reads; 0 if it reads numbers."""
    modules: dict[str, Any] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)

    def add(self, name: str, module: Any, item: str | None = None) -> None:
        """Append a module; `item` is how a request names it, by default its name."""
        self.modules[name] = module
        self.items.append(name if item is None else item)


class Called(nn.Module):  # type: ignore[misc]  # torch ships no types here
    """Calls its modules one after the other, as the `forward` of a user's class does."""

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Any) -> tuple[Any, list[Any]]:
        """Return outputs (T, B, F), and the final states of recurrent modules by layer, of an LSTM c before h."""
        states = []
        for module in self.children():
            x = x.squeeze(-1).long() if isinstance(module, nn.Embedding) else x
            if isinstance(module, nn.RNNBase):
                x, state = self._over_time(module, x)
                states += _states(module, state)
            elif isinstance(module, nn.RNNCellBase):
                x, state = _stepped(module, x)
                states += [state[1], state[0]] if isinstance(module, nn.LSTMCell) else [state]
            else:
                x = module(x)
        return x, states

    @staticmethod
    def _over_time(module: Any, x: Any) -> tuple[Any, Any]:
        if not module.batch_first:
            return module(x)  # type: ignore[no-any-return]  # the library is not typed
        outputs, state = module(x.transpose(0, 1))
        return outputs.transpose(0, 1), state


def _states(module: Any, state: Any) -> list[Any]:
    """Return the states of each layer of a recurrent module; none of one that reads both ways."""
    if module.bidirectional:
        return []
    if isinstance(module, nn.LSTM):
        return [part[layer] for layer in range(module.num_layers) for part in (state[1], state[0])]
    return [state[layer] for layer in range(module.num_layers)]


def _stepped(cell: Any, x: Any) -> tuple[Any, Any]:
    """Call a cell step by step."""
    state, outputs = None, []
    for step in x:
        state = cell(step, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outputs), state


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Compare random modules."""
    outcome = Outcome()
    torch.set_num_threads(1)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        torch.manual_seed(seed * 1_000_003 + index)
        plan = draw(rng)
        name = f"{index} {', '.join(plan.items)}"
        try:
            outcome.add(name, compare(plan, rng, cache))
        except ImportRefused as error:
            outcome.refuse(error.detail)
            outcome.wrong.append(f"{name}: refused: {error.detail}")
    return outcome


def compare(plan: Plan, rng: Random, cache: KernelCache) -> float:
    """Return the largest difference between a module and its import; infinite where both ways in or out differ."""
    module = Called(plan.modules).eval()
    if rng.random() < 0.2:
        module = module.bfloat16().float()
    found = import_torch(module, plan.items if any(":" in item for item in plan.items) else list(plan.modules))
    tensors = {name: value.numpy() for name, value in module.state_dict().items()}
    by_file = read_torch(TensorFile(BytesSource(save(tensors))), plan.items)
    if not same(found, by_file) or not comes_back(found, tensors) or not same(found, rewritten(plan, module, rng)):
        return float("inf")
    inputs, outputs, states = originals(plan, module, rng)
    answered = run(found, inputs, cache)
    found_states = [answered.states[place] for place in sorted(answered.states)]
    ended = np.concatenate([np.zeros((ROWS, 0), np.float32), *found_states], axis=1)
    return max(difference(answered.outputs, outputs), difference(ended, states))


def rewritten(plan: Plan, module: Called, rng: Random) -> ImportedNetwork:
    """Return the import of the same tensors as another file has them: of another type, and wrapped by a module."""
    prefix = str(rng.choice(["module.", "_orig_mod.", "module._orig_mod."]))
    exact = all(torch.equal(each.bfloat16().float(), each) for each in module.state_dict().values())
    kind = torch.bfloat16 if exact else torch.float64
    tensors = {prefix + name: each.to(kind).contiguous() for name, each in module.state_dict().items()}
    return read_torch(TensorFile(BytesSource(save_torch(tensors))), plan.items)


def originals(plan: Plan, module: Called, rng: Random) -> tuple[Array, Array, Array]:
    """Return random inputs, and the outputs and states side by side that PyTorch computes for them."""
    if plan.ids:
        inputs = rng.integers(0, plan.ids, (STEPS, ROWS, 1)).astype(np.float32)
    else:
        inputs = rng.normal(size=(STEPS, ROWS, plan.in_size)).astype(np.float32)
    with torch.no_grad():
        outputs, states = module(torch.tensor(inputs))
    stateless = any(getattr(each, "bidirectional", False) for each in plan.modules.values())
    parts = [] if stateless else [state.numpy() for state in states]
    return inputs, outputs.numpy(), np.concatenate([np.zeros((ROWS, 0), np.float32), *parts], axis=1)


def same(one: ImportedNetwork, other: ImportedNetwork) -> bool:
    """Return whether two imports are the same network with the same bits; dropout, which has no tensors, apart."""
    if Network(one.spec).digest != Network(other.spec).digest:
        return False
    return bytes(one.stored()) == bytes(other.stored())


def comes_back(found: ImportedNetwork, tensors: dict[str, Array]) -> bool:
    """Return whether the state dict that goes out has the names that came, and gives the same weights again."""
    network = Network(found.spec)
    out = state_dict(network, names_of_torch(network, found.origin), found.weights)
    if {name: array.shape for name, array in out.items()} != {name: array.shape for name, array in tensors.items()}:
        return False
    modules = names_of_torch(network, found.origin)
    again = read_again(network, modules, out)
    return bytes(again.stored()) == bytes(found.stored())


def read_again(network: Network, modules: Sequence[Any], tensors: dict[str, Array]) -> ImportedNetwork:
    """Return the network of a state dict that went out."""
    from cellar.interchange.torch.reader import assemble

    return assemble(modules, tensors, tensors.__getitem__, network=network)


# --- architectures --------------------------------------------------------------------------------------------------


def draw(rng: Random) -> Plan:
    """Return a random architecture."""
    width = int(rng.integers(1, 9))
    plan = Plan(width, ids=int(rng.integers(2, 12)) if rng.random() < 0.15 else 0)
    if plan.ids:
        plan.add("tokens", nn.Embedding(plan.ids, width), "tokens:embedding")
    elif rng.random() < 0.3:
        width = add_linear(plan, rng, width, "encoder")
    for number in range(int(rng.integers(1, 4))):
        if rng.random() < 0.2:
            add_norm(plan, rng, width, f"norm{number}")
        width = add_recurrent(plan, rng, width, f"rnn{number}")
        if rng.random() < 0.3:
            add_function(plan, rng, f"function{number}")
    for number in range(int(rng.integers(0, 3))):
        width = add_linear(plan, rng, width, f"head{number}")
    return plan


def add_recurrent(plan: Plan, rng: Random, width: int, name: str) -> int:
    """Append a recurrent module, or one of the cells, and return how many numbers it answers."""
    size, bias = int(rng.integers(1, 20)), bool(rng.random() < 0.8)
    kind = str(rng.choice(["RNN", "LSTM", "LSTM", "GRU"]))
    nonlinearity = str(rng.choice(["tanh", "relu"]))
    item = f"{name}:{nonlinearity}" if kind == "RNN" else name
    more: dict[str, Any] = {"nonlinearity": nonlinearity} if kind == "RNN" else {}
    if rng.random() < 0.2:
        plan.add(name, getattr(nn, f"{kind}Cell")(width, size, bias=bias, **more), item)
        return size
    if kind == "LSTM" and size > 1 and rng.random() < 0.3:
        more["proj_size"] = int(rng.integers(1, size))
    both = bool(rng.random() < 0.3)
    layers = int(rng.integers(1, 4))
    module = getattr(nn, kind)(
        *(width, size),
        num_layers=layers,
        bias=bias,
        bidirectional=both,
        batch_first=bool(rng.integers(2)),
        **more,
    )
    plan.add(name, module, item)
    return (more.get("proj_size") or size) * (1 + both)


def add_linear(plan: Plan, rng: Random, width: int, name: str) -> int:
    """Append a Linear module, and often a function."""
    size, bias = int(rng.integers(1, 12)), bool(rng.random() < 0.85)
    plan.add(name, nn.Linear(width, size, bias=bias), name if bias else f"{name}:linear")
    if rng.random() < 0.6:
        add_function(plan, rng, f"{name}_function")
    return size


def add_norm(plan: Plan, rng: Random, width: int, name: str) -> None:
    """Append a LayerNorm with weights that are not those it begins with."""
    epsilon = float(rng.choice([1e-5, 1e-5, 1e-3]))
    norm = nn.LayerNorm(width, eps=epsilon, bias=bool(rng.random() < 0.8))
    nn.init.normal_(norm.weight)
    plan.add(name, norm, name if epsilon == 1e-5 else f"{name}:eps={epsilon}")


def add_function(plan: Plan, rng: Random, name: str) -> None:
    """Append one of the functions, with settings where it has some."""
    kind = str(rng.choice([kind for kind in FUNCTIONS if kind not in ("LayerNormPlain", "Identity")]))
    given = dict(pair.split("=") for pair in ":".join(SETTINGS[1:]).split(":"))
    chosen = {key: float(given[key]) for key in FUNCTIONS[kind].numbers if rng.random() < 0.5}
    words = "".join(f":{key}={value}" for key, value in chosen.items())
    plan.add(name, make_function(kind, chosen), f"{kind.lower()}{words}")


def make_function(kind: str, settings: dict[str, float]) -> Any:
    """Return a module of torch.nn without parameters."""
    if kind == "GELUTanh":
        return nn.GELU(approximate="tanh")
    if kind in ("Softmax", "LogSoftmax"):
        return getattr(nn, kind)(dim=-1)
    return getattr(nn, kind)(**settings)

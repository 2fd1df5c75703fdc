"""Runs Cellar's engine with the calls that the service makes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.cases import CELLS, Case
from benchmarks.weights import SUFFIXES, Array, Weights
from cellar.engine import KernelCache
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.settings import Settings

CUSTOM_LSTM = """
keep = sigmoid(U_keep @ x + V_keep @ y + b_keep)
take = sigmoid(U_take @ x + V_take @ y + b_take)
show = sigmoid(U_show @ x + V_show @ y + b_show)
new = tanh(U_new @ x + V_new @ y + b_new)
memory = keep * memory + take * new
y = show * tanh(memory)
"""

_CUSTOM_NAMES = {"h": "y", "c": "memory"} | {
    f"{prefix}_{gate}": f"{other}_{word}"
    for prefix, other in (("Wi", "U"), ("Wh", "V"), ("b", "b"))
    for gate, word in (("i", "take"), ("f", "keep"), ("g", "new"), ("o", "show"))
}


def kernel_cache() -> KernelCache:
    """Return the kernel cache of the user, so that a second run compiles nothing."""
    return KernelCache(Settings.load().cache_dir)


def network_spec(case: Case, *, custom: bool = False) -> NetworkSpec:
    """Return the network of a case; with `custom`, its LSTM is written as custom equations."""
    cell: str | dict[str, str] = {"equations": CUSTOM_LSTM} if custom else case.cell
    layers: list[dict[str, Any]] = [
        {"type": "recurrent", "cell": cell, "hidden_size": case.hidden} for _ in range(case.layers)
    ]
    if case.head:
        layers.append({"type": "dense", "out_size": 1})
    return NetworkSpec.model_validate({"in_size": case.in_size, "layers": layers})


def named(case: Case, weights: Weights) -> dict[str, Array]:
    """Return the weights by Cellar's names."""
    found: dict[str, Array] = {}
    for index, layer in enumerate(weights.layers):
        for gate, suffix in enumerate(SUFFIXES[case.cell]):
            found |= {f"{index}.Wi_{suffix}": layer.wi[gate], f"{index}.Wh_{suffix}": layer.wh[gate]}
            if case.cell == "lstm":
                found[f"{index}.b_{suffix}"] = layer.bi[gate]
            else:
                found |= {f"{index}.b_i{suffix}": layer.bi[gate], f"{index}.b_h{suffix}": layer.bh[gate]}
    if weights.head is not None:
        found |= {f"{case.layers}.W": weights.head[0], f"{case.layers}.b": weights.head[1]}
    return found


class Ours:
    """A network with weights, called with several threads if there are enough rows."""

    def __init__(self, name: str, bound: BoundNetwork, threads: int = 1) -> None:
        self.name = name
        self._bound = bound
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads)
        order = {"h": 0, "y": 0, "c": 1, "memory": 1}
        self._places = [(p.layer, order[p.name], slice(p.offset, p.offset + p.size)) for p in bound.network.states]

    def begin(self, states: Array) -> Array:
        """Return the states as one row (S,) for each of B."""
        flat = np.empty((states.shape[2], self._bound.network.state_size), np.float32)
        for layer, which, columns in self._places:
            flat[:, columns] = states[layer, which]
        return flat

    def states(self, state: Array) -> Array:
        """Return the states by layer and name."""
        layers = self._places[-1][0] + 1
        first = self._places[0][2]
        found = np.empty((layers, len(self._places) // layers, len(state), first.stop - first.start), np.float32)
        for layer, which, columns in self._places:
            found[layer, which] = state[:, columns]
        return found

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Run once, as the service does."""
        run = self._bound.run(inputs, state)
        return run.outputs, run.state


class OneStep(Ours):
    """A single step as in the service: the states before and after it are the bytes of a record for each session."""

    def begin(self, states: Array) -> Any:
        """Return a record for each row."""
        return tuple(row.tobytes() for row in super().begin(states))

    def states(self, state: Any) -> Array:
        """Return the states by layer and name."""
        return super().states(np.frombuffer(b"".join(state), np.float32).reshape(len(state), -1))

    def step(self, inputs: Array, state: Any) -> tuple[Array, Any]:
        """Run once, and return the record of the one row."""
        run = self._bound.run(inputs, state)
        return run.outputs, (run.state.tobytes(),)


class InParts(Ours):
    """A network whose rows are divided among threads."""

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Run once, with all parts at the same time."""
        result = self._bound.program.run_parts(inputs, state, self._executor, self._threads)
        return result.outputs, result.state


SPLIT_FLOPS = 50_000_000
"""Work from which on threads are used: half a millisecond, because passing it to a thread takes up to 0.1 ms."""


def bind(case: Case, weights: Weights, cache: KernelCache) -> BoundNetwork:
    """Return the network of a case with the built-in cell."""
    return CompiledNetwork(Network(network_spec(case)), cache).bind(named(case, weights))


def cellar(case: Case, weights: Weights, cache: KernelCache, threads: int = 1) -> Ours:
    """Return the runner of a case: on one thread, or on several if there is enough work."""
    if case.single_step:
        return OneStep("cellar", bind(case, weights, cache))
    kind = InParts if min(threads, case.rows) > 1 and case.flops >= SPLIT_FLOPS else Ours
    return kind("cellar", bind(case, weights, cache), threads)


def cellar_bfloat16(case: Case, weights: Weights, cache: KernelCache) -> Ours:
    """Return the runner of a case with bfloat16 matrices, whose outputs differ because the weights are rounded."""
    spec = network_spec(case).model_copy(update={"weight_storage": "bfloat16"})
    kind = OneStep if case.single_step else Ours
    return kind("bf16", CompiledNetwork(Network(spec), cache).bind(named(case, weights)))


def cellar_custom(case: Case, weights: Weights, cache: KernelCache) -> Ours:
    """Return the runner of a case with an LSTM that is written as custom equations."""
    renamed = {
        f"{layer}.{_CUSTOM_NAMES.get(name, name)}": array
        for (layer, name), array in ((key.split(".", 1), array) for key, array in named(case, weights).items())
    }
    kind = OneStep if case.single_step else Ours
    return kind("custom", CompiledNetwork(Network(network_spec(case, custom=True)), cache).bind(renamed))


def warm(cache: KernelCache) -> None:
    """Compile the kernels of all cases, and those that all networks call."""
    layers: list[dict[str, Any]] = [{"type": "recurrent", "cell": cell, "hidden_size": 8} for cell in CELLS]
    layers.append({"type": "dense", "out_size": 1})
    network = Network(NetworkSpec.model_validate({"in_size": 8, "layers": layers}))
    with ThreadPoolExecutor(1) as beside:
        beside.submit(cache.products)
        bound = CompiledNetwork(network, cache).bind(network.init(0))
    bound.run(np.zeros((1, 1, 8), np.float32), bound.initial_state(1))

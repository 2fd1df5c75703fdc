"""What a proof finds: how many cases agree, which do not, and which are refused for what reason."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.interchange.imported import ImportedNetwork
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network

Array = NDArray[Any]

TOLERANCE = 1e-5
"""Of outputs and states, and of numbers beyond 1 relative to them."""


@dataclass
class Outcome:
    """Counts, and the cases that are wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    """By the reason, without what differs from case to case."""
    largest: float = 0.0

    def add(self, name: str, difference: float) -> None:
        """Count a case whose results differ by so much."""
        self.largest = max(self.largest, difference)
        if difference <= TOLERANCE:
            self.counts["agree"] += 1
        else:
            self.counts["wrong"] += 1
            self.wrong.append(f"{name}: {difference:.3g}")

    def refuse(self, reason: str) -> None:
        """Count a case that is refused."""
        self.counts["refused"] += 1
        self.refused[reason] += 1


@dataclass(frozen=True)
class Ran:
    """What Cellar answered: outputs (T, B, O), and states by (number of the layer, name)."""

    outputs: Array
    states: Mapping[tuple[int, str], Array]


def run(
    imported: ImportedNetwork,
    inputs: Array,
    cache: KernelCache,
    lengths: Array | None = None,
    state: Array | None = None,
) -> Ran:
    """Run a network from its beginning over inputs (T, B, F)."""
    network = Network(imported.spec)
    bound = CompiledNetwork(network, cache).bind(imported.weights)
    begin = bound.initial_state(inputs.shape[1]) if state is None else state
    found = bound.run(np.ascontiguousarray(inputs, np.float32), begin, lengths)
    states = {
        (place.layer, place.name): found.state[:, place.offset : place.offset + place.size] for place in network.states
    }
    return Ran(found.outputs, states)


def difference(found: Array, expected: Array) -> float:
    """Return the largest difference; of numbers beyond 1 relative to them."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    if not found.size:
        return 0.0
    wide = np.asarray(expected, np.float64)
    return float((np.abs(found - wide) / np.maximum(1, np.abs(wide))).max())

"""The protocol of a runner: a network in one runtime, called with NumPy arrays, which carries its state."""

from typing import Any, Protocol

from benchmarks.weights import Array


class Runner(Protocol):
    """A network in one runtime, called in one of the ways that the runtime offers."""

    @property
    def name(self) -> str:
        """Return the name of the runtime and of the way, for example "pytorch cell"."""

    def begin(self, states: Array) -> Any:
        """Return states (layers, 1 or 2, B, hidden) in the form in which this runner carries them."""

    def step(self, inputs: Array, state: Any) -> tuple[Array, Any]:
        """Return outputs (T, B, out) and the state after them, both new; the state is what `begin` returns."""

    def states(self, state: Any) -> Array:
        """Return the states (layers, 1 or 2, B, hidden) of a carried state."""

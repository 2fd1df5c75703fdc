"""What is measured of a runtime: NumPy arrays in, new NumPy arrays out, the state carried from call to call."""

from typing import Any, Protocol

from benchmarks.weights import Array


class Runner(Protocol):
    """A network in one runtime, by one of the ways that it offers."""

    @property
    def name(self) -> str:
        """Return the runtime, and the way: "pytorch cell"."""

    def begin(self, states: Array) -> Any:
        """Return states (layers, 1 or 2, B, hidden) as this runner carries them."""

    def step(self, inputs: Array, state: Any) -> tuple[Array, Any]:
        """Return outputs (T, B, out) and the state after them, both new; the state is what `begin` returns."""

    def states(self, state: Any) -> Array:
        """Return what `begin` was given, of a state that is carried."""

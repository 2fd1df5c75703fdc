"""A cell that cannot forget, written as a user would write it, and its history in Python's integers.

A contractive cell hides a lost or doubled step after some hundred steps. Here every input maps the states one to one,
so each history ends in a state of its own, and no later step hides what an earlier one did:

    n' = n + 1                a' = (2 a + x + 1) mod P

P is a prime of which 2 is a primitive root, so two steps that change places make another `a` unless a multiple of P - 1
steps lies between them. Whole numbers below 2^24 are exact in float32, and the language needs no `mod` for them:
2 a + x + 1 is below 3 P, so P is taken off for each of P and 2 P that it reaches.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

P = 8388091
LARGEST = 2**24 - 2 * P
"""The largest input with which 2 a + x + 1 stays within 2^24."""

EQUATIONS = f"""
n = n + 1
v = 2 * a + x + 1
a = v - {P} * (min(1, relu(v - {P - 1})) + min(1, relu(v - {2 * P - 1})))
"""

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": {"equations": EQUATIONS}, "hidden_size": 1}],
}


class State(NamedTuple):
    """The state of the cell; `a` is its output."""

    n: int = 0
    a: int = 0

    def after(self, x: int) -> "State":
        """Return the state after a step."""
        return State(self.n + 1, (2 * self.a + x + 1) % P)


def replay(inputs: Iterable[int]) -> Iterator[State]:
    """Yield the state after each step from the initial state."""
    state = State()
    for x in inputs:
        state = state.after(x)
        yield state

"""Describes the layout of a network's state as a line of text, which is equal for networks with the same states.

A state of one version can be used by another one if their layouts are equal: the same layers, names and sizes.
"""

from cellar.sessions.values.model_protocol import Sizes


def layout_of(sizes: Sizes) -> str:
    """Return the layout of a network's state: `layer.name:size` for each, in order; "" if it has none."""
    return ",".join(f"{place.layer}.{place.name}:{place.size}" for place in sizes.states)


def difference(mine: Sizes, its: Sizes) -> tuple[str, str, str] | None:
    """Return how another network differs so that it cannot take over the state of a session, None if it can.

    It is the name of the part that differs, then the part of each network. A session that follows an alias keeps its
    state only if its steps have the same inputs, states and outputs on the new version.
    """
    for part, one, other in (
        ("inputs", mine.in_size, its.in_size),
        ("outputs", mine.out_size, its.out_size),
        ("kind of sequences", mine.whole_sequences, its.whole_sequences),
        ("states", layout_of(mine), layout_of(its)),
    ):
        if one != other:
            return part, str(one), str(other)
    return None

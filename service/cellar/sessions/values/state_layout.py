"""Describes the layout of a network's state as a line of text, which is equal for networks with the same states.

A state of one version can be used by another one if their layouts are equal: the same layers, names and sizes.
"""

from cellar.sessions.values.model_protocol import Sizes


def layout_of(sizes: Sizes) -> str:
    """Return the layout of a network's state: `layer.name:size` for each, in order; "" if it has none."""
    return ",".join(f"{place.layer}.{place.name}:{place.size}" for place in sizes.states)

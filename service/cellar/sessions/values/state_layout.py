"""Layouts: where the states of a network stand in a row, as a line of text that says whether two networks agree.

A state of one version may be carried to another if their layouts are the same: the same layers, names and sizes.
"""

from cellar.sessions.values.model_protocol import Sizes


def layout_of(sizes: Sizes) -> str:
    """Return the layout of a network's state: `layer.name:size` for each, in order; "" if it has none."""
    return ",".join(f"{place.layer}.{place.name}:{place.size}" for place in sizes.states)

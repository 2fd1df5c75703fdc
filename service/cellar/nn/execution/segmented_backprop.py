"""Backpropagation through long windows in bounded memory: what it needs is kept of one segment at a time.

::

    forward   |---->|---->|---->|    keeps the state before each segment, and the outputs
    back                  |---->|    the last segment again, with all its values kept,
                          |<----|    and back over it, which lets go of them
                    |---->|
                    |<----|          and so on, to the first

Nothing but the sums over all steps can tell: outputs, states and the gradients of the states have the same bits however
a window is cut. So has the gradient of a matrix, which is continued from segment to segment, unless equations read the
matrix twice: then some steps of one product are added before some of the other. Gradients of vectors and scalars are
added up for each segment, and those sums to each other from the last segment to the first; in another cut they round
otherwise. The same cut gives the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Run
from cellar.nn.execution.dropout import Masks
from cellar.nn.execution.executable import BoundNetwork, Gradients

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]

Draw = Callable[[slice], Masks]
"""Return the masks of dropout for some steps of a window, each time the same."""


@dataclass(frozen=True, slots=True)
class Segments:
    """What `backward` needs of a run in segments: all that it takes to run each of them again."""

    inputs: Array
    lengths: Lengths | None
    masks: Draw
    cuts: tuple[slice, ...]
    states: tuple[Array, ...]
    """(B, state_size) before each segment."""


def cut(total: int, steps: int | None) -> tuple[slice, ...]:
    """Return segments of `steps` steps that make up `total`, the last one of what is left; one of all if None."""
    length = max(1, total) if steps is None else steps
    return tuple(slice(begin, min(begin + length, total)) for begin in range(0, max(1, total), length))


def lengths_in(segment: slice, lengths: Lengths | None) -> Lengths | None:
    """Return how many steps of a segment each row has, None if all have all."""
    return None if lengths is None else np.clip(lengths - segment.start, 0, segment.stop - segment.start)


def run(
    network: BoundNetwork, inputs: Array, state: Array, lengths: Lengths | None, masks: Draw, steps: int | None
) -> Run:
    """Step through a window, ready for `backward`, which will keep the values of `steps` steps at once; None: of all.

    Else as `BoundNetwork.run` with `save`. A network that reads whole sequences cannot be cut.
    """
    cuts = cut(len(inputs), steps)
    if len(cuts) == 1:
        return network.run(inputs, state, lengths, save=True, masks=masks(cuts[0]))
    outputs = np.empty((*inputs.shape[:2], network.network.out_size), np.float32)
    faults = np.full((2, inputs.shape[1]), -1, np.int32)
    states: list[Array] = []
    for segment in cuts:
        states.append(state)
        part = network.run(inputs[segment], state, lengths_in(segment, lengths), masks=masks(segment))
        outputs[segment] = part.outputs
        _note(faults, part, segment.start)
        state = part.state
    saved = Segments(inputs, lengths, masks, cuts, tuple(states))
    if (faults < 0).all():
        return Run(outputs, state, saved=saved)
    return Run(outputs, state, faults[0], faults[1], saved)


def backward(network: BoundNetwork, run: Run, d_outputs: Array) -> Gradients:
    """Return the gradients of weights and of the state that a run of this module began with.

    `d_outputs` (T, B, out_size) are those of its outputs. Those of the inputs are not computed.
    """
    saved = run.saved
    if not isinstance(saved, Segments):
        return network.backward(run, d_outputs, want_inputs=False)
    later: Gradients | None = None
    for segment, state in zip(reversed(saved.cuts), reversed(saved.states), strict=True):
        later = _back_over(network, saved, segment, state, d_outputs[segment], later)
    assert later is not None
    return later


def _back_over(
    network: BoundNetwork, saved: Segments, segment: slice, state: Array, d_outputs: Array, later: Gradients | None
) -> Gradients:
    """Return the gradients of a segment, added to those of later ones.

    A function of its own: the values of a segment must be gone before those of the next one are computed.
    """
    lengths, masks = lengths_in(segment, saved.lengths), saved.masks(segment)
    again = network.run(saved.inputs[segment], state, lengths, save=True, masks=masks)
    if later is None:
        return network.backward(again, d_outputs, want_inputs=False)
    return network.backward(again, d_outputs, later.state, want_inputs=False, into=later.weights)


def _note(faults: Lengths, part: Run, begin: int) -> None:
    """Note in (2, B) first step and kind of the faults of rows that had none before."""
    if part.bad_step is None or part.bad_kind is None:
        return
    new = (faults[0] < 0) & (part.bad_step >= 0)
    faults[0, new], faults[1, new] = part.bad_step[new] + begin, part.bad_kind[new]

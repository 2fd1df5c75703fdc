"""States as they stand in bodies: JSON or safetensors, read into arrays by layer and name."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from anyio.to_thread import run_sync
from fastapi import Depends, Query
from numpy.typing import NDArray
from starlette.requests import Request

from cellar.api.body import media_type, read_json, validated
from cellar.api.schemas.sessions import POSITION, LayerRequest, StateRequest
from cellar.errors import InvalidInput
from cellar.ports import Identity
from cellar.runtime import answers
from cellar.runtime.positions import parse_position
from cellar.wire import tensors
from cellar.wire.document import pointer_of
from cellar.wire.numbers import parse_array

Parts = dict[tuple[int, str], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class StateBody:
    """States to write, and where the session must be."""

    parts: Parts
    position: str | None
    pointer: str
    """Of the states in the body; "" where the body is no JSON."""

    def identity(self, key: str | None) -> Identity:
        """Return how the request is recognised; `key` is its Idempotency-Key. Raise InvalidInput."""
        return Identity(position=None if self.position is None else parse_position(self.position), key=key)


async def read_states(
    request: Request,
    position: Annotated[
        str | None, Query(max_length=80, description=f"For bodies that are no JSON. {POSITION}")
    ] = None,
) -> StateBody:
    """Return the states of a body, by its Content-Type.

    Raise what `read_json` and the readers of `wire` raise.
    """
    if media_type(request) == tensors.MEDIA_TYPE:
        return StateBody(await run_sync(tensors.load, await request.body()), position, "")
    body = validated(StateRequest, await read_json(request))
    return StateBody(
        await run_sync(_parts, body.layers), position if body.position is None else body.position, "/layers"
    )


Written = Annotated[StateBody, Depends(read_states)]


def layers_of(state: answers.StateAnswer) -> dict[int, dict[str, Any]]:
    """Return the states as nested lists, by layer and then by name."""
    layers: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for part in state.parts:
        layers[part.layer][part.name] = part.values.tolist()
    return layers


def tensors_of(session: str, state: answers.StateAnswer) -> bytes:
    """Return the states as a safetensors file that says whose they are."""
    about = {"session": session, "model": state.model, "position": str(state.position)}
    return tensors.dump({(part.layer, part.name): part.values for part in state.parts}, about)


def _parts(layers: list[LayerRequest]) -> Parts:
    parts: Parts = {}
    for index, layer in enumerate(layers):
        for name, rows in layer.states.items():
            pointer = f"/layers/{index}" + pointer_of([name])
            if (layer.layer, name) in parts:
                raise InvalidInput(f"a second state {name!r} of layer {layer.layer}", pointer=pointer)
            parts[layer.layer, name] = parse_array(rows, pointer=pointer, ndim=2)
    return parts

"""Decodes states from bodies and encodes them for answers, as JSON, safetensors or npy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.requests import Request

from cellar.api.http.body import JSON, body_type, decode_in_thread, read_model
from cellar.api.http.query_and_headers import read_query, refuse_query
from cellar.api.schemas.session.sessions import LayerRequest, Placed, StateQuery, StateRequest, StatesQuery
from cellar.errors import InvalidInput, InvalidParameter
from cellar.sessions.values.results import StateAnswer, StatePart
from cellar.wire.arrays import npy, tensors
from cellar.wire.json.document import pointer_of
from cellar.wire.json.encoding import DOUBLE, PART_NUMBERS, dump_json
from cellar.wire.numbers.numbers import parse_array

Floats = NDArray[np.float32]
Parts = dict[tuple[int, str], Floats]

TYPES = (JSON, tensors.MEDIA_TYPE, npy.MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class StateBody:
    """States to write: by layer and name, or all of them as columns of one array."""

    states: Parts | Floats
    placed: Placed
    """The position that the session must have."""
    pointer: str
    """JSON pointer to the states in the body; "" if it is not JSON."""


async def read_whole(request: Request) -> StateBody:
    """Return the whole state of a body, by its Content-Type; an npy file has all columns.

    Raise the errors of `body_type`, `read_query` and the readers of `wire`.
    """
    kind = body_type(request.headers.get("content-type", ""), *TYPES)
    if kind != npy.MEDIA_TYPE:
        return await _read_named(request, kind)
    query, body = read_query(StateQuery, request), await request.body()
    return StateBody(await decode_in_thread(len(body), _columns, body), query, "")


async def read_some(request: Request) -> StateBody:
    """Return some states of a body; an npy file has one, which the query names. Raise as `read_whole`."""
    kind = body_type(request.headers.get("content-type", ""), *TYPES)
    if kind != npy.MEDIA_TYPE:
        return await _read_named(request, kind)
    query = read_query(StatesQuery, request)
    for missing in (name for name in ("layer", "name") if getattr(query, name) is None):
        raise InvalidParameter(
            f"query parameter {missing}: an npy file is one state, which must be named",
            location="query",
            parameter=missing,
            expected="a value",
            actual="nothing",
        )
    body = await request.body()
    assert query.layer is not None
    assert query.name is not None
    return StateBody({(query.layer, query.name): await decode_in_thread(len(body), _columns, body)}, query, "")


async def _read_named(request: Request, kind: str) -> StateBody:
    body = await request.body()
    if kind == tensors.MEDIA_TYPE:
        query = read_query(StateQuery, request)
        return StateBody(await decode_in_thread(len(body), tensors.load, body), query, "")
    refuse_query(request)
    asked = await read_model(StateRequest, body)
    return StateBody(await decode_in_thread(len(body), parts_of_layers, asked.layers), asked, "/layers")


def chosen(state: StateAnswer, layer: int | None, name: str | None) -> list[StatePart]:
    """Return the states of a layer, of a name, or of both. Raise InvalidParameter if there is none."""
    found = [part for part in state.parts if layer in (None, part.layer) and name in (None, part.name)]
    if not found and (layer, name) != (None, None):
        parameter = "name" if any(layer in (None, part.layer) for part in state.parts) else "layer"
        raise InvalidParameter(
            "the model has no such state",
            location="query",
            parameter=parameter,
            actual=str({"layer": layer, "name": name}[parameter]),
        )
    return found


def state_json(session: str, state: StateAnswer, parts: list[StatePart]) -> bytes:
    """Return states as JSON, by layer and then by name."""
    is_long = sum([part.values.size for part in parts]) > PART_NUMBERS
    layers: dict[int, dict[str, Any]] = {}
    for part in parts:
        values = part.values if is_long else part.values.astype(DOUBLE, order="C")
        layers.setdefault(part.layer, {"layer": part.layer, "cell": part.cell})[part.name] = values
    position = state.position
    about = {"session": session, "position": str(position), "step": position.step}
    document = {**about, "layers": [*layers.values()]}
    return dump_json(document) if is_long else orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def tensors_of(session: str, state: StateAnswer, parts: list[StatePart]) -> bytes:
    """Return states as a safetensors file with the session and the position in its metadata."""
    about = {"session": session, "model": state.model, "position": str(state.position)}
    return tensors.dump({(part.layer, part.name): part.values for part in parts}, about)


def columns_of(state: StateAnswer, parts: list[StatePart]) -> bytes:
    """Return states side by side, in their order, as an npy file (batch_size, size of all)."""
    none = np.empty((state.batch_size, 0), dtype=np.float32)
    return npy.dump(np.concatenate([none, *(part.values for part in parts)], axis=1))


def _columns(body: bytes) -> Floats:
    return npy.load(body, axes=(2,))


def parts_of_layers(layers: list[LayerRequest]) -> Parts:
    """Return states of JSON by layer and name. Raise InvalidInput or the errors of `parse_array`."""
    parts: Parts = {}
    for index, layer in enumerate(layers):
        for name, rows in layer.states.items():
            pointer = f"/layers/{index}" + pointer_of([name])
            if (layer.layer, name) in parts:
                raise InvalidInput(f"a second state {name!r} of layer {layer.layer}", pointer=pointer)
            parts[layer.layer, name] = parse_array(rows, pointer=pointer, ndim=2)
    return parts

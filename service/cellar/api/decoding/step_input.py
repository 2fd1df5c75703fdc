"""What a request for steps asks for, read from JSON or npy, and the JSON that answers it: the same numbers always."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from cellar.api.errors.validation_errors import below
from cellar.api.http.query_and_headers import of_query
from cellar.api.schemas.session.sessions import SequenceQuery, SequenceRequest, StepQuery, StepRequest
from cellar.errors import IdUnknown, InvalidInput, ShapeMismatch, WholeSequencesOnly
from cellar.ports import Identity, Position
from cellar.sessions.service.sessions import Reset
from cellar.sessions.values.results import StepAnswer
from cellar.wire.arrays import npy
from cellar.wire.arrays.layout import check_layout, from_tbf, parse_layout, to_tbf
from cellar.wire.numbers.numbers import depth_of, parse_array

Floats = NDArray[np.float32]
_FLOAT32, _FLOAT64 = np.dtype("<f4"), np.dtype(np.float64)

Name = Literal["input", "inputs", ""]


PART_NUMBERS = 16 * 1024
"""Numbers written at a time: about a millisecond."""


class Asked(NamedTuple):
    """Steps that are asked for: inputs (T, rows, in_size), called `name` where they came in one document with the rest.

    `name` is None where the rest stands in the query, "" where all of it is a record of a frame.

    `shaped` gives the outputs (T, rows, out_size) the axes that the inputs had.
    """

    inputs: Floats
    identity: Identity
    reset: Reset
    shaped: Callable[[Floats], Floats]
    name: Name | None = None
    finite: bool = True
    """Whether the inputs are known to be finite, as all are that JSON or npy was read to."""


def step_of_json(body: StepRequest, key: str | None) -> Asked:
    """Return the step of a JSON body. Raise InvalidInput."""
    inputs = parse_array(body.input, pointer="/input", ndim=2 if depth_of(body.input) > 1 else 1)
    return _step(inputs, body.identity(key), body.reset, "input")


def step_of_npy(data: bytes, query: StepQuery, key: str | None) -> Asked:
    """Return the step of an npy body. Raise MalformedBody or InvalidInput."""
    with of_query(SequenceQuery):
        return _step(npy.load(data, axes=(1, 2)), query.identity(key), query.rows_to_reset, None)


def sequence_of_json(body: SequenceRequest, key: str | None) -> Asked:
    """Return the sequence of a JSON body. Raise InvalidInput."""
    layout = _checked(body.layout) or _by_depth(3 if depth_of(body.inputs) > 2 else 2)
    identity = body.identity(key)
    inputs = parse_layout(body.inputs, layout, "/inputs")
    return Asked(inputs, identity, body.reset, lambda outputs: from_tbf(outputs, layout), "inputs")


def sequence_of_npy(data: bytes, query: SequenceQuery, key: str | None) -> Asked:
    """Return the sequence of an npy body. Raise MalformedBody or InvalidInput."""
    with of_query(SequenceQuery):
        given = _checked(query.layout)
        inputs = npy.load(data, axes=(2, 3) if given is None else (len(given),))
        layout = given or _by_depth(inputs.ndim)
        identity, reset = query.identity(key), query.rows_to_reset
        return Asked(to_tbf(inputs, layout), identity, reset, lambda outputs: from_tbf(outputs, layout))


def _step(inputs: Floats, identity: Identity, reset: Reset, name: Name | None) -> Asked:
    if inputs.ndim == 2:
        return Asked(inputs[None], identity, reset, one_step, name)
    return Asked(inputs[None, None], identity, reset, one_row, name)


def one_step(outputs: Floats) -> Floats:
    """Return the rows of outputs that are one step."""
    rows: Floats = outputs[0]
    return rows


def one_row(outputs: Floats) -> Floats:
    """Return the one row of outputs that are one step."""
    row: Floats = outputs[0, 0]
    return row


def _checked(layout: str | None) -> str | None:
    if layout is not None and "F" not in check_layout(layout):
        # Without the letter outputs of several features could not be answered, and that would show after the commit.
        raise InvalidInput("no axis of features", pointer="/layout", expected="the letter F", actual=layout)
    return layout


def _by_depth(axes: int) -> str:
    return "TBF" if axes == 3 else "TF"


@contextmanager
def pointing(asked: Asked) -> Iterator[None]:
    """Make errors of running it point into the body that it came in, where inputs are not at the root, or its query."""
    if asked.name is None:
        with of_query(SequenceQuery):
            yield
        return
    prefix = asked.name and f"/{asked.name}"
    with below(prefix, ShapeMismatch), below(prefix, IdUnknown), below(prefix, WholeSequencesOnly):
        yield


def as_json(name: str, asked: Asked, answer: StepAnswer) -> bytes:
    """Return `document_of_answer` as JSON.

    Long outputs are written in parts: the writer holds up all of the process, and a thread may be left between them.
    """
    document = document_of_answer(name, asked, answer)
    numbers = document[name]
    if numbers is not None and numbers.size > PART_NUMBERS:
        entries = max(1, PART_NUMBERS * len(numbers) // numbers.size)
        parts = [
            orjson.dumps(numbers[start : start + entries], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
            for start in range(0, len(numbers), entries)
        ]
        del document[name]
        parts[0] = b'{"%s":[%s' % (name.encode(), parts[0])
        parts[-1] += b"]"
        return b",".join((*parts, orjson.dumps(document)[1:]))  # one copy of all of it
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def row_as_json(position: Position, output: bytes) -> bytes:
    """Return what `as_json` writes of a step of one row, whose float32 bytes are `output`."""
    numbers = np.frombuffer(output, _FLOAT32).astype(_FLOAT64)
    document = {"output": numbers, "step": position.step, "position": str(position)}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def document_of_answer(name: str, asked: Asked, answer: StepAnswer) -> dict[str, Any]:
    """Return where the session stands, and the outputs under `name`, None if they are not known any more.

    Numbers are written as float64, so that a client that reads doubles gets the float32 back: the shorter float32
    form of some, such as 7.038531e-26, is read as its neighbour.
    """
    return {
        name: None if answer.outputs is None else asked.shaped(answer.outputs).astype(np.float64),
        "step": answer.position.step,
        "position": str(answer.position),
    }

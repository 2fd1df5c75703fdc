"""Plain messages and plain frames ask for what the models and the records say."""

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frames import pack_steps
from cellar.api.decoding.steps.step_order import Place, place_of
from cellar.api.websocket import requests
from cellar.api.websocket.requests import Resume, SessionNames, read_frame, read_text
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import MalformedJson
from cellar.ports import ANYBODY, APPEND, Identity
from cellar.wire.frames import columns, frames

MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "input": st.sampled_from([[0.5, 2], [0.5, 2], [0.5, 2], [1.5], [[1, 2], [3, 4]], [], [None], [1e39], "x"]),
    "id": st.sampled_from([0, 2**32 - 1, 2**32, -1, 1.0, True, None, "1"]),
    "session": st.sampled_from(["s", "a:b", "", "x" * 129, "s\n", 7, None]),
    "step": st.sampled_from([0, 2**53, -1, True, None]),
    "writer": st.sampled_from(["w", "w:w", None]),
    "seq": st.sampled_from([1, 0, None]),
    "position": st.sampled_from(["0123456789abcdef.7.000102030405060708090a0b0c0d0e0f", "here", None]),
    "reset": st.sampled_from([True, [True, False], 0]),
    "key": st.sampled_from(["k", "k:k", ""]),
    "timeout_ms": st.sampled_from([5, 0, None]),
    "inputs": st.sampled_from([[[1.0]]]),
    "resume": st.sampled_from(["here", 7]),
    "other": st.just(1),
}

documents = st.fixed_dictionaries(
    {"input": MEMBERS["input"]}, optional={name: values for name, values in MEMBERS.items() if name != "input"}
) | st.fixed_dictionaries({}, optional=MEMBERS)

UNLIKE = ("inputs", "is_finite", "came_s")
"""What commands of the same steps need not have in common."""

OWN = SessionNames(ANYBODY, "s")
MANY = SessionNames(ANYBODY, None)

sockets = st.sampled_from([OWN, MANY])

names = st.sampled_from(["", "", "s", "t", "a/b", "é"])
numbers = st.none() | st.none() | st.integers(0, 2**64 - 1)


def told(ask: Submission | Resume) -> Any:
    """Return all that is known of an ask, so that two can be compared."""
    if isinstance(ask, Resume):
        return ask
    error, command = ask.error, ask.command
    fault = None if error is None else (type(error), error.detail, error.fields())
    how = ask.tag, ask.session, ask.place, ask.framed, ask.nbytes, fault
    if command is None:
        return how
    assert (command.came_s is None) == (command.deadline_s is None)
    rest = [getattr(command, field.name) for field in fields(command) if field.name not in UNLIKE]
    return *how, command.inputs.shape, command.inputs.tobytes(), rest


@given(documents, sockets)
def test_messages_ask_for_what_the_models_say(document: dict[str, Any], sessions: SessionNames) -> None:
    text = json.dumps(document).encode()
    assert told(read_text(text, sessions)) == told(requests._read_any(text, sessions))


@given(st.sampled_from(["id", "session"]), st.data())
def test_what_is_plainly_right_needs_no_model(name: str, data: st.DataObject) -> None:
    value = 7 if name == "id" else "s"
    document = {
        name: value,
        "input": [0.5, 2],
        **data.draw(st.sampled_from([{}, {"step": 3}, {"writer": "w", "seq": 1}])),
    }
    ask = requests._plain_step(document, OWN)
    assert ask is not None
    assert told(ask) == told(requests._read_any(json.dumps(document).encode(), OWN))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"input":[1],"input":[1]}', b'{"input":["\xff"]}'])
def test_what_is_no_message_is_read_as_before(text: bytes) -> None:
    try:
        expected = told(requests._read_any(text, OWN))
    except MalformedJson as error:
        with pytest.raises(MalformedJson, match=error.detail[:10]):
            read_text(text, OWN)
    else:
        assert told(read_text(text, OWN)) == expected


@st.composite
def steps(draw: st.DrawFn) -> list[frames.Step]:
    """Draw steps that are mostly alike."""
    count, numbered, is_odd = draw(st.tuples(st.integers(0, 12), st.booleans(), st.booleans()))
    plain = [
        frames.Step(draw(names), np.full((1, 1, 2), at, np.float32), tag=at, step=at if numbered else None)
        for at in range(count)
    ]
    if plain and is_odd:
        odd: list[dict[str, Any]] = [
            {"inputs": np.ones((1, 1, 3), np.float32)},
            {"inputs": np.full((1, 1, 2), np.nan, np.float32)},
            {"sequence": True},
            {"step": draw(numbers)},
            {"writer": "w", "seq": 1},
            {"key": "k"},
            {"timeout_ms": 5},
            {"reset": b"\1"},
        ]
        at = draw(st.integers(0, count - 1))
        plain[at] = plain[at]._replace(**draw(st.sampled_from(odd)))
    return plain


@given(steps(), sockets)
def test_frames_ask_for_what_the_records_say(given: list[frames.Step], sessions: SessionNames) -> None:
    data = pack_steps(given)
    expected = [told(requests._read_record(step, sessions)) for step in frames.unpack_steps(data)]
    assert [told(ask) for found in read_frame(data, sessions) for ask in apart(found)] == expected


def apart(found: Submission | Several) -> list[Submission]:
    """Return each step of several as an ask of its own."""
    if isinstance(found, Submission):
        return [found]
    first, inputs = found.command.identity.step, found.command.inputs
    assert found.place == (None if first is None else Place(None, first))
    assert found.nbytes == inputs.nbytes
    alone: list[Submission] = []
    for at, tag in enumerate(found.tags.tolist()):
        identity = APPEND if first is None else Identity(step=first + at)
        one = replace(found.command, inputs=inputs[at : at + 1], identity=identity, kind="step")
        alone.append(Submission(found.session, tag, one, place_of(identity), framed=True))
    return alone


def plain_frame(sessions: str, numbers: list[int] | None = None) -> bytes:
    """Return a frame with a step for each letter, which is its session."""
    return pack_steps(
        [
            frames.Step(session, np.full((1, 1, 2), at, np.float32), tag=at, step=numbers[at] if numbers else None)
            for at, session in enumerate(sessions)
        ]
    )


def test_steps_of_one_session_side_by_side_go_as_one() -> None:
    (several,) = read_frame(plain_frame(columns.FEWEST * "s"), MANY)
    assert isinstance(several, Several)
    assert (several.session, several.place, several.count) == ("s", None, columns.FEWEST)
    assert [found.count for found in read_frame(plain_frame("ssstsuu"), MANY)] == [3, 1, 1, 2]


def test_steps_whose_numbers_follow_each_other_go_as_one() -> None:
    found = read_frame(plain_frame("ssssss", [7, 8, 9, 10, 12, 13]), MANY)
    assert [(one.place, one.count) for one in found] == [(Place(None, 7), 4), (Place(None, 12), 2)]


def test_several_are_cut_where_there_is_no_more_room() -> None:
    (several,) = read_frame(plain_frame("sssss", [7, 8, 9, 10, 11]), MANY)
    assert isinstance(several, Several)
    begin, rest = several.cut(2)
    assert [told(ask) for part in (begin, rest) for ask in apart(part)] == [told(ask) for ask in apart(several)]


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ({"x": [1]}, "a message has one of these; did you mean `input`?"),
        ({"id": 3, "sequence": [[1]]}, "a message has one of these; did you mean `inputs`?"),
        ({"quagga": 1}, "a message has one of these"),
    ],
)
def test_a_message_without_an_input_is_told_what_was_meant(message: dict[str, Any], detail: str) -> None:
    asked = read_text(json.dumps(message).encode(), OWN)
    assert isinstance(asked, Submission)
    assert asked.error is not None
    assert asked.error.detail == detail

"""Plain lines and plain frames ask for what the models and the records say."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frames import pack_steps
from cellar.api.bulk import requests
from cellar.api.bulk.requests import MOST_FAULTS, FrameReader, LineReader
from cellar.api.bulk.steps import BulkStep
from cellar.api.limits.round_robin import RoundRobin
from cellar.errors import TooManyFaults
from cellar.ports import ANYBODY
from cellar.wire.frames import columns, frames

pytestmark = pytest.mark.anyio

MOST_BYTES = 1 << 20

MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "session": st.sampled_from(["s", "a:b", "", "x" * 129, "s\n", 7, None]),
    "input": st.sampled_from([[1.5], [[1, 2], [3, 4]], [], [None], [1e39], "x"]),
    "inputs": st.sampled_from([[[1.0]]]),
    "step": st.sampled_from([0, -1, True, None]),
    "writer": st.sampled_from(["w", "w:w"]),
    "seq": st.sampled_from([1, 0]),
    "key": st.sampled_from(["k", "k:k", ""]),
    "timeout_ms": st.sampled_from([5, 0]),
    "reset": st.sampled_from([True, [True, False], 0]),
    "other": st.just(1),
}

documents = st.fixed_dictionaries(
    {"session": st.just("s") | MEMBERS["session"], "input": st.just([0.5, 2]) | MEMBERS["input"]},
    optional={name: values for name, values in MEMBERS.items() if name not in ("session", "input")},
)


def told(ask: BulkStep) -> Any:
    """Return all that is known of an ask, so that two can be compared."""
    fault = None if ask.fault is None else (type(ask.fault), ask.fault.detail, ask.fault.fields())
    command = ask.command
    if command is None:
        return ask.session, ask.tag, fault
    inputs = command.inputs.shape, command.inputs.tobytes()
    rest = [getattr(command, field.name) for field in fields(command) if field.name not in ("inputs", "is_finite")]
    return ask.session, ask.tag, fault, inputs, rest


async def read(reader: LineReader | FrameReader, data: bytes) -> list[BulkStep]:
    return [ask async for part in reader.feed(data, RoundRobin()) for ask in part]


def by_models(lines: Iterable[bytes]) -> list[Any]:
    return [told(requests._of_line(line, ANYBODY.tenant, tag)) for tag, line in enumerate(lines)]


@given(st.lists(documents, min_size=1, max_size=4))
async def test_lines_ask_for_what_the_models_say(given: list[dict[str, Any]]) -> None:
    lines = [json.dumps(document).encode() for document in given]
    found = await read(LineReader(ANYBODY, MOST_BYTES), b"".join([line + b"\n" for line in lines]))
    assert [*map(told, found)] == by_models(lines)


PLAIN = b'{"session":"s","input":[1]}'

TOGETHER = [
    [b'{"session":"s","input":[16777217,1e-46]}', b'{"input":[-0.0,1],"session":"t","step":3,"reset":true}'],
    [PLAIN, b'{"session":"s","input":[1,2]}'],
    [PLAIN, b'{"session":"s","input":[1e39]}'],
    [PLAIN, b'{"session":"s","input":[[1]]}'],
    [PLAIN, b'{"session":"a:b","input":[1]}'],
    [PLAIN, b'{"session":"s","input":[1],"session":"t"}'],
    [PLAIN, b'{"session":"s}","input":[1]}', b'{"session":"{s","input":[1]}'],
    [PLAIN + b"," + PLAIN, b'{"session":"s"', b'"input":[1]}'],
    [PLAIN + b"," + PLAIN, b'{"session":"s","input":[{}', b"{}]}"],
    [b'{"session":"s', b't","input":[1]}', PLAIN],
    [PLAIN, b"\xef\xbb\xbf" + PLAIN, b'{"session":"\xff","input":[1]}', PLAIN + b" \r"],
    [b"[", PLAIN, b"]"],
    [PLAIN, b'{"session":"s","input":[%s]}' % b",".join([b"0.125"] * 20_000)],
]
"""Lines that are read together, or must not be."""


@pytest.mark.parametrize("lines", TOGETHER)
async def test_lines_that_are_read_together_ask_for_what_each_does(lines: list[bytes]) -> None:
    found = await read(LineReader(ANYBODY, MOST_BYTES), b"".join([line + b"\n" for line in lines]))
    assert [*map(told, found)] == by_models(lines)


async def test_a_plain_line_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_of_line", None)
    (ask,) = await read(LineReader(ANYBODY, MOST_BYTES), b'{"session":"s","input":[1,2],"step":3}\n')
    assert (ask.session, ask.fault, ask.command is not None) == ("s", None, True)


@pytest.mark.parametrize("step", [None, 3])
async def test_a_plain_frame_asks_for_what_its_records_say(step: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.random.default_rng(0).standard_normal((9, 1, 2, 3)).astype(np.float32)
    frame = pack_steps([frames.Step(f"s{at}", one, tag=at, step=step) for at, one in enumerate(inputs)])
    plain = await read(FrameReader(ANYBODY, MOST_BYTES), frame)
    monkeypatch.setattr(columns, "plain_steps", lambda _: None)
    records = await read(FrameReader(ANYBODY, MOST_BYTES), frame)
    assert [*map(told, plain)] == [*map(told, records)]
    assert [ask.command.is_finite for ask in plain if ask.command] == [True] * 9
    assert [ask.command.is_finite for ask in records if ask.command] == [False] * 9


async def test_blank_lines_cost_nothing_and_others_have_their_turn_between_them() -> None:
    turns, reading = 0, True

    async def count() -> None:
        nonlocal turns
        while reading:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    found = await read(LineReader(ANYBODY, MOST_BYTES), b"\n \r\n" * 300_000 + b'{"session":"s","input":[1]}\n')
    reading = False
    await counting
    assert [ask.session for ask in found] == ["s"]
    assert turns > 5


async def test_a_body_whose_lines_cannot_be_read_ends() -> None:
    """However long it is; one that can be read now and then does not."""
    good = b'{"session":"s","input":[1]}\n'
    now_and_then = (b"{}\n" * (MOST_FAULTS - 1) + good) * 3
    assert len(await read(LineReader(ANYBODY, MOST_BYTES), now_and_then)) == 3 * MOST_FAULTS
    found: list[BulkStep] = []

    async def read_all() -> None:
        async for part in LineReader(ANYBODY, MOST_BYTES).feed(good + b"{}\n" * 100_000, RoundRobin()):
            found.extend(part)

    with pytest.raises(TooManyFaults):
        await read_all()
    assert len(found) == MOST_FAULTS + 1

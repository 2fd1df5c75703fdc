"""Real kernels: rows that end, rest or begin anew have the bits of sessions that are stepped alone."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.ports import APPEND, ROW_LEFT_OUT, ROW_RESET, RowChoice, SessionKey
from cellar.sessions.execution.recompute import Recompute
from cellar.sessions.history.history import RewindTarget
from cellar.sessions.values.row_flags import flags_of
from tests.sessions.conftest import Service, StartService
from tests.sessions.test_bits import WatchedModels

pytestmark = pytest.mark.anyio

Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]

NETWORKS: dict[str, list[dict[str, Any]]] = {
    "lstm": [
        {"type": "recurrent", "cell": "lstm", "hidden_size": 17},
        {"type": "dense", "out_size": 2},
    ],
    "gru": [{"type": "recurrent", "cell": "gru", "hidden_size": 5, "trainable_state": True}],
    "stack": [
        {"type": "recurrent", "cell": "gru", "hidden_size": 9},
        {"type": "residual", "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 9}]},
        {"type": "layer_norm"},
        {"type": "recurrent", "cell": "rnn", "hidden_size": 4},
    ],
    "both ways": [
        {"type": "bidirectional", "layer": {"cell": "lstm", "hidden_size": 6}},
        {"type": "bidirectional", "layer": {"cell": "gru", "hidden_size": 3}},
        {"type": "dense", "out_size": 2},
    ],
}


@pytest.fixture(scope="module", params=NETWORKS)
def bound(request: pytest.FixtureRequest, kernel_directory: Path) -> BoundNetwork:
    """Return a network with random weights, and random initial states where it has some."""
    network = Network(NetworkSpec.model_validate({"in_size": 3, "layers": NETWORKS[request.param]}))
    weights = network.init(seed=5)
    for name in weights:
        if name.endswith("h0"):
            weights[name] = np.random.default_rng(1).normal(size=weights[name].shape).astype(np.float32)
    return CompiledNetwork(network, KernelCache(kernel_directory)).bind(weights)


@pytest.fixture
def service(redis_url: str, start_service: StartService, bound: BoundNetwork) -> Service:
    """Return a service of the network."""
    return start_service(redis_url, models=WatchedModels(bound))


def parts_of(bound: BoundNetwork, times: list[int], reset: list[bool]) -> Iterator[list[int]]:
    """Yield the steps of a row that are one call of it alone: single steps, or what is between two resets."""
    part: list[int] = []
    for time in times:
        if part and (reset[time] or not bound.network.whole_sequences):
            yield part
            part = []
        part.append(time)
    if part:
        yield part


def alone(bound: BoundNetwork, inputs: Floats, present: Masks, reset: Masks) -> tuple[bytes, bytes]:
    """Return outputs (T, B, out_size) and state (B, state_size) as bytes: each row in calls of its own."""
    steps, rows, _ = inputs.shape
    state = bound.initial_state(rows)
    outputs = np.full((steps, rows, bound.network.out_size), np.nan, np.float32)
    for row in range(rows):
        for part in parts_of(bound, np.flatnonzero(present[:, row]).tolist(), reset[:, row].tolist()):
            before = bound.initial_state(1) if reset[part[0], row] else state[row : row + 1]
            run = bound.run(np.ascontiguousarray(inputs[part, row : row + 1]), before)
            outputs[part, row], state[row] = run.outputs[:, 0], run.state[0]
    return outputs.tobytes(), state.tobytes()


async def begun(service: Service, rows: int, **options: Any) -> SessionKey:
    """Create a session."""
    created = await service.sessions.create("default", **{"model": "real", "batch_size": rows, **options})
    return created.session.key


def outputs_of(answer: Any) -> Floats:
    """Return the outputs of an answer."""
    assert answer.outputs is not None
    return np.array(answer.outputs)


async def test_rows_end_where_they_end(service: Service, bound: BoundNetwork) -> None:
    inputs = np.random.default_rng(2).normal(size=(9, 4, 3)).astype(np.float32)
    lengths = [9, 0, 4, 1]
    present = np.arange(9)[:, None] < np.array(lengths)
    key = await begun(service, 4)
    answer = await service.sessions.sequence(key, inputs, APPEND, rows=RowChoice(lengths=lengths))
    record = await service.store.load(key)
    assert (outputs_of(answer).tobytes(), record.state) == alone(bound, inputs, present, np.zeros_like(present))
    assert np.isnan(outputs_of(answer)[~present]).all()
    assert answer.position.step == 9
    for row, length in enumerate(lengths):
        if length:
            single = await begun(service, 1)
            its = await service.sessions.sequence(single, np.ascontiguousarray(inputs[:length, row : row + 1]), APPEND)
            assert outputs_of(its).tobytes() == outputs_of(answer)[:length, row : row + 1].tobytes()


async def test_what_is_in_the_padding_does_not_matter(service: Service) -> None:
    inputs = np.random.default_rng(2).normal(size=(5, 2, 3)).astype(np.float32)
    other = inputs.copy()
    other[3:, 1] = np.nan
    choice = RowChoice(lengths=[5, 3])
    found = [
        await service.sessions.sequence(await begun(service, 2), each, APPEND, rows=choice) for each in (inputs, other)
    ]
    assert outputs_of(found[0]).tobytes() == outputs_of(found[1]).tobytes()


async def test_random_rows_rest_and_begin_anew(service: Service, bound: BoundNetwork) -> None:
    """Sessions share calls, and each divides its steps into requests in its own way."""
    rng, draw = random.Random(3), np.random.default_rng(3)
    steps, whole = 24, bound.network.whole_sequences

    async def session(rows: int) -> None:
        key = await begun(service, rows, log=1000, history=rng.choice([0, 3]))
        inputs = draw.normal(size=(steps, rows, 3)).astype(np.float32)
        present, reset = draw.random((steps, rows)) < 0.7, draw.random((steps, rows)) < 0.2
        reset &= present
        outputs, at = [], 0
        while at < steps:
            end = steps if whole else min(steps, at + rng.choice([1, 1, 2, 5, 9]))
            cut, masks = inputs[at:end], (present[at:end], reset[at:end])
            flags = np.where(masks[0], 0, ROW_LEFT_OUT).astype(np.uint8) + ROW_RESET * masks[1].astype(np.uint8)
            numbers = None
            if masks[0].any() and rng.random() < 0.5:
                numbers = np.flatnonzero(masks[0].any(axis=0)).tolist()
                rng.shuffle(numbers)
                cut, flags = np.ascontiguousarray(cut[:, numbers]), np.ascontiguousarray(flags[:, numbers])
            choice = RowChoice(numbers, flags=flags)
            answer = await service.sessions.sequence(key, cut, APPEND, rows=choice)
            its = np.full((end - at, rows, bound.network.out_size), np.nan, np.float32)
            its[:, slice(None) if numbers is None else numbers] = outputs_of(answer)
            outputs.append(its)
            at = end
        record = await service.store.load(key)
        expected = alone(bound, inputs, present, reset)
        assert (np.concatenate(outputs).tobytes(), record.state) == expected
        if not whole:
            await service.histories.rewind(key, RewindTarget(step=steps // 2, steps=None, to=None), APPEND)
            record = await service.store.load(key)
            assert record.state == alone(bound, inputs[:12], present[:12], reset[:12])[1]

    await asyncio.gather(*[session(1 + number % 4) for number in range(12)])


async def test_n_steps_are_a_sequence_of_n_steps(service: Service, bound: BoundNetwork) -> None:
    if bound.network.whole_sequences:
        return
    inputs = np.random.default_rng(2).normal(size=(3, 2, 3)).astype(np.float32)
    reset = [[False, False], [True], [False, True]]
    flags = np.array([[0, ROW_LEFT_OUT], [0, 0], [ROW_LEFT_OUT, 0]], np.uint8)
    one, other = [await begun(service, 2) for _ in range(2)]
    start = (await service.sessions.get(one)).position
    whole = await service.sessions.sequence(one, inputs, APPEND, reset=reset, rows=RowChoice(flags=flags))
    for step in range(3):
        some = RowChoice(flags=flags[step : step + 1])
        asked: Any = reset[step][0] if len(reset[step]) == 1 else reset[step]
        await service.sessions.step(other, inputs[step], APPEND, reset=asked, rows=some)
    records = [await service.store.load(key) for key in (one, other)]
    assert records[0].state == records[1].state
    assert whole.position.step == start.step + 3


async def test_a_recomputation_has_the_same_bits(service: Service, bound: BoundNetwork) -> None:
    inputs = np.random.default_rng(6).normal(size=(11, 3, 3)).astype(np.float32)
    reset = [[step == 4, step == 7, False] for step in range(11)]
    choice = RowChoice(lengths=[11, 8, 2])
    key = await begun(service, 3)
    answer = await service.sessions.sequence(key, inputs, APPEND, reset=reset, rows=choice)
    state = bound.initial_state(3).tobytes()
    recompute = Recompute(service.models.network, state, 3, service.sessions.kernels)
    found = [part async for part in recompute.outputs(*flags_of(inputs, reset, choice))]
    assert np.concatenate(found).tobytes() == outputs_of(answer).tobytes()
    assert recompute.state == (await service.store.load(key)).state

"""Real kernels: a session's bits do not depend on who shares its calls, nor on how its steps are cut."""

import asyncio
import random
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import KernelCache, Run
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.ports import APPEND, ModelVersion
from tests.sessions.conftest import StartService

pytestmark = pytest.mark.anyio

SPEC = {
    "in_size": 3,
    "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 17}, {"type": "dense", "out_size": 2}],
}
STEPS = 24

Floats = NDArray[np.float32]


@dataclass
class Watched:
    """A network that notes the rows of its calls."""

    bound: BoundNetwork
    rows: list[int] = field(default_factory=list)
    flops: int = 10**9

    @property
    def network(self) -> Network:
        """What it is."""
        return self.bound.network

    def initial_state(self, rows: int) -> Floats:
        """Return the state that a session begins with."""
        return self.bound.initial_state(rows)

    def run(
        self,
        inputs: Floats,
        state: tuple[bytes, ...],
        lengths: NDArray[np.int32] | None = None,
        *,
        reset: NDArray[np.bool_] | None = None,
        executor: Executor | None = None,
    ) -> Run:
        """Step T times."""
        self.rows.append(inputs.shape[1])
        return self.bound.run(inputs, state, lengths, reset=reset, executor=executor)


@dataclass(frozen=True)
class WatchedModel:
    """A version of the network."""

    version: ModelVersion
    network: Watched
    size_bytes: int = 1000
    shared: None = None


class WatchedModels:
    """A source: has the network under every name."""

    def __init__(self, bound: BoundNetwork) -> None:
        self.network = Watched(bound)

    def get(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version."""
        return ModelVersion(tenant, ref.partition("@")[0], 1, "d" * 64, {}, "0" * 64, 0.0)

    def deleted_network(self, tenant: str, ref: str) -> None:
        """Return nothing."""

    def load(self, version: ModelVersion) -> WatchedModel:
        """Load a model."""
        return WatchedModel(version, self.network)


@pytest.fixture(scope="module")
def bound(kernel_directory: Path) -> BoundNetwork:
    """Return a network of two layers, compiled."""
    network = Network(NetworkSpec.model_validate(SPEC))
    return CompiledNetwork(network, KernelCache(kernel_directory)).bind(network.init(seed=5))


Resets = dict[int, list[bool]]
"""Which rows are reset before a step, by its number."""


def alone(bound: BoundNetwork, inputs: Floats, resets: Resets | None = None) -> tuple[bytes, bytes]:
    """Return outputs (T, B, out_size) and state (B, state_size) as bytes: one row in a call, one step in a call."""
    state = bound.initial_state(inputs.shape[1])
    outputs = np.empty((*inputs.shape[:2], bound.network.out_size), dtype=np.float32)
    for row in range(inputs.shape[1]):
        for step in range(inputs.shape[0]):
            if (resets or {}).get(step, [False] * inputs.shape[1])[row]:
                state[row] = bound.initial_state(1)[0]
            run = bound.run(inputs[step : step + 1, row : row + 1], state[row : row + 1])
            outputs[step, row], state[row] = run.outputs[0, 0], run.state[0]
    return outputs.tobytes(), state.tobytes()


async def test_sessions_in_one_call_have_the_bits_that_each_has_alone(
    redis_url: str, start_service: StartService, bound: BoundNetwork
) -> None:
    models = [WatchedModels(bound) for _ in range(2)]
    services = [start_service(redis_url, models=each) for each in models]
    rng, draw = random.Random(3), np.random.default_rng(3)

    async def session(rows: int) -> None:
        """Send the same inputs as steps and sequences of any length, through both services, and compare."""
        created = await services[0].sessions.create("default", model="real", batch_size=rows)
        key = created.session.key
        inputs = draw.normal(size=(STEPS, rows, 3)).astype(np.float32)
        outputs, at = b"", 0
        resets: Resets = {}
        while at < STEPS:
            cut = inputs[at : at + rng.choice([1, 1, 1, 2, 3, 7])]
            resets[at] = [rng.random() < 0.1 for _ in range(rows)]
            answer = await rng.choice(services).sessions.sequence(key, cut, APPEND, reset=resets[at])
            assert answer.outputs is not None
            outputs, at = outputs + answer.outputs.tobytes(), at + len(cut)
        record = await services[1].store.load(key)
        assert (outputs, record.state) == alone(bound, inputs, resets)

    await asyncio.gather(*[session(1 + number % 3) for number in range(24)])
    assert all(max(each.network.rows) >= 8 for each in models), "calls were shared"

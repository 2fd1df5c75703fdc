"""A network that cannot forget: it counts its steps and hashes their inputs, in order, in exact integers.

A contractive cell hides a lost or doubled step after some hundred steps; here every history has its own state. The
only test double of the suite, and of the network alone: store, runtime and processes are real.

    count' = count + 1          a' = (A a + x + 1) mod P          b' = (B b + x + 1) mod P

P is prime and A, B are units, so each input maps states one to one; all products stay below 2^24, exact in float32.
"""

import struct
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ModelUnknown
from cellar.ports import Alias, ModelVersion

P, A, B = 4093, 4091, 2048

BAD_STATE, BAD_OUTPUT = 1e30, 2e30
"""Inputs by which a test asks for a state or an output that is not finite."""


@dataclass(frozen=True)
class Place:
    """A named state."""

    layer: int
    name: str
    size: int
    offset: int
    cell: str = "exact"


@dataclass(frozen=True)
class Sizes:
    """What the network is."""

    in_size: int = 1
    out_size: int = 3
    state_size: int = 3
    states: Sequence[Place] = (Place(0, "h", 1, 0), Place(1, "h", 1, 1), Place(1, "c", 1, 2))
    whole_sequences: bool = False
    row_numbers: int = 3
    takes_ids: bool = False
    bits_promised: bool = True
    row_reader: None = None

    def check_inputs(self, inputs: NDArray[np.float32]) -> None:
        """Know every number."""

    def check_states(self, states: NDArray[np.float32], pointer: str = "") -> None:
        """Take every number."""


@dataclass
class Run:
    """What a call came to."""

    outputs: NDArray[np.float32]
    state: NDArray[np.float32]
    bad_step: NDArray[np.int32]
    bad_kind: NDArray[np.int32]


@dataclass
class ExactNetwork:
    """The network. `calls` notes the (T, rows) of every call; `before` runs before each, on the kernel thread."""

    network: Sizes = field(default_factory=Sizes)
    calls: list[tuple[int, int]] = field(default_factory=list)
    flops: int = 10**7
    """Enough for a thread, so that calls can be held up."""
    code: "ExactCode | None" = None

    def rows(self, count: int) -> bytes:
        """Return the rows as the code reads them."""
        assert self.code is not None
        self.code.networks[id(self)] = self
        return PAIR.pack(count, id(self))

    def before(self) -> None:
        """Do nothing; tests replace it."""

    def initial_state(self, rows: int) -> NDArray[np.float32]:
        """Return zeros."""
        return np.zeros((rows, 3), dtype=np.float32)

    def advance(
        self,
        inputs: NDArray[np.float32],
        state: tuple[bytes, ...],
        lengths: NDArray[np.int32] | None,
        reset: NDArray[np.bool_] | None,
    ) -> Run:
        """Do as `run`, on this thread."""
        return self.run(inputs, state, lengths, reset=reset)

    def run(
        self,
        inputs: NDArray[np.float32],
        state: tuple[bytes, ...],
        lengths: NDArray[np.int32] | None = None,
        *,
        reset: NDArray[np.bool_] | None = None,
        executor: Executor | None = None,
    ) -> Run:
        """Step T times; a row stops at its length or at its first bad step."""
        self.calls.append((inputs.shape[0], inputs.shape[1]))
        is_main = threading.current_thread() is threading.main_thread()
        assert (executor is None) == is_main, "short calls are run on the event loop, and need no other threads"
        self.before()
        steps, rows, _ = inputs.shape
        outputs = np.zeros((steps, rows, 3), dtype=np.float32)
        now = np.frombuffer(b"".join(state), np.float32).reshape(rows, 3).copy()
        if reset is not None:
            now[reset] = 0
        bad_step, bad_kind = np.full(rows, -1, dtype=np.int32), np.zeros(rows, dtype=np.int32)
        for row in range(rows):
            for step in range(steps if lengths is None else int(lengths[row])):
                x = float(inputs[step, row, 0])
                if x in (np.float32(BAD_STATE), np.float32(BAD_OUTPUT)):
                    bad_step[row], bad_kind[row] = step, 1 if x == np.float32(BAD_STATE) else 2
                    break
                now[row] = outputs[step, row] = after(now[row], x)
        return Run(outputs, now, bad_step, bad_kind)


PAIR = struct.Struct("=2q")


@dataclass
class ExactCode:
    """What exact networks share: `calls` notes the rows of each network in every call."""

    networks: dict[int, ExactNetwork] = field(default_factory=dict)
    calls: list[list[int]] = field(default_factory=list)

    def run(
        self,
        models: bytes,
        inputs: NDArray[np.float32],
        state: tuple[bytes, ...],
        lengths: NDArray[np.int32] | None,
        reset: NDArray[np.bool_] | None,
    ) -> Run:
        """Run the rows of each network by itself."""
        counts = [*PAIR.iter_unpack(models)]
        self.calls.append([count for count, _ in counts])
        before, runs, row = np.frombuffer(b"".join(state), np.float32).reshape(-1, 3), [], 0
        for count, number in counts:
            mine = slice(row, row + count)
            assert lengths is None, "steps that share a call are single ones"
            wiped = None if reset is None else reset[mine]
            runs.append(self.networks[number].advance(inputs[:, mine], (before[mine].tobytes(),), None, wiped))
            row += count
        assert row == inputs.shape[1]
        outputs = np.concatenate([run.outputs for run in runs], axis=1)
        rest = (np.concatenate([getattr(run, name) for run in runs]) for name in ("state", "bad_step", "bad_kind"))
        return Run(outputs, *rest)


def after(state: NDArray[np.float32], x: float) -> list[float]:
    """Return the state (3,) after one step."""
    count, a, b = (int(value) for value in state)
    return [float(count + 1), float((A * a + int(x) + 1) % P), float((B * b + int(x) + 1) % P)]


def history(inputs: Sequence[float]) -> list[float]:
    """Return the state after these steps from the initial state: the oracle of every exactly-once test."""
    state = np.zeros(3, dtype=np.float32)
    for x in inputs:
        state[:] = after(state, x)
    return [float(value) for value in state]


@dataclass(frozen=True)
class ExactModel:
    """A version of the exact network."""

    version: ModelVersion
    network: ExactNetwork
    size_bytes: int = 1000
    shared: None = None
    scorer: None = None


class ExactModels:
    """A source: knows `exact` with its versions, the newest being what `exact` alone means."""

    def __init__(self, newest: int = 1) -> None:
        self.newest = newest
        self.network = ExactNetwork()
        self.loads = 0
        self.aliases: dict[str, Alias] = {}
        self.moved_ms = 0

    def get(self, tenant: str, ref: str) -> ModelVersion:
        """Return a version. Raise ModelUnknown."""
        name, _, number = ref.partition("@")
        if number in self.aliases:
            number = str(self.aliases[number].version)
        if name != "exact" or int(number or 1) > self.newest:
            raise ModelUnknown(f"no model {ref}")
        digest = f"{int(number or self.newest):064x}"
        return ModelVersion(tenant, name, int(number or self.newest), digest, {}, "0" * 64, 0.0)

    def move(self, alias: str, version: int | None) -> None:
        """Let an alias name a version, or none."""
        self.moved_ms += 1
        if version is None:
            del self.aliases[alias]
        else:
            self.aliases[alias] = Alias("default", "exact", alias, version, self.moved_ms)

    # the parameter of the protocol
    def alias(self, tenant: str, name: str, alias: str) -> Alias | None:  # noqa: ARG002
        """Return an alias, None if there is none."""
        return self.aliases.get(alias)

    # the parameter of the protocol
    def get_by_alias(self, tenant: str, name: str, alias: str) -> tuple[ModelVersion, Alias]:  # noqa: ARG002
        """Return a version and its alias. Raise ModelUnknown."""
        if alias not in self.aliases:
            raise ModelUnknown(f"no alias {alias}")
        return self.get(tenant, self.aliases[alias].ref), self.aliases[alias]

    def aliases_moved_ms(self, tenant: str) -> int:  # noqa: ARG002  # the parameter of the protocol
        """Return when an alias was moved last."""
        return self.moved_ms

    def deleted_network(self, tenant: str, ref: str) -> None:
        """Return nothing."""

    def load(self, version: ModelVersion) -> ExactModel:
        """Load a version."""
        self.loads += 1
        return ExactModel(version, self.network)

"""The protocols of networks whose sessions learn, and the targets of steps as the log keeps them."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from cellar.errors import InvalidInput
from cellar.ports import DIGEST_BYTES, Floats, ModelVersion, Position
from cellar.sessions.values.model_protocol import Network, Sizes

LEARN: Literal["learn"] = "learn"
FORGET: Literal["forget"] = "forget"
"""Kinds of changes: targets of steps were learnt, or all that was learnt is forgotten."""

LEARNING_KINDS = frozenset({LEARN, FORGET})


class Learnt(Protocol):
    """The weights that a session has learnt, and its errors."""

    @property
    def text(self) -> str:
        """The learning of the session, as its metadata have it."""

    @property
    def outputs(self) -> int:
        """The numbers of a target."""

    @property
    def updates(self) -> int:
        """The number of targets that were learnt."""

    @property
    def filled(self) -> int:
        """The number of steps in the window."""

    @property
    def delta(self) -> Floats:
        """The change of the weights."""

    def losses(self) -> tuple[float, float] | None:
        """Return the mean squared errors of the base version and of the answers; None before the first target."""

    def target(self, ago: int) -> Floats | None:
        """Return the target (outputs,) of a step in the window that was given, else None."""


class LearningModels(Protocol):
    """Publishes what sessions have learnt."""

    def publish_learnt(self, version: ModelVersion, learnt: Any, *, token: str) -> ModelVersion:
        """Publish a version that has learnt what a session has; idempotent by `token`."""


@runtime_checkable
class LearningNetwork(Protocol):
    """A network whose sessions learn. What a session has learnt is a part of its state."""

    @property
    def network(self) -> Sizes:
        """The sizes of the network; its states have what is learnt."""

    @property
    def learning(self) -> str:
        """The learning of its sessions, as their metadata have it."""

    def learn(self, state: bytes, places: Sequence[int], targets: Floats) -> bytes:
        """Return the state after targets (n, outputs) of steps, by how many steps ago they were: 1 for the last one.

        Raise StateNotFinite.
        """

    def learnt(self, state: bytes) -> Learnt:
        """Return the weights and errors of a session."""

    def restarted(self, state: bytes) -> bytes:
        """Return the initial state with what the session has learnt."""

    def reopened(self, state: bytes) -> bytes:
        """Return a state in which no step waits for a target."""

    def forgotten(self, state: bytes) -> bytes:
        """Return a state in which nothing is learnt, and no step waits for a target."""


def learner(network: Network) -> LearningNetwork | None:
    """Return a network whose sessions learn, None for another one."""
    return network if isinstance(network, LearningNetwork) else None


def learning_in(network: Network) -> str:
    """Return the learning of the sessions of a network, as their metadata have it; empty: none."""
    learns = learner(network)
    return "" if learns is None else learns.learning


def restarted(state: bytes, network: Network) -> bytes | None:
    """Return the initial state with what a session has learnt, None if sessions of the network do not learn."""
    learns = learner(network)
    return None if learns is None else learns.restarted(state)


def begun_anew(state: bytes, network: Network) -> bytes:
    """Return the state that a session brings to another version: what it has learnt belongs to its version."""
    learns = learner(network)
    return state if learns is None else learns.forgotten(state)


def check_one_row(batch_size: int) -> None:
    """Raise InvalidInput for a session of several rows, whose windows would part when a row is left out of a step."""
    if batch_size != 1:
        raise InvalidInput(
            "a session that learns has one row: make a session for each sequence",
            pointer="/batch_size",
            expected="1",
            actual=str(batch_size),
        )


def pack_targets(places: Sequence[int], targets: Floats) -> bytes:
    """Return targets of steps as the log keeps them: how many steps ago each step was, int32, then all targets."""
    return np.array([len(places), *places], "<i4").tobytes() + targets.astype("<f4").tobytes()


def unpack_targets(data: bytes) -> tuple[list[int], Floats]:
    """Return the places and targets in the bytes of `pack_targets`."""
    count = int(np.frombuffer(data, "<i4", 1)[0])
    places: list[int] = np.frombuffer(data, "<i4", count, 4).tolist()
    return places, np.frombuffer(data, "<f4", offset=4 + 4 * count).reshape(count, -1)


def again(kind: str, state: bytes, data: bytes, network: Network) -> bytes:
    """Return the state after a logged change of one of the LEARNING_KINDS; as it is if the network does not learn."""
    learns = learner(network)
    if learns is None:
        return state
    return learns.learn(state, *unpack_targets(data)) if kind == LEARN else learns.forgotten(state)


def position_after(position: Position, kind: str, data: bytes) -> Position:
    """Return the position after one of the LEARNING_KINDS: the same step, as what follows depends on the targets."""
    digest = blake2b(position.digest + kind.encode() + data, digest_size=DIGEST_BYTES).digest()
    return Position(position.epoch, position.step, digest)

"""Takes the targets of steps of sessions that learn, tells what they have learnt, and publishes it as a version."""

import asyncio
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np

from cellar.errors import EpochChanged, NotKept, PositionConflict, Regressed, ReplayExpired, ShapeMismatch, StepTaken
from cellar.ports import Floats, Identity, ModelVersion, Position, SessionKey, SessionRecord, SessionStore
from cellar.sessions.requests.change_request import Edited, Stale
from cellar.sessions.scheduling.commit_builder import check_finite
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.learning import (
    FORGET,
    LEARN,
    LearningModels,
    LearningNetwork,
    Learnt,
    learner,
    pack_targets,
    position_after,
)
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import fingerprint
from cellar.sessions.values.results import ChangeAnswer


@dataclass(frozen=True, slots=True)
class LearningAnswer:
    """The weights that a session has learnt, and its errors at a position."""

    model: str
    position: Position
    learnt: Learnt


class SessionLearning:
    """Teaches sessions. Every method raises as those of `Sessions`, and NotKept for a session that does not learn."""

    def __init__(self, sessions: Sessions, store: SessionStore, models: LearningModels) -> None:
        self._sessions = sessions
        self._store = store
        self._models = models

    async def learn(
        self, key: SessionKey, step: int, targets: Floats, identity: Identity, *, epoch: bytes | None = None
    ) -> ChangeAnswer:
        """Learn the targets (n, out_size) of n consecutive steps from `step` on, each once.

        A target that was given before is not learnt again, and of another value it is refused. `epoch` is that of the
        steps; None: the present one. Raise ShapeMismatch, NotFinite, StateNotFinite, or a PositionConflict: Regressed
        for a step that was not made yet, ReplayExpired for one that has left the window, StepTaken for a target that
        differs from that of the same step, EpochChanged.
        """
        values = np.ascontiguousarray(targets, "<f4")
        check_finite(values, "/targets")
        mark = fingerprint(LEARN, values, names=f"{step} {epoch!r}")
        is_known = False

        async def prepare(record: SessionRecord, network: Network) -> Edited:
            """Return the state after the targets that are new."""
            nonlocal is_known
            learns = _learner(record, network)
            try:
                new = _new_targets(record, learns.learnt(record.state), step, values, epoch)
            except PositionConflict:  # perhaps because another process has stepped the session
                now = await self._store.summary(key)
                if (now.meta.incarnation, now.position) != (record.meta.incarnation, record.position):
                    raise Stale from None
                raise
            is_known = not new
            if is_known:
                return Edited(record.state, stays=True)
            ago = [record.position.step - step - index for index in new]
            given = np.ascontiguousarray(values[new])
            loop = asyncio.get_running_loop()
            state = await loop.run_in_executor(self._sessions.kernels, learns.learn, record.state, ago, given)
            data = pack_targets(ago, given)
            return Edited(state, after=position_after(record.position, LEARN, data), logged=data)

        done = await self._sessions.change_after(key, LEARN, identity, mark, prepare)
        return ChangeAnswer(done.position, done.replayed or is_known)

    async def forget(self, key: SessionKey, identity: Identity) -> ChangeAnswer:
        """Return to the base version: the hidden state stays, and what was learnt is forgotten."""
        return await self._sessions.change(key, FORGET, identity, fingerprint(FORGET), _forget)

    async def read(self, key: SessionKey) -> LearningAnswer:
        """Return the weights and errors of the session."""
        record = await self._sessions.recover(await self._store.load(key))
        served = await self._sessions.models.fetch(key.tenant, record.meta)
        learns = _learner(record, served.model.network)
        return LearningAnswer(record.meta.model, record.position, learns.learnt(record.state))

    async def publish(self, key: SessionKey) -> ModelVersion:
        """Publish the session's version with what it has learnt in its last layer, as the newest version of its model.

        A repetition publishes nothing until the session has learnt more. The session stays as it is. Raise NotKept if
        it has learnt nothing.
        """
        found = await self.read(key)
        if not found.learnt.updates:
            raise NotKept(f"session {key.session} has learnt nothing that could be published")
        version = await self._sessions.models.find(key.tenant, found.model)
        said = f"{found.model} {found.learnt.updates} ".encode() + found.learnt.delta.tobytes()
        token = blake2b(said, digest_size=16).hexdigest()
        publish = partial(self._models.publish_learnt, version, found.learnt, token=token)
        return await asyncio.to_thread(publish)


def _forget(record: SessionRecord, network: Network) -> Edited:
    state = _learner(record, network).forgotten(record.state)
    return Edited(state, after=position_after(record.position, FORGET, b""), logged=b"")


def _learner(record: SessionRecord, network: Network) -> LearningNetwork:
    learns = learner(network)
    if learns is None:
        raise NotKept(f"session {record.key.session} learns nothing: create it with `learning`")
    return learns


def _new_targets(record: SessionRecord, learnt: Learnt, step: int, targets: Floats, epoch: bytes | None) -> list[int]:
    """Return the indices of the targets that are new. Raise ShapeMismatch or a PositionConflict."""
    now, outputs = record.position, learnt.outputs
    position = str(now)
    if targets.shape[1] != outputs:
        raise ShapeMismatch(
            "the targets do not fit the outputs of the session",
            pointer="/targets",
            expected=f"{outputs} numbers for each step",
            actual=str(targets.shape[1]),
        )
    if epoch not in (None, now.epoch):
        raise EpochChanged("the session was reset or rewritten since these steps", position=position)
    first, last = now.step - min(learnt.filled, now.step), step + len(targets) - 1
    if last >= now.step:
        raise Regressed(f"step {last} was not made yet: the session is at step {now.step}", position=position)
    if step < first:
        detail = f"step {step} has left the window: targets are taken from step {first} on"
        raise ReplayExpired(detail, position=position)
    new = []
    for index, target in enumerate(targets):
        there = learnt.target(now.step - step - index)
        if there is None:
            new.append(index)
        elif there.tobytes() != target.tobytes():
            raise StepTaken(f"step {step + index} was given another target", position=position)
    return new

"""Random histories against the rules of the design, section 5, told once more over a whole history.

Two services with beliefs of their own serve one session in turn, so that every answer is also found without the
record at hand.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellar.errors import (
    CellarError,
    Diverged,
    EpochChanged,
    FingerprintMismatch,
    Overlap,
    Regressed,
    ReplayExpired,
    StepTaken,
)
from cellar.ports import Identity, Position, SessionKey
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import a_sequence, begin, output, position, state

pytestmark = pytest.mark.anyio

WINDOW = 2
RESET: tuple[float, ...] = ()

Body = tuple[float, ...]
"""Inputs of a sequence; none for a reset."""


@dataclass(frozen=True)
class Asked:
    """A request as it is drawn: `back` names a position by how long ago it was the present one."""

    service: int
    body: Body
    back: int | None = None
    forged: bool = False
    step: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class Done:
    """A change that was committed."""

    before: Position
    after: Position
    body: Body
    ordered: bool
    output: list[float] | None


@dataclass
class Model:
    """What a session should be: everything that ever happened to it."""

    positions: list[Position]
    done: list[Done] = field(default_factory=list)
    keys: dict[str, Done] = field(default_factory=dict)
    inputs: list[float] = field(default_factory=list)

    @property
    def now(self) -> Position:
        """Where the session stands."""
        return self.positions[-1]

    def identity(self, asked: Asked) -> Identity:
        """Return what the request sends."""
        where = None
        if asked.back is not None:
            where = self.positions[-1 - min(asked.back, len(self.positions) - 1)]
            where = Position(where.epoch, where.step, b"0" * 16) if asked.forged else where
        return Identity(where, None if where else asked.step, asked.key)

    def verdict(self, identity: Identity, body: Body) -> Done | type[CellarError] | None:
        """Return the change that the request repeats, the error it deserves, or None if it is to be committed."""
        known = self.keys.get(identity.key or "")
        if known is not None:
            return known if known.body == body else FingerprintMismatch
        if not identity.ordered:
            return None
        if identity.position in (None, self.now) and identity.step in (None, self.now.step):
            return None
        epoch, step = self.now.epoch, identity.step or 0
        if identity.position is not None:
            epoch, step = identity.position.epoch, identity.position.step
        window = self.done[-WINDOW:]
        there = [change for change in window if (change.before.epoch, change.before.step) == (epoch, step)]
        mine = [change for change in there if identity.position in (None, change.before)]
        for change in mine:
            if change.ordered and change.body == body:
                return change
        present = [change for change in window if change.before.epoch == self.now.epoch]
        if epoch != self.now.epoch:
            return EpochChanged
        if mine:
            return StepTaken
        if step > self.now.step:
            return Regressed
        if there or step == self.now.step:
            return Diverged
        if any(change.before.step < step < change.before.step + len(change.body) for change in present):
            return Overlap
        return ReplayExpired

    def commit(self, identity: Identity, body: Body, after: Position) -> Done:
        """Note that the session is at `after` now, and return the change."""
        self.inputs = [] if body == RESET else [*self.inputs, *body]
        made = history(self.inputs) if body else None
        change = Done(self.now, after, body, identity.ordered, made)
        if body == RESET:
            assert after.step == 0
            assert all(after.epoch != earlier.epoch for earlier in self.positions)
        else:
            assert (after.epoch, after.step) == (self.now.epoch, self.now.step + len(body))
        self.done.append(change)
        self.positions.append(after)
        if identity.key is not None:
            self.keys[identity.key] = change
        return change


async def send(service: Service, key: SessionKey, asked: Asked, identity: Identity) -> tuple[Done, bool]:
    """Send the request; return what it was answered as a change from nowhere, and whether it was a replay."""
    if asked.body == RESET:
        change = await service.sessions.reset(key, identity)
        return Done(change.position, change.position, RESET, identity.ordered, None), change.replayed
    answer = await service.sessions.sequence(key, a_sequence(*asked.body), identity)
    return Done(answer.position, answer.position, asked.body, identity.ordered, output(answer)), answer.replayed


bodies = st.sampled_from([(1.0,), (1.0,), (2.0,), (1.0, 2.0), (1.0, 1.0, 1.0), RESET])
names = st.sampled_from(["a", "b"])
services = st.integers(0, 1)
requests = st.one_of(
    st.builds(Asked, services, bodies),
    st.builds(Asked, services, bodies, key=names),
    st.builds(Asked, services, bodies, step=st.integers(0, 6)),
    st.builds(Asked, services, bodies, back=st.integers(0, 2), key=st.none() | names),
    st.builds(Asked, services, bodies, back=st.integers(0, 8), forged=st.booleans()),
)


@pytest.fixture
def pair(redis_url: str, start_service: StartService) -> list[Service]:
    """Return two services that share what is stored and no belief, with a short memory for replays."""
    return [start_service(redis_url, window=WINDOW) for _ in range(2)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=6, max_size=20))
async def test_every_answer_is_what_the_rules_say(
    redis_url: str, pair: list[Service], requests_drawn: list[Asked]
) -> None:
    key = await begin(pair[0])
    model = Model([await position(pair[0], key)])
    for asked in requests_drawn:
        identity = model.identity(asked)
        verdict = model.verdict(identity, asked.body)
        if isinstance(verdict, type):
            with pytest.raises(verdict):
                await send(pair[asked.service], key, asked, identity)
            continue
        answer, replayed = await send(pair[asked.service], key, asked, identity)
        assert replayed == (verdict is not None)
        change = verdict or model.commit(identity, asked.body, answer.after)
        assert (answer.after, answer.output) == (change.after, change.output)
    assert await position(pair[0], key) == model.now
    assert await state(pair[1], key) == history(model.inputs)

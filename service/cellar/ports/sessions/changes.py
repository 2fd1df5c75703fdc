"""A change of a session, the identity of the request that makes it, and the positions before and after it.

The values that every step makes have slots, are not frozen, and have an `__init__` of their own: it is compiled, and
takes a seventh of the time of one that a dataclass generates. No code changes them after they are made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

DIGEST_BYTES = 16


class Position(NamedTuple):
    """The place of a session in its history."""

    epoch: bytes
    """8 bytes. A new epoch begins with each reset and each write of the state."""
    step: int
    """Number of steps made in this epoch."""
    digest: bytes
    """16 bytes: the digest chain over these steps."""

    def __str__(self) -> str:
        epoch, step, digest = self
        return f"{epoch.hex()}.{step}.{digest.hex()}"


class Identity(NamedTuple):
    """How a repeated request is recognised. With all fields None the request is never recognised.

    `writer` and `seq` are given together, and without the other fields.
    """

    position: Position | None = None
    step: int | None = None
    key: str | None = None
    writer: str | None = None
    seq: int | None = None
    """Number of the request among those of its writer: 1, 2, 3, ..."""

    @property
    def ordered(self) -> bool:
        """Whether the request names its place in the session's history or among the requests of its writer."""
        return self.position is not None or self.step is not None or self.writer is not None

    @property
    def by_step(self) -> bool:
        """Whether a step number names the place: that step of the present epoch, with any history before it."""
        return self.position is None and self.step is not None


APPEND = Identity()
"""The identity of requests that are not recognised when they are repeated."""


MARK_BYTES = 16
"""Size of a fingerprint, and of a nonce."""

UNMARKED = bytes(MARK_BYTES)
"""The fingerprint of a request that is not recognised when it is repeated."""


@dataclass(slots=True, init=False)
class Change:
    """The change that one request makes to a session.

    `steps` is the number of steps; 0 marks a change that is not a step (reset, PUT state), and `kind` names it.
    `fingerprint` (16 bytes) is a hash of the request's body, `nonce` (16 bytes) is unique to the request. `output` is
    answered when the request is repeated. `inputs` are the float32 bytes of the steps' inputs.
    """

    kind: str
    before: Position
    after: Position
    steps: int
    identity: Identity
    fingerprint: bytes
    nonce: bytes
    output: bytes
    inputs: bytes
    row_flags: bytes
    """A byte for each row of the first steps: `cellar.ports.RowFlags`; empty if no row is reset or left out."""
    layout: str | None
    """Layout of the new state, of a change whose state does not follow from its inputs."""

    def __init__(
        self,
        kind: str,
        before: Position,
        after: Position,
        steps: int,
        identity: Identity,
        fingerprint: bytes,
        nonce: bytes,
        output: bytes,
        inputs: bytes = b"",
        row_flags: bytes = b"",
        layout: str | None = None,
    ) -> None:
        self.kind, self.before, self.after, self.steps = kind, before, after, steps
        self.identity, self.fingerprint, self.nonce, self.output = identity, fingerprint, nonce, output
        self.inputs, self.row_flags, self.layout = inputs, row_flags, layout


class StepChanges:
    """Consecutive changes of one step each, stored as columns. A `Change` is made when an element is read.

    Either each of them names the number of its step, or none is recognised. A commit of many changes costs a third in
    this form. It is a sequence but does not inherit from `collections.abc.Sequence`: an isinstance check against that
    class would cost each step half a microsecond.
    """

    __slots__ = ("before", "digests", "inputs", "marks", "numbered", "outputs")

    def __init__(
        self,
        before: Position,
        digests: bytes,
        marks: bytes,
        outputs: bytes,
        inputs: bytes = b"",
        *,
        numbered: bool,
    ) -> None:
        self.before = before
        """Position before the first change."""
        self.digests = digests
        """Digest after each change, 16 bytes each, concatenated."""
        self.marks = marks
        """Fingerprint of each change if they are numbered, else its nonce, 16 bytes each, concatenated."""
        self.outputs = outputs
        """Output of each change, all of the same size, concatenated."""
        self.inputs = inputs
        """Input of each change, all of the same size, concatenated; empty if inputs are not kept."""
        self.numbered = numbered

    def __len__(self) -> int:
        """Return the number of changes."""
        return len(self.marks) // MARK_BYTES

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> "StepChanges": ...
    def __getitem__(self, index: int | slice) -> "Change | StepChanges":
        """Return a change, or a range of changes."""
        if isinstance(index, int):
            return self._change(range(len(self))[index])
        start, stop, _ = index.indices(len(self))
        output, given = len(self.outputs) // len(self), len(self.inputs) // len(self)
        return StepChanges(
            self._place(start),
            self.digests[DIGEST_BYTES * start : DIGEST_BYTES * stop],
            self.marks[MARK_BYTES * start : MARK_BYTES * stop],
            self.outputs[output * start : output * stop],
            self.inputs[given * start : given * stop],
            numbered=self.numbered,
        )

    def __iter__(self) -> Iterator[Change]:
        """Yield the changes in order."""
        return map(self._change, range(len(self)))

    @property
    def after(self) -> Position:
        """Position after the last change."""
        return self._place(len(self))

    def _place(self, index: int) -> Position:
        epoch, step, digest = self.before
        if index:
            digest = self.digests[DIGEST_BYTES * (index - 1) : DIGEST_BYTES * index]
        return Position(epoch, step + index, digest)

    def _change(self, index: int) -> Change:
        mark = self.marks[MARK_BYTES * index : MARK_BYTES * (index + 1)]
        output, given = len(self.outputs) // len(self), len(self.inputs) // len(self)
        before = self._place(index)
        return Change(
            "step",
            before,
            self._place(index + 1),
            1,
            Identity(step=before.step) if self.numbered else APPEND,
            mark if self.numbered else UNMARKED,
            mark,
            self.outputs[output * index : output * (index + 1)],
            self.inputs[given * index : given * (index + 1)],
        )


Changes = Sequence[Change] | StepChanges


def join_changes(parts: Sequence[Changes]) -> Changes:
    """Return consecutive changes as one sequence, as columns if all parts are columns."""
    if len(parts) == 1:
        return parts[0]
    columns = [part for part in parts if isinstance(part, StepChanges)]
    if len(columns) < len(parts) or len({part.numbered for part in columns}) > 1:
        return [change for part in parts for change in part]
    return StepChanges(
        columns[0].before,
        b"".join([part.digests for part in columns]),
        b"".join([part.marks for part in columns]),
        b"".join([part.outputs for part in columns]),
        b"".join([part.inputs for part in columns]),
        numbered=columns[0].numbered,
    )

"""Changes: what requests do to a session, and how each of them is recognised.

What a step makes is never changed once it is made, but not frozen: a value with slots costs 0.2 us to make, a named
tuple 0.35 and a frozen value 1. Made with names for its arguments it costs 0.05 us more for each of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

DIGEST_BYTES = 16


class Position(NamedTuple):
    """Where a session stands: `step` steps of epoch `epoch` behind it, with `digest` over all of them."""

    epoch: bytes
    """8 of them."""
    step: int
    digest: bytes
    """16 of them."""

    def __str__(self) -> str:
        epoch, step, digest = self
        return f"{epoch.hex()}.{step}.{digest.hex()}"


class Identity(NamedTuple):
    """How a change is recognised when it comes a second time (design, section 5). All None: append.

    `writer` and `seq` come together, and with no other.
    """

    position: Position | None = None
    step: int | None = None
    key: str | None = None
    writer: str | None = None
    seq: int | None = None
    """The writer's requests are 1, 2, 3, ..."""

    @property
    def ordered(self) -> bool:
        """Whether the request names its place, in the session's history or among those of its writer."""
        return self.position is not None or self.step is not None or self.writer is not None

    @property
    def by_step(self) -> bool:
        """Whether a step alone names that place: it means the present epoch, whatever came before that step."""
        return self.position is None and self.step is not None


APPEND = Identity()
"""Of requests that are not recognised."""


MARK_BYTES = 16
"""Of a fingerprint, and of a nonce."""

UNMARKED = bytes(MARK_BYTES)
"""The fingerprint of a request that is not recognised when it comes again."""


@dataclass(slots=True)
class Change:
    """What one request does to a session.

    `steps` is how many it takes; 0 marks a change that is not a step (reset, PUT state), and `kind` says what it is.
    `fingerprint` (16 bytes) identifies the request's body, `nonce` (16 bytes) this one request; `output` is what a
    replay answers. `inputs` are the float32 bytes that it steps with.
    """

    kind: str
    before: Position
    after: Position
    steps: int
    identity: Identity
    fingerprint: bytes
    nonce: bytes
    output: bytes
    inputs: bytes = b""
    reset: bytes = b""
    """A byte for each row, 1 where it begins anew; none if no row does."""
    layout: str | None = None
    """The places of the state that it gives, of a change whose state does not follow from its inputs."""


class StepChanges:
    """Changes of single steps that follow each other, as columns: a change is made when somebody looks at it.

    Either all of them name the number of their step, or none is recognised. Of many, a commit costs a third so. It is
    a sequence, but none of `collections.abc`: to be asked whether it is one would cost each step half a microsecond.
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
        """Where the session stands before the first of them."""
        self.digests = digests
        """Behind each of them, 16 bytes, side by side."""
        self.marks = marks
        """The fingerprint of each if they are numbered, else its nonce, side by side."""
        self.outputs = outputs
        """Of all of them, side by side; each has as many bytes."""
        self.inputs = inputs
        """Of all of them, or nothing."""
        self.numbered = numbered

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.marks) // MARK_BYTES

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> "StepChanges": ...
    def __getitem__(self, index: int | slice) -> "Change | StepChanges":
        """Return a change, or some that follow each other."""
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
        """Yield them in their order."""
        return map(self._change, range(len(self)))

    @property
    def after(self) -> Position:
        """Where the session stands behind the last of them."""
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
    """Return changes that follow each other as one sequence, as columns if all of them are."""
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

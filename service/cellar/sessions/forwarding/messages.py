"""The messages between processes that forward steps and those that run them: bytes, commands and results.

A message is its length in 4 bytes and a tuple in Python's marshal format, which has no names of classes, unlike pickle,
and packs a hundred steps in one call. A process takes messages only from one that has sent the same greeting.
"""

import marshal
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cellar import __version__
from cellar.errors import CellarError, InternalError
from cellar.ports import (
    APPEND,
    MARK_BYTES,
    Identity,
    Position,
    Readings,
    Reset,
    RowChoice,
    SessionKey,
    StepChanges,
    StepCommand,
    StepResult,
)

FORMAT = 4
"""Number of the format of messages: to be raised with each change of it."""

GREETING = f"cellar {__version__} steps {FORMAT} python {sys.version_info.major}.{sys.version_info.minor}\n".encode()
"""The first bytes of each side. With another greeting the processes do not work together."""

LENGTH_BYTES = 4
MOST_MESSAGE_BYTES = 1 << 30

Outcome = StepResult | BaseException
Plain = tuple[Any, ...]
"""A tuple that marshal can pack."""

_make = tuple.__new__
"""Makes a named tuple in a third of the time of its class."""


def pack(message: Plain) -> bytes:
    """Return the bytes of a message. Raise ValueError if a value in it is of a type that marshal does not know."""
    data = marshal.dumps(message)
    return len(data).to_bytes(LENGTH_BYTES, "little") + data


class MessageReader:
    """Finds the messages in the bytes of a connection."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._greeting = len(GREETING)

    def feed(self, data: bytes) -> Iterator[Plain]:
        """Add received bytes, and yield the messages that are complete. Raise ValueError for another greeting."""
        if not (self._data or self._greeting) and len(data) - LENGTH_BYTES == int.from_bytes(data[:4], "little"):
            yield marshal.loads(data[LENGTH_BYTES:])  # noqa: S302  # as below; nearly always it is one message
            return
        self._data += data
        if self._greeting:
            if not GREETING.startswith(self._data[: self._greeting]):
                raise ValueError("the process speaks another version of the protocol")
            if len(self._data) < self._greeting:
                return
            del self._data[: self._greeting]
            self._greeting = 0
            yield ()
        start, have = 0, len(self._data)
        while have - start >= LENGTH_BYTES:
            begin = start + LENGTH_BYTES
            end = begin + int.from_bytes(self._data[start:begin], "little")
            if end > have:
                break
            yield marshal.loads(memoryview(self._data)[begin:end])  # noqa: S302  # of a process of this service
            start = end
        if start:
            del self._data[:start]


# --- commands -------------------------------------------------------------------------------------------------------


def pack_command(number: int, after: int, command: StepCommand) -> Plain:
    """Return a command as a tuple. `after` is the number of the command that must succeed before it, 0 for none."""
    identity, reset, rows, inputs = command.identity, command.reset, command.rows, command.inputs
    if not command.is_finite:
        inputs = np.ascontiguousarray(inputs, "<f4")
    return (
        number,
        after,
        *command.session,
        inputs.shape,
        inputs.tobytes(),
        None if identity is APPEND else _pack_identity(identity),
        reset if isinstance(reset, bool) else [_flags(each) for each in reset],
        command.deadline_s,
        command.kind,
        command.layout,
        command.is_finite,
        command.came_s,
        None if rows is None else _pack_rows(rows),
        command.traceparent,
        None if command.readings is None else (command.readings.rows, pack_outcome(command.readings.refusal)),
        command.scored,
    )


def command_of(packed: Plain) -> StepCommand:
    """Return the command of a tuple, without its number, its predecessor and its pointer."""
    _, _, tenant, session, shape, inputs, identity, reset, *options, rows, traceparent, readings, scored = packed
    deadline_s, kind, layout, is_finite, came_s = options
    return StepCommand(
        _make(SessionKey, (tenant, session)),
        np.frombuffer(inputs, "<f4").reshape(shape),
        APPEND if identity is None else _identity_of(identity),
        reset,
        deadline_s,
        kind,
        layout,
        "",
        is_finite,
        came_s,
        None if rows is None else _rows_of(rows),
        None,
        traceparent,
        None if readings is None else Readings(readings[0], _error_of(*readings[1])),
        scored,
    )


def _pack_identity(identity: Identity) -> Plain:
    position, step, key, writer, seq = identity
    return (None if position is None else (*position,), step, key, writer, seq)


def _identity_of(packed: Plain) -> Identity:
    position, *others = packed
    return Identity(None if position is None else _make(Position, position), *others)


def _flags(reset: bool | Reset) -> bool | list[Any]:
    return bool(reset) if isinstance(reset, bool | np.bool_) else [_flags(each) for each in reset]


def _pack_rows(rows: RowChoice) -> Plain:
    flags = None if rows.flags is None else (rows.flags.shape, rows.flags.tobytes())
    return (_numbers(rows.numbers), _numbers(rows.lengths), flags)


def _numbers(values: Any) -> Any:
    return None if values is None else [*map(int, values)]


def _rows_of(packed: Plain) -> RowChoice:
    numbers, lengths, flags = packed
    return RowChoice(numbers, lengths, None if flags is None else np.frombuffer(flags[1], np.uint8).reshape(flags[0]))


# --- results --------------------------------------------------------------------------------------------------------


def pack_outcome(outcome: Outcome) -> Plain:
    """Return a result or an error as a tuple. An error that is not a CellarError becomes an InternalError."""
    if isinstance(outcome, StepResult):
        position, output, replayed = outcome.position, outcome.output, outcome.replayed
        return (*position, outcome.steps, output, replayed, outcome.model, outcome.scores)
    error = outcome if isinstance(outcome, CellarError) else InternalError()
    return (error.slug, {name: _plain(value) for name, value in vars(error).items()})


def outcome_of(packed: Plain, command: StepCommand) -> Outcome:
    """Return the result or the error of a tuple."""
    if len(packed) == 2:
        return _error_of(*packed)
    epoch, step, digest, steps, output, replayed, model, scores = packed
    return StepResult(command, _make(Position, (epoch, step, digest)), steps, output, replayed, model, scores)


def pack_changes(changes: StepChanges, model: str | None) -> Plain:
    """Return the committed steps of a batch as a tuple."""
    return (*changes.before, len(changes), changes.digests, changes.outputs, changes.numbered, model)


def changes_of(packed: Plain) -> tuple[StepChanges, str | None]:
    """Return the committed steps of a batch without marks and inputs, and the version that ran them."""
    epoch, step, digest, count, digests, outputs, numbered, model = packed
    before = Position(epoch, step, digest)
    return StepChanges(before, digests, bytes(MARK_BYTES * count), outputs, numbered=numbered), model


def _plain(value: Any) -> Any:
    """Return a value of an error with tuples and lists alone as containers."""
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value] if isinstance(value, list) else tuple(_plain(each) for each in value)
    return value if isinstance(value, str | int | float | bytes | None) else str(value)


def _subclasses(kind: type[CellarError]) -> Iterator[type[CellarError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _subclasses(each)


_KINDS: Mapping[str, type[CellarError]] = {kind.slug: kind for kind in _subclasses(CellarError)}


def _error_of(slug: str, values: Mapping[str, Any]) -> CellarError:
    kind = _KINDS[slug]
    error: CellarError = kind.__new__(kind)
    vars(error).update(values)
    return error

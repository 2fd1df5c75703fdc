"""Decodes a step from the record of a frame, in a bulk request or a WebSocket message."""

import re

import numpy as np

from cellar.api.schemas.names import IDEMPOTENCY_KEY_PATTERN, MOST_TIMEOUT_MS
from cellar.errors import InvalidInput, ShapeMismatch
from cellar.ports import APPEND, ROW_LEFT_OUT, ROW_RESET, ROWS, Identity, Position, RowChoice, SessionKey, StepCommand
from cellar.wire.frames.frames import Step

KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)


def identity_of(step: Step) -> Identity:
    """Return the identity by which a repeated request is recognised."""
    position, number, writer, seq, key = step[4:9]
    if position is None and number is None and writer is None and seq is None and key is None:
        return APPEND
    return Identity(None if position is None else Position(*position), number, key, writer, seq)


def command_of(step: Step, session: SessionKey, identity: Identity) -> StepCommand:
    """Return the command of the step. Raise InvalidInput, whose pointer names a field of the record."""
    if not step.sequence and len(step.inputs) != 1:
        raise ShapeMismatch("a step is one, or it is a sequence", expected="1 step", actual=f"{len(step.inputs)} steps")
    if step.key is not None and not KEY.fullmatch(step.key):
        raise InvalidInput("not an Idempotency-Key", pointer="/key", expected="printable ASCII")
    if step.timeout_ms > MOST_TIMEOUT_MS:
        expected = f"at most {MOST_TIMEOUT_MS} ms"
        raise InvalidInput("too long a timeout", pointer="/timeout_ms", expected=expected, actual=str(step.timeout_ms))
    reset = False if step.reset is None else _rows(step.reset)
    deadline_s = step.timeout_ms / 1000 or None
    rows = None if step.row_flags is None and step.numbers is None else _choice(step)
    if step.sequence:
        return StepCommand(session, step.inputs, identity, reset, deadline_s, "sequence", rows=rows)
    return StepCommand(session, step.inputs, identity, reset, deadline_s, "step", ROWS, rows=rows)


def _choice(step: Step) -> RowChoice:
    if step.row_flags is None:
        return RowChoice(step.numbers)
    flags = np.frombuffer(step.row_flags, np.uint8)
    steps, rows, _ = step.inputs.shape
    if flags.max(initial=0) > ROW_RESET + ROW_LEFT_OUT or len(flags) != steps * rows:
        raise InvalidInput(
            "not flags of rows",
            pointer="/row_flags",
            expected="a byte for each row of each step, 0, 1 or 2",
            actual=f"{len(flags)} bytes up to {flags.max(initial=0)}",
        )
    return RowChoice(step.numbers, None, flags.reshape(steps, rows))


def _rows(reset: bytes) -> list[bool]:
    if reset.translate(None, b"\0\1"):
        raise InvalidInput(
            "not a reset", pointer="/reset", expected="a byte for each row, 0 or 1", actual="another byte"
        )
    return [byte == 1 for byte in reset]

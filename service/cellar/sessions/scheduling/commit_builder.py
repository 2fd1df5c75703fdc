"""Checks a request against its session and model, and builds the commit of its change."""

from dataclasses import replace
from typing import Any

import numpy as np

from cellar.errors import (
    CellarError,
    InvalidInput,
    KernelRevisionMismatch,
    NotFinite,
    ShapeMismatch,
    StoreCorrupt,
    WholeSequencesOnly,
)
from cellar.ports import (
    ROW_LEFT_OUT,
    Change,
    Changes,
    Commit,
    Floats,
    Position,
    RedoEntry,
    RowFlags,
    SessionMeta,
    SessionRecord,
    StepChanges,
    join_changes,
)
from cellar.sessions.execution.kernel_batch import BAD, BatchItem, most_row_steps
from cellar.sessions.requests.change_request import ChangeRequest, Edited
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.requests.step_batch import StepBatch
from cellar.sessions.values.model_protocol import Network, Sizes, layout_of
from cellar.sessions.values.position import Kind, new_epoch, start_of

LEAST_SAVING = 8
"""A commit stores the inputs of its steps only if the state has this many times as many bytes."""


def check_inputs(inputs: Floats, kind: Kind, meta: SessionMeta, sizes: Sizes, max_numbers: int) -> None:
    """Raise ShapeMismatch, WholeSequencesOnly or IdUnknown unless `inputs` (T, rows, in_size) fits the session.

    Pointers begin at the inputs. `max_numbers` is the most numbers of an answer, which may be much longer than its
    request.
    """
    if sizes.whole_sequences and kind == "step":
        raise WholeSequencesOnly(
            "the model reads each sequence from both ends, so it cannot take a step alone: send all steps to /sequence",
            expected="a whole sequence",
            actual="one step",
        )
    expected = (meta.batch_size, sizes.in_size)
    if inputs.shape[1:] != expected:
        raise ShapeMismatch(
            f"a step of this session is {_rows(*expected)}, not {_rows(*inputs.shape[1:])}{_columns(sizes)}",
            expected=f"{expected} (batch_size, in_size)",
            actual=str(inputs.shape[1:]),
        )
    steps, rows = inputs.shape[:2]
    if steps * rows * sizes.out_size > max_numbers:
        raise ShapeMismatch(
            "the answer would be too large (CELLAR_MAX_NUMBERS)",
            expected=f"at most {max_numbers} numbers: steps x batch_size x out_size",
            actual=f"{steps} x {rows} x {sizes.out_size}",
        )
    if sizes.whole_sequences and steps * rows > most_row_steps(sizes):
        raise ShapeMismatch(
            "the sequence is too long for a model that must see all of it at once",
            expected=f"at most {most_row_steps(sizes)} steps x batch_size",
            actual=f"{steps} x {rows}",
        )
    if sizes.row_reader is None:  # rows of readings are checked with their flags: `readings.py`
        sizes.check_inputs(inputs)


def _columns(sizes: Sizes) -> str:
    """Return the columns of a row as text, "" if its numbers have no names."""
    return "" if sizes.row_reader is None else f"; each row has {sizes.row_reader.in_words}"


def _rows(rows: int, numbers: int) -> str:
    """Return a shape as text."""
    return f"{numbers} number{'s' * (numbers != 1)}" if rows == 1 else f"{rows} rows of {numbers}"


def check_rows(flags: RowFlags | None, meta: SessionMeta) -> None:
    """Raise InvalidInput unless the flags of rows, if there are any, have a place for each row of the session."""
    if flags is not None and flags.shape[1] != meta.batch_size:
        raise InvalidInput(
            "the rows to reset do not fit the session",
            pointer="/reset",
            expected=f"true, false, or as many of them as the session has rows: {meta.batch_size}",
            actual=str(flags.shape[1]),
        )
    if flags is not None and meta.learning and (flags == ROW_LEFT_OUT).any():
        raise InvalidInput(
            "the row of a session that learns takes part in every step, which a target may be given for",
            pointer="/rows",
            expected="no row that is left out",
        )


def check_state(record: SessionRecord, sizes: Sizes) -> None:
    """Raise StoreCorrupt for a state of another size, which would make the kernel call of other sessions fail too."""
    expected = 4 * record.meta.batch_size * sizes.state_size
    if len(record.state) != expected:
        raise StoreCorrupt(f"the state of the session has {len(record.state)} bytes, and should have {expected}")


def check_finite(values: Floats, pointer: str = "") -> None:
    """Raise NotFinite for a NaN or an infinity."""
    if not np.isfinite(values).all():
        raise NotFinite("a number is not finite as float32", pointer=pointer, expected="a finite number")


def check_revision(meta: SessionMeta, kernel_rev: int) -> None:
    """Raise KernelRevisionMismatch if the session is pinned to another revision of the arithmetic."""
    if meta.kernel_rev != kernel_rev:
        raise KernelRevisionMismatch(
            f"the session is pinned to kernel revision {meta.kernel_rev}; this service computes with {kernel_rev}:"
            " migrate it, or set CELLAR_ACCEPT_REVISIONS"
        )


def pinned_anew(meta: SessionMeta, kernel_rev: int) -> SessionMeta | None:
    """Return the new metadata of a session that is stepped with this revision, None if they stay the same."""
    return None if meta.kernel_rev == kernel_rev else replace(meta, kernel_rev=kernel_rev)


def bad_number(work: BatchItem) -> CellarError | None:
    """Return the error of steps that have run if they made a number that is not finite, else None."""
    if work.bad_step < 0:
        return None
    what, error = BAD[work.bad_kind]
    return error(f"step {work.record.position.step + work.bad_step} {what}")


def steps_commit(work: BatchItem, kernel_rev: int, state_every: int = 1) -> Commit | CellarError:
    """Return the commit of steps that have run, or the error if they made a number that is not finite.

    With `state_every` above 1 it may store the inputs in place of the state.
    """
    if (bad := bad_number(work)) is not None:
        return bad
    record, requests = work.record, work.requests
    meta = pinned_anew(record.meta, kernel_rev)
    outputs = work.outputs[0] if len(work.outputs) == 1 else b"".join(work.outputs)
    changes: Changes
    if len(requests) == 1 and requests[0].count == 1:
        request, before, after = requests[0], record.position, work.positions[0]
        if request.flags is None and not record.meta.log:  # nearly all
            steps, identity, mark = after.step - before.step, request.identity, request.fingerprint
            changes = (Change(request.kind, before, after, steps, identity, mark, request.nonce, outputs),)
        else:
            changes = (_step(request, record, before, after, outputs),)
    else:
        changes = _joined_changes(work, outputs)
    commit = Commit(record, changes, work.state, meta, requests[0].wanted_pause_s)
    if state_every > 1 and meta is None:
        commit.redo = redo_entry(work, len(changes), state_every)
    return commit


def redo_entry(work: BatchItem, changes: int, state_every: int) -> RedoEntry | None:
    """Return the steps of a commit to store in place of the state, None if it has to store the state.

    The commit that reaches or passes a step divisible by `state_every` stores the state, and so do those whose inputs
    would save little.
    """
    record, steps, flags = work.record, len(work.inputs), work.requests[0].flags
    step = record.position.step
    if step // state_every != (step + steps) // state_every or record.unstored >= state_every:
        return None
    size = work.inputs.nbytes
    if flags is not None:  # the store compresses these inputs, which are 0 where a row is left out
        size -= int((flags == ROW_LEFT_OUT).sum()) * size // (steps * record.meta.batch_size)
    if LEAST_SAVING * size > len(work.state) or not work.network.network.bits_promised:
        return None
    row_flags = b"" if flags is None else flags.tobytes()
    return RedoEntry(record.revision, changes, steps, work.inputs.tobytes(), row_flags)


def _joined_changes(work: BatchItem, outputs: bytes) -> Changes:
    """Return the changes of several requests, or of a batch of steps."""
    record = work.record
    size = len(outputs) // len(work.inputs)
    before, parts, at = record.position, list[Changes](), 0
    for request, after, digests in zip(work.requests, work.positions, work.digests, strict=True):
        end = at + size * (after.step - before.step)
        if isinstance(request, StepBatch):
            logged, numbered = _logged(request, record), request.identity.ordered
            parts.append(StepChanges(before, digests, request.marks, outputs[at:end], logged, numbered=numbered))
        else:
            parts.append((_step(request, record, before, after, outputs[at:end]),))
        before, at = after, end
    return join_changes(parts)


def _step(request: StepRequest, record: SessionRecord, before: Position, after: Position, output: bytes) -> Change:
    steps = after.step - before.step
    return _change(request, before, after, steps, output, _logged(request, record), request.flags)


def _logged(request: StepRequest, record: SessionRecord) -> bytes:
    return b"" if not record.meta.log else request.inputs.tobytes()


def edit_commit(record: SessionRecord, request: ChangeRequest, network: Network, kernel_rev: int) -> Commit:
    """Return the commit of the request's edit. Raise the error of the edit."""
    assert request.edit is not None
    return change_commit(record, request, network, request.edit(record, network), kernel_rev)


def change_commit(
    record: SessionRecord, request: ChangeRequest, network: Network, edited: Edited, kernel_rev: int
) -> Commit:
    """Return the commit of an edit: mostly at step 0 of an epoch that follows from the request and the position."""
    after = edited.after
    if after is None:
        after = record.position if edited.stays else start_of(epoch_after(record, request))
    reset = None if edited.reset is None else edited.reset.view(np.uint8)[None]
    logged = edited.logged or b"" if record.meta.log else b""
    change = _change(request, record.position, after, edited.steps, b"", logged, reset)
    if record.meta.log and not edited.stays and edited.logged is None:
        layout = layout_of(network.network) if edited.layout is None else edited.layout
        change = replace(change, layout=layout)
    meta = edited.meta
    if meta is None and edited.steps:
        meta = pinned_anew(record.meta, kernel_rev)
    redo = RedoEntry(record.revision, 1, 0, b"") if record.redo and edited.stays else None
    return Commit(record, (change,), edited.state, meta, request.wanted_pause_s, redo)


def epoch_after(record: SessionRecord, request: ChangeRequest) -> bytes:
    """Return the epoch that a change begins: unique, and the same if another process repeats the request."""
    if request.identity.key is not None:
        mark = request.identity.key.encode()
    else:
        mark = request.fingerprint if request.identity.ordered else request.nonce
    return new_epoch(record.meta.incarnation, record.position, mark)


def _change(
    request: Request[Any],
    before: Position,
    after: Position,
    steps: int,
    output: bytes,
    inputs: bytes,
    flags: RowFlags | None,
) -> Change:
    row_flags = b"" if flags is None else flags.tobytes()
    identity, mark, nonce = request.identity, request.fingerprint, request.nonce
    return Change(request.kind, before, after, steps, identity, mark, nonce, output, inputs, row_flags)

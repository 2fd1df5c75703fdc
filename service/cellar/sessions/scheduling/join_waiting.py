"""Decides which waiting steps of a session run together with its next one."""

from collections.abc import Callable

from cellar.ports import APPEND, Identity, SessionRecord, Writers
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.scheduling.session_queues import SessionQueue
from cellar.sessions.values.row_flags import resets_only

MOST_STEPS = 512
"""The most steps of requests that run together. A longer request runs alone."""


def join_waiting(queue: SessionQueue, record: SessionRecord, most: int, admits: Callable[[StepRequest], bool]) -> None:
    """Move waiting steps to the current ones, with which they then run: up to `most` requests in all.

    A step is moved if `admits` returns true and if it may run at the position that the steps before it lead to.
    """
    first = queue.current[0]
    if not isinstance(first, StepRequest) or not _may_share(first, record):
        return
    step, steps, count = record.position.step + len(first.inputs), len(first.inputs), first.count
    writers = record.writers.after(first.identity.writer, first.identity.seq, record.revision)
    while queue.waiting and count + queue.waiting[0].count <= most:
        request = queue.waiting[0]
        if request.is_over():  # it is dropped when it is taken up
            break
        if not isinstance(request, StepRequest):
            break
        inputs = request.inputs
        if inputs.shape[1:] != first.inputs.shape[1:] or steps + len(inputs) > MOST_STEPS:
            break
        if request.flags is not None or not _may_share(request, record):
            break
        if not (_follows(request.identity, step, writers) and admits(request)):
            break
        request.begin(first.tried_s)
        queue.current.append(queue.waiting.popleft())
        step, steps = step + len(inputs), steps + len(inputs)
        writers = writers.after(request.identity.writer, request.identity.seq, record.revision + count)
        count += request.count


def _may_share(request: StepRequest, record: SessionRecord) -> bool:
    """Return whether the request may share a commit.

    A request with an Idempotency-Key may not, because its answer is stored by itself. Requests of a session that keeps
    earlier states may not, because it keeps the states before each commit. Steps that some rows take no part in run in
    several calls. Scores need the state before the steps.
    """
    is_plain = (request.flags is None or resets_only(request.flags)) and not request.command.scored
    return is_plain and request.identity.key is None and not record.meta.history


def _follows(identity: Identity, step: int, writers: Writers) -> bool:
    """Return whether a request may run at `step`, whose digest is known when the steps before it have run."""
    if identity is APPEND:
        return True
    if identity.position is not None:
        return False
    if identity.writer is not None:
        return identity.seq == writers.last(identity.writer) + 1
    return identity.step is None or identity.step == step

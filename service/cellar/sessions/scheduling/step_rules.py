"""Checks steps against their session, and decides which waiting steps can run together."""

from contextlib import suppress
from itertools import islice

from cellar.errors import CellarError, ShapeMismatch
from cellar.memory.request_memory import RequestMemory
from cellar.ports import Floats, RowFlags, SessionMeta, SessionRecord
from cellar.sessions.execution.model_cache import LoadedModel
from cellar.sessions.execution.scores import scorer_of
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.scheduling.commit_builder import (
    check_finite,
    check_inputs,
    check_revision,
    check_rows,
    check_state,
)
from cellar.sessions.scheduling.join_waiting import join_waiting
from cellar.sessions.scheduling.readings import check_readings, read_request
from cellar.sessions.scheduling.session_queues import SessionQueue
from cellar.sessions.values.deleted_model import state_not_stored
from cellar.sessions.values.limits import SessionLimits
from cellar.sessions.values.model_protocol import Model, Sizes

USUAL_NUMBERS = 1024
"""Outputs up to this many numbers are not counted: of as many requests as may wait they take 16 MiB."""

OUTPUT_BYTES = 52
"""The memory that a number of an output takes until it is written: 4 bytes, 8 as float64, 20 in JSON with a copy."""


class StepRules:
    """The rules for steps of a service. A step that breaks a rule raises a CellarError."""

    def __init__(self, limits: SessionLimits, memory: RequestMemory) -> None:
        self.kernel_rev = limits.kernel_rev
        self._limits = limits
        self.state_every = limits.state_every
        self._memory = memory

    def can_step(self, meta: SessionMeta) -> bool:
        """Return whether a session can be stepped: its model was not deleted, and it may have this revision."""
        return meta.deleted is None and (self._limits.any_revision or meta.kernel_rev == self.kernel_rev)

    def check_revision(self, meta: SessionMeta) -> None:
        """Raise KernelRevisionMismatch for a session that is pinned to another revision and may not take this one."""
        if not self._limits.any_revision:
            check_revision(meta, self.kernel_rev)

    def check_change(self, record: SessionRecord) -> None:
        """Raise a CellarError for a session of another revision, or one whose present state cannot be computed."""
        self.check_revision(record.meta)
        if record.redo:
            raise state_not_stored(record.meta.model)

    def check_sequence(self, record: SessionRecord, inputs: Floats, flags: RowFlags | None, sizes: Sizes) -> None:
        """Raise a CellarError if a sequence cannot be run on a session."""
        self.check_change(record)
        check_inputs(inputs, "sequence", record.meta, sizes, self._limits.max_numbers)
        check_rows(flags, record.meta)
        if sizes.row_reader is None:
            check_finite(inputs)
        check_readings(inputs, flags, sizes)
        check_state(record, sizes)

    def check_steps(self, queue: SessionQueue, request: StepRequest, record: SessionRecord, model: Model) -> None:
        """Raise a CellarError if the steps of a request cannot be run on the record, unless their shape was checked.

        Reserve the memory of large outputs. Such steps are checked each time.
        """
        sizes = model.network.network
        if request.command.scored:
            request.scorer = scorer_of(model)
        if request.shape == queue.checked_shape and request.flags is None and record is queue.record:
            return
        if request.command.readings is not None:
            read_request(request, sizes, self._limits.max_numbers)
        if request.numbers is not None:
            self._place_rows(request, record)
        check_inputs(request.inputs, request.kind, record.meta, sizes, self._limits.max_numbers)
        check_rows(request.flags, record.meta)
        check_state(record, sizes)
        if sizes.row_reader is not None:
            check_readings(request.inputs, request.flags, sizes, request.command)
        is_usual = self._reserve_outputs(request, sizes)
        if record is queue.record and is_usual and not (sizes.takes_ids or sizes.whole_sequences):
            queue.checked_shape = request.shape

    def _place_rows(self, request: StepRequest, record: SessionRecord) -> None:
        """Give the request inputs of all rows of the session. Raise InvalidInput or ShapeMismatch."""
        steps, _, size = request.command.inputs.shape
        rows = record.meta.batch_size
        if steps * rows * size > self._limits.max_numbers:
            raise ShapeMismatch(
                "the steps of all rows would have too many numbers (CELLAR_MAX_NUMBERS)",
                expected=f"at most {self._limits.max_numbers} numbers: steps x batch_size x in_size",
                actual=f"{steps} x {rows} x {size}",
            )
        request.place_rows(rows)

    def _reserve_outputs(self, request: StepRequest, sizes: Sizes) -> bool:
        """Reserve the memory of the outputs unless they have a usual size; return whether they have. Raise Overloaded.

        The outputs of a long sequence may be much larger than its inputs.
        """
        steps, rows, _ = request.shape
        numbers = steps * rows * sizes.out_size
        if numbers <= USUAL_NUMBERS:
            return True
        command = request.command
        command.memory = command.memory or self._memory.reservation()
        command.memory.extend(command.inputs.nbytes + OUTPUT_BYTES * numbers)
        return False

    def may_go_as_one(self, request: StepRequest, record: SessionRecord) -> bool:
        """Return whether all requests of a batch may be in one commit."""
        return request.count <= self._limits.most_together and not record.meta.history

    def join(self, queue: SessionQueue, record: SessionRecord, served: LoadedModel) -> None:
        """Run waiting steps together with the first one, unless the network needs whole sequences.

        They are answered together, so their number is limited by the time of a call.
        """
        network, cost = served.model.network.network, served.queue.cost
        most = min(self._limits.most_together, cost.steps_a_call(record.meta.batch_size))

        def admits(request: StepRequest) -> bool:
            """Return whether the inputs of a request are valid, so that it can join the others."""
            if request.shape == queue.checked_shape:
                return True
            try:
                check_inputs(request.inputs, request.kind, record.meta, network, self._limits.max_numbers)
                check_readings(request.inputs, request.flags, network, request.command)
                self._reserve_outputs(request, network)
            except CellarError:
                return False  # it is refused when it is the next one
            return True

        if network.row_reader is not None:
            self._read_waiting(queue, network, most)
        if not network.whole_sequences:
            join_waiting(queue, record, most, admits)

    def _read_waiting(self, queue: SessionQueue, network: Sizes, most: int) -> None:
        """Read the readings of waiting steps, so that they can be run together. A faulty one is refused in its turn."""
        for request in islice(queue.waiting, most):
            if isinstance(request, StepRequest) and request.command.readings is not None:
                with suppress(CellarError):
                    read_request(request, network, self._limits.max_numbers)

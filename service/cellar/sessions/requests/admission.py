"""Admission control: limits the number of waiting requests, and refuses those that cannot be answered in time.

Requests that arrive faster than they are answered would wait longer and longer, until their clients give up after the
work was done. A client whose request is refused at once can send it again when there is room.

The waiting time is estimated in two ways, and the longer estimate counts. One is Little's law: the number of waiting
requests divided by the rate of answers. The other is the time of the kernel calls that the waiting requests need
(`call_cost.py`). Requests with short kernel calls share one queue, because the work outside the kernel limits them. All
other requests are counted with their model, so that a slow model does not refuse requests of other models.
"""

import math
from collections.abc import Callable

from cellar.errors import Overloaded
from cellar.sessions.requests.call_cost import CallCost

FEW = 64
"""The number of requests that may always wait: with fewer the rate of answers is too uncertain."""

FEW_OF_A_MODEL = 16
"""The number of requests without a deadline that may always wait for one model."""

SPAN_S = 0.1
"""Seconds for which answers are counted before their rate is used."""

A_SHARE = 4
"""The rate is used once one in this many of the waiting requests was answered, or half of the allowed time is over."""

LONGEST_S = 30
"""The longest Retry-After, seconds."""

WEIGHT = 0.5
"""The weight of the newest measurement in the rate, which then follows a change within half a second."""

CAUTION = 0.5
"""The share of the time of a request within which the requests before it must be answered. A queue of half the length
keeps the service as busy, and estimates may be wrong by a factor of two."""

HEAVY_S = 0.0001
"""The kernel time from which on a request is counted with its model: as long as all other work for a request."""

Size = tuple[int, int]
"""Rows and steps of a request."""

NO_SIZE: Size = (0, 1)
"""The size of a request that needs no kernel call."""


class Queue:
    """The number of requests that wait for the same resource, and the rate at which they are answered."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self.waiting = 0
        self.rate: float | None = None
        """Answers per second while requests wait; None if that is not known."""
        self._since_s = 0.0
        self._answered = 0

    def leave(self, requests: int) -> None:
        """Count waiting requests as answered."""
        self.waiting -= requests
        self._answered += requests

    def wait_s(self, now_s: float) -> float:
        """Return the time until the waiting requests are answered, by the rate of answers; 0.0 if it is not known."""
        self._look(now_s)
        if self.waiting < FEW:
            return 0.0
        unanswered_s = 0.0 if self._answered else now_s - self._since_s
        return max(unanswered_s, self.waiting / self.rate if self.rate else 0.0)

    def _look(self, now_s: float) -> None:
        """Measure the rate, if enough answers came in enough time.

        The answers of one kernel call come together, so the rate after a single answer would be wrong. With few of many
        answers it would be too low for a burst whose first answers are late.
        """
        if self.waiting < FEW:  # the rate of few requests does not apply to many
            self.rate, self._since_s, self._answered = None, now_s, 0
            return
        passed_s = now_s - self._since_s
        enough = self._answered * A_SHARE >= self.waiting or (self._answered and passed_s >= self._wait_s / 2)
        if passed_s >= SPAN_S and enough:
            rate = self._answered / passed_s
            self.rate = rate if self.rate is None else WEIGHT * rate + (1 - WEIGHT) * self.rate
            self._since_s, self._answered = now_s, 0


class ModelQueue(Queue):
    """Requests that wait for the kernel calls of one model."""

    def __init__(self, cost: CallCost, wait_s: float) -> None:
        super().__init__(wait_s)
        self.cost = cost
        self._rows = self._row_steps = 0
        """Rows of the waiting single steps, and rows times steps of the other waiting requests."""
        self.counted_s = 0.0
        """The time of its calls as it is part of the sum over all models, seconds."""

    def enter(self, requests: int, size: Size) -> None:
        """Count requests as waiting."""
        self.waiting += requests
        self._add(requests, *size)

    def end(self, requests: int, size: Size) -> None:
        """Count waiting requests as answered."""
        self.leave(requests)
        self._add(-requests, *size)

    def _add(self, requests: int, rows: int, steps: int) -> None:
        if steps == 1:
            self._rows += rows * requests
        else:
            self._row_steps += rows * steps * requests

    def calls_s(self) -> float:
        """Return the time of the kernel calls of the waiting requests, seconds."""
        cost, time_s = self.cost, 0.0
        if self._rows > 0:
            calls = math.ceil(self._rows / cost.rows_a_call(self._rows))
            time_s = calls * cost.fixed_s + self._rows * cost.row_s
        return time_s + self._row_steps * cost.sequence_row_s


class Admission:
    """Counts the requests that wait, and lets no more in than can be answered in time. Times are those of one clock, in
    seconds."""

    def __init__(self, most: int, wait_s: float, threads: int = 1) -> None:
        self.most = most
        """The most requests that may wait, and the most steps of a batch."""
        self.waiting = 0
        self.is_refusing = False
        """Whether the last request was refused."""
        self.on_empty: Callable[[], None] | None = None
        """Called when no request waits any more."""
        self._wait_s = wait_s
        self._threads = threads
        self._light = Queue(wait_s)
        self._calls_s = 0.0
        """The time of the waiting kernel calls of all models, seconds."""
        self._busy = 0
        """The number of models with waiting kernel calls."""

    def model_queue(self, cost: CallCost) -> ModelQueue:
        """Return a queue for the requests of another model."""
        return ModelQueue(cost, self._wait_s)

    def enter(
        self,
        now_s: float,
        requests: int = 1,
        model: ModelQueue | None = None,
        size: Size = NO_SIZE,
        left_s: float | None = None,
    ) -> ModelQueue | None:
        """Count requests as waiting, each of this size, and return the queue of their model if they are heavy.

        `model` is None if it is not known; `left_s` is the time within which they must be answered, None for any time.
        Raise Overloaded if too many requests wait, or if they would be answered too late.
        """
        model = self.check(now_s, requests, model, size, left_s)
        if model is None:
            self._light.waiting += requests
        else:
            self._add(model, requests, size)
        self.waiting += requests
        self.is_refusing = False
        return model

    def check(
        self, now_s: float, requests: int, model: ModelQueue | None, size: Size, left_s: float | None
    ) -> ModelQueue | None:
        """Return the same as `enter` and raise the same errors, but count nothing."""
        if self.waiting + requests > self.most:
            raise self._refusal("too many requests are waiting (CELLAR_QUEUE_LIMIT)", self._light.wait_s(now_s))
        if model is not None:
            rows, steps = size
            cost_s = rows * model.cost.full_row_s if steps == 1 else model.cost.request_s(rows, steps)
            if cost_s >= HEAVY_S:
                self._check_model(now_s, model, left_s)
                return model
        wait_s = self._light.wait_s(now_s)
        if wait_s > 0 and wait_s > (bound_s := self._bound_s(left_s)):
            raise self._refusal(f"the requests that wait would take longer than {self._said(bound_s)}", wait_s)
        return None

    def move(
        self, now_s: float, requests: int, model: ModelQueue, size: Size, left_s: float | None
    ) -> ModelQueue | None:
        """Count waiting requests with their model, which was not known before, if they are heavy. Raise as `enter`."""
        if model.cost.request_s(*size) < HEAVY_S:
            return None
        self._check_model(now_s, model, left_s)
        self._light.waiting -= requests
        self._add(model, requests, size)
        return model

    def _check_model(self, now_s: float, model: ModelQueue, left_s: float | None) -> None:
        wait_s, bound_s = self._model_wait_s(now_s, model), self._bound_s(left_s)
        if wait_s > bound_s and model.waiting >= (FEW_OF_A_MODEL if left_s is None else 1):
            detail = f"the requests that wait for this model would take longer than {self._said(bound_s)}"
            raise self._refusal(detail, wait_s)

    def _add(self, model: ModelQueue, requests: int, size: Size) -> None:
        model.enter(requests, size)
        self._count(model)

    def _bound_s(self, left_s: float | None) -> float:
        return self._wait_s if left_s is None else min(self._wait_s, CAUTION * left_s)

    def leave(self, requests: int = 1, model: ModelQueue | None = None, size: Size = NO_SIZE) -> None:
        """Count waiting requests as answered; `model` is the queue that `enter` returned."""
        self.waiting -= requests
        if model is None:
            self._light.leave(requests)
        else:
            model.end(requests, size)
            self._count(model)
        if self.on_empty is not None and not self.waiting:
            self.on_empty()

    def _model_wait_s(self, now_s: float, model: ModelQueue) -> float:
        """Return the time until the waiting requests of a model are answered; models share the threads in turns."""
        own_s = model.calls_s()
        others_s = min(max(0.0, self._calls_s - model.counted_s), self._busy * own_s)
        return max(own_s, (own_s + others_s) / self._threads, model.wait_s(now_s))

    def _said(self, bound_s: float) -> str:
        """Return a bound as text, with the name of the setting unless the bound is the deadline of a request."""
        return f"{bound_s:.3g} s" + (" (CELLAR_QUEUE_WAIT_S)" if bound_s == self._wait_s else "")

    def _refusal(self, detail: str, wait_s: float) -> Overloaded:
        self.is_refusing = True
        return Overloaded(detail, retry_after_s=min(LONGEST_S, max(1, math.ceil(wait_s))))

    def _count(self, model: ModelQueue) -> None:
        before_s, model.counted_s = model.counted_s, model.calls_s() if model.waiting else 0.0
        self._calls_s += model.counted_s - before_s
        self._busy += (model.counted_s > 0) - (before_s > 0)

"""Starts the application for a request only when its body is there, or the first kilobytes of a long one.

A request that waits inside the application is a task with some hundred objects, which take a tenth of a millisecond to
make and are visited by the garbage collector. A thousand clients that send a byte a second would delay all others by
that. Before the application starts, a request takes its bytes and a few objects.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cellar.api.fast_http.keep_alive import KeepAliveProtocol
from cellar.errors import Overloaded
from cellar.memory.request_memory import Reservation

FIRST_BYTES = 16 * 1024
"""Bytes of a body with which the application starts."""


class LateStartProtocol(KeepAliveProtocol):
    """One connection."""

    share: Reservation

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._unstarted: tuple[RequestResponseCycle, Any] | None = None
        """The request whose body is being read, and its application, which has not started."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start the application, at once or when the body is there."""
        if cycle.more_body and not cycle.waiting_for_100_continue and self.may_start_late(cycle):
            self._unstarted = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def may_start_late(self, cycle: RequestResponseCycle) -> bool:
        """Return whether the application answers nothing before it has the body."""
        raise NotImplementedError

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        super().on_body(body)
        if self._unstarted is not None:
            taken = len(self._unstarted[0].body)
            if taken >= FIRST_BYTES:
                return self._start()
            try:
                self.share.resize(taken)
            except Overloaded:  # the application answers that, and keeps the connection
                self._start()
        return None

    def on_message_complete(self) -> None:
        """The body is complete."""
        super().on_message_complete()
        if self._unstarted is not None:
            self._start()

    def _start(self) -> None:
        assert self._unstarted is not None
        (cycle, app), self._unstarted = self._unstarted, None
        self.share.release()
        if not cycle.disconnected:
            super()._start_asgi_task(cycle, app)

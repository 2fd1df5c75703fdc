"""Closes idle HTTP connections with one timer for each connection, not one for each request.

`python -m benchmarks.http_heads` measures what this saves: with a timer for each answer, a plain step takes 1.07 times
the CPU time where 32 clients send steps, and 1.05 times where one does.
"""

from typing import Any

from cellar.api.fast_http.strict import StrictProtocol


class KeepAliveProtocol(StrictProtocol):
    """uvicorn's protocol with another keep-alive timer.

    uvicorn starts a timer after every answer and cancels it at the next byte: four microseconds a request. Here the
    time of the answer is stored, and the one timer of the connection checks it when it fires.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.idle_since_s: float | None = None
        """When the last answer was complete, by the loop's clock; None if bytes were received since."""

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or begin to be idle."""
        if self.pipeline or self._final_action is not None or self.transport.is_closing():
            return self._start_pipelined()
        self.server_state.total_requests += 1
        if self.flow.read_paused:
            self.flow.resume_reading()
        self.idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)
        return None

    def _start_pipelined(self) -> None:
        """Start the next pipelined request, or do what is to be done after the last one."""
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle for the whole time, else check again when it will have been."""
        self.timeout_keep_alive_task = None
        if self.idle_since_s is None:  # the next answer makes another timer
            return
        left_s = self.idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_after(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _unset_keepalive_if_required(self) -> None:
        """End the idle time: bytes were received. The name is uvicorn's."""
        self.idle_since_s = None

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

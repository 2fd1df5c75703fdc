"""Flow control of an HTTP connection: when its socket is read."""

from asyncio import Transport
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class HoldingFlow(FlowControl):
    """uvicorn's flow control, for received bytes that are held. While any are, the socket is not read, and
    `resume_reading` continues with them."""

    def __init__(self, transport: Transport, read_held: Callable[[], None]) -> None:
        super().__init__(transport)
        self.holding = False
        self._read_held = read_held

    def pause_reading(self) -> None:
        """Stop reading."""
        if not self.holding:
            return super().pause_reading()
        self.read_paused = True
        return None

    def resume_reading(self) -> None:
        """Continue with the held bytes, or else read the socket."""
        if not self.holding:
            return super().resume_reading()
        if self.read_paused:
            self.read_paused = False
            self._read_held()
        return None

    def hold(self) -> None:
        """Do not read the socket."""
        if not self.holding:
            if not self.read_paused:
                self._transport.pause_reading()
            self.holding = True

    def resume_socket(self) -> None:
        """Read the socket again, unless the application has stopped reading."""
        if self.holding:
            self.holding = False
            if not self.read_paused:
                self._transport.resume_reading()

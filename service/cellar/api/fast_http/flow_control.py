"""Flow control of a connection whose received bytes may wait to be parsed."""

from asyncio import Transport
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class HoldingFlow(FlowControl):
    """uvicorn's flow control. While bytes are held, the socket is not read, and to resume means to go on with those."""

    def __init__(self, transport: Transport, go_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self.holding = False
        self._go_on = go_on

    def pause_reading(self) -> None:
        """Take no more for now."""
        if not self.holding:
            return super().pause_reading()
        self.read_paused = True
        return None

    def resume_reading(self) -> None:
        """Go on with what is held, else with what comes."""
        if not self.holding:
            return super().resume_reading()
        if self.read_paused:
            self.read_paused = False
            self._go_on()
        return None

    def hold(self) -> None:
        """Do not read the socket."""
        if not self.holding:
            if not self.read_paused:
                self._transport.pause_reading()
            self.holding = True

    def let_go(self) -> None:
        """Read the socket again unless the application has enough."""
        if self.holding:
            self.holding = False
            if not self.read_paused:
                self._transport.resume_reading()

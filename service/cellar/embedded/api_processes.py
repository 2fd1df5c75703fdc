"""The api processes of a service: one in each slot, kept running, and replaced one after the other on demand."""

import logging
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cellar.embedded.announcement import Announcement
from cellar.embedded.control import ControlChannel, Message
from cellar.embedded.place import Place
from cellar.embedded.processes import MARGIN_S, ChildProcess
from cellar.metrics.shared_page import SharedPage

log = logging.getLogger(__name__)

READY_WITHIN_S = 120.0
"""Time within which a process that replaces another must be ready; else the old one stays, seconds."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """The listening sockets: TCP, one for each slot or one for all; Unix, one for each of several slots."""

    tcp: Sequence[socket.socket]
    unix: Sequence[socket.socket]


@dataclass(frozen=True, slots=True)
class Launch:
    """The arguments with which the processes of all slots are started."""

    program: Sequence[str]
    parent: int
    slots: int
    sockets: Sockets
    page: SharedPage | None = None
    """The page of the metrics. It has two regions for each slot, so that a process and the one that replaces it have
    their own."""


class ApiProcess(ChildProcess):
    """The process of a slot. `region` is that of its metrics on the page of the service."""

    def __init__(self, launch: Launch, slot: int, region: int) -> None:
        super().__init__("api" if launch.slots == 1 else f"api {slot}", [*launch.program, "api"])
        self.region = region
        self.slot = slot
        self._launch = launch
        self.channel: ControlChannel | None = None
        """The parent's end of the channel, None before the first start."""
        self._told: Mapping[str, int] | None = None
        """The living slots that the process was told last."""
        self.store: Mapping[str, Any] | None = None
        """The facts about its store that the process sent when it was ready, None before."""
        self.waits_for: str | None = None
        """Why it is not ready, if it has said so."""

    @property
    def is_ready(self) -> bool:
        """Whether the process runs and has said that it is ready."""
        return self.store is not None and not self.ended()

    def receive(self) -> Iterator[Message]:
        """Take the messages of the process, and yield those that concern the others."""
        for message in self.channel.receive() if self.channel else ():
            if "ready" in message:
                self.store = message["ready"]
            elif "waiting" in message:
                self.waits_for = message["waiting"]
            else:
                yield message

    def send(self, message: Message) -> bool:
        """Send a message; return whether it could be sent."""
        return self.channel is not None and self.channel.send(message)

    def tell(self, living: Mapping[str, int]) -> None:
        """Tell the process which slots live, unless it was told."""
        if self._told != living and self.send({"living": living}):
            self._told = living

    def retire(self) -> None:
        """Ask the process to stop accepting, to answer the requests on its open connections, and to end."""
        if not self.send({"retire": True}):
            self.stop(signal.SIGTERM)

    def _open(self, command: Sequence[str], inherit: Sequence[int]) -> "subprocess.Popen[bytes]":
        if self.channel is not None:
            self.channel.close()
        self._told = self.store = self.waits_for = None
        self.channel, theirs = ControlChannel.pair()
        launch = self._launch
        unix = launch.sockets.unix
        place = Place(
            parent=launch.parent,
            slot=self.slot,
            slots=launch.slots,
            listeners=[each.fileno() for each in launch.sockets.tcp],
            control=theirs.fileno(),
            peer_listener=unix[self.slot].fileno() if unix else None,
            peers=[each.getsockname() for each in unix] if unix else None,
            page=None if launch.page is None else launch.page.descriptor,
            region=self.region,
        )
        try:
            return super()._open([*command, place.to_argument()], [*inherit, *place.descriptors])
        finally:
            theirs.close()


class Refreshes:
    """Has all processes read what one of them has changed, and tells it when they have."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[int, int], set[int]] = {}
        """The processes that have not read it yet, by the process that has asked and the number of its request."""

    def take(self, sender: ApiProcess, message: Message, processes: Sequence[ApiProcess]) -> None:
        """Take a request or an answer of a process."""
        if "refresh" in message:
            request = sender.pid, message["refresh"]
            others = [each for each in processes if each is not sender and each.is_ready]
            self._awaited[request] = {each.pid for each in others if each.send({"refresh": request})}
        elif "refreshed" in message:
            process, number = message["refreshed"]
            self._awaited.get((process, number), set()).discard(sender.pid)

    def answer(self, processes: Sequence[ApiProcess]) -> None:
        """Answer the requests that all others have carried out, of those that still run."""
        running = {each.pid: each for each in processes if not each.ended()}
        for request in [each for each, awaited in self._awaited.items() if not awaited & running.keys()]:
            del self._awaited[request]
            process, number = request
            if process in running:
                running[process].send({"refreshed": number})


class ApiProcesses:
    """The processes of all slots.

    A process that ends is started again in its slot, and the others are told. `restart` replaces one after the other: a
    second process is started on the sockets of the slot; once it is ready, the first one is retired. If the second one
    ends or does not become ready, the first one stays and nothing more is replaced.
    """

    def __init__(self, launch: Launch, announcement: Announcement, drain_s: float) -> None:
        self._make = partial(ApiProcess, launch)
        self._slots = launch.slots
        self._announcement = announcement
        self._drain_s = drain_s
        self._current = [self._make(slot, slot) for slot in range(launch.slots)]
        self._refreshes = Refreshes()
        self._to_replace: list[int] = []
        self._next: ApiProcess | None = None
        """The process that is to replace that of its slot."""
        self._next_until_s = 0.0
        self._retired: ApiProcess | None = None
        """The process that was replaced last, while it drains."""
        self._retired_until_s = 0.0

    def keep(self, now_s: float) -> bool:
        """Start what does not run, continue a restart, and tell the processes which of them live."""
        kept = [process.keep(now_s) for process in self._current]
        for process in self.running():
            for message in process.receive():
                self._refreshes.take(process, message, self._current)
        self._refreshes.answer(self.running())
        self._retire(now_s)
        self._replace(now_s)
        living = {str(process.slot): process.pid for process in self._current if process.is_ready}
        for process in self.running():
            process.tell(living)
        self._announce()
        return all(kept)

    def restart(self) -> None:
        """Begin to replace all processes, also those that were replaced already."""
        self._to_replace = list(range(len(self._current)))

    def channels(self) -> list[ControlChannel]:
        """Return the channels on which messages may arrive."""
        return [process.channel for process in self.running() if process.channel is not None]

    def running(self) -> list[ApiProcess]:
        """Return all processes, those that are being replaced too."""
        return [*self._current, *(each for each in (self._next, self._retired) if each is not None)]

    def _replace(self, now_s: float) -> None:
        """Start the next process that is to replace another, or put it into its slot once it is ready."""
        if self._next is None:
            if self._to_replace and self._retired is None:
                slot = self._to_replace.pop(0)
                self._next = self._make(slot, (self._current[slot].region + self._slots) % (2 * self._slots))
                self._next.keep(now_s)
                self._next_until_s = now_s + READY_WITHIN_S
        elif self._next.is_ready:
            slot = self._next.slot
            self._retired, self._current[slot], self._next = self._current[slot], self._next, None
            self._retired.retire()
            self._retired_until_s = now_s + self._drain_s + MARGIN_S
        elif self._next.ended() or now_s > self._next_until_s:
            log.error("the new %s process did not become ready; the old ones stay", self._next.name)
            self._next.stop(signal.SIGKILL)
            self._next, self._to_replace = None, []

    def _retire(self, now_s: float) -> None:
        """Forget the retired process once it has ended; end it if it takes too long."""
        if self._retired is None:
            return
        if self._retired.ended():
            self._retired = None
            if not self._to_replace:
                log.info("all api processes were replaced")
        elif now_s > self._retired_until_s:
            self._retired.stop(signal.SIGKILL)

    def _announce(self) -> None:
        stores = [process.store for process in self._current if process.store is not None]
        if len(stores) == len(self._current):
            self._announcement.ready(stores[0])
        for process in self._current:
            if process.waits_for is not None:
                self._announcement.waiting(process.waits_for)

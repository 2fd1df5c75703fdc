"""The changes of a session as server-sent events, continued after each lost connection.

Source: html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

import json
from collections.abc import Iterator

from cellar_client.arrays.inputs import from_lists
from cellar_client.core.effects import ConnectionLost, Emission, Emit, Open, Receive, Reply, Request
from cellar_client.core.exchange import Patience, problem_of
from cellar_client.errors import CellarError, Unavailable
from cellar_client.values import Event

ENDS = ("expired", "deleted")


class EventParser:
    """Splits a text into events. It keeps the beginning of an event whose end was not received yet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, part: bytes) -> Iterator[Event]:
        """Yield the events that are complete with this part."""
        *blocks, self._rest = (self._rest + part).split(b"\n\n")
        for block in blocks:
            lines = [line.partition(":") for line in block.decode().split("\n")]
            fields = {name: value.removeprefix(" ") for name, _, value in lines}
            if "event" in fields:
                yield _event(fields)


def watch(path: str, *, kept: bool, after: str | None, give_up_s: float) -> Emission[Event]:
    """Yield the events of the session at a path until it ends. Raise Problem if it cannot be watched."""
    patience, last, connected = Patience(give_up_s), after, False
    error: Exception
    while True:
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
        params = {"kept": "true"} if kept and last is None else {}
        try:
            reply: Reply = yield Open(Request("GET", f"{path}/events", b"", headers, params))
            if reply.status >= 300:
                problem = problem_of(reply)
                if not isinstance(problem, Unavailable):
                    raise problem
                yield patience.pause(problem, problem.retry_after_s)
                continue
            if connected and last is None and not kept:
                yield Emit(Event("gap"))  # there is no event behind which the service could continue
            parser, connected = EventParser(), True
            while part := (yield Receive()):
                patience.restart()
                for event in parser.feed(part):
                    last = event.id or last
                    if event.kind != "stopping":
                        yield Emit(event)
                    if event.kind in ENDS:
                        return
            error = CellarError("the service has ended the events")
        except ConnectionLost as lost:
            error = lost
        yield patience.pause(error)


def _event(fields: dict[str, str]) -> Event:
    data = json.loads(fields.get("data") or "{}")
    outputs = from_lists(data.get("outputs"))
    members = {name: data[name] for name in ("step", "position", "steps", "missed") if name in data}
    return Event(fields["event"], fields.get("id", ""), outputs=outputs, **members)

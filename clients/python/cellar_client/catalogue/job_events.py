"""The events of a training job or a sweep, continued after each lost connection.

Source: html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from cellar_client.core.effects import ConnectionLost, Emission, Emit, Open, Receive, Reply, Request
from cellar_client.core.exchange import Patience, problem_of
from cellar_client.documents import Document
from cellar_client.errors import CellarError, Unavailable

Item = TypeVar("Item")

NO_CONTENT = 204
"""The status of the answer behind the last event."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An event of a job or a sweep."""

    kind: str
    """`state`, `progress`, `trial` (of a sweep) or `end`; `gap` if events are missing; `deleted`."""
    id: str
    """`events(after=...)` continues behind it."""
    data: Document
    """All members of the event, as the API has them."""


def watch_job(path: str, *, after: str | None, give_up_s: float) -> Emission[JobEvent]:
    """Yield the events at a path until the last one. Raise Problem if they cannot be read."""
    return items_of_events(path, lambda event: [event], after=after, give_up_s=give_up_s)


def items_of_events(
    path: str, items: Callable[[JobEvent], Iterable[Item]], *, after: str | None = None, give_up_s: float
) -> Emission[Item]:
    """Yield the items of each event at a path until the last one. Raise Problem if they cannot be read."""
    patience, last = Patience(give_up_s), after
    error: Exception
    while True:
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
        try:
            reply: Reply = yield Open(Request("GET", path, b"", headers, {}))
            if reply.status == NO_CONTENT:
                return
            if reply.status >= 300:
                problem = problem_of(reply)
                if not isinstance(problem, Unavailable):
                    raise problem
                yield patience.pause(problem, problem.retry_after_s)
                continue
            rest = b""
            while part := (yield Receive()):
                patience.restart()
                *blocks, rest = (rest + part).split(b"\n\n")
                for event in _parsed(blocks):
                    last = event.id or last
                    if event.kind != "stopping":
                        for item in items(event):
                            yield Emit(item)
                    if event.kind == "deleted" or (event.kind == "end" and not event.id):
                        return
            error = CellarError("the service has ended the events")
        except ConnectionLost as lost:
            error = lost
        yield patience.pause(error)


def _parsed(blocks: list[bytes]) -> Iterator[JobEvent]:
    for block in blocks:
        lines = [line.partition(":") for line in block.decode().split("\n")]
        fields = {name: value.removeprefix(" ") for name, _, value in lines}
        if "event" in fields:
            yield JobEvent(fields["event"], fields.get("id", ""), json.loads(fields.get("data") or "{}"))

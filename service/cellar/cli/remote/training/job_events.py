"""Server-sent events of a job or a sweep, continued after each lost connection, and their text for people."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from cellar.cli.console import Mistake
from cellar.cli.remote.connection import Service

PAUSE_S = 1.0
"""Pause before a lost connection is made again."""

TRIES = 60
"""Connections in a row without an event, after which the command ends."""


def events(service: Service, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and the data of each event at a path until the last one. Raise Mistake."""
    last: str | None = None
    tries = 0
    while True:
        try:
            headers = {} if last is None else {"Last-Event-ID": last}
            with service.download(path, {}, headers) as answer:
                if answer.status_code == 204:
                    return
                for kind, number, data in _parsed(answer.iter_lines()):
                    tries, last = 0, number or last
                    if kind != "stopping":
                        yield kind, data
                    if (kind == "end" and not number) or kind == "deleted":
                        return
        except Mistake:
            if tries == 0 and last is None:
                raise
            if tries >= TRIES:
                raise
        tries += 1
        time.sleep(PAUSE_S if tries > 1 or last is None else 0)


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield kind, id and data of each event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line == "" and "event" in fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields.get("data", "{}"))
        if line == "":
            fields = {}
        else:
            fields[name] = value.removeprefix(" ")


def line_of(kind: str, data: Mapping[str, Any]) -> str:
    """Return an event of a job as a line of text.

    >>> line_of("progress", {"epoch": 2, "epochs": 9, "loss": 0.5, "steps_per_s": 1200.0, "time_left_s": 75.0})
    'epoch 2 of 9, loss 0.5, 1200 steps/s, 1 min 15 s left'
    >>> line_of("end", {"state": "succeeded", "result": "co2@2"})
    'succeeded: co2@2'
    """
    if kind == "progress":
        parts = [f"epoch {data['epoch']} of {data['epochs']}", f"loss {data['loss']:.6g}"]
        if data.get("validation_loss") is not None:
            parts.append(f"validation loss {data['validation_loss']:.6g}")
        if data.get("steps_per_s") is not None:
            parts.append(f"{data['steps_per_s']:.0f} steps/s")
        if data.get("time_left_s"):
            parts.append(f"{duration(data['time_left_s'])} left")
        return ", ".join(parts)
    if kind == "state":
        cancelling = ", cancelling" if data.get("cancelling") else ""
        return f"{data['state']}, attempt {data['attempt']}{cancelling}"
    if kind == "end":
        said = data.get("result") or data.get("error")
        return f"{data['state']}: {said}" if said else str(data["state"])
    return kind + (f": {data['missed']} events" if data.get("missed") else "")


def duration(seconds: float) -> str:
    """Return a duration for people.

    >>> duration(4.2), duration(75), duration(7300)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

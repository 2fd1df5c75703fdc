"""Trains a forecast on a file of readings, for `cellar train readings.csv --target temp --horizon 24`."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cellar.cli.console import Mistake, progress, say, show_json
from cellar.cli.plots import text_plot, write_png
from cellar.cli.remote.connection import Requests, path_of
from cellar.cli.remote.training.datasets import TYPES
from cellar.cli.remote.training.jobs import State, wait_for

NAIVE = {"last_value": "repeating the last value", "seasonal_value": "repeating the period before", "mean": "the mean"}

OWN_SCALES = ("per_series", "causal")
"""The scalings by which series have scales of their own."""

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Columned:
    """The columns that are forecast and read."""

    targets: Sequence[str]
    inputs: Sequence[str] | None
    horizon: int
    time: str | None
    series: str | None
    reads_times: bool = False
    """Whether the network reads the times."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of the command."""

    source: str
    """A file, or the name of a dataset."""
    columns: Columned
    model: str | None
    publish: str | None
    plot: Path | None
    fields: dict[str, Any]
    key: str | None


def headers_of(key: str | None) -> dict[str, str]:
    """Return the headers of a submission."""
    return {} if key is None else {"Idempotency-Key": key}


def train_dataset(service: Requests, asked: Asked, *, wait: bool, as_json: bool) -> int:
    """Upload the readings, start a job and follow it; return the exit code. Raise Mistake."""
    path = Path(asked.source)
    dataset = _upload(service, path, asked) if path.suffix.lower() in TYPES else asked.source
    model = asked.model or _name(path.stem)
    data: dict[str, Any] = {
        "dataset": dataset,
        "targets": list(asked.columns.targets),
        "horizon": asked.columns.horizon,
    }
    if asked.columns.inputs is not None:
        data["inputs"] = list(asked.columns.inputs)
    if asked.columns.reads_times:
        data["times"] = True
    body = {"model": model, "data": data, **asked.fields}
    if asked.publish is not None:
        body["publish"] = asked.publish
    job = service.send("POST", "/v1/jobs", json=body, headers=headers_of(asked.key))
    if not wait:
        show_json(job) if as_json else say(job["job"])
        return 0
    if not as_json:
        for each in job["chosen"]:
            say(f"{each['field']} = {json.dumps(each['value'])}\n    {each['why']}")
    job = wait_for(service, job)
    if asked.plot is not None:
        write_png(asked.plot, _losses(job))
    if as_json:
        show_json(job)
    else:
        for line in _report(service, job, dataset, asked.columns.targets):
            say(line)
    return 0 if job["state"] == State.SUCCEEDED else 1


def _upload(service: Requests, path: Path, asked: Asked) -> str:
    """Send a file as a dataset, and return its name, which follows from the file and its columns. Raise Mistake."""
    roles = {"time": asked.columns.time, "series": asked.columns.series}
    try:
        digest, size = hashlib.sha256(), path.stat().st_size
        with path.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                digest.update(part)
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror or error}") from error
    digest.update("".join(f"\n{role}={column}" for role, column in roles.items() if column is not None).encode())
    name = f"{_name(path.stem)[:40]}-{digest.hexdigest()[:8]}"
    params: dict[str, Any] = {"name": name, **roles}
    with progress(f"upload {path.name}", size) as advance:

        def content() -> Iterator[bytes]:
            """Yield the parts of the file."""
            with path.open("rb") as file:
                while part := file.read(CHUNK_BYTES):
                    yield part
                    advance(len(part))

        media_type = TYPES[path.suffix.lower()]
        headers = {"Content-Type": media_type}
        service.send("POST", "/v1/datasets", params=params, content=content(), headers=headers, tries=1)
    return name


def _name(stem: str) -> str:
    """Return a name for a model or dataset from that of a file.

    >>> _name("My readings (1)"), _name("7")
    ('My-readings-1', 'readings-7')
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    return name if name[:1].isalpha() else f"readings-{name}".rstrip("-")


def _losses(job: dict[str, Any]) -> dict[str, list[float | None]]:
    """Return the losses of training and of validation by epoch."""
    return {name: [each.get(name) for each in job["history"]] for name in ("loss", "validation_loss")}


def _report(service: Requests, job: dict[str, Any], dataset: str, targets: Sequence[str]) -> Iterator[str]:
    """Yield the lines about the result of a job."""
    losses = _losses(job)["validation_loss"]
    if losses:
        yield f"validation loss of {len(losses)} epochs"
        yield from text_plot(losses)
    for warning in job["warnings"]:
        yield f"warning: {warning}"
    chosen = {each["field"]: each["value"] for each in job["chosen"]}
    if job["evaluation"] is not None:
        yield from measured(job["evaluation"], has_own_scales=chosen.get("scaling") in OWN_SCALES)
    if job["state"] != State.SUCCEEDED:
        yield f"{job['state']}: {job['error'] or 'no version is published'}"
        return
    model = job["result"].partition("@")[0]
    yield f"published {job['result']}. {service.invitation}:"
    columns = [*targets, *chosen["data.inputs"], *([chosen["data.times"]] if "data.times" in chosen else [])]
    yield from next_requests(service.url, model, {"dataset": dataset}, *_first_row(service, dataset, columns))
    if "ahead" in chosen:
        yield f"In a step, {', '.join(chosen['ahead'])} has the value of the last of the steps that are forecast."


def measured(evaluation: Mapping[str, Any], *, has_own_scales: bool) -> Iterator[str]:
    """Yield the errors of a result in the units of its targets, beside those of the naive forecasts.

    With several targets, or series that have scales of their own, also by how much it is better over all of them.
    """
    by_target = evaluation["by_target"] or {}
    for target, errors in by_target.items():
        if errors["model"] is None:
            continue
        yield (
            f"On the held-out readings, forecasts of {target} are off by {errors['model']:.4g} on average"
            f" (mean absolute error, in the units of {target}):"
        )
        for name, words in NAIVE.items():
            if errors[name]:
                share = 1 - errors["model"] / errors[name]
                yield f"  {_compared(share)} than {words}, which is off by {errors[name]:.4g}"
    if evaluation["better_by"] is not None and (has_own_scales or len(by_target) > 1):
        yield f"Over all {'targets' if len(by_target) > 1 else 'series'}, each in its own scale:"
        for name, share in evaluation["better_by"].items():
            yield f"  {_compared(share)} than {NAIVE[name]}"


def _compared(share: float) -> str:
    return f"{abs(share):.1%} {'better' if share >= 0 else 'WORSE'}"


def _first_row(service: Requests, dataset: str, columns: Sequence[str]) -> tuple[dict[str, Any], str | None]:
    """Return the first readings of these columns, after the last ones, and their series if there are several.

    Raise Mistake.
    """
    described = service.send("GET", path_of("datasets", dataset))
    found = service.send("GET", path_of("datasets", dataset, "rows"), params={"limit": 1})
    row = dict(zip(found["columns"], found["rows"][0], strict=True))
    series = None
    for column in described["columns"]:
        if column["role"] == "series":
            series = str(row[column["name"]])
        if column["role"] == "time":
            last = datetime.fromisoformat(described["last"])
            row[column["name"]] = (last + timedelta(seconds=described["interval_s"] or 0)).isoformat()
    return {name: _short(row[name]) for name in columns}, series


def _short(value: Any) -> Any:
    """Return a number with the digits that float32 has.

    >>> _short(21.020000457763672)
    21.02
    """
    return float(f"{value:.7g}") if isinstance(value, float) else value


def next_requests(
    url: str, model: str, data: Mapping[str, Any], reading: Mapping[str, Any], series: str | None
) -> list[str]:
    """Return the requests that create a session after the data, ask for a forecast, and step it with readings."""
    warm_up = {**data, "series": series} if series is not None else data
    bodies = {
        "": {"session": "live", "model": model, "warm_up": warm_up},
        "/live/forecast": {},
        "/live/step": {"input": reading},
    }
    return [f"curl -s {url}/v1/sessions{path} --json {shlex.quote(json.dumps(each))}" for path, each in bodies.items()]

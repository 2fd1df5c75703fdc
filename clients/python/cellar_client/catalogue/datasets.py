"""Datasets: files of readings that are sent, read, listed and deleted."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cellar_client.catalogue.files import parts_of_file
from cellar_client.core.effects import Emission, Emit, Operation, Request
from cellar_client.core.exchange import call, exchange, given
from cellar_client.documents import DatasetDocument, DatasetLineDocument, Document

TYPES = {
    ".csv": "text/csv",
    ".txt": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".safetensors": "application/safetensors",
    ".parquet": "application/vnd.apache.parquet",
    ".pq": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}
"""Media types by the ending of a file's name."""


class DatasetsCore:
    """The datasets of a service."""

    def __init__(self, give_up_s: float) -> None:
        self.give_up_s = give_up_s

    def add(
        self,
        name: str,
        file: str | PathLike[str],
        *,
        targets: str | None = None,
        time: str | None = None,
        series: str | None = None,
        timezone: str | None = None,
        media_type: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Operation[DatasetDocument]:
        """Send a file of readings, which is kept as a dataset. The same file again returns the existing dataset.

        `options` are further parameters of `POST /v1/datasets`, such as `{"missing": "-999"}`. Raise
        DatasetInvalid for a fault in the file; its `document` has `row` and `column`.
        """
        path = Path(file)
        kind = media_type or TYPES.get(path.suffix.lower())
        if kind is None:
            raise ValueError(f"{path}: its name ends with none of {', '.join(TYPES)}; give media_type")
        params = (
            {"name": name} | given(targets=targets, time=time, series=series, timezone=timezone) | dict(options or {})
        )
        request = Request("POST", "/v1/datasets", partial(parts_of_file, path), {"Content-Type": kind}, params)
        document: DatasetDocument = json.loads((yield from exchange(request, self.give_up_s)).content)
        return document

    def add_sessions(
        self,
        name: str,
        *,
        prefix: str = "",
        model: str | None = None,
        targets: Sequence[str] | None = None,
        duplicates: str = "last",
    ) -> Operation[DatasetDocument]:
        """Keep what sessions have logged as a dataset, a series for each: those of a prefix, of a model, or both.

        `targets` are columns to be predicted, by default those of the model's readings; `duplicates` says which of
        several steps with the same time is kept. Raise NotKept if none of the sessions has logged steps.
        """
        sessions = given(prefix=prefix, model=model)
        options = given(targets=None if targets is None else list(targets), duplicates=duplicates)
        body = {"dataset": name, "sessions": sessions, **options}
        return call("POST", "/v1/datasets", body, give_up_s=self.give_up_s)

    def get(self, name: str) -> Operation[DatasetDocument]:
        """Return a dataset with its columns."""
        return call("GET", _path(name), give_up_s=self.give_up_s)

    def statistics(self, name: str) -> Operation[Document]:
        """Return the statistics of the columns of a dataset."""
        return call("GET", f"{_path(name)}/statistics", give_up_s=self.give_up_s)

    def rows(self, name: str, *, series: str | None = None) -> Emission[list[Any]]:
        """Yield the rows of a dataset, or those of one series, page by page."""
        params = {"series": series, "cursor": "", "limit": 1000}
        while True:
            page = yield from call("GET", f"{_path(name)}/rows", params=params, give_up_s=self.give_up_s)
            for row in page["rows"]:
                yield Emit(row)
            if not page["cursor"]:
                return
            params["cursor"] = page["cursor"]

    def export(self, name: str, format: str = "csv") -> Operation[bytes]:  # noqa: A002 - the API's parameter
        """Return all rows of a dataset as a file of CSV, or with `ndjson` of JSON objects."""
        request = Request("GET", f"{_path(name)}/export", params={"format": format})
        return (yield from exchange(request, self.give_up_s)).content

    def delete(self, name: str) -> Operation[None]:
        """Delete a dataset. Raise DatasetInUse if a job that has not ended needs it."""
        yield from call("DELETE", _path(name), give_up_s=self.give_up_s)

    def list(self) -> Emission[DatasetLineDocument]:
        """Yield the datasets by name, page by page."""
        params = {"cursor": ""}
        while True:
            page = yield from call("GET", "/v1/datasets", params=params, give_up_s=self.give_up_s)
            for each in page["datasets"]:
                yield Emit(each)
            if not page["cursor"]:
                return
            params["cursor"] = page["cursor"]


def _path(name: str) -> str:
    return f"/v1/datasets/{quote(name, safe='')}"

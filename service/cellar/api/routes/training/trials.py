"""Submits the jobs of sweeps, whose requests are the job of the sweep with the values of a trial."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from cellar.api.errors.validation_errors import invalid_body
from cellar.api.schemas.catalogue.jobs import JobRequest
from cellar.api.schemas.training.sweeps import trial_request
from cellar.datasets.datasets import OF_SWEEP
from cellar.errors import CellarError, InvalidInput
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.submission.dataset import unpack_dataset
from cellar.jobs.submission.submission import Jobs
from cellar.jobs.sweeps.space import applied
from cellar.nn.training.data.dataset import Dataset
from cellar.ports import BlobStore, Job, Sweep, Trial
from cellar.ports.catalogue.datasets import StoredDataset

MOST_CHECKED = 50
"""Trials of a new sweep that are compared with network and data. A later one that does not fit them fails alone."""

MOST_PLANNED = 8
"""The same for a dataset: each of its columns is read for a plan."""


class TrialSubmission:
    """Submits trials. Safe to call from several threads."""

    def __init__(self, jobs: Jobs, blobs: BlobStore) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._unpacked: tuple[str, Dataset] | None = None
        """The data of the last trial, which are mostly those of the next."""

    def check(self, sweep: Sweep, trial: Trial) -> None:
        """Raise InvalidInput for a trial that cannot be, or DatasetUnknown."""
        template = sweep.spec["job"]
        data: Dataset | StoredDataset
        if "blob" in sweep.spec:
            data = self._data(sweep.spec["blob"])
        else:
            data = self._jobs.pin(sweep.tenant, template["data"]["dataset"], OF_SWEEP + sweep.sweep)
        TrialCheck(self._jobs, sweep.tenant, template, data).of(trial)

    def submit(self, sweep: Sweep, trial: Trial) -> Job:
        """Submit the job of a trial; a repetition returns the same job. Raise a CellarError."""
        body = request_of(sweep.spec["job"], trial)
        asked: dict[str, Any] = {"publish": body.publish, "options": body.options(), "sweep": sweep.sweep}
        asked["resume_from"] = body.resume_from
        asked["key"] = f"\n{sweep.sweep}/{trial.rung}/{trial.number}"  # no header has a line feed
        if isinstance(body.data, ForecastData):
            asked["layers"] = body.layers_sent()
            made = self._jobs.submit_forecast(sweep.tenant, body.model, body.data, body.training(), **asked)
        else:
            data = self._data(sweep.spec["blob"])
            made = self._jobs.submit(sweep.tenant, body.model, data, body.training(), **asked)
        return made.job

    def _data(self, blob: str) -> Dataset:
        kept = self._unpacked  # another thread may replace it meanwhile
        if kept is None or kept[0] != blob:
            kept = blob, unpack_dataset(self._blobs.get(blob))
            self._unpacked = kept
        return kept[1]


def request_of(template: dict[str, Any], trial: Trial) -> JobRequest:
    """Return the request of a trial. Raise InvalidInput for values that the job cannot have."""
    try:
        return trial_request(template, trial)
    except ValidationError as error:
        given = error.errors(include_url=False)
        fault = invalid_body(given, applied(template, trial.parameters), JobRequest)
        raise _of_trial(trial, fault) from None


class TrialCheck:
    """Finds out which trials of a new sweep cannot be."""

    def __init__(self, jobs: Jobs, tenant: str, template: dict[str, Any], data: Dataset | StoredDataset) -> None:
        """`data` are the arrays of the jobs, or their dataset."""
        self._jobs, self._tenant, self._template, self._data = jobs, tenant, template, data
        self._most = MOST_CHECKED if isinstance(data, Dataset) else MOST_PLANNED

    def of_all(self, trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
        """Return the trials, of which those that cannot be have failed. Raise the error of the first if all have."""
        found, first, checked = list[Trial](), None, 0
        for trial in trials:
            try:
                body = request_of(self._template, trial)
                checked += 1
                if checked <= self._most:
                    self._examine(body, trial)
            except InvalidInput as error:
                first = first or error
                failed = replace(trial, state="failed", error=error.detail)
                found.append(failed)
            else:
                found.append(trial)
        if first is not None and all(trial.state == "failed" for trial in found[: self._most]):
            raise first
        return tuple(found)

    def of(self, trial: Trial) -> None:
        """Raise InvalidInput for a trial that cannot be."""
        self._examine(request_of(self._template, trial), trial)

    def _examine(self, body: JobRequest, trial: Trial) -> None:
        """Compare a job with its data. Raise InvalidInput if they do not fit."""
        try:
            if isinstance(body.data, ForecastData):
                assert not isinstance(self._data, Dataset)
                self._jobs.examine_forecast(self._data, body.model, body.data, body.training(), body.layers_sent())
            else:
                assert isinstance(self._data, Dataset)
                self._jobs.examine(self._tenant, body.model, self._data, body.training(), body.options())
        except InvalidInput as error:
            raise _of_trial(trial, error) from None


def _of_trial(trial: Trial, error: CellarError) -> InvalidInput:
    known = {name: getattr(error, name, None) for name in ("expected", "actual")}
    values = ", ".join(f"{name}={value}" for name, value in trial.parameters.items())
    return InvalidInput(
        f"trial {trial.number} ({values}) cannot be: {error.detail}",
        pointer="/parameters",
        expected=known["expected"] or "values that the job can have",
        actual=known["actual"] or values,
    )

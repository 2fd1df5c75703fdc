"""Submits the jobs of sweeps, whose requests are the job of the sweep with the values of a trial."""

from typing import Any

from pydantic import ValidationError

from cellar.api.errors.validation_errors import invalid_body
from cellar.api.schemas.catalogue.jobs import JobRequest
from cellar.api.schemas.training.sweeps import trial_request
from cellar.errors import CellarError, InvalidInput
from cellar.jobs.dataset import unpack_dataset
from cellar.jobs.submission import Jobs
from cellar.jobs.sweeps.space import applied
from cellar.nn.training.data.dataset import Dataset
from cellar.ports import BlobStore, Job, Sweep, Trial

MOST_CHECKED = 50
"""Trials of a new sweep that are compared with network and data. A later one that does not fit them fails alone."""


class TrialSubmission:
    """Submits trials. Safe to call from several threads."""

    def __init__(self, jobs: Jobs, blobs: BlobStore) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._unpacked: tuple[str, Dataset] | None = None
        """The data of the last trial, which are mostly those of the next."""

    def __call__(self, sweep: Sweep, trial: Trial) -> Job:
        """Submit the job of a trial; a repetition returns the same job. Raise a CellarError."""
        body = request_of(sweep.spec["job"], trial)
        return self._jobs.submit(
            sweep.tenant,
            body.model,
            self._data(sweep.spec["blob"]),
            body.training(),
            publish=body.publish,
            options=body.options(),
            key=f"\n{sweep.sweep}/{trial.rung}/{trial.number}",  # no header has a line feed
            sweep=sweep.sweep,
            resume_from=body.resume_from,
        ).job

    def _data(self, blob: str) -> Dataset:
        if self._unpacked is None or self._unpacked[0] != blob:
            self._unpacked = blob, unpack_dataset(self._blobs.get(blob))
        return self._unpacked[1]


def request_of(template: dict[str, Any], trial: Trial) -> JobRequest:
    """Return the request of a trial. Raise InvalidInput for values that the job cannot have."""
    try:
        return trial_request(template, trial)
    except ValidationError as error:
        given = error.errors(include_url=False)
        fault = invalid_body(given, applied(template, trial.parameters), JobRequest)
        raise _of_trial(trial, fault) from None


def check_trials(jobs: Jobs, tenant: str, template: dict[str, Any], trials: tuple[Trial, ...], data: Dataset) -> None:
    """Raise the error of the first trial that cannot be."""
    for number, trial in enumerate(trials):
        body = request_of(template, trial)
        if number < MOST_CHECKED:
            try:
                jobs.examine(tenant, body.model, data, body.training(), body.options())
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

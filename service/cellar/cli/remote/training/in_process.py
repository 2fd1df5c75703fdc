"""Trains without a service, for `cellar train --local`: this process reads the file, runs the job and publishes.

Everything is kept in the Redis and the data directory that `cellar serve` would use, so that a service that runs now,
or is started later, serves the model. A job that is interrupted is given back with a checkpoint, and the worker of the
next service continues it.
"""

import os
import signal
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ValidationError

from cellar.api.schemas.catalogue.datasets import DatasetAnswer, DatasetQuery
from cellar.api.schemas.catalogue.jobs import JobAnswer, JobRequest
from cellar.assembly.parts import Parts
from cellar.cli.console import Mistake
from cellar.cli.remote.connection import Params, default_url
from cellar.datasets.ingestion.reading import read_table
from cellar.datasets.views.preview import rows_of
from cellar.embedded.directory import Directory
from cellar.embedded.server import PrivateRedis
from cellar.engine import self_test
from cellar.jobs.attempt import runner
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.submission.submission import Jobs, JobSubmission
from cellar.machine import processors
from cellar.memory import shares
from cellar.memory.temporary_files import TemporaryFiles
from cellar.models.registry import Registry
from cellar.ports import Job
from cellar.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

TENANT = "default"
"""The tenant of requests without an API key."""


class NoQueue:
    """The queue of a process that runs its jobs itself. The sweeper of a service queues those that were given back."""

    def push(self, job: Job) -> None:
        """Do nothing."""


class InProcess:
    """Answers the requests of the command `train` as a service does, and runs its job on a thread.

    A context manager; at its end a job that still runs is given back.
    """

    invitation = "Start `cellar serve`, create a session that continues the data, and ask what comes next"

    def __init__(self, settings: Settings) -> None:
        self.url = default_url()
        self._settings = settings
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._running: threading.Thread | None = None
        self._error: Exception | None = None
        """Why the thread has ended without an outcome of the job."""

    def __enter__(self) -> Self:
        """Connect to the Redis of the settings, or start that of the data directory. Raise StartupError.

        SIGTERM ends the process in good order from now on.
        """
        self._stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _end))
        settings = self._settings
        if settings.redis_url is None:
            directory = Directory(settings.data_dir, settings.runtime_dir)
            limit = settings.redis_max_memory_bytes
            fsync: Literal["always", "everysec"] = "everysec" if settings.durability == "relaxed" else "always"
            server = self._stack.enter_context(PrivateRedis(directory, fsync=fsync, max_memory_bytes=limit))
            os.environ["CELLAR_DATASET_DIR"] = str(settings.dataset_directory)
            os.environ["CELLAR_REDIS_URL"] = server.url  # also for the processes of a job that has several
            self._settings = Settings.load()
        self._parts = Parts(self._settings)
        most_bytes = self._settings.job_memory_bytes or shares.job_bytes(1)
        stores = self._parts.jobs, self._parts.blobs, self._parts.registry, NoQueue(), self._parts.clock
        self._jobs = Jobs(*stores, self._parts.datasets, most_bytes=most_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        """Give a running job back, and stop a Redis that no service uses."""
        self._stop.set()
        if self._running is not None:
            self._running.join()
        self._stack.close()

    def left(self, job: str) -> str:
        """Return a sentence about a job that has not ended when the command ends."""
        return f"the job {job} is given back with what it has learnt: `cellar serve` continues it"

    def get(self, path: str, params: Params | None = None) -> Any:
        """Return the document at a path. Raise CellarError."""
        return self.send("GET", path, params=params)

    def send(self, method: str, path: str, **request: Any) -> Any:
        """Return the document that answers a request of the command `train`. Raise CellarError or Mistake."""
        match [method, *path.removeprefix("/v1/").split("/")]:
            case ["POST", "datasets"]:
                return self._add(request["params"], request["content"], request["headers"]["Content-Type"])
            case ["GET", "datasets", dataset]:
                return _json(DatasetAnswer.of(self._parts.datasets.get(TENANT, dataset)))
            case ["GET", "datasets", dataset, "rows"]:
                table = self._parts.datasets.open(TENANT, dataset)
                rows = rows_of(table, 0, min(table.rows, request["params"]["limit"]))
                return {"columns": [column.name for column in table.columns], "rows": rows}
            case ["POST", "jobs"]:
                return self._submit(request["json"], request["headers"].get("Idempotency-Key"))
            case ["GET", "jobs", job]:
                if self._error is not None:
                    raise self._error
                return self._answer(self._jobs.get(TENANT, job))
        raise Mistake(f"{method} {path} needs a service: leave out --local")

    def _add(self, params: Mapping[str, Any], content: Iterable[bytes], media_type: str) -> Any:
        files = TemporaryFiles(self._settings.data_dir / "tmp")
        asked = _validated(DatasetQuery, {name: value for name, value in params.items() if value is not None})
        with files.open() as file:
            file.writelines(content)
            file.flush()
            built = read_table(file, media_type, asked.options(), files)
        with built.file:
            return _json(DatasetAnswer.of(self._parts.datasets.add(TENANT, asked.name, built, media_type).stored))

    def _submit(self, body: Mapping[str, Any], key: str | None) -> Any:
        asked = _validated(JobRequest, body)
        given: dict[str, Any] = {"publish": asked.publish, "options": asked.options(), "key": key}
        given["resume_from"] = asked.resume_from
        made: JobSubmission
        if isinstance(asked.data, ForecastData):
            given["layers"] = asked.layers_sent()
            made = self._jobs.submit_forecast(TENANT, asked.model, asked.data, asked.training(), **given)
        else:
            made = self._jobs.submit(TENANT, asked.model, asked.data.dataset(), asked.training(), **given)
        self._running = threading.Thread(target=self._run_job, args=(made.job.job,), name="training")
        self._running.start()
        return self._answer(made.job)

    def _run_job(self, job: str) -> None:
        try:
            self._run(job)
        except Exception as error:  # the main thread raises it
            self._error = error

    def _run(self, job: str) -> None:
        parts, settings = self._parts, self._settings

        def prepare() -> Registry:
            """Check the arithmetic, and return the models."""
            self_test.check(parts.kernels, training=True)
            return parts.registry

        runner.run(
            TENANT,
            job,
            jobs=parts.jobs,
            blobs=parts.blobs,
            prepare=prepare,
            lease_s=settings.job_lease_s,
            stall_s=settings.job_stall_s,
            tables=parts.datasets,
            processes=min(settings.job_processes, processors()),
            stop=self._stop,
        )

    def _answer(self, job: Job) -> Any:
        return _json(JobAnswer.of(job, self._jobs.history(TENANT, job.job)))


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)  # as shells have it


def _json(answer: BaseModel) -> Any:
    return answer.model_dump(mode="json")


def _validated(kind: type[Model], document: Any) -> Model:
    """Return decoded JSON as a model. Raise InvalidInput with a pointer to the fault."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        from cellar.api.errors.validation_errors import invalid_body

        raise invalid_body(error.errors(include_url=False), document, kind) from None

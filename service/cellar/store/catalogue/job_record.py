"""Reads the record of a training job, a hash that `lua/job/common.lua` describes."""

import json
from collections.abc import Mapping
from typing import Any

from cellar.errors import StoreCorrupt
from cellar.ports import Job
from cellar.store.catalogue.job_events import STATES
from cellar.store.protocol.resp import text

TIMES = ("started_s", "ended_s", "cancel_asked_s")


def read_job(tenant: str, job: str, record: Mapping[Any, Any]) -> Job:
    """Return a job. Raise StoreCorrupt."""
    fields = {text(name): text(value) for name, value in record.items()}
    times = {name: float(fields[name]) for name in TIMES if name in fields}
    try:
        return Job(
            tenant=tenant,
            job=job,
            state=STATES[fields["state"]],
            spec=json.loads(fields["spec"]),
            created_s=float(fields["created_s"]),
            attempt=int(fields["attempt"]),
            started_s=times.get("started_s"),
            ended_s=times.get("ended_s"),
            progress=json.loads(fields.get("progress", "{}")),
            result=fields.get("result"),
            error=fields.get("error"),
            checkpoint=fields.get("checkpoint"),
            spare=fields.get("spare"),
            cancel_asked_s=times.get("cancel_asked_s"),
            outcome=json.loads(fields.get("outcome", "null")),
        )
    except (KeyError, ValueError) as error:
        raise StoreCorrupt(f"unreadable job {job}: {error!r}") from error


def trains(job: Job, model: str) -> bool:
    """Return whether a job trains a model ("name", any version of it) or a version ("name@3")."""
    version = str(job.spec.get("model", ""))
    return model in (version, version.partition("@")[0])

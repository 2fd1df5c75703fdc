"""A data directory that another version of the service has left is opened by this one, which goes on bit by bit."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cellar.engine import KERNEL_REV
from tests.e2e.replica import environment, serving
from tests.stored.client import WITHIN_S, Client, assert_holds
from tests.stored.requests import AFTER, get
from tests.stored.write import copy

pytestmark = pytest.mark.timeout(300)

STORED = Path(__file__).parent / "data_60bad15"
KNOWN: dict[str, Any] = json.loads((STORED / "answers.json").read_text())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, kernel_directory: Path) -> Iterator[Client]:
    """Yield a client of a service on a copy of the directory, which knows what the clients before knew."""
    data = copy(STORED, tmp_path_factory.mktemp("stored") / "data")
    settings = environment(data_dir=str(data), cache_dir=str(kernel_directory), worker="true")
    with (
        serving(settings) as replica,
        closing(Client(replica.url, dict(KNOWN["positions"]), dict(KNOWN["jobs"]))) as client,
    ):
        yield client


def test_a_job_goes_on_from_its_checkpoint(client: Client) -> None:
    # From the beginning the job takes seconds, in which an epoch before the checkpoint would be seen.
    until = time.monotonic() + WITHIN_S
    while (job := client.ask(get("/jobs/{half}"))["body"])["state"] != "succeeded":
        assert job["state"] in ("queued", "running")
        assert job["progress"]["epoch"] >= KNOWN["checkpoint_epoch"]
        assert time.monotonic() < until, job
        time.sleep(0.02)
    assert job["attempt"] == 2


@pytest.mark.parametrize("topic", AFTER)
def test_a_service_goes_on_as_the_one_before_did(client: Client, topic: str) -> None:
    for request, answer in zip(AFTER[topic], KNOWN["answers"][topic], strict=True):
        assert_holds(client.ask(request), answer, f"{request.method} {request.path}")


def test_the_directory_is_of_this_revision_of_the_arithmetic(client: Client) -> None:
    """With the next revision a new directory is written; test_revisions.py has what one of before is for then."""
    assert client.ask(get("/sessions/ring"))["body"]["kernel_rev"] == KERNEL_REV

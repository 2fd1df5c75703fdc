"""Further losses, schedules, masks and ways of updating, through real jobs beside recorded runs of PyTorch."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellar.nn.spec.kinds import types_of
from cellar.nn.training.losses import LOSSES
from cellar.nn.training.schedules import SCHEDULES
from cellar.store.topology.factory import sync_client
from tests.matrix import cases, golden
from tests.matrix.compare import Result, agrees
from tests.matrix.job import Rig
from tests.matrix.settings import SETTINGS, Setting


@pytest.fixture(scope="module")
def rig(redis_url: str, kernel_directory: Path) -> Iterator[Rig]:
    """Yield what carries jobs out."""
    client = sync_client(redis_url)
    yield Rig(client, f"test-{uuid.uuid4().hex}", kernel_directory)
    client.close()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_job_ends_as_pytorch(setting: Setting, rig: Rig) -> None:
    outcome = rig.run(setting)
    assert outcome.error is None
    right, far = agrees(Result(outcome.losses, outcome.weights), *golden.read(setting))
    assert right, f"{far:.1e} away from PyTorch"


def test_every_loss_and_schedule_is_compared() -> None:
    names = {setting.name for setting in SETTINGS} | set(cases.LOSSES) | {"constant"}
    assert {name for kind in (*LOSSES, *SCHEDULES) for name in types_of(kind)} <= names

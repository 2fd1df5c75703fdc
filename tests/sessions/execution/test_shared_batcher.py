"""Cheap steps of many models: one batch, one call of each network, one commit group, and no model in another's way."""

import asyncio
from collections.abc import Sequence

import pytest

from cellar.ports import APPEND, ModelVersion, SessionKey
from cellar.sessions.execution import micro_batcher
from cellar.sessions.execution.micro_batcher import SHARED_FLOPS
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import BAD_STATE, ExactCode, ExactModel, ExactModels, ExactNetwork, history
from tests.sessions.session_calls import a_sequence, begin, output, step

pytestmark = pytest.mark.anyio


class Fleet(ExactModels):
    """A model for each device: versions with a network of their own, and one code; the last few have none."""

    def __init__(self, count: int, without_code: int = 0, flops: int = 1) -> None:
        super().__init__(newest=count)
        self.code = ExactCode()
        self.networks = {
            number: ExactNetwork(flops=flops, code=None if number > count - without_code else self.code)
            for number in range(1, count + 1)
        }

    def load(self, version: ModelVersion) -> ExactModel:
        """Load a model."""
        self.loads += 1
        return ExactModel(version, self.networks[version.version])


async def started(service: Service, models: Fleet) -> list[SessionKey]:
    """Create a session of each model, and step it once, so that everything is at hand."""
    keys = [await begin(service, model=f"exact@{number}") for number in models.networks]
    for key in keys:
        await step(service, key, 1)
    models.code.calls.clear()
    for network in models.networks.values():
        network.calls.clear()
    return keys


async def step_all(service: Service, keys: Sequence[SessionKey], values: Sequence[float]) -> list[list[float] | str]:
    """Submit a step for each session, all at once; return the outputs, and the names of errors."""
    asked = [
        service.sessions.ask(key, "step", a_sequence(value), APPEND) for key, value in zip(keys, values, strict=True)
    ]
    found: list[list[float] | str] = []
    for pending in asked:
        try:
            found.append(output(await pending))
        except Exception as error:
            found.append(type(error).__name__)
    return found


async def test_steps_of_many_models_share_a_call_and_a_commit_group(
    redis_url: str, start_service: StartService
) -> None:
    models = Fleet(20)
    service = start_service(redis_url, models=models)
    keys = await started(service, models)
    group_commit = service.sessions._scheduler._lifecycle.group_commit
    before = group_commit.number
    values = [float(number) for number in range(20)]
    assert await step_all(service, keys, values) == [history([1, value]) for value in values]
    assert models.code.calls == [[1] * 20]
    assert group_commit.number == before + 1


async def test_rows_of_a_model_are_side_by_side_in_the_call(redis_url: str, start_service: StartService) -> None:
    models = Fleet(3)
    service = start_service(redis_url, models=models)
    keys = [key for _ in range(4) for key in await started(service, models)]
    assert await step_all(service, keys, [5.0] * 12) == [history([1, 5])] * 12
    assert models.code.calls == [[4, 4, 4]]


async def test_networks_that_share_no_code_share_the_batch(redis_url: str, start_service: StartService) -> None:
    models = Fleet(6, without_code=3)
    service = start_service(redis_url, models=models)
    keys = await started(service, models)
    group_commit = service.sessions._scheduler._lifecycle.group_commit
    before = group_commit.number
    assert await step_all(service, keys, [2.0] * 6) == [history([1, 2])] * 6
    assert models.code.calls == [[1, 1, 1]]
    assert group_commit.number == before + 1


async def test_an_error_of_one_network_is_no_error_of_another(redis_url: str, start_service: StartService) -> None:
    models = Fleet(6, without_code=3)
    service = start_service(redis_url, models=models)
    keys = await started(service, models)

    def fail() -> None:
        raise ArithmeticError

    models.networks[5].before = fail  # type: ignore[method-assign]  # the double's own hook
    good = history([1, 2])
    assert await step_all(service, keys, [2.0] * 6) == [good, good, good, good, "ArithmeticError", good]
    del models.networks[5].before
    assert await step_all(service, keys, [3.0] * 6) == [*[history([1, 2, 3])] * 4, history([1, 3]), history([1, 2, 3])]


async def test_a_bad_number_of_one_model_is_no_other_s(redis_url: str, start_service: StartService) -> None:
    models = Fleet(4)
    service = start_service(redis_url, models=models)
    keys = await started(service, models)
    found = await step_all(service, keys, [2.0, BAD_STATE, 2.0, 2.0])
    assert found == [history([1, 2]), "StateNotFinite", history([1, 2]), history([1, 2])]
    assert output(await step(service, keys[1], 2)) == history([1, 2])


async def test_a_batch_takes_no_more_than_is_run_at_once(
    redis_url: str, start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro_batcher, "PROMPT_FLOPS", 4 * SHARED_FLOPS)
    models = Fleet(10, flops=SHARED_FLOPS)
    service = start_service(redis_url, models=models)
    keys = await started(service, models)
    assert await step_all(service, keys, [2.0] * 10) == [history([1, 2])] * 10
    assert sorted(map(sum, models.code.calls)) == [2, 4, 4]


async def test_a_step_with_too_many_rows_has_a_batch_of_its_model(redis_url: str, start_service: StartService) -> None:
    models = Fleet(2, flops=SHARED_FLOPS // 2)
    service = start_service(redis_url, models=models)
    few = await begin(service, model="exact@1", batch_size=2)
    many = await begin(service, model="exact@2", batch_size=3)
    for key, rows in ((few, 2), (many, 3)):
        await service.sessions.ask(key, "step", a_sequence(1).repeat(rows, axis=1), APPEND)
    own = {key.ref: served.own is not None for key, served in service.sessions.models._served.items()}
    assert own == {"exact@1": False, "exact@2": True}


async def test_sequences_of_a_model_hold_up_no_steps_of_others(redis_url: str, start_service: StartService) -> None:
    """The sequence runs on a thread, and the other model's step at once."""
    models = Fleet(2, flops=SHARED_FLOPS)
    service = start_service(redis_url, models=models)
    keys = await started(service, models)
    order: list[str] = []
    long = service.sessions.ask(keys[0], "sequence", a_sequence(*[1.0] * 500), APPEND)
    long.when_done(lambda _: order.append("sequence"))
    await asyncio.sleep(0)
    short = service.sessions.ask(keys[1], "step", a_sequence(2), APPEND)
    short.when_done(lambda _: order.append("step"))
    assert output(await short) == history([1, 2])
    await long
    assert order == ["step", "sequence"]


async def test_a_model_whose_step_waits_is_not_forgotten(redis_url: str, start_service: StartService) -> None:
    models = Fleet(3)
    service = start_service(redis_url, models=models, model_cache_bytes=1500)
    key = await begin(service, model="exact@1")
    await step(service, key, 1)
    served = next(iter(service.sessions.models._served.values()))
    pending = service.sessions.ask(key, "step", a_sequence(2), APPEND)
    assert served.busy
    assert output(await pending) == history([1, 2])
    assert not served.busy

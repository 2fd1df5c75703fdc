"""The learning rate of an update: of its epoch, or of the update itself."""

import pytest

from cellar.nn.training.schedules.cosine import CosineSchedule
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.learning_rate import LearningRate


def optimiser(**fields: object) -> LearningRate:
    """Return the rates of 4 epochs with 3 updates each."""
    spec = TrainingSpec.model_validate({"optimiser": {"type": "sgd", "learning_rate": 0.1, **fields}})
    return LearningRate(spec.optimiser, 4, 3, 0, 0)


def test_a_rate_of_an_epoch_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, asked = optimiser(schedule={"type": "cosine"}), list[int]()
    compute = CosineSchedule.rate_after

    def counted(self: CosineSchedule, watched: None, base: float, epoch: int, epochs: int) -> float:
        asked.append(epoch)
        return compute(self, watched, base, epoch, epochs)

    monkeypatch.setattr(CosineSchedule, "rate_after", counted)
    found = [[rates.rate(epoch, None, update) for update in range(3)] for epoch in range(4)]
    assert asked == [0, 1, 2, 3]
    assert [len(set(epoch)) for epoch in found] == [1, 1, 1, 1]
    assert found[0][0] == 0.1 > found[1][0] > found[2][0] > found[3][0]


@pytest.mark.parametrize("fields", [{"warmup_updates": 5}, {"schedule": {"type": "linear"}}])
def test_a_rate_of_an_update_is_its_own(fields: dict[str, object]) -> None:
    rates = optimiser(**fields)
    assert len({rates.rate(0, None, update) for update in range(3)}) == 3

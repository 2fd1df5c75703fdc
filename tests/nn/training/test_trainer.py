"""Training: determinism, checkpoints, validation, early stopping, and runs that cannot go on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from cellar.engine import KernelCache
from cellar.errors import IdUnknown, InvalidInput, KernelRevisionMismatch, OutputNotFinite, StateNotFinite, StoreCorrupt
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.checkpoints import checkpoint as checkpoints
from cellar.nn.training.checkpoints.progress import Evaluation, Progress
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check, evaluate, fit
from cellar.wire.arrays.weights import dump
from tests.nn import oracle
from tests.nn.golden.cases import bidirectional, dense, dropout, embedding, network, recurrent, residual

OPTIMISERS = ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "lion"]
NETWORK = network(1, recurrent("gru", 4, trainable_state=True), dense(1))


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return a small network."""
    return CompiledNetwork(oracle.make_network(NETWORK), cache)


def wave(steps: int = 61, rows: int = 3) -> Dataset:
    """Return the task of foretelling the next value of a few waves."""
    phase = np.arange(rows)[None, :, None]
    values = np.sin(np.arange(steps)[:, None, None] * 0.4 + phase).astype(np.float32)
    return Dataset(values[:-1], values[1:])


def spec(**fields: Any) -> TrainingSpec:
    """Return a specification of a short run with several updates an epoch."""
    return TrainingSpec.model_validate({"epochs": 3, "window": 12, "batch_size": 4, **fields})


def run(compiled: CompiledNetwork, training: TrainingSpec, checkpoint: bytes | None = None) -> list[Progress]:
    """Return all progress of a run."""
    return list(fit(compiled, compiled.network.init(0), wave(), training, checkpoint=checkpoint))


def result(progress: Progress) -> bytes:
    """Return the weights as bytes."""
    return dump(progress.weights())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("state", ["reset", "carry"])
def test_a_run_goes_on_from_any_checkpoint_to_the_same_bits(
    state: str, optimiser: str, compiled: CompiledNetwork
) -> None:
    training = spec(
        state=state, optimiser={"type": optimiser, "clip_norm": 1.0, "weight_decay": 0.01}, warmup=2, validation=0.2
    )
    whole = run(compiled, training)
    assert whole[-1].history[-1].loss < whole[-1].history[0].loss
    for stop in (0, len(whole) // 2, len(whole) - 2):
        rest = run(compiled, training, whole[stop].checkpoint())
        assert len(rest) == len(whole) - stop - 1
        assert result(rest[-1]) == result(whole[-1])
        assert rest[-1].history == whole[-1].history
        assert rest[-1].checkpoint() == whole[-1].checkpoint()


def test_the_same_seed_gives_the_same_bits_and_another_one_others(compiled: CompiledNetwork) -> None:
    first, again, other = (result(run(compiled, spec(seed=seed))[-1]) for seed in (0, 0, 1))
    assert first == again
    assert first != other


GO_ON = """
import sys
from pathlib import Path
from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from tests.nn import oracle
from tests.nn.training import test_trainer
compiled = CompiledNetwork(oracle.make_network(test_trainer.NETWORK), KernelCache(Path(sys.argv[1])))
rest = test_trainer.run(compiled, test_trainer.spec(state="carry"), sys.stdin.buffer.read())
sys.stdout.buffer.write(test_trainer.result(rest[-1]))
"""


def test_another_process_goes_on_to_the_same_bits(compiled: CompiledNetwork, kernel_directory: Path) -> None:
    whole = run(compiled, spec(state="carry"))
    root = Path(__file__).parents[3]
    child = subprocess.run(
        [sys.executable, "-c", GO_ON, str(kernel_directory)],
        input=whole[4].checkpoint(),
        stdout=subprocess.PIPE,
        check=True,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'service'}"},
    )
    assert child.stdout == result(whole[-1])


def test_progress_counts_updates_and_epochs(compiled: CompiledNetwork) -> None:
    told = run(compiled, spec(epochs=2))
    assert [(p.epoch, p.update, p.updates, p.finished) for p in told] == [
        (epoch, update, 4, (epoch, update) == (2, 4)) for epoch in (1, 2) for update in (1, 2, 3, 4)
    ]
    assert [len(p.history) for p in told] == [0, 0, 0, 1, 1, 1, 1, 2]
    assert told[-1].loss == told[-1].history[-1].loss
    assert [record.epoch for record in told[-1].history] == [1, 2]


def test_a_finished_run_is_finished_when_it_is_resumed(compiled: CompiledNetwork) -> None:
    last = run(compiled, spec(epochs=1))[-1]
    (again,) = run(compiled, spec(epochs=1), last.checkpoint())
    assert again.finished
    assert result(again) == result(last)


def test_old_progress_keeps_its_weights(compiled: CompiledNetwork) -> None:
    told = run(compiled, spec(epochs=1))
    assert len({result(progress) for progress in told}) == len(told)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_the_reported_loss_is_the_mean_over_scored_steps(reduce: str, compiled: CompiledNetwork) -> None:
    """The rate is so small that the weights stay; then the epoch's loss is that of one pass over all windows."""
    training = spec(epochs=1, skip=2, reduce=reduce, optimiser={"type": "sgd", "learning_rate": 1e-12})
    data, weights = wave(), compiled.network.init(0)
    losses = []
    for begin in range(0, 58, 10):
        window = data.inputs[begin : begin + 12]
        outputs = oracle.forward(compiled.network, weights, window, np.zeros((3, 4))).outputs[2:]
        losses.append((outputs - data.targets[begin + 2 : begin + 12]) ** 2)
    (record,) = run(compiled, training)[-1].history
    assert record.loss == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)


@pytest.mark.parametrize("state", ["reset", "carry"])
def test_validation_measures_the_held_out_part(state: str, compiled: CompiledNetwork) -> None:
    data = wave()
    training = spec(epochs=1, state=state, window=None, optimiser={"type": "sgd", "learning_rate": 1e-12})
    separate = Dataset(data.inputs, data.targets, Dataset(data.inputs[:20], data.targets[:20]))
    *_, last = fit(compiled, compiled.network.init(0), separate, training)
    outputs = oracle.forward(compiled.network, compiled.network.init(0), data.inputs[:20], np.zeros((3, 4))).outputs
    expected = ((outputs - data.targets[:20]) ** 2).mean()
    assert last.history[0].validation_loss == pytest.approx(expected, rel=1e-5)


def test_validation_does_not_change_what_is_learnt(compiled: CompiledNetwork) -> None:
    data = wave()
    with_it = Dataset(data.inputs, data.targets, Dataset(data.inputs[:9], data.targets[:9]))
    results = [list(fit(compiled, compiled.network.init(0), d, spec()))[-1] for d in (data, with_it)]
    assert result(results[0]) == result(results[1])
    assert results[0].history[-1].validation_loss is None


def test_early_stopping_gives_the_best_weights_back(compiled: CompiledNetwork) -> None:
    """A rate that decays to nothing but begins far too high: the loss goes up and down."""
    stopping = {"patience": 3}
    training = spec(epochs=60, optimiser={"type": "momentum", "learning_rate": 0.6}, early_stopping=stopping)
    told = run(compiled, training)
    last, ends = told[-1], [progress for progress in told if progress.update == progress.updates]
    losses = [record.loss for record in last.history]
    best = losses.index(min(losses))
    assert len(losses) < 60
    assert len(losses) == best + 1 + 3
    assert result(last) == result(ends[best])
    assert last.kept == last.history[best]
    rest = run(compiled, training, told[len(told) // 2].checkpoint())
    assert result(rest[-1]) == result(last)


def test_a_run_remembers_its_newest_epochs_and_the_best_one(
    compiled: CompiledNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar.nn.training.trainer.HISTORY_EPOCHS", 2)
    training = spec(epochs=60, optimiser={"type": "momentum", "learning_rate": 0.6}, early_stopping={"patience": 3})
    told = run(compiled, training)
    ends = [progress for progress in told if progress.update == progress.updates]
    assert [record.epoch for record in told[-1].history] == [len(ends) - 1, len(ends)]
    assert told[-1].kept is not None
    assert told[-1].kept.epoch == len(ends) - 3
    rest = run(compiled, training, told[-2].checkpoint())
    assert (rest[-1].history, rest[-1].kept) == (told[-1].history, told[-1].kept)


def test_patience_is_counted_with_min_delta_and_the_best_weights_are_not(compiled: CompiledNetwork) -> None:
    """Every epoch is better than the one before, none by 10: it waits from the first one on and keeps the last one."""
    stopping = {"patience": 3, "min_delta": 10.0}
    told = run(compiled, spec(epochs=50, early_stopping=stopping))
    losses = [record.loss for record in told[-1].history]
    assert len(losses) == 1 + 3
    assert losses == sorted(losses, reverse=True)
    assert told[-1].kept == told[-1].history[-1]
    assert result(told[-1]) == result(run(compiled, spec(epochs=4))[-1])
    rest = run(compiled, spec(epochs=50, early_stopping=stopping), told[9].checkpoint())
    assert (rest[-1].history, result(rest[-1])) == (told[-1].history, result(told[-1]))


def test_a_checkpoint_from_before_patience_had_a_reference_is_gone_on_from(compiled: CompiledNetwork) -> None:
    """Then the best epoch was the reference, as it still is without min_delta."""
    training = spec(epochs=6, early_stopping={"patience": 3})
    told = run(compiled, training)
    tensors = load_tensors(told[9].checkpoint())
    note = json.loads(tensors["note"].tobytes())
    del note["best"]["reference"]
    tensors["note"] = np.frombuffer(json.dumps(note).encode(), np.uint8)
    rest = run(compiled, training, save_tensors(tensors))
    assert (rest[-1].history, result(rest[-1])) == (told[-1].history, result(told[-1]))


def test_an_improvement_by_min_delta_is_one_over_several_epochs(compiled: CompiledNetwork) -> None:
    whole = run(compiled, spec(epochs=12))[-1].history
    delta = whole[0].loss - whole[3].loss
    told = run(compiled, spec(epochs=50, early_stopping={"patience": 4, "min_delta": delta * 0.99}))
    assert len(told[-1].history) > 1 + 4


def test_the_learning_rate_follows_its_schedule(compiled: CompiledNetwork) -> None:
    schedule = {"type": "step", "every": 1, "factor": 0.5}
    told = run(compiled, spec(optimiser={"type": "sgd", "learning_rate": 0.5, "schedule": schedule}))
    assert [record.learning_rate for record in told[-1].history] == [0.5, 0.25, 0.125]


def test_classes_are_learnt(cache: KernelCache) -> None:
    """Which of two letters came two steps ago."""
    rng = np.random.default_rng(0)
    letters = rng.integers(0, 2, (12, 32, 1)).astype(np.float32)
    compiled = CompiledNetwork(oracle.make_network(network(1, recurrent("lstm", 8), dense(2))), cache)
    training = TrainingSpec.model_validate(
        {"loss": "cross_entropy", "skip": 2, "epochs": 60, "optimiser": {"type": "adam", "learning_rate": 0.03}}
    )
    *_, last = fit(compiled, compiled.network.init(0), Dataset(letters, letters[:-2]), training)
    assert last.history[0].loss == pytest.approx(np.log(2), abs=0.1)
    assert last.history[-1].loss < 0.05


def test_a_run_that_diverges_says_where(cache: KernelCache) -> None:
    line = CompiledNetwork(oracle.make_network(network(1, dense(1))), cache)
    steep = {"type": "sgd", "learning_rate": 1e6}
    where = r"the loss became NaN or infinite in epoch \d, batch \d of 4 \(.* parameter 0\.W\): lower the learning rate"
    with pytest.raises(OutputNotFinite, match=where):
        run(line, spec(epochs=50, optimiser=steep))
    flat, far = CompiledNetwork(oracle.make_network(network(1, dense(1, init={"W": "zeros"}))), cache), wave(2)
    where = r"the parameter 0\.W became NaN or infinite in epoch 1, batch 1 of 1: lower the learning rate"
    with pytest.raises(OutputNotFinite, match=where):
        list(
            fit(flat, flat.network.init(0), Dataset(1e35 * far.inputs, far.targets), spec(loss="mae", optimiser=steep))
        )
    growing = CompiledNetwork(
        oracle.make_network(network(1, recurrent({"equations": "h = 1e20 * h + b + x"}, 1))), cache
    )
    place = "epoch 1, batch 1 of 4, step 3 of the window, row 1 of the batch"
    where = rf"a state became .* in {place} \(the largest weight is .*, in parameter 0\.b\)"
    with pytest.raises(StateNotFinite, match=where):
        list(fit(growing, growing.network.init(0), wave(), spec()))
    data = wave()
    distant = Dataset(data.inputs, data.targets, Dataset(data.inputs, 1e30 * data.targets))
    with pytest.raises(OutputNotFinite, match=r"the validation loss became .* in epoch 1, at its end"):
        list(fit(line, line.network.init(0), distant, spec()))


def test_a_saturated_unit_does_not_learn(cache: KernelCache) -> None:
    spec_ = network(1, dense(1, activation="tanh", bias=False))
    compiled = CompiledNetwork(oracle.make_network(spec_), cache)
    data = Dataset(np.full((1, 1, 1), 1e4, np.float32), np.full((1, 1, 1), 0.5, np.float32))
    (name,) = [name for name, _ in compiled.network.parameters]
    weights = {name: np.ones((1, 1), np.float32)}
    training = TrainingSpec.model_validate({"epochs": 3, "optimiser": {"type": "sgd", "learning_rate": 1e6}})
    *_, last = fit(compiled, weights, data, training)
    assert last.weights()[name].tolist() == [[1.0]]


def test_a_checkpoint_of_another_run_is_refused(compiled: CompiledNetwork) -> None:
    checkpoint = run(compiled, spec())[2].checkpoint()
    with pytest.raises(InvalidInput, match="another run"):
        run(compiled, spec(seed=1), checkpoint)
    data = wave()
    with pytest.raises(InvalidInput, match="another run"):
        list(fit(compiled, {}, Dataset(data.inputs, -data.targets), spec(), checkpoint=checkpoint))


@pytest.mark.parametrize("data", [b"", b"nonsense", dump({"weights": np.zeros(2, np.float32)})])
def test_damaged_checkpoints_are_corrupt(data: bytes, compiled: CompiledNetwork) -> None:
    with pytest.raises(StoreCorrupt):
        run(compiled, spec(), data)


@pytest.mark.parametrize("changed", ["KERNEL_REV", "TRAINING_REV"])
def test_a_checkpoint_of_another_arithmetic_is_refused(
    compiled: CompiledNetwork, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = run(compiled, spec())[0].checkpoint()
    checkpoints.check_revision(checkpoint)
    monkeypatch.setattr(checkpoints, changed, -1)
    with pytest.raises(KernelRevisionMismatch, match=r"the checkpoint has kernel revision \d+ and training revision"):
        run(compiled, spec(), checkpoint)


def test_a_checkpoint_that_names_no_training_revision_is_of_the_first(
    compiled: CompiledNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_tensors(run(compiled, spec())[0].checkpoint())
    note = json.loads(tensors["note"].tobytes())
    del note["training_rev"]
    older = save_tensors(tensors | {"note": np.frombuffer(json.dumps(note).encode(), np.uint8)})
    monkeypatch.setattr(checkpoints, "TRAINING_REV", 1)
    checkpoints.check_revision(older)
    monkeypatch.setattr(checkpoints, "TRAINING_REV", 2)
    with pytest.raises(KernelRevisionMismatch, match="training revision 1"):
        checkpoints.check_revision(older)


def test_faults_are_found_before_the_first_update_and_without_compiling(compiled: CompiledNetwork) -> None:
    data = wave()
    for fault in (Dataset(data.inputs, data.targets[:-3]), Dataset(data.targets[:1], data.targets[:1])):
        training = spec(skip=1)
        with pytest.raises(InvalidInput):
            check(compiled.network, fault, training)
        with pytest.raises(InvalidInput):
            next(fit(compiled, compiled.network.init(0), fault, training))
    check(compiled.network, data, spec())
    with pytest.raises(InvalidInput, match="no parameters"):
        check(oracle.make_network(network(1, recurrent({"equations": "h = h + x"}, 1))), data, spec())
    with pytest.raises(InvalidInput):
        next(fit(compiled, {}, data, spec()))


NESTED = network(1, residual(dropout(0.5), dense(1)), recurrent("gru", 4), dropout(0.25), dense(1))


def test_dropout_goes_on_from_a_checkpoint_to_the_same_bits(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(NESTED), cache)
    whole = run(compiled, spec(state="carry", validation=0.2))
    for stop in (1, 6):
        rest = run(compiled, spec(state="carry", validation=0.2), whole[stop].checkpoint())
        assert result(rest[-1]) == result(whole[-1])
        assert rest[-1].history == whole[-1].history


@pytest.mark.parametrize("state", ["reset", "carry"])
def test_a_run_that_recomputes_learns_the_same(state: str, cache: KernelCache) -> None:
    """It only rounds otherwise, and not even that where a window is one segment; it goes on to the same bits."""
    compiled = CompiledNetwork(oracle.make_network(NESTED), cache)

    def training(recompute: int | None) -> TrainingSpec:
        return spec(state=state, window=25, warmup=2, skip=3, validation=0.2, recompute=recompute)

    whole, one, cut = (run(compiled, training(recompute)) for recompute in (None, 25, 4))
    assert result(one[-1]) == result(whole[-1])
    assert result(cut[-1]) != result(whole[-1])
    for ours, theirs in zip(cut[-1].history, whole[-1].history, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-5)
    rest = run(compiled, training(4), cut[2].checkpoint())
    assert result(rest[-1]) == result(cut[-1])
    with pytest.raises(InvalidInput, match="another run"):
        run(compiled, training(5), cut[2].checkpoint())


@pytest.mark.parametrize("fields", [{}, {"validation": 0.25}, {"state": "carry", "validation": 0.25, "window": 7}])
def test_an_evaluation_compares_beginning_end_and_last_value(compiled: CompiledNetwork, fields: dict[str, Any]) -> None:
    training = spec(epochs=40, **fields)
    *_, last = fit(compiled, compiled.network.init(0), wave(), training)
    found = evaluate(compiled, compiled.network.init(0), last.weights(), wave(), training)
    assert found.data == ("validation" if fields else "training")
    assert found.loss is not None
    assert found.before is not None
    assert found.loss < found.before
    assert not found.worse
    if fields:
        assert found.loss == last.history[-1].validation_loss
    first = 60 - 15 if fields else 0
    naive = ((wave().inputs[first:] - wave().targets[first:]) ** 2).mean()
    assert found.last_value == pytest.approx(naive, rel=1e-5)
    trained = wave().targets[:first] if fields else wave().targets
    assert found.mean == pytest.approx(((wave().targets[first:] - trained.mean()) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("validation", [None, 0.25])
def test_a_seasonal_value_is_that_of_a_period_before(compiled: CompiledNetwork, validation: float | None) -> None:
    """Also if the held-out part is shorter than a period, and the window is too."""
    noise = np.random.default_rng(5).normal(0, 0.02, 83)
    series = (np.sin(np.arange(83) * np.pi / 10) + noise)[:, None, None].astype(np.float32)
    data, training = Dataset(series[:-3], series[3:]), spec(epochs=1, validation=validation, window=7)
    weights = compiled.network.init(0)
    found = evaluate(compiled, weights, weights, data, training)
    assert found.period == 20
    first = 60 if validation else 0
    before = [series[step + 3 - 20] if step >= 17 else series[step] for step in range(first, 80)]
    assert found.seasonal_value == pytest.approx(((series[3 + first :] - before) ** 2).mean(), rel=1e-5)
    assert found.better_by is not None
    assert found.better_by.keys() == {"last_value", "seasonal_value", "mean"}


def test_an_evaluation_of_what_is_not_finite_or_no_forecast(cache: KernelCache) -> None:
    line = CompiledNetwork(oracle.make_network(network(1, dense(1))), cache)
    sound, broken = line.network.init(0), {"0.W": np.full((1, 1), 3e38, np.float32), "0.b": np.ones(1, np.float32)}
    data = Dataset(2 * wave().inputs, wave().targets)
    ended = evaluate(line, sound, broken, data, spec())
    assert (ended.loss, ended.worse, ended.last_value, ended.beaten) == (None, True, None, False)
    began = evaluate(line, broken, sound, data, spec())
    assert (began.before, began.worse) == (None, False)


@pytest.mark.parametrize(
    ("loss", "before", "worse"),
    [
        (1.0, 1.0, False),
        (1.009, 1.0, False),
        (1.02, 1.0, True),
        (0.0, 0.0, False),
        (None, None, True),
        (9.0, None, False),
    ],
)
def test_worse_is_more_than_a_hundredth(loss: float | None, before: float | None, worse: bool) -> None:
    assert Evaluation("training", loss, before, None).worse is worse


def test_dropout_is_at_work_in_training_and_not_in_validation(cache: KernelCache) -> None:
    """The rate is so small that the weights stay; without dropout both losses would be the same."""
    data = wave()
    measured = Dataset(data.inputs, data.targets, Dataset(data.inputs, data.targets))
    training = spec(epochs=2, window=None, optimiser={"type": "sgd", "learning_rate": 1e-12})
    plain = CompiledNetwork(oracle.make_network(network(1, recurrent("gru", 4), dense(1))), cache)
    dropping = CompiledNetwork(oracle.make_network(network(1, recurrent("gru", 4), dropout(0.5), dense(1))), cache)
    weights = plain.network.init(0)
    *_, without = fit(plain, weights, measured, training)
    *_, last = fit(dropping, {name.replace("1.", "2."): w for name, w in weights.items()}, measured, training)
    expected = without.history[0].validation_loss
    assert [record.validation_loss for record in last.history] == [expected] * 2
    assert len({expected, *(record.loss for record in last.history)}) == 3


def test_ids_are_learnt_from_both_ends(cache: KernelCache) -> None:
    """Each step is to be answered with the sequence's last id, which only the reverse direction has seen."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, (5, 48, 1)).astype(np.float32)
    targets = np.repeat(ids[-1:], 5, axis=0)
    layers = embedding(3, 4), bidirectional("rnn", 4, trainable_state=True), dense(3)
    compiled = CompiledNetwork(oracle.make_network(network(1, *layers)), cache)
    training = TrainingSpec.model_validate(
        {"loss": "cross_entropy", "epochs": 60, "batch_size": 12, "optimiser": {"type": "adam", "learning_rate": 0.05}}
    )
    begin = compiled.network.init(0)
    *_, last = fit(compiled, begin, Dataset(ids, targets), training)
    assert last.history[0].loss > 0.8
    assert last.history[-1].loss < 0.1
    assert all((array != begin[name]).any() for name, array in last.weights().items())


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"state": "carry"}, "/state"),
        ({"warmup": 3}, "/warmup"),
        ({"recompute": 2}, "/recompute"),
        ({"window": 4}, None),
    ],
)
def test_what_needs_a_state_that_goes_on_is_refused_of_whole_sequences(
    fields: dict[str, Any], pointer: str | None
) -> None:
    built = oracle.make_network(network(1, bidirectional("rnn", 2), dense(1)))
    training = TrainingSpec.model_validate(fields)
    if pointer is None:
        check(built, wave(), training)
        return
    with pytest.raises(InvalidInput, match="whole sequences") as caught:
        check(built, wave(), training)
    assert caught.value.pointer == pointer


def test_ids_of_a_dataset_are_checked() -> None:
    built = oracle.make_network(network(1, embedding(3, 2), dense(1)))
    ids, targets = np.ones((4, 2, 1), np.float32), np.zeros((4, 2, 1), np.float32)
    check(built, Dataset(ids, targets), TrainingSpec())
    with pytest.raises(IdUnknown) as caught:
        check(built, Dataset(3 * ids, targets), TrainingSpec())
    assert caught.value.pointer == "/data/inputs"
    with pytest.raises(IdUnknown) as caught:
        check(built, Dataset(ids, targets, Dataset(-ids, targets)), TrainingSpec())
    assert caught.value.pointer == "/data/validation/inputs"

"""Files of other frameworks that the Python client publishes, stepped over HTTP beside the original.

Each module of PyTorch is published as a module and as five files, which must be one version. Files of Keras and ONNX
are those that the frameworks write. Needs torch, Keras and pandas (`.venv-bench`), and starts a service.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from cellar.embedded.binary import find_binaries
from cellar.engine import KernelCache
from cellar_client import CellarError, Client
from tests.e2e.replica import environment, serving
from tests.interchange.proofs.outcome import Array, Outcome, difference
from tests.redis_process import RedisProcess

os.environ.setdefault("KERAS_BACKEND", "torch")

Random = np.random.Generator
Case = tuple[str, str, Array, Array]
"""The name of a case, the published version, inputs (T, B, F), and the outputs of the original."""

STEPS, ROWS = 9, 3


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Publish and compare `count` networks of each kind."""
    outcome = Outcome()
    redis = RedisProcess(list(find_binaries())[-1].path)
    redis.start()
    try:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            kernels = str(cache.directory or Path(folder) / "kernels")
            settings = environment(redis_url=redis.url, cache_dir=kernels, worker="false")
            client = stack.enter_context(Client(stack.enter_context(serving(settings)).url))
            for index in range(count):
                torch.manual_seed(seed + index)
                for kind in (_torch, _sequential, _keras, _onnx, _pandas):
                    _judge(client, kind, Path(folder), np.random.default_rng([seed, index]), outcome)
    finally:
        redis.close()
    return outcome


def _judge(client: Client, kind: Any, folder: Path, rng: Random, outcome: Outcome) -> None:
    """Compare the outputs of each case of a kind."""
    try:
        for name, model, inputs, expected in kind(client, folder, rng):
            found = client.session(model=model, batch_size=inputs.shape[1]).sequence(inputs).output
            outcome.add(f"{name} as {model}", difference(found, expected))
    except CellarError as error:
        outcome.refuse(str(error))
        outcome.wrong.append(f"{kind.__name__}: {error}")


class Called(nn.Module):  # type: ignore[misc]  # torch ships no types here
    """A recurrent module, a function and a head, as a user's class calls them."""

    def __init__(self, rnn: Any, head: Any) -> None:
        super().__init__()
        self.rnn, self.head = rnn, head

    def forward(self, x: Any) -> Any:
        """Return outputs (T, B, F)."""
        return self.head(torch.relu(self.rnn(x)[0]))


def _torch(client: Client, folder: Path, rng: Random) -> Iterator[Case]:
    """Yield a module in each of the five ways in which it is published."""
    kind = (nn.LSTM, nn.GRU, nn.RNN)[rng.integers(3)]
    module = Called(kind(3, 8, int(rng.integers(1, 3))), nn.Linear(8, 2)).eval()
    modules = ["rnn:tanh" if kind is nn.RNN else "rnn", "relu", "head"]
    tensors = module.state_dict()
    torch.save(tensors, folder / "plain.pt")
    torch.save({"epoch": 3, "state_dict": tensors}, folder / "checkpoint.pth")
    save_file(tensors, folder / "model.safetensors")
    inputs, outputs = _originals(module, 3, rng)
    check = inputs[:, :1], outputs[:, :1]
    versions = [client.models.import_torch("module", module, modules, check=check)]
    files = ("plain.pt", "checkpoint.pth", "model.safetensors")
    versions += [client.models.import_file("module", folder / file, modules) for file in files]
    for form in ("json", "onnx"):
        (folder / f"model.{form}").write_bytes(client.models.export("module", form))
        versions.append(client.models.import_file("copy", folder / f"model.{form}"))
    if len({version["digest"] for version in versions}) > 1:
        raise CellarError(f"{[version['digest'] for version in versions]} of one module differ")
    yield f"{kind.__name__} of a class", versions[0]["model"], inputs, outputs
    exported = client.models.weights("module", names="torch")
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in exported.items()})
    yield "read again by PyTorch", versions[0]["model"], *_originals(module, 3, rng)


def _sequential(client: Client, folder: Path, rng: Random) -> Iterator[Case]:
    """Yield modules whose order needs no names, from a module and from a file."""
    module = (nn.LSTM(2, 5, proj_size=3), nn.GRU(2, 5), nn.RNN(2, 5, nonlinearity="relu"))[rng.integers(3)]
    found = client.models.import_torch("single", module)
    yield type(module).__name__, found["model"], *_originals(lambda x: module(x)[0], 2, rng)
    head = nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.3), nn.LayerNorm(4), nn.Softplus(beta=2), nn.Linear(4, 1))
    found = client.models.import_torch("head", head)
    yield "Sequential", found["model"], *_originals(head, 2, rng)


def _keras(client: Client, folder: Path, rng: Random) -> Iterator[Case]:
    """Yield a model of Keras from the file that it saves."""
    import keras
    from keras import layers

    kinds: Sequence[Any] = (
        layers.LSTM(4, return_sequences=True),
        layers.GRU(4, return_sequences=True, reset_after=bool(rng.integers(2))),
        layers.SimpleRNN(4, return_sequences=True),
    )
    model = keras.Sequential([keras.Input((None, 2)), kinds[int(rng.integers(3))], layers.Dense(3, activation="tanh")])
    inputs = rng.normal(size=(STEPS, ROWS, 2)).astype(np.float32)
    outputs = np.asarray(model.predict(inputs.swapaxes(0, 1), verbose=0)).swapaxes(0, 1)
    for file in ("model.keras", "model.h5"):
        model.save(folder / file)
        yield file, client.models.import_file("keras", folder / file)["model"], inputs, outputs


def _onnx(client: Client, folder: Path, rng: Random) -> Iterator[Case]:
    """Yield a module of PyTorch from the file of ONNX that torch.onnx writes."""
    module = Called((nn.LSTM, nn.GRU)[rng.integers(2)](2, 6), nn.Linear(6, 2)).eval()
    inputs, outputs = _originals(module, 2, rng)
    example = (torch.from_numpy(inputs),)
    torch.onnx.export(module, example, folder / "torch.onnx", dynamo=False, input_names=["x"], output_names=["y"])
    yield "torch.onnx", client.models.import_file("onnx", folder / "torch.onnx")["model"], inputs, outputs


def _pandas(client: Client, folder: Path, rng: Random) -> Iterator[Case]:
    """Yield a table and the table that answers it, whole, in pieces and from a stream."""
    import pandas as pd

    layers = [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]
    model = client.models.create("table", {"in_size": 2, "layers": layers})["model"]
    weeks = pd.date_range("2026-01-01", periods=STEPS, freq="7D")
    table = pd.DataFrame(rng.normal(size=(STEPS, 2)), index=weeks, columns=["flow", "heat"])
    whole = client.session(model=model).sequence(table).output
    pieces = pd.concat([answer.output for answer in client.session(model=model).sequences(table, chunk=4)])
    with client.session(model=model).stream() as stream:
        rows = np.array([answer.output for answer in stream.run(table)])
    if not (whole.index.equals(weeks) and whole.equals(pieces) and np.array_equal(whole, rows)):
        raise CellarError("tables of pandas are answered differently")
    yield "DataFrame", model, table.to_numpy(np.float32)[:, None], whole.to_numpy()[:, None]


def _originals(module: Any, size: int, rng: Random) -> tuple[Array, Array]:
    """Return random inputs, and the outputs that PyTorch computes for them."""
    inputs = rng.normal(size=(STEPS, ROWS, size)).astype(np.float32)
    with torch.no_grad():
        return inputs, module(torch.from_numpy(inputs)).numpy()

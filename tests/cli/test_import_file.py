"""`cellar import`: files are read here, sent to a service, and what is refused is explained."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from cellar.cli import import_file
from cellar.cli.commands import MISTAKE, main
from cellar.errors import ImportRefused
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import serving
from tests.onnx_graph.graphs import table

pytestmark = pytest.mark.anyio


def write_lstm(path: Path) -> Path:
    """Write the state dict of an LSTM and a Linear layer."""
    shapes = {"lstm.weight_ih_l0": (16, 3), "lstm.weight_hh_l0": (16, 4), "head.weight": (2, 4), "head.bias": (2,)}
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, path)
    return path


async def test_a_file_becomes_a_model_with_a_session(
    redis_url: str, kernel_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from anyio.to_thread import run_sync

    file = write_lstm(tmp_path / "model.safetensors")
    settings = Settings(redis_url=redis_url, cache_dir=kernel_directory)
    async with serving(with_own_keys(settings)) as served:
        url = str(served.http.base_url)
        command = ["import", str(file), "--name", "mine", "--url", url, "--session", "first", "--modules", "lstm,head"]
        assert await run_sync(main, command) == 0
        said = capsys.readouterr().out
        assert said.startswith("mine@1: 3 inputs, 2 outputs, 138 weights\n")
        assert f"curl -s {url}/v1/sessions/first/step --json '{{\"input\": [0, 0, 0]}}'" in said
        answer = await served.http.post("/v1/sessions/first/step", json={"input": [0, 0, 0]})
        assert answer.status_code == 200
        assert await run_sync(main, [*command[:-1], "lstm"]) == MISTAKE
        assert "head.bias" in capsys.readouterr().err
        assert await run_sync(main, [*command, "--session", "a b"]) == 0
        assert f"{url}/v1/sessions/a%20b/step" in capsys.readouterr().out
        assert await run_sync(main, [*command, "--session", "a" * 257]) == MISTAKE


async def test_a_graph_is_sent_as_it_is(
    redis_url: str, kernel_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from anyio.to_thread import run_sync

    file = tmp_path / "model.onnx"
    file.write_bytes(table())
    settings = Settings(redis_url=redis_url, cache_dir=kernel_directory)
    async with serving(with_own_keys(settings)) as served:
        command = ["import", str(file), "--name", "mine", "--url", str(served.http.base_url)]
        assert await run_sync(main, command) == MISTAKE
        assert "--graph '{}'" in capsys.readouterr().err
        assert await run_sync(main, [*command, "--graph", "{}"]) == 0
        assert capsys.readouterr().out.startswith("mine@1: 1 inputs, 2 outputs, 6 weights\n")


def test_a_file_is_written_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = write_lstm(tmp_path / "model.safetensors"), tmp_path / "cellar.safetensors"
    assert main(["import", str(file), "--name", "m", "--output", str(out)]) == 0
    assert main(["import", str(out), "--name", "m", "--output", str(tmp_path / "again.safetensors")]) == 0
    assert out.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    header = json.loads(out.read_bytes()[8 : 8 + int.from_bytes(out.read_bytes()[:8], "little")])
    assert json.loads(header["__metadata__"]["network"])["in_size"] == 3
    assert capsys.readouterr().out.count("3 inputs, 2 layers") == 2


INTERCHANGE = Path(__file__).parents[1] / "interchange"


CORPUS = [f"fuzz/corpus/{name}" for name in ("exporter.onnx", "flux.npz", "flux.safetensors")]
FILES = ["golden/stack.keras", "golden/stack.h5", *CORPUS]


@pytest.mark.parametrize("file", FILES)
def test_files_of_other_frameworks_are_read_by_their_endings(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    assert main(["import", str(INTERCHANGE / file), "--name", "m", "--output", str(out)]) == 0
    assert "3 inputs" in capsys.readouterr().out
    assert out.stat().st_size > 100


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.tflite", b"", "files of this kind are not known"),
        ("missing.safetensors", None, "No such file"),
        ("missing.pt", None, "there is no such file"),
        ("model.pt", b"PK", "pip install torch"),
        ("model.safetensors", b"\x80\x02}q\x00.", "weights_only=True"),
        ("cut.safetensors", b"\x10", "not a safetensors file"),
    ],
)
def test_what_cannot_be_read_is_explained(
    name: str, content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["import", str(tmp_path / name), "--name", "m"]) == MISTAKE
    assert said in capsys.readouterr().err


def test_a_service_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_lstm(tmp_path / "model.safetensors")
    assert main(["import", str(file), "--name", "m", "--url", "http://127.0.0.1:9"]) == MISTAKE
    assert "start it with `cellar serve`" in capsys.readouterr().err


class FakeTorch:
    """A stand-in for PyTorch, whose `load` returns an object."""

    def __init__(self, found: object) -> None:
        self.load = lambda *_, **__: found


class FakeTensor:
    """A float tensor as a state dict has it."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def detach(self) -> "FakeTensor":
        """Return the same."""
        return self

    cpu = float = detach

    def numpy(self) -> Any:
        """Return an array."""
        return np.ones(self.shape, np.float32)


LINEAR = {"head.weight": FakeTensor(2, 3), "head.bias": FakeTensor(2)}


@pytest.mark.parametrize(
    "checkpoint",
    [
        LINEAR,
        {"model_state_dict": LINEAR, "epoch": 3},
        {"actor_state_dict": LINEAR, "critic_state_dict": {**LINEAR}, "iter": 1},
        {"epoch": 3, "net": LINEAR, "optimizer": {"state": {}, "param_groups": []}, "losses": {"train": 0.1}},
    ],
)
def test_a_state_dict_is_found_in_a_checkpoint(
    checkpoint: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_file, "import_module", lambda _: FakeTorch(checkpoint))
    (tmp_path / "model.pt").write_bytes(b"")
    found = import_file.read(import_file.Import(tmp_path / "model.pt", None, ()))
    assert found.spec.in_size == 3


@pytest.mark.parametrize(
    ("checkpoint", "said", "named"),
    [
        ({"net": LINEAR, "ema": LINEAR}, "several state dicts", "['net']"),
        ({"epoch": 3}, "no state dict", "torch.load('model.pt')"),
        ({}, "no state dict", "torch.load('model.pt')"),
    ],
)
def test_a_checkpoint_without_one_state_dict_is_refused(
    checkpoint: object, said: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_file, "import_module", lambda _: FakeTorch(checkpoint))
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ImportRefused, match=said) as refused:
        import_file.read(import_file.Import(tmp_path / "model.pt", None, ()))
    assert named in str(refused.value.remedy)


def test_a_program_of_torchscript_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_file, "import_module", lambda _: None)
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/code/__torch__.py", "")
    with pytest.raises(ImportRefused, match="TorchScript") as refused:
        import_file.read(import_file.Import(tmp_path / "model.pt", None, ()))
    assert "torch.jit.load('model.pt').state_dict()" in str(refused.value.remedy)


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"nothing", None])
def test_an_archive_that_is_none_of_stable_baselines_is_refused(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    if data is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other.pth", "")
    else:
        path.write_bytes(data)
    with pytest.raises(ImportRefused, match="no archive of Stable-Baselines3") as refused:
        import_file.read(import_file.Import(path, None, ()))
    assert refused.value.expected == "an archive with policy.pth"

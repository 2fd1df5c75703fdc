"""Damaged and hostile files: each reader refuses and names the place, in bounded time and memory."""

import io
import json
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cellar.errors import ImportRefused
from cellar.interchange.keras import read_keras
from cellar.interchange.onnx import import_onnx, read_onnx
from tests.interchange.fuzz.readers import CORPUS, FUZZES, GOLDEN, run
from tests.interchange.onnx.graphs import LSTM, ints, model, node

EXAMPLES = 200


@pytest.mark.parametrize("name", FUZZES)
def test_damaged_input_is_read_or_refused_with_a_place(name: str) -> None:
    counts = run(FUZZES[name](), EXAMPLES)
    assert counts.keys() <= {"read", "refused"}
    assert counts["refused"]


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("*.keras")) + sorted(GOLDEN.glob("*.h5")), ids=lambda path: path.name
)
def test_files_of_keras_that_are_cut_off_are_refused(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for part in (0.1, 0.95):
        cut = tmp_path / path.name
        cut.write_bytes(data[: int(part * len(data))])
        with pytest.raises(ImportRefused):
            read_keras(cut)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.onnx")), ids=lambda path: path.name)
def test_models_of_onnx_that_are_cut_off_anywhere_are_refused(path: Path) -> None:
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(ImportRefused):
            import_onnx(data[:length])


def test_a_file_on_which_the_library_never_ends_is_refused() -> None:
    with pytest.raises(ImportRefused) as caught:
        read_keras(CORPUS / "endless.h5")
    assert caught.value.place == "endless.h5"


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Collect the names of files that this process opens."""
    names: list[str] = []
    active = [True]
    sys.addaudithook(lambda event, args: names.append(str(args[0])) if active and event == "open" else None)
    yield names
    active.clear()


def test_external_data_of_onnx_are_refused_and_not_read(opened: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 15 * 20))
    opened.clear()
    made = model([node("LSTM", "X W R B", "y"), node("Squeeze", "y one", "Y")], LSTM | {"one": ints(1)})
    for place in (str(secret), "secret", "../../etc/passwd"):
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=place)
        (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
        with pytest.raises(ImportRefused, match="another file") as caught:
            read_onnx(tmp_path / "model.onnx")
        assert caught.value.place == "W"
    assert not [name for name in opened if "secret" in name or "passwd" in name]


def test_external_data_in_an_attribute_are_refused() -> None:
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "t")
    tensor.data_location = TensorProto.EXTERNAL
    made = model([helper.make_node("Constant", [], ["c"], value=tensor), node("Add", "X c", "Y")], {})
    with pytest.raises(ImportRefused, match="another file"):
        import_onnx(made.SerializeToString())


def measured(data: bytes) -> tuple[float, float, ImportRefused]:
    """Return seconds, MiB and the refusal of a model."""
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(ImportRefused) as caught:
        import_onnx(data)
    seconds = time.monotonic() - began
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, peak, caught.value


def delimited(field: int, data: bytes) -> bytes:
    """Return a field of protobuf with bytes."""
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + data


def test_a_graph_of_a_million_nodes_is_refused_before_it_is_parsed() -> None:
    one = delimited(1, delimited(1, b"X") + delimited(2, b"Y") + delimited(4, b"Relu"))
    for nodes in (one * 10**6, delimited(1, b"") * 10**6):
        seconds, peak, refusal = measured(delimited(7, nodes))
        assert "too many nodes" in refusal.detail
        assert peak < 64
        assert seconds < 20  # mostly the counting of 100,000, on a loaded machine


def test_graphs_within_graphs_are_refused_before_they_are_parsed() -> None:
    data = b""
    for _ in range(200):
        data = delimited(1, delimited(5, delimited(6, data) + b"\xa0\x01\x05"))
    assert "within each other" in measured(delimited(7, data))[2].detail


@pytest.mark.parametrize("dims", [[2**40], [2**31, 2**31], [-1], [2**63 - 1, 2]])
def test_tensors_that_lie_about_their_size_are_refused(dims: list[int]) -> None:
    made = model([node("LSTM", "X W R B", "y"), node("Squeeze", "y one", "Y")], LSTM | {"one": ints(1)})
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend(dims)
    _, peak, refusal = measured(made.SerializeToString())
    assert refusal.place == "W"
    assert peak < 16


def test_constants_that_grow_are_refused() -> None:
    nodes = [node("Concat", " ".join(["big"] * 30), "b0", axis=0)]
    nodes += [node("Concat", " ".join([f"b{at}"] * 30), f"b{at + 1}", axis=0) for at in range(4)]
    made = model([*nodes, node("Add", "X b4", "Y")], {"big": np.ones((1000, 1), np.float32)})
    assert "too large" in measured(made.SerializeToString())[2].detail


def test_a_custom_operation_is_refused() -> None:
    made = model([helper.make_node("Cell", ["X"], ["Y"], name="mine", domain="com.example")], {})
    with pytest.raises(ImportRefused) as caught:
        import_onnx(made.SerializeToString())
    assert caught.value.place == "mine"
    assert caught.value.actual == "com.example.Cell"


def archive(path: Path, **entries: bytes) -> Path:
    """Write a zip file whose entries are compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr({"config": "config.json", "metadata": "metadata.json"}.get(name, "model.weights.h5"), data)
    return path


META = json.dumps({"keras_version": "3.0.0"}).encode()


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ({"config": bytes(100 * 2**20), "metadata": META, "weights": b""}, "config.json"),
        ({"config": b"{}", "metadata": META, "weights": bytes(600 * 2**20)}, "model.weights.h5"),
        ({"config": b"{}", "metadata": META, "weights": bytes(100 * 2**20)}, "model.weights.h5"),
        ({"config": b"[" * 100_000, "metadata": META, "weights": b"x"}, "config.json"),
        ({"config": b"{}", "metadata": b'{"keras_version": "9"}', "weights": b"x"}, "model.weights.h5"),
        ({"config": b"{}", "metadata": META}, "model.weights.h5"),
    ],
)
def test_archives_that_grow_or_lack_a_part_are_refused(entries: dict[str, bytes], place: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "bomb.keras", **entries)
    began = time.monotonic()
    tracemalloc.start()
    with pytest.raises(ImportRefused) as caught:
        read_keras(path)
    assert caught.value.place == place
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()
    assert time.monotonic() - began < 30


def weights_with(tmp_path: Path, change: Any) -> Path:
    """Return a copy of a golden file after a change of its HDF5 contents."""
    path = tmp_path / "changed.h5"
    path.write_bytes((GOLDEN / "stack.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights"][file["model_weights"].attrs["layer_names"][-1]]
        while isinstance(group, h5py.Group) and "kernel" not in group:
            group = group[next(iter(group))]
        change(group, tmp_path)
    return path


def _soft_link(group: Any, _: Path) -> None:
    del group["kernel"]
    group["kernel"] = h5py.SoftLink("/model_weights")


def _external_link(group: Any, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as file:
        file["kernel"] = np.zeros((3, 2), np.float32)
    del group["kernel"]
    group["kernel"] = h5py.ExternalLink("other.h5", "kernel")


def _external_storage(group: Any, folder: Path) -> None:
    (folder / "raw").write_bytes(bytes(24))
    del group["kernel"]
    group.create_dataset("kernel", (3, 2), np.float32, external=[(str(folder / "raw"), 0, 24)])


def _virtual(group: Any, folder: Path) -> None:
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "kernel", (3, 2))
    del group["kernel"]
    group.create_virtual_dataset("kernel", layout)


def _huge(group: Any, _: Path) -> None:
    del group["kernel"]
    group.create_dataset("kernel", (2**20, 2**20), np.float32, chunks=(1024, 1024), compression="gzip")


def _text(group: Any, _: Path) -> None:
    del group["kernel"]
    group["kernel"] = "not numbers"


def _not_finite(group: Any, _: Path) -> None:
    group["kernel"][0, 0] = np.inf


def _extra(group: Any, _: Path) -> None:
    group["another"] = np.zeros(3, np.float32)


def _missing(group: Any, _: Path) -> None:
    del group["bias"]


def _transposed(group: Any, _: Path) -> None:
    kernel = group["kernel"][()]
    del group["kernel"]
    group["kernel"] = np.ascontiguousarray(kernel.T)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (_soft_link, "a link to another place"),
        (_external_link, "a link to another place"),
        (_external_storage, "in another file"),
        (_virtual, "in another file"),
        (_huge, "too large"),
        (_text, "neither a matrix nor a vector|no real numbers"),
        (_not_finite, "not finite"),
        (_extra, "no layer has the array"),
        (_missing, "is missing"),
        (_transposed, "another shape"),
    ],
)
def test_arrays_of_hdf5_that_are_elsewhere_or_wrong_are_refused_by_name(
    change: Any, detail: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused, match=detail) as caught:
        read_keras(weights_with(tmp_path, change))
    assert "dense" in caught.value.place


def test_bytes_that_are_nothing_are_refused(tmp_path: Path) -> None:
    for name in ("a.keras", "a.h5"):
        (tmp_path / name).write_bytes(io.BytesIO(b"\x80\x04pickle").getvalue())
        with pytest.raises(ImportRefused):
            read_keras(tmp_path / name)
    with pytest.raises(ImportRefused):
        read_keras(tmp_path / "nowhere.keras")

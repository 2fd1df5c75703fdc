"""Arrays as Flux has them, against its equations in NumPy; what the arrays do not tell is asked for."""

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.flux import WIDE, import_flux, read_flux
from tests.interchange.proofs.outcome import Array, difference, run

STEPS, ROWS, READS, HIDDEN = 4, 2, 3, 5


def sigmoid(v: Array) -> Array:
    """Return 1 / (1 + exp(-v))."""
    return np.asarray(1 / (1 + np.exp(-v)))


def flux_step(kind: str, w: dict[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """Return [h, c] after a step, as src/layers/recurrent.jl of Flux 0.16 computes it: columns are rows of a batch."""
    h, c = state
    gxs, ghs = w["Wi"] @ x, w["Wh"] @ h
    if kind == "RNN":
        return [np.tanh(gxs + ghs + w["bias"][:, None]), c]
    if kind == "LSTM":
        i, f, g, o = np.split(gxs + ghs + w["bias"][:, None], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]
    (xr, xz, xn), (hr, hz, hn), (br, bz, bn) = np.split(gxs, 3), np.split(ghs, 3), np.split(w["b"][:, None], 3)
    r, z = sigmoid(xr + hr + br), sigmoid(xz + hz + bz)
    n = np.tanh(xn + r * hn + bn) if kind == "GRU" else np.tanh(xn + w[WIDE] @ (r * h) + bn)
    return [(1 - z) * n + z * h, c]


def arrays_of(kind: str, rng: np.random.Generator) -> dict[str, Array]:
    """Return random arrays of a cell, named as Flux does."""
    gates = {"RNN": 1, "LSTM": 4}.get(kind, 3)
    shapes: dict[str, tuple[int, ...]] = {
        "Wi": (gates * HIDDEN, READS),
        "Wh": (gates * HIDDEN, HIDDEN),
        "bias" if kind in ("RNN", "LSTM") else "b": (gates * HIDDEN,),
    }
    shapes |= {WIDE: (HIDDEN, HIDDEN)} if kind == "GRUv3" else {}
    return {name: rng.normal(size=shape).astype(np.float32) * np.float32(0.5) for name, shape in shapes.items()}


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "GRUv3"])
def test_a_recurrent_layer_and_a_dense_one_answer_what_flux_does(kind: str, cache: KernelCache) -> None:
    rng = np.random.default_rng(1)
    cell = arrays_of(kind, rng)
    head = {"weight": rng.normal(size=(2, HIDDEN)).astype(np.float32), "bias": np.ones(2, np.float32)}
    arrays = {f"layers.1.cell.{name}": array for name, array in cell.items()}
    arrays |= {f"layers.2.{name}": array for name, array in head.items()}
    found = import_flux(arrays, ["layers.1:tanh" if kind == "RNN" else "layers.1", "layers.2:leakyrelu"])
    inputs = rng.normal(size=(STEPS, ROWS, READS)).astype(np.float32)
    state = [np.zeros((HIDDEN, ROWS)), np.zeros((HIDDEN, ROWS))]
    expected = []
    for x in inputs:
        state = flux_step(kind, cell, x.T, state)
        y = head["weight"] @ state[0] + 1
        expected.append(np.where(y > 0, y, 0.01 * y).T)
    ran = run(found, inputs, cache)
    assert difference(ran.outputs, np.stack(expected)) <= 1e-5
    assert difference(ran.states[0, "h"], state[0].T) <= 1e-5


def test_columns_of_an_embedding_are_its_ids(cache: KernelCache) -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = import_flux({"layers.1.weight": table}, ["layers.1:embedding", "tanh"])
    answer = run(found, np.array([[[2.0]]]), cache).outputs[0, 0]
    np.testing.assert_allclose(answer, np.tanh(table[:, 2]), rtol=1e-6)


def test_a_layer_norm_adds_what_the_list_states() -> None:
    arrays = {"diag.scale": np.ones(3), "diag.bias": np.zeros(3)}
    assert import_flux(arrays, [".:eps=1e-5"]).spec.layers[0].type == "layer_norm"
    assert "1e-10" in import_flux(arrays, [".:eps=1e-10"]).spec.model_dump_json()


def test_layers_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"layers.{number}.cell.{k}": v for number in (10, 9) for k, v in arrays_of("LSTM", rng).items()}
    arrays["layers.10.cell.Wi"] = rng.normal(size=(4 * HIDDEN, HIDDEN)).astype(np.float32)
    save_file(arrays, tmp_path / "a.safetensors")
    columns: dict[str, Any] = {name: np.asfortranarray(array) for name, array in arrays.items()}  # as Julia has them
    np.savez(tmp_path / "b.npz", **columns)
    first, second = read_flux(tmp_path / "a.safetensors"), read_flux(tmp_path / "b.npz")
    assert first.spec == second.spec
    for name, array in first.weights.items():
        np.testing.assert_array_equal(array, second.weights[name])
    np.testing.assert_array_equal(first.weights["0.Wi_f"], arrays["layers.9.cell.Wi"][HIDDEN : 2 * HIDDEN])


CELL = {f"cell.{name}": array for name, array in arrays_of("GRUv3", np.random.default_rng(0)).items()}


@pytest.mark.parametrize(
    ("arrays", "modules", "place", "detail"),
    [
        ({"weight": np.ones((2, 3))}, None, ".", "do not tell its activation"),
        ({"cell.Wi": np.ones((2, 3)), "cell.Wh": np.ones((2, 2))}, None, ".", "do not tell its activation"),
        ({"diag.scale": np.ones(2), "diag.bias": np.ones(2)}, None, ".", "adds to the variance"),
        (CELL | {"cell.Wh": np.ones((3, 5))}, None, ".", "another shape"),
        (CELL | {"cell.Wi": np.ones((16, 3))}, None, ".", "no recurrent layer"),
        (CELL | {"cell.extra": np.ones(2)}, None, "cell.extra", "has no array"),
        (CELL | {"other.weight": np.ones((2, 2))}, ["."], "other", "no module has the array"),
        (CELL | {"cell.b": np.full(15, np.nan)}, None, "cell.b", "not finite"),
        (CELL, [".:relu"], ".", "nothing is to be said"),
        (CELL, [".", "conv"], "conv", "no function is called so"),
        ({"a.x": np.ones(2)}, None, "a", "no layer that is known"),
        ({"a.weight": np.ones(2)}, ["a:relu"], "a", "another shape"),
        (CELL, ["."] * 200, "modules", "too many modules"),
    ],
)
def test_what_is_ambiguous_or_wrong_is_refused(
    arrays: dict[str, Any], modules: list[str] | None, place: str, detail: str
) -> None:
    with pytest.raises(ImportRefused) as caught:
        import_flux(arrays, modules)
    assert detail in caught.value.detail
    assert place in caught.value.place


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 8 + b"{}")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04")
    np.savez(tmp_path / "c.npz", a=np.array([{}], dtype=object))
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(600 * 1024 * 1024))
    for name in ("a.safetensors", "b.npz", "c.npz", "d.npz"):
        with pytest.raises(ImportRefused):
            read_flux(tmp_path / name)


def npy(shape: tuple[int, ...], data: bytes, kind: str = "<f4") -> bytes:
    """Return an array of an npz file, whatever its header says."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (npy((130 * 2**20,), bytes(520 * 2**20)), "archive is too large"),
        (npy((3, 4), bytes(64 * 2**20)), "another number of bytes"),
        (npy((3, 4), bytes(47)), "another number of bytes"),
        (npy((2**40,), b""), "is too large"),
        (npy((-3, 4), b""), "another number of bytes"),
        (npy((2**23,), b"", "<U4096"), "another number of bytes"),
        (b"\x93NUMPY\x02\x00" + (2**26).to_bytes(4, "little") + b"(" * 2**26, "not an npz file"),
        (b"\x93NUMPY\x01\x00\x00\x04" + b"(" * 1024, "not an npz file"),
        (npy((1,), b"\x80\x04N.", "|O"), "pickled objects"),
    ],
    ids=["archive", "more", "fewer", "numbers", "negative", "texts", "header", "nested", "objects"],
)
def test_archives_that_grow_or_lie_are_refused_in_little_memory(entry: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("layers.1.weight.npy", entry)
    tracemalloc.start()
    with pytest.raises(ImportRefused, match=said):
        read_flux(path, ["layers.1"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20

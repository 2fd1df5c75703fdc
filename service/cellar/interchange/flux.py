"""Imports networks of Flux 0.16 from their arrays (safetensors or npz) and a list of the modules in order.

Names are those of Flux's structures, joined by dots as `Flux.state` nests them: "layers.1.cell.Wi". Flux multiplies
from the left as Cellar does, so matrices stand as they are; the columns of an embedding are the ids. The order of gates
stands in each cell's file. The arrays do not tell activations, nor an embedding from a dense layer without bias: the
list of modules says it: `layers.1:embedding`, `layers.2`, `tanh`, `layers.4:relu`, `layers.5:eps=1e-5`.
"""

import io
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.interchange.activations import Activation
from cellar.interchange.chain import ImportedLayer, layer_norm, network_of, stateless
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.recurrent import RecurrentForm, cell_for, recurrent_weights
from cellar.interchange.tensors import check_size, float32_array
from cellar.nn.model.layers.dense import Activation as DenseActivation
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.dropout import DropoutSpec
from cellar.nn.model.layers.embedding import EmbeddingSpec
from cellar.wire.arrays.npy import UNREADABLE

Array = NDArray[np.float32]

MAX_BYTES = 512 * 1024 * 1024
MAX_ARRAYS = 1024
MAX_MODULES = 128
HEAD_BYTES = 8192
"""Of an array in an npz file, in which its header must end."""

FUNCTIONS: Mapping[str, Activation] = {
    "identity": Activation("identity"),
    "tanh": Activation("tanh"),
    "tanh_fast": Activation("tanh"),
    "sigmoid": Activation("sigmoid"),
    "sigmoid_fast": Activation("sigmoid"),
    "σ": Activation("sigmoid"),
    "relu": Activation("relu"),
    "softplus": Activation("softplus"),
    "softmax": Activation("softmax"),
    "softsign": Activation("softsign"),
    "elu": Activation("elu", {"alpha": 1.0}),
    "leakyrelu": Activation("leaky_relu", {"alpha": 0.01}),
    "relu6": Activation("clip", {"low": 0.0, "high": 6.0}),
    "hardtanh": Activation("clip", {"low": -1.0, "high": 1.0}),
    "hardsigmoid": Activation("hard_sigmoid_sixth"),
    "selu": Activation("selu", {"alpha": 1.6732632, "gamma": 1.050701}),
    "swish": Activation("silu"),
    "hardswish": Activation("hard_silu"),
    "mish": Activation("mish"),
    "logsigmoid": Activation("log_sigmoid"),
    "tanhshrink": Activation("tanh_shrink"),
    "softshrink": Activation("soft_shrink", {"theta": 0.5}),
}
"""Of NNlib, with its defaults."""

WIDE = "Wh_h̃"
"""Of GRUv3: the matrix that multiplies the reset state."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module in the list: the prefix of its arrays' names, or a function, and its settings."""

    text: str
    name: str
    word: str | None

    def refused(self, detail: str, **more: str | None) -> ImportRefused:
        """Return an error of this module."""
        return ImportRefused(f"module {self.text!r}: {detail}", place=self.name or ".", pointer="/modules", **more)


def read_flux(path: Path, modules: Sequence[str] | None = None) -> ImportedNetwork:
    """Return the network of a file of arrays; without `modules` all of them, in the order of their numbers.

    Raise ImportRefused, which names the array or module, if one is missing, ambiguous or cannot be expressed.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ImportRefused("the file is too large", place=path.name, expected=f"at most {MAX_BYTES} bytes")
    arrays = _npz(path) if path.suffix == ".npz" else _safetensors(path)
    return import_flux(arrays, modules)


def names_of_flux(names: Iterable[str]) -> bool:
    """Return whether arrays are those of Flux: in PyTorch, nothing ends in `Wi` or in `diag.scale`."""
    return any(name.split(".")[-1] == "Wi" or name.endswith("diag.scale") for name in names)


def import_flux(arrays: Mapping[str, NDArray[Any]], modules: Sequence[str] | None = None) -> ImportedNetwork:
    """Return the network of arrays by name, as `read_flux` does."""
    groups = _groups(arrays)
    texts = sorted(groups, key=_by_number) if modules is None else list(modules)
    if len(texts) > MAX_MODULES:
        raise ImportRefused("too many modules", place="modules", expected=f"at most {MAX_MODULES}")
    layers: list[ImportedLayer] = []
    width = in_size = 0
    for text in texts:
        name, _, word = text.strip().partition(":")
        module = Module(text, name if name != "." else "", word or None)
        if module.name not in groups:
            layers += _function(module, width, sorted(groups))
            continue
        found, reads, width = _layer(module, groups.pop(module.name))
        in_size = in_size or reads
        layers += found
    for name, left in groups.items():
        raise ImportRefused(
            f"no module has the array {next(iter(left.values()))[0]!r}", place=name or ".", pointer="/modules"
        )
    return network_of(in_size or 1, layers)


Group = dict[str, tuple[str, Array]]
"""The arrays of a module by their names within it, each with its name in the file."""


def _groups(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Group]:
    """Return the arrays of each module. Raise ImportRefused for one that is no array of finite numbers."""
    groups: dict[str, Group] = {}
    for name, array in arrays.items():
        prefix, _, own = name.rpartition(".")
        for inner in ("cell", "diag"):
            prefix = prefix.removesuffix(inner).removesuffix(".") if prefix.split(".")[-1] == inner else prefix
        groups.setdefault(prefix, {})[own] = (name, float32_array(array, name))
    return groups


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sort "layers.10" after "layers.9"."""
    return [(int(word), "") if word.isdigit() else (0, word) for word in name.split(".")]


def _layer(module: Module, group: Group) -> tuple[list[ImportedLayer], int, int]:
    """Return the layers of a module with arrays, how many numbers it reads, and how many it answers."""
    if "Wi" in group:
        return _recurrent(module, group)
    if "scale" in group:
        weights = {"g": _take(module, group, "scale", 1), "b": _take(module, group, "bias", 1)}
        _all_taken(module, group)
        return [layer_norm(_epsilon(module), weights, module.text)], len(weights["g"]), len(weights["g"])
    if "weight" not in group:
        raise module.refused("its arrays are of no layer that is known", actual=", ".join(sorted(group))[:128])
    weight = _take(module, group, "weight", 2)
    if module.word == "embedding":
        _all_taken(module, group)
        table = np.ascontiguousarray(weight.T)
        spec = EmbeddingSpec(count=_size(module, table.shape[0]), out_size=_size(module, table.shape[1]))
        return [ImportedLayer(spec, {"W": table}, module.text)], 1, table.shape[1]
    return _dense(module, group, weight)


def _dense(module: Module, group: Group, weight: Array) -> tuple[list[ImportedLayer], int, int]:
    function = _said(module, "Dense")
    bias = "bias" in group
    weights = {"W": weight} | ({"b": _take(module, group, "bias", 1)} if bias else {})
    _all_taken(module, group)
    direct = function.name in get_args(DenseActivation)
    spec = DenseSpec(
        out_size=_size(module, weight.shape[0]),
        # the name was looked up in the table
        activation=function.name if direct else "identity",  # type: ignore[arg-type]
        bias=bias,
    )
    layers = [ImportedLayer(spec, weights, module.text)]
    if not direct:
        layers.append(stateless(f"output = {function.of('x')}", weight.shape[0], {}, module.text))
    return layers, weight.shape[1], weight.shape[0]


def _recurrent(module: Module, group: Group) -> tuple[list[ImportedLayer], int, int]:
    """Return a recurrent layer; the rows of its matrices and the names of its arrays tell which."""
    rows, reads = group["Wi"][1].shape if group["Wi"][1].ndim == 2 else (0, 0)
    wide = group.get("Wh", ("", np.zeros((0, 0), np.float32)))[1]
    hidden = wide.shape[1] if wide.ndim == 2 else 0
    gates = rows // hidden if hidden and rows % hidden == 0 else 0
    kinds = {1: "RNN", 4: "LSTM", 3: "GRUv3" if WIDE in group else "GRU"}
    if gates not in kinds:
        raise module.refused("its matrices are of no recurrent layer", actual=f"Wi {rows} x {reads}, Wh of {hidden}")
    kind = kinds[gates]
    if kind == "GRUv3" and wide.shape == (3 * hidden, hidden):
        group["Wh"] = (group["Wh"][0], wide[: 2 * hidden])  # the last third is not read: it has its own matrix
    functions = {"f": _said(module, "RNN")} if kind == "RNN" else {}
    if kind != "RNN" and module.word is not None:
        raise module.refused("nothing is to be said of it", expected=module.name, actual=module.text)
    form = RecurrentForm(cell_for("flux", kind), functions)
    arrays = {name: array for name, (_, array) in group.items()}
    weights = recurrent_weights(form, "flux", arrays, (reads, hidden), {k: name for k, (name, _) in group.items()})
    for name in {"Wi", "Wh", "bias" if kind in ("RNN", "LSTM") else "b", *([WIDE] if kind == "GRUv3" else [])}:
        group.pop(name, None)
    _all_taken(module, group)
    return [ImportedLayer(form.spec(_size(module, hidden)), weights, module.text)], reads, hidden


def _function(module: Module, width: int, prefixes: Sequence[str]) -> list[ImportedLayer]:
    """Return the layers of an activation function in the list of modules."""
    if module.name in ("Dropout", "dropout"):
        return [ImportedLayer(DropoutSpec(rate=_number(module, module.word or "0.5")), {}, module.text)]
    if module.name not in FUNCTIONS:
        raise module.refused(
            "no array begins so, and no function is called so",
            expected=", ".join([*prefixes[:32], *FUNCTIONS]),
            actual=module.name[:128],
        )
    function = FUNCTIONS[module.name]
    if function.name == "identity":
        return []
    return [stateless(f"output = {function.of('x')}", width or 1, {}, module.text)]


def _said(module: Module, kind: str) -> Activation:
    """Return the activation that the list states. Raise ImportRefused if it does not."""
    if module.word is None or module.word not in FUNCTIONS:
        raise module.refused(
            f"the arrays of a {kind} do not tell its activation",
            expected=f"{module.name}:tanh, {module.name}:relu, {module.name}:identity, ...",
            actual=module.text,
            remedy="state it in the list of modules",
        )
    return FUNCTIONS[module.word]


def _epsilon(module: Module) -> float:
    """Return the epsilon, which only the list of modules can state. Raise ImportRefused if it does not.

    LayerNorm(n; eps) adds eps from Flux 0.16.11 on, and eps^2 in the versions before.
    """
    if module.word is None or not module.word.startswith("eps="):
        raise module.refused(
            "the arrays of a LayerNorm do not tell what it adds to the variance",
            expected=f"{module.name}:eps=1e-5",
            actual=module.text,
            remedy="the default is 1e-5 in Flux 0.16.11 and later, and 1e-10 in the versions from 0.15 on",
        )
    return _number(module, module.word.removeprefix("eps="))


def _number(module: Module, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise module.refused("this is no number from 0 to 1", actual=text[:64])
    return value


def _take(module: Module, group: Group, name: str, axes: int) -> Array:
    """Return an array of a module. Raise ImportRefused if it is missing or has other axes."""
    if name not in group or group[name][1].ndim != axes:
        actual = "no such array" if name not in group else str(list(group[name][1].shape))
        raise module.refused(
            f"the array {name!r} is missing or has another shape", expected=f"{axes} axes", actual=actual
        )
    return group.pop(name)[1]


def _all_taken(module: Module, group: Group) -> None:
    for name, _ in group.values():
        raise ImportRefused(f"the module {module.name!r} has no array {name!r}", place=name)


def _size(module: Module, size: int) -> int:
    if not 1 <= size <= 16_384:
        raise module.refused("a size that no layer has", expected="from 1 to 16384", actual=str(size))
    return size


def _safetensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return safetensors.numpy.load(path.read_bytes())
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ImportRefused(f"not a safetensors file: {error}", place=path.name) from error


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file. The size in each header is checked before the numbers are read."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ARRAYS or sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise ImportRefused("the archive is too large", place=path.name, expected=f"at most {MAX_BYTES} bytes")
            return {entry.filename.removesuffix(".npy"): _npy(archive, entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError, *UNREADABLE) as error:
        raise ImportRefused(f"not an npz file: {str(error)[:200]}", place=path.name) from error


def _npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    name = entry.filename
    with archive.open(entry) as file:
        head = file.read(HEAD_BYTES)
        stream = io.BytesIO(head)
        version = np.lib.format.read_magic(stream)
        reads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in reads:
            raise ImportRefused(f"the array {name!r} has a header of another version", place=name)
        shape, _, dtype = reads[version](stream, max_header_size=HEAD_BYTES)
        if dtype.hasobject:
            raise ImportRefused(f"the array {name!r} holds pickled objects", place=name, expected="float32")
        check_size(shape, name)
        expected = stream.tell() + math.prod(shape) * dtype.itemsize
        if entry.file_size != expected:
            raise ImportRefused(
                f"the array {name!r} has another number of bytes than its header says",
                place=name,
                expected=str(expected),
                actual=str(entry.file_size),
            )
        whole = io.BytesIO(head + file.read())
    found: NDArray[Any] = np.lib.format.read_array(whole, allow_pickle=False, max_header_size=HEAD_BYTES)
    return found

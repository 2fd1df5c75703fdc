"""Finds the kind and settings of modules from the names and shapes of their tensors. It never guesses."""

import re
from collections.abc import Mapping, Sequence

from cellar.errors.suggestions import plain_name
from cellar.interchange.imported import tensor_refused
from cellar.interchange.torch.modules import (
    CELLS,
    RECURRENT,
    Item,
    Nonlinearity,
    Shape,
    TorchModule,
    function_of,
    refused,
    settings_of,
    unknown_item,
)
from cellar.interchange.torch.wrappers import by_unwrapped_name
from cellar.nn.spec.base import MAX_SIZE

Shapes = Mapping[str, Shape]

GATES = {4: 1, 3: 2, 1: 0}
"""Place in RECURRENT and CELLS by the number of gates."""

NORMALIZER_EPSILON = 1e-2
"""The number that rsl_rl adds to the deviation of its observations."""

_LAYER = re.compile(r"(?:weight|bias)_(?:ih|hh|hr)_l(0|[1-9][0-9]?)(_reverse)?")


def by_prefix(shapes: Shapes) -> dict[str, dict[str, Shape]]:
    """Return the arrays of each module with tensors, by the prefix of their names."""
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        prefix, _, array = name.rpartition(".")
        found.setdefault(prefix, {})[array] = shape
    return found


def resolve(items: Sequence[Item], shapes: Shapes) -> tuple[TorchModule, ...]:
    """Return the modules that a request names, in full. Raise ImportRefused."""
    groups = by_prefix(shapes)
    full = by_unwrapped_name(groups)
    found = []
    for item in items:
        name = item.name if item.name in groups else full.get(item.name)
        if name is not None:
            found.append(describe(item.model_copy(update={"name": name}), groups[name]))
            continue
        function = function_of(item)
        if function is None:
            raise unknown_item(item, sorted(groups))
        found.append(function)
    return tuple(found)


def describe(item: Item, arrays: Shapes) -> TorchModule:
    """Return the module whose tensors have these shapes. Raise ImportRefused if they do not determine it."""
    if any(_LAYER.fullmatch(array) for array in arrays):
        return _recurrent(item, arrays, RECURRENT, "_l0")
    if "weight_ih" in arrays:
        return _recurrent(item, arrays, CELLS, "")
    if arrays.keys() <= {"weight", "bias"} and "weight" in arrays:
        return _plain(item, arrays)
    if arrays.keys() >= {"_mean", "_std"}:
        return _normalizer(item, arrays)
    what = "a batch norm" if "running_mean" in arrays else "none that is known"
    raise refused(
        f"the module {item.name!r} cannot be read: it is {what}",
        item.text,
        expected="tensors of RNN, LSTM, GRU, their cells, Linear, LayerNorm or Embedding",
        actual=", ".join(sorted(arrays)[:16]),
    )


def _recurrent(item: Item, arrays: Shapes, kinds: Sequence[str], suffix: str) -> TorchModule:
    matrix = _shape(item, arrays, f"weight_hh{suffix}", 2)
    reads = _shape(item, arrays, f"weight_ih{suffix}", 2)[1]
    projection = _shape(item, arrays, f"weight_hr{suffix}", 2) if f"weight_hr{suffix}" in arrays else (0, matrix[1])
    gates, rest = divmod(matrix[0], max(1, projection[1]))
    if rest or gates not in GATES:
        raise tensor_refused(
            "has the rows of no recurrent module",
            _name(item, f"weight_hh{suffix}"),
            "/weights",
            expected=f"{projection[1]}, {3 * projection[1]} or {4 * projection[1]} rows",
            actual=f"{matrix[0]} rows",
        )
    kind = kinds[GATES[gates]]
    places = [match for array in arrays if (match := _LAYER.fullmatch(array))]
    words = [word for word in item.words if plain_name(word) != plain_name(kind)]
    nonlinearity: Nonlinearity | None = None
    if gates == 1:
        nonlinearity = _nonlinearity(item, words)
    else:
        settings_of(item, {}, words)
    return TorchModule(
        type=kind,
        name=item.name,
        in_size=_size(item, f"weight_ih{suffix}", reads),
        size=_size(item, f"weight_hh{suffix}", projection[1]),
        proj_size=projection[0],
        layers=1 + max((int(place[1]) for place in places), default=0),
        bidirectional=any(place[2] for place in places),
        bias=any(array.startswith("bias") for array in arrays),
        nonlinearity=nonlinearity,
    )


def _nonlinearity(item: Item, words: Sequence[str]) -> Nonlinearity:
    words = [*words, *item.settings.values()] if item.settings.keys() <= {"nonlinearity"} else []
    match words:
        case ["tanh"]:
            return "tanh"
        case ["relu"]:
            return "relu"
    raise refused(
        f"whether the RNN {item.name!r} computes tanh or relu is not in its tensors",
        item.text,
        expected=f"{item.name or '.'}:tanh or {item.name or '.'}:relu",
        actual=item.text,
        remedy="say which in `modules`",
    )


def _plain(item: Item, arrays: Shapes) -> TorchModule:
    weight = arrays["weight"]
    if len(weight) == 1:
        words = [word for word in item.words if plain_name(word) != "layernorm"]
        settings = settings_of(item, {"eps": 1e-5}, words)
        size = _size(item, "weight", weight[0])
        return TorchModule(
            type="LayerNorm", name=item.name, in_size=size, size=size, bias="bias" in arrays, settings=settings
        )
    rows, columns = (_size(item, "weight", size) for size in _shape(item, arrays, "weight", 2))
    kinds = [plain_name(word) for word in item.words]
    if "bias" in arrays or kinds == ["linear"]:
        settings_of(item, {}, [word for word in item.words if plain_name(word) != "linear"])
        return TorchModule(type="Linear", name=item.name, in_size=columns, size=rows, bias="bias" in arrays)
    if kinds == ["embedding"]:
        return TorchModule(type="Embedding", name=item.name, in_size=rows, size=columns)
    raise refused(
        f"whether {item.name!r} is a Linear without bias or an Embedding is not in its tensors",
        item.text,
        expected=f"{item.name or '.'}:linear or {item.name or '.'}:embedding",
        actual=item.text,
        remedy="say which in `modules`",
    )


def _normalizer(item: Item, arrays: Shapes) -> TorchModule:
    size = _size(item, "_mean", _shape(item, arrays, "_mean", 2)[1])
    settings = settings_of(item, {"eps": NORMALIZER_EPSILON})
    return TorchModule(type="EmpiricalNormalization", name=item.name, in_size=size, size=size, settings=settings)


def _shape(item: Item, arrays: Shapes, array: str, axes: int) -> Shape:
    """Return the shape of an array. Raise ImportRefused unless it exists and has `axes` axes."""
    shape = arrays.get(array)
    if shape is None or len(shape) != axes:
        fault = "is missing" if shape is None else "has another number of axes"
        raise tensor_refused(
            fault,
            _name(item, array),
            "/weights",
            expected=f"{axes} axes",
            actual="no such tensor" if shape is None else str(list(shape)),
        )
    return shape


def _size(item: Item, array: str, size: int) -> int:
    if not 1 <= size <= MAX_SIZE:
        raise tensor_refused(
            "has a size that no layer has",
            _name(item, array),
            "/weights",
            expected=f"from 1 to {MAX_SIZE}",
            actual=str(size),
        )
    return size


def _name(item: Item, array: str) -> str:
    return f"{item.name}.{array}" if item.name else array

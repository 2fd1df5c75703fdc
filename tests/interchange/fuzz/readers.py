"""Each reader with damaged input: it returns a network, or refuses and names a place. Anything else is an error.

`.venv/bin/python -m tests.interchange.fuzz --examples 5000` prints how many cases each had.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from cellar.errors import ImportRefused
from cellar.interchange.flux import read_flux
from cellar.interchange.keras import read_keras
from cellar.interchange.keras.container import KerasFile, open_keras
from cellar.interchange.keras.reader import network_in
from cellar.interchange.keras.variables import LegacyVariables, SavedVariables
from cellar.interchange.onnx import import_onnx
from cellar.onnx_graph.publishing.host import host_graph
from cellar.onnx_graph.spec import GraphOptions
from tests.interchange.fuzz.mutations import LIES, changed_json, damaged, edits, json_changes

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parents[1] / "golden"

Counts = Counter[str]


@dataclass(frozen=True)
class Fuzz:
    """A reader: what makes its damaged inputs, and what reads one."""

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    share: float = 1.0
    """Of the examples: processes take longer."""


def run(fuzz: Fuzz, examples: int, seed: int | None = None) -> Counts:
    """Read `examples` damaged inputs, and return how many were read and how many were refused.

    Any other error of a reader is raised.
    """
    counts: Counts = Counter()

    @settings(
        max_examples=max(1, int(examples * fuzz.share)),
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(fuzz.inputs)
    def read(value: Any) -> None:
        counts[outcome(fuzz, value)] += 1

    read()
    return counts


def outcome(fuzz: Fuzz, value: Any) -> str:
    """Return whether an input is read or refused."""
    try:
        fuzz.read(value)
    except ImportRefused as error:
        return "refused" if error.place and error.detail else "refused without a place"
    return "read"


def _files(folder: Path, ends: Sequence[str]) -> st.SearchStrategy[bytes]:
    files = [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in ends]
    return st.builds(damaged, st.sampled_from(files), edits)


def _written(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return what writes bytes to a file and reads it."""

    def reader(data: bytes) -> object:
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(data)
            file.flush()
            return read(Path(file.name))

    return reader


def _configurations() -> Fuzz:
    """Return models of Keras whose configuration lies; their arrays are read once."""
    files = {path: open_keras(path) for path in sorted(GOLDEN.iterdir()) if path.suffix in (".keras", ".h5")}
    contents = {path: json.dumps(file.model) for path, file in files.items()}

    def read(value: tuple[Path, list[tuple[int, Any, bool]]]) -> object:
        path, changes = value
        model = changed_json(json.loads(contents[path]), changes)
        saved = files[path].variables
        assert isinstance(saved, SavedVariables | LegacyVariables)
        return network_in(KerasFile(model, files[path].version, type(saved)(saved.contents)))

    return Fuzz(st.tuples(st.sampled_from(sorted(files)), json_changes), read)


def _hosted(data: bytes) -> object:
    """Decide how a graph is hosted, as far as the process that tries it, which is not started here."""
    with patch("cellar.onnx_graph.publishing.host.try_graph", side_effect=ImportRefused("not tried", place="graph")):
        return host_graph(data, GraphOptions())


def _messages(read_model: Callable[[bytes], object]) -> Fuzz:
    """Return models of ONNX whose fields lie: names, attributes, sizes, types and kinds of data."""
    models = [path.read_bytes() for path in sorted(CORPUS.iterdir()) if path.suffix == ".onnx"]
    changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5)

    def read(value: tuple[bytes, list[tuple[int, int]]]) -> object:
        model = ModelProto.FromString(value[0])
        for place, number in value[1]:
            _change_field(model, place, number)
        return read_model(model.SerializeToString())

    return Fuzz(st.tuples(st.sampled_from(models), changes), read)


def _change_field(message: Any, place: int, number: int) -> None:
    """Change one field somewhere in a message."""
    fields = message.ListFields()
    while fields:
        field, value = fields[place % len(fields)]
        place //= len(fields)
        repeated = hasattr(value, "__len__") and not isinstance(value, str | bytes)
        item = value[place % len(value)] if repeated and len(value) else value
        if hasattr(item, "ListFields") and (place + number) % 7:
            message, fields = item, item.ListFields()
            continue
        _set(message, field, value, number)
        return


def _set(message: Any, field: Any, value: Any, number: int) -> None:
    """Replace a field by another value, or leave it out."""
    if number % 3 == 0 or hasattr(value, "ListFields"):
        message.ClearField(field.name)
    elif isinstance(value, str | bytes):
        text = ("", "Y", "X", "LSTM", "Einsum", "bidirectional", "x" * 200)[number % 7]
        setattr(message, field.name, text if isinstance(value, str) else text.encode())
    elif isinstance(value, int | float):
        lies = (*(lie for lie in LIES if lie < 2**31), -1)
        with suppress(ValueError):  # enumerations have few numbers
            setattr(message, field.name, type(value)(lies[number % len(lies)]))
    elif len(value):
        del value[number % len(value)]


FUZZES: dict[str, Callable[[], Fuzz]] = {
    "onnx bytes": lambda: Fuzz(_files(CORPUS, [".onnx"]), import_onnx),
    "onnx fields": lambda: _messages(import_onnx),
    "graph bytes": lambda: Fuzz(_files(CORPUS, [".onnx"]), _hosted),
    "graph fields": lambda: _messages(_hosted),
    "keras configurations": _configurations,
    "keras bytes": lambda: Fuzz(_files(GOLDEN, [".keras"]), _written(".keras", read_keras), 0.01),
    "hdf5 bytes": lambda: Fuzz(_files(GOLDEN, [".h5"]), _written(".h5", read_keras), 0.01),
    "flux npz": lambda: Fuzz(_files(CORPUS, [".npz"]), _written(".npz", read_flux)),
    "flux safetensors": lambda: Fuzz(_files(CORPUS, [".safetensors"]), _written(".safetensors", read_flux)),
}

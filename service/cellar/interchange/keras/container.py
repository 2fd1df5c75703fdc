"""Opens files of Keras: a zip archive with `config.json` and `model.weights.h5`, or one HDF5 file.

Every size is checked before anything of that size is read.
"""

import json
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellar.errors import ImportRefused
from cellar.interchange.keras.hdf5_contents import hdf5_contents
from cellar.interchange.keras.variables import LegacyVariables, SavedVariables, Variables

MAX_CONFIG_BYTES = 4 * 1024 * 1024
MAX_WEIGHTS_BYTES = 512 * 1024 * 1024
"""The largest network with the two moments of an optimiser has 192 MiB."""
MAX_RATIO = 200
"""Keras stores without compression. More than this is no weights: float32 noise compresses to 0.9."""
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class KerasFile:
    """The contents of a file."""

    model: dict[str, Any]
    """`{"class_name": "Sequential", "config": {...}}`"""
    version: int
    """Of Keras, the major one: 2 or 3."""
    variables: Variables


def open_keras(path: Path) -> KerasFile:
    """Read a file of Keras. Its contents decide the format, not its name. Raise ImportRefused."""
    try:
        if path.stat().st_size > MAX_WEIGHTS_BYTES:
            raise ImportRefused("the file is too large", place=path.name, expected=f"at most {MAX_WEIGHTS_BYTES} bytes")
        return _archive(path) if zipfile.is_zipfile(path) else _legacy(path)
    except OSError as error:
        raise ImportRefused(f"the file cannot be read: {error.strerror or error}", place=path.name) from error


def _archive(path: Path) -> KerasFile:
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="cellar-") as folder:
            model = _json(_read(archive, "config.json", MAX_CONFIG_BYTES), "config.json")
            metadata = _json(_read(archive, "metadata.json", MAX_CONFIG_BYTES), "metadata.json")
            weights = Path(folder) / "model.weights.h5"
            _extract(archive, weights.name, weights)
            contents = hdf5_contents(weights, weights.name)
            return KerasFile(model, _major(metadata.get("keras_version")), SavedVariables(contents))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise ImportRefused(f"the archive is damaged: {str(error)[:200]}", place=path.name) from error


def _legacy(path: Path) -> KerasFile:
    """Return the contents of an HDF5 file that `model.save('model.h5')` wrote."""
    contents = hdf5_contents(path, path.name)
    if contents.model is None:
        raise ImportRefused(
            "the HDF5 file holds no model, perhaps weights alone",
            place="model_config",
            remedy="save the whole model with `model.save('model.keras')`",
        )
    model = _json(contents.model.encode("utf-8", "replace"), "model_config")
    return KerasFile(model, _major(contents.version), LegacyVariables(contents))


def _info(archive: zipfile.ZipFile, name: str, limit: int) -> zipfile.ZipInfo:
    """Return an entry of the archive. Raise ImportRefused if it is missing, or larger than it may be."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise ImportRefused(
            f"the archive has no {name}", place=name, remedy="save the model with `model.save('model.keras')`"
        ) from error
    if info.file_size > limit or info.file_size > MAX_RATIO * max(info.compress_size, 1024):
        raise ImportRefused(
            f"{name} is too large, or compressed too far",
            place=name,
            expected=f"at most {limit} bytes, and {MAX_RATIO} times the compressed size",
            actual=f"{info.file_size} bytes, compressed to {info.compress_size}",
        )
    return info


def _read(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    return archive.read(_info(archive, name, limit))


def _extract(archive: zipfile.ZipFile, name: str, to: Path) -> None:
    with archive.open(_info(archive, name, MAX_WEIGHTS_BYTES)) as source, to.open("wb") as target:
        shutil.copyfileobj(source, target, _PIECE)


def _json(data: bytes, place: str) -> dict[str, Any]:
    """Return an object. Raise ImportRefused for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{place} is not JSON: {error}", place=place) from error
    if not isinstance(found, dict):
        raise ImportRefused(f"{place} is no JSON object", place=place)
    return found


def _major(version: Any) -> int:
    text = str(version)
    if text[:1] not in ("2", "3"):
        raise ImportRefused("another version of Keras", place="keras_version", expected="2 or 3", actual=text[:32])
    return int(text[0])

"""Turns arrays of Arrow into cells, by the types of the file's schema."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from cellar.datasets.faults import fault
from cellar.datasets.source import Cells, DeclaredType

EXACT = 2**53
"""Integers up to this one are the same as float64."""


_NUMBER, _CATEGORY = DeclaredType("number"), DeclaredType("category")


class ArrowType(NamedTuple):
    """How the values of a column are read."""

    cells: Callable[[pa.Array], Cells]
    declared: DeclaredType | None
    """None: found in the texts of the whole column."""


def arrow_type(name: str, kind: pa.DataType) -> ArrowType:
    """Return how a column is read. Raise DatasetInvalid for lists, structures and other values that are no readings."""
    if isinstance(kind, pa.BaseExtensionType):
        inner = arrow_type(name, kind.storage_type)
        return inner._replace(cells=lambda array: inner.cells(array.storage))
    if types.is_dictionary(kind):
        inner = arrow_type(name, kind.value_type)
        is_category = _is_text(kind.value_type) or types.is_integer(kind.value_type)
        return ArrowType(
            lambda array: inner.cells(array.dictionary_decode()), _CATEGORY if is_category else inner.declared
        )
    if _is_text(kind):
        return ArrowType(_texts, None)
    if types.is_integer(kind):
        return ArrowType(_integers, _NUMBER)
    if types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind) or types.is_null(kind):
        return ArrowType(_numbers, _NUMBER)
    if types.is_date(kind):
        return ArrowType(_instants, DeclaredType("time"))
    if types.is_timestamp(kind):
        return ArrowType(_instants, DeclaredType("time", is_utc=kind.tz is not None))
    raise fault(
        f"values of the type {str(kind)[:60]} are no readings",
        column=name,
        remedy=f"leave the column out (ignore={name}), or write its parts as columns of numbers, texts or times",
    )


def _is_text(kind: pa.DataType) -> bool:
    return any(
        check(kind)
        for check in (
            types.is_string, types.is_large_string, types.is_string_view,
            types.is_binary, types.is_large_binary, types.is_binary_view,
        )
    )  # fmt: skip


def _texts(array: pa.Array) -> Cells:
    found: list[str] = pc.fill_null(array.cast(pa.large_string()), "").to_pylist()
    return found


def _numbers(array: pa.Array) -> Cells:
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _integers(array: pa.Array) -> Cells:
    """Return integers as they are. Those with nulls are float64, or texts if they have too many digits for that."""
    if not array.null_count:
        return np.asarray(array.to_numpy(zero_copy_only=False))
    ends = pc.min_max(array)
    low, high = ends["min"].as_py() or 0, ends["max"].as_py() or 0
    return _texts(array) if low < -EXACT or high > EXACT else _numbers(array)


def _instants(array: pa.Array) -> Cells:
    return np.asarray(array.to_numpy(zero_copy_only=False))

"""The cells of readings: what is carried from step to step, as equations with constant matrices and vectors.

The language has no parts of vectors. A constant matrix of zeros and ones takes some numbers of a vector, which is
exact: every product but one of each sum is zero. So is `p * x + (1 - p) * last` for a presence p of 0 or 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.nn.readings.columns import NumberColumn
from cellar.nn.readings.layout import Layout, lagged

Constants = dict[str, NDArray[np.float32]]

VALUES = """
param V: values x in
param P: values x in
state last: values
p = P @ x
last = p * (V @ x) + (1 - p) * last
"""

CAUSAL = """
param V: values x in
param P: values x in
state last: values
state count: values
state centre: values
state spread: values
v = V @ x
p = P @ x
last = p * v + (1 - p) * last
count = count + p
d = v - centre
centre = centre + p * d / max(count, 1)
spread = spread + p * d * (v - centre)
output = (last - centre) / sqrt(max(spread, 0) / max(count - 1, 1) + 1e-6)
"""

SCALES = """
param V: values x in
param P: values x in
param S: values x in
param C: values x in
param G: values x in
param K: values x in
param U: out x values
param L: out x values
param r: values
state count: values
state level: values
state centre: values
state spread: values
state known: values
state own: values
state middle: values
v = V @ x
p = P @ x
count = count + p
d = v - centre
centre = centre + p * d / max(count, 1)
spread = spread + p * d * (v - centre)
level = level + p * (abs(v) - level) / max(count, 1)
g = G @ x
known = g * (K @ x) + (1 - g) * known
own = g * (S @ x) + (1 - g) * own
middle = g * (C @ x) + (1 - g) * middle
expected = r * level
deviation = sqrt(max((spread + expected * expected) / max(count, 1), 1e-18))
output = U @ (known * own + (1 - known) * deviation) + L @ (known * middle + (1 - known) * centre)
"""
"""The scale of each column, then its shift, in its unit: of the series, or of the readings of the session so far.

These count with one more reading, whose distance from their mean is the one that is usual in training.
"""

SCALED = """
param V: values x in
param P: values x in
param U: values x z
param L: values x z
state last: values
state seen: values
p = P @ x
last = p * (V @ x) + (1 - p) * last
seen = max(seen, p)
output = seen * max(min((last - L @ z) / (U @ z), 1e6), -1e6)
"""

PLAIN = """
param V: values x in
output = V @ x
"""

CLOCK = """
param D: 1 x in
param S: 1 x in
param rate: scalar
state begun: 1
state day: 1
state second: 1
d = D @ x
s = S @ x
passed = begun * ((d - day) * 86400 + (s - second))
later = max(1 - begun, max(min(passed * 1e9, 1), 0))
day = later * d + (1 - later) * day
second = later * s + (1 - later) * second
begun = max(begun, 1)
output = max(passed, 0) * rate
"""

SINCE_TIME = """
param P: values x in
state since: values
since = (1 - P @ x) * (since + sum(elapsed))
output = log(1 + since)
"""

SINCE_STEPS = """
param P: values x in
state since: values
since = (1 - P @ x) * (since + 1)
output = log(1 + since)
"""

ELAPSED = "output = log(1 + x)"

LAG = """
param C: in
param I: lag
param n: scalar
state past: lag
state at: 1
v = sum(C * x)
m = relu(1 - abs(I - sum(at)))
before = sum(m * past)
past = (1 - m) * past + m * v
at = at + 1 - n * relu(1 - abs(at + 1 - n))
"""
"""A circular buffer, whose place `at` holds the number of as many steps ago as it has places."""


@dataclass(frozen=True, slots=True)
class ReadingsCell:
    """One of the cells of readings."""

    part: str
    """Its name among them: it stands in the names of its parameters and states."""
    text: str
    sizes: dict[str, int]
    constants: Constants
    """Its parameters, which are never trained."""
    starts: Constants
    """The initial values of its states, those that are not zero."""
    features: tuple[str, ...]
    """The names of its outputs; empty if only other cells read them."""
    reads: tuple[str | None, ...] = (None,)
    """The parts whose outputs it reads; None: what is encoded."""
    inputs: tuple[str, ...] = ("x",)


def cells_of(layout: Layout) -> Iterator[ReadingsCell]:
    """Yield the cells of readings in the order of execution, which is that of the features of the layer."""
    carried, causal, scaled = (
        [index for index, each in enumerate(layout.carried) if layout.part(each.column) == part]
        for part in ("values", "causal", "scaled")
    )
    if carried:
        yield _values(layout, carried)
    if causal:
        sizes = {"in": layout.encoded_size, "values": len(causal)}
        names = tuple(layout.carried[index].feature for index in causal)
        starts = {"last": _fills(layout, causal), "centre": _fills(layout, causal)}
        yield ReadingsCell("causal", CAUSAL, sizes, _takes(layout, causal), starts, names)
    if scaled:
        yield from _scaled(layout, scaled)
    if layout.plain:
        places = range(2 * len(layout.carried), 2 * len(layout.carried) + len(layout.plain))
        sizes = {"in": layout.encoded_size, "values": len(places)}
        yield ReadingsCell("plain", PLAIN, sizes, {"V": _taking(places, layout.encoded_size)}, {}, layout.plain)
    if layout.has_clock:
        yield from _clock(layout)
    yield from _since(layout)
    yield from _lags(layout)


def _values(layout: Layout, places: Sequence[int]) -> ReadingsCell:
    sizes = {"in": layout.encoded_size, "values": len(places)}
    names = tuple(layout.carried[index].feature for index in places)
    return ReadingsCell("values", VALUES, sizes, _takes(layout, places), {"last": _fills(layout, places)}, names)


def _scaled(layout: Layout, places: Sequence[int]) -> Iterator[ReadingsCell]:
    """Yield the cell of the scales, and that of the scaled columns, which reads them."""
    size, count, own = layout.encoded_size, len(places), layout.scale_numbers
    first, zeros = size - 2 * layout.has_clock - own, np.zeros((count, size), np.float32)
    constants = _takes(layout, places)
    of_series = np.array([[column.per_series] for _, column in layout.scaled], np.float32)
    for name, part in (("C", range(first, first + count)), ("S", range(first + count, first + 2 * count))):
        constants[name] = of_series * _taking(part, size) if own else zeros
    for name, place in (("G", first + 2 * count), ("K", first + 2 * count + 1)):
        constants[name] = of_series * _taking([place] * count, size) if own else zeros
    both = np.eye(2 * count, dtype=np.float32)
    constants |= {"U": both[:, :count], "L": both[:, count:]}
    constants["r"] = np.array([relative_of(column) for _, column in layout.scaled], np.float32)
    yield ReadingsCell(SCALES_PART, SCALES, {"in": size, "values": count, "out": 2 * count}, constants, {}, ())
    constants = _takes(layout, places) | {"U": both[:count], "L": both[count:]}
    names, reads = tuple(layout.carried[place].feature for place in places), (None, SCALES_PART)
    sizes = {"in": size, "values": count, "z": 2 * count}
    yield ReadingsCell("scaled", SCALED, sizes, constants, {}, names, reads, ("x", "z"))


SCALES_PART = "scales"
"""The part whose outputs are the scales that sessions keep, then the shifts."""

RELATIVE = 0.1
"""The usual deviation of a series, as a share of its mean absolute reading, where it was not fitted."""


def relative_of(column: NumberColumn) -> float:
    """Return the usual deviation of a column as a share of its mean absolute reading."""
    fitted = column.fitted
    return RELATIVE if fitted is None or fitted.relative is None else fitted.relative


def _clock(layout: Layout) -> Iterator[ReadingsCell]:
    assert layout.time is not None
    size, column = layout.encoded_size, layout.time[1]
    constants = {"D": _taking([size - 2], size), "S": _taking([size - 1], size)}
    constants["rate"] = np.array(1 / (column.interval_s or 1.0), np.float32)
    yield ReadingsCell("clock", CLOCK, {"in": size}, constants, {}, ())
    if column.elapsed:
        yield ReadingsCell("elapsed", ELAPSED, {"in": 1}, {}, {}, ("time since the last step",), ("clock",))


def _since(layout: Layout) -> Iterator[ReadingsCell]:
    number = {each.column: index for index, each in reversed([*enumerate(layout.carried)])}
    mask = {at: index for index, at in enumerate(at for at, column in layout.numbers if column.mask)}
    first_mask = 2 * len(layout.carried) + sum(column.missing == "mean" for _, column in layout.numbers)
    places, names = [], []
    for at, column in layout.numbers:
        if column.since:
            # a column that is filled with its mean has no presence of its own but its mask
            places.append(len(layout.carried) + number[at] if at in number else first_mask + mask[at])
            names.append(f"time since {column.name}")
    if not places:
        return
    constants, sizes = {"P": _taking(places, layout.encoded_size)}, {"in": layout.encoded_size, "values": len(places)}
    if layout.has_clock:
        sizes["elapsed"] = 1
        reads, inputs = (None, "clock"), ("x", "elapsed")
        yield ReadingsCell("since", SINCE_TIME, sizes, constants, {}, tuple(names), reads, inputs)
    else:
        yield ReadingsCell("since", SINCE_STEPS, sizes, constants, {}, tuple(names))


def _lags(layout: Layout) -> Iterator[ReadingsCell]:
    where: dict[int, tuple[str, int, int, float]] = {}
    for part in ("values", "causal", "scaled"):
        kept = [each for each in layout.carried if layout.part(each.column) == part]
        where |= {each.column: (part, index, len(kept), each.fill) for index, each in enumerate(kept)}
    mean = [(at, column) for at, column in layout.numbers if column.missing == "mean"]
    for index, (at, column) in enumerate(mean):
        where[at] = ("plain", index, len(layout.plain), 0.0 if column.fitted is None else column.fitted.fill)
    for at, column, steps, is_difference in lagged(layout.numbers):
        part, index, size, fill = where[at]
        start = 0.0 if part in ("causal", "scaled") else fill
        constants = {
            "C": _taking([index], size)[0],
            "I": np.arange(steps, dtype=np.float32),
            "n": np.array(steps, np.float32),
        }
        text = LAG + ("output = v - before" if is_difference else "output = before")
        kind, name = (
            ("change", f"{column.name} against {steps} before")
            if is_difference
            else (
                "lag",
                f"{column.name} {steps} before",
            )
        )
        starts = {"past": np.full(steps, start, np.float32)}
        sizes = {"in": size, "lag": steps}
        yield ReadingsCell(f"{kind}{steps}_{at}", text, sizes, constants, starts, (name,), (part,))


def _takes(layout: Layout, places: Sequence[int]) -> Constants:
    size, count = layout.encoded_size, len(layout.carried)
    return {"V": _taking(places, size), "P": _taking([count + place for place in places], size)}


def _taking(places: Sequence[int], size: int) -> NDArray[np.float32]:
    """Return the matrix (places, size) that takes these places of a vector."""
    found = np.zeros((len(places), size), np.float32)
    found[np.arange(len(places)), [*places]] = 1
    return found


def _fills(layout: Layout, places: Sequence[int]) -> NDArray[np.float32]:
    return np.array([layout.carried[place].fill for place in places], np.float32)

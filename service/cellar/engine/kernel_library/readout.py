"""Adds what a session has learnt to the outputs of its network, and updates it by recursive least squares.

A session that learns keeps, behind its state, a block of float32: counts, a delta of the weights of the last layer, the
factor of their covariance, and a window of its last steps. All arithmetic is float64, in the written order, and each
number is rounded once to float32 when it is stored. Rows are independent of each other.

The covariance P of the weights is U diag(d) U', with U unit upper triangular. Bierman's update of these factors keeps P
symmetric and positive for any targets, also with collinear features (Bierman 1977, Factorization Methods for Discrete
Sequential Estimation, section V.3). Before each update P is divided by the forgetting factor, and no element of d is
above its first value: a direction that no feature excites would otherwise grow without bound.

Offsets and sizes are in floats of 4 bytes, addresses in bytes.
"""

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import (
    read_double,
    read_float,
    read_int,
    read_int32,
    write_double,
    write_float,
    write_int32,
)

__all__ = ["readout"]

_LEAST = 2.0**-63
"""Numbers below it are stored as 0, as in every state."""

_LEAST_VARIANCE = 2.0**-60
"""The least element of d, so that forgetting can raise it again."""

_LARGEST = 3.4028234663852886e38

_COUNT_BASE = 1048576.0
"""The number of updates is kept as two floats, low and high, in this base."""


@kernel_function
def readout(call: int) -> int:
    """Advance rows by steps, or learn targets of one row; return 0, or 1 if a number that was learnt is not finite.

    `call` is the address of int64: 0 what to do (0 advance, 1 learn), 1 the address of the first block, 2 bytes from
    one block to the next, 3 features of the last layer, 4 its weights for each output (a bias is the one beyond its
    features), 5 outputs, 6 steps of the window, then the offsets of 7 delta, 8 factor and 9 window in a block.

    To advance: 10 rows, 11 steps, 12 the address of features and outputs of the network (steps, rows, features +
    outputs), 13 that of the outputs to write (steps, rows, outputs), 14 that of the length of each row as int32, or 0,
    15 that of the first step of each row whose output is not finite, int32, which is written only if there is one.

    To learn: 10 the number of targets, 11 the address of their places in the window, int32, 12 that of the targets
    (targets, outputs), 13 that of the forgetting factor and the largest element of d, float64, 14 that of scratch
    memory of three float64 for each weight.
    """
    if read_int(call) == 0:
        for row in range(read_int(call + 80)):
            _advance(call, row)
        return 0
    done: int = _learn(call)
    return done


@kernel_function
def _advance(call: int, row: int) -> None:
    """Write the outputs of a row, and its steps to its window."""
    block = read_int(call + 8) + row * read_int(call + 16)
    features, outputs, kept = read_int(call + 24), read_int(call + 40), read_int(call + 48)
    rows, steps, lengths, bad = read_int(call + 80), read_int(call + 88), read_int(call + 112), read_int(call + 120)
    if lengths != 0:
        steps = read_int32(lengths + 4 * row)
    window, size = block + 4 * read_int(call + 72), 4 * _place_floats(features, outputs)
    cursor, filled = int(read_float(block)), int(read_float(block + 4))
    for step in range(steps):
        given = read_int(call + 96) + 4 * (step * rows + row) * (features + outputs)
        out = read_int(call + 104) + 4 * (step * rows + row) * outputs
        place = window + cursor * size
        for index in range(features):
            _write(place + 4 * index, read_float(given + 4 * index))
        for index in range(outputs):
            base = read_float(given + 4 * (features + index))
            write_float(out + 4 * index, base + _correction(call, block, given, index))
            answered = read_float(out + 4 * index)
            if not abs(answered) <= _LARGEST and read_int32(bad + 4 * row) < 0:
                write_int32(bad + 4 * row, step)
            kept_at = place + 4 * (features + index)
            _write(kept_at, base)
            _write(kept_at + 4 * outputs, answered)
            write_float(kept_at + 8 * outputs, 0.0)
        write_float(place + size - 4, 0.0)
        cursor = (cursor + 1) % kept
        filled = min(filled + 1, kept)
    write_float(block, float(cursor))
    write_float(block + 4, float(filled))


@kernel_function
def _correction(call: int, block: int, given: int, output: int) -> float:
    """Return the product of an output's delta and the features at an address; -0.0 if nothing was learnt."""
    features, weights = read_int(call + 24), read_int(call + 32)
    delta = block + 4 * (read_int(call + 56) + output * weights)
    total = read_float(delta + 4 * features) if weights > features else 0.0
    for index in range(features):
        total += read_float(delta + 4 * index) * read_float(given + 4 * index)
    return total if total != 0.0 else -0.0  # x + -0.0 has the bits of x


@kernel_function
def _learn(call: int) -> int:
    """Learn the targets in their order; return 1 if a number of the block is not finite afterwards."""
    block = read_int(call + 8)
    features, outputs = read_int(call + 24), read_int(call + 40)
    window, size = block + 4 * read_int(call + 72), 4 * _place_floats(features, outputs)
    for number in range(read_int(call + 80)):
        place = window + size * read_int32(read_int(call + 88) + 4 * number)
        target = read_int(call + 96) + 4 * outputs * number
        _measure(call, block, place, target)
        _update(call, block, place, target)
        for index in range(outputs):
            write_float(place + 4 * (features + 2 * outputs + index), read_float(target + 4 * index))
        write_float(place + size - 4, 1.0)
    for index in range(read_int(call + 72)):
        if not abs(read_float(block + 4 * index)) <= _LARGEST:
            return 1
    return 0


@kernel_function
def _measure(call: int, block: int, place: int, target: int) -> None:
    """Add the squared errors of a step's answer, and of the network alone, to their running means."""
    features, outputs = read_int(call + 24), read_int(call + 40)
    base, answered = 0.0, 0.0
    for index in range(outputs):
        wanted, at = read_float(target + 4 * index), place + 4 * (features + index)
        apart = wanted - read_float(at)
        base += apart * apart
        apart = wanted - read_float(at + 4 * outputs)
        answered += apart * apart
    weight = read_double(read_int(call + 104)) * read_float(block + 16) + 1.0
    write_float(block + 16, weight)
    for at, error in ((block + 20, base), (block + 24, answered)):
        mean = read_float(at)
        _write(at, mean + (error / outputs - mean) / weight)
    low = read_float(block + 8) + 1.0
    if low >= _COUNT_BASE:
        write_float(block + 12, read_float(block + 12) + 1.0)
        low = 0.0
    write_float(block + 8, low)


@kernel_function
def _update(call: int, block: int, place: int, target: int) -> None:
    """Update the factor by a step's features, and the delta of each output by its error: Bierman's update.

    f = U' x;  v = d f;  a(j) = 1 + sum of v f up to j;  d(j) = d(j) a(j-1) / a(j);  gain = U v / a
    """
    features, weights, outputs = read_int(call + 24), read_int(call + 32), read_int(call + 40)
    factor, numbers, gain = block + 4 * read_int(call + 64), read_int(call + 104), read_int(call + 112)
    forgetting, most = read_double(numbers), read_double(numbers + 8)
    f, v = gain + 8 * weights, gain + 16 * weights
    for column in range(weights):
        at = factor + 4 * (column * (column + 1) // 2)
        total = _feature(place, features, column)
        for row in range(column):
            total += read_float(at + 4 * row) * _feature(place, features, row)
        write_float(at + 4 * column, min(read_float(at + 4 * column) / forgetting, most))
        write_double(f + 8 * column, total)
        write_double(v + 8 * column, read_float(at + 4 * column) * total)
    before = 1.0
    for column in range(weights):
        at = factor + 4 * (column * (column + 1) // 2)
        own, varied = read_double(f + 8 * column), read_double(v + 8 * column)
        after = before + varied * own
        write_float(at + 4 * column, max(read_float(at + 4 * column) * (before / after), _LEAST_VARIANCE))
        scale = -own / before
        for row in range(column):
            u, k = read_float(at + 4 * row), read_double(gain + 8 * row)
            _write(at + 4 * row, u + scale * k)
            write_double(gain + 8 * row, k + u * varied)
        write_double(gain + 8 * column, varied)
        before = after
    for output in range(outputs):
        base = read_float(place + 4 * (features + output))
        error = read_float(target + 4 * output) - (base + _correction(call, block, place, output))
        delta = block + 4 * (read_int(call + 56) + output * weights)
        for index in range(weights):
            _write(delta + 4 * index, read_float(delta + 4 * index) + error * (read_double(gain + 8 * index) / before))


@kernel_function
def _feature(place: int, features: int, index: int) -> float:
    """Return a feature of a step in the window; the one beyond its features is 1, for the bias."""
    return read_float(place + 4 * index) if index < features else 1.0


@kernel_function
def _place_floats(features: int, outputs: int) -> int:
    """Return the floats of a step in the window: features, outputs of the network, answers, targets, and a flag."""
    return features + 3 * outputs + 1


@kernel_function
def _write(address: int, value: float) -> None:
    """Store a number as float32, 0 in place of a tiny one."""
    write_float(address, 0.0 if abs(value) < _LEAST else value)

"""Copies rows between the caller's dense arrays and padded rows, with checks for values that are not finite."""

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.elementary_functions import flush
from cellar.engine.kernel_library.memory_intrinsics import (
    load,
    load_first,
    load_one,
    read_int32,
    store,
    store_first,
    write_int32,
)
from cellar.engine.kernel_library.simd import above, all_finite, any_of, first, fma, mul, where, zero


@kernel_function
def store_partial(target: int, value: object, left: int) -> None:
    """Store sixteen floats, or the first `left` of them if there are fewer."""
    if left >= 16:
        store(target, value)
    else:
        store_first(target, value, first(left))


@kernel_function
def accumulate_nonfinite(total: object, value: object, left: int) -> object:
    """Return a sum of zeros that is NaN once one of the first `left` numbers that it was shown was not finite."""
    if left >= 16:
        return fma(value, zero(), total)
    return fma(where(first(left), value, zero()), zero(), total)


@kernel_function
def _kept(value: object, flushes: bool) -> object:
    """Return sixteen floats as a cell keeps them: flushed, or as they are, however small."""
    return flush(value) if flushes else value


@kernel_function
def load_row(source: int, target: int, count: int, flushes: bool) -> None:
    """Copy `count` dense floats to a padded row, flushed if the cell does so; the padding is zero."""
    done = 0
    while done + 16 <= count:
        store(target + 4 * done, _kept(load(source + 4 * done), flushes))
        done += 16
    if done < count:
        store(target + 4 * done, _kept(load_first(source + 4 * done, first(count - done)), flushes))


@kernel_function
def store_row(source: int, target: int, count: int) -> None:
    """Copy `count` floats of a padded row to a dense place."""
    done = 0
    while done < count:
        store_partial(target + 4 * done, load(source + 4 * done), count - done)
        done += 16


@kernel_function
def copy_and_check(source: int, target: int, count: int, flushes: bool) -> bool:
    """Copy a padded row, flushed if the cell does so; return whether its `count` floats are finite."""
    finite = True
    done = 0
    while done < count:
        value = load(source + 4 * done)
        finite = finite and all_finite(value, first(count - done))
        store(target + 4 * done, _kept(value, flushes))
        done += 16
    return finite


@kernel_function
def pad_row(source: int, target: int, count: int) -> None:
    """Move `count` floats to a padded row, which begins at the same place or at a higher one; the padding is zero."""
    left = (count - 1) // 16 * 16
    store(target + 4 * left, load_first(source + 4 * left, first(count - left)))
    while left > 0:
        left -= 16
        store(target + 4 * left, load(source + 4 * left))


@kernel_function
def is_finite(source: int, count: int) -> bool:
    """Return whether the first `count` floats of a padded row are finite."""
    finite = True
    done = 0
    while done < count:
        finite = finite and all_finite(load(source + 4 * done), first(count - done))
        done += 16
    return finite


@kernel_function
def record_fault(bad_step: int, bad_kind: int, row: int, step: int, kind: int) -> None:
    """Record a fault of a row: only its first step, and of the faults of one step the smallest kind."""
    known = read_int32(bad_step + 4 * row)
    if known < 0 or known > step or (known == step and read_int32(bad_kind + 4 * row) > kind):
        write_int32(bad_step + 4 * row, step)
        write_int32(bad_kind + 4 * row, kind)


@kernel_function
def clear(target: int, width: int) -> None:
    """Write zeros over `width` bytes, a multiple of 64."""
    for offset in range(0, width, 64):
        store(target + offset, zero())


@kernel_function
def clear_dense(target: int, count: int) -> None:
    """Write zeros over `count` dense floats."""
    done = 0
    while done < count:
        store_partial(target + 4 * done, zero(), count - done)
        done += 16


@kernel_function
def pack_pairs(
    source: int, stride: int, rows: int, steps: int, begin: int, count: int, target: int, width: int
) -> None:
    """Pack `count` padded rows as panels of `count` x 16 floats, in the order of the sum of weight gradients.

    That order is steps descending, rows ascending; `begin` rows of it are done.
    """
    step = steps - 1 - begin // rows
    row = begin % rows
    for index in range(count):
        place = source + (step * rows + row) * stride
        for offset in range(0, width, 64):
            store(target + offset * count + 64 * index, load(place + offset))
        row += 1
        if row == rows:
            row = 0
            step -= 1


@kernel_function
def keeps_subnormals(probe: int) -> bool:
    """Return whether this thread computes with subnormal numbers, as the arithmetic demands.

    `probe` holds 2^-149, 2^-100 and 2^-30: a processor set to "denormals are zero" reads the first as 0, one set to
    "flush to zero" multiplies the others to 0.
    """
    reads = any_of(above(load_one(probe), zero()))
    writes = any_of(above(mul(load_one(probe + 4), load_one(probe + 8)), zero()))
    return bool(reads and writes)

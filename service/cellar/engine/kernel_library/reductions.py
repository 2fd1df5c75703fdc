"""Sums over many rows in the fixed order of the arithmetic: sixteen partial sums, then a halving tree."""

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import load, store
from cellar.engine.kernel_library.simd import add


@kernel_function
def lane_sums(terms: int, count: int, width: int, lanes: int) -> None:
    """Add `count` terms, packed as panels of `count` x 16 floats, to the sixteen sums of each panel, at `lanes`.

    The i-th term goes to sum i mod 16: all calls but the last one have a multiple of sixteen terms.
    """
    for column in range(0, width, 64):
        first = terms + column * count
        for lane in range(0, 16, 4):  # four sums at a time fit the registers of every target
            place = lanes + 16 * column + 64 * lane
            a, b, c, d = load(place), load(place + 64), load(place + 128), load(place + 192)
            i = lane
            while i + 4 <= count:
                term = first + 64 * i
                a = add(a, load(term))
                b = add(b, load(term + 64))
                c = add(c, load(term + 128))
                d = add(d, load(term + 192))
                i += 16
            term = first + 64 * i
            if i < count:
                a = add(a, load(term))
            if i + 1 < count:
                b = add(b, load(term + 64))
            if i + 2 < count:
                c = add(c, load(term + 128))
            store(place, a)
            store(place + 64, b)
            store(place + 128, c)
            store(place + 192, d)


@kernel_function
def lane_total(lanes: int, width: int, out: int) -> None:
    """Add to out (`width` bytes) the sixteen sums of each panel, by a halving tree."""
    for column in range(0, width, 64):
        sums = lanes + 16 * column
        distance = 8
        while distance:
            for lane in range(distance):
                place = sums + 64 * lane
                store(place, add(load(place), load(place + 64 * distance)))
            distance //= 2
        store(out + column, add(load(out + column), load(sums)))

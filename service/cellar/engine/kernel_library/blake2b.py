"""Computes chains of BLAKE2b digests (RFC 7693, without a key) in one call.

Addresses and sizes are int64, in bytes; words are uint64, little-endian in memory; a row is four words.
"""

from typing import Any

from numba import int64, uint64

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import copy_bytes, read_int, stack_memory, write_int

__all__ = ["digest_chain"]

_BLOCK_BYTES = 128

_NO_KEY = 0x01010000
"""The parameter block's first word without the size of the digest (section 2.5): no key, one leaf, one level."""


@kernel_function
def digest_chain(call: int) -> int:
    """Compute digests, each over the one before it and the next part of the data; return 0.

    `call` is the address of six int64: the address of the digest before the first one, that of the data, the number of
    parts, the bytes of a part (at least one), those of a digest, and how far behind a digest the next one is written:
    with 0 each replaces the one before.
    """
    digest, data, parts = read_int(call), read_int(call + 8), read_int(call + 16)
    part_bytes, digest_bytes, stride = read_int(call + 24), read_int(call + 32), read_int(call + 40)
    state, block = stack_memory(64), stack_memory(128)
    for _ in range(parts):
        _start(state, digest_bytes)
        _clear(block)
        copy_bytes(digest, block, digest_bytes)
        filled = digest_bytes
        hashed = 0
        left = part_bytes
        while True:
            taken = min(_BLOCK_BYTES - filled, left)
            copy_bytes(data, block + filled, taken)
            data += taken
            left -= taken
            hashed += filled + taken
            _compress(state, block, hashed, left == 0)
            if left == 0:
                break
            _clear(block)
            filled = 0
        digest += stride
        copy_bytes(state, digest, digest_bytes)
    return 0


@kernel_function
def _start(state: int, digest_bytes: int) -> None:
    """Write the state before the first block."""
    first, second = _initial_rows()
    _store_row(state, first)
    _store_row(state + 32, second)
    write_int(state, read_int(state) ^ _NO_KEY ^ digest_bytes)


@kernel_function
def _clear(block: int) -> None:
    for at in range(0, _BLOCK_BYTES, 8):
        write_int(block + at, 0)


@kernel_function
def _compress(state: int, block: int, hashed: int, last: bool) -> None:
    """Mix a block into the state (section 3.2); `hashed` bytes of the message end with it.

    A digit of an order names the word of the block that is mixed in next (section 2.7).
    """
    a, b = _load_row(state), _load_row(state + 32)
    c, (d0, d1, d2, d3) = _initial_rows()
    d = d0 ^ uint64(hashed), d1, ~d2 if last else d2, d3
    a, b, c, d = _round(a, b, c, d, block, uint64(0x0123456789ABCDEF))
    a, b, c, d = _round(a, b, c, d, block, uint64(0xEA489FD61C02B753))
    a, b, c, d = _round(a, b, c, d, block, uint64(0xB8C052FDAE367194))
    a, b, c, d = _round(a, b, c, d, block, uint64(0x7931DCBE265A40F8))
    a, b, c, d = _round(a, b, c, d, block, uint64(0x905724AFE1BC683D))
    a, b, c, d = _round(a, b, c, d, block, uint64(0x2C6A0B834D75FE19))
    a, b, c, d = _round(a, b, c, d, block, uint64(0xC51FED4A0763928B))
    a, b, c, d = _round(a, b, c, d, block, uint64(0xDB7EC13950F4862A))
    a, b, c, d = _round(a, b, c, d, block, uint64(0x6FE9B308C2D714A5))
    a, b, c, d = _round(a, b, c, d, block, uint64(0xA2847615FB9E3CD0))
    a, b, c, d = _round(a, b, c, d, block, uint64(0x0123456789ABCDEF))
    a, b, c, d = _round(a, b, c, d, block, uint64(0xEA489FD61C02B753))
    _xor_into(state, a, c)
    _xor_into(state + 32, b, d)


@kernel_function
def _round(a: Any, b: Any, c: Any, d: Any, block: int, order: Any) -> Any:
    """Return the four rows with their columns mixed, and then their diagonals."""
    (a0, a1, a2, a3), (b0, b1, b2, b3), (c0, c1, c2, c3), (d0, d1, d2, d3) = a, b, c, d
    a0, b0, c0, d0 = _mix(a0, b0, c0, d0, block, order >> uint64(56))
    a1, b1, c1, d1 = _mix(a1, b1, c1, d1, block, order >> uint64(48))
    a2, b2, c2, d2 = _mix(a2, b2, c2, d2, block, order >> uint64(40))
    a3, b3, c3, d3 = _mix(a3, b3, c3, d3, block, order >> uint64(32))
    a0, b1, c2, d3 = _mix(a0, b1, c2, d3, block, order >> uint64(24))
    a1, b2, c3, d0 = _mix(a1, b2, c3, d0, block, order >> uint64(16))
    a2, b3, c0, d1 = _mix(a2, b3, c0, d1, block, order >> uint64(8))
    a3, b0, c1, d2 = _mix(a3, b0, c1, d2, block, order)
    return (a0, a1, a2, a3), (b0, b1, b2, b3), (c0, c1, c2, c3), (d0, d1, d2, d3)


@kernel_function
def _mix(a: Any, b: Any, c: Any, d: Any, block: int, order: Any) -> Any:
    """Return four words mixed with the two of the block that the order's last digits name (section 3.1)."""
    a = a + b + _word(block, order >> uint64(4))
    d = _rotate(d ^ a, 32)
    c = c + d
    b = _rotate(b ^ c, 24)
    a = a + b + _word(block, order)
    d = _rotate(d ^ a, 16)
    c = c + d
    b = _rotate(b ^ c, 63)
    return a, b, c, d


@kernel_function
def _word(block: int, order: Any) -> Any:
    """Return the word of the block that the order's last digit names."""
    return uint64(read_int(block + int64((order & uint64(15)) << uint64(3))))


@kernel_function
def _rotate(word: Any, bits: int) -> Any:
    """Return a word rotated to the right."""
    return (word >> uint64(bits)) | (word << uint64(64 - bits))


@kernel_function
def _initial_rows() -> Any:
    """Return the fractions of the square roots of the first eight primes (section 2.6), as two rows."""
    first = (
        uint64(0x6A09E667F3BCC908),
        uint64(0xBB67AE8584CAA73B),
        uint64(0x3C6EF372FE94F82B),
        uint64(0xA54FF53A5F1D36F1),
    )
    second = (
        uint64(0x510E527FADE682D1),
        uint64(0x9B05688C2B3E6C1F),
        uint64(0x1F83D9ABFB41BD6B),
        uint64(0x5BE0CD19137E2179),
    )
    return first, second


@kernel_function
def _load_row(place: int) -> Any:
    return (
        uint64(read_int(place)),
        uint64(read_int(place + 8)),
        uint64(read_int(place + 16)),
        uint64(read_int(place + 24)),
    )


@kernel_function
def _store_row(place: int, row: Any) -> None:
    w0, w1, w2, w3 = row
    write_int(place, int64(w0))
    write_int(place + 8, int64(w1))
    write_int(place + 16, int64(w2))
    write_int(place + 24, int64(w3))


@kernel_function
def _xor_into(place: int, row: Any, other: Any) -> None:
    """Exclusive-or two rows into the one in memory."""
    w0, w1, w2, w3 = _load_row(place)
    r0, r1, r2, r3 = row
    o0, o1, o2, o3 = other
    _store_row(place, (w0 ^ r0 ^ o0, w1 ^ r1 ^ o1, w2 ^ r2 ^ o2, w3 ^ r3 ^ o3))

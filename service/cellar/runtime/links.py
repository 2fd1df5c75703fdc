"""The chain of digests over the steps of a sequence, in machine code.

A link is one BLAKE2b of some fifty bytes: a fifth of a microsecond of arithmetic, and over half a microsecond of calls
when Python asks for each. Of a sequence of 1,000 steps with 32 hidden units that was a third of all that it cost. The
kernel computes all links of a chunk in one call, beside the GIL. Until it is there, and for few links, Python does it.

BLAKE2b is RFC 7693, without a key and with digests of 16 bytes.
"""

import logging
import threading
from collections.abc import Callable
from ctypes import addressof, c_char, c_int64
from hashlib import blake2b
from struct import pack

from cellar.errors import CompileFailed
from cellar.ports import DIGEST_BYTES

logger = logging.getLogger(__name__)

FEWEST = 12
"""Links that are worth a call of the kernel, which takes as long as six of them."""

Call = Callable[[int], int]
"""A kernel, called with the address of its frame."""

_START = (
    *(0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1),
    *(0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179),
)
"""RFC 7693, 2.6: the fractions of the square roots of the first eight primes."""

_PARAMETERS = 0x01010000 | DIGEST_BYTES
"""2.8: one leaf, one level, no key."""

_ORDER = (
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    *(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    *(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    *(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    *(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    *(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    *(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    *(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    *(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    *(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
"""2.7: which words of the block each round takes."""

_ROUNDS = 12

_FRAME = 6 * c_int64

_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))

_TEXT = """\
from numba import cfunc, int64, types, uint64

from cellar.engine.activations import kernel
from cellar.engine.memory import copy_bytes, read_int, scratch, write_int


@kernel
def word(place):
    return uint64(read_int(place))


@kernel
def turned(value, bits):
    return (value >> uint64(bits)) | (value << uint64(64 - bits))


@kernel
def mixed(a, b, c, d, x, y):
    a = a + b + x
    d = turned(d ^ a, 32)
    c = c + d
    b = turned(b ^ c, 24)
    a = a + b + y
    d = turned(d ^ a, 16)
    c = c + d
    b = turned(b ^ c, 63)
    return a, b, c, d


@kernel
def compress(state, block, order, count, last):
{read}
    v12 = v12 ^ uint64(count)
    if last:
        v14 = ~v14
    for turn in range({rounds}):
        at = order + 128 * (turn % 10)
{mix}
{write}


@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')
def cellar_kernel(frame):
    digest = read_int(frame)
    data = read_int(frame + 8)
    size = read_int(frame + 24)
    order = read_int(frame + 32)
    step = read_int(frame + 40)
    state = scratch(64)
    block = scratch(128)
    for _ in range(read_int(frame + 16)):
{begin}
        for at in range(0, 128, 8):
            write_int(block + at, 0)
        copy_bytes(digest, block, {digest_bytes})
        filled = {digest_bytes}
        count = 0
        left = size
        while True:
            taken = min(128 - filled, left)
            copy_bytes(data, block + filled, taken)
            data += taken
            left -= taken
            count += filled + taken
            compress(state, block, order, count, left == 0)
            if left == 0:
                break
            for at in range(0, 128, 8):
                write_int(block + at, 0)
            filled = 0
        digest += step
        copy_bytes(state, digest, {digest_bytes})
    return 0
"""


def links_text() -> str:
    """Return the text of `links(frame)`.

    A frame has the address of the digest and that of the data, how many links there are and of how many bytes, the
    address of the order, and how many bytes behind a digest the next one goes: with 0 only the last one remains.
    """
    mix = [
        f"        v{a}, v{b}, v{c}, v{d} = mixed(v{a}, v{b}, v{c}, v{d}, {_taken(2 * index)}, {_taken(2 * index + 1)})"
        for index, (a, b, c, d) in enumerate((*_COLUMNS, *_DIAGONALS))
    ]
    start = [_START[0] ^ _PARAMETERS, *_START[1:]]
    return _TEXT.format(
        read="\n".join(
            [f"    v{index} = word(state + {8 * index})" for index in range(8)]
            + [f"    v{8 + index} = uint64({value})" for index, value in enumerate(_START)]
        ),
        mix="\n".join(mix),
        write="\n".join(
            f"    write_int(state + {8 * index}, int64(word(state + {8 * index}) ^ v{index} ^ v{8 + index}))"
            for index in range(8)
        ),
        begin="\n".join(
            f"        write_int(state + {8 * index}, int64(uint64({value})))" for index, value in enumerate(start)
        ),
        rounds=_ROUNDS,
        digest_bytes=DIGEST_BYTES,
    )


def _taken(index: int) -> str:
    return f"word(block + read_int(at + {8 * index}))"


class Links:
    """Links of digests, by machine code as soon as that is loaded. Safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._load: Callable[[str], Call] | None = None
        self._call: Call | None = None
        self._order = bytearray(pack(f"={len(_ORDER)}q", *[8 * word for word in _ORDER]))

    def compile_with(self, load: Callable[[str], Call]) -> None:
        """Let `load` make the kernel of a text, on a thread, when there first are links enough; it may take seconds."""
        self._load = load

    def after(self, digest: bytes, data: bytes, count: int) -> bytes:
        """Return the digest behind so many links, which have equal parts of `data` each."""
        if count >= FEWEST:
            if self._call is not None:
                return self._run(self._call, digest, data, count)
            self._begin_loading()
        size = len(data) // count
        for start in range(0, count * size, size):
            digest = blake2b(digest + data[start : start + size], digest_size=DIGEST_BYTES).digest()
        return digest

    def each(self, digest: bytes, data: bytes, count: int) -> bytes:
        """Return the digests behind each of so many links, side by side."""
        if count >= FEWEST:
            if self._call is not None:
                return self._run(self._call, digest + bytes(DIGEST_BYTES * count), data, count, DIGEST_BYTES)[
                    DIGEST_BYTES:
                ]
            self._begin_loading()
        size, found = len(data) // count, []
        for start in range(0, count * size, size):
            digest = blake2b(digest + data[start : start + size], digest_size=DIGEST_BYTES).digest()
            found.append(digest)
        return b"".join(found)

    def _run(self, call: Call, digests: bytes, data: bytes, count: int, step: int = 0) -> bytes:
        """Return the digests, which begin with the one before the first link, as they are behind the last one."""
        place, source = bytearray(digests), bytearray(data)
        words = _address(place), _address(source), count, len(data) // count, _address(self._order), step
        frame = _FRAME(*words)
        call(addressof(frame))
        return bytes(place)

    def _begin_loading(self) -> None:
        with self._lock:
            load, self._load = self._load, None
        if load is not None:
            threading.Thread(target=self._take, args=(load,), name="load the links", daemon=True).start()

    def _take(self, load: Callable[[str], Call]) -> None:
        try:
            self._call = load(links_text())
        except CompileFailed as error:
            logger.warning("digests of sequences are computed in Python: %s", error.detail)


def _address(data: bytearray) -> int:
    return addressof(c_char.from_buffer(data))


LINKS = Links()
"""The process has one: it is the same for every session."""

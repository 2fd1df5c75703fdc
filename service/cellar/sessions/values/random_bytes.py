"""Random bytes from the operating system, read in blocks: one call of the system serves hundreds of sessions."""

import os

BLOCK_BYTES = 4096

_block = bytearray()


def random_bytes(count: int) -> bytes:
    """Return bytes that are unpredictable and never returned twice; `count` is at most BLOCK_BYTES."""
    if len(_block) < count:
        _block[:] = os.urandom(BLOCK_BYTES)
    found = bytes(_block[-count:])
    del _block[-count:]
    return found


os.register_at_fork(after_in_child=_block.clear)

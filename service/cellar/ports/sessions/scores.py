"""The scores of steps behind their output: the answer of steps that were asked for them is stored with them.

Outputs are float32, so their bytes are a multiple of 4. With scores there are two more, which tell both apart.
"""

_END = b"sc"
_COUNT_BYTES = 4


def join_scores(output: bytes, scores: bytes) -> bytes:
    """Return the output of steps followed by their scores."""
    return b"".join((output, scores, len(scores).to_bytes(_COUNT_BYTES, "little"), _END))


def split_scores(output: bytes) -> tuple[bytes, bytes | None]:
    """Return the output of steps without scores, and the scores; None if there are none."""
    if not len(output) & 3:
        return output, None
    end = len(output) - len(_END) - _COUNT_BYTES
    begin = end - int.from_bytes(output[end : end + _COUNT_BYTES], "little")
    return output[:begin], output[begin:end]

"""Writes and reads the result of a backtest: gzipped JSON, whose numbers are exact."""

import gzip
import json
from dataclasses import asdict

from cellar.errors import InvalidInput, StoreCorrupt
from cellar.nn.forecasting.accuracy.comparison import Plot, Result, TargetResult

MOST_BYTES = 64 * 1024 * 1024
"""Most bytes of a result in the store."""


def dump(result: Result) -> bytes:
    """Return the bytes of a result. Raise InvalidInput if they are too many."""
    data = gzip.compress(json.dumps(asdict(result), separators=(",", ":")).encode(), compresslevel=6, mtime=0)
    if len(data) > MOST_BYTES:
        raise InvalidInput(
            "the result has too many numbers",
            pointer="/dataset",
            expected=f"at most {MOST_BYTES} bytes of metrics by series and step: fewer series, or a shorter horizon",
            actual=f"{len(data)} bytes",
        )
    return data


def load(data: bytes) -> Result:
    """Return the result that `dump` wrote. Raise StoreCorrupt."""
    try:
        found = json.loads(gzip.decompress(data))
        targets = {name: TargetResult(**each) for name, each in found["targets"].items()}
        return Result(**found | {"targets": targets, "plots": [Plot(**each) for each in found["plots"]]})
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(f"unreadable result of a backtest: {error!r}") from error

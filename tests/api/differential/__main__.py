"""`python -m tests.api.differential --streams 100000`: prints the differences; ends with 1 if there are any."""

import argparse
import sys
import time
from unittest.mock import patch

import uvloop

from tests.api.differential.compare import differences

TOGETHER = 5000


class _Patch:
    def setattr(self, target: object, name: str, value: object) -> None:
        """Replace an attribute for as long as the process runs."""
        patch.object(target, name, value).start()


def main() -> int:
    """Compare as many streams as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first stream")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=20, help="how many differences are printed")
    options = parser.parse_args()
    count, began = 0, time.perf_counter()
    end = options.first + options.streams
    for start in range(options.first, end, TOGETHER):
        numbers = range(start, min(start + TOGETHER, end))
        for difference in uvloop.run(differences(numbers, options.seed, _Patch())):
            count += 1
            if count <= options.show:
                print(difference)
        print(f"{numbers.stop - options.first} streams, {count} differences, {time.perf_counter() - began:.0f} s")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())

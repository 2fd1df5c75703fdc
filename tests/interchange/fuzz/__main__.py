"""Read damaged files: `.venv/bin/python -m tests.interchange.fuzz --examples 5000`. Prints counts by reader."""

import argparse
import resource
import time

from tests.interchange.fuzz.readers import FUZZES, run


def main() -> None:
    """Run, print, and end with the error of a reader if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--only", choices=FUZZES)
    parser.add_argument("--seed", type=int, default=None, help="any: others each time; default: always the same")
    given = parser.parse_args()
    for name, make in FUZZES.items():
        if given.only in (None, name):
            began = time.monotonic()
            counts = run(make(), given.examples, given.seed)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            words = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
            print(f"{name}: {words}; {time.monotonic() - began:.0f} s, at most {memory} MiB")


if __name__ == "__main__":
    main()

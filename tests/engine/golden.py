"""Prints the golden hashes of the engine, if every level that this machine has gives the same: `make golden`."""

import sys

from cellar.engine import KernelCache
from cellar.engine.numerics import KERNEL_REV, TRAINING_REV
from cellar.engine.self_test import GOLDEN, digest
from cellar.engine.target import host_levels, target_here


def main() -> int:
    """Print what `cellar.engine.self_test.GOLDEN` should be; return 1 if two levels differ."""
    found = {}
    for level in host_levels():
        cache = KernelCache(None, target=target_here(level))
        found[level] = {name: digest(cache, name) for name in GOLDEN}
        print(f"{level}: {'as' if found[level] == GOLDEN else 'others than'} in the source")
    wanted = next(iter(found.values()))
    differing = [level for level, hashes in found.items() if hashes != wanted]
    if differing:
        print(f"{', '.join(differing)} and {host_levels()[0]} compute different bits")
        return 1
    print(f"KERNEL_REV is {KERNEL_REV} and TRAINING_REV {TRAINING_REV}: raise what has changed.\n\nGOLDEN = {{")
    for name, value in wanted.items():
        print(f'    "{name}": "{value}",')
    print("}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

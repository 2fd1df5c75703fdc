"""The processor level for which the suite compiles kernels.

python -m tests.level          says which it is, and which levels the machine has
python -m tests.level below    prints the level that the suite should also be run for, if there is one
"""

import sys

from cellar.engine.target import host_levels, host_target

OTHER = {"x86-64-v4": "x86-64-v3"}
"""Levels below these have vectors of another width. Further below nothing is new, and each fused term is a call."""


def describe() -> str:
    """Return a line about the level."""
    return f"kernels for {host_target().cpu} on a machine with {', '.join(host_levels())}"


def check() -> None:
    """Raise ValueError if the environment names a level that this machine does not have: its tests would crash."""
    wanted, levels = host_target().cpu, host_levels()
    if wanted.startswith("x86-64") and wanted not in levels:
        raise ValueError(f"this machine has no {wanted}: its levels are {', '.join(levels)}")


def main() -> None:
    """Print what the arguments ask for."""
    said = OTHER.get(host_levels()[0], "") if sys.argv[1:] == ["below"] else describe()
    sys.stdout.write(f"{said}\n" if said else "")


if __name__ == "__main__":
    main()

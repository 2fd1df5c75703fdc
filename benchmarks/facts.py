"""Collects the facts on which results depend besides the code: the machine, and versions of packages."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cellar
from cellar.engine import KERNEL_REV, host_target
from cellar.extension_modules import FORM

PEERS = ("torch", "onnxruntime", "openvino")


def facts(threads: int) -> dict[str, Any]:
    """Return the facts for the benchmarks of the engine."""
    return machine_facts(("numpy", "numba", *PEERS)) | {"threads": threads}


def machine_facts(packages: Sequence[str]) -> dict[str, Any]:
    """Return the machine, and the versions of Cellar and of these packages; "none" if a package is not installed."""
    target = host_target()
    return {
        "processor": _processor(),
        "target": f"{target.cpu} {target.features}".strip(),
        "python": platform.python_version(),
        "cellar": cellar.__version__,
        "build": FORM,
        "kernel_rev": KERNEL_REV,
        **{name: _version(name) for name in packages},
    }


def described(found: dict[str, Any]) -> str:
    """Return the facts in one line."""
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    """Return the name of the processor from /proc/cpuinfo, or from Python's platform module."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

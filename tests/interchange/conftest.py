"""A kernel cache that all test processes and runs share; what needs Keras is not collected."""

from pathlib import Path

import pytest

from cellar.engine import KernelCache

collect_ignore = ["golden/make.py", "proofs/keras_models.py", "proofs/onnx_models.py", "run.py"]
collect_ignore += [
    "proofs/client_files.py",
    "proofs/policies.py",
    "proofs/torch_exports.py",
    "proofs/torch_modules.py",
    "torch/golden/make.py",
]
"""They need Keras, PyTorch or ONNX Runtime, which `.venv-bench` has."""


@pytest.fixture(scope="session")
def cache(kernel_directory: Path) -> KernelCache:
    """Return the cache of compiled kernels."""
    return KernelCache(kernel_directory)

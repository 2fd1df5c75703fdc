"""A worker imports what training needs, and nothing of the API."""

import subprocess
import sys

OF_THE_API = {"fastapi", "starlette", "uvicorn", "websockets", "cellar.api", "cellar.sessions"}


def test_a_worker_does_not_import_the_api() -> None:
    program = "import sys, cellar.main; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert "cellar.jobs.attempt.runner" in found
    assert not OF_THE_API & set(found)

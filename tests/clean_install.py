"""Installs the wheels of `dist/` with packages from PyPI into a new environment, and sends the README's first requests.

    make wheel && python -m tests.clean_install

`tests/test_wheel.py` does the same in seconds with the packages that are installed here.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.docs.pages import PAGES, ROOT, examples
from tests.docs.shell import check_blocks
from tests.e2e.replica import serving
from tests.ports import free_port


def check_first_requests(command: Path, folder: Path, **settings: str) -> None:
    """Run `cellar serve` with its own Redis in an environment that has nothing else, as the README says."""
    own = {"HOME": str(folder), "PATH": os.environ["PATH"], "CELLAR_PORT": str(free_port()), **settings}
    readme = PAGES[0]
    requests = [block for block in examples(readme) if "curl" in block.shell]
    assert requests
    with serving(own, [str(command), "serve"]) as service:
        check_blocks(readme, requests, service.url, folder)


def main() -> None:
    """Install the wheels, and print what was checked."""
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if not wheels:
        sys.exit("dist/ has no wheels: make wheel")
    with tempfile.TemporaryDirectory() as name:
        clean = Path(name, "clean")
        venv.create(clean, with_pip=True)
        subprocess.run([clean / "bin" / "pip", "install", "--quiet", *wheels], check=True)
        check_first_requests(clean / "bin" / "cellar", Path(name))
    names = ", ".join(wheel.name for wheel in wheels)
    sys.stdout.write(f"{names}: the first requests of the README are answered as it shows\n")


if __name__ == "__main__":
    main()

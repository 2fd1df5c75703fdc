"""The document and the service against linters, generators of clients, and generated requests: `make contract`.

Spectral lints the document. Clients that openapi-typescript and openapi-python-client make of it are compiled and used.
Schemathesis sends requests that the document allows, and others that it forbids, and holds every answer against it.
ARGS="--seconds 600 --seed 7" sends more and other requests; ARGS="--only python" does one of the four.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.e2e.replica import environment, serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCUMENT = ROOT / "openapi" / "openapi.json"
TOOLS = ROOT / ".venv-contract" / "bin"
NODE_TOOLS = HERE / "node_modules" / ".bin"


def spectral(_url: str, _folder: Path, _given: argparse.Namespace) -> None:
    """Lint the document."""
    _run(NODE_TOOLS / "spectral", "lint", "--ruleset", HERE / "spectral.yaml", "--fail-severity", "warn", DOCUMENT)


def typescript(url: str, folder: Path, _given: argparse.Namespace) -> None:
    """Make types of the document, compile a client strictly that uses them, and run it."""
    _run(NODE_TOOLS / "openapi-typescript", DOCUMENT, "--output", HERE / "generated" / "api.d.ts")
    _run(NODE_TOOLS / "tsc", "--project", HERE, "--outDir", HERE / "generated" / "client")
    _run(TOOLS / "node", HERE / "generated" / "client" / "client.js", url)


def python(url: str, folder: Path, _given: argparse.Namespace) -> None:
    """Make a client of the document, import all of it, and use it."""
    config = ("--config", HERE / "python_client.yaml", "--meta", "none")
    _run(TOOLS / "openapi-python-client", "generate", "--path", DOCUMENT, *config, "--output-path", folder / "client")
    _run(TOOLS / "python", HERE / "python_client.py", url, PYTHONPATH=str(folder))


def schemathesis(url: str, _folder: Path, given: argparse.Namespace) -> None:
    """Send requests for so many seconds, with all checks."""
    bounds = ("--seed", str(given.seed), "--max-time", str(given.seconds))
    config = ("--config-file", HERE / "schemathesis.toml")
    _run(TOOLS / "schemathesis", *config, "run", DOCUMENT, "--url", url, *bounds)


PARTS: dict[str, Callable[[str, Path, argparse.Namespace], None]] = {
    "spectral": spectral,
    "typescript": typescript,
    "python": python,
    "schemathesis": schemathesis,
}


def main() -> None:
    """Run the parts against a service with a private Redis; exit with 1 at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--seconds", type=int, default=60, help="how long Schemathesis sends requests")
    parser.add_argument("--seed", type=int, default=1, help="what Schemathesis draws its requests from")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellar-contract-") as name:
        settings = environment(data_dir=f"{name}/data", cache_dir=f"{name}/kernels", worker="false")
        settings.pop("CELLAR_REDIS_URL", None)
        with serving(settings) as service:
            for part, check in PARTS.items():
                if given.only in (None, part):
                    print(f"== {part}", flush=True)
                    check(service.url, Path(name), given)


def _run(*command: str | Path, **variables: str) -> None:
    """Run a tool with the pinned node on its PATH. Exit with 1 if it fails."""
    own = {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", **variables}
    if subprocess.run(command, cwd=ROOT, env=os.environ | own, check=False).returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main()

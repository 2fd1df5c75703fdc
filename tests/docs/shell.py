"""Runs executed blocks of the pages in one shell against a service, and compares what they print with the page."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.docs import curl
from tests.docs.pages import ROOT, Example, as_shown, documents, page_id

NEXT = "\x01"
"""Printed between the outputs of two blocks."""


def run_blocks(blocks: Sequence[Example], url: str, folder: Path) -> list[str]:
    """Run blocks one after the other in one shell, and return what each has printed.

    `make` only says what it would do: the demo and the suite are run elsewhere. URLs of the service lead to `url`;
    `curl`, whose URLs have no scheme, finds it by itself. Files that the blocks write, those of `/tmp` too, are in the
    folder: the working directory has a link to each file and folder of the repository.
    """
    checkout = folder / "checkout"
    checkout.mkdir()
    for path in ROOT.iterdir():
        (checkout / path.name).symlink_to(path)
    stand_in = folder / "curl"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{curl.__file__}" "$@"\n')
    stand_in.chmod(0o700)
    programs = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": programs, "CELLAR_URL": url, "MAKEFLAGS": "n"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    script = "".join(f"{block.shell}\nprintf '\\001'\n" for block in blocks)
    script = script.replace("ws://localhost:8080", url.replace("http", "ws", 1))
    script = script.replace("http://localhost:8080", url)
    script = script.replace("/tmp/", f"{folder}/")  # files of an earlier run would change what is printed
    done = subprocess.run(
        ["sh", "-eu"],
        input=script,
        capture_output=True,
        text=True,
        env=environment,
        cwd=checkout,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, f"block {done.stdout.count(NEXT) + 1} fails: {done.stdout}{done.stderr}"
    return done.stdout.split(NEXT)[:-1]


def check_blocks(page: Path, blocks: Sequence[Example], url: str, folder: Path) -> None:
    """Run blocks of a page, and assert that each prints what the page shows."""
    for block, printed in zip(blocks, run_blocks(blocks, url, folder), strict=True):
        where = f"{page_id(page)}, line {block.line}"
        if block.kind == "text":
            assert printed == block.shown, where
        elif block.kind == "json":
            real, shown = documents(printed), documents(block.shown)
            assert as_shown(shown, real) == shown, where

"""The limit of open files is raised, and connections never use up all of them."""

import os
import resource
import subprocess
import sys

from cellar.open_file_limit import RESERVED, connections_within

PROGRAM = """
import resource
from cellar.open_file_limit import allow_all
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert allow_all() == hard
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, env=environment)
    assert int(done.stdout) == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_files_are_kept_for_others_than_connections() -> None:
    assert connections_within(5000, 4096) == 4096 - RESERVED
    assert connections_within(5000, 100_000) == 5000

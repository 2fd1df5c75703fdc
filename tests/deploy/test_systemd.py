"""The unit in `deploy/systemd`: systemd takes every line of it, and its sandbox is as tight as it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cellar.settings import Settings
from tests.debian_packages import needs

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "cellar.service"

pytestmark = needs("systemd-analyze", "systemd")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the unit with the command that is installed here."""
    text, command = UNIT.read_text(), Path(sys.executable).with_name("cellar")
    assert "ExecStart=/opt/cellar/bin/cellar serve" in text
    (tmp_path / UNIT.name).write_text(text.replace("/opt/cellar/bin/cellar", str(command)))
    return tmp_path / UNIT.name


@pytest.mark.parametrize("command", ["verify", "security --offline=true --threshold=20"])
def test_systemd_accepts_it(installed: Path, command: str) -> None:
    """The exposure is 1.5 of 10, written as 15."""
    analyze = ["systemd-analyze", "--no-pager", *command.split(), str(installed)]
    done = subprocess.run(analyze, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []


def test_its_variables_are_settings() -> None:
    text = UNIT.read_text()
    variables = re.findall(r"CELLAR_(\w+)=(\S+)", text)
    assert {name.lower() for name, _ in variables} <= set(Settings.model_fields)
    for name, directory in (("State", "/var/lib"), ("Runtime", "/run"), ("Cache", "/var/cache")):
        assert f"\n{name}Directory=cellar\n" in text
        assert f"{directory}/cellar" in dict(variables).values()
    stop_s = re.search(r"TimeoutStopSec=(\d+)", text)
    assert stop_s
    assert int(stop_s[1]) > Settings.load().drain_s + 30
    assert "\nRestartPreventExitStatus=78\n" in text

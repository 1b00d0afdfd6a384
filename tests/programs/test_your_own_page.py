"""docs/your-own.md, tried as written."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasemap.cli import cli

pytestmark = pytest.mark.usefixtures("forked")
PAGE = Path(__file__).parents[2] / "docs" / "your-own.md"


def test_the_page_s_script_and_study_give_a_phase_diagram(tmp_path):
    script, study = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.S)[:2]
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "digits.yaml").write_text(study)
    smaller = ["axes.learning_rate=[1e-4, 1e-2]", "axes.corruption=[0, 0.4]", "seeds=1", "fixed.epochs=6"]
    options = [part for value in smaller for part in ("--set", value)]
    command = ["run", str(tmp_path / "digits.yaml"), "--storage", str(tmp_path), "--in-process", *options]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 0, found.output
    assert "4 trained, 0 reused, 0 failed" in found.output
    shown = CliRunner().invoke(cli, ["show", str(tmp_path / "digits")])
    assert "4/4 trials" in shown.output
    assert "grokking" in shown.output


def test_the_page_s_parts_give_a_phase_diagram(tmp_path):
    blocks = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.S)
    script, study = (next(block for block in blocks if word in block) for word in ("class ConvNet", "name: parts"))
    (tmp_path / "parts.py").write_text(script)
    (tmp_path / "parts.yaml").write_text(study)
    smaller = ["axes.width=[4]", "axes.corruption=[0, 0.4]", "seeds=1", "training.steps=40", "task.n=200"]
    options = [part for value in smaller for part in ("--set", value)]
    command = ["run", str(tmp_path / "parts.yaml"), "--storage", str(tmp_path), "--in-process", *options]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 0, found.output
    assert "2 trained, 0 reused, 0 failed" in found.output
    assert "are trained one after another" not in found.output

"""The GitHub Action: it meets GitHub's schema, and its steps do here what they do there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forks
import pytest
import yaml

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
STUDY = """
name: reviewed
task: {kind: modular_addition, modulus: 7}
model: {width: 8}
training: {steps: 20, learning_rate: RATE}
axes: {corruption: [0, 0.5], weight_decay: [0, 1]}
seeds: 2
resources: {max_concurrent: 1}
claims: [mean(train_accuracy) > 0]
"""


def known(expression, inputs, outputs):
    """Return the value of the few expressions that the action uses; KeyError for anything else."""
    if expression.endswith(" != ''"):
        return known(expression.removesuffix(" != ''"), inputs, outputs) != ""
    kind, _, name = expression.partition(".")
    return {"inputs": inputs, "steps": outputs}[kind][name]


def run_steps(inputs, folder):
    """Run the action's steps one by one, as a runner would; returns the outputs and the last exit code."""
    given = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()} | inputs
    outputs, summary = {}, folder / "summary.md"
    for step in ACTION["runs"]["steps"]:
        condition = EXPRESSION.fullmatch(step["if"]) if "if" in step else None
        if condition and not known(condition[1], given, outputs):
            continue
        told = folder / "outputs.txt"
        told.write_text("")
        env = {name: EXPRESSION.sub(lambda m: known(m[1], given, outputs), text) for name, text in step["env"].items()}
        places = (forks.write_shim(folder).parent, Path(sys.executable).parent, os.environ["PATH"])
        system = {
            "GITHUB_OUTPUT": str(told),
            "GITHUB_STEP_SUMMARY": str(summary),
            "PATH": os.pathsep.join(map(str, places)),
            "PYTHONPATH": str(ROOT),
        }
        script = step["run"].replace("phasemap run ", "phasemap run --in-process ")  # on Ray: tests/running
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=folder, env={**os.environ, **env, **system}, capture_output=True, text=True)
        if done.returncode:
            return outputs, done
        for line in told.read_text().splitlines():
            name, _, value = line.partition("=")
            outputs[f"{step['id']}.outputs.{name}"] = value
    return outputs, done


def meets(kind, path):
    """Hold a file against GitHub's schema, which check-jsonschema carries from schemastore; nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{kind}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def test_it_meets_githubs_schema_of_actions(tmp_path):
    assert meets("actions", ROOT / "action.yml") == (True, "ok -- validation done\n")
    (tmp_path / "action.yml").write_text((ROOT / "action.yml").read_text().replace("shell: bash", "shall: bash", 1))
    met, told = meets("actions", tmp_path / "action.yml")
    assert not met
    assert "'shall' was unexpected" in told


def test_what_it_refers_to_is_there_and_no_input_stands_in_the_text_of_a_script():
    steps = ACTION["runs"]["steps"]
    ids = [step["id"] for step in steps if "id" in step]
    for expression in EXPRESSION.findall((ROOT / "action.yml").read_text()):
        kind, _, name = expression.removesuffix(" != ''").partition(".")
        assert name in ACTION["inputs"] if kind == "inputs" else name.split(".")[0] in ids
    assert not any(EXPRESSION.search(step["run"]) for step in steps)


def test_the_guide_names_every_input_and_its_example_is_a_workflow(tmp_path):
    text = (ROOT / "docs" / "reviews.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE) == list(ACTION["inputs"])
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    (tmp_path / "workflow.yml").write_text(example)
    assert meets("workflows", tmp_path / "workflow.yml") == (True, "ok -- validation done\n")
    workflow = yaml.safe_load(example)
    (step,) = [step for step in workflow["jobs"]["diagram"]["steps"] if "phasemap@" in step.get("uses", "")]
    assert set(step["with"]) <= set(ACTION["inputs"])


def test_its_steps_run_compare_and_write_the_comment(tmp_path):
    (tmp_path / "a study.yaml").write_text(STUDY.replace("RATE", "0.01"))
    inputs = {"study": "a study.yaml", "phasemap": ""}
    outputs, done = run_steps(inputs, tmp_path)
    assert done.returncode == 0, done.stderr
    shutil.move(tmp_path / outputs["run.outputs.bundle"], tmp_path / "base")
    before = sorted((tmp_path / "runs/reviewed/shards").iterdir())
    outputs, done = run_steps({**inputs, "base": "base", "fail-on-change": "true"}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "runs/reviewed/shards").iterdir()) == before  # nothing was trained again
    comment = (tmp_path / "phasemap-comment.md").read_text()
    assert comment.startswith("<!-- phasemap diff -->\n### Phase diagram: equal")
    assert "| `mean(train_accuracy) > 0` |" in comment
    assert (tmp_path / "phasemap-comment.png").exists()
    assert comment in (tmp_path / "summary.md").read_text()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the steps are of bash")
def test_a_study_that_can_not_be_run_fails_the_step(tmp_path):
    (tmp_path / "study.yaml").write_text("name: wrong\n")
    _, done = run_steps({"study": "study.yaml", "phasemap": ""}, tmp_path)
    assert done.returncode == 2

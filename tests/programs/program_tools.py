"""Programs as a user writes them, in files of their own, and their trials run for real."""

import textwrap

import yaml

from phasemap.running.program_packs import end_process, train_programs
from phasemap.study.file import load_study
from phasemap.study.trials import expand

HEAD = "import phasemap as pm\n\n"
CURVE = HEAD + textwrap.dedent(
    """
    @pm.program(quantities={"test_loss": "loss"})
    def train(trial: pm.TrialContext, *, lr: float, epochs: int = 3):
        for epoch in trial.steps(epochs):
            trial.report(epoch, test_loss=lr / epoch)
    """
)


def write_study(folder, code=CURVE, file="train.py", **content):
    """Write a program and its study into a folder and return the study's path."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(code)
    study = {"name": "mine", "program": f"{file}:train", "axes": {"lr": [0.1, 1.0]}, **content}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in study.items() if value is not None}))
    return path


def run_all(folder, code, **content):
    """Run all trials of a program in one pack and return (study, results)."""
    study = load_study(write_study(folder, HEAD + textwrap.dedent(code), **content))
    try:
        return study, train_programs(study, list(expand(study)), device="cpu")
    finally:
        end_process()


def run_one(folder, body, quantities='{"test_loss": "loss"}', **content):
    """Run one trial of a program whose body is given, and return its result."""
    body = textwrap.indent(textwrap.dedent(body), "    ")
    code = f"@pm.program(quantities={quantities})\ndef train(trial: pm.TrialContext, *, lr: float):\n{body}\n"
    _, (result,) = run_all(folder, code, axes={"lr": [0.5]}, **content)
    return result

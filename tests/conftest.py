"""What several tests share: small studies that train in a second, and a run of one."""

import dataclasses

import pytest
import torch
from hypothesis import settings

from phasemap.results.folder import RunFolder
from phasemap.running.driver import run_study
from phasemap.running.local import LocalRunner
from phasemap.study.file import parse_study
from phasemap.study.trials import expand
from phasemap.study.yaml_lines import parse_document

settings.register_profile("steady", deadline=None)  # the machines are shared and noisy
settings.load_profile("steady")

CPU = torch.device("cpu")

SMALL = """
name: small
task: {kind: modular_addition, modulus: 7}
model: {width: 16}
training: {steps: 60}
axes:
  corruption: [0, 0.3]
  weight_decay: [0, 2]
fixed: {data_fraction: 0.6}
seeds: 2
"""


def study_of(text=SMALL, **replaced):
    """Parse a study from text, with whole top-level sections replaced."""
    document = parse_document(text, "study.yaml")
    document.content |= replaced
    return parse_study(document)


def trial_of(**settings):
    """Return one small trial with the given settings."""
    trial = next(iter(expand(study_of())))
    return dataclasses.replace(trial, **settings)


def run_in_process(study, root):
    """Run a study in this process and return its folder."""
    folder = RunFolder(root / study.name)
    run_study(study, folder, LocalRunner, quiet=True)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of the small study: (study, folder)."""
    study = study_of()
    return study, run_in_process(study, tmp_path_factory.mktemp("finished"))

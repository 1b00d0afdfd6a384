"""The sampler as a package of OptunaHub: it has that registry's layout, and is loaded by its own loader."""

import importlib.util
from pathlib import Path

import optuna
import yaml
from libraries import need

import phasemap as pm

REGISTRY = Path(__file__).parents[2] / "optunahub" / "package"
PACKAGE = REGISTRY / "samplers" / "boundary"
KEYS = ["author", "title", "description", "tags", "optuna_versions", "license"]


def test_it_has_the_layout_of_the_registry():
    assert {file.name for file in PACKAGE.iterdir() if file.is_file()} >= {
        "__init__.py",
        "README.md",
        "LICENSE",
        "example.py",
        "requirements.txt",
    }
    _, front, text = (PACKAGE / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert list(front) == KEYS
    assert isinstance(front["tags"], list)
    assert isinstance(front["optuna_versions"], list)
    for heading in ("## Abstract", "## APIs", "## Installation", "## Example"):
        assert heading in text


def test_the_loader_of_the_registry_loads_it_and_its_example_runs():
    need("optunahub.hub")  # the folder of that name is no package
    import optunahub

    module = optunahub.load_local_module("samplers/boundary", registry_root=str(REGISTRY))
    assert module.BoundarySampler is pm.BoundarySampler
    spec = importlib.util.spec_from_file_location("optunahub_example", PACKAGE / "example.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    study = optuna.create_study(sampler=module.BoundarySampler(label="label", resolution=9, seed=0))
    study.optimize(example.objective, n_trials=30)
    assert set(study.sampler.filled_map(study)["label"]) == {"diverges", "learns", "slow"}

"""What several tests share: small studies that train in a second, and a run of one."""

import dataclasses
import functools
import gc
import os
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores: threads of their own would only wait
# Byte code is kept, whatever the shell says: else each of the workers and of some 150 processes compiles everything.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

gc.disable()  # until all modules are imported: almost nothing of them is garbage (pytest_collection_finish)

import forks
import pytest
from hypothesis import settings

from phasemap.results.folder import RunFolder
from phasemap.study.file import parse_study
from phasemap.study.trials import expand
from phasemap.study.yaml_lines import parse_document

pytest_plugins = ["services"]

LONG = (  # the longest first; what mostly waits for Rays of its own takes turns with what computes
    "running/test_chaos.py", "serving/test_serving_page.py", "test_cli.py", "running/test_kill.py",
    "figures/test_page.py", "running/test_runners.py", "auditing/test_audit.py", "training/test_against_oracle.py",
    "training/test_on_meta.py", "results/test_remote.py", "test_tune_callback.py", "search/test_any_rule.py",
    "programs/test_program_kills.py", "serving/test_serving_queue.py", "running/test_adaptive.py",
    "sweeps/test_tables.py", "test_example_studies.py", "figures/test_inside.py", "sweeps/test_optuna.py",
    "sweeps/test_stores.py", "results/test_compact.py", "test_notebooks.py", "running/test_extension.py",
    "test_gpu_benchmark.py", "test_made_up_study.py", "running/test_jobs.py", "running/test_growing.py",
    "diagram/test_claims_over_shares.py", "training/test_look_inside.py", "golden/test_golden_commands.py",
    "planning/test_calibration.py", "training/test_population.py", "auditing/test_own.py", "running/test_memory.py",
    "programs/test_own_networks.py", "programs/test_adapters.py", "programs/test_own_studies.py",
    "running/test_kernels.py", "figures/test_any_study.py", "test_cluster_files.py", "test_guides.py",
    "golden/test_golden_documents.py", "auditing/test_response.py", "programs/test_bad_programs.py",
)  # fmt: skip

settings.register_profile("steady", deadline=None, max_examples=50)  # the machines are shared and noisy
settings.load_profile("steady")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure():
    """Make the folder that the workers share, before they are started."""
    forks.shared_folder()


def pytest_unconfigure():
    """Remove that folder at the end of the session."""
    if forks.shared_folder().name.endswith(f"-{os.getpid()}"):
        shutil.rmtree(forks.shared_folder())


def pytest_collection_modifyitems(items):
    """Put the files that take long first, so that no worker is left alone with one at the end."""
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


def pytest_collection_finish():
    """Collect garbage again, but never look through the libraries and the 3,000 tests: that took 7 % of the time."""
    gc.freeze()
    gc.enable()


def __getattr__(name):
    """Give CPU, PyTorch's, to those who ask for it: tests that train nothing start without PyTorch."""
    if name == "CPU":
        import torch

        return torch.device("cpu")
    raise AttributeError(name)


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

LONGER = """
name: {name}
task: {{kind: modular_addition, modulus: 17}}
model: {{width: 64}}
training: {{steps: {steps}}}
axes:
  corruption: [0, 0.2, 0.4]
  weight_decay: [0, 4, 12]
fixed: {{data_fraction: 0.7}}
seeds: {seeds}
resources: {{pack_size: {pack_size}}}
"""  # long enough for something to happen to it


def study_of(text=SMALL, **replaced):
    """Parse a study from text, with whole top-level sections replaced."""
    document = parse_document(text, "study.yaml")
    document.content |= replaced
    return parse_study(document)


def slow(group, *cases):
    """Return cases of a parametrized test that run only with a group of slow tests."""
    mark = pytest.mark.slow(group=group)
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=mark) for case in cases]


def trial_of(**settings):
    """Return one small trial with the given settings."""
    return changed(_first_trial(), **settings)


def changed(trial, **given):
    """Return a trial with another id, seed or settings."""
    own = {name: given.pop(name) for name in ("trial_id", "seed") if name in given}
    return dataclasses.replace(trial, values={**trial.values, **given}, **own)


@functools.cache
def _first_trial():
    """Parse the small study once: a test may ask for hundreds of trials."""
    return next(iter(expand(study_of())))


def run_in_process(study, root, *, picture=False):
    """Run a study in this process and return its folder; few tests look at its picture."""
    from phasemap.running.driver import RunOptions, run_study
    from phasemap.running.runner import LocalRunner

    folder = RunFolder(root / study.name)
    run_study(study, folder, LocalRunner, RunOptions(quiet=True, picture=picture))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of the small study: (study, folder)."""
    study = study_of()
    return study, run_in_process(study, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Let a study's program and a service's run be forked, where no Ray is started: its workers can't be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(forks.write_shim(tmp_path_factory.mktemp("bin"))))
        yield


CHROMIUM = shutil.which("chromium")
NO_BROWSER = "tests in a browser skipped: "


def _lacking():
    """Say what tests in a browser lack here; empty if nothing."""
    found = [] if CHROMIUM else ["chromium (apt-get install chromium)"]
    packages = ("playwright", "axe_playwright_python")
    return found + [f"{name} (pip install 'phasemap[dev]')" for name in packages if find_spec(name) is None]


@pytest.fixture(scope="session")
def browser():
    """A headless browser. Without one its tests are skipped, or fail where PHASEMAP_REQUIRE_BROWSER is 1."""
    if lacking := _lacking():
        message = NO_BROWSER + ", ".join(lacking)
        if os.environ.get("PHASEMAP_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def pytest_terminal_summary(terminalreporter):
    """Say at the end, in red, that the browser's tests were skipped, and what for."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr}
    for reason in sorted(reason for reason in reasons if NO_BROWSER in reason):
        terminalreporter.write_sep("!", reason.partition(NO_BROWSER)[1] + reason.partition(NO_BROWSER)[2], red=True)

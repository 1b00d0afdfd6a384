"""phasemap: map where neural networks generalize and where they memorize.

>>> import phasemap as pm
>>> run = pm.run("studies/quickstart.yaml")
>>> run.diagram(x="corruption", y="weight_decay").plot()

Importing phasemap loads neither ray nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phasemap._version import __version__

if TYPE_CHECKING:
    from phasemap import sweeps
    from phasemap.adapters.tune import tune_callback
    from phasemap.api import extend, label, load_network, relabel, run
    from phasemap.maps import PhaseDiagram
    from phasemap.runs import Run, open_run
    from phasemap.search.sampler import BoundarySampler
    from phasemap.study.axes import linear, log
    from phasemap.study.errors import StudyError, UnreachableError, UserError
    from phasemap.study.file import load_study
    from phasemap.study.marking import program
    from phasemap.study.spec import PhaseRule, Study
    from phasemap.training.program_context import TrialContext

_HOMES = {
    "BoundarySampler": "phasemap.search.sampler",
    "PhaseDiagram": "phasemap.maps",
    "PhaseRule": "phasemap.study.spec",
    "Run": "phasemap.runs",
    "TrialContext": "phasemap.training.program_context",
    "Study": "phasemap.study.spec",
    "StudyError": "phasemap.study.errors",
    "UnreachableError": "phasemap.study.errors",
    "UserError": "phasemap.study.errors",
    "extend": "phasemap.api",
    "label": "phasemap.api",
    "load_network": "phasemap.api",
    "linear": "phasemap.study.axes",
    "load_study": "phasemap.study.file",
    "log": "phasemap.study.axes",
    "open_run": "phasemap.runs",
    "program": "phasemap.study.marking",
    "relabel": "phasemap.api",
    "run": "phasemap.api",
    "sweeps": "phasemap.sweeps",
    "tune_callback": "phasemap.adapters.tune",
}

__all__ = [
    "BoundarySampler",
    "PhaseDiagram",
    "PhaseRule",
    "Run",
    "Study",
    "StudyError",
    "TrialContext",
    "UnreachableError",
    "UserError",
    "__version__",
    "extend",
    "label",
    "linear",
    "load_network",
    "load_study",
    "log",
    "open_run",
    "program",
    "relabel",
    "run",
    "sweeps",
    "tune_callback",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        home = import_module(_HOMES[name])
        return home if home.__name__ == f"phasemap.{name}" else getattr(home, name)
    raise AttributeError(f"module 'phasemap' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)

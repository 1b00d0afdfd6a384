"""The start of a submitted job: sent along with the study, it checks what the cluster has and then runs the study.

It is run by the cluster's Python as a plain file, before phasemap is known to be there.
"""

import json
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

UNFIT = 3  # the exit code of a cluster that can't be used
CHECKED = "cluster:"
NEEDED = ("phasemap", "torch", "ray", "pyarrow", "click")


def wrong_with(found: str, wanted: str, python: str) -> str:
    """Say what is wrong with the phasemap that a cluster has."""
    return (
        f"the cluster has phasemap {found} ({python}), but the study was submitted by phasemap {wanted}; "
        "allowed: the same version on both, or submit --wheel FILE"
    )


def there(module: str) -> bool:
    """Whether a module can be imported, without importing it but for its packages."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main() -> None:
    """Check the cluster's phasemap, say what it runs on, and become `phasemap run`."""
    job = json.loads(Path("submission.json").read_text(encoding="utf-8"))
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(_refuse(f"the cluster's Python ({sys.executable}) lacks {', '.join(missing)}: {job['needs']}"))
    missing = [name for name in job["modules"] if not there(name)]
    if missing:
        needed = "needed: the packages that the study names, installed in the Python that runs Ray"
        sys.exit(_refuse(f"the cluster's Python ({sys.executable}) has no module {', '.join(missing)}; {needed}"))
    from importlib.metadata import version

    from phasemap._version import __version__

    if __version__ != job["phasemap"]:
        sys.exit(_refuse(wrong_with(__version__, job["phasemap"], sys.executable)))
    print(
        f"{CHECKED} phasemap {__version__}, Ray {version('ray')}, torch {version('torch')}, "
        f"Python {platform.python_version()} on {platform.node()}",
        file=sys.stderr,
        flush=True,
    )
    os.execv(sys.executable, [sys.executable, "-m", "phasemap", *job["arguments"]])


def _refuse(message: str) -> int:
    print(f"phasemap: {message}", file=sys.stderr)
    print(json.dumps({"error": message, "exit_code": UNFIT}), flush=True)
    return UNFIT


if __name__ == "__main__":
    main()

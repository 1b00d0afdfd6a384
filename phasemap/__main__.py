"""``python -m phasemap``."""

from phasemap.cli import main

main()

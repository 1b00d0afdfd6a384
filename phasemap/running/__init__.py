"""EXECUTION: packs trained in this process or as Ray Tune trials."""

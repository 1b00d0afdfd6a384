"""The LABELS: curves to phases, subphases and step times; pure numpy."""

"""The PICTURES: figure specifications as data, then drawn."""

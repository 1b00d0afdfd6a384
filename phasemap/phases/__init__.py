"""The LABELS: rules evaluated over curves, the built-in rules as files, step times and marks; pure numpy."""

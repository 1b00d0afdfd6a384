"""The MAP: points to phase diagrams, frontiers and their statistics."""

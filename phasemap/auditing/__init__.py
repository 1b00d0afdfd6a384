"""A user's OWN data: what is memorized, which labels are wrong, and where to spend."""

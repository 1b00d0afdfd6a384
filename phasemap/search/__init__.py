"""WHICH trials next: the order in which a study's points are trained."""

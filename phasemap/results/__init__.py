"""The RECORDS: shards, merged tables, provenance, and the names of a run's files."""

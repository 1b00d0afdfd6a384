"""The SERVICE: a web page and an HTTP API over a storage, which stays the truth."""

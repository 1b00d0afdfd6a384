"""The NUMBERS: populations of networks trained together; no files, no Ray."""

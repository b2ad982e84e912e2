"""Schemathesis over the contract: briefly in each test run, longer by `python -m tests.fuzz`."""

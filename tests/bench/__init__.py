"""Errand beside its peers: the same requests, the same database, on one machine in one run."""

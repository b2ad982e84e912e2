"""Faults that happen while clients write: what was confirmed is kept, once."""

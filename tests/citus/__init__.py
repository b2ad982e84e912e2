"""Errand on a Citus cluster."""

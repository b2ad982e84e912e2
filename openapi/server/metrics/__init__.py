"""Metrics of a running server, for Prometheus."""

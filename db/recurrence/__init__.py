"""Recurrence: the dates of tasks that come back (RFC 5545)."""

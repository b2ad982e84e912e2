"""Migrations of the schema, and what they share."""

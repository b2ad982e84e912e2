"""Everything that a user has, taken out and brought in."""

"""A contract of streams and its handlers: nothing of Errand's own."""

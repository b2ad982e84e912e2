"""The lists of tasks: what can be done with them, and with their tasks together."""

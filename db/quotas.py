"""How much is stored for one user, if the settings do not say otherwise."""

MAX_TASKS = 250_000
"""Tasks, those in the trash included."""

MAX_LISTS = 500
"""Lists, those in the trash included."""

MAX_DEPTH = 10
"""Tasks above a task."""

MAX_BELOW = 1000
"""Tasks below a task, at all depths together."""

MAX_CHANGES = 5000
"""Changes of tasks by one batch."""

MAX_REPLAY_BYTES = 16 * 1024 * 1024
"""Bytes of stored responses."""

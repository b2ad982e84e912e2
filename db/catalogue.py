"""Every statement that the server runs: its connections prepare them."""

from db import health, replays, users
from db.tasks import statements as tasks

CATALOGUE = (*tasks.CATALOGUE, *users.CATALOGUE, *replays.CATALOGUE, *health.CATALOGUE)

"""The statements that every connection prepares; those of other lists are prepared on demand."""

from db import replays, users
from db.tasks import clearing, creating, overviews, search_index, summaries
from db.tasks import list_statements as lists
from db.tasks import statements as tasks

CATALOGUE = (
    *tasks.CATALOGUE,
    *creating.CATALOGUE,
    *clearing.CATALOGUE,
    *lists.CATALOGUE,
    *overviews.CATALOGUE,
    *summaries.CATALOGUE,
    *search_index.CATALOGUE,
    *users.CATALOGUE,
    *replays.CATALOGUE,
)

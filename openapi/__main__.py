"""`python -m openapi` is the command `errand`."""

from openapi.command_line import main

main()

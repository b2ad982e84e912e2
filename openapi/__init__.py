"""The contract, and the server made from it."""

import warnings

# Connexion imports Starlette's test client, which warns at every start.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")

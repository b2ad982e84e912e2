"""The contract, and the server made from it."""

import warnings

# Connexion imports Starlette's test client, which warns whoever starts a server.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")

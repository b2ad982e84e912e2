"""The contract, and the server made from it."""

import sys
import warnings

# Connexion imports Starlette's test client, which warns whoever starts a server.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")

# Connexion would import Flask, which is here for the sake of Swagger UI's files, and not use it.
sys.modules["flask"] = None  # type: ignore[assignment]

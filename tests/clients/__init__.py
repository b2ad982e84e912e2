"""Clients of the contract: generators, linters, Better Auth, the offline client, a browser."""

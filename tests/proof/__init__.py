"""Clients that lose their network, and a ledger that proves that no write was lost or doubled."""

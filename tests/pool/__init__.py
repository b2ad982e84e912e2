"""The connection pool: statements, transactions and groups over networks that break."""

"""PostgreSQL: connections, the pool, transactions, group commit, statements, roles, the embedded server."""

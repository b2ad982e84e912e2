"""PostgreSQL: connections, pool, transactions, group commit, statements, embedded server."""

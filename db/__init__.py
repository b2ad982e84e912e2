"""The data: tables, statements, connections, and PostgreSQL itself."""

"""What an operator sees: command line, settings, embedded PostgreSQL, migrations, poolers, logs."""

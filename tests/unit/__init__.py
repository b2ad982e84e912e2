"""Single modules, without a server."""

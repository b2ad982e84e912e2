"""What a client sees: HTTP requests and responses of a running server."""

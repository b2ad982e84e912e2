"""The running server: the ASGI application, the HTTP protocol, request watchdog, pages, logs."""

"""Bugs that are planted in a server, each of which a promise must find."""

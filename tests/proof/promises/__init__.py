"""The promises of the API, each a function: it returns what showed it, or raises what broke it."""

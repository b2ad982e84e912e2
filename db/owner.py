"""The name of the owner's id, the same in every layer."""

OWNER = "user_id"
"""A column of every table of users' data, a parameter of its statements and of the API's paths."""

"""The one name by which every layer knows whose data it is about."""

OWNER = "user_id"
"""A column of every table of users' data, a parameter of its statements and of the API's paths."""

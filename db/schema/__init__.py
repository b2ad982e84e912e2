"""The tables and models (SQLModel): the one place that knows a field."""

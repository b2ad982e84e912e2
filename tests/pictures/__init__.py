"""The pictures of the pages, made from what they show."""

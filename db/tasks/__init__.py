"""What can be done with a user's tasks: rules, statements, lists, the change feed, the trash."""

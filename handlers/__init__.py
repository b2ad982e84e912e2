"""The handlers: one function for each operation of the contract."""

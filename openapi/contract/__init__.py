"""The contract: loaded, checked, and reduced to what this server enforces."""

"""Tools for agents (Model Context Protocol): operations of the contract, as FastMCP serves them."""

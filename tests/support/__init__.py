"""What tests share: users, servers, databases, an issuer of tokens, broken networks, references."""

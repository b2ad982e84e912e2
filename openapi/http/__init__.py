"""HTTP without a server: responses, problem documents, media types, security headers."""

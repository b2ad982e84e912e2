"""Who may send requests, and how many: tokens, keys, rate limits, CORS."""

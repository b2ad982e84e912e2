"""Access to the API: tokens and their keys, rate limits, CORS, hosts, trusted proxies."""

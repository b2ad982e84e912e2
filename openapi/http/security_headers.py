"""Headers of every response, for browsers: what it may load, embed it and cache it.

Strict-Transport-Security is not among them: it is for the proxy that has the certificate.
"""

from openapi.http.response import Headers

EVERYWHERE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
INERT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
SWAGGER_UI = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

WITH_DATA: Headers = [*EVERYWHERE, INERT, (b"cache-control", b"private, no-cache")]
WITH_ERRORS: Headers = [*EVERYWHERE, INERT, (b"cache-control", b"no-store")]
WITH_PAGES: Headers = [
    *EVERYWHERE,
    (b"content-security-policy", SWAGGER_UI),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
]

"""Swagger UI, used as a person would: authorize, expand an operation, fill it in, execute it."""

from dataclasses import dataclass

from tests.support.browser import Page

SHOWN = ".live-responses-table tbody"


@dataclass(frozen=True)
class Shown:
    """What Swagger UI shows of a response."""

    status: int
    body: str


@dataclass(frozen=True)
class SwaggerUi:
    """The page of a server in a browser, once it lists the operations."""

    page: Page

    @staticmethod
    def at(server: str, page: Page) -> "SwaggerUi":
        """Open the page."""
        page.opens(f"{server}/docs")
        assert page.sees("document.querySelector('.opblock')")
        return SwaggerUi(page)

    def authorizes(self, token: str) -> None:
        """Give the token to the dialog."""
        self.page.clicks(".btn.authorize")
        self.page.types(".auth-container input", token)
        self.page.clicks(".auth-btn-wrapper .authorize")
        self.page.clicks(".auth-btn-wrapper .btn-done")
        assert self.page.sees("document.querySelector('.btn.authorize.locked')")

    def expands(self, *operations: str) -> None:
        """Expand operations, until each can be tried out."""
        for each in operations:
            self.page.clicks(f"[id$='-{each}']:not(.is-open) .opblock-summary-control")
        for each in operations:
            block = f"[id$='-{each}'].is-open"
            for part in (".responses-table", ".btn.execute"):
                assert self.page.sees(f"document.querySelector(`{block} {part}`)"), each
            loading = f"document.querySelector(`{block} .opblock-loading-animation`)"
            assert self.page.sees(f"!{loading}"), each

    def does(self, operation: str, **parameters: str) -> Shown:
        """Expand, execute and collapse an operation: a page with all of them expanded is slow."""
        self.expands(operation)
        shown = self.tries(operation, **parameters)
        self.page.clicks(f"[id$='-{operation}'].is-open .opblock-summary-control")
        return shown

    def tries(self, operation: str, **parameters: str) -> Shown:
        """Fill in and execute an expanded operation; returns what is shown."""
        block = f"[id$='-{operation}'].is-open"
        for name, value in parameters.items():
            self.page.types(f"{block} tr[data-param-name='{name}'] input", value)
            # It takes a text at once when the field is left, else after a while.
            self.page.evaluates("document.activeElement.blur()")
        self.page.clicks(f"{block} .btn.execute")
        status = f"document.querySelector(`{block} {SHOWN} .response-col_status`)?.innerText"
        assert self.page.sees(f"parseInt({status})"), operation
        body = f"document.querySelector(`{block} {SHOWN} .microlight`)?.innerText ?? ''"
        return Shown(self.page.evaluates(f"parseInt({status})"), self.page.evaluates(body))

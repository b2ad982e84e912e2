"""Assertions about responses."""

import re
from typing import Any

import httpx


def assert_problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The response is a problem document of that type; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"/problems#{name}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"]
    return problem


def assert_faults(response: httpx.Response, *places: str) -> None:
    """The response lists faults at these locations, and no others."""
    problem = assert_problem(response, 422, "invalid-request")
    found = {fault.get("pointer", fault.get("parameter")) for fault in problem["errors"]}
    assert found == set(places)


def left(response: httpx.Response) -> int:
    """The remaining quota in the response."""
    found = re.fullmatch(r'"default";r=(\d+);t=\d+', response.headers["RateLimit"])
    assert found, response.headers
    return int(found[1])

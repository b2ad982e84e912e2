"""The keyword `x-unique-without-case`: no two texts of an array are equal without case."""

from typing import Any

from db.caseless import second_of_equals

NAME = "x-unique-without-case"
DETAIL = "this value is there already: case makes no difference"


class UniqueWithoutCase:
    """The keyword, as the validator runs it; JSON Schema's `uniqueItems` compares exactly."""

    def __init__(self, parent: dict[str, Any], value: Any, path: list[str | int]) -> None:
        if value is not True:
            raise ValueError(f"{NAME} can only be true")

    def validate(self, instance: Any) -> None:
        """Raise if an array has a text twice."""
        if repeated(instance) is not None:
            raise ValueError(DETAIL)


def repeated(instance: Any) -> int | None:
    """The index of the first text of an array that is equal to one before it."""
    if not isinstance(instance, list) or not all(isinstance(each, str) for each in instance):
        return None
    return second_of_equals(instance)

"""Positions: keys that sort by bytes, so that a task fits between any two others.

The format is that of the libraries `fractional-indexing` for many languages: digits of base 62, the
first of which says how many belong to the integer part. The rest is a fraction without trailing
zeros. Read as one fraction, each key is a number of its own, in the order of the keys.
The library for Python is not used: it has no types, and no release since 2023.
"""

from collections.abc import Iterator
from itertools import count as counted
from itertools import islice

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE = len(DIGITS)
FIRST = "a0"
# The contract has no key below the one or from the other on.
LOWEST, LIMIT = "N" + 13 * "0", "n"
_VALUES = {digit: value for value, digit in enumerate(DIGITS)}


def of_revision(revision: int) -> str:
    """The position of a new task: behind all that the user's revisions before have made the last.

    Hexadecimal digits are digits of base 62; so the next integer after this position is not above
    the position of the next revision.
    """
    return f"m{revision:013x}"


def between(low: str | None, high: str | None, count: int = 1) -> list[str]:
    """Ascending keys between two others, or beyond one; none if there is no room.

    Beyond one, each is the next integer; between two, they are spread evenly, and short.
    """
    if low is None or high is None:
        integers = list(islice(_integers(low, high), count))
        if len(integers) == count:
            return integers if high is None else integers[::-1]
    return _spread(low or LOWEST, high or LIMIT, count)


def _integers(low: str | None, high: str | None) -> Iterator[str]:
    """The integers above the one, or below the other, from the nearest on."""
    key = low or high
    integer = FIRST if key is None else key[: _integer_length(key[0])]
    if integer == key or (high is None and key is not None):
        integer = _next(integer, up=high is None)
    while LOWEST < integer < LIMIT:
        yield integer
        integer = _next(integer, up=high is None)


def _next(integer: str, *, up: bool) -> str:
    """The integer after this one, or before it; it may have one digit more or less."""
    digits = _written(_number(integer) + (1 if up else -1), len(integer))
    length = _integer_length(digits[0])
    return digits[:length].ljust(length, DIGITS[0 if up else -1])


def _spread(low: str, high: str, count: int) -> list[str]:
    """Keys of equal distances between the two, with as few digits as that takes."""
    if low >= high:
        return []
    for length in counted(len(FIRST)):
        first = _number(low[:length].ljust(length, DIGITS[0])) + 1
        end = _number(high[:length].ljust(length, DIGITS[0])) + (len(high) > length)
        if end - first >= count:
            numbers = (first + (2 * n + 1) * (end - first) // (2 * count) for n in range(count))
            keys = [_key(_written(number, length)) for number in numbers]
            if all(keys):
                return keys
    raise AssertionError("between two different keys there is always another one")


def _key(digits: str) -> str:
    """The key of this number; empty if its integer part has more digits."""
    length = _integer_length(digits[0])
    return "" if len(digits) < length else digits[:length] + digits[length:].rstrip(DIGITS[0])


def _integer_length(head: str) -> int:
    return ord(head) - ord("a") + 2 if head >= "a" else ord("Z") - ord(head) + 2


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * BASE + _VALUES[digit]
    return number


def _written(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, value = divmod(number, BASE)
        digits.append(DIGITS[value])
    return "".join(reversed(digits))

"""PostgreSQL's hash of a UUID, by which Citus chooses the shard of an owner."""

from uuid import UUID

MASK = 0xFFFFFFFF
# What hash_any() starts with: the golden ratio, the number of bytes, and a constant of its own.
START = (0x9E3779B9 + 16 + 3923095) & MASK


def hash_of_uuid(value: UUID) -> int:
    """The result of `uuid_hash`, a signed integer of 32 bits: Bob Jenkins's lookup3, unrolled."""
    key = value.bytes
    a = START + int.from_bytes(key[0:4], "little") & MASK
    b = START + int.from_bytes(key[4:8], "little") & MASK
    c = START + int.from_bytes(key[8:12], "little") & MASK
    a, b, c = _mixed(a, b, c)
    a = a + int.from_bytes(key[12:16], "little") & MASK
    hashed = _final(a, b, c)
    return hashed - (1 << 32) if hashed >> 31 else hashed


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, c = a - c & MASK ^ _rotated(c, 4), c + b & MASK
    b, a = b - a & MASK ^ _rotated(a, 6), a + c & MASK
    c, b = c - b & MASK ^ _rotated(b, 8), b + a & MASK
    a, c = a - c & MASK ^ _rotated(c, 16), c + b & MASK
    b, a = b - a & MASK ^ _rotated(a, 19), a + c & MASK
    c, b = c - b & MASK ^ _rotated(b, 4), b + a & MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotated(b, 14) & MASK
    a = (a ^ c) - _rotated(c, 11) & MASK
    b = (b ^ a) - _rotated(a, 25) & MASK
    c = (c ^ b) - _rotated(b, 16) & MASK
    a = (a ^ c) - _rotated(c, 4) & MASK
    b = (b ^ a) - _rotated(a, 14) & MASK
    return (c ^ b) - _rotated(b, 24) & MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & MASK

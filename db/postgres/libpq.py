"""What libpq can do and psycopg2 does not offer, on psycopg2's connections and in its library."""

import ctypes
from typing import Any

import psycopg2

Text = ctypes.c_char_p
Number = ctypes.c_int
Pointer = ctypes.c_void_p

# What is called here never waits, so that Python's global lock need not be given away meanwhile.
_library = ctypes.PyDLL(psycopg2._psycopg.__file__)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = _library[name]
    function.restype = result
    function.argtypes = arguments
    return function


CAN_CANCEL = hasattr(_library, "PQcancelCreate")
if CAN_CANCEL:
    new_cancel = _function("PQcancelCreate", Pointer, Pointer)
    start_cancel = _function("PQcancelStart", Number, Pointer)
    cancel_socket = _function("PQcancelSocket", Number, Pointer)
    poll_cancel = _function("PQcancelPoll", Number, Pointer)
    cancel_error = _function("PQcancelErrorMessage", Text, Pointer)
    finish_cancel = _function("PQcancelFinish", None, Pointer)

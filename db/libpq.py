"""What libpq can do and psycopg2 does not offer, on psycopg2's connections and in its library."""

import ctypes
from typing import Any

import psycopg2

Connection = ctypes.c_void_p
Result = ctypes.c_void_p
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


error_message = _function("PQerrorMessage", Text, Connection)

enter_pipeline = _function("PQenterPipelineMode", Number, Connection)
leave_pipeline = _function("PQexitPipelineMode", Number, Connection)
send_prepared = _function(
    "PQsendQueryPrepared", Number, Connection, Text, Number, Pointer, Pointer, Pointer, Number
)
end_transaction = _function("PQpipelineSync", Number, Connection)
flush = _function("PQflush", Number, Connection)

consume_input = _function("PQconsumeInput", Number, Connection)
is_busy = _function("PQisBusy", Number, Connection)
get_result = _function("PQgetResult", Result, Connection)
result_status = _function("PQresultStatus", Number, Result)
row_count = _function("PQntuples", Number, Result)
value_at = _function("PQgetvalue", Text, Result, Number, Number)
clear = _function("PQclear", None, Result)

HAS_NO_ROWS, HAS_ROWS, HAS_FAILED, IS_END, IS_SKIPPED = 1, 2, 7, 10, 11

CAN_CANCEL = hasattr(_library, "PQcancelCreate")
if CAN_CANCEL:
    new_cancel = _function("PQcancelCreate", Pointer, Connection)
    start_cancel = _function("PQcancelStart", Number, Pointer)
    cancel_socket = _function("PQcancelSocket", Number, Pointer)
    poll_cancel = _function("PQcancelPoll", Number, Pointer)
    cancel_error = _function("PQcancelErrorMessage", Text, Pointer)
    finish_cancel = _function("PQcancelFinish", None, Pointer)

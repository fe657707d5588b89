"""The functions that guarded SQL may call.

An allow-list, because a single call can run for minutes or fill the memory without ever reaching the time limit:
printf('%.*c', 2000000000, 'x'), zeroblob, randomblob. `instr` and `replace` compare quadratically in SQLite, so Python's
linear ones take their place.
"""

from __future__ import annotations

import sqlite3

_SCALAR = """abs coalesce concat concat_ws date datetime glob iif ifnull instr julianday length like lower ltrim max min nullif
quote replace round rtrim sign strftime substr substring time trim typeof unicode unixepoch upper likely unlikely"""
_MATH = "ceil ceiling floor mod pow power sqrt"
_AGGREGATE = "avg count group_concat max min string_agg sum total"
_WINDOW = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"
_JSON = """json json_array json_array_length json_each json_extract json_group_array json_group_object json_object
json_tree json_type json_valid -> ->>"""
_TIME = "current_date current_time current_timestamp"

ALLOWED = frozenset(" ".join((_SCALAR, _MATH, _AGGREGATE, _WINDOW, _JSON, _TIME)).split())
TABLE_VALUED = frozenset({"json_each", "json_tree"})


def install(connection: sqlite3.Connection, longest: int) -> None:
    """Replace the functions that are unsafe as SQLite has them, and prepare the table-valued ones.

    json_each and json_tree register themselves on first use, which an authorizer would see as a write to the schema.
    """

    def replace(text: object, old: object, new: object) -> str | None:
        if text is None or old is None or new is None:
            return None
        text, old, new = str(text), str(old), str(new)
        if not old:
            return text
        if len(text) + text.count(old) * max(0, len(new) - len(old)) > longest:
            raise ValueError("result too long")
        return text.replace(old, new)

    def instr(text: object, part: object) -> int | None:
        return None if text is None or part is None else str(text).find(str(part)) + 1

    connection.create_function("replace", 3, replace, deterministic=True)
    connection.create_function("instr", 2, instr, deterministic=True)
    for name in TABLE_VALUED:
        connection.execute(f"SELECT 1 FROM {name}('[]')").fetchall()  # noqa: S608  -- two fixed names

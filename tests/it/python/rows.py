"""Reads the tables of a store and compares every row whole with what it should be: no column more, none less, no value beside its column.

usage: rows.py ROOT EXPECTED
EXPECTED has one JSON line a row: {"id", "table", "inputs", "outputs", "row"}; "row" holds further columns. A value {"$json": v} is a text of
JSON, {"$f32": v} floats of single precision (whatever the column's type); any other float is compared bit for bit.
"""

import glob
import json
import os
import struct
import sys

import pyarrow.parquet


def rows_of(folder):
    rows = []
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.parquet"), recursive=True)):
        rows += pyarrow.parquet.ParquetFile(path).read().to_pylist()
    return rows


def single(value):
    if isinstance(value, list):
        return [single(item) for item in value]
    return struct.unpack("<f", struct.pack("<f", value))[0]


def without_nulls(value):
    """A struct has every column of its table: those without a value in this row count as not there."""
    if isinstance(value, dict) and "$json" not in value:
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def same(want, have):
    if isinstance(want, dict) and "$json" in want:
        return isinstance(have, str) and json.loads(have) == want["$json"]
    if isinstance(want, dict) and "$f32" in want:
        return single(want["$f32"]) == single(have)
    if isinstance(want, dict):
        want, have = without_nulls(want), without_nulls(have)
        return isinstance(have, dict) and want.keys() == have.keys() and all(same(want[k], have[k]) for k in want)
    if isinstance(want, list):
        return isinstance(have, list) and len(want) == len(have) and all(map(same, want, have))
    if isinstance(want, bool) or isinstance(have, bool) or want is None or have is None:
        return want is have
    if isinstance(want, (int, float)):
        return isinstance(have, (int, float)) and struct.pack("<d", want) == struct.pack("<d", have)
    return want == have


def main():
    root, expected = sys.argv[1:3]
    tables = {}
    for line in open(expected, encoding="utf-8"):
        row = json.loads(line)
        assert tables.setdefault(row["table"], {}).setdefault(row["id"], row) is row, f"{row['id']} twice"
    assert tables, "nothing is expected"
    assert set(tables) == {name for name in os.listdir(root) if rows_of(os.path.join(root, name))}, os.listdir(root)
    for table, want in tables.items():
        rows = rows_of(os.path.join(root, table))
        assert len(rows) == len(want), f"{table}: {len(rows)} rows, {len(want)} expected"
        for row in rows:
            expect = want.pop(row["id"])
            assert row["_raw"] is None and not row["_quarantined"], f"{table}: a value found no column: {row['_raw']}"
            for side in ("inputs", "outputs"):
                wanted, found = without_nulls(expect[side]), without_nulls(row[side] or {})
                for key in sorted(wanted.keys() | found.keys()):
                    value, have = wanted.get(key), found.get(key)
                    assert same(value, have), f"{table} {row['id']} {side}.{key}: {value!r} became {have!r}"
            for key, value in expect.get("row", {}).items():
                assert same(value, row[key]), f"{table} {row['id']} {key}: {value!r} became {row[key]!r}"
    print("ok")


main()

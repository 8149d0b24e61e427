"""Reads a table with an engine that is not weir and compares every row with what the client sent and got.

usage: read.py ENGINE ANSWERS FOLDER [LINE]
FOLDER is the table's folder (or, for pyarrow, s3://KEY:SECRET@ENDPOINT/bucket/prefix). LINE is a reading line of `weir schema`:
SQL for DuckDB, Python that sets `table` for the others.
Floats are compared bit for bit.
"""

import glob
import json
import os
import struct
import sys


def expected(path):
    rows = {}
    for line in open(path, encoding="utf-8"):
        call = json.loads(line)
        assert call["status"] == 200, call
        if isinstance(call["sent"], list):
            assert len(call["sent"]) == len(call["got"])
            for i, (sent, got) in enumerate(zip(call["sent"], call["got"])):
                rows[f"{call['id']}_{i}"] = (sent, got)
        else:
            rows[call["id"]] = (call["sent"], call["got"])
    return rows


def with_duckdb(folder, sql):
    import duckdb

    sql = sql or f"select * from read_parquet('{folder}/**/*.parquet', union_by_name = true)"
    rows = duckdb.sql(f"select id, inputs, outputs from ({sql.rstrip(';')})").fetchall()
    return [{"id": r[0], "inputs": r[1], "outputs": r[2]} for r in rows]


def with_polars(folder, line):
    import polars

    if line:
        scope = {}
        exec(line, scope)
        return scope["table"].select(["id", "inputs", "outputs"]).to_dicts()
    return polars.read_parquet(f"{folder}/**/*.parquet", columns=["id", "inputs", "outputs"]).to_dicts()


def with_pyarrow(folder, line):
    import pyarrow.dataset
    import pyarrow.fs

    if line:
        scope = {}
        exec(line, scope)
        return scope["table"].select(["id", "inputs", "outputs"]).to_pylist()
    system = None
    if folder.startswith("s3://"):
        login, place = folder[len("s3://") :].split("@", 1)
        key, secret = login.split(":", 1)
        endpoint, folder = place.split("/", 1)
        system = pyarrow.fs.S3FileSystem(
            access_key=key, secret_key=secret, endpoint_override=endpoint, scheme="http", region="us-east-1"
        )
        files = [
            f.path
            for f in system.get_file_info(pyarrow.fs.FileSelector(folder, recursive=True))
            if f.path.endswith(".parquet")
        ]
    else:
        files = sorted(glob.glob(os.path.join(folder, "**", "*.parquet"), recursive=True))
    table = pyarrow.dataset.dataset(files, filesystem=system, format="parquet")
    return table.to_table(columns=["id", "inputs", "outputs"]).to_pylist()


def same(want, have):
    if want is None or have is None:
        return want is None and have is None
    if isinstance(want, bool) or isinstance(have, bool):
        return want is have
    if isinstance(want, (int, float)):
        return struct.pack("<d", float(want)) == struct.pack("<d", have)
    return want == have


def main():
    engine, answers, folder = sys.argv[1:4]
    sql = sys.argv[4] if len(sys.argv) > 4 else None
    want = expected(answers)
    rows = {"duckdb": with_duckdb, "polars": with_polars, "pyarrow": with_pyarrow}[engine](folder, sql)
    ids = [row["id"] for row in rows]
    assert len(ids) == len(want), f"{len(ids)} rows, {len(want)} expected"
    assert set(ids) == set(want), "other ids"
    for row in rows:
        sent, got = want[row["id"]]
        for side, values in (("inputs", sent), ("outputs", got)):
            for key, value in values.items():
                have = row[side].get(key)
                assert same(value, have), f"{row['id']} {side}.{key}: {value!r} became {have!r}"
    print("ok", len(rows))


main()

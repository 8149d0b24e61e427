"""Opens tables with the reading lines of `weir schema` and compares every row with what was sent.

usage: tables.py ENGINE MANIFEST
MANIFEST: {"<table>": {"schema": <weir schema --json>, "sent": {"<id>": <the JSON text that was sent and answered>}}}

No value may be lost: a row without `_raw` says in its columns all that was sent, exactly; one with it has the text, and says nothing else in its
columns. Prints {"<table>": {"raw": <rows with _raw>, "columns": <columns of inputs and outputs>}}.
"""

import base64
import json
import math
import struct
import sys


def with_duckdb(line):
    import duckdb

    cursor = duckdb.sql(line)
    names = cursor.columns
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def with_polars(line):
    scope = {}
    exec(line, scope)
    return scope["table"].to_dicts()


def with_pyarrow(line):
    scope = {}
    exec(line, scope)
    return scope["table"].to_pylist()


def with_pandas(line):
    import pandas

    scope = {}
    exec(line, scope)
    rows = scope["table"].to_dict("records")
    return [{name: None if value is pandas.NA else value for name, value in row.items()} for row in rows]


def with_spark(line):
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    return [row.asDict(recursive=True) for row in eval(line, {"spark": spark}).collect()]


READERS = {"duckdb": with_duckdb, "pandas": with_pandas, "polars": with_polars, "pyarrow": with_pyarrow, "spark": with_spark}


def as_json(value, kind):
    """A value of a column as it would stand in the record."""
    if value is None:
        return None
    if kind.startswith("MAP"):
        if isinstance(value, list):
            value = [(e["key"], e["value"]) if isinstance(e, dict) else e for e in value]
            keys = [key for key, _ in value]
            assert len(set(keys)) == len(keys), f"a key twice: {keys}"
        return {key: number for key, number in dict(value).items()}
    if kind.startswith("LIST<"):
        return [as_json(item, kind[5:-1]) for item in value]
    if kind == "BINARY":
        return base64.b64encode(bytes(value)).decode()
    return value


def cells(row, schema):
    """What the columns of a row hold, by the keys of the record."""
    out = {"inputs": {}, "outputs": {}}
    for column in schema["columns"]:
        name = column["name"].split(".")
        if name[0] not in out:
            continue
        value = row
        for part in name:
            value = None if value is None else value[part]
        value = as_json(value, column["type"])
        if value is not None:
            *above, last = column.get("key", column["name"]).split(".")
            place = out
            for part in above:
                place = place.setdefault(part, {})
            place[last] = (value, column["type"])
    return out


def same(sent, have, kind):
    if kind.startswith("MAP"):
        return isinstance(sent, dict) and sent.keys() == have.keys() and all(same(sent[k], have[k], "DOUBLE") for k in sent)
    if kind.startswith("LIST<"):
        return isinstance(sent, list) and len(sent) == len(have) and all(same(s, h, kind[5:-1]) for s, h in zip(sent, have))
    if sent is None or have is None:
        return sent is None and have is None
    if isinstance(sent, bool) or isinstance(have, bool):
        return sent is have
    if kind in ("DOUBLE", "FLOAT"):
        if sent in ("NaN", "Infinity", "-Infinity"):
            sent = float(sent)
        if math.isnan(have):
            return math.isnan(sent)
        form = "<d" if kind == "DOUBLE" else "<f"
        return not isinstance(sent, str) and struct.pack(form, sent) == struct.pack(form, have) and (kind == "FLOAT" or sent == have)
    return type(sent) is type(have) and sent == have


def leaves(sent, have, path, found):
    """Compares; `found` gets the paths of the sent values that have no column."""
    for key, value in sent.items():
        if value is None:
            continue
        cell = have.get(key)
        if isinstance(cell, tuple):
            if not same(value, *cell):
                found.append((f"{path}.{key}", value, cell))
        elif isinstance(value, dict):
            leaves(value, cell or {}, f"{path}.{key}", found)
        else:
            found.append((f"{path}.{key}", value, None))


def extra(sent, have, path):
    """A column that says what was not sent is worse than a lost one."""
    for key, cell in have.items():
        assert isinstance(sent, dict) and key in sent, f"{path}.{key} holds {cell!r}, which nobody sent"
        if isinstance(cell, tuple):
            continue
        extra(sent[key], cell, f"{path}.{key}")


def check(table, engine, schema, sent):
    rows = READERS[engine](schema["read"][engine])
    assert sorted(row["id"] for row in rows) == sorted(sent), f"{len(rows)} rows, {len(sent)} sent"
    raws = 0
    for row in rows:
        want = json.loads(sent[row["id"]])
        have = cells(row, schema)
        for side in ("inputs", "outputs"):
            missing = []
            leaves(want, have[side], side, missing)
            extra(want, have[side], side)
            if row["_raw"] is None:
                assert not missing, f"{table} {row['id']}: lost {missing}"
            else:
                assert json.loads(row["_raw"])[side] == want, f"{table} {row['id']}: {row['_raw']}"
                for path, value, cell in missing:
                    assert cell is None or schema_map(cell), f"{table} {row['id']} {path}: {value!r} became {cell!r}"
        raws += row["_raw"] is not None
    columns = [c["name"] for c in schema["columns"] if c["name"].split(".")[0] in ("inputs", "outputs")]
    return {"raw": raws, "columns": len(columns)}


def schema_map(cell):
    """A MAP may hold the part of an object that fits it."""
    return cell[1].startswith("MAP")


def main():
    engine, manifest = sys.argv[1:3]
    tables = json.load(open(manifest, encoding="utf-8"))
    print(json.dumps({name: check(name, engine, table["schema"], table["sent"]) for name, table in tables.items()}))


main()

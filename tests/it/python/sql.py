"""Prints what DuckDB answers to a query, a JSON list of rows.

usage: sql.py QUERY
"""

import json
import sys

import duckdb

print(json.dumps(duckdb.sql(sys.argv[1]).fetchall(), default=str))

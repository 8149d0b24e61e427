"""What the scripts that call model servers share: each asks a server directly and through weir, and writes down the rows that the calls
should become, one JSON line each, for rows.py.
"""

import json
import urllib.error
import urllib.request


def text(value):
    """How a record holds what has another shape in every call: as a text of JSON."""
    return {"$json": value} if isinstance(value, (dict, list)) else value


class Expected:
    def __init__(self, path, **always):
        self.out = open(path, "w", encoding="utf-8")
        self.always = {"parse_status": "ok", "outcome": "complete", "status_code": 200, **always}

    def row(self, id, table, inputs, outputs, **more):
        line = {"id": id, "table": table, "inputs": inputs, "outputs": outputs, "row": {**self.always, **more}}
        self.out.write(json.dumps(line) + "\n")

    def rows(self, id, table, inputs, outputs, **more):
        """A batch: a row for each pair."""
        assert len(inputs) == len(outputs) > 1, (inputs, outputs)
        for n, (sent, got) in enumerate(zip(inputs, outputs)):
            self.row(f"{id}_{n}", table, sent, got, **{"row_index": n, "row_count": len(inputs), **more})

    def close(self):
        self.out.close()


class Http:
    """The same request to a server and through weir."""

    def __init__(self, server, weir):
        self.server, self.weir = server, weir

    def post(self, path, body, content_type="application/json", **headers):
        """The call's id, its status and its body, which are those of the direct call, byte for byte."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        headers = {"content-type": content_type, **headers}
        want, have = self._ask(self.server + path, body, headers), self._ask(self.weir + path, body, headers)
        assert want[1:] == have[1:], f"directly {want!r}, through weir {have!r}"
        assert want[0] is None and have[0], "only weir names calls"
        return have[0], have[1], have[3]

    def _ask(self, url, body, headers):
        request = urllib.request.Request(url, body, headers, method="POST")
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            return answer.headers["x-weir-id"], answer.status, answer.headers["content-type"], answer.read()

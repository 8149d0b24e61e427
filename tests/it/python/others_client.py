"""Asks a server directly and through weir, with its own client where it has one, and writes down the rows that the calls should be
(see rows.py).

usage: others_client.py bentoml|litserve|ray|litellm DIRECT WEIR EXPECTED       (the addresses: http://host:port)
"""

import http.client
import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

SERVER, DIRECT, WEIR, PATH = sys.argv[1:5]
EXPECTED = open(PATH, "w", encoding="utf-8")
ROWS = [{"age": 38.5, "plan": "pro"}, {"age": 51.0, "plan": "größe"}]


def expect(weir_id, rows, table=SERVER, **row):
    row = {"parse_status": "ok", "status_code": 200, **row}
    for i, (inputs, outputs) in enumerate(rows):
        name = f"{weir_id}_{i}" if len(rows) > 1 else weir_id
        line = {"id": name, "table": table, "inputs": inputs, "outputs": outputs, "row": row}
        EXPECTED.write(json.dumps(line) + "\n")


def post(base, path, body, headers):
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("x-weir-id")


def both(path, body, headers={}, status=200):
    """The answer, which is the same both ways, and weir's id of the call."""
    direct, through = post(DIRECT, path, body, headers), post(WEIR, path, body, headers)
    assert direct[:2] == through[:2] and direct[0] == status, f"directly {direct}, through weir {through}"
    return through[1].decode(), through[2]


def bentoml():
    import bentoml

    clients = [bentoml.SyncHTTPClient(base) for base in (DIRECT, WEIR)]
    ids = []
    clients[1].client.event_hooks["response"].append(lambda answer: ids.append(answer.headers.get("x-weir-id")))

    def asked(call):
        direct, through = (call(client) for client in clients)
        assert direct == through, f"directly {direct}, through weir {through}"
        return through, ids[-1]

    answers, weir_id = asked(lambda client: client.batch(customers=ROWS))
    expect(weir_id, list(zip(ROWS, answers)), protocol="json")
    answer, weir_id = asked(lambda client: client.one(customer=ROWS[0]))
    expect(weir_id, [({"customer": ROWS[0]}, answer)], protocol="json")
    answer, weir_id = asked(lambda client: client.ratio(part=1.0))
    expect(weir_id, [({"part": 1.0}, {"prediction": answer})], protocol="json")

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\xff")
        answer, weir_id = asked(lambda client: client.image(picture=picture, title="none"))
    # The client writes a text field of a form as JSON.
    sent = {"title": '"none"', "picture": {"content_type": "image/png", "filename": "picture.png", "bytes": 10}}
    sent["picture"]["sha256"] = "d44c4eee8f72efac76c1f294e7260408825c8dad42adaaf6e9bee7e7ef4c7de3"
    expect(weir_id, [(sent, answer)], protocol="multipart")

    # A text piece by piece, which its client cannot read: under the type of an event stream, but without events.
    answer, weir_id = both("/letters", {"text": "hello wörld again"})
    expect(weir_id, [({"text": "hello wörld again"}, {"text": answer})], protocol="json", streamed=True)
    answer, weir_id = both("/one", {"customer": {"plan": "pro"}}, status=400)
    expect(weir_id, [({"customer": {"plan": "pro"}}, {})], status_code=400, error=answer)


def litserve():
    answer, weir_id = both("/predict", ROWS[1])
    expect(weir_id, [(ROWS[1], json.loads(answer))], protocol="json")
    answer, weir_id = both("/predict", {"age": 38.5}, status=500)
    expect(weir_id, [({"age": 38.5}, {})], status_code=500, error=answer)
    chat("parrot", "none", made_up=False)


def ray():
    answer, weir_id = both("/predict", ROWS[0])
    expect(weir_id, [(ROWS[0], json.loads(answer))], protocol="json")
    answer, weir_id = both("/predict", ROWS)
    expect(weir_id, list(zip(ROWS, json.loads(answer))), protocol="json")
    answer, weir_id = both("/many", {"x": 2}, {"serve_multiplexed_model_id": "abc"})
    expect(weir_id, [({"x": 2}, json.loads(answer))], table="abc", protocol="json")
    answer, weir_id = both("/predict", {"plan": "pro"}, status=500)
    expect(weir_id, [({"plan": "pro"}, {})], status_code=500, error=answer)


def litellm():
    chat("mock-chat", "sk-of-the-test", made_up=True)


def chat(model, key, made_up):
    """Chat by the clients of OpenAI and (where the server has that) Anthropic. Ids and times are another for each call."""
    import openai

    question = [{"role": "user", "content": "hello wörld again"}]
    inputs = {"model": model, "messages": {"$json": question}, "prompt_text": question[0]["content"]}
    heads = []

    def client(kind, base, **more):
        made = kind(base_url=base, api_key=key, max_retries=0, timeout=60, **more)
        made._client.event_hooks["response"].append(lambda answer: heads.append(answer.headers.get("x-weir-id")))
        return made

    direct, through = (client(openai.OpenAI, f"{base}/v1") for base in (DIRECT, WEIR))

    def plain(client):
        return client.chat.completions.create(model=model, messages=question)

    def stream(client):
        return list(client.chat.completions.create(model=model, messages=question, stream=True))

    want, have = plain(direct), plain(through)
    assert want.choices == have.choices and want.usage == have.usage, f"directly {want}, through weir {have}"
    outputs = {"content": have.choices[0].message.content, "finish_reason": "stop", "id": have.id, "created": have.created}
    outputs |= {"model": have.model, "usage": have.usage.model_dump(exclude_unset=True)}
    expect(heads[-1], [(inputs, outputs)], table=model, protocol="openai", streamed=False)

    want, have = stream(direct), stream(through)
    texts = ["".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) for chunks in (want, have)]
    assert texts[0] == texts[1] == outputs["content"], texts
    # LitServe gives every chunk an id of its own.
    outputs |= {"id": have[-1].id, "created": have[-1].created}
    outputs["usage"] = next((chunk.usage.model_dump(exclude_unset=True) for chunk in have if chunk.usage), None)
    row = {"protocol": "openai", "streamed": True, "partial": False}
    expect(heads[-1], [({**inputs, "stream": True}, outputs)], table=model, **row)

    if made_up:
        import anthropic

        direct, through = (client(anthropic.Anthropic, base) for base in (DIRECT, WEIR))
        want, have = (each.messages.create(model=model, max_tokens=9, messages=question) for each in (direct, through))
        assert want == have, f"directly {want}, through weir {have}"
        outputs = {"content": have.content[0].text, "finish_reason": "end_turn", "model": have.model, "id": have.id}
        outputs["usage"] = have.usage.model_dump(exclude_unset=True)
        expect(heads[-1], [({**inputs, "max_tokens": 9}, outputs)], table=model, protocol="anthropic")


{"bentoml": bentoml, "litserve": litserve, "ray": ray, "litellm": litellm}[SERVER]()
EXPECTED.close()
print("ok")

"""Asks KServe's server directly and through weir, with its own client and with CloudEvents, and writes down the rows that the calls
should be (see rows.py).

usage: kserve_client.py DIRECT WEIR EXPECTED       (the first two: http://host:port)
"""

import asyncio
import json
import sys

import httpx
import numpy
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

DIRECT, WEIR, PATH = sys.argv[1:4]
EXPECTED = open(PATH, "w", encoding="utf-8")
ROWS = [[38.0, 2.5, 1.0], [51.0, 0.1, 4.0]]
INPUTS = [{f"x{i}": value for i, value in enumerate(row)} for row in ROWS]


def expect(weir_id, rows, **row):
    for i, (inputs, outputs) in enumerate(rows):
        name = f"{weir_id}_{i}" if len(rows) > 1 else weir_id
        line = {"id": name, "table": "churn", "inputs": inputs, "outputs": outputs, "row": {"parse_status": "ok", **row}}
        EXPECTED.write(json.dumps(line) + "\n")


async def both(protocol, data):
    """What the client gives, which is the same both ways, and weir's id of the call."""
    client = InferenceRESTClient(RESTConfig(protocol=protocol, timeout=60))
    answers, heads = [], {}
    for base in (DIRECT, WEIR):
        if protocol == "v1-explain":
            answers.append(await client.explain(base, "churn", data))
        else:
            answers.append(await client.infer(base, data, "churn", response_headers=heads))
    await client.close()
    same = answers[0] == answers[1] if isinstance(answers[0], dict) else answers[0].to_dict() == answers[1].to_dict()
    assert same, f"directly {answers[0]}, through weir {answers[1]}"
    return answers[1], heads["x-weir-id"]


def tensors(n, binary):
    arrays = {
        "age": numpy.array([38, 2**60][:n]),
        "half": numpy.array([0.5, 0.1][:n], dtype=numpy.float16),
        "plan": numpy.array(["basic".encode(), "größe".encode()][:n], dtype=object),
    }
    inputs = []
    for name, datatype in [("age", "INT64"), ("half", "FP16" if binary else "FP32"), ("plan", "BYTES")]:
        array = arrays[name] if binary or name != "half" else arrays[name].astype(numpy.float32)
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    more = {"parameters": {"binary_data_output": True}} if binary else {}
    return InferRequest("churn", inputs, request_id=f"call-{n}", **more), arrays


async def v1():
    answer, weir_id = await both("v1", {"instances": ROWS})
    outputs = [{"prediction": value} for value in answer["predictions"]]
    expect(weir_id, list(zip(INPUTS, outputs)), protocol="v1")


async def v2():
    for binary in (False, True):
        for n in (1, 2):
            request, arrays = tensors(n, binary)
            answer, weir_id = await both("v2", request)
            rows = []
            for i in range(n):
                half = arrays["half"][i].item()
                text = arrays["plan"][i].decode()
                age = arrays["age"][i].item()
                outputs = {"older": age + 1, "twice": {"$f32": half * 2}, "upper": text.upper()}
                rows.append(({"age": age, "half": half, "plan": text}, outputs))
            expect(weir_id, rows, protocol="v2", client_request_id=f"call-{n}")


def explain_and_events():
    """What the client has no form for, or does not say the answer's head of."""
    event = {"specversion": "1.0", "id": "event-1", "source": "/of/the/test", "type": "org.test.churn"}
    event["time"] = "2026-01-02T03:04:05Z"
    marks = {f"ce-{key}": value for key, value in event.items()}
    for path, headers, body, protocol, name in [
        ("explain", {}, {"instances": ROWS}, "v1", "explanations"),
        ("predict", marks, {"instances": ROWS}, "v1", "predictions"),
        ("predict", {"content-type": "application/cloudevents+json"}, {**event, "data": {"instances": ROWS}}, "v1", "predictions"),
    ]:
        content = json.dumps(body).encode()
        headers = {"content-type": "application/json", **headers}
        direct, answer = (
            httpx.post(f"{base}/v1/models/churn:{path}", content=content, headers=headers, timeout=60) for base in (DIRECT, WEIR)
        )
        assert direct.status_code == answer.status_code == 200, direct.text
        said = [reply.json().get("data", reply.json())[name] for reply in (direct, answer)]
        assert said[0] == said[1], said
        outputs = [item if isinstance(item, dict) else {"prediction": item} for item in said[1]]
        expect(answer.headers["x-weir-id"], list(zip(INPUTS, outputs)), protocol=protocol)


async def main():
    await v1()
    await v2()


asyncio.run(main())
explain_and_events()
EXPECTED.close()
print("ok")

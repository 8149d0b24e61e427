"""Asks Triton directly and through weir, with its own client, and writes down the rows that the calls should be (see rows.py).

usage: triton_client.py DIRECT WEIR DIRECT_SAGEMAKER EXPECTED       (each but the last: http://host:port)
"""

import http.client
import json
import sys
from urllib.parse import urlsplit

import numpy
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

EXPECTED = open(sys.argv[4], "w", encoding="utf-8")


class Client(InferenceServerClient):
    """The client, with a look at the answer's head, which it keeps to itself."""

    def _post(self, **arguments):
        answer = super()._post(**arguments)
        self.weir_id = answer.get("x-weir-id")
        return answer


def expect(weir_id, table, rows, **row):
    for i, (inputs, outputs) in enumerate(rows):
        name = f"{weir_id}_{i}" if len(rows) > 1 else weir_id
        line = {"id": name, "table": table, "inputs": inputs, "outputs": outputs, "row": row}
        EXPECTED.write(json.dumps(line) + "\n")


def value(element):
    """What a column should hold of an element of an array."""
    if isinstance(element, (bytes, str)):
        return element if isinstance(element, str) else element.decode()
    return {"$f32": element.item()} if element.dtype == numpy.float32 else element.item()


def of_every_type(n):
    """An array of each datatype, `n` rows; the extremes of integers among them."""
    arrays = {"bool": numpy.arange(n) % 2 == 0}
    for bits in (8, 16, 32, 64):
        for word in ("uint", "int"):
            limits = numpy.iinfo(f"{word}{bits}")
            numbers = [limits.max, limits.min, 7]
            arrays[f"{word}{bits}"] = numpy.array([numbers[i % 3] for i in range(n)], dtype=f"{word}{bits}")
    arrays["fp16"] = numpy.array([0.1 * i for i in range(n)], dtype=numpy.float16)
    arrays["fp32"] = numpy.array([0.1 * i for i in range(n)], dtype=numpy.float32)
    arrays["fp64"] = numpy.array([0.1 * i for i in range(n)], dtype=numpy.float64)
    texts = ["naïve – ünïcode ✓", "", 'quote " and \\ backslash']
    arrays["text"] = numpy.array([texts[i % 3].encode() for i in range(n)], dtype=object)
    return {name: array.reshape(n, 1) for name, array in arrays.items()}


def inputs_of(arrays, binary):
    inputs = []
    for name, array in arrays.items():
        tensor = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        # A half has no form in JSON: it travels in binary, beside the others.
        inputs.append(tensor.set_data_from_numpy(array, binary_data=binary or name == "fp16"))
    return inputs


def outputs_of(names, binary):
    return [InferRequestedOutput(name, binary_data=binary or name == "fp16") for name in names]


def both(direct, weir, model, arrays, wanted, binary_in, binary_out, **more):
    """The answer's arrays, which are the same both ways."""
    inputs, outputs = inputs_of(arrays, binary_in), outputs_of(wanted, binary_out)
    answers = [client.infer(model, inputs, outputs=outputs, **more) for client in (direct, weir)]
    first, second = ({name: answer.as_numpy(name) for name in wanted} for answer in answers)
    assert answers[0].get_response() == answers[1].get_response(), model
    for name in wanted:
        same = first[name].dtype == second[name].dtype and first[name].tobytes() == second[name].tobytes()
        assert same or (first[name].dtype == object and (first[name] == second[name]).all()), f"{model}.{name}"
    return second


def every_type(direct, weir):
    ways = [(True, True, None), (False, False, None), (True, False, "gzip"), (False, True, "deflate")]
    for binary_in, binary_out, compress in ways:
        for n in (1, 3):
            arrays = of_every_type(n)
            more = {"request_id": f"call {n}", "request_compression_algorithm": compress}
            more["response_compression_algorithm"] = compress
            answers = both(direct, weir, "every_type", arrays, list(arrays), binary_in, binary_out, **more)
            rows = columns(arrays, answers, n)
            expect(weir.weir_id, "every_type", rows, client_request_id=f"call {n}", parse_status="ok", protocol="v2")


def columns(arrays, answers, n):
    """Rows of tensors of one column each."""
    return [tuple({name: value(array[i, 0]) for name, array in side.items()} for side in (arrays, answers)) for i in range(n)]


def matrix(direct, weir):
    for n, binary in [(1, True), (40, True), (2, False)]:
        features = numpy.linspace(0, 1, 4 * n, dtype=numpy.float32).reshape(n, 4)
        more = {"parameters": {"threshold": 5}, "model_version": "1"}
        answers = both(direct, weir, "matrix", {"features": features}, ["scores"], binary, binary, **more)
        rows = []
        for row, scores in zip(features, answers["scores"]):
            named = {f"features_{i}": value(element) for i, element in enumerate(row)}
            rows.append(({**named, "parameters": {"threshold": 5}},
                         {f"scores_{i}": value(element) for i, element in enumerate(scores)}))
        expect(weir.weir_id, "matrix", rows, model_version="1", row_count=n, parse_status="ok")


def refused(direct, weir):
    features = numpy.array([[1, -1, 1, 1]], dtype=numpy.float32)
    said = []
    for client in (direct, weir):
        try:
            client.infer("matrix", inputs_of({"features": features}, True))
        except InferenceServerException as refusal:
            said.append((refusal.status(), refusal.message()))
    assert len(said) == 2 and said[0] == said[1] and "a negative feature" in said[0][1], said
    named = {f"features_{i}": value(element) for i, element in enumerate(features[0])}
    row = {"status_code": int(said[1][0]), "error": json.dumps({"error": said[1][1]}, separators=(",", ":"))}
    expect(weir.weir_id, "matrix", [(named, {})], **row)


def ragged(direct, weir):
    arrays = {"ids": numpy.array([1, 2**60, 3]), "image": numpy.arange(8, dtype=numpy.float32).reshape(4, 2)}
    for binary in (True, False):
        answers = both(direct, weir, "ragged", arrays, ["sum"], binary, binary)
        inputs = {"ids": arrays["ids"].tolist(), "image": arrays["image"].tolist()}
        expect(weir.weir_id, "ragged", [(inputs, {"sum": answers["sum"][0]})], row_count=1, parse_status="ok")


def raw(base, path, body, headers):
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer


def sagemaker(direct_base, weir_base):
    """The other form of the head, as behind SageMaker: the length of the JSON stands in the content type."""
    arrays = of_every_type(2)
    wanted = outputs_of(arrays, True)
    body, length = InferenceServerClient.generate_request_body(inputs_of(arrays, True), outputs=wanted)
    headers = {"content-type": f"application/vnd.sagemaker-triton.binary+json;json-header-size={length}"}
    status, direct, _ = raw(direct_base, "/invocations", body, headers)
    assert status == 200, direct
    status, answered, answer = raw(weir_base, "/invocations", body, headers)
    assert (status, answered) == (200, direct)
    size = answer.getheader("content-type").split("json-header-size=")[1]
    result = InferenceServerClient.parse_response_body(answered, header_length=int(size))
    answers = {name: result.as_numpy(name) for name in arrays}
    expect(answer.getheader("x-weir-id"), "every_type", columns(arrays, answers, 2), parse_status="ok")


def words(direct_base, weir_base):
    """`generate`, and its stream."""
    text = "hello wörld again"
    for path, stream in [("/v2/models/words/generate", False), ("/v2/models/words/generate_stream", True)]:
        body = json.dumps({"text_input": text, "stream": stream})
        status, direct, _ = raw(direct_base, path, body, {})
        assert status == 200, direct
        status, answered, answer = raw(weir_base, path, body, {})
        assert (status, answered) == (200, direct)
        output = "HELLO WÖRLD AGAIN " if stream else "HELLO WÖRLD AGAIN"
        rows = [({"text_input": text, "stream": stream}, {"text_output": output})]
        row = {"protocol": "triton_generate", "streamed": stream, "parse_status": "ok", "model_version": "1"}
        expect(answer.getheader("x-weir-id"), "words", rows, **row)


def main():
    direct_base, weir_base, sagemaker_base = sys.argv[1:4]
    direct, weir = (Client(urlsplit(base).netloc) for base in (direct_base, weir_base))
    for calls in (every_type, matrix, refused, ragged):
        calls(direct, weir)
    sagemaker(sagemaker_base, weir_base)
    words(direct_base, weir_base)
    EXPECTED.close()
    print("ok")


main()

"""Asks MLServer, directly and through weir, with requests that its own codecs make, and writes down the rows to be (expected.py).

usage: mlserver_client.py SERVER WEIR OUT
"""

import datetime
import json
import sys

import numpy as np
import pandas as pd
from mlserver.codecs import Base64Codec, DatetimeCodec, NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, RequestInput, RequestOutput

from expected import Expected, Http
from model import MODEL

http = Http(*sys.argv[1:3])
expected = Expected(sys.argv[3], protocol="v2")
CUSTOMERS = [
    {"age": 41.5, "monthly_charge": 19.99, "tenure_months": 3, "plan": "pro"},
    {"age": 20.0, "monthly_charge": 99.5, "tenure_months": 1, "plan": "basic"},
    {"age": 63.25, "monthly_charge": 0.1, "tenure_months": 71, "plan": "plus"},
]


def ask(model, request, version=None, status=200):
    # Without one, MLServer makes another for each call.
    request.id = request.id or "a"
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
    id, got, answer = http.post(path, request.model_dump_json(exclude_none=True))
    assert got == status, answer
    return id, InferenceResponse.model_validate_json(answer) if status == 200 else answer


def frames():
    """A frame is a tensor per column; the content type `pd` says so."""
    for customers in (CUSTOMERS, CUSTOMERS[:1]):
        request = PandasCodec.encode_request(pd.DataFrame(customers), use_bytes=False)
        request.id = f"batch of {len(customers)}"
        id, answer = ask("churn", request, version="v3")
        got = PandasCodec.decode_response(answer).to_dict("records")
        told = {"model_version": "v3", "client_request_id": request.id}
        if len(customers) > 1:
            expected.rows(id, "churn", customers, got, **told)
        else:
            expected.row(id, "churn", customers[0], got[0], **told)


def refused():
    """A frame without a column, a body that is no request, a model that is not there."""
    request = PandasCodec.encode_request(pd.DataFrame([{"age": 41.5}]))
    id, error = ask("churn", request, status=500)
    expected.row(id, "churn", {"age": 41.5}, {}, status_code=500, error=error.decode())
    tensor = {"name": "age", "shape": [1], "datatype": "FP64", "data": [1.5]}
    no_shape = {"inputs": [{**tensor, "shape": "1"}]}
    for model, body, status, asked, parse_status in (
        ("churn", no_shape, 422, {}, "invalid"),
        ("nobody", {"inputs": [tensor]}, 404, {"age": 1.5}, "ok"),
    ):
        id, got, error = http.post(f"/v2/models/{model}/infer", body)
        assert got == status, error
        expected.row(id, "churn", asked, {}, status_code=status, error=error.decode(), parse_status=parse_status)


def datatypes():
    """Every datatype, also beyond what a double holds; tensors of one, two and three dimensions."""
    tensors = {
        "INT8": np.array([-128, 127], "int8"),
        "UINT8": np.array([0, 255], "uint8"),
        "INT16": np.array([-32768, 32767], "int16"),
        "UINT16": np.array([0, 65535], "uint16"),
        "INT32": np.array([-(2**31), 2**31 - 1], "int32"),
        "UINT32": np.array([0, 2**32 - 1], "uint32"),
        "INT64": np.array([-(2**63), 2**53 + 1], "int64"),
        "UINT64": np.array([0, 2**63 - 1], "uint64"),
        "FP16": np.array([0.5, -65504], "float16"),
        "FP32": np.array([0.1, -3.4e38], "float32"),
        "FP64": np.array([0.1, 5e-324], "float64"),
        "BOOL": np.array([True, False]),
        "column": np.array([[1.5], [2.5]]),
        "matrix": np.array([[1, 2, 3], [4, 5, 6]], "int64"),
        "cube": np.arange(8, dtype="float32").reshape(2, 2, 2),
    }
    inputs = [NumpyCodec.encode_input(name, values) for name, values in tensors.items()]
    inputs.append(StringCodec.encode_input("texts", ["naïve – ✓", ""], use_bytes=False))
    inputs.append(Base64Codec.encode_input("bytes", [b"\xff\x00", b"ok"], use_bytes=False))
    moments = [datetime.datetime(2026, 11, 25, 14, 3, 1), datetime.datetime(1969, 12, 31, 23, 59, 59)]
    inputs.append(DatetimeCodec.encode_input("moments", moments, use_bytes=False))
    parameters = Parameters(content_type="np", threshold=0.25)
    id, answer = ask("echo", InferenceRequest(id="7", parameters=parameters, inputs=inputs))
    sent, got = rows(inputs), rows(answer.outputs)
    for row in sent:
        row["parameters"] = {"threshold": 0.25}
    expected.rows(id, "echo", sent, got, client_request_id="7", model_version=None)
    for row in got:
        assert all(name in row for name in (*tensors, "texts", "bytes", "moments")), row


def rows(tensors):
    """What each tensor holds for a row, by its shape; singles as such."""
    out = [{}, {}]
    for tensor in tensors:
        data = np.array(tensor.data.root, dtype=object).reshape(tensor.shape)
        for row, value in zip(out, data):
            value = value.tolist() if isinstance(value, np.ndarray) else value
            if tensor.shape[1:] == [1]:
                [value] = value
            row[tensor.name] = {"$f32": value} if tensor.datatype in ("FP16", "FP32") else value
    return out


def scikit_learn():
    """The runtime of scikit-learn: one tensor of features, positional columns; a label, or a score per class."""
    x = np.array([[41.5, 20, 3, 2], [20, 99.5, 1, 0]])
    request = NumpyRequestCodec.encode_request(x)
    request.inputs[0].name = "x"
    sent = [{f"x_{n}": value for n, value in enumerate(row)} for row in x.tolist()]
    request.outputs = [RequestOutput(name="predict_proba")]
    id, answer = ask("linear", request)
    got = NumpyCodec.decode_output(answer.outputs[0]).tolist()
    assert np.allclose(got, MODEL.predict_proba(x))
    names = ("predict_proba_0", "predict_proba_1")
    expected.rows(id, "linear", sent, [dict(zip(names, row)) for row in got], model_version="v1")
    request.outputs = [RequestOutput(name="predict"), RequestOutput(name="predict_proba")]
    id, answer = ask("linear", request)
    labels, scores = (NumpyCodec.decode_output(output).tolist() for output in answer.outputs)
    got = [{"predict": label[0], "predict_proba": score} for label, score in zip(labels, scores)]
    expected.rows(id, "linear", sent, got, model_version="v1")
    # Flat data of a shape.
    flat = RequestInput(name="x", shape=[2, 4], datatype="FP64", data=x.ravel().tolist())
    id, answer = ask("linear", InferenceRequest(inputs=[flat]))
    labels = [{"predict": label} for label in np.ravel(answer.outputs[0].data.root).tolist()]
    expected.rows(id, "linear", sent, labels, model_version="v1")


frames()
refused()
datatypes()
scikit_learn()
expected.close()

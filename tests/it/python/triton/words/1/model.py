import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            [text] = triton.get_input_tensor_by_name(request, "text_input").as_numpy()
            stream = triton.get_input_tensor_by_name(request, "stream")
            pieces = [text.decode().upper()]
            if stream is not None and stream.as_numpy()[0]:
                pieces = [f"{word} " for word in pieces[0].split(" ")]
            for piece in pieces:
                output = triton.Tensor("text_output", numpy.array([piece.encode()], dtype=object))
                sender.send(triton.InferenceResponse([output]))
            sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

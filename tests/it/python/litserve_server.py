"""LitServe with a model of objects, and one that speaks as OpenAI's chat does.

usage: litserve_server.py PORT
"""

import sys

import litserve


class Churn(litserve.LitAPI):
    def setup(self, device):
        self.weight = 0.01

    def decode_request(self, request):
        return request["age"], request["plan"]

    def predict(self, inputs):
        age, plan = inputs
        return {"confidence": round(age * self.weight, 6), "plan": plan.upper()}

    def encode_response(self, output):
        return output


class Parrot(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, request):
        for word in request.messages[-1].content.split(" "):
            yield f"{word} "


if __name__ == "__main__":
    apis = [Churn(api_path="/predict"), Parrot(spec=litserve.OpenAISpec())]
    litserve.LitServer(apis, accelerator="cpu").run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)

"""Ray Serve with a model behind a plain route and one that is multiplexed.

usage: ray_server.py PORT FOLDER       (the folder for what Ray writes)
"""

import sys
import time

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Churn:
    async def __call__(self, request: Request):
        body = await request.json()
        if isinstance(body, list):
            return [{"confidence": round(row["age"] / 100, 6)} for row in body]
        return {"confidence": round(body["age"] / 100, 6)}


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Many:
    @serve.multiplexed(max_num_models_per_replica=2)
    async def model(self, name: str):
        return len(name)

    async def __call__(self, request: Request):
        weight = await self.model(serve.get_multiplexed_model_id())
        return {"score": weight * (await request.json())["x"]}


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Ready:
    """The last to be deployed."""

    async def __call__(self, request: Request):
        return "ready"


ray.init(num_cpus=2, include_dashboard=False, _temp_dir=sys.argv[2], object_store_memory=100_000_000, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
serve.run(Churn.bind(), name="churn", route_prefix="/predict")
serve.run(Many.bind(), name="many", route_prefix="/many")
serve.run(Ready.bind(), name="ready", route_prefix="/ready")
while True:
    time.sleep(3600)

"""Becomes the tritonserver that nvidia-pytriton carries, on the models of `triton/`.

usage: triton_server.py HTTP_PORT SAGEMAKER_PORT FOLDER
On the second port it answers as in SageMaker: `/invocations`, for the model `every_type`. The models are copied to FOLDER: Triton's
Python writes its compiled code beside them, whatever the environment says.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytriton


def main():
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        sys.exit("Triton's Python backend needs a Python with its shared library (built with --enable-shared)")
    library = Path(sysconfig.get_config_var("LIBDIR"))
    package = Path(pytriton.__file__).parent
    server = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        sys.exit(f"{package.name} has no Python backend for Python {version}: install 3.8 to 3.13")
    # The backend looks for its stub beside itself.
    place = server / "backends/python" / stub.name
    if not place.exists():
        aside = place.with_name(f"{place.name}.{os.getpid()}")
        shutil.copy(stub, aside)
        aside.rename(place)
    models = Path(sys.argv[3]) / "models"
    shutil.copytree(Path(__file__).parent / "triton", models)
    environment = dict(os.environ)
    environment["LD_LIBRARY_PATH"] = f"{library}:{package.parent / 'nvidia_pytriton.libs'}"
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment["SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"] = "every_type"
    arguments = {
        "model-repository": models,
        "backend-directory": server / "backends",
        "http-address": "127.0.0.1",
        "http-port": sys.argv[1],
        "allow-sagemaker": "true",
        "sagemaker-port": sys.argv[2],
        "allow-grpc": "false",
        "allow-metrics": "false",
        "log-info": "false",
        "log-warning": "false",
    }
    program = server / "bin/tritonserver"
    os.execve(program, [str(program), *(f"--{name}={value}" for name, value in arguments.items())], environment)


main()

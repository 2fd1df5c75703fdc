"""A client that openapi-python-client made of the document, in `.venv-contract`: all is imported, and it is used."""

import sys
from importlib import import_module
from pkgutil import walk_packages

import client
from client import Client
from client.api.jobs import cancel_job, submit_job
from client.api.models import create_model
from client.api.sessions import create_session
from client.api.state import read_state, write_state
from client.api.steps import sequence, step
from client.models import JobRequest, ModelRequest, Problem, SequenceRequest, SessionRequest, StateRequest, StepRequest

SESSION = "site/1/{temp} é"


def main(url: str) -> None:
    """Import every module, and make a model, a session, steps and a job."""
    for module in walk_packages(client.__path__, "client."):
        import_module(module.name)
    with Client(base_url=url, raise_on_unexpected_status=True) as service:
        layers = [{"type": "recurrent", "cell": "gru", "hidden_size": 3}, {"type": "dense", "out_size": 1}]
        asked = {"name": "python", "network": {"in_size": 2, "layers": layers}}
        model = create_model.sync(client=service, body=ModelRequest.from_dict(asked))
        assert model.model == "python@1", model
        create_session.sync(client=service, body=SessionRequest(model=model.model, session=SESSION))
        one = step.sync(SESSION, client=service, body=StepRequest(input_=[0.5, -1.0]))
        assert one.step == 1 and len(one.output) == 1, one
        two = sequence.sync(SESSION, client=service, body=SequenceRequest(inputs=[[1.0, 0.0], [0.0, 1.0]]))
        assert two.step == 3 and len(two.outputs) == 2, two
        state = read_state.sync(SESSION, client=service)
        written = write_state.sync(
            SESSION, client=service, body=StateRequest.from_dict({"layers": state.to_dict()["layers"]})
        )
        assert written.step == 0, written
        data = {"inputs": [[0, 1], [1, 0]], "targets": [[1], [0]], "layout": "TF"}
        job = submit_job.sync(
            client=service, body=JobRequest.from_dict({"model": "python", "data": data, "loss": "mae"})
        )
        cancel_job.sync(job.job, client=service)
        refused = step.sync(SESSION, client=service, body=StepRequest(input_=[1.0]))
        assert isinstance(refused, Problem) and refused.pointer == "/input", refused
    print("the client in Python works")


if __name__ == "__main__":
    main(sys.argv[1])

"""The API as its own description promises it: made-up requests to every route."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from services import write_runs

from phasemap.serving.server import create_app
from phasemap.serving.service import Settings

LEFT_OUT = "/events|/plan"  # endless, and a process of its own for each
ROOT = Path(tempfile.gettempdir()) / f"phasemap-schema-{os.getpid()}"  # the description is needed before any fixture
APP = create_app(Settings(root=ROOT, host="testserver"))


@pytest.fixture(scope="module", autouse=True)
def storage():
    """The service's storage; its queue is not watched, so that nothing is started."""
    write_runs(ROOT)
    APP.state.service.supervisor.take()
    APP.state.service.supervisor.ticked = time.monotonic()  # the description may be minutes old
    APP.state.service.pace.allows = lambda kind, who: True
    yield
    APP.state.service.supervisor.close()
    shutil.rmtree(ROOT)


schema = schemathesis.openapi.from_asgi("/openapi.json", APP).exclude(path_regex=LEFT_OUT)


@schema.parametrize()
@settings(
    max_examples=6,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_no_made_up_request_makes_a_server_error(case):
    case.call_and_validate(checks=[not_a_server_error, content_type_conformance, response_schema_conformance])

"""The OpenAPI document is honest: schemathesis, which anybody may point at it, finds nothing that it does not say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import Served

Serve = Callable[..., Served]

COMMAND = Path(sys.executable).with_name("schemathesis")
CASES = 30
"""Of each operation in each phase."""
# JSON Schema cannot say that an alert ends after it starts, nor what the sources of plugins read.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404]

[[operations]]
include-path = "/api/v1/alerts/{source}"
parameters = {path_source}
"""


def check(served: Served, folder: Path, *options: str, source: str | None = None) -> str:
    """Let schemathesis make all its checks; return what it says."""
    parameters = f'{{ "path.source" = {json.dumps(source)} }}' if source else "{}"
    config = folder / "schemathesis.toml"
    config.write_text(SETTINGS.replace("{path_source}", parameters), encoding="utf-8")
    command = [
        *(str(COMMAND), f"--config-file={config}", "run", served.url("/openapi.json"), "--checks=all", "--no-color"),
        *("--seed=1", f"--max-examples={CASES}", "--generation-database=none", *options),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def generated(output: str) -> int:
    found = re.search(r"(\d+) generated, (\d+) passed", output)
    assert found, output
    return int(found[2])


def test_with_credentials_nothing_is_answered_that_the_document_does_not_say(serve: Serve, tmp_path: Path) -> None:
    served = serve({"serve": {"bearer": "T", "basic": {"username": "u", "password": "p"}}})
    output = check(served, tmp_path, "--header=Authorization: Bearer T")
    assert "5 selected / 5 total" in output
    assert generated(output) > 100


@pytest.mark.parametrize("source", ["json", "alertmanager"])
def test_without_credentials_and_with_a_source_that_is_there_neither(serve: Serve, tmp_path: Path, source: str) -> None:
    output = check(serve(), tmp_path, "--include-path-regex=/api/v1/", source=source)
    assert generated(output) > 20
    assert "404" not in output


def test_every_answer_of_an_error_has_the_same_shape(serve: Serve) -> None:
    document = serve().get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/api/v1/alerts/{source}", "/api/v2/alerts", "/healthz", "/readyz", "/metrics"
    }  # fmt: skip
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status != "200":
                    reference = {"$ref": "#/components/schemas/Trouble"}
                    assert answer["content"] == {"application/json": {"schema": reference}}
    assert document["components"]["schemas"]["Trouble"]["required"] == ["error"]

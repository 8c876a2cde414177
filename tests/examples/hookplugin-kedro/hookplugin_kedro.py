"""Kedro tells hookplugin of pipelines that fail, and of the first run that succeeds again."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pluggy

from hookplugin import Alert
from hookplugin.hosts.jobs import JobAdapter

hook_impl = pluggy.HookimplMarker("kedro")
adapter = JobAdapter("Kedro")


class Hooks:
    node: str | None = None

    @hook_impl
    def on_node_error(self, node: Any) -> None:
        self.node = node.name  # of which on_pipeline_error, which comes next, says nothing

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        if config := os.environ.get("HOOKPLUGIN_CONFIG"):
            adapter.fire(config, self.alert(run_params, error))

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        if config := os.environ.get("HOOKPLUGIN_CONFIG"):
            adapter.recover(config, self.alert(run_params))

    def alert(self, run: dict[str, Any], error: Exception | None = None) -> Iterator[Alert]:
        """Yield the alert, so that it is made where nothing is raised: that would replace the error of the run."""
        pipeline = ",".join(run["pipeline_names"] or ["__default__"])
        yield Alert(
            source="kedro",
            target=pipeline,
            content=f"pipeline {pipeline} failed: {error}" if error else f"pipeline {pipeline} succeeded",
            status="firing" if error else "recovered",
            priority="critical",
            tags={"project": Path(run["project_path"]).name, "env": run["env"] or "local"},
            annotations={"node": self.node, "run_id": run["run_id"]},
        )


hooks = Hooks()

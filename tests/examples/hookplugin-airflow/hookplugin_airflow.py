"""Airflow tells hookplugin of tasks and DAG runs that fail, and of the first that succeed again."""

import os
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import pluggy
from airflow.plugins_manager import AirflowPlugin  # type: ignore[import-not-found]

from hookplugin import Alert, Status
from hookplugin.hosts.jobs import JobAdapter

hookimpl = pluggy.HookimplMarker("airflow")
adapter = JobAdapter("Airflow")


@hookimpl
def on_task_instance_failed(task_instance: Any, error: Any) -> None:
    retries = task_instance.state == "up_for_retry"
    tell(task_instance, Status.pending if retries else Status.firing, error)


@hookimpl
def on_task_instance_success(task_instance: Any) -> None:
    tell(task_instance, Status.recovered)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    tell(dag_run, Status.firing, msg)


@hookimpl
def on_dag_run_success(dag_run: Any) -> None:
    tell(dag_run, Status.recovered)


def tell(run: Any, status: Status, reason: Any = None) -> None:
    if config := os.environ.get("HOOKPLUGIN_CONFIG"):
        act = adapter.recover if status is Status.recovered else adapter.fire
        act(config, alert(run, status, reason))


def alert(run: Any, status: Status, reason: Any) -> Iterator[Alert]:
    tags = {"dag": run.dag_id} | ({"task": run.task_id} if hasattr(run, "task_id") else {})
    name = ".".join(tags.values())
    yield Alert(
        source="airflow",
        target=name,
        content=f"{name} {'succeeded' if status is Status.recovered else 'failed'}" + (f": {reason}" if reason else ""),
        status=status,
        priority="critical" if status is Status.firing else "warning",
        tags=tags,
        annotations={"run_id": run.run_id},
        link=getattr(run, "log_url", None),
    )


class HookPlugin(AirflowPlugin):  # type: ignore[misc]
    name = "hookplugin"
    listeners: ClassVar = [sys.modules[__name__]]

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hookplugin import Alert, Host

config = {
    "receivers": [{"name": "ops", "url": sys.argv[1]}],
    "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
}


def check(path: str) -> None:
    if not Path(path).exists():  # a mount that hangs holds up its own thread only
        host.fire(Alert(content=f"{path} is missing", target=path, priority="critical"))


with Host(config) as host, ThreadPoolExecutor() as threads:
    list(threads.map(check, sys.argv[2:]))

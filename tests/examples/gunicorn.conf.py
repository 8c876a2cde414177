from typing import Any

wsgi_app = "host_flask:create_app()"
preload_app = True  # the host is made once, before the workers are forked
workers = 2


def post_worker_init(worker: Any) -> None:
    worker.wsgi.extensions["hookplugin"].resume()  # deliver what an earlier process has left

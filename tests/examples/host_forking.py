import multiprocessing
import os
import sys

from hookplugin import Alert, Host

config = {
    "outbox": "sqlite:///outbox.db",  # all processes share it
    "receivers": [{"name": "ops", "url": sys.argv[1]}],
    "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
}


def work(number: int) -> None:
    with host:  # closes it: multiprocessing ends its processes without any exit handler
        receipt = host.fire(Alert(content=f"worker {number} has begun", target=f"{number}", tags={"pid": os.getpid()}))
        host.wait(receipt)  # until it is delivered, by whichever process


host = Host(config)  # it starts no thread before the fork
fork = multiprocessing.get_context("fork")
workers = [fork.Process(target=work, args=(number,)) for number in range(4)]
for worker in workers:
    worker.start()
with host:  # delivers, too: also what a worker leaves that is killed
    for worker in workers:
        worker.join()
        print(worker.pid, worker.exitcode)

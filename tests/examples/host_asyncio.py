import asyncio
import sys

from hookplugin import Alert, Host

config = {
    "receivers": [{"name": "ops", "url": sys.argv[1]}],
    "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
}


async def check(address: str) -> None:
    name, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(name, int(port))
        writer.close()
    except OSError as error:
        alert = Alert(content=f"{address}: {error}", target=address, priority="critical")
        await asyncio.to_thread(host.fire, alert)  # the loop goes on while it is stored


async def main() -> None:
    await asyncio.gather(*map(check, sys.argv[2:]))


with Host(config) as host:  # outside: to close it takes as long as what is left to deliver
    asyncio.run(main())

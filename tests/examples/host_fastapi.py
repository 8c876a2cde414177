import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from hookplugin import Alert, Config, Host


class Settings(BaseModel, hide_input_in_errors=True):  # else an error quotes URLs and passwords
    currency: str
    alerts: Config


settings = Settings.model_validate(tomllib.loads(Path("shop.toml").read_text("utf-8")))
prices = {1: 5}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Host]]:
    with Host(settings.alerts) as host:
        yield {"host": host}


app = FastAPI(lifespan=lifespan)


@app.get("/prices/{number}")
async def price(number: int) -> str:
    return f"{prices[number]} {settings.currency}"


@app.post("/complaints", status_code=202)
def complain(text: str, request: Request) -> bool:  # not async: FastAPI calls it in a thread, the loop goes on
    receipt = request.state.host.fire(Alert(content=text, priority="critical"))
    return bool(receipt.durable)


@app.exception_handler(Exception)
def tell(request: Request, error: Exception) -> JSONResponse:  # not async, as above
    content = f"{type(error).__name__}: {error}"
    request.state.host.fire(Alert(content=content, target=request.url.path, priority="critical", tags={"app": "shop"}))
    return JSONResponse({"detail": "somebody has been told"}, status_code=500)

"""A server that scores beats and recordings in JSON: ``beatwise serve``.

The schema of a request is a Pydantic model made for the scorer: its shape, its features and the range of its values. It
checks a request while it reads it, and is what ``/openapi.json`` and ``/docs`` show.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, Self

import numpy as np
import pandas as pd
import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from starlette.exceptions import HTTPException

from beatwise import __version__
from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples, concatenate, noun
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.reading import LARGEST_MV, SMALLEST_MV, STRETCH_S, span_of
from beatwise.ecg.records import Record
from beatwise.ecg.settings import Read
from beatwise.scoring import NOTICE
from beatwise.scoring.rhythm import find_events, summarise
from beatwise.scoring.score import score_record
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Score
from beatwise.tasks.classification.predictions import PREFIX

# Bytes of a request, and examples in one.
LARGEST_BODY: Final = 32 * 2**20
MOST_EXAMPLES: Final = 10_000
# Examples that wait are predicted together up to this number: for so few, a call costs about as much as for one.
TOGETHER: Final = 128
# Larger bodies are read in a thread, so that others do not wait.
SMALL_BODY: Final = 2**16
# Larger numbers would leave single precision on their way through a network.
LARGEST_NUMBER: Final = 1e9
# Characters of a wrong value in a message.
SHOWN: Final = 40

STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
# The first wrong item of a list is enough.
FAIL_FAST: Final = Field(fail_fast=True)


class RefusedError(BeatwiseError):
    """A request that is refused, with the HTTP status that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Recording(BaseModel):
    """A recording to score."""

    model_config = STRICT

    name: str = Field("record", min_length=1, max_length=200, description="Its name, which the answer repeats.")
    sample_rate: float = Field(gt=0, le=100_000, description="Samples per second (Hz).")
    leads: dict[str, Annotated[list[Annotated[float, Field(ge=-1000, le=1000)] | None], FAIL_FAST]] = Field(
        min_length=1, description="Samples of each lead by its name (mV); null where a sample is missing."
    )
    r_peaks: Annotated[list[Annotated[int, Field(ge=0)]], FAIL_FAST] | None = Field(
        None, min_length=1, description="Sample numbers of the R peaks, ascending; null detects them."
    )
    lead: str | None = Field(
        None, description="The lead to score; null takes one that the model was trained on, if there is one."
    )


class Server:
    """The routes of the server, and what they share.

    Attributes:
        scorer: The scorer.
        noun: What an example is called: ``beats``, ``windows`` or ``pictures``.
        request: Schema of examples to score.
    """

    def __init__(self, scorer: Scorer) -> None:
        fitted = scorer.model.representation.fitted
        self.scorer, self.noun = scorer, f"{noun(fitted.shape)}s"
        self.request = _request(self.noun, fitted.shape, fitted.features)
        self._waiting: list[tuple[Examples, asyncio.Future[pd.DataFrame]]] = []
        self._running: asyncio.Task[None] | None = None
        # What takes long runs one at a time, so that memory is bounded and beats of other requests are not held up.
        self._one_at_a_time = CapacityLimiter(1)

    def app(self) -> FastAPI:
        """The application."""
        app = FastAPI(
            title="Beatwise",
            version=__version__,
            description=f"{self.scorer.model.name} of {self.scorer.source}, version {self.scorer.version}. {NOTICE}",
        )
        beats, records = f"/{self.noun}", "/records"

        @app.get("/health")
        async def health() -> dict[str, Any]:
            """Whether the server answers, and with which model."""
            fitted = self.scorer.model.representation.fitted
            return self._answer(
                status="ok",
                source=self.scorer.source,
                model=self.scorer.model.name,
                classes=self.scorer.classes,
                shape=fitted.shape,
                features=fitted.features,
                scores=[beats, records] if self.scorer.cut else [beats],
            )

        @app.post(beats, **_documented(self.request, {self.noun: [_example_of_answer(self.scorer)]}))
        async def score_examples(request: Request) -> JSONResponse:
            """Score examples, in their order."""
            given = await self._read(request, self.request)
            table = await self._predict(_examples(given, self.noun))
            return JSONResponse(self._answer(**{self.noun: _rows(table, self.scorer.classes)}))

        @app.post(records, **_documented(Recording, {"record": {}, "beats": [], "events": [], "unusable": [[0, 0]]}))
        async def score_recording(request: Request) -> JSONResponse:
            """Find the beats of a recording and score them; its rhythm, its events, and what is unusable."""
            given = await self._read(request, Recording)
            answer = await to_thread.run_sync(self._score_recording, given, limiter=self._one_at_a_time)
            return JSONResponse(self._answer(**answer))

        @app.exception_handler(Exception)
        @app.exception_handler(BeatwiseError)
        @app.exception_handler(HTTPException)
        async def refuse(request: Request, error: Exception) -> JSONResponse:
            status, message = 500, "The server failed at this request; its log says where. Please report it."
            if isinstance(error, BeatwiseError):
                status, message = getattr(error, "status", 422), str(error)
            elif isinstance(error, HTTPException):
                paths = f"GET /health, POST {beats}, POST {records}; GET /docs describes them"
                status, message = (
                    error.status_code,
                    f"{error.detail}: {request.method} {request.url.path}. Use {paths}.",
                )
            return JSONResponse(self._answer(error=message), status)

        return app

    def _answer(self, **content: Any) -> dict[str, Any]:
        return {"version": self.scorer.version, "notice": NOTICE, **content}

    async def _read(self, request: Request, schema: type[BaseModel]) -> Any:
        """The body as a request of a schema.

        Raises:
            RefusedError: If it is too large, no JSON, or not of that schema.
        """
        body, size = bytearray(), 0
        async for chunk in request.stream():
            size += len(chunk)
            # A client reads the answer after it has sent its body: some more is read and thrown away.
            if size > 8 * LARGEST_BODY:
                break
            if size <= LARGEST_BODY:
                body += chunk
        if size > LARGEST_BODY:
            raise RefusedError(413, f"The body is larger than {LARGEST_BODY:,} bytes. Send it in parts.")
        parse = partial(_parse, schema, body)
        return parse() if size <= SMALL_BODY else await to_thread.run_sync(parse, limiter=self._one_at_a_time)

    async def _predict(self, examples: Examples) -> pd.DataFrame:
        """The predictions of the scorer, of many alone, of few together with those of other requests."""
        if len(examples) > TOGETHER:
            return await to_thread.run_sync(self.scorer.predict, examples, limiter=self._one_at_a_time)
        future: asyncio.Future[pd.DataFrame] = asyncio.get_running_loop().create_future()
        self._waiting.append((examples, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._predict_waiting())
        return await future

    async def _predict_waiting(self) -> None:
        while self._waiting:
            rows = np.cumsum([len(examples) for examples, _ in self._waiting])
            n = max(int(np.searchsorted(rows, TOGETHER, "right")), 1)
            batch, self._waiting = self._waiting[:n], self._waiting[n:]
            try:
                table = await to_thread.run_sync(self.scorer.predict, concatenate([given for given, _ in batch]))
            except Exception as error:
                for _, future in batch:
                    future.set_exception(error)
                continue
            for (given, future), end in zip(batch, rows, strict=False):
                future.set_result(table.iloc[end - len(given) : end])

    def _score_recording(self, given: Recording) -> dict[str, Any]:
        scored = score_record(_record(given), self.scorer, Score(lead=given.lead, read=Read()))
        if scored.without_interval:
            raise RefusedError(
                422, "No interval between two R peaks of the recording is known; a beat needs one. Send a longer one."
            )
        events = find_events(scored)
        table = scored.beats.drop(columns="record")
        plain = table[[name for name in map(str, table) if not name.startswith(PREFIX)]]
        probabilities = [row["probabilities"] for row in _rows(table, self.scorer.classes)]
        return {
            "record": summarise(scored, events=events),
            "beats": [{**row, "probabilities": p} for row, p in zip(_plain(plain), probabilities, strict=True)],
            "events": _plain(events),
            "unusable": scored.unusable.tolist(),
        }


class Listening:
    """A socket that listens for requests, in a ``with`` statement.

    Attributes:
        socket: The socket.
        address: Where it is reached.
    """

    def __init__(self, host: str, port: int) -> None:
        """Begin to listen; port 0 takes a free one.

        Raises:
            BeatwiseError: If the address cannot be used.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self.socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise BeatwiseError(
                f"Cannot listen at {host}, port {port} ({error.strerror}). Choose another by --port or --host."
            ) from error
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def server(self, app: FastAPI) -> uvicorn.Server:
        """The server of an application; its method ``run`` takes the socket."""
        return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))


def serve(scorer: Scorer, host: str, port: int, say: Callable[[str], Any]) -> None:
    """Serve a scorer until the process is interrupted.

    Args:
        scorer: The scorer.
        host: Address to listen at; other machines can reach the server where it is not 127.0.0.1.
        port: Port; 0 takes a free one.
        say: What prints the address.

    Raises:
        BeatwiseError: If the address cannot be used.
    """
    import torch

    # One example is no work for several threads.
    torch.set_num_threads(1)
    with Listening(host, port) as listening:
        model, address = scorer.model.name, listening.address
        say(f"{model} of {scorer.source}, version {scorer.version}, at {address} (requests: {address}/docs).")
        # Ctrl+C is how it ends, and no fault.
        with suppress(KeyboardInterrupt):
            listening.server(Server(scorer).app()).run(sockets=[listening.socket])


def _request(noun: str, shape: Sequence[int], features: Sequence[str]) -> type[BaseModel]:
    """The schema of examples of a shape with these features; a beat has values in [0, 1]."""
    number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
    items: Any = Annotated[float, Field(ge=0, le=1)] if len(shape) == 1 else number
    for length in reversed(shape):
        items = Annotated[list[items], Field(min_length=length, max_length=length), FAIL_FAST]
    many = (Field(min_length=1, max_length=MOST_EXAMPLES), FAIL_FAST)
    fields: dict[str, Any] = {noun: (Annotated[list[items], *many], ...)}
    if features:
        numbers: dict[str, Any] = {}
        for name in features:
            kind: Any = Annotated[float, Field(gt=0, le=LARGEST_NUMBER)] if name in RR_COLUMNS else number
            numbers[name] = (Annotated[list[kind], *many], ...)
        fields["features"] = (create_model("Features", __config__=STRICT, **numbers), ...)
    return create_model(noun.capitalize(), __config__=STRICT, __doc__=f"{noun.capitalize()} to score.", **fields)


def _parse(schema: type[BaseModel], body: bytearray) -> BaseModel:
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        if first["type"] == "json_invalid":
            raise RefusedError(400, f"The body is no JSON: {first['ctx']['error']}.") from None
        *above, last = first["loc"] or ("the body",)
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*above, last)).lstrip(".")
        if first["type"] == "missing":
            raise RefusedError(422, f"{place} is missing. GET /docs describes the body.") from None
        if first["type"] == "extra_forbidden":
            raise RefusedError(422, f"{place} is unknown. GET /docs describes the body.") from None
        got, allowed = first["input"], first.get("ctx", {})
        if first["type"] in ("too_short", "too_long"):
            limits = [
                f"at {end} {allowed[key]:,}"
                for end, key in (("least", "min_length"), ("most", "max_length"))
                if key in allowed
            ]
            raise RefusedError(422, f"{place} has {len(got):,} items; allowed: {limits[0]}.") from None
        message = first["msg"].replace("Input should", "it should")
        shown = f"a list of {len(got):,}" if isinstance(got, list) else repr(got)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
        outside = allowed.get("le") == 1 or (allowed.get("ge") == 0 and schema is not Recording)
        remedy = " Scale every beat to [0, 1]." if outside else ""
        raise RefusedError(422, f"{place}: {message}; got {shown}.{remedy}") from None


def _examples(given: Any, noun: str) -> Examples:
    """Examples of a request.

    Raises:
        RefusedError: If a feature has not one number an example.
    """
    x = np.array(getattr(given, noun), dtype=np.float32)
    features = dict(getattr(given, "features", ()))
    for name, values in features.items():
        if len(values) != len(x):
            raise RefusedError(422, f"features.{name} has {len(values)} numbers for {len(x)} {noun}.")
    return Examples(x, pd.DataFrame(features, index=range(len(x)), dtype=np.float32))


def _record(given: Recording) -> Record:
    """The record of a request.

    Raises:
        RefusedError: If its leads differ in length or are no ECG in mV by their size, or its R peaks are in disorder.
    """
    lengths = {name: len(samples) for name, samples in given.leads.items()}
    if len(set(lengths.values())) > 1:
        raise RefusedError(422, f"The leads differ in length: {lengths}.")
    n_samples, peaks = next(iter(lengths.values())), given.r_peaks or []
    millivolts = np.array(list(given.leads.values()), dtype=np.float64).T
    missing = np.isnan(millivolts)
    if missing.all():
        raise RefusedError(422, "The leads have no samples.")
    if (np.diff(peaks) <= 0).any():
        raise RefusedError(422, "r_peaks are not in ascending order, each once.")
    if peaks and peaks[-1] >= n_samples:
        raise RefusedError(
            422, f"r_peaks has the sample {peaks[-1]}, and the recording ends at sample {n_samples - 1}."
        )
    size = span_of(millivolts, given.sample_rate)
    if not SMALLEST_MV <= size <= LARGEST_MV:
        raise RefusedError(
            422,
            f"Within {STRETCH_S:g} s the leads span {size:.3g} mV, and an ECG spans {SMALLEST_MV:g} to {LARGEST_MV:g}. "
            "Give samples in millivolts.",
        )
    return Record(
        name=given.name,
        adc=np.ma.masked_array(millivolts, missing) if missing.any() else millivolts,
        sample_rate=given.sample_rate,
        leads=tuple(given.leads),
        adc_gain=(1.0,) * len(lengths),
        adc_baseline=(0,) * len(lengths),
        annotation_samples=np.array(peaks, dtype=np.int64),
        annotation_symbols=np.full(len(peaks), "N", dtype=np.str_),
    )


def _rows(table: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Predictions of a scorer as plain data, one row an example.

    Raises:
        RefusedError: If one is no finite number.
    """
    numbers = table[[f"{PREFIX}{name}" for name in classes] or ["prediction"]].to_numpy()
    if not np.isfinite(numbers).all():
        raise RefusedError(422, "The model gives no finite numbers for these values.")
    if not classes:
        return [{"prediction": float(value)} for value in table["prediction"]]
    columns = [table[name].tolist() for name in ("class", "recall_first", "unsure")]
    return [
        {"class": best, "recall_first": first, "unsure": unsure, "probabilities": dict(zip(classes, row, strict=True))}
        for best, first, unsure, row in zip(*columns, numbers.tolist(), strict=True)
    ]


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data, None for what is not a number."""
    rows: Any = table.astype(object).where(table.notna(), None).to_dict("records")
    return rows


def _example_of_answer(scorer: Scorer) -> dict[str, Any]:
    zeros = Examples(
        np.zeros((1, *scorer.model.representation.fitted.shape), np.float32),
        pd.DataFrame({name: [1.0] for name in scorer.model.representation.fitted.features}, index=[0]),
    )
    return _rows(scorer.predict(zeros), scorer.classes)[0]


def _documented(request: type[BaseModel], answer: dict[str, Any]) -> dict[str, Any]:
    """What the page of the requests shows of a route whose body the route itself reads."""
    said = {"version": "0123456789ab", "notice": NOTICE}
    error = {"application/json": {"example": {**said, "error": "beats[0][3]: it should be a finite number; got nan."}}}
    return {
        "openapi_extra": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": _schema(request)}}}
        },
        "responses": {
            200: {"content": {"application/json": {"example": {**said, **answer}}}},
            **{400: {"description": "No JSON", "content": error}, 413: {"description": "Too large", "content": error}},
            422: {"description": "Not what the model takes, in words", "content": error},
        },
    }


def _schema(request: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a request, with what it refers to in place."""
    schema = request.model_json_schema()
    for name, definition in schema.pop("$defs", {}).items():
        schema["properties"] = {
            key: definition if value.get("$ref") == f"#/$defs/{name}" else value
            for key, value in schema["properties"].items()
        }
    return schema

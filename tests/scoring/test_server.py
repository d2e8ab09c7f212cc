"""The server answers with what the scorer says, and refuses what the model does not take, in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples
from beatwise.data.features import RR_COLUMNS
from beatwise.ecg.segmentation import RULES
from beatwise.scoring import NOTICE
from beatwise.scoring.scorer import Cut, Scorer
from beatwise.scoring.server import Listening, Server
from tests.conftest import CLASSES
from tests.explanation.cases import LENGTH, explained, waves

BEAT = [0.25] * LENGTH


def intervals(n: int) -> pd.DataFrame:
    return pd.DataFrame({name: np.linspace(0.5, 1.5, n).astype(np.float32) + i for i, name in enumerate(RR_COLUMNS)})


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    beats = waves()
    given = Examples(beats.x, pd.concat([beats.table, intervals(len(beats))], axis="columns"))
    cut = Cut("kaggle", RULES.options("kaggle", {"n_samples": LENGTH}), 360.0, ("MLII",))
    factors = {name: 1.0 + 9 * (name == "V") for name in CLASSES}
    return Scorer(explained(given, "mlp", layers=1, width=8).model, "test", cut, factors, accept=0.5)


@pytest.fixture(scope="module")
def address(scorer: Scorer) -> Iterator[str]:
    with Listening("127.0.0.1", 0) as listening:
        server = listening.server(Server(scorer).app())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.socket]})
        thread.start()
        yield listening.address
        server.should_exit = True
        thread.join()


def ask(url: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data), timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_every_request_gets_the_answer_of_its_own_beats_though_many_wait_at_once(address: str, scorer: Scorer) -> None:
    beats, rr = waves().x, intervals(60)
    expected = scorer.predict(Examples(beats, rr))
    parts = [slice(start, start + 1 + start % 4) for start in range(0, 56, 2)]
    bodies = [{"beats": beats[p].tolist(), "features": rr[p].to_dict("list")} for p in parts]
    with ThreadPoolExecutor(16) as many:
        answers = list(many.map(lambda body: ask(f"{address}/beats", body), bodies))
    for part, (status, answer) in zip(parts, answers, strict=True):
        wanted = expected[part]
        assert (status, answer["version"], answer["notice"]) == (200, scorer.version, NOTICE)
        for column in ("class", "recall_first", "unsure"):
            assert [row[column] for row in answer["beats"]] == wanted[column].tolist()
        found = [list(row["probabilities"].values()) for row in answer["beats"]]
        np.testing.assert_allclose(found, wanted.filter(like="probability"), atol=1e-6)
    assert set(expected["class"]) != {"V"} == set(expected["recall_first"])


def test_a_recording_is_scored_with_its_rhythm(address: str) -> None:
    time = np.arange(20 * 360) / 360
    peaks = np.arange(180, len(time) - 100, 300)
    signal = np.exp(-(((time[:, None] - peaks / 360) / 0.02) ** 2)).sum(axis=1)
    samples: list[float | None] = [*signal.tolist()[:-50], *[None] * 50]
    body = {"sample_rate": 360, "leads": {"V1": [0.0] * len(time), "MLII": samples}, "r_peaks": peaks.tolist()}
    status, answer = ask(f"{address}/records", body)
    assert status == 200, answer
    assert (answer["record"]["lead"], answer["record"]["rate"]) == ("MLII", pytest.approx(72))
    assert answer["unusable"] == [[len(time) - 50, len(time)]]
    # Beats that reach into the missing samples are left out.
    assert [beat["sample"] for beat in answer["beats"]] == peaks.tolist()[: len(answer["beats"])]
    assert len(peaks) - 2 <= len(answer["beats"]) < len(peaks)
    assert sum(answer["beats"][0]["probabilities"].values()) == pytest.approx(1)
    assert answer["beats"][0]["rr_after"] == pytest.approx(300 / 360)


REFUSED: dict[bytes, tuple[int, str]] = {
    b"hello": (400, "The body is no JSON: expected value at line 1 column 1."),
    b"[]": (422, "the body: it should be an object; got a list of 0."),
    b'{"beats": []}': (422, "beats has 0 items; allowed: at least 1."),
    b'{"beats": [[0, 1]]}': (422, f"beats[0] has 2 items; allowed: at least {LENGTH}."),
    b'{"beats": [[0, NaN]]}': (422, "beats[0][1]: it should be a finite number; got nan."),
    b'{"beats": [[0, 2]]}': (
        422,
        "beats[0][1]: it should be less than or equal to 1; got 2. Scale every beat to [0, 1].",
    ),
    b'{"beats": [["0"]]}': (422, "beats[0][0]: it should be a valid number; got '0'."),
    json.dumps({"beats": [BEAT]}).encode(): (422, "features is missing. GET /docs describes the body."),
    json.dumps({"beats": [BEAT], "features": intervals(2).to_dict("list")}).encode(): (
        422,
        "features.rr_before has 2 numbers for 1 beats.",
    ),
    json.dumps({"beats": [BEAT], "features": {key: [1e300] for key in RR_COLUMNS}}).encode(): (
        422,
        "features.rr_before[0]: it should be less than or equal to 1000000000; got 1e+300.",
    ),
    json.dumps({"beats": [BEAT] * 10_001}).encode(): (422, "beats has 10,001 items; allowed: at most 10,000."),
    b" " * (2**25 + 1): (413, "The body is larger than 33,554,432 bytes. Send it in parts."),
}


def test_what_the_model_does_not_take_is_refused_in_words(address: str) -> None:
    for body, expected in REFUSED.items():
        status, answer = ask(f"{address}/beats", body)
        assert (status, answer.pop("error")) == expected
        assert set(answer) == {"version", "notice"}
    assert ask(f"{address}/nothing")[1]["error"].startswith("Not Found: GET /nothing. Use GET /health, POST /beats")
    flat = {"sample_rate": 360, "leads": {"MLII": [0.0] * 720}}
    assert "span 0 mV, and an ECG spans 0.05 to 30" in ask(f"{address}/records", flat)[1]["error"]


def test_the_schema_of_the_requests_is_that_of_the_model(address: str) -> None:
    paths = ask(f"{address}/openapi.json")[1]["paths"]
    schema = paths["/beats"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    beat = schema["properties"]["beats"]["items"]
    assert (beat["minItems"], beat["maxItems"], beat["items"]["maximum"]) == (LENGTH, LENGTH, 1)
    assert list(schema["properties"]["features"]["properties"]) == list(RR_COLUMNS)
    assert ask(f"{address}/health")[1]["features"] == list(RR_COLUMNS)


def test_a_port_that_is_taken_is_named(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(BeatwiseError, match=f"Cannot listen at 127.0.0.1, port {port}"):
        Listening("127.0.0.1", port)

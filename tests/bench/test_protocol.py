"""Messages between benchmark and worker."""

from __future__ import annotations

import io

import numpy as np
import pytest

from relu_layers.bench.protocol import receive, send


def test_fields_and_arrays_arrive_as_they_were_sent() -> None:
    stream = io.BytesIO()
    arrays = [
        np.arange(6.0).reshape(2, 3).T,
        np.float32([[1.5]]),
        np.array(2.5),
        np.empty((0, 3)),
        np.arange(4),
    ]
    send(stream, {"do": "something", "text": "ä\n"}, arrays)
    send(stream, {"do": "more"})
    stream.seek(0)
    fields, found = receive(stream)
    assert fields == {"do": "something", "text": "ä\n"}
    for sent, got in zip(arrays, found, strict=True):
        assert got.dtype == sent.dtype
        assert np.array_equal(got, sent)
        assert got.shape == sent.shape
    assert receive(stream) == ({"do": "more"}, [])
    with pytest.raises(EOFError):
        receive(stream)


def test_a_message_that_breaks_off_is_noticed() -> None:
    stream = io.BytesIO()
    send(stream, {}, [np.arange(100)])
    for length in (5, 100, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError):
            receive(io.BytesIO(stream.getvalue()[:length]))

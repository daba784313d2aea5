"""The published JSON Schema of the manifest says what the reader does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart_runtime.bundle import Bundle
from headstart_runtime.errors import InputError
from headstart_runtime.manifest import Manifest
from tests.tuning_db.runtime.test_manifest import DOCUMENT, changed, paths
from tests.tuning_db.runtime.update_schema import PUBLISHED, schema, text

jsonschema = pytest.importorskip("jsonschema_rs")


def test_published() -> None:
    stale = "docs/bundle.schema.json is out of date: python -m tests.tuning_db.runtime.update_schema"
    assert PUBLISHED.read_text() == text(), stale


def test_manifests_are_valid(bf16: Bundle, fp8: Bundle) -> None:
    check = jsonschema.validator_for(schema())
    for document in (DOCUMENT, bf16.manifest.to_json(), fp8.manifest.to_json()):
        check.validate(json.loads(json.dumps(document)))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_read_is_valid(data: st.DataObject) -> None:
    """And what is not valid is not read; the reader refuses more, such as weights that are no inputs."""
    path = data.draw(st.sampled_from(paths(DOCUMENT)))
    anything = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text(max_size=3)
    document = changed(path, data.draw(anything | st.lists(anything) | st.dictionaries(st.text(max_size=3), anything)))
    try:
        Manifest.loads(document)
    except InputError:
        return
    assert jsonschema.validator_for(schema()).is_valid(json.loads(document))


def records(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document that has fields of its own, and not names that a user chose."""
    if isinstance(value, list):
        for item in value:
            yield from records(item)
    elif isinstance(value, dict):
        yield value
        for name, item in value.items():
            if name not in ("params", "config", "step", "tvm", "versions", "missing"):
                yield from records(item)


def test_fields_too_many_or_few() -> None:
    check, tried = jsonschema.validator_for(schema()), 0
    document = json.loads(json.dumps(DOCUMENT))
    for record in records(document):
        for name in [*record, "more"]:
            kept = dict(record)
            record.pop(name, None) if name != "more" else record.update(more=1)
            assert not check.is_valid(document), name
            with pytest.raises(InputError):
                Manifest.loads(json.dumps(document))
            record.clear()
            record.update(kept)
            tried += 1
    assert tried > 60 and check.is_valid(document)

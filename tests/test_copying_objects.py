"""Open stores, retrievers and encoders as objects: copies share what is open, and pickling is refused at once."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from dpr_rag import DualEncoder, Passage, PassageStore, Retriever


@pytest.fixture
def store(tmp_path: Path, encoder: Any) -> Any:
    with PassageStore.open(tmp_path / "s", encoder=encoder) as opened:
        opened.add([Passage("a", "some text")])
        yield opened


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_same_open_store(store: PassageStore, copied: Any) -> None:
    assert copied(store) is store
    assert copied({"held": store})["held"] is store
    retriever = Retriever(store, k=3)
    other = copied(retriever)
    assert (other.store, other.k) == (store, 3)
    assert other.retrieve("text") == retriever.retrieve("text")


def test_pickling_is_refused_with_what_to_do_instead(store: PassageStore) -> None:
    for held in (store, Retriever(store), [store]):
        with pytest.raises(TypeError, match=r"open it where it is used: PassageStore\.open\("):
            pickle.dumps(held)


def test_an_encoder_is_shared_and_not_pickled() -> None:
    encoder = DualEncoder.default()
    assert copy.copy(encoder) is copy.deepcopy(encoder) is encoder
    with pytest.raises(TypeError, match=r"load it where it is used, with DualEncoder\.from_pretrained"):
        pickle.dumps(encoder)

"""The protocol that a store and a retriever ask of any encoder, foreign embedders included."""

from __future__ import annotations

import os
from collections.abc import Sequence
from inspect import getattr_static
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import kind
from dpr_rag.errors import EncoderMismatchError, VectorError
from dpr_rag.passages import Passage

Vectors = npt.NDArray[np.float32]
LARGEST = 1e17
_PARTS = ("dim", "fingerprint", "encode_questions", "encode_passages")


@runtime_checkable
class Encoder(Protocol):
    """Two encoders behind one face: questions and passages go into the same vector space.

    ``fingerprint`` identifies weights, tokenizer and profile (not runtime or precision): a store opened with
    another fingerprint than the one that filled it is refused. An encoder may also have a string ``source``,
    where its weights came from, which stores keep for people to read. Ask :func:`is_encoder` whether something is one:
    ``isinstance`` evaluates properties, and takes an ``AttributeError`` inside one for its absence.
    """

    @property
    def dim(self) -> int:
        """Number of components of every vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """What identifies this encoder."""
        ...

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions to a float32 array of shape [n, dim]."""
        ...

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Encode passages (title and text) to a float32 array of shape [n, dim]."""
        ...


def is_encoder(value: object) -> TypeGuard[Encoder]:
    """Whether a value has all that an :class:`Encoder` has; none of it is evaluated, and a class is none.

    Args:
        value: Anything; what it passes on by ``__getattr__`` counts too.
    """
    return not isinstance(value, type) and all(_has(value, name) for name in _PARTS)


def _has(value: object, name: str) -> bool:
    try:
        getattr_static(value, name)
    except AttributeError:
        return hasattr(value, name)  # no property, which would be evaluated, but maybe passed on
    return True


def check_encoder(value: object) -> Encoder:
    """An encoder that a store can be filled with.

    Raises:
        EncoderMismatchError: It is none, or has no fingerprint.
    """
    if not is_encoder(value):
        what = f"the class {value.__name__}, not an instance" if isinstance(value, type) else kind(value)
        by_name = "; load a model by its name with load_encoder" if isinstance(value, str | os.PathLike) else ""
        raise EncoderMismatchError(
            f"encoder is {what}, expected dim, fingerprint, encode_questions and encode_passages{by_name}"
        )
    if not isinstance(value.fingerprint, str) or not value.fingerprint:
        raise EncoderMismatchError(f"the encoder's fingerprint is {value.fingerprint!r}, expected a non-empty string")
    return value


def check_vectors(
    vectors: object, *, rows: int | None = None, dim: int | None = None, names: Sequence[str] = ()
) -> Vectors:
    """Return vectors as a finite, C-contiguous float32 array of shape [rows, dim].

    Args:
        vectors: Anything numpy can read as a two-dimensional float array.
        rows: How many rows there must be, if that is known.
        dim: How many components each row must have, if that is known.
        names: What to call each row in a message (passage ids, questions).

    Raises:
        VectorError: Wrong shape or dimension, or a value that is NaN or infinite.
    """
    try:
        array = as_floats(vectors)
    except (TypeError, ValueError, OverflowError) as error:
        raise VectorError(
            f"vectors is {kind(vectors)}, expected an array of numbers of shape [n, dim]; give a row of numbers for each text "
            f"({error!s:.120})"
        ) from error
    if array.ndim != 2 or array.shape[1] == 0:
        advice = (
            "wrap a single vector as [vector]" if array.ndim == 1 and array.size > 1 else "give a row of numbers each"
        )
        raise VectorError(f"vectors have shape {list(array.shape)}, expected [n, dim]; {advice}")
    if rows is not None and array.shape[0] != rows:
        raise VectorError(f"{array.shape[0]} vectors were given for {rows} items; give one vector each")
    if dim is not None and array.shape[1] != dim:
        raise VectorError(
            f"vectors have {array.shape[1]} dimensions, expected {dim}; encode with the store's own encoder"
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        at = int(np.flatnonzero(~finite)[0])
        name = f" ({names[at]!r})" if at < len(names) else ""
        raise VectorError(
            f"vector {at}{name} holds NaN or infinite values (float32); check the text and the encoder's precision"
        )
    if array.size and float(np.abs(array).max()) > LARGEST:
        raise VectorError(
            f"a vector holds a value beyond {LARGEST:g}, whose inner products overflow float32; scale it down"
        )
    return array


def as_floats(vectors: object) -> Vectors:
    """Numbers as a C-contiguous float32 array; what is too large for float32 becomes infinite.

    Raises:
        TypeError: They are strings, complex numbers or times.
        ValueError: Rows are of different lengths.
        OverflowError: An integer is too large for any float.
    """
    array = np.asarray(vectors)
    if array.dtype.kind in "SUcmM":
        raise TypeError(f"they are of the type {array.dtype}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def check_encoded(
    encoder: object, method: str, vectors: object, *, rows: int, dim: int | None = None, names: Sequence[str] = ()
) -> Vectors:
    """What an encoder returned, as :func:`check_vectors` does, with the encoder's name in the message.

    Args:
        encoder: What was asked.
        method: By which method.
        vectors: What it returned.
        rows: How many texts it was given.
        dim: Components per vector, if that is known.
        names: What to call each row in a message.

    Raises:
        VectorError: It is no array of finite numbers of that shape.
    """
    try:
        return check_vectors(vectors, rows=rows, dim=dim, names=names)
    except VectorError as error:
        shape = getattr(vectors, "shape", None)
        what = kind(vectors) if shape is None else f"{type(vectors).__name__} of shape {list(shape)}"
        raise VectorError(
            f"{type(encoder).__name__}.{method}() returned {what} for {rows} texts, expected a row of numbers for each: {error}"
        ) from error

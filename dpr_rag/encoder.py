"""The protocol ``Encoder``, and checks of encoders and vectors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from inspect import getattr_static
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from dpr_rag.arguments import kind
from dpr_rag.errors import EncoderMismatchError, VectorError
from dpr_rag.faces import message_of
from dpr_rag.passages import Passage

Vectors = npt.NDArray[np.float32]
LARGEST = 1e17
_ATTRIBUTES = ("dim", "fingerprint", "encode_questions", "encode_passages")


@runtime_checkable
class Encoder(Protocol):
    """Encodes questions and passages into one vector space.

    ``fingerprint`` identifies weights, tokenizer and profile, but not runtime or precision; a store that was filled with one
    fingerprint cannot be opened with another. An encoder may also have a string ``source``, the origin of its weights,
    which stores record for people to read. To test whether a value is an encoder, call :func:`is_encoder`: ``isinstance``
    evaluates properties, and takes an ``AttributeError`` raised inside one for a missing attribute.
    """

    @property
    def dim(self) -> int:
        """Number of components of every vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies weights, tokenizer and profile."""
        ...

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions to a float32 array of shape [n, dim]."""
        ...

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Encode passages (title and text) to a float32 array of shape [n, dim]."""
        ...


def is_encoder(value: object) -> TypeGuard[Encoder]:
    """Whether a value has all attributes of an :class:`Encoder`; properties are not evaluated, and a class is not an encoder.

    Args:
        value: Any object; attributes that its ``__getattr__`` supplies count.
    """
    return not isinstance(value, type) and all(_has(value, name) for name in _ATTRIBUTES)


def _has(value: object, name: str) -> bool:
    try:
        getattr_static(value, name)
    except AttributeError:
        return hasattr(value, name)  # which evaluates no property here; __getattr__ may supply the name
    return True


def check_encoder(value: object) -> Encoder:
    """Check that a value is an encoder with a fingerprint, and return it.

    Raises:
        EncoderMismatchError: It is not.
    """
    if not is_encoder(value):
        description = f"the class {value.__name__}, not an instance" if isinstance(value, type) else kind(value)
        by_name = "; load a model by its name with load_encoder" if isinstance(value, str | os.PathLike) else ""
        raise EncoderMismatchError(
            f"encoder is {description}, expected dim, fingerprint, encode_questions and encode_passages{by_name}"
        )
    if not isinstance(value.fingerprint, str) or not value.fingerprint:
        raise EncoderMismatchError(f"the encoder's fingerprint is {value.fingerprint!r}, expected a non-empty string")
    return value


def check_vectors(
    vectors: object, *, rows: int | None = None, dim: int | None = None, names: Sequence[str] = ()
) -> Vectors:
    """Check vectors, and return them as a C-contiguous float32 array of shape [rows, dim].

    Args:
        vectors: Anything that numpy can read as a two-dimensional array of floats.
        rows: The expected number of rows; None for any.
        dim: The expected number of components; None for any. No rows have as many, whatever their shape says.
        names: Names of the rows for error messages: passage ids, or questions.

    Raises:
        VectorError: Shape or dimension is wrong, or a value is NaN, infinite, or so large that inner products overflow.
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
        if not len(array):
            return np.empty((0, dim), np.float32)
        raise VectorError(
            f"vectors have {array.shape[1]} dimensions, expected {dim}; encode with the store's own encoder"
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        name = f" ({names[row]!r})" if row < len(names) else ""
        raise VectorError(
            f"vector {row}{name} holds NaN or infinite values (float32); check the text and the encoder's precision"
        )
    if array.size and float(np.abs(array).max()) > LARGEST:
        raise VectorError(
            f"a vector holds a value beyond {LARGEST:g}, whose inner products overflow float32; scale it down"
        )
    return array


def check_given(vectors: Iterable[object], names: Sequence[str]) -> Vectors:
    """Check the vectors that were given for passages, one each, with :func:`check_vectors`; there may be none for none.

    Args:
        vectors: Rows of numbers.
        names: The ids of the passages.

    Raises:
        VectorError: They are not rows of finite numbers of one length, or not as many as passages.
    """
    listed = list(vectors)
    try:
        array = as_floats(listed) if listed else np.empty((0, 1), np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise VectorError(
            f"the vectors are not rows of numbers of one length; give one such row each ({error!s:.120})"
        ) from error
    return check_vectors(array, rows=len(names), names=names)


def as_floats(vectors: object) -> Vectors:
    """Convert numbers to a C-contiguous float32 array; values too large for float32 become infinite.

    Raises:
        TypeError: They are strings, complex numbers or times.
        ValueError: Rows have different lengths.
        OverflowError: An integer is too large for a float.
    """
    array = np.asarray(vectors)
    if array.dtype.kind in "SUcmM":
        raise TypeError(f"they are of the type {array.dtype}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def check_encoded(
    encoder: object, method: str, vectors: object, *, rows: int, dim: int | None = None, names: Sequence[str] = ()
) -> Vectors:
    """Check what an encoder returned with :func:`check_vectors`; an error names the encoder and its method.

    Args:
        encoder: The encoder.
        method: The method that was called.
        vectors: Its return value.
        rows: The number of texts that were encoded.
        dim: The expected number of components; None for any.
        names: Names of the rows for error messages.

    Raises:
        VectorError: It is not an array of finite numbers of shape [rows, dim].
    """
    try:
        return check_vectors(vectors, rows=rows, dim=dim, names=names)
    except VectorError as error:
        shape = getattr(vectors, "shape", None)
        description = kind(vectors) if shape is None else f"{type(vectors).__name__} of shape {list(shape)}"
        raise VectorError(
            f"{type(encoder).__name__}.{method}() returned {description} for {rows} texts, expected a row of numbers for each: "
            + message_of(error)
        ) from error

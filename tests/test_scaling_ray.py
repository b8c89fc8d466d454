"""Encoding on a real cluster of Ray: two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyEncoder

import dpr_rag
from dpr_rag import Passage
from dpr_rag.corpora.parts import parts_of
from dpr_rag.encoder import Vectors
from dpr_rag.errors import ScalingError
from dpr_rag.scaling import Encoded, encode, encode_on_ray

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]

PASSAGES = [Passage(f"p{n}", f"text {n} about {n * 7}", f"title {n}") for n in range(60)]
ROWS = 5
QUICK = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}
HEAD = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK}


class Slow(TinyEncoder):
    """Takes its time, and notes which process encoded what."""

    def __init__(self, notes: str) -> None:
        super().__init__()
        self._notes = Path(notes)

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        if len(passages):
            node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
            (self._notes / f"{time.time_ns()}-{os.getpid()}").write_text(f"{node} {passages[0].id}")
            time.sleep(0.4)
        return super().encode_passages(passages)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs to spare, on which the test runs, and whatever nodes a test adds."""
    from ray.cluster_utils import Cluster

    here = os.pathsep.join([str(Path(dpr_rag.__file__).parents[1]), str(Path(__file__).parent)])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = here if before is None else os.pathsep.join([here, before])
    try:
        made = Cluster(initialize_head=True, head_node_args=HEAD)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"Ray cannot start a cluster here: {error}")
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def test_a_killed_node_costs_nothing_but_time(cluster: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    doomed = cluster.add_node(num_cpus=2)
    seen: list[int] = []

    def kill_once(done: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            cluster.add_node(num_cpus=2)
            cluster.remove_node(doomed, allow_graceful=False)

    encode(PASSAGES, TinyEncoder(), tmp_path / "local", rows=ROWS)
    done = encode_on_ray(
        PASSAGES,
        partial(Slow, str(notes)),
        tmp_path / "out",
        address=cluster.address,
        workers=2,
        rows=ROWS,
        progress=kill_once,
    )
    assert done == Encoded(60, 0, 60, 12)
    assert sum(mark.passages for _, mark in parts_of([tmp_path / "out"])) == 60
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    # what the killed worker was writing stays hidden, and counts for nothing
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == names
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    nodes = {path.read_text().split()[0] for path in notes.iterdir()}
    assert len(nodes - {""}) >= 2  # one died, another one went on


def test_what_is_there_is_not_encoded_again(cluster: Any, tmp_path: Path) -> None:
    encode(PASSAGES, TinyEncoder(), tmp_path, rows=ROWS)
    gone = tmp_path / "part-00000007.parquet"
    whole = gone.read_bytes()
    gone.unlink()
    how: dict[str, Any] = {"address": cluster.address, "workers": 1, "rows": ROWS}
    assert encode_on_ray(PASSAGES, TinyEncoder, tmp_path, **how) == Encoded(5, 55, 60, 12)
    assert gone.read_bytes() == whole
    assert not (tmp_path / ".waiting").exists()


class Other(TinyEncoder):
    """Another model on the workers than where the corpus is read."""

    def __init__(self) -> None:
        super().__init__("other" if ray.get_runtime_context().get_actor_id() else "tiny")


class Failing(TinyEncoder):
    """Cannot encode."""

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        raise ValueError("the model's disk is gone")


@pytest.mark.parametrize(
    ("make", "more", "words"),
    [
        (Failing, {}, "a worker failed: .*the model's disk is gone"),
        (TinyEncoder, {"workers": 99}, "workers is 99, expected 1 to "),
        (TinyEncoder, {"rows": 0}, "rows"),
    ],
)
def test_what_a_cluster_cannot_do_is_told(
    cluster: Any, tmp_path: Path, make: type[TinyEncoder], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScalingError, match=words):
        encode_on_ray(PASSAGES, make, tmp_path, **{"address": cluster.address, "workers": 1, "rows": ROWS, **more})

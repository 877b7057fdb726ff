"""The whole engine as a user runs it: wherever the shards lie, whoever computes, whatever dies."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import HttpServer, S3Server, _moto, http_server, s3_server  # noqa: F401
from shardmaker import frame, write

from laion_probe.config import ScanConfig, make_config
from laion_probe.questions.scanning import scan
from laion_probe.sources import fetched_bytes

ROOT = Path(__file__).parent.parent
RECIPE = ("--recipe", "laion5b-en", "--by", "language", "nsfw")


def command(shards: str, folder: Path, *more: str) -> list[str]:
    """The scan as a process of its own; results under ``folder``."""
    out = ["--out", str(folder / "out"), "--cache", str(folder / "cache")]
    return [sys.executable, "-m", "laion_probe.cli", "scan", shards, *RECIPE, *out, *more]


def slow_recipe(folder: Path) -> str:
    """langdetect reads some 300 captions a second: there is time to kill something."""
    path = folder / "slow.toml"
    path.write_text(
        'name = "slow"\ntitle = "t"\nsource = "s"\n'
        '[[step]]\nid = "detect"\nkind = "detect-language"\ntitle = "t"\n'
        'params = { detector = "langdetect" }\n'
        '[[step]]\nid = "english"\nkind = "keep-language"\ntitle = "t"\n'
        'params = { keep = ["en"] }\n'
    )
    return str(path)


def result_bytes(folder: Path) -> bytes:
    return (folder / "out" / "result.json").read_bytes()


def start(argv: list[str], *, stdin: bool = False, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(argv: list[str], **environment: str) -> None:
    process = start(argv, **environment)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def test_the_same_data_anywhere_give_the_same_bytes(
    tmp_path: Path,
    http_server: HttpServer,  # noqa: F811
    s3_server: S3Server,  # noqa: F811
) -> None:
    folder = write(http_server.folder / "set", frame(600), 4, 40)
    for path in folder.iterdir():
        s3_server.put(f"set/{path.name}", path.read_bytes())
    places = {
        "disk": f"{folder}/*.parquet",
        "http": f"{http_server.url}/set/part-{{00000..00003}}.parquet",
        "s3": f"{s3_server.url}/set/*.parquet",
    }
    results = {}
    for name, shards in places.items():
        values = {"shards": [shards], "recipe": "laion5b-en", "by": ["language", "nsfw"]}
        for limit in ({}, {"max_units": 12}):
            config = {**values, **limit, "cache": str(tmp_path / name), "runner": "serial"}
            results[name, len(limit)] = scan(make_config(config, ScanConfig)).to_json()
    for limited in (0, 1):
        assert len({results[name, limited] for name in places}) == 1
    assert results["disk", 0] != results["disk", 1]


def test_only_what_is_needed_is_fetched(tmp_path: Path, http_server: HttpServer) -> None:  # noqa: F811
    rng = random.Random(0)
    texts = [rng.randbytes(30).hex() for _ in range(20_000)]
    table = frame(20_000, TEXT=texts, pad=[rng.randbytes(30).hex() for _ in range(20_000)])
    folder = write(http_server.folder / "set", table, 1, 5000)
    (path,) = folder.iterdir()
    recipe = tmp_path / "similar.toml"
    recipe.write_text(
        'name = "similar"\ntitle = "t"\nsource = "s"\n[[step]]\nid = "similarity"\n'
        'kind = "score"\ntitle = "t"\n'
        'params = { column = "similarity", at_least = 0.3 }\n'
    )
    url = f"{http_server.url}/set/{path.name}"
    values = {"shards": [url], "recipe": str(recipe), "cache": str(tmp_path / "cache")}
    before = fetched_bytes()
    result = scan(make_config({**values, "runner": "serial"}, ScanConfig))
    assert result.reading.n_rows_read == 20_000
    fetched = fetched_bytes() - before
    assert fetched <= http_server.n_bytes <= fetched + 20  # a byte a unit to see if it has changed
    assert 0 < fetched < 0.1 * path.stat().st_size


@pytest.mark.slow
def test_killed_ten_times_and_resumed_it_gives_the_same_bytes(tmp_path: Path) -> None:
    shards = str(write(tmp_path / "set", frame(4800), 4, 40))
    whole, recipe = tmp_path / "whole", slow_recipe(tmp_path)
    finish(command(shards, whole, "--runner", "serial", "--recipe", recipe))
    folder = tmp_path / "killed"
    pool = command(shards, folder, "--runner", "processes", "--workers", "2", "--recipe", recipe)
    rng = random.Random(7)
    kept: dict[Path, tuple[int, int]] = {}
    for kill in range(10):
        process = start(pool)
        if kill % 3:  # two in three once it has got further, the others while it starts
            wanted = len(kept) + rng.randrange(1, 8)
            _wait_for(lambda n=wanted: len(finished(folder)) >= n, 60)
        else:
            time.sleep(rng.uniform(0.1, 2.0))
        assert process.poll() is None, "it must be killed before it is done"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (folder / "out").exists()
        assert _ended(process.pid), "workers of a killed run must not live on"
        now = finished(folder)
        assert kept.items() <= now.items(), "a finished unit was made again"
        kept = now
    assert 6 <= len(kept) < 120
    finish(pool)
    assert result_bytes(folder) == result_bytes(whole)


def finished(folder: Path) -> dict[Path, tuple[int, int]]:
    """The units that are kept, with what changes when a file is written anew."""
    paths = [p for p in (folder / "cache").rglob("*-*") if not p.name.startswith(".")]
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}


def _ended(group: int) -> bool:
    """Whether all processes of a session are gone, within ten seconds."""
    for _ in range(100):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            time.sleep(0.1)
            continue
        return True
    return False


def test_a_full_disk_stops_cleanly_and_is_gone_on_from(tmp_path: Path) -> None:
    shards = str(write(tmp_path / "set", frame(2000), 2, 100))
    limited = (
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"  # every longer write fails
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_module('laion_probe.cli', run_name='__main__')\n"
    )
    argv = command(shards, tmp_path, "--runner", "serial")
    process = start([sys.executable, "-c", limited, *argv[2:]])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    (line,) = [line for line in err.splitlines() if line.startswith("laion-probe: ")]
    assert "cannot keep partial results in" in line
    assert "free some space or give another --cache, and run again" in line
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*.partial-*"))
    finish(argv)


#: Ray then stays on the loopback address.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[str, Callable[[], None]]]:
    """A Ray cluster of two nodes: its address, and what kills the second."""
    script = str(Path(__file__).parent / "ray_cluster.py")
    process = start([sys.executable, script], stdin=True, PYTHONPATH=str(ROOT), **LOOPBACK)
    assert process.stdin is not None and process.stdout is not None

    def say(expected: str) -> str:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(expected):
                return line.split()[-1]
        raise AssertionError(f"the cluster did not say {expected}")

    def kill() -> None:
        assert process.stdin is not None
        print(file=process.stdin, flush=True)
        say("killed")

    try:
        yield say("address"), kill
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate("\n", timeout=60)


def _wait_for(condition, seconds: float) -> None:
    ended = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ended, "waited too long"
        time.sleep(0.02)


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_gives_the_same_bytes(tmp_path: Path) -> None:
    shards = str(write(tmp_path / "set", frame(4800), 4, 20))
    whole, recipe = tmp_path / "whole", slow_recipe(tmp_path)
    finish(command(shards, whole, "--runner", "serial", "--recipe", recipe))
    folder = tmp_path / "ray"
    with two_nodes() as (address, kill):
        assert address.startswith("127.0.0.1:")
        argv = command(
            shards, folder, "--runner", "ray", "--ray-address", address, "--recipe", recipe
        )
        process = start([*argv, "--retries", "5"], **LOOPBACK)
        _wait_for(lambda: len(finished(folder)) > 20, 120)
        done = len(finished(folder))
        kill()
        assert process.poll() is None, "the node must be lost in mid-scan"
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert done < 240
    assert result_bytes(folder) == result_bytes(whole)

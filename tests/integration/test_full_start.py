"""A disk that is full when the node starts: whichever write meets it, the next start may succeed."""

from pathlib import Path

import trio

from chatd.config.settings import Config
from chatd.failures import StorageFailure, StorageFull
from tests.harness import disk
from tests.harness.daemons import DaemonRun
from tests.harness.places import LoopbackRuntime

PAGE = 4096  # what a file system in memory gives out
MOST_PAGES = 200


async def start(directory: Path, state: Path) -> BaseException | None:
    """Run a node until it is up, or cannot be; what it ended with."""
    config = Config(
        node="alice", name="alice", listen=["127.0.0.1:0"], socket=str(directory / "s"), state=str(state), plain="off"
    )
    runtime = LoopbackRuntime()
    run = DaemonRun(config, runtime)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        nursery.start_soon(_stop_once_served, run, runtime)
        await run.exited.wait()
        nursery.cancel_scope.cancel()
    failure = run.failure
    while isinstance(failure, BaseExceptionGroup):
        (failure,) = failure.exceptions
    return failure


async def _stop_once_served(run: DaemonRun, runtime: LoopbackRuntime) -> None:
    await runtime.served.wait()
    assert run.node is not None
    run.node.request_stop("shutdown")


async def test_a_start_on_a_full_disk_is_temporary_wherever_it_meets_the_end(tmp_path: Path) -> None:
    messages: set[str] = set()
    with disk.small_disk(tmp_path / "disk", "4m") as small:
        ballast = disk.fill(small)
        for pages in range(MOST_PAGES):
            failure = await start(tmp_path, small / "state")
            if failure is None:
                break
            assert isinstance(failure, StorageFull), (pages, failure)
            messages.add(str(failure).replace(str(small), ""))
            with ballast.open("r+b") as file:
                file.truncate(ballast.stat().st_size - PAGE)
        assert pages > 3
        assert len(messages) >= 3, messages  # the directory or the lock, the key, the journal
        ballast.unlink()
        assert await start(tmp_path, small / "state") is None


async def test_a_start_without_room_for_another_file_is_temporary_whichever_file_that_is(tmp_path: Path) -> None:
    for inodes in range(1, 20):
        with disk.small_disk(tmp_path / f"disk{inodes}", f"4m,nr_inodes={inodes}") as small:
            failure = await start(tmp_path, small / "state")
            if failure is None:
                break
            assert isinstance(failure, StorageFull), (inodes, failure)
    assert inodes > 5


async def test_a_file_system_without_room_for_the_socket_is_temporary_too(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "run", "1m,nr_inodes=1") as run:
        for directory in (run, run / "deeper"):
            failure = await start(directory, tmp_path / "state")
            assert isinstance(failure, StorageFull), failure


async def test_any_other_trouble_with_the_state_directory_is_final(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    failure = await start(tmp_path, tmp_path / "state")
    assert isinstance(failure, StorageFailure)
    assert failure.exit_code == 4

"""Task lists are files of Claude Code's own: what is told of them as they change."""

import json
from pathlib import Path

from tests.daemon.world import World, wait_until

SESSION = "550e8400-e29b-41d4-a716-446655440000"


def put(world: World, number: int, status: str) -> Path:
    path = world.root / "claude/tasks" / SESSION / f"{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"id": str(number), "subject": "CANARY", "status": status}))
    return path


def told(world: World) -> list[tuple[int, int, int]]:
    """Completed, in progress and pending, oldest first."""
    numbers = "payload ->> 'completed', payload ->> 'inProgress', payload ->> 'pending'"
    return world.query(f"select {numbers} from events where type = 'todo_progress' order by seq")


def wait_told(world: World, *wanted: tuple[int, int, int]) -> None:
    wait_until(lambda: told(world)[-1:] == [wanted[-1]], lambda: f"told {told(world)}")


def test_a_list_is_told_as_it_changes_and_a_deleted_task_too(world: World) -> None:
    for number, status in enumerate(("completed", "in_progress", "pending")):
        put(world, number, status)
    world.start()
    wait_told(world, (1, 1, 1))
    put(world, 1, "completed")
    wait_told(world, (2, 0, 1))
    (world.root / "claude/tasks" / SESSION / "2.json").unlink()
    wait_told(world, (2, 0, 0))
    for number in range(2):
        (world.root / "claude/tasks" / SESSION / f"{number}.json").unlink()
    wait_told(world, (0, 0, 0))


def test_a_list_that_says_the_same_is_told_once(world: World) -> None:
    put(world, 1, "pending")
    world.start()
    wait_told(world, (0, 0, 1))
    put(world, 1, "pending")
    other = "650e8400-e29b-41d4-a716-446655440000"
    path = world.root / "claude/todos" / f"{other}-agent-{other}.json"
    path.parent.mkdir()
    path.write_text('[{"content": "CANARY", "status": "in_progress"}]')
    wait_told(world, (0, 1, 0))  # the same look at the folders that would have told the first again
    assert told(world) == [(0, 0, 1), (0, 1, 0)]


def test_a_file_that_is_no_task_is_counted(world: World) -> None:
    put(world, 1, "pending").write_text('{"status": ')
    world.start()
    wait_until(lambda: world.counters() == {"task_list_unreadable": 1}, "it is not counted")
    assert told(world) == []

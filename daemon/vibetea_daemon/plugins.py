"""What is loaded: the built-in features, which are plugins too, and those `config.toml` names."""

import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import pluggy

from vibetea_daemon import hookspecs
from vibetea_daemon.acts import Act, BadInput, Reader
from vibetea_daemon.claude_code import plugin as claude_code
from vibetea_daemon.config import Config
from vibetea_daemon.sinks import relay, supabase
from vibetea_daemon.sources import clients, hook_socket, inbox, tasks, transcripts

log = logging.getLogger(__name__)

BUILT_IN: Final[tuple[ModuleType, ...]] = (
    claude_code,
    hook_socket,
    inbox,
    transcripts,
    tasks,
    clients,
    relay,
    supabase,
)
"""In the order in which sources begin: what hooks reported comes before what transcripts repeat."""
FAILURES: Final = 5
"""How often a normaliser from outside may fail before it is left off."""


@dataclass(slots=True, frozen=True)
class Loaded:
    """One plugin, for `vibetea plugins`; `error` says why it is not in use."""

    name: str
    built_in: bool
    hooks: tuple[str, ...]
    error: str = ""


class Normalisers:
    """Asks one plugin after another, the built-in one last. One from outside that fails is passed over.

    `report` is given the counter's name of each failure.
    """

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager
        self._failures: Counter[str] = Counter()
        self.report: Callable[[str], None] = lambda _: None

    def vibetea_frame_acts(self, stamp: int, payload: bytes) -> Sequence[Act] | None:
        """See the hookspec."""
        return cast("Sequence[Act] | None", self._first("vibetea_frame_acts", stamp=stamp, payload=payload))

    def vibetea_transcript_reader(self, path: Path, at_start: bool) -> Reader | None:
        """See the hookspec."""
        return cast("Reader | None", self._first("vibetea_transcript_reader", path=path, at_start=at_start))

    def _first(self, hook: str, **given: object) -> object:
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            name = implementation.plugin_name
            if self._failures[name] >= FAILURES:
                continue
            try:
                result = implementation.function(**{argument: given[argument] for argument in implementation.argnames})
                _check(result)
            except BadInput:
                raise
            except (Exception, SystemExit) as error:
                if implementation.plugin in BUILT_IN:
                    raise
                self._failures[name] += 1
                log.error("plugin %s failed: %s", name, type(error).__name__)
                self.report(f"plugin_failed_{name}")
                continue
            if result is not None:
                return result
        return None


def _check(result: Any) -> None:
    """Raises TypeError if it is no answer of a normaliser's: nothing, acts, or a reader."""
    if result is None or hasattr(result, "acts"):
        return
    if not isinstance(result, list | tuple) or not all(isinstance(act, Act) for act in result):
        raise TypeError


class Plugins:
    """The plugin manager. Nothing from outside is loaded that was not asked for by name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._manager = pluggy.PluginManager("vibetea")
        self._manager.add_hookspecs(hookspecs)
        self.normaliser = Normalisers(self._manager)
        self.loaded: list[Loaded] = []
        for module in BUILT_IN:
            self._register(module, built_in=True)
        for name in names:
            try:
                self._register(importlib.import_module(name), built_in=False)
            except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin must not keep the daemon from starting
                log.error("plugin %s is not in use: %s", name, type(error).__name__)
                self.loaded.append(Loaded(name, False, (), f"{type(error).__name__}: {error}"))

    def sources(self, config: Config) -> list[hookspecs.Source]:
        """Every plugin's sources, in the order of registration. Raises what a built-in one raises."""
        return self._all("sources", config=config, normaliser=self.normaliser)

    def sinks(self, config: Config) -> list[hookspecs.Sink]:
        """Every plugin's sinks. Raises what a built-in one raises."""
        return self._all("sinks", config=config)

    def _all(self, what: str, **given: object) -> list[Any]:
        found: list[Any] = []
        for implementation in getattr(self._manager.hook, f"vibetea_{what}").get_hookimpls():
            make = cast("Callable[..., list[Any]]", implementation.function)
            try:
                made = list(make(**{name: given[name] for name in implementation.argnames}))
                "".join(one.name for one in made)  # what has no name cannot be reported
                found += made
            except (Exception, SystemExit) as error:
                if implementation.plugin in BUILT_IN:
                    raise
                log.error("plugin %s has no %s: %s", implementation.plugin_name, what, type(error).__name__)
        return found

    def _register(self, module: ModuleType, *, built_in: bool) -> None:
        name = module.__name__
        self._manager.register(module, name)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError:
            self._manager.unregister(module)
            raise
        hooks = tuple(sorted(caller.name for caller in self._manager.get_hookcallers(module) or ()))
        self.loaded.append(Loaded(name, built_in, hooks))

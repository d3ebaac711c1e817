"""What is loaded: the built-in features, which are plugins too, and those `config.toml` names."""

import importlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Final, cast

import pluggy

from vibetea_daemon import hookspecs
from vibetea_daemon.claude_code import plugin as claude_code
from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Normaliser
from vibetea_daemon.sources import hook_socket, inbox, tasks, transcripts

log = logging.getLogger(__name__)

BUILT_IN: Final[tuple[ModuleType, ...]] = (claude_code, hook_socket, inbox, transcripts, tasks)
"""In the order in which sources begin: what hooks reported comes before what transcripts repeat."""


@dataclass(slots=True, frozen=True)
class Loaded:
    """One plugin, for `vibetea plugins`; `error` says why it is not in use."""

    name: str
    built_in: bool
    hooks: tuple[str, ...]
    error: str = ""


class Plugins:
    """The plugin manager. Nothing from outside is loaded that was not asked for by name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._manager = pluggy.PluginManager("vibetea")
        self._manager.add_hookspecs(hookspecs)
        self.loaded: list[Loaded] = []
        for module in BUILT_IN:
            self._register(module, built_in=True)
        for name in names:
            try:
                self._register(importlib.import_module(name), built_in=False)
            except Exception as error:  # noqa: BLE001  a plugin that cannot be loaded must not stop the daemon
                log.error("plugin %s is not in use: %s", name, type(error).__name__)
                self.loaded.append(Loaded(name, False, (), f"{type(error).__name__}: {error}"))

    @property
    def normaliser(self) -> Normaliser:
        """The hooks that turn input into acts."""
        return cast("Normaliser", self._manager.hook)

    def sources(self, config: Config) -> list[hookspecs.Source]:
        """Every plugin's sources, in the order of registration. Raises what a built-in one raises."""
        found: list[hookspecs.Source] = []
        given = {"config": config, "normaliser": self.normaliser}
        for implementation in self._manager.hook.vibetea_sources.get_hookimpls():
            make = cast("Callable[..., list[hookspecs.Source]]", implementation.function)
            try:
                found += make(**{name: given[name] for name in implementation.argnames})
            except Exception as error:
                if implementation.plugin in BUILT_IN:
                    raise
                log.error("plugin %s has no sources: %s", implementation.plugin_name, type(error).__name__)
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

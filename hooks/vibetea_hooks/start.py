"""Run `emit.py`, which lies beside this file, from its compiled form: what Claude Code starts, as `vibetea-emit.py`.

Python compiles a script anew at every start and keeps the compiled form only of modules. Going through the
module loader, which checks and renews that form by itself, saves a tenth of the hook's time.
"""

import posix

try:
    posix.umask(0o077)
    source = __file__.rpartition("/")[0] + "/emit.py"
    loader = type(__loader__)("__main__", source)  # type: ignore[name-defined]  # every module has one
    try:
        code = loader.get_code("__main__")
    except Exception:  # noqa: BLE001  # a compiled form spoilt by a crash
        code = loader.source_to_code(loader.get_data(source), source)
    exec(code)  # noqa: S102
finally:
    posix._exit(0)  # noqa: SLF001

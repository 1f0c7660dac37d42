"""Calls of node modules: one fixed command line, everything else on its stdin.

The first line is a JSON object: the modules' sources, the function to call and its request. The
rest of stdin is the function's (its end asks follow.py to stop).
"""

from __future__ import annotations

import base64
import json
import marshal
import re
import threading
from functools import cache
from importlib.util import MAGIC_NUMBER, find_spec
from typing import TYPE_CHECKING, Any, cast

from sparkctl.node.calls import CALLS
from sparkctl.remote.command import LIMIT, Command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import InspectLoader
    from types import CodeType

SYSTEM = "python3"  # on the node's PATH, 3.9 or later
SUDO = ("sudo", "--non-interactive")
STALE = 75  # exit status of a call whose lease is no longer in force; EX_TEMPFAIL of sysexits.h
# How a node module imports another: all forms in sparkctl/node, on one line or several.
IMPORTS = re.compile(
    r"^from sparkctl\.node(?:\.(\w+) import| import (?:\(([^)]*)\)|([\w, ]+)))", re.M
)

_compiling = threading.Lock()

# Makes the modules importable under the same names, calls the function and prints its answer.
# Bytecode differs between Pythons: if the node's MAGIC_NUMBER differs, it compiles the sources.
LOADER = """\
import json, sys, types
load = json.loads(sys.stdin.readline())
code = {}
if load["magic"] == sys.modules["_frozen_importlib_external"].MAGIC_NUMBER.hex():
    import binascii, marshal
    code = marshal.loads(binascii.a2b_base64(load["code"]))
for name in ["sparkctl", "sparkctl.node"]:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, source in load["modules"]:
    module = sys.modules["sparkctl.node." + name] = types.ModuleType("sparkctl.node." + name)
    setattr(sys.modules["sparkctl.node"], name, module)
    exec(code.get(name) or compile(source, name + ".py", "exec"), module.__dict__)
function = getattr(sys.modules["sparkctl.node." + load["module"]], load["function"])
try:
    stale = load["lease"] and sys.modules["sparkctl.node.lease"].stale(load["lease"])
    if stale:
        print(json.dumps(stale), flush=True)
        sys.exit(75)
    if load["root"]:
        import os, subprocess
        if os.geteuid():
            again = json.dumps({**load, "lease": None, "root": None}) + "\\n"
            sys.exit(subprocess.run(load["root"], input=again.encode()).returncode)
    answer = function(load["request"])
except OSError as error:
    named = error.filename is not None and error.strerror
    sys.exit(f"{error.filename}: {error.strerror}" if named else str(error))
print(json.dumps(answer), flush=True)
"""


@cache
def sources(module: str) -> tuple[tuple[str, str], ...]:
    """The names and sources of a node module and all that it imports, the imported first."""
    text = _loader(module).get_source(_full(module)) or ""
    found: dict[str, str] = {}
    for match in IMPORTS.finditer(text):
        for name in re.findall(r"\w+", match[1] or match[2] or match[3]):
            found |= dict(sources(name))
    return (*found.items(), (module, text))


def bytecode(*modules: str) -> str:
    """The compiled modules and their imports, by name, in base64.

    They are those that this installation has in its __pycache__: compiling all of a probe's takes
    as long as a login.
    """
    with _compiling:  # the threads of all nodes ask for it at once
        return _bytecode(*modules)


@cache
def _bytecode(*modules: str) -> str:
    code = {name: _compiled(name) for name in _bundle(*modules)}
    return base64.b64encode(marshal.dumps(code)).decode()


@cache
def _compiled(module: str) -> CodeType:
    found = _loader(module).get_code(_full(module))
    if found is None:
        raise ImportError(f"{_full(module)} has no code")
    return found


def _loader(module: str) -> InspectLoader:
    spec = find_spec(_full(module))
    if spec is None or spec.loader is None:
        raise ImportError(f"{_full(module)} is missing")
    return cast("InspectLoader", spec.loader)  # as all of a file or an archive are


def _full(module: str) -> str:
    return f"sparkctl.node.{module}"


def _bundle(*modules: str) -> dict[str, str]:
    return {name: text for module in modules for name, text in sources(module)}


def call(
    target: str,
    request: dict[str, Any],
    *,
    timeout: float | None = None,
    title: str = "",
    python: str = SYSTEM,
    inside: Sequence[str] = (),
    lease: dict[str, str] | None = None,
    root: bool = False,
    limit: int = LIMIT,
) -> Command:
    """The command that runs `module.function` of sparkctl/node with this request on a node.

    Its stdout is the function's answer as JSON. Secrets in the request travel on stdin only. With
    a `lease` (cluster and token) the function is called only while that is in force on the node;
    else it ends with the status STALE, and its answer is node/lease.py's `stale`. With `root` it
    runs as root: a login that is not goes through sudo, after that check. The words of `inside` run
    `python` in a container. `timeout` is the
    function's own (node/calls.py) unless another is given. Raises ValueError when that is more than
    its maximum.
    """
    bounds = CALLS[target]
    if timeout is not None and timeout > bounds.maximum:
        raise ValueError(f"{target} may take {bounds.maximum:g} s at most, got {timeout:g}")
    module, _, function = target.partition(".")
    modules = (module,) if lease is None else ("lease", module)
    # The system's own python needs no site-packages, which take a part of its start.
    flags = ("-I", "-S") if python == SYSTEM and not inside else ("-I",)
    argv = (*inside, python, *flags, "-c", LOADER)
    load = {
        "modules": [*_bundle(*modules).items()],
        "magic": MAGIC_NUMBER.hex(),
        "code": bytecode(*modules),
        "lease": lease,
        "root": [*SUDO, *argv] if root else None,
        "module": module,
        "function": function,
        "request": request,
    }
    return Command(
        argv=argv,
        stdin=json.dumps(load).encode() + b"\n",
        timeout=bounds.timeout if timeout is None else timeout,
        mutates=bounds.mutates,
        title=title or target,
        limit=limit,
    )


def reader(target: str) -> dict[str, Any]:
    """The command line and stdin by which a container's own Python, with its site-packages, calls
    a function of sparkctl/node; the function gets an empty request.
    """
    command = call(target, {})
    return {"argv": [SYSTEM, "-I", "-c", LOADER], "stdin": command.stdin.decode()}

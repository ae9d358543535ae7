"""Another local user attacks the cache of compiled code: `python tests/model/kernels/cache_attack.py` as root.

folder         he makes the victim's folder in /tmp, with his code under a name that he exchanges all the time with a
               link to a file of root's, so that a look at the name may see another file than the one that is read
links          the same, with links of all the names that the victim could write to before the code gets its own name
chosen folder  he can write to the folder that MLRAMAN_CODE names

Each prints what happened: 'ran his code', 'overwrote the file', or 'nothing'.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ATTACKER, VICTIM = 64001, 64002
CODE = b"the attacker's code"
NAME = "kernel-0123456789abcdef.o"
# the interpreter may lie where only root can read, so the user changes when all is imported
READ = """
import os, sys, tempfile
from mlraman_hpc.model.kernels import object_cache
become()
wait()
for _ in range(3000):
    found = object_cache.read_cached(sys.argv[1])
    if found:
        break
else:
    object_cache._write_cached(sys.argv[1], b"the victim's code")
print(found)
"""
BECOME = """
def become():
    os.setgroups([])
    os.setresgid({user}, {user}, {user})
    os.setresuid({user}, {user}, {user})
def wait():
    if {stop}:
        input()
"""
EXCHANGE = """
import ctypes, os, sys
become()
libc = ctypes.CDLL(None)
a, b = (os.fsencode(name) for name in sys.argv[1:])
while True:
    libc.renameat2(-100, a, -100, b, 2)
"""


def attempt(attack: str, folder: Path) -> str:
    """What the attack achieves, with folders of its own below `folder`."""
    folder.chmod(0o755)
    for above in folder.parents:  # pytest's own folders are closed to others
        if above.stat().st_uid == 0 and len(above.parts) > 2:
            above.chmod(above.stat().st_mode | 0o755)
    shared, home = folder / "tmp", folder / "home"
    shared.mkdir()
    shared.chmod(0o1777)
    home.mkdir(mode=0o700)
    precious = home / "thesis"
    precious.write_text("years of work")
    for path in (home, precious):
        os.chown(path, VICTIM, VICTIM)
    home.chmod(0o500)  # full quota: the code goes to the temporary folder
    place = folder / "chosen" if attack == "chosen folder" else shared / f"mlraman-{VICTIM}"
    place.mkdir()
    place.chmod(0o777)
    os.chown(place, ATTACKER, ATTACKER)
    _plant(place / NAME)
    running = None
    if attack == "links":
        (place / NAME).unlink()
        (place / NAME).symlink_to(precious)
    elif attack == "folder":
        (place / "other").symlink_to("/etc/passwd")
        running = _as(ATTACKER, home, EXCHANGE, str(place / NAME), str(place / "other"))
    variables = {"MLRAMAN_CODE": str(place)} if attack == "chosen folder" else {}
    try:
        victim = _as(VICTIM, home, READ, NAME, TMPDIR=str(shared), HOME=str(home), stop=attack == "links", **variables)
        if attack == "links":
            _link_temporary_names(victim, place, precious)
        out, error = victim.communicate(timeout=120)
    finally:
        if running:
            running.kill()
            running.communicate()
    assert victim.returncode == 0, error
    if CODE.decode() in out:
        return "ran his code"
    return "nothing" if precious.read_bytes() == b"years of work" else "overwrote the file"


def _link_temporary_names(victim: subprocess.Popen, place: Path, precious: Path) -> None:
    """The victim's process number is known to all; he waits for a line."""
    (place / f"{NAME}.part{victim.pid}").symlink_to(precious)
    assert victim.stdin is not None
    victim.stdin.write("go\n")
    victim.stdin.flush()


def _plant(path: Path) -> None:
    path.write_bytes(hashlib.sha256(CODE).digest() + CODE)
    os.chown(path, ATTACKER, ATTACKER)


def _as(user: int, folder: Path, code: str, *arguments: str, stop: bool = False, **variables: str) -> subprocess.Popen:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-c", BECOME.format(user=user, stop=stop) + code, *arguments],
        cwd="/",
        env={**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    for attack in ("folder", "links", "chosen folder"):
        for _ in range(3):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as name:
                print(f"{attack}: {attempt(attack, Path(name))} ({time.monotonic() - began:.1f} s)", flush=True)

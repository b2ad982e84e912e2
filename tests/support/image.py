"""The steps of a Dockerfile in a root of Debian, where no engine is: as far as that goes."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CONFIGURATION = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")

# A read-only root with /tmp and a volume, as `docker run --read-only` has with both.
RUN = """
mount --bind {root} {root}
mount -o remount,ro,bind {root}
mount -t tmpfs tmpfs {root}/tmp
mount -t tmpfs tmpfs {root}/dev/shm
mount -t tmpfs -o uid={user},mode=700 tmpfs {root}{volume}
mount -t proc proc {root}/proc
exec chroot {root} setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs \
    --bounding-set=-all "$@"
"""


def debian(root: Path) -> None:
    """A minimal Debian with Python, which stands for the base image."""
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    for name in CONFIGURATION:
        if Path(name).exists():
            (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, root / name[1:])


def steps(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Each instruction, and what stands behind it."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        if line.strip():
            instruction, _, rest = line.partition(" ")
            yield instruction, rest.strip()


@dataclass
class Stage:
    """One stage of the image."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0"
    volume: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)

    def run(self, script: str) -> None:
        """Run a step as root."""
        inside = f"cd {self.directory} && {script}"
        command = ["chroot", str(self.root), "/bin/sh", "-c", inside]
        environment = {"PATH": os.environ["PATH"], "HOME": "/root", **self.environment}
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        subprocess.run(command, check=True, env={**environment, **pip}, timeout=900)

    def copy(self, source: Path, target: str) -> None:
        """Copy a file or a folder to a place within the stage."""
        place = self.root / f"{self.directory}/{target}".lstrip("/")
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(source, place / source.name if target.endswith("/") else place)


def build(dockerfile: Path, base: Path, folder: Path) -> Stage:
    """The last stage of the image, in a folder."""
    stages: dict[str, Stage] = {}
    for instruction, rest in steps(dockerfile):
        words = rest.split()
        if instruction == "FROM":
            name = words[-1]
            stage = stages[name] = Stage(folder / f"stage-{len(stages)}")
            subprocess.run(["cp", "-a", str(base), str(stage.root)], check=True)
        elif instruction == "RUN":
            stage.run(rest)
        elif instruction == "COPY" and words[0].startswith("--from="):
            other = stages[words[0].removeprefix("--from=")]
            stage.copy(other.root / words[1].lstrip("/"), words[2])
        elif instruction == "COPY":
            for each in words[:-1]:
                target = words[-1].removeprefix("./") or "./"
                stage.copy(dockerfile.parent / each, target)
        elif instruction == "WORKDIR":
            stage.directory = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction == "ENV":
            given = dict(each.split("=", 1) for each in shlex.split(rest))
            stage.environment |= {
                name: value.replace("$PATH", os.environ["PATH"]) for name, value in given.items()
            }
        elif instruction == "HEALTHCHECK":
            stage.health_check = json.loads(rest.partition(" CMD ")[2])
        else:
            setattr(stage, instruction.lower(), json.loads(rest) if rest[0] == "[" else rest)
    stage.command = stage.__dict__.pop("cmd")
    return stage


@contextmanager
def container(stage: Stage, **settings: str) -> Iterator["Container"]:
    """What `docker run --read-only` would run, but on the network of this machine."""
    running = Container(stage, settings)
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.communicate(timeout=60)


class Container:
    """A process in the image's root."""

    def __init__(self, stage: Stage, settings: dict[str, str]) -> None:
        self._stage = stage
        self._environment = {**stage.environment, **settings}
        script = RUN.format(root=stage.root, user=stage.user, volume=stage.volume)
        command = ["unshare", "--mount", "--propagation=private", "sh", "-ec", script, "sh"]
        self.process = subprocess.Popen(
            [*command, *stage.entrypoint, *stage.command],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def is_healthy(self) -> bool:
        """Whether the health check passes."""
        check = ["chroot", str(self._stage.root), *self._stage.health_check]
        return subprocess.run(check, check=False, env=self._environment).returncode == 0

"""Builds the container image without a daemon, and runs what it holds as a container's engine would.

What is built is what ``make image`` builds, by buildah. No registry of images is needed: the base is made of
Debian's packages, once, and kept in ``.cache/image``. A container is a process in namespaces of its own. Its
root is the image's, read-only but for one volume; it has the image's user and environment, no capabilities.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".cache" / "image"
TOOLS: Final = ("buildah", "debootstrap", "unshare", "nsenter", "setpriv")
_NAME: Final = "localhost/otel-prefect:test"
_SUITE: Final = "bookworm"
# What an official Python image has too: pip, venv and the authorities that TLS trusts.
_PACKAGES: Final = "python3,python3-pip,python3-venv,ca-certificates"
_PIP: Final = ROOT / ".cache" / "uv" / "bin" / "pip"
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
# The settings of pip that say where packages come from; a build needs the host's.
_PIP_SETTINGS: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
# In a namespace of its own: no mount of it is seen outside, and it goes with the process.
_ENTER: Final = """
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1$3"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -o remount,bind,ro "$1"
root="$1" workdir="$4"
shift 4
exec /usr/sbin/chroot "$root" /usr/bin/env -C "$workdir" "$@"
"""


def missing() -> str | None:
    """Tell why no image can be built and run here; None where it can."""
    if os.geteuid() != 0:
        return "images are built and run as root here"
    without = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"there is no {', '.join(without)}: apt-get install buildah debootstrap" if without else None


@dataclass(frozen=True)
class Image:
    """An image that was built.

    Attributes:
        config: as Docker describes it: ``User``, ``Env``, ``Cmd`` and so on.
        root: its files.
        base: the files of the image that it was made from.
        canary: a word of the settings that the build was given, which may not be in it.
        seconds: that the build took.
    """

    config: dict[str, Any]
    root: Path
    base: Path
    canary: str
    seconds: float

    def environment(self) -> dict[str, str]:
        """Return the environment that a container of it starts with."""
        return dict(pair.split("=", 1) for pair in self.config["Env"])

    def as_user(self) -> tuple[str, ...]:
        """Return the command that runs another as the image's user, without any privilege."""
        user, _, group = self.config["User"].partition(":")
        return (
            *("/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        )


@dataclass
class Container:
    """A container that was started.

    Attributes:
        image: that it was made from.
        process: its first process's parent, outside of it.
        environ: of its first process.
        volume: the folder that its volume is in.
        stderr: the file with its log.
    """

    image: Image
    process: subprocess.Popen[bytes]
    environ: dict[str, str]
    volume: Path
    stderr: Path
    accounts: dict[str, Any] = field(default_factory=dict)

    def pid(self) -> int:
        """Return its first process, as it is known outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(children) == 1, children
        return int(children[0])

    def wait_started(self) -> None:
        """Wait until its first process is inside of it."""
        deadline = time.monotonic() + 10
        while True:
            assert self.process.poll() is None, f"it did not start: {self.stderr.read_text()}"
            assert time.monotonic() < deadline, f"its root was not entered: {self.stderr.read_text()}"
            # Until there is one, and until it is the one that the image names.
            with contextlib.suppress(AssertionError, FileNotFoundError):
                if Path(f"/proc/{self.pid()}/root").readlink() == self.image.root:
                    return
            time.sleep(0.02)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it as its user, as ``docker exec`` does, and wait for its end."""
        enter = ("nsenter", f"--target={self.pid()}", "--mount", "--pid", "--root", "--wd", "--")
        return subprocess.run(
            (*enter, *self.image.as_user(), *command),
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD", kind
        return self.execute(*command)

    def wait_healthy(self, timeout: float = 60) -> None:
        """Wait for the health check to succeed; fails with the log where it does not come to that."""
        deadline = time.monotonic() + timeout
        while self.health().returncode != 0:
            assert self.process.poll() is None, f"it ended: {self.stderr.read_text()}"
            assert time.monotonic() < deadline, f"not healthy: {self.stderr.read_text()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, if it runs: with its first process goes all that is in it."""
        # What unshare would see to is off once the user has changed (prctl(2), PR_SET_PDEATHSIG).
        with contextlib.suppress(AssertionError, FileNotFoundError, ProcessLookupError):
            os.kill(self.pid(), signal.SIGKILL)
        self.process.kill()
        self.process.communicate()

    def stop(self, timeout: float = 40) -> int:
        """Send the image's signal to the first process; return its exit code. Reads the accounts."""
        os.kill(self.pid(), signal.Signals[self.image.config["StopSignal"]])
        out, _ = self.process.communicate(timeout=timeout)
        self.accounts = json.loads(out.decode().strip().splitlines()[-1])
        return self.process.returncode


@contextlib.contextmanager
def run(image: Image, folder: Path, **variables: str) -> Iterator[Container]:
    """Run a container with a new volume, in the network of the calling thread; it is killed at the end.

    Args:
        image: what it is made from.
        folder: an empty one, of its log and volume.
        variables: added to the image's environment.
    """
    (mount_point,) = image.config["Volumes"]
    volume = folder / "volume"
    volume.mkdir()
    # A new volume has the owner and permissions of the folder that it is mounted over, on Fargate too:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bind-mounts.html
    inside = (image.root / mount_point.lstrip("/")).stat()
    os.chown(volume, inside.st_uid, inside.st_gid)
    volume.chmod(inside.st_mode & 0o7777)
    environ = {**image.environment(), **variables}
    namespaces = ("unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", _ENTER, "sh")
    places = (str(image.root), str(volume), mount_point, image.config["WorkingDir"])
    command = (*image.as_user(), *image.config["Entrypoint"], *image.config["Cmd"])
    with (folder / "container.log").open("wb") as log:
        process = subprocess.Popen(
            (*namespaces, *places, *command), env=environ, stdout=subprocess.PIPE, stderr=log
        )
    container = Container(image, process, environ, volume, folder / "container.log")
    try:
        container.wait_started()
        yield container
    finally:
        container.kill()


@contextlib.contextmanager
def built(folder: Path) -> Iterator[Image]:
    """Build the image with the Collector that is in the cache; what was built is removed at the end.

    Args:
        folder: of the build's log and of the settings that it is given.
    """
    buildah = _Buildah(folder / "build.log")
    buildah.run("rm", "--all")  # what a run that was killed has left
    base = _base(buildah)
    started = time.monotonic()
    prebuilt = _image_with(buildah, collector.find(), "otelcol-contrib")
    canary = "c4nary-of-the-build"
    options = (
        *("--pull-never", "--build-arg", f"PYTHON_IMAGE={base}", "--build-arg", "COLLECTOR=image"),
        *("--build-arg", f"COLLECTOR_IMAGE={prebuilt}", *_settings(folder, canary)),
    )
    try:
        buildah.make_image(_NAME, options)
        seconds = time.monotonic() - started
        described = json.loads(buildah.run("inspect", "--type", "image", _NAME))["Docker"]["config"]
        mounted = [
            Path(buildah.run("mount", buildah.run("from", "--pull-never", each))) for each in (_NAME, base)
        ]
        yield Image(described, mounted[0], mounted[1], canary, seconds)
    finally:
        buildah.run("rm", "--all")
        buildah.run("rmi", "--force", _NAME, prebuilt)
        buildah.run("rmi", "--prune")


class _Buildah:
    """Buildah, with images and containers of our own, without an engine, and a log of what it does."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._command = (
            *("buildah", "--root", str(FOLDER / "storage"), "--runroot", str(FOLDER / "run")),
            *("--storage-driver", "vfs"),
        )
        self._environ = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def run(self, *arguments: str) -> str:
        """Run one of its commands; return what it prints."""
        return self._call((*self._command, *arguments))

    def make_image(self, name: str, options: Sequence[str]) -> None:
        """Run ``make image`` with it."""
        builder = f"IMAGE_BUILDER={' '.join(self._command)}"
        self._call(("make", "image", builder, f"IMAGE={name}", f"IMAGE_ARGS={' '.join(options)}"))

    def _call(self, command: Sequence[str]) -> str:
        with self._log.open("a") as log:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )
            log.write(done.stdout)
        assert done.returncode == 0, f"{command[0]} failed: {self._log.read_text()[-4000:]}"
        return done.stdout.strip()


def _base(buildah: _Buildah) -> str:
    """Return the name of an image with Python; it is made where it is not there."""
    recipe = hashlib.sha256(f"{_SUITE} {_PACKAGES}".encode()).hexdigest()[:12]
    name = f"localhost/python-of-debian:{recipe}"
    if name not in buildah.run("images", "--format", "{{.Name}}:{{.Tag}}").split():
        container = buildah.run("from", "scratch")
        root = buildah.run("mount", container)
        _debootstrap(root)
        buildah.run("commit", "--rm", container, name)
    return name


def _debootstrap(root: str) -> None:
    done = subprocess.run(
        ("/usr/sbin/debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"debootstrap failed: {done.stdout[-2000:]}"
    # Official Python images come without either.
    for bytecode in Path(root, "usr/lib").glob("python3*/**/__pycache__"):
        shutil.rmtree(bytecode)
    shutil.rmtree(Path(root, "var/cache/apt/archives"))


def _image_with(buildah: _Buildah, program: Path, name: str) -> str:
    """Return the name of an image that holds a program and nothing else."""
    container = buildah.run("from", "scratch")
    shutil.copy2(program, Path(buildah.run("mount", container)) / name)
    image = "localhost/collector:test"
    buildah.run("commit", "--rm", container, image)
    return image


def _settings(folder: Path, canary: str) -> Iterator[str]:
    """Yield the options that hand the host's own settings to the build: pip's, and whom it trusts."""
    said = subprocess.run((str(_PIP), "config", "list"), capture_output=True, text=True, check=True).stdout
    found: Mapping[str, str] = dict(re.findall(r"^[^=\n]*\.([a-z-]+)='(.*)'$", said, re.MULTILINE))
    pip = configparser.RawConfigParser()
    pip["global"] = {name: found[name] for name in _PIP_SETTINGS if name in found}
    with (folder / "pip.conf").open("w") as file:
        file.write(f"# {canary}\n")
        pip.write(file)
    yield from ("--secret", f"id=pip,src={folder / 'pip.conf'}")
    certificates = Path(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES)
    if certificates.is_file():
        yield from ("--secret", f"id=ca,src={certificates}")

"""The project's folder on disk: ecm.yaml, .env, the plans and .ecm.

Everything that reads or writes these files is here; what they mean is in `orchestrator.plan`.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dotenv import dotenv_values

from orchestrator.errors import ConfigurationError, EcmError, InvalidFileError, UsageError
from orchestrator.plan.document import parse
from orchestrator.plan.project import SCHEMA_FILE, Project, variable_for
from orchestrator.redaction import Secrets, secrets_in, webhook_secrets
from orchestrator.words import did_you_mean

if TYPE_CHECKING:
    from orchestrator.plan.model import Plan

CONFIG_FILE = "ecm.yaml"

_PROVIDERS = ("url", "embedded", "neon")

_IGNORED = (".ecm/", ".env")
"""What must never be committed: local state, and the passwords in .env."""


class Environment(Mapping[str, str]):
    """Environment variables, those of `.env` included; its repr shows names only, because values hold passwords."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Environment({len(self)} variables)"


@dataclass(frozen=True, kw_only=True)
class Plans:
    """What the plans folder holds.

    Attributes:
        plans: the plans that can be read, by name.
        errors: one for each file that cannot.
    """

    plans: "tuple[Plan, ...]"
    errors: tuple[EcmError, ...]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A project on disk.

    Attributes:
        root: the folder of ecm.yaml; relative paths in it are taken from here.
        project: what ecm.yaml says.
        environment: the process's variables, over those of `.env` beside ecm.yaml.
        rehearsal: whether it was made for a rehearsal, on a copy of a branch: what is moved there proves nothing.
    """

    root: Path
    project: Project
    environment: Environment
    rehearsal: bool = False

    @classmethod
    def find(cls, start: Path, config: Path | None, environment: Mapping[str, str]) -> Self:
        """Open the project that `start` is in.

        Args:
            start: a folder; ecm.yaml is looked for here and upwards.
            config: the project file, where it was named.
            environment: the process's variables; they win over `.env`.

        Raises:
            ConfigurationError: there is no project file.
            InvalidFileError: the project file or `.env` cannot be read.
        """
        path = _config_file(start, config)
        project = parse(read_text(path, shown=path.name), file=path.name, model=Project)
        return cls(root=path.parent, project=project, environment=_environment(path.parent / ".env", environment))

    def within(self, folder: str | Path) -> str:
        """Return a folder as the project has it, from its own; it need not be there yet.

        Raises:
            UsageError: it is outside of the project, or a file.
        """
        path, root = (self.root / folder).resolve(), self.root.resolve()
        if not path.is_relative_to(root):
            raise UsageError(f"{folder} is outside of the project, which is {root}", hint="name a folder in it")
        if path.exists() and not path.is_dir():
            raise UsageError(f"{folder} is no folder", hint="name a folder in the project")
        return path.relative_to(root).as_posix()

    @staticmethod
    def init(folder: Path, provider: str) -> tuple[Path, ...]:
        """Make a folder a project; return the files written or added to.

        Args:
            folder: where ecm.yaml will be; made where it does not exist.
            provider: where branches come from: url, embedded or neon.

        Raises:
            UsageError: there is no such provider.
            ConfigurationError: the folder is a project already.
        """
        if provider not in _PROVIDERS:
            raise UsageError(f"there is no provider {provider}", details=[did_you_mean(provider, _PROVIDERS)])
        for existing in (folder / CONFIG_FILE, folder / "ecm.yml"):
            if existing.exists():
                raise ConfigurationError(f"{existing} exists already", hint="edit it, or remove it first")
        written = [write_new_file(folder / CONFIG_FILE, _project_text(folder.resolve().name, provider))]
        (folder / "plans").mkdir(exist_ok=True)
        written += _append(folder / ".env.example", _example(provider))
        written += _append(folder / ".gitignore", _IGNORED)
        return (*written, _write_schema(folder))

    @property
    def folder(self) -> Path:
        """Where plans are."""
        return self.root / self.project.plans

    @property
    def schema_reference(self) -> str:
        """The plan schema as a plan file refers to it: `../.ecm/plan.schema.json`."""
        return Path(os.path.relpath(self.root / SCHEMA_FILE, self.folder)).as_posix()

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, with a relative SQLite file taken from the project's folder.

        Raises:
            ConfigurationError: the variable that ecm.yaml names is not set.
        """
        name = self.project.ledger_env
        if name is None:
            url = self.project.ledger
        elif not (url := self.environment.get(name, "")):
            raise ConfigurationError(
                f"{name} is not set, and {CONFIG_FILE} says that it holds the ledger's URL",
                hint=f"set {name}, in the environment or in {self.root / '.env'}",
            )
        return _from(self.root, url)

    @property
    def webhook(self) -> str | None:
        """The URL that notices are sent to; None where the project has none, or its variable is not set here."""
        notices = self.project.notices
        return self.environment.get(notices.webhook_env) or None if notices else None

    @cached_property
    def secrets(self) -> Secrets:
        """What must not be shown: the passwords in URLs, and whoever holds a webhook's URL may write to its channel.

        A provider that is given URLs in the course of a command adds to it.
        """
        found = secrets_in(self.environment) | secrets_in({"ledger": self.project.ledger})
        return Secrets(found | webhook_secrets(self.webhook) if self.webhook else found)

    def plan_names(self) -> tuple[str, ...]:
        """Return the names of all plan files, readable or not, in alphabetical order."""
        return tuple(path.stem for path in self._files(".yaml"))

    def plan(self, name: str) -> "Plan":
        """Return a plan, with the project's defaults where it says nothing.

        Raises:
            UsageError: there is no such plan.
            InvalidFileError: its file cannot be read as this plan.
        """
        if name not in self.plan_names():
            raise self._no_plan(name)
        return self._load(self.folder / f"{name}.yaml")

    def plans(self) -> Plans:
        """Return every plan that can be read, and an error for every file that cannot."""
        found: list[Plan] = []
        errors: list[EcmError] = [_wrong_suffix(self._shown(path)) for path in self._files(".yml")]
        for path in self._files(".yaml"):
            try:
                found.append(self._load(path))
            except EcmError as error:
                errors.append(error)
        return Plans(plans=tuple(found), errors=tuple(errors))

    def write_plan(self, plan_text: str, name: str) -> Path:
        """Write a new plan file, whole or not at all, and the schema it refers to; return its path.

        Args:
            plan_text: the file's text (`orchestrator.plan.schema.render_plan`).
            name: the plan's name.

        Raises:
            ConfigurationError: there is a file of this name already; it stays as it is.
            InvalidFileError: the text is not this plan.
        """
        path = self.folder / f"{name}.yaml"
        plan = self._parse(path, plan_text)
        if plan.plan != name:
            raise _misnamed(name, plan.plan, taken=False)
        written = write_new_file(path, plan_text)
        _write_schema(self.root)
        return written

    def _files(self, suffix: str) -> tuple[Path, ...]:
        """Return the plans folder's files of a suffix; editors' hidden ones are left out."""
        try:
            return tuple(
                sorted(path for path in self.folder.iterdir() if path.suffix == suffix and path.name[0] not in ".#~")
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigurationError(
                f"the plans folder {self.folder} cannot be read: {error.strerror}",
                hint=f"correct `plans` in {CONFIG_FILE}, or the folder's permissions",
            ) from None

    def _load(self, path: Path) -> "Plan":
        plan = self._parse(path, read_text(path, shown=self._shown(path)))
        return plan.with_defaults(self.project.defaults)

    def _parse(self, path: Path, text: str) -> "Plan":
        plan = _parsed(text, self._shown(path))
        if plan.plan != path.stem:
            raise _misnamed(self._shown(path), plan.plan, taken=plan.plan in self.plan_names())
        return plan

    def _shown(self, path: Path) -> str:
        """Return a path as a person in the project's folder would write it."""
        return Path(os.path.relpath(path, self.root)).as_posix()

    def _no_plan(self, name: str) -> EcmError:
        if name in {path.stem for path in self._files(".yml")}:
            return _wrong_suffix(self._shown(self.folder / f"{name}.yml"))
        names = self.plan_names()
        broken = [
            error.message for error in self.plans().errors if any(f"`plan: {name}`" in line for line in error.details)
        ]
        details = [*broken, did_you_mean(name, names) or f"there are no plans in {self._shown(self.folder)}/"]
        return UsageError(f"there is no plan {name}", details=details, hint="ecm plan list")


@lru_cache(maxsize=128)
def _parsed(text: str, shown: str) -> "Plan":
    # A script that waits for something asks of the same file again and again; most of a short answer's time is this.
    from orchestrator.plan.model import Plan

    return parse(text, file=shown, model=Plan)


def _misnamed(shown: str, name: str, *, taken: bool) -> InvalidFileError:
    path = Path(shown)
    other = path.with_name(f"{name}.yaml").as_posix()
    if taken:
        details = f"it says `plan: {name}`, and {other} is that plan already"
        hint = f"write `plan: {path.stem}` in {shown}, or remove one of the two files"
    else:
        details = f"it says `plan: {name}`, and a plan has its file's name"
        hint = f"write `plan: {path.stem}`, or rename the file to {other}"
    return InvalidFileError(f"{shown} is named {path.stem} and holds the plan {name}", details=[details], hint=hint)


def _wrong_suffix(shown: str) -> InvalidFileError:
    renamed = Path(shown).with_suffix(".yaml").as_posix()
    return InvalidFileError(f"{shown} is not read: plan files end in .yaml", details=[], hint=f"mv {shown} {renamed}")


# --- reading --------------------------------------------------------------------------------------


def _config_file(start: Path, config: Path | None) -> Path:
    if config is not None:
        if not config.is_file():
            raise ConfigurationError(f"there is no file {config}", hint="name the project file, or run `ecm init`")
        return config.absolute()
    first = start.absolute()
    for folder in (first, *first.parents):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
    short = first / "ecm.yml"
    if short.is_file():
        raise ConfigurationError(f"there is no {CONFIG_FILE}, but there is {short}", hint=f"rename it to {CONFIG_FILE}")
    raise ConfigurationError(f"there is no {CONFIG_FILE} in {first} or above it", hint="ecm init")


def _environment(path: Path, environment: Mapping[str, str]) -> Environment:
    if not path.is_file():
        return Environment(environment)
    beside = dotenv_values(stream=StringIO(read_text(path, shown=".env")))
    return Environment({**{name: value for name, value in beside.items() if value is not None}, **environment})


def read_text(path: Path, *, shown: str) -> str:
    """Return a file's text, without a byte order mark.

    Raises:
        InvalidFileError: it cannot be opened, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "check the file's permissions" if isinstance(error, PermissionError) else None
        raise InvalidFileError(f"{shown} cannot be read: {error.strerror}", hint=hint) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        detail = f"{shown}:{line}:{column}: the byte 0x{content[error.start]:02x} is not UTF-8"
        raise InvalidFileError(f"{shown} is not UTF-8", details=[detail], hint="save it as UTF-8") from None


def _from(root: Path, url: str) -> str:
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^?]+)(\?.*)?", url)
    if match is None or match[2] == ":memory:" or match[2].startswith("file:"):
        return url
    return f"{match[1]}{(root / match[2]).as_posix()}{match[3] or ''}"


# --- writing --------------------------------------------------------------------------------------


def write_new_file(path: Path, text: str) -> Path:
    """Write a file that did not exist: whole, on disk, and never over another.

    A link, unlike a rename, fails when the name is taken, so two writers cannot both succeed.

    Raises:
        ConfigurationError: the file exists.
    """
    temporary = _written_beside(path, text)
    taken = ConfigurationError(f"{path} exists already", hint="choose another name, or remove it first")
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise taken from None
    except OSError:
        # A file system without hard links: as good as it gets there.
        if path.exists():
            raise taken from None
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def replace_file(path: Path, text: str) -> Path:
    """Write a file, whole and on disk, in place of what was there."""
    return _written_beside(path, text).replace(path)


def _written_beside(path: Path, text: str) -> Path:
    """Write a temporary file in the same folder, through to the disk; return its path."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="check its permissions") from None
    return temporary


def _append(path: Path, lines: Iterable[str]) -> tuple[Path, ...]:
    """Add the lines a file lacks, making it where there is none; return the file if it was written."""
    text = read_text(path, shown=path.name) if path.exists() else ""
    present = {_key(line) for line in text.splitlines()}
    missing = [line for line in lines if _key(line) not in present]
    if not missing:
        return ()
    joint = "" if not text or text.endswith("\n") else "\n"
    return (replace_file(path, text + joint + "".join(f"{line}\n" for line in missing)),)


def _key(line: str) -> str:
    """Return what makes a line the same as another: a variable's name, or the line."""
    return line.strip().partition("=")[0]


def _write_schema(root: Path) -> Path:
    from orchestrator.plan.schema import json_schema

    path = root / SCHEMA_FILE
    return replace_file(path, json.dumps(json_schema(), indent=2) + "\n")


_PROJECT_ID = "  project_id: my-project-12345678   # in Neon's console: Settings\n"
_NEON_PARENT = "{parent: production}   # names of branches are names of Neon branches"


_PARENTS = {"neon": _NEON_PARENT, "embedded": "{parent: production}   # is made and reset from it"}
"""What development begins as, where ecm makes it; databases that are there have no parent until somebody says so."""


def _project_text(folder: str, provider: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "project"
    return f"""\
project: {name}
provider:
  kind: {provider}
{_PROJECT_ID if provider == "neon" else ""}branches:
  development: {_PARENTS.get(provider, "{}")}
  production:
    requires: [development]   # is never ahead of development
    protected: true           # asks before acting
"""


def _example(provider: str) -> tuple[str, ...]:
    if provider == "embedded":
        return ("# The embedded server needs no URL here.",)
    if provider == "neon":
        return (
            "# A key that reaches the project. Copy this file to .env, which is not committed.",
            "NEON_API_KEY=napi_key",
        )
    return (
        "# Direct connections, not pooled ones. Copy this file to .env, which is not committed.",
        *(
            f"{variable_for(branch)}=postgresql://user:password@localhost:5432/{branch}"
            for branch in ("development", "production")
        ),
    )

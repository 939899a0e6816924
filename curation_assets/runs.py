"""Runs in this process: where they are recorded, what they show, and what is left of those that were killed.

Dagster's daemons watch only the runs that they launched. A run of the command line names its process in its tags
instead, so that the next command, or `make dev`, can tell that the process is gone and end the run.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from curation_assets.acquisition.archive_layout import snapshot_name
from curation_assets.assets import begin_takedowns
from curation_assets.definitions import build_definitions
from curation_assets.lake.lake import TAKEDOWN_LIST, LakeError, Stats
from curation_assets.lake.progress import Pace, Progress, Told, counted, duration, reasons
from curation_assets.lake.station import Staged, Station
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.settings import Settings, SettingsError

HOST, PID, STARTED = "curation/host", "curation/pid", "curation/process_start"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
CONSUMED = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS)
"""Events whose place in the log Dagster's EventLogConsumerDaemon remembers."""

NOT_CAPTURED = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""A person reads this process's output. To capture it Dagster sends it through `tail` processes, which an interrupt
kills loudly."""


class TimeLeftColumn(ProgressColumn):
    """How long a bar will still take, counted down from what its reporter last expected."""

    def render(self, task: Task) -> Text:
        """`-3 min 20 s`; nothing while nobody knows, or where all is done."""
        end = task.fields["end"]
        return Text("" if end is None or task.finished else f"-{duration(end - time.monotonic())}", "cyan")


def progress_bars(console: Console) -> Bars:
    """Bars as they are shown for a run: name, bar, parts, time so far, time to go, and what is counted."""
    name, note = TextColumn("{task.description:<20}"), TextColumn("{task.fields[note]}", markup=False)
    elapsed = TimeElapsedColumn()
    return Bars(name, BarColumn(16), MofNCompleteColumn(), elapsed, TimeLeftColumn(), note, console=console)


class BarReporter:
    """A progress bar for each station, and what was published."""

    large_plots = False

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.staged: list[Staged] = []
        self._tasks: dict[str, Any] = {}

    def progress(self, station: Station, workers: int, log: Callable[[str], None]) -> Progress:
        """A bar that fills as parts are finished."""
        task = self._tasks[station.name] = self.bars.add_task(station.name, total=None, note="", end=None)
        pace = Pace(workers)

        def advance(done: int, total: int, stats: Stats, phase: str = "") -> None:
            told = pace.told(done, total, stats, phase)
            end = None if told.left is None else time.monotonic() + told.left
            self.bars.update(task, completed=done, total=total or None, end=end, note=_note(told, station))

        return advance

    def published(self, staged: Staged) -> None:
        """Complete the station's bar."""
        self.staged.append(staged)
        manifest, files = staged.manifest, len(staged.manifest.files)
        tabular = staged.station.schema is not None or "rows_out" in manifest.stats
        note = counted(manifest.stats, staged.station.schema) if tabular else decimal(manifest.bytes)
        note += "" if staged.fresh else ", up to date"
        if retries := staged.observed.get("retries"):
            note += f", {retries:,} requests made again"
        self.bars.update(self._tasks[staged.station.name], completed=files, total=files, note=note)


def _note(told: Told, station: Station) -> str:
    """What fits beside a bar, the most telling first."""
    if told.phase:
        return told.phase
    rate = "" if told.rate is None else f"{told.rate:,.0f}/s, "
    dropped = "".join(f", {name} {count:,}" for name, count in reasons(told.stats))
    return f"{rate}{counted(told.stats, station.schema)}{dropped}"


def materialise(settings: Settings, snapshot: str, console: Console) -> list[Staged]:
    """Materialise every asset for one snapshot in this process, with progress bars on `console`.

    The run is recorded in the Dagster instance of DAGSTER_HOME, where there is one and its UI shows the same lake.

    Raises:
        ArchiveError: the source has no such snapshot, or cannot be read.
        LakeError: the lake cannot be written to, or data broke a check.
        KeyboardInterrupt: a person stopped it; what is finished is kept.
    """
    require(settings, snapshot)
    if not compiled():
        console.print("compiling kernels (once)")
    with open_instance(settings, console) as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [snapshot])
        with progress_bars(console) as bars:
            reporter = BarReporter(bars)
            try:
                build_definitions(settings, reporter).resolve_job_def("curate_snapshot").execute_in_process(
                    partition_key=snapshot,
                    instance=instance,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    tags=process_tags(),
                )
            except dg.Failure as failure:
                raise LakeError(failure.description) from failure
            except dg.DagsterExecutionInterruptedError:
                raise KeyboardInterrupt from None
    return reporter.staged


def require(settings: Settings, snapshot: str) -> None:
    """Refuse a run that cannot begin: a snapshot that does not exist, or a lake that cannot be written to.

    A snapshot whose list of WARC files is in the lake is known: the source need not be within reach to go on.
    """
    snapshot_name(snapshot)
    line = Line(settings)
    try:
        if line.lake.partition(line.key("warc_files"), snapshot).committed() is None:
            line.archive.warc_files(snapshot)
        line.lake.root.mkdir(parents=True, exist_ok=True)
        writable = os.access(line.lake.root, os.W_OK | os.X_OK)
    except OSError as error:
        raise LakeError(f"the lake {line.lake.root} (setting lake) cannot be made: {error.strerror}") from error
    if not writable:
        raise LakeError(f"the lake {line.lake.root} (setting lake) cannot be written to by this user")


def compiled() -> bool:
    """Whether Numba keeps machine code of this installation's kernels."""
    from numba.core.registry import CPUDispatcher

    from curation_assets.deduplication import minhash

    kernels = [value for value in vars(minhash).values() if isinstance(value, CPUDispatcher)]
    return any(any(Path(kernel.stats.cache_path).glob("*.nbi")) for kernel in kernels if kernel.stats.cache_path)


def use_instance() -> None:
    """Record runs where `make dev` looks: the folder with dagster.yaml, unless DAGSTER_HOME says otherwise."""
    if "DAGSTER_HOME" not in os.environ and Path("dagster.yaml").is_file():
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
    if home := os.environ.get("DAGSTER_HOME"):
        os.environ.setdefault("CURATION_STATE", str(Path(home) / ".dagster"))


def open_instance(settings: Settings, console: Console) -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, prepared; one that forgets where there is none, or its UI shows another lake."""
    use_instance()
    if not os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.ephemeral()
    shown = Settings().lake.resolve()
    if settings.lake.resolve() != shown:
        console.print(f"not recorded in the Dagster UI, whose lake is {shown}", soft_wrap=True, markup=False)
        return dg.DagsterInstance.ephemeral()
    home = Path(os.environ["DAGSTER_HOME"])
    if not home.is_absolute() or not home.is_dir():
        raise SettingsError(
            f"DAGSTER_HOME in the environment is {str(home)!r}: it must be the absolute path of a folder"
        )
    instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"compute_logs": NOT_CAPTURED}))
    for ended in prepare(instance):
        console.print(ended, soft_wrap=True, markup=False)
    return instance


def observe(settings: Settings, versions: Mapping[str, str], console: Console) -> None:
    """Report, by snapshot, that the list of takedowns means something else now: what is made from it is stale."""
    with open_instance(settings, console) as instance:
        for snapshot, version in versions.items():
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    dg.AssetKey(TAKEDOWN_LIST), partition=snapshot, tags={"dagster/data_version": version}
                )
            )


def prepare(instance: dg.DagsterInstance) -> list[str]:
    """End the runs whose process is gone, and set what a new instance lacks; says what it ended."""
    set_cursors(instance)
    begin_takedowns(instance)
    return end_dead_runs(instance)


def set_cursors(instance: dg.DagsterInstance) -> None:
    """Let the daemons begin at the end of the event log, as they would by themselves, but with a warning."""
    cursors = instance.daemon_cursor_storage
    keys = {f"EVENT_LOG_CONSUMER_CURSOR-{event.value}" for event in CONSUMED}
    missing = keys - set(cursors.get_cursor_values(keys))
    if missing:
        last = instance.event_log_storage.get_maximum_record_id() or 0
        cursors.set_cursor_values(dict.fromkeys(sorted(missing), str(last)))


def process_tags() -> dict[str, str]:
    """Tags that name this process on a run, and keep daemons from repeating what a person started by hand."""
    started = process_start(os.getpid())
    return {HOST: socket.gethostname(), PID: str(os.getpid()), STARTED: str(started), "dagster/max_retries": "0"}


def process_start(pid: int) -> str | None:
    """When a process of this host started, in clock ticks since boot; None when it has ended.

    With the process id it names a process for good: ids are used again, a start time is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold blanks; field 3 is the state, 22 the start
    return None if fields[0] in "ZX" else fields[19]


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark as failed the unfinished runs of processes of this host that are gone, and free their pool slots.

    Gives back a sentence for each. Runs that Dagster repeated on its own copied the tags: those it watches itself.
    """
    ended = []
    filters = dg.RunsFilter(statuses=UNFINISHED, tags={HOST: socket.gethostname()})
    for listed in instance.get_runs(filters):
        pid, started = listed.tags.get(PID, ""), listed.tags.get(STARTED)
        if listed.parent_run_id or not pid.isdecimal() or process_start(int(pid)) == started:
            continue
        run = instance.get_run_by_id(listed.run_id)  # it may have ended well just now, before its process did
        if run is not None and not run.is_finished:
            reason = f"its process {pid} on {listed.tags[HOST]} ended without saying so: killed, or out of memory"
            instance.report_run_failed(run, f"Run marked as failed: {reason}. Run it again to go on.")
            ended.append(f"ended run {run.run_id.split('-')[0]} of {run.tags.get('dagster/partition', '?')}: {reason}")
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(listed.run_id)
    return ended

"""Errand beside its peers, under each load in turn."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from tests.bench import load
from tests.bench.contestants import Contestant, say, started
from tests.bench.data import Postgres
from tests.bench.load import Sample
from tests.bench.report import Circumstances, Result, counted
from tests.bench.workloads import USUAL_CLIENTS, WORKLOADS, Workload


def measured(
    postgres: Postgres, options: argparse.Namespace, failures: list[str]
) -> Iterator[Result]:
    """All loads, on one process of each server, then on several."""
    for processes in options.processes:
        with ExitStack() as stack:
            contestants = list(started(options.peers, processes, postgres, stack, options.baseline))
            for workload in (WORKLOADS[name] for name in options.workloads):
                warm_up(contestants, workload)
                for clients in options.clients:
                    if clients >= processes:  # else some have nothing to do
                        say(f"measuring {Circumstances(workload.name, clients, processes)}")
                        yield from medians(contestants, workload, clients, options, failures)


def warm_up(contestants: list[Contestant], workload: Workload) -> None:
    """Fill pools and caches; one that fails will fail again when it is measured."""
    for each in contestants:
        with suppress(load.WrongAnswers):
            each.sample(workload, clients=USUAL_CLIENTS, seconds=load.WARM_UP_SECONDS)


def medians(
    contestants: list[Contestant],
    workload: Workload,
    clients: int,
    options: argparse.Namespace,
    failures: list[str],
) -> Iterator[Result]:
    """Figures of all rounds; a contestant that fails under a load has none for it, and is named."""
    samples = in_rounds(contestants, workload, clients, options, failures)
    for each in contestants:
        if each.name in samples:
            sample = Sample.median(samples[each.name])
            yield Result(each.name, each.title, workload.name, clients, each.processes, sample)


def in_rounds(
    contestants: list[Contestant],
    workload: Workload,
    clients: int,
    options: argparse.Namespace,
    failures: list[str],
) -> dict[str, list[Sample]]:
    """Each has a turn in every round, to and fro, so that a slow minute hits all."""
    samples: dict[str, list[Sample]] = {each.name: [] for each in contestants}
    for number in range(options.rounds):
        for each in contestants[:: -1 if number % 2 else 1]:
            if each.name not in samples:
                continue
            try:
                sample = each.sample(workload, clients=clients, seconds=options.seconds)
            except load.WrongAnswers as error:
                of_each = counted(each.processes, "process", "processes")
                failures.append(f"{each.title}, {of_each}: {error}")
                del samples[each.name]
            else:
                samples[each.name].append(sample)
    return samples

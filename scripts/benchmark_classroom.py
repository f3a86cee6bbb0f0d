"""How many students does this machine carry? Their kernels, memory and time a step.

    .venv/bin/python scripts/benchmark_classroom.py                       # a class
    .venv/bin/python scripts/benchmark_classroom.py --idle 3 --training 1   # a try

Thirty kernels at once run the first ten code cells of notebook 00 and stay; ten more
then train 04's VAE on MNIST, first one of them alone, then all together, each with one
thread and with one for every core. Needs MNIST in `data/`, or where `VAE_DATA_DIR`
says, and Linux, whose `/proc` tells what memory is a process's own.
"""

import argparse
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vae_helpers.data import load_images

from jupyter_client.manager import KernelManager

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
PATIENCE = 1800  # seconds for a cell
RESERVE = 1024  # MiB that stay free for whatever else runs here
LARGEST = 500  # MiB that a kernel may come to hold alone
PREPARE = """
from vae_helpers.data import load_images
from vae_helpers.models import VAE
from vae_helpers.objectives import negative_elbo
from vae_helpers.training import fit
import torch

images = load_images("mnist").train_images
fit(VAE(20), negative_elbo, images, steps=1, quiet=True)  # not on the clock
"""
TRAIN = """
torch.set_num_threads({n_threads})
history = fit(VAE(20), negative_elbo, images, steps={steps}, quiet=True)
print(1000 * history.seconds / {steps})
"""


class Student:
    """A kernel as JupyterLab starts it, and the seconds until its cells had run."""

    def __init__(self, cells: list[str]) -> None:
        started = time.perf_counter()
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(NOTEBOOKS))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        for cell in cells:
            self.run(cell)
        self.seconds = time.perf_counter() - started

    def run(self, cell: str) -> str:
        """What the cell prints."""
        shown = []
        options = {"timeout": PATIENCE, "output_hook": shown.append}
        reply = self.client.execute_interactive(cell, **options)["content"]
        if reply["status"] != "ok":
            raise RuntimeError("\n".join(reply.get("traceback", [str(reply)])))
        return "".join(message["content"].get("text", "") for message in shown)

    def train(self, n_threads: int, steps: int) -> float:  # milliseconds a step
        cell = TRAIN.format(n_threads=n_threads, steps=steps)
        return float(self.run(cell).split()[-1])

    def measure(self) -> dict[str, float]:
        """In MiB: all it looks at, what it alone holds, and its part of the whole."""
        rollup = Path(f"/proc/{self.manager.provisioner.pid}/smaps_rollup").read_text()
        lines = [line.split() for line in rollup.splitlines()[1:]]
        size = {line[0]: int(line[1]) / 1024 for line in lines}
        own = size["Private_Clean:"] + size["Private_Dirty:"]
        return {"all": size["Rss:"], "own": own, "part": size["Pss:"]}

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def read_first_cells(n_cells: int = 10) -> list[str]:
    lesson = json.loads((NOTEBOOKS / "00_start_here.ipynb").read_text("utf-8"))
    cells = [cell for cell in lesson["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in cells[:n_cells]]


def start(n: int, cells: list[str], pool: ThreadPoolExecutor) -> list[Student]:
    """All at once; fewer than asked for where they might not find room."""
    n_fit = int((read_available() - RESERVE) / LARGEST)
    if n_fit < n:
        print(f"room for {n_fit} of {n} kernels only")
    return list(pool.map(lambda _: Student(cells), range(min(n, n_fit))))


def read_available() -> float:
    table = Path("/proc/meminfo").read_text()
    return int(table.partition("MemAvailable:")[2].split()[0]) / 1024  # MiB


def report_memory(students: list[Student]) -> None:
    alive = sum(student.manager.is_alive() for student in students)
    sizes = [student.measure() for student in students]
    print(f"kernels alive              {alive} of {len(students)}")
    print(f"a kernel's own memory      {summarise([s['own'] for s in sizes])} MiB")
    print(f"all it looks at            {summarise([s['all'] for s in sizes])} MiB")
    print(f"all of them together       {sum(s['part'] for s in sizes) / 1024:.1f} GiB")
    print(f"left on the machine        {read_available() / 1024:.1f} GiB")
    print(f"until the cells had run    {summarise([s.seconds for s in students])} s")


def summarise(values: list[float]) -> str:
    return f"median {statistics.median(values):.0f}, most {max(values):.0f}"


def report_training(students: list[Student], steps: int, pool) -> None:
    for n_threads in sorted({1, os.cpu_count() or 1}):
        alone = students[0].train(n_threads, steps)
        together = list(pool.map(lambda s, n=n_threads: s.train(n, steps), students))
        print(f"a step, {n_threads} thread(s), alone  {alone:.1f} ms")
        print(f"  and {len(students):2} at the same time   {summarise(together)} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in {"idle": 30, "training": 10, "steps": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    wish = parser.parse_args()
    load_images("mnist")  # writes the file that all of them share, if it is not there
    students: list[Student] = []
    with ThreadPoolExecutor(wish.idle + wish.training) as pool:
        try:
            students += start(wish.idle, read_first_cells(), pool)
            report_memory(students)
            trainers = start(wish.training, [PREPARE], pool)
            students += trainers
            report_training(trainers, wish.steps, pool)
            report_memory(students)
            answers = [student.run("print(6 * 7)").strip() for student in students]
            print(f"still answering            {answers.count('42')}")
        finally:
            for student in students:
                student.close()


if __name__ == "__main__":
    main()

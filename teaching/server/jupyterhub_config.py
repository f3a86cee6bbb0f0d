"""JupyterHub for one class on one Linux machine; README.md beside it has the commands.

A student's server runs as the account that starts the hub. It gets a copy of the
notebooks, and shares code, weights and data with all others.
"""

import os
import shutil
import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parent.parent.parent
DATA = COURSE / Path(os.environ.get("VAE_DATA_DIR", "data")).expanduser()
STUDENTS = Path.cwd() / "students"  # a folder for each
MEMORY = 4 * 2**30  # bytes that a process may ask for; a cell that wants more fails
THREADS = 1  # of a kernel
KERNEL_REST = 3600  # seconds without work after which a kernel ends
SERVER_REST = 7200  # and without a sign of its student, a whole server


def copy_course(spawner) -> None:  # noqa: ANN001, only the hub has its class
    """Give a student every file of the course that their folder does not have yet."""
    notebooks = COURSE / "notebooks"
    for source in notebooks.rglob("*"):
        relative = source.relative_to(notebooks)
        target = STUDENTS / spawner.user.name / "notebooks" / relative
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or not source.is_file() or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.new")
        shutil.copyfile(source, scratch)  # without the mode, which may be read-only
        scratch.replace(target)


c = get_config()  # noqa: F821

password = os.environ.get("VAE_CLASS_PASSWORD", "")
if len(password) < 8:
    sys.exit("Set VAE_CLASS_PASSWORD to a password of 8 characters or more.")
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = password
c.Authenticator.allow_all = True
c.Authenticator.username_pattern = "[a-z][a-z0-9_-]*$"  # it names a folder

c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(STUDENTS / "{username}")
c.Spawner.pre_spawn_hook = copy_course
c.Spawner.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.Spawner.environment = {
    "VAE_DATA_DIR": os.path.abspath(DATA),
    "OMP_NUM_THREADS": str(THREADS),
}
c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # when all come at once

# Kernels inherit this limit. (One on all addresses would also count what PyTorch
# reserves and never uses.)
c.Spawner.cmd = ["prlimit", f"--data={MEMORY}", "jupyterhub-singleuser"]
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={KERNEL_REST}",
    "--MappingKernelManager.cull_interval=60",
    "--MappingKernelManager.cull_connected=True",  # also one whose notebook is open
]
culler = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={SERVER_REST}"]
c.JupyterHub.services = [{"name": "idle-culler", "command": culler}]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": [
            "list:users",
            "read:users:activity",
            "read:servers",
            "delete:servers",
        ],
    }
]

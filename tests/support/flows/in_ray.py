"""Tasks in the worker processes of Ray; in a file of its own, since Ray takes long to import."""

from prefect import flow
from prefect_ray import RayTaskRunner  # type: ignore[import-untyped]
from situations import add, extract  # type: ignore[import-not-found] # beside this file, where it is run


@flow(
    name="in-ray",
    task_runner=RayTaskRunner(
        init_kwargs={"num_cpus": 2, "include_dashboard": False, "log_to_driver": False}
    ),
)
def in_ray() -> None:
    days = extract.map([1, 2])
    add.submit(days).result()


if __name__ == "__main__":
    in_ray()

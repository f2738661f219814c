"""What the machine does, as MLflow measures it."""

import contextlib

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor


class SystemMetrics:
    """MLflow's own collectors: processor, memory, disk, network and whatever GPU there is."""

    def __init__(self) -> None:
        self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        for kind in (GPUMonitor, ROCMMonitor):
            with contextlib.suppress(ImportError, RuntimeError):  # how they say that there is no such GPU
                self._monitors.append(kind())

    def sample(self) -> dict[str, float]:
        """The values now, named as MLflow names them (``system/cpu_utilization_percentage``, …)."""
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values.update({f"system/{key}": float(value) for key, value in monitor.aggregate_metrics().items()})
            monitor.clear_metrics()
        return values

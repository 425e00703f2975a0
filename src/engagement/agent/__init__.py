"""The device agent: it reports what an app does to a server, each record once."""

from engagement.agent.clock import Clock
from engagement.agent.jobs import Job
from engagement.agent.queue import Loss
from engagement.agent.reporting import AgentOptions, DeviceAgent

__all__ = ["AgentOptions", "Clock", "DeviceAgent", "Job", "Loss"]

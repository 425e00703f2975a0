"""The device agent: it reports what an app does to a server, each record once."""

from engagement.agent.clock import Clock
from engagement.agent.device_agent import AgentOptions, DeviceAgent
from engagement.agent.jobs import Job
from engagement.agent.queue import Loss

__all__ = ["AgentOptions", "Clock", "DeviceAgent", "Job", "Loss"]

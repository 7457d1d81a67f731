"""No property test fails because the machine was busy: hypothesis measures time by the clock, and tests share it."""

from hypothesis import HealthCheck, settings

settings.register_profile("odradek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("odradek")

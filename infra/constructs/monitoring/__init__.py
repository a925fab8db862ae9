"""Metrics, alarms, the dashboard, the budget and the scheduled canary."""

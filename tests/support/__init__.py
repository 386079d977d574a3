"""What several suites share: programs, services, clocks, factories."""

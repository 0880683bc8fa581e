"""The one training loop, with the parts it is given: steps, schedules, stopping, the device's arithmetic."""

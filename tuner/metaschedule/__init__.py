"""Databases of TVM's MetaSchedule: champions written into one, schedules of one tried here."""

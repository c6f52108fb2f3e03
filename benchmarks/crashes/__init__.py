"""Kills, lost power, full disks and wrong clocks: what a build is put through, and what is left."""

"""Datasets: reads files of readings into tables that workers map, and keeps them under names."""

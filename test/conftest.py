"""Loads the fixture modules of this folder; each says what it offers."""

pytest_plugins = ["control_plane_fixtures", "model_fixtures"]

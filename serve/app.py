"""The application on Ray Serve under the name that users' config files have: ``import_path: legan.serve.app:build``."""

from legan.serve.deploy.application import build

__all__ = ["build"]

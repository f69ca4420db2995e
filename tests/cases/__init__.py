"""Case folders: data and the alerts it must raise, written without Python (docs/detectors.md)."""

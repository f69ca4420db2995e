"""One module a screen; each adds its routes to the app in `register(app, site)`."""

"""Pages in the browser: `app.create_app` puts them together."""

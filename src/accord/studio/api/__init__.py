"""REST for programs, at /api/v1: bots, AI judges, pipelines. `app.create_api` puts it together."""

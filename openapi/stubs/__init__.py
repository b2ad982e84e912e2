"""From operations that nothing implements to code: handlers, their tests, models, migrations."""

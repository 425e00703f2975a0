"""The pages that people see: server-rendered, with nothing from outside."""

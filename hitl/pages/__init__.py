"""The pages: one module a page, which routes, gathers and renders."""

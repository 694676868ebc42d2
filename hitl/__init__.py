"""The human's side: sessions, spec cards, the API and the pages. Builds on engine, never the other way round."""

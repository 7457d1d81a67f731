"""The verdict for people (HTML) and for CI (JUnit)."""

//! Small differences between Jinja engines, each with what jinja2 gives.

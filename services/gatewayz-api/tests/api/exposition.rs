//! The metrics page of the running service, in the eyes of parsers that are not ours.

//! The commands of the two documents that this service comes from, as a person types them.

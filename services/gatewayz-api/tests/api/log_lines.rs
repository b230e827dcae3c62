//! One JSON line for each request, by the schema.

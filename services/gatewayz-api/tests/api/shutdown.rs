//! How the service stops.

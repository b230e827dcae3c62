//! What malformed requests are answered, and what they leave behind.

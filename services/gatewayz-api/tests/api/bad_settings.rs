//! What a start with mistakes in its settings says.

//! Who may call what: every route with every kind of key.

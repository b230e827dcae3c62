//! A foreign service.

fn main() {}

//! A floor: what it takes to start a Rust program and end it.

fn main() {}

//! The `minitower-operator` program.

fn main() {}

//! MiniTower: minitower-tests.

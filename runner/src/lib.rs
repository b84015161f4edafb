//! MiniTower: minitower-runner.
